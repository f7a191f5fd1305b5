//! What tests of crashes and faults need: labelled places at which the process ends, and shorter waits. Empty in release
//! builds.

/// Ends the process as `kill -9` would if the environment variable `PICOBOT_CRASH_AT` names this place, as
/// `label` or `label:n` for the n-th time it is passed (from 1). Only in builds with debug assertions.
#[cfg(debug_assertions)]
pub fn crash_point(label: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PICOBOT_CRASH_AT").ok()?;
        match text.split_once(':') {
            Some((label, n)) => Some((label.to_owned(), n.parse().ok()?)),
            None => Some((text, 1)),
        }
    });
    if let Some((wanted, n)) = wanted
        && wanted == label
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub fn crash_point(_label: &str) {}

/// Reads a time in milliseconds that a test sets in the environment, so that it need not wait as long as people would.
/// `None` in release builds.
pub fn test_millis(variable: &str) -> Option<std::time::Duration> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let millis = std::env::var(variable).ok()?.parse().ok()?;
    Some(std::time::Duration::from_millis(millis))
}
