//! `CancelToken`: a flag, waiters and registered closers. Any thread may cancel; closers run on the cancelling thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Closer = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Closers {
    next: u64,
    open: BTreeMap<u64, Closer>,
}

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    closers: Mutex<Closers>,
    wake: Condvar,
}

/// Stops a turn: checked in loops, waited on in pauses, and able to close what blocks (a socket, a process).
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

/// Keeps a closer registered; dropping it takes the closer back.
#[must_use = "dropping the guard takes the closer back"]
pub struct CloserGuard {
    shared: Arc<Shared>,
    id: Option<u64>,
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    /// Sets the flag, wakes waiters and runs every registered closer once. Later calls do nothing.
    pub fn cancel(&self) {
        let taken = {
            let mut closers = self.lock();
            self.shared.cancelled.store(true, Ordering::Release);
            std::mem::take(&mut closers.open)
        };
        self.shared.wake.notify_all();
        for close in taken.into_values() {
            close();
        }
    }

    /// Registers a closer to run at cancel; runs it at once if the token is cancelled already.
    ///
    /// A closer must not block: it runs on the thread that cancels.
    pub fn on_cancel(&self, close: impl FnOnce() + Send + 'static) -> CloserGuard {
        let mut closers = self.lock();
        if self.is_cancelled() {
            drop(closers);
            close();
            return CloserGuard {
                shared: self.shared.clone(),
                id: None,
            };
        }
        let id = closers.next;
        closers.next += 1;
        closers.open.insert(id, Box::new(close));
        CloserGuard {
            shared: self.shared.clone(),
            id: Some(id),
        }
    }

    /// Pauses for `pause` or until cancelled; returns true if cancelled.
    pub fn wait(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut closers = self.lock();
        loop {
            if self.is_cancelled() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            closers = self
                .shared
                .wake
                .wait_timeout(closers, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Closers> {
        self.shared
            .closers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CloserGuard {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let closer = self
            .shared
            .closers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .remove(&id);
        // Dropped outside the lock: a closer may own things whose drop takes time.
        drop(closer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn closers_run_once_and_guards_take_them_back() {
        let token = CancelToken::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |n: usize| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(n, Ordering::SeqCst);
            }
        };
        let kept = token.on_cancel(count(1));
        drop(token.on_cancel(count(10)));
        token.cancel();
        token.cancel();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        drop(kept);
        let _late = token.on_cancel(count(100));
        assert_eq!(ran.load(Ordering::SeqCst), 101);
    }

    #[test]
    fn waiting_ends_at_cancel() {
        let token = CancelToken::new();
        assert!(!token.wait(Duration::ZERO));
        let other = token.clone();
        let thread =
            crate::threads::spawn("canceller", 128 * 1024, move || other.cancel()).unwrap();
        assert!(token.wait(Duration::from_secs(5)));
        thread.join_within(Duration::from_secs(60)).unwrap();
    }
}
