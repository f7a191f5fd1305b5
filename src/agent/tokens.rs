//! How many tokens a prompt will have, learned from what the services report: the estimate's user and teacher.
//!
//! Shared by all turns behind a mutex of its own that is never held over a call. Learned numbers live as long as the
//! process: a new one starts with the estimate's own factor and is right again after a few calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::models::Candidate;
use crate::chat::{Message, SessionId, Usage};
use crate::providers::{Calibration, Request, Sample, estimate_request};

/// Dialogs whose newest report is kept; of older ones the model's factor must do.
const MAX_ANCHORS: usize = 128;

/// The newest report of a dialog.
struct Anchor {
    session: SessionId,
    service: String,
    model: String,
    sample: Sample,
}

#[derive(Default)]
struct State {
    calibration: Calibration,
    /// Oldest report first.
    anchors: Vec<Anchor>,
}

/// What is known about the services' counts.
#[derive(Default)]
pub(super) struct Tokens {
    state: Mutex<State>,
}

impl Tokens {
    /// Predicts how many prompt tokens the candidate's service will count for a request.
    pub(super) fn predict(
        &self,
        session: &SessionId,
        candidate: &Candidate,
        request: &Request<'_>,
    ) -> u32 {
        let estimate = estimate_request(request);
        let (service, model) = key(candidate);
        let state = self.lock();
        let last = state
            .anchors
            .iter()
            .find(|anchor| {
                anchor.session == *session && anchor.service == service && anchor.model == model
            })
            .map(|anchor| anchor.sample);
        state.calibration.predict(service, model, estimate, last)
    }

    /// Learns from an answered request.
    ///
    /// A call that took several requests teaches nothing: what was counted may not be what was estimated.
    pub(super) fn learn(
        &self,
        session: &SessionId,
        candidate: &Candidate,
        request: &Request<'_>,
        usage: Usage,
        attempts: u32,
    ) {
        let Some(reported) = usage.input.filter(|_| attempts == 1) else {
            return;
        };
        let sample = Sample {
            estimated: estimate_request(request),
            reported,
            has_images: request.messages.iter().any(has_images),
        };
        let (service, model) = key(candidate);
        let mut state = self.lock();
        state.calibration.observe(service, model, sample);
        state.anchors.retain(|anchor| anchor.session != *session);
        if state.anchors.len() == MAX_ANCHORS {
            state.anchors.remove(0);
        }
        state.anchors.push(Anchor {
            session: session.clone(),
            service: service.to_owned(),
            model: model.to_owned(),
            sample,
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys of one service count alike, so its configured name stands for its address.
fn key(candidate: &Candidate) -> (&str, &str) {
    (candidate.provider.name(), &candidate.model.model_id)
}

fn has_images(message: &Message) -> bool {
    message.images().next().is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chat::Role;
    use crate::providers::{Demo, ModelSpec};

    fn candidate(model: &str) -> Candidate {
        Candidate {
            provider: Arc::new(Demo::new("demo")),
            model: ModelSpec {
                model_id: model.to_owned(),
                temperature: None,
                max_tokens: None,
                images: false,
            },
            price: None,
        }
    }

    fn session(n: usize) -> SessionId {
        format!("cli_chat:local:{n}").parse().unwrap()
    }

    /// A dialog of so many messages of 1,000 letters, estimated at about 158 tokens each.
    fn history(length: usize) -> Vec<Message> {
        vec![Message::text(Role::User, "a".repeat(1_000)); length]
    }

    fn request<'a>(candidate: &'a Candidate, messages: &'a [Message]) -> Request<'a> {
        Request {
            model: &candidate.model,
            system: "",
            tools: &[],
            messages,
        }
    }

    fn input(tokens: u64) -> Usage {
        Usage {
            input: Some(tokens),
            ..Usage::default()
        }
    }

    #[test]
    fn a_dialog_goes_by_its_own_report_and_others_by_the_factor() {
        let (tokens, model) = (Tokens::default(), candidate("m"));
        let long = history(10);
        let asked = request(&model, &long);
        let estimate = f64::from(estimate_request(&asked));
        let predict =
            |n: usize, request: &Request<'_>| tokens.predict(&session(n), &model, request);
        assert_eq!(predict(1, &asked), (estimate * 1.1).ceil() as u32);
        let reported = estimate as u64 * 2;
        tokens.learn(&session(1), &model, &asked, input(reported), 1);
        assert_eq!(u64::from(predict(1, &asked)), reported);
        let factor = 1.1 + 0.3 * (reported as f64 / estimate - 1.1);
        assert_eq!(predict(2, &asked), (estimate * factor).ceil() as u32);
        // What was added since counts by the factor.
        let longer = history(11);
        let grown = request(&model, &longer);
        let added = f64::from(estimate_request(&grown)) - estimate;
        let expected = (reported as f64 + added * factor).ceil() as u32;
        assert_eq!(predict(1, &grown), expected);
        // Another model knows nothing of it.
        let other = candidate("other");
        let predicted = tokens.predict(&session(1), &other, &request(&other, &long));
        assert_eq!(predicted, (estimate * 1.1).ceil() as u32);
    }

    #[test]
    fn unknown_counts_and_repeated_requests_teach_nothing() {
        let (tokens, model) = (Tokens::default(), candidate("m"));
        let long = history(10);
        let asked = request(&model, &long);
        let before = tokens.predict(&session(1), &model, &asked);
        tokens.learn(&session(1), &model, &asked, Usage::default(), 1);
        tokens.learn(&session(1), &model, &asked, input(9_000), 2);
        assert_eq!(tokens.predict(&session(1), &model, &asked), before);
    }

    #[test]
    fn reports_of_few_dialogs_are_kept() {
        let (tokens, model) = (Tokens::default(), candidate("m"));
        let short = history(1);
        for n in 0..MAX_ANCHORS + 10 {
            tokens.learn(
                &session(n),
                &model,
                &request(&model, &short),
                input(1_000),
                1,
            );
            tokens.learn(
                &session(n),
                &model,
                &request(&model, &short),
                input(1_001),
                1,
            );
        }
        let anchors = &tokens.lock().anchors;
        assert_eq!(anchors.len(), MAX_ANCHORS);
        assert_eq!(anchors[0].session, session(10));
        assert!(anchors.iter().all(|anchor| anchor.sample.reported == 1_001));
    }
}
