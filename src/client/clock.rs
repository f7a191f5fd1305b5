//! Times of day as people read them. Pure: the time zone is given.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Turns points in time into local ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Clock(TimeZone);

impl Default for Clock {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Clock {
    /// Makes the clock of this machine's time zone.
    pub(super) fn local() -> Self {
        Self(TimeZone::system())
    }

    /// Writes hour and minute, `14:02`.
    pub(super) fn hour_minute(&self, unix_ms: i64) -> String {
        self.format(unix_ms, "%H:%M")
    }

    /// Writes date and time, `2026-03-01 14:02`.
    pub(super) fn date(&self, unix_ms: i64) -> String {
        self.format(unix_ms, "%Y-%m-%d %H:%M")
    }

    /// Writes the time with seconds, `14:02:31`.
    pub(super) fn seconds(&self, unix_ms: i64) -> String {
        self.format(unix_ms, "%H:%M:%S")
    }

    fn format(&self, unix_ms: i64, form: &str) -> String {
        match Timestamp::from_millisecond(unix_ms) {
            Ok(at) => at.to_zoned(self.0.clone()).strftime(form).to_string(),
            Err(_) => "?".to_owned(),
        }
    }
}

/// Reads RFC 3339 as milliseconds since 1970.
pub(super) fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}
