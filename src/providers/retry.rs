//! When a model call is made again, and after which pause.
//!
//! Runs on the turn that asks; pauses end at once when the turn is stopped. Knows classes of failures, no wire format.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::breaker::Breaker;
use super::feed::Feed;
use super::{ProviderError, Reply};
use crate::net::{HttpError, Limit};
use crate::threads::CancelToken;

/// Tries of one call, the first included.
const MAX_TRIES: u32 = 4;
/// Changes of the request that one call may learn; each one makes the request smaller, so this is never reached.
const MAX_LESSONS: u32 = 8;
/// A service that wants a longer pause is not waited for: the person decides.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Shorter pauses are not worth a word.
const SILENT_PAUSE: Duration = Duration::from_secs(2);

/// Whether asking again makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// No.
    Never,
    /// Yes, at once: the next request differs, or uses a new connection.
    AtOnce,
    /// Yes, after a pause; the service may have said how long.
    After(Option<Duration>),
}

/// A failed attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// What is reported if it stays the last attempt.
    pub(crate) error: ProviderError,
    /// Whether there is another one.
    pub(crate) again: Again,
}

impl Failure {
    /// Makes a failure that is reported as it is.
    pub(crate) fn final_(error: ProviderError) -> Self {
        Self {
            error,
            again: Again::Never,
        }
    }

    /// Makes a failure of the service or the way to it, worth another try.
    pub(crate) fn passing(error: ProviderError) -> Self {
        Self {
            error,
            again: Again::After(None),
        }
    }

    /// Whether the service or the way to it is to blame.
    fn counts(&self) -> bool {
        matches!(
            self.error,
            ProviderError::Network(_) | ProviderError::Overloaded(_) | ProviderError::Timeout(_)
        )
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Cancelled => Self::final_(ProviderError::Cancelled),
            // Whoever waited that long is told, not made to wait again.
            HttpError::Timeout(Limit::Resolve | Limit::Connect, length) => Self::final_(
                ProviderError::Network(format!("no connection within {} s", length.as_secs())),
            ),
            HttpError::Timeout(_, length) => Self::final_(ProviderError::Timeout(length)),
            HttpError::Network { detail, stale } => Self {
                error: ProviderError::Network(detail),
                again: if stale {
                    Again::AtOnce
                } else {
                    Again::After(None)
                },
            },
            HttpError::Untrusted(reason) => Self::final_(ProviderError::Network(format!(
                "its certificate is not accepted ({reason}); ca_file names certificates of your own"
            ))),
            HttpError::Invalid(detail) => Self::final_(ProviderError::BadRequest(detail)),
            HttpError::TooLarge => Self::final_(ProviderError::Undecodable(
                "it is longer than the limit".to_owned(),
            )),
        }
    }
}

/// Runs attempts until one answers, nothing more can be tried, text was passed on, or the turn is stopped.
pub(crate) fn run(
    first_pause: Duration,
    breaker: &Breaker,
    feed: &mut Feed<'_>,
    cancel: &CancelToken,
    mut attempt: impl FnMut(&mut Feed<'_>) -> Result<Reply, Failure>,
) -> Result<Reply, ProviderError> {
    if let Some(left) = breaker.pause_left() {
        return Err(ProviderError::Overloaded(format!(
            "it failed 5 times in a row and is left alone for {} s",
            left.as_secs().max(1)
        )));
    }
    let (mut attempts, mut tries, mut lessons) = (0, 0, 0);
    loop {
        if cancel.is_cancelled() {
            return Err(ProviderError::Cancelled);
        }
        attempts += 1;
        feed.attempt();
        let failure = match attempt(feed) {
            Ok(reply) => {
                breaker.worked();
                // A reply may have taken several requests of its own.
                let attempts = attempts - 1 + reply.attempts;
                return Ok(Reply { attempts, ..reply });
            }
            Err(failure) => failure,
        };
        if feed.text_passed() {
            return Err(failure.error);
        }
        if failure.again == Again::AtOnce && lessons < MAX_LESSONS {
            lessons += 1;
            continue;
        }
        if failure.counts() {
            breaker.failed();
        }
        tries += 1;
        let Some(pause) = pause_before(tries, first_pause, failure.again) else {
            return Err(failure.error);
        };
        announce(feed, pause, &failure.error);
        if cancel.wait(pause) {
            return Err(ProviderError::Cancelled);
        }
    }
}

/// The pause after `tries` failed tries, or `None` if there is no further one.
fn pause_before(tries: u32, first_pause: Duration, again: Again) -> Option<Duration> {
    if tries >= MAX_TRIES {
        return None;
    }
    let own = jitter(first_pause * 2u32.pow(tries - 1), random_fraction());
    match again {
        Again::Never => None,
        Again::AtOnce | Again::After(None) => Some(own),
        Again::After(Some(wanted)) => (wanted <= MAX_PAUSE).then_some(wanted),
    }
}

/// Spreads a pause by a quarter both ways, so that turns that failed together do not return together.
fn jitter(pause: Duration, fraction: f64) -> Duration {
    pause.mul_f64(0.75 + fraction / 2.0)
}

/// Returns a number from 0 to 1 that differs between calls; std seeds its hashers at random.
fn random_fraction() -> f64 {
    let number = RandomState::new().build_hasher().finish();
    (number >> 32) as f64 / f64::from(u32::MAX)
}

fn announce(feed: &mut Feed<'_>, pause: Duration, error: &ProviderError) {
    if pause <= SILENT_PAUSE {
        return;
    }
    let reason = match error {
        ProviderError::RateLimited { .. } => "the service limits requests",
        ProviderError::Network(_) => "the service cannot be reached",
        _ => "the service is busy",
    };
    let seconds = pause.as_secs_f64().ceil();
    feed.notice(&format!("Waiting {seconds} s: {reason}."));
}

#[cfg(test)]
mod tests {
    use super::super::Delta;
    use super::super::feed::Pace;
    use super::*;
    use crate::chat::{Message, Role, StopReason, Usage};

    fn reply() -> Reply {
        Reply {
            message: Message::text(Role::Assistant, "hi"),
            stop: StopReason::Complete,
            usage: Usage::default(),
            first_token: None,
            attempts: 1,
        }
    }

    fn busy(again: Again) -> Failure {
        Failure {
            error: ProviderError::Overloaded("busy".into()),
            again,
        }
    }

    /// Runs scripted failures, then a reply; returns the result, the attempts made and the notices.
    fn check(failures: &[Failure]) -> (Result<u32, ProviderError>, usize, Vec<String>) {
        let pace = Pace::default();
        let mut notices = Vec::new();
        let mut sink = |delta: Delta<'_>| {
            if let Delta::Notice(sentence) = delta {
                notices.push(sentence.to_owned());
            }
        };
        let mut feed = Feed::new("x", &pace, &mut sink);
        let mut made = 0;
        let result = run(
            Duration::ZERO,
            &Breaker::default(),
            &mut feed,
            &CancelToken::new(),
            |_| {
                made += 1;
                failures
                    .get(made - 1)
                    .cloned()
                    .map_or_else(|| Ok(reply()), Err)
            },
        );
        (result.map(|reply| reply.attempts), made, notices)
    }

    #[test]
    fn tries_four_times() {
        let passing = busy(Again::After(None));
        assert_eq!(check(&vec![passing.clone(); 3]), (Ok(4), 4, vec![]));
        let (result, made, _) = check(&vec![passing.clone(); 9]);
        assert_eq!((result, made), (Err(passing.error), 4));
    }

    #[test]
    fn some_failures_are_final() {
        let (result, made, _) = check(&[busy(Again::Never)]);
        assert!(result.is_err());
        assert_eq!(made, 1);
        let timeout = HttpError::Timeout(Limit::Idle, Duration::from_secs(90));
        assert_eq!(Failure::from(timeout).again, Again::Never);
    }

    #[test]
    fn lessons_do_not_cost_tries_and_are_bounded() {
        let mut failures = vec![busy(Again::AtOnce); 3];
        failures.extend(vec![busy(Again::After(None)); 3]);
        assert_eq!(check(&failures).0, Ok(7));
        let (result, made, _) = check(&vec![busy(Again::AtOnce); 100]);
        assert!(result.is_err());
        assert_eq!(made, 12);
    }

    #[test]
    fn a_wanted_pause_is_kept_unless_too_long() {
        let wanted = |secs| Again::After(Some(Duration::from_secs(secs)));
        assert_eq!(
            pause_before(1, Duration::ZERO, wanted(60)),
            Some(Duration::from_secs(60))
        );
        assert_eq!(pause_before(1, Duration::ZERO, wanted(61)), None);
        assert_eq!(pause_before(4, Duration::ZERO, wanted(1)), None);
    }

    #[test]
    fn pauses_double_and_are_jittered() {
        for (tries, middle) in [(1, 1000), (2, 2000), (3, 4000)] {
            let pause = pause_before(tries, Duration::from_secs(1), Again::After(None)).unwrap();
            let (least, most) = (middle * 3 / 4, middle * 5 / 4);
            assert!((least..=most).contains(&(pause.as_millis() as u64)));
        }
        assert_eq!(jitter(Duration::from_secs(4), 0.0), Duration::from_secs(3));
        assert_eq!(jitter(Duration::from_secs(4), 1.0), Duration::from_secs(5));
    }

    #[test]
    fn long_pauses_are_announced_and_end_at_cancel() {
        let pace = Pace::default();
        let cancel = CancelToken::new();
        let mut notices = Vec::new();
        let mut sink = |delta: Delta<'_>| {
            if let Delta::Notice(sentence) = delta {
                notices.push(sentence.to_owned());
                // The pause has not begun: it must end at once all the same.
                cancel.cancel();
            }
        };
        let mut feed = Feed::new("x", &pace, &mut sink);
        let limited = Failure {
            error: ProviderError::RateLimited {
                retry_after: Some(Duration::from_secs(50)),
                detail: String::new(),
            },
            again: Again::After(Some(Duration::from_millis(7_200))),
        };
        let result = run(
            Duration::ZERO,
            &Breaker::default(),
            &mut feed,
            &cancel,
            |_| Err(limited.clone()),
        );
        assert_eq!(result, Err(ProviderError::Cancelled));
        assert_eq!(notices, ["Waiting 8 s: the service limits requests."]);
    }

    #[test]
    fn nothing_is_repeated_after_text() {
        let pace = Pace::default();
        let mut sink = |_: Delta<'_>| {};
        let mut feed = Feed::new("x", &pace, &mut sink);
        let mut made = 0;
        let result = run(
            Duration::ZERO,
            &Breaker::default(),
            &mut feed,
            &CancelToken::new(),
            |feed| {
                made += 1;
                feed.text("half");
                Err(busy(Again::After(None)))
            },
        );
        assert!(result.is_err());
        assert_eq!(made, 1);
    }

    #[test]
    fn an_open_breaker_stops_calls_at_once() {
        let pace = Pace::default();
        let breaker = Breaker::default();
        let mut sink = |_: Delta<'_>| {};
        let mut feed = Feed::new("x", &pace, &mut sink);
        let cancel = CancelToken::new();
        let mut made = 0;
        for _ in 0..3 {
            let result = run(Duration::ZERO, &breaker, &mut feed, &cancel, |_| {
                made += 1;
                Err(busy(Again::After(None)))
            });
            assert!(result.is_err());
        }
        assert_eq!(
            made, 8,
            "the second call opens the breaker, the third is not made"
        );
    }
}
