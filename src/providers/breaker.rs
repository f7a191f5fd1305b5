//! The circuit breaker of one service: after five failures in a row it is left alone for half a minute.
//!
//! Shared by all turns that use the service; one private mutex, never held while calling out. It counts what the service
//! or the way to it does wrong, not refused requests.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long the service is left alone then.
const PAUSE: Duration = Duration::from_secs(30);

type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

/// Counts failures in a row.
pub(crate) struct Breaker {
    clock: Clock,
    state: Mutex<State>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::with_clock(Instant::now)
    }
}

impl Breaker {
    /// Makes a breaker that reads the time from `clock`.
    pub(crate) fn with_clock(clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            state: Mutex::default(),
        }
    }

    /// Returns how long to leave the service alone, or `None` if it may be asked.
    pub(crate) fn pause_left(&self) -> Option<Duration> {
        let now = (self.clock)();
        let left = self.lock().open_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The service answered.
    pub(crate) fn worked(&self) {
        *self.lock() = State::default();
    }

    /// The service failed. After a pause one more failure starts the next pause.
    pub(crate) fn failed(&self) {
        let now = (self.clock)();
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.open_until = Some(now + PAUSE);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn breaker() -> (Breaker, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let clock = {
            let seconds = seconds.clone();
            move || start + Duration::from_secs(seconds.load(Ordering::Relaxed))
        };
        (Breaker::with_clock(clock), seconds)
    }

    #[test]
    fn opens_after_five_failures_and_closes_after_the_pause() {
        let (breaker, seconds) = breaker();
        for _ in 0..4 {
            breaker.failed();
        }
        assert_eq!(breaker.pause_left(), None);
        breaker.failed();
        assert_eq!(breaker.pause_left(), Some(PAUSE));
        seconds.store(29, Ordering::Relaxed);
        assert_eq!(breaker.pause_left(), Some(Duration::from_secs(1)));
        seconds.store(30, Ordering::Relaxed);
        assert_eq!(breaker.pause_left(), None);
        breaker.failed();
        assert_eq!(breaker.pause_left(), Some(PAUSE));
    }

    #[test]
    fn an_answer_starts_the_count_anew() {
        let (breaker, _) = breaker();
        for _ in 0..20 {
            breaker.failed();
            breaker.failed();
            breaker.worked();
        }
        assert_eq!(breaker.pause_left(), None);
    }
}
