//! How fast: messages that one person may send us, and messages that we may send. Pure; the clock is handed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// People and chats watched at a time; those that rested longest are forgotten first.
const MAX_WATCHED: usize = 4096;

/// A bucket: `burst` at once, refilled one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    /// So many at once.
    pub(super) burst: u32,
    /// One more after each.
    pub(super) each: Duration,
}

/// Messages of one person: 20 a minute.
pub(super) const PERSON: Rate = Rate {
    burst: 20,
    each: Duration::from_secs(3),
};
/// Messages into one chat. The service allows 5 a second, shared by all bots of a group.
pub(super) const CHAT: Rate = Rate {
    burst: 4,
    each: Duration::from_millis(250),
};
/// Messages of one app. The service allows 50 a second and 1,000 a minute; it says when that is too fast.
pub(super) const APP: Rate = Rate {
    burst: 40,
    each: Duration::from_millis(25),
};

/// Many buckets of one rate. A bucket is the time at which it is full again.
#[derive(Debug)]
pub(super) struct Rates {
    rate: Rate,
    full_at: HashMap<String, Instant>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: HashMap::new(),
        }
    }

    /// Takes one; returns how long to wait for it. A caller that does not wait but gives up must say so beforehand by
    /// asking [`Rates::has_one`].
    pub(super) fn take(&mut self, key: &str, now: Instant) -> Duration {
        self.forget(now);
        let full_at = self.full_at.get(key).copied().unwrap_or(now).max(now) + self.rate.each;
        self.full_at.insert(key.to_owned(), full_at);
        full_at.saturating_duration_since(now + self.rate.each * self.rate.burst)
    }

    /// Tells whether one can be had without waiting.
    pub(super) fn has_one(&self, key: &str, now: Instant) -> bool {
        let full_at = self.full_at.get(key).copied().unwrap_or(now).max(now);
        full_at + self.rate.each <= now + self.rate.each * self.rate.burst
    }

    fn forget(&mut self, now: Instant) {
        if self.full_at.len() >= MAX_WATCHED {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= MAX_WATCHED {
                self.full_at.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_by_one() {
        let mut rates = Rates::new(CHAT);
        let now = Instant::now();
        let waits: Vec<_> = (0..6).map(|_| rates.take("a", now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500]);
        assert!(!rates.has_one("a", now));
        assert_eq!(rates.take("b", now), Duration::ZERO);
        let later = now + Duration::from_secs(10);
        assert!(rates.has_one("a", later));
        assert_eq!(rates.take("a", later), Duration::ZERO);
    }

    #[test]
    fn a_person_gets_twenty_a_minute() {
        let mut rates = Rates::new(PERSON);
        let start = Instant::now();
        let mut taken = 0;
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            while rates.has_one("p", now) {
                assert_eq!(rates.take("p", now), Duration::ZERO);
                taken += 1;
            }
        }
        assert_eq!(taken, 20 + 19);
    }
}
