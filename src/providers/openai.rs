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
use super::http::{Answer, Http};
use super::quirks::{Change, LearnedQuirks, Quirks};
use super::read;
use super::retry::Failure;
use super::service::{Service, ServiceSettings};
use super::{Delta, Dialect, Provider, ProviderError, Reply, Request};
use crate::threads::CancelToken;
use assemble::{Assembler, Origin};

/// A service of this kind; its base address holds the version segment, as `https://api.openai.com/v1`.
pub type OpenAiSettings = ServiceSettings;

/// A service that speaks chat completions.
pub struct OpenAi {
    service: Service,
}

impl OpenAi {
    /// Makes the adapter; nothing is sent or connected.
    pub fn new(settings: OpenAiSettings, http: Http, learned: LearnedQuirks) -> Self {
        let url = format!("{}/chat/completions", settings.base());
        Self {
            service: Service::new(settings, url, http, learned),
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Reply, Failure> {
        let model = request.model.model_id.as_str();
        let quirks = self.service.quirks(model);
        let answer = self.send(request, &quirks, feed, cancel)?;
        if !(200..300).contains(&answer.status()) {
            let refusal = self.service.refusal(answer, feed)?;
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

    fn send(
        &self,
        request: &Request<'_>,
        quirks: &Quirks,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Answer, Failure> {
        let settings = &self.service.settings;
        let stream = quirks.stream.unwrap_or(settings.stream);
        let body = request::encode(request, quirks, &settings.name, stream);
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

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.service.settings.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    fn stream(
        &self,
        request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        cancel: &CancelToken,
    ) -> Result<Reply, ProviderError> {
        self.service
            .call(on_delta, cancel, |feed| self.attempt(request, feed, cancel))
    }
}

#[cfg(test)]
pub(super) mod tests;
