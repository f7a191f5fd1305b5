//! The one form of times on the wire. Pure; no thread.

use std::time::SystemTime;

use jiff::Timestamp;

/// Returns a time as RFC 3339 in UTC with milliseconds, such as `2026-03-01T08:30:00.000Z`.
///
/// Times outside the years -9999 to 9999 become the nearest end of that range.
pub fn rfc3339(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shows_utc_with_milliseconds() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch), "1970-01-01T00:00:00.000Z");
        let later = epoch + Duration::from_micros(1_772_353_800_123_999);
        assert_eq!(rfc3339(later), "2026-03-01T08:30:00.123Z");
        assert_eq!(
            rfc3339(epoch - Duration::from_secs(1)),
            "1969-12-31T23:59:59.000Z"
        );
    }

    #[test]
    fn clamps_what_no_calendar_holds() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert!(rfc3339(far).starts_with("9999-12-30T"));
    }
}
