//! The adapter for OpenAI's chat completions and every service that speaks the same.
//!
//! Runs and blocks on the turn that asks. This file joins the parts: `request` writes the body, `read` reads the answer,
//! `assemble` decides what it is. Retries, limits, error tables and quirks are shared with other adapters.

mod assemble;
mod calls;
mod decode;
mod read;
mod request;
mod think;

use super::breaker::Breaker;
use super::fault::{Fault, Hints, MAX_BODY_BYTES, printable};
use super::feed::{Feed, Pace};
use super::http::{Answer, Http, Limits, Post};
use super::quirks::{Change, LearnedQuirks, Quirks};
use super::retry::{self, Again, Failure};
use super::{Delta, Dialect, Provider, ProviderError, Reply, Request};
use crate::config::Secret;
use crate::threads::CancelToken;
use assemble::{Assembler, Origin};

/// One configured service.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// The configured name; people see it.
    pub name: String,
    /// The base address with its version segment, as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; empty for services that want none.
    pub api_key: Secret,
    /// Headers sent besides our own; one named `Authorization` replaces the key.
    pub extra_headers: Vec<(String, Secret)>,
    /// How long and how much a call may take.
    pub limits: Limits,
    /// When people hear about waiting.
    pub pace: Pace,
    /// Whether answers are asked for as streams.
    pub stream: bool,
}

impl OpenAiSettings {
    /// Makes settings with the usual limits, streaming, and no extra headers.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>, api_key: Secret) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            api_key,
            extra_headers: Vec::new(),
            limits: Limits::default(),
            pace: Pace::default(),
            stream: true,
        }
    }
}

/// A service that speaks chat completions.
pub struct OpenAi {
    settings: OpenAiSettings,
    url: String,
    http: Http,
    learned: LearnedQuirks,
    breaker: Breaker,
}

impl OpenAi {
    /// Makes the adapter; nothing is sent or connected.
    pub fn new(settings: OpenAiSettings, http: Http, learned: LearnedQuirks) -> Self {
        let base = settings.base_url.trim();
        let base = base.strip_suffix('/').unwrap_or(base);
        Self {
            url: format!("{base}/chat/completions"),
            settings,
            http,
            learned,
            breaker: Breaker::default(),
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Reply, Failure> {
        let model = request.model.model_id.as_str();
        let quirks = self.learned.of(&self.settings.base_url, model);
        let answer = self.send(request, &quirks, feed, cancel)?;
        if !(200..300).contains(&answer.status()) {
            return Err(self.refused(answer, model, &quirks, feed)?);
        }
        let origin = Origin {
            provider: &self.settings.name,
            model,
            secrets: &self.secrets(),
        };
        let mut assembler = Assembler::new(origin, quirks.open_think);
        let ending = read::read(answer, &mut assembler, feed);
        if assembler.missing_open_tag() {
            let base_url = &self.settings.base_url;
            self.learned.note(base_url, model, Change::OpenThink);
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
        let stream = quirks.stream.unwrap_or(self.settings.stream);
        let body = request::encode(request, quirks, &self.settings.name, stream);
        let bearer = format!("Bearer {}", self.settings.api_key.expose());
        let post = Post {
            url: &self.url,
            headers: &self.headers(&bearer),
            body: &body,
        };
        let answer = self.http.post(&post, &self.settings.limits, cancel, feed)?;
        Ok(answer)
    }

    fn headers<'a>(&'a self, bearer: &'a str) -> Vec<(&'a str, &'a str)> {
        let extra = &self.settings.extra_headers;
        let has_own = extra
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let mut headers = Vec::with_capacity(extra.len() + 1);
        if !has_own && !self.settings.api_key.expose().is_empty() {
            headers.push(("authorization", bearer));
        }
        headers.extend(
            extra
                .iter()
                .map(|(name, value)| (name.as_str(), value.expose())),
        );
        headers
    }

    /// Reads an error answer; if it teaches something, the next request follows at once.
    fn refused(
        &self,
        mut answer: Answer,
        model: &str,
        used: &Quirks,
        feed: &mut Feed<'_>,
    ) -> Result<Failure, Failure> {
        if (300..400).contains(&answer.status()) {
            let to = answer.header("location").unwrap_or("another address");
            return Ok(Failure::final_(ProviderError::BadRequest(format!(
                "it redirects to {}; set base_url to where the service really is",
                printable(to, &self.secrets())
            ))));
        }
        let hints = Hints::of(&answer);
        let request_id = answer
            .header("x-request-id")
            .or_else(|| answer.header("request-id"))
            .unwrap_or("none")
            .to_owned();
        let body = answer.read_start(MAX_BODY_BYTES, feed)?;
        let fault = Fault::from_body(answer.status(), &body);
        let mut failure = fault.failure(hints, &self.secrets());
        log::warn!(
            "{}: {} (request id {request_id})",
            self.settings.name,
            failure.error
        );
        let base_url = &self.settings.base_url;
        if self.learned.learn(base_url, model, used, &fault) {
            failure.again = Again::AtOnce;
        }
        Ok(failure)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let extra = self.settings.extra_headers.iter().map(|(_, value)| value);
        extra.chain([&self.settings.api_key]).collect()
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.settings.name
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
        let pace = &self.settings.pace;
        let mut feed = Feed::new(&self.settings.name, pace, on_delta);
        retry::run(pace.retry, &self.breaker, &mut feed, cancel, |feed| {
            self.attempt(request, feed, cancel)
        })
    }
}

#[cfg(test)]
mod tests;
