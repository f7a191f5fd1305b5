//! The adapter for the Anthropic Messages API and every service that speaks the same.
//!
//! Runs and blocks on the turn that asks. This file joins the parts: `request` writes the body, `assemble` puts a
//! response together, `call` holds what one call learns on its way. Retries, limits, error tables and quirks are shared
//! with other adapters.

mod assemble;
mod blocks;
mod call;
mod decode;
mod request;

use super::feed::Feed;
use super::quirks::LearnedQuirks;
use super::read;
use super::retry::Failure;
use super::service::{Adapter, Service, ServiceSettings};
use super::{Dialect, Reply, Request};
use crate::chat::Usage;
use crate::net::Http;
use crate::threads::CancelToken;
use assemble::{Assembler, Segment, Stop};
use call::Call;
use request::Ask;

/// The oldest version in use, and the only one that compatible services know.
const VERSION: &str = "2023-06-01";

/// A service of this kind; its base address stands with or without a last `/v1`, as `https://api.anthropic.com`.
pub type AnthropicSettings = ServiceSettings;

/// A service that speaks the Messages API.
pub struct Anthropic {
    service: Service,
}

/// Writes a whole body for a model without quirks.
#[cfg(test)]
pub(crate) fn body(request: &Request<'_>) -> Vec<u8> {
    request::encode(&Ask {
        request,
        quirks: &super::quirks::Quirks::default(),
        provider: "scripted",
        stream: true,
        replay: request::Replay::Whole,
        room: super::room::Room::default(),
        paused: &[],
    })
}

impl Anthropic {
    /// Makes the adapter; nothing is sent or connected.
    pub fn new(settings: AnthropicSettings, http: Http, learned: LearnedQuirks) -> Self {
        let base = settings.base();
        let url = format!("{}/v1/messages", base.strip_suffix("/v1").unwrap_or(base));
        Self {
            service: Service::new(settings, url, http, learned),
        }
    }

    /// Sends one request and reads its response.
    fn exchange(
        &self,
        request: &Request<'_>,
        call: &mut Call,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Segment, Failure> {
        let settings = &self.service.settings;
        let model = request.model.model_id.as_str();
        let quirks = self.service.quirks(model);
        let paused = call.paused();
        let ask = Ask {
            request,
            quirks: &quirks,
            provider: &settings.name,
            stream: quirks.stream.unwrap_or(settings.stream),
            replay: call.replay,
            room: call.room,
            paused: &paused,
        };
        let body = request::encode(&ask);
        let answer = self
            .service
            .post(&self.own_headers(), &body, feed, cancel)?;
        if !(200..300).contains(&answer.status()) {
            let refusal = self.service.refusal(answer, feed)?;
            if call.learn(&refusal.fault, ask.max_tokens()) {
                return Err(refusal.at_once());
            }
            return Err(self.service.learn(refusal, model, &quirks));
        }
        let secrets = self.service.secrets();
        let mut assembler = Assembler::new(&secrets, call.text_bytes());
        let ending = read::read(answer, &mut assembler, feed);
        assembler.finish(ending, feed)
    }

    /// The version and the key; a configured `Authorization` takes the key's place, because the service prefers ours.
    fn own_headers(&self) -> Vec<(&str, &str)> {
        let key = self.service.settings.api_key.expose();
        let mut headers = vec![("anthropic-version", VERSION)];
        if !key.is_empty() && !self.service.sets_header("authorization") {
            headers.push(("x-api-key", key));
        }
        headers
    }
}

/// What is left when a later response of a call fails: the text of the earlier ones, if there was any.
fn cut_off(failure: Failure, feed: &Feed<'_>) -> Result<Segment, Failure> {
    let stop = read::salvage(failure, feed)?;
    Ok(Segment {
        blocks: Vec::new(),
        stop: Stop::Ended(stop),
        usage: Usage::default(),
        detail: None,
    })
}

impl Adapter for Anthropic {
    const DIALECT: Dialect = Dialect::Anthropic;
    type Call = Call;

    fn service(&self) -> &Service {
        &self.service
    }

    /// Asks until the answer is whole; a service that pauses is asked to go on.
    fn attempt(
        &self,
        request: &Request<'_>,
        call: &mut Call,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Reply, Failure> {
        let provider = &self.service.settings.name;
        loop {
            let segment = match self.exchange(request, call, feed, cancel) {
                Ok(segment) => segment,
                Err(failure) if call.is_underway() => cut_off(failure, feed)?,
                Err(failure) => return Err(failure),
            };
            if let Some(reply) = call.take(segment, request, provider, feed) {
                return Ok(reply);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
