//! Times for people, in the machine's time zone. Pure but for the zone, which is read once.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::prompt::local_zone;

/// Tells when something was: the time alone if it was today, else the date.
pub(super) fn when(at: SystemTime, now: SystemTime) -> String {
    let local = |time: SystemTime| {
        let time = Timestamp::try_from(time).ok()?;
        Some(time.to_zoned(local_zone().clone()))
    };
    match (local(at), local(now)) {
        (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M").to_string(),
        (Some(at), _) => at.strftime("%Y-%m-%d").to_string(),
        (None, _) => "at an unknown time".to_owned(),
    }
}

/// Returns date and time to the minute.
pub(super) fn minute(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(
        |_| "at an unknown time".to_owned(),
        |time| {
            let time = time.to_zoned(local_zone().clone());
            time.strftime("%Y-%m-%d %H:%M").to_string()
        },
    )
}

/// Returns a length of time in its two largest units.
pub(super) fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, secs) => format!("{secs} s"),
        (0, 0, minutes, secs) => format!("{minutes} min {secs} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (secs, text) in [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn today_and_before() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_353_800);
        assert_eq!(when(now, now).len(), 5);
        let before = when(now - Duration::from_secs(3 * 86_400), now);
        assert!(before.starts_with("2026-02-2"), "{before}");
    }
}
