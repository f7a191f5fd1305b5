//! The few calls into the C library that have no safe wrapper. The only file with `unsafe`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Memory is given back at most this often: trimming costs a few milliseconds of faults afterwards.
const TRIM_PAUSE: Duration = Duration::from_secs(1);

/// Sets the allocator up for a small resident size; call first in `main`, before other threads exist.
///
/// One arena instead of eight for each core: threads here wait far more than they allocate.
pub fn tune_allocator() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: mallopt only sets a parameter of the allocator; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free memory back to the system after a burst of work; does nothing if that was done within the last second.
/// `first` runs before, to free what else can be freed.
pub fn trim_memory_after_burst(first: impl FnOnce()) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let Ok(mut last) = LAST.try_lock() else {
        return;
    };
    if last.is_some_and(|at| at.elapsed() < TRIM_PAUSE) {
        return;
    }
    *last = Some(Instant::now());
    first();
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: malloc_trim takes the allocator's own locks and moves no live block.
    unsafe {
        libc::malloc_trim(0);
    }
}
