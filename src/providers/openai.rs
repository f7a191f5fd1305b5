//! The adapter for OpenAI's chat completions and every service that speaks the same.
//!
//! Runs and blocks on the turn that asks. This file joins the parts: `request` writes the body, `assemble` puts the
//! answer together. Retries, limits, error tables and quirks are shared with other adapters.

mod assemble;
mod calls;
mod decode;
mod request;
mod think;

use super::feed::Feed;
use super::quirks::{Change, LearnedQuirks, Quirks};
use super::read;
use super::retry::Failure;
use super::room::Room;
use super::service::{Adapter, Service, ServiceSettings};
use super::{Dialect, Reply, Request};
use crate::net::{Answer, Http};
use crate::threads::CancelToken;
use assemble::{Assembler, Origin};

/// A service of this kind; its base address holds the version segment, as `https://api.openai.com/v1`.
pub type OpenAiSettings = ServiceSettings;

/// A service that speaks chat completions.
pub struct OpenAi {
    service: Service,
}

/// Writes a whole body for a model without quirks.
#[cfg(test)]
pub(crate) fn body(request: &Request<'_>) -> Vec<u8> {
    request::encode(request, &Quirks::default(), "scripted", true, None)
}

impl OpenAi {
    /// Makes the adapter; nothing is sent or connected.
    pub fn new(settings: OpenAiSettings, http: Http, learned: LearnedQuirks) -> Self {
        let url = format!("{}/chat/completions", settings.base());
        Self {
            service: Service::new(settings, url, http, learned),
        }
    }

    fn send(
        &self,
        request: &Request<'_>,
        quirks: &Quirks,
        limit: Option<u32>,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Answer, Failure> {
        let settings = &self.service.settings;
        let stream = quirks.stream.unwrap_or(settings.stream);
        let body = request::encode(request, quirks, &settings.name, stream, limit);
        let key = settings.api_key.expose();
        let bearer = format!("Bearer {key}");
        let own_headers = [("authorization", bearer.as_str())];
        let own_headers = if key.is_empty() {
            &[]
        } else {
            own_headers.as_slice()
        };
        Ok(self.service.post(own_headers, &body, feed, cancel)?)
    }
}

/// What the next request of a call must take into account.
#[derive(Default)]
pub(crate) struct Call {
    /// How many tokens fit behind this prompt.
    room: Room,
}

impl Adapter for OpenAi {
    const DIALECT: Dialect = Dialect::OpenAi;
    type Call = Call;

    fn service(&self) -> &Service {
        &self.service
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        call: &mut Call,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Reply, Failure> {
        let model = request.model.model_id.as_str();
        let quirks = self.service.quirks(model);
        let limit = request::limit(request.model, &quirks, call.room);
        let answer = self.send(request, &quirks, limit, feed, cancel)?;
        if !(200..300).contains(&answer.status()) {
            let refusal = self.service.refusal(answer, feed)?;
            // Without a limit the prompt alone is too long.
            if limit.is_some_and(|asked| refusal.teaches_room(&mut call.room, asked)) {
                return Err(refusal.at_once());
            }
            return Err(self.service.learn(refusal, model, &quirks));
        }
        let origin = Origin {
            provider: &self.service.settings.name,
            model,
            secrets: &self.service.secrets(),
        };
        let mut assembler = Assembler::new(origin, quirks.open_think);
        let ending = read::read(answer, &mut assembler, feed);
        if assembler.missing_open_tag() {
            self.service.note(model, Change::OpenThink);
        }
        assembler.finish(ending, feed)
    }
}

#[cfg(test)]
pub(super) mod tests;
