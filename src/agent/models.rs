//! The models an agent may use, first choice first, and which of them rest after a failure.
//!
//! Shared by all turns; the rests are its only state, behind a mutex of its own that is never held over a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chat::Price;
use crate::providers::{ModelSpec, Provider, ProviderError};

/// One way to a model: a service with one key, and the model there.
pub struct Candidate {
    /// The service.
    pub provider: Arc<dyn Provider>,
    /// The model.
    pub model: ModelSpec,
    /// What it costs, if known.
    pub price: Option<Price>,
}

impl Candidate {
    fn is_same_model(&self, other: &Self) -> bool {
        self.provider.name() == other.provider.name() && self.model.model_id == other.model.model_id
    }
}

/// The ways to a model in order of preference; never empty.
pub struct Models {
    candidates: Vec<Candidate>,
    /// Until when each rests.
    rests: Mutex<Vec<Option<Instant>>>,
}

impl Models {
    /// Makes the chain; `first` is the choice as long as it works.
    pub fn new(first: Candidate, others: impl IntoIterator<Item = Candidate>) -> Self {
        let candidates: Vec<_> = std::iter::once(first).chain(others).collect();
        Self {
            rests: Mutex::new(vec![None; candidates.len()]),
            candidates,
        }
    }

    /// Returns the first choice.
    pub fn first(&self) -> &Candidate {
        &self.candidates[0]
    }

    pub(super) fn get(&self, index: usize) -> &Candidate {
        &self.candidates[index]
    }

    /// Lists whom to ask, in order; those that rest come last, the one that rests shortest first.
    ///
    /// A turn that has run tools is `bound` to its model: its results answer calls of that model, so only other keys of
    /// the same model may take over.
    pub(super) fn order(&self, bound: Option<usize>, now: Instant) -> Vec<usize> {
        let rests = self.rests();
        let mut order: Vec<usize> = (0..self.candidates.len())
            .filter(|index| {
                bound.is_none_or(|bound| {
                    self.candidates[bound].is_same_model(&self.candidates[*index])
                })
            })
            .collect();
        // Stable: what does not rest keeps its order.
        order.sort_by_key(|index| {
            let rest = rests[*index].filter(|until| *until > now);
            (rest, bound.is_some_and(|bound| bound != *index))
        });
        order
    }

    /// Lets a candidate rest after a failure that may concern it alone; returns false for failures that would meet the
    /// next candidate too.
    pub(super) fn rest(&self, index: usize, error: &ProviderError, now: Instant) -> bool {
        let Some(pause) = pause_after(error) else {
            return false;
        };
        self.rests()[index] = Some(now + pause);
        true
    }

    /// Notes that a candidate works.
    pub(super) fn works(&self, index: usize) {
        self.rests()[index] = None;
    }

    fn rests(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to leave a service alone after a failure; `None` if the request itself was at fault.
fn pause_after(error: &ProviderError) -> Option<Duration> {
    let secs = Duration::from_secs;
    match error {
        ProviderError::RateLimited { retry_after, .. } => {
            Some(retry_after.unwrap_or(secs(60)).clamp(secs(1), secs(3_600)))
        }
        ProviderError::Auth(_) | ProviderError::NotFound(_) => Some(secs(600)),
        ProviderError::Overloaded(_)
        | ProviderError::Network(_)
        | ProviderError::Timeout(_)
        | ProviderError::Undecodable(_) => Some(secs(30)),
        ProviderError::Cancelled
        | ProviderError::ContextTooLong(_)
        | ProviderError::ImageRefused(_)
        | ProviderError::BadRequest(_) => None,
    }
}
