//! What tests of crashes and faults need: labelled places at which the process ends or panics, and shorter waits. Empty in
//! release builds.

/// A place that an environment variable names, as `label` or `label:n` for the n-th time it is passed (from 1).
#[cfg(debug_assertions)]
struct Place {
    variable: &'static str,
    wanted: std::sync::OnceLock<Option<(String, u64)>>,
    passed: std::sync::atomic::AtomicU64,
}

#[cfg(debug_assertions)]
impl Place {
    const fn named_by(variable: &'static str) -> Self {
        Self {
            variable,
            wanted: std::sync::OnceLock::new(),
            passed: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Tells whether this is the place and the time.
    fn is_reached(&self, label: &str) -> bool {
        let wanted = self.wanted.get_or_init(|| {
            let text = std::env::var(self.variable).ok()?;
            match text.split_once(':') {
                Some((label, n)) => Some((label.to_owned(), n.parse().ok()?)),
                None => Some((text, 1)),
            }
        });
        wanted.as_ref().is_some_and(|(wanted, n)| {
            let order = std::sync::atomic::Ordering::SeqCst;
            wanted == label && self.passed.fetch_add(1, order) + 1 == *n
        })
    }
}

/// Ends the process as `kill -9` would if the environment variable `PICOBOT_CRASH_AT` names this place, as
/// `label` or `label:n` for the n-th time it is passed (from 1). Only in builds with debug assertions.
#[cfg(debug_assertions)]
pub fn crash_point(label: &str) {
    static PLACE: Place = Place::named_by("PICOBOT_CRASH_AT");
    if PLACE.is_reached(label) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub fn crash_point(_label: &str) {}

/// Panics, with the words of `PICOBOT_PANIC_WORDS`, if the environment variable `PICOBOT_PANIC_AT` names this place, in
/// the form of [`crash_point`]. Only in builds with debug assertions.
#[cfg(debug_assertions)]
pub fn panic_point(label: &str) {
    static PLACE: Place = Place::named_by("PICOBOT_PANIC_AT");
    if PLACE.is_reached(label) {
        let words = std::env::var("PICOBOT_PANIC_WORDS").unwrap_or_default();
        panic!("a test wants a panic at {label} {words}");
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
#[inline]
pub fn panic_point(_label: &str) {}

/// Reads a time in milliseconds that a test sets in the environment, so that it need not wait as long as people would.
/// `None` in release builds.
pub fn test_millis(variable: &str) -> Option<std::time::Duration> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let millis = std::env::var(variable).ok()?.parse().ok()?;
    Some(std::time::Duration::from_millis(millis))
}
