//! The models an agent may use, first choice first, and which of them rest after a failure.
//!
//! Shared by all turns; the rests and what is known about token counts (`tokens`) are its only state, each behind a mutex
//! of its own that is never held over a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::images::place;
use super::legalise::legalise;
use super::tokens::Tokens;
use crate::chat::{Message, Price, SessionId, Usage};
use crate::providers::{ModelSpec, Provider, ProviderError, Request, ToolSpec};

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
    tokens: Tokens,
}

impl Models {
    /// Makes the chain; `first` is the choice as long as it works.
    pub fn new(first: Candidate, others: impl IntoIterator<Item = Candidate>) -> Self {
        let candidates: Vec<_> = std::iter::once(first).chain(others).collect();
        Self {
            rests: Mutex::new(vec![None; candidates.len()]),
            tokens: Tokens::default(),
            candidates,
        }
    }

    /// Returns the first choice.
    pub fn first(&self) -> &Candidate {
        &self.candidates[0]
    }

    /// Predicts how many prompt tokens the first choice's service will count if the dialog is asked now.
    ///
    /// Give what the next request would hold: the dialog's system prompt, its tools and its history as stored (it is
    /// made legal and its images are placed here, as in a turn). The result is what the service itself last counted for
    /// this dialog plus an estimate of what was added since; without such a count, an estimate times the factor learned
    /// from the model's other answers. It is within 10 % for text of some length, but never exact: leave room (compress
    /// at 75 to 80 % of what fits), and expect a refusal all the same. Images count by their size. Takes about 5 ms for
    /// a history of 128,000 tokens; may be called from any thread.
    pub fn estimate_prompt(
        &self,
        session: &SessionId,
        system: &str,
        tools: &[ToolSpec],
        history: &[Message],
    ) -> u32 {
        let first = self.first();
        let legal = legalise(history).request;
        let request = Request {
            model: &first.model,
            system,
            tools,
            messages: &place(&legal, &first.model, first.provider.dialect()),
        };
        self.tokens.predict(session, first, &request)
    }

    /// Learns from an answer how its model counts.
    pub(super) fn learn(
        &self,
        session: &SessionId,
        index: usize,
        request: &Request<'_>,
        usage: Usage,
        attempts: u32,
    ) {
        self.tokens
            .learn(session, self.get(index), request, usage, attempts);
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
        | ProviderError::Filtered(_)
        | ProviderError::BadRequest(_) => None,
    }
}
