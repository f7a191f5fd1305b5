//! One configured model service: its address, headers and limits, and the way of one call to it.
//!
//! Shared by the HTTP adapters; runs and blocks on the turn that asks. Knows no wire format: what is sent, how an answer
//! is read and what a refusal means for the next request is the adapter's business.

use super::breaker::Breaker;
use super::fault::{Fault, Hints, MAX_BODY_BYTES, printable};
use super::feed::{Feed, Pace};
use super::quirks::{Change, LearnedQuirks, Quirks};
use super::retry::{self, Again, Failure};
use super::room::Room;
use super::{Delta, Dialect, Provider, ProviderError, Reply, Request};
use crate::config::Secret;
use crate::net::{Answer, Http, HttpError, Limits, Post};
use crate::threads::CancelToken;

/// One configured service, whichever wire format it speaks.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The configured name; people see it.
    pub name: String,
    /// The base address; see the adapter for the form it wants.
    pub base_url: String,
    /// The key; empty for services that want none.
    pub api_key: Secret,
    /// Headers sent besides our own; one of the same name replaces ours.
    pub extra_headers: Vec<(String, Secret)>,
    /// How long and how much a call may take.
    pub limits: Limits,
    /// When people hear about waiting.
    pub pace: Pace,
    /// Whether answers are asked for as streams.
    pub stream: bool,
}

impl ServiceSettings {
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

    /// Returns the base address without blanks around it and without its last slash.
    pub(crate) fn base(&self) -> &str {
        let base = self.base_url.trim();
        base.strip_suffix('/').unwrap_or(base)
    }
}

/// An error answer: what it says, and what becomes of the call.
pub(crate) struct Refusal {
    pub(crate) fault: Fault,
    pub(crate) failure: Failure,
}

impl Refusal {
    /// Learns how much room the prompt of a call leaves; see [`Room::learn`].
    pub(crate) fn teaches_room(&self, room: &mut Room, asked: u32) -> bool {
        matches!(self.fault.status, 400 | 422) && room.learn(&self.fault, asked)
    }

    /// The failure of a call whose next request differs and follows at once.
    pub(crate) fn at_once(self) -> Failure {
        Failure {
            again: Again::AtOnce,
            ..self.failure
        }
    }
}

/// A wire format over HTTP; everything but the format itself is alike for all of them.
pub(crate) trait Adapter: Send + Sync {
    /// The rules a history must obey.
    const DIALECT: Dialect;
    /// What one call learns on its way.
    type Call: Default;

    /// The service that is asked.
    fn service(&self) -> &Service;

    /// Makes one request, or several if the format wants that, and reads the answer.
    fn attempt(
        &self,
        request: &Request<'_>,
        call: &mut Self::Call,
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Reply, Failure>;
}

impl<A: Adapter> Provider for A {
    fn name(&self) -> &str {
        &self.service().settings.name
    }

    fn dialect(&self) -> Dialect {
        A::DIALECT
    }

    fn stream(
        &self,
        request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        cancel: &CancelToken,
    ) -> Result<Reply, ProviderError> {
        let Service {
            settings, breaker, ..
        } = self.service();
        let mut feed = Feed::new(&settings.name, &settings.pace, on_delta);
        let mut call = A::Call::default();
        let result = retry::run(settings.pace.retry, breaker, &mut feed, cancel, |feed| {
            self.attempt(request, &mut call, feed, cancel)
        });
        feed.flush();
        result
    }
}

/// A service in use.
pub(crate) struct Service {
    pub(crate) settings: ServiceSettings,
    url: String,
    http: Http,
    learned: LearnedQuirks,
    breaker: Breaker,
}

impl Service {
    /// Makes a service that is asked at `url`; nothing is sent or connected.
    pub(crate) fn new(
        settings: ServiceSettings,
        url: String,
        http: Http,
        learned: LearnedQuirks,
    ) -> Self {
        Self {
            settings,
            url,
            http,
            learned,
            breaker: Breaker::default(),
        }
    }

    /// What holds for a model now.
    pub(crate) fn quirks(&self, model: &str) -> Quirks {
        self.learned.of(&self.settings.base_url, model)
    }

    /// Remembers a difference of a model.
    pub(crate) fn note(&self, model: &str, change: Change) {
        self.learned.note(&self.settings.base_url, model, change);
    }

    /// Whether the configuration sets a header.
    pub(crate) fn sets_header(&self, name: &str) -> bool {
        let mut extra = self.settings.extra_headers.iter();
        extra.any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Sends a request with the adapter's own headers and waits for the head of the answer.
    pub(crate) fn post(
        &self,
        own_headers: &[(&str, &str)],
        body: &[u8],
        feed: &mut Feed<'_>,
        cancel: &CancelToken,
    ) -> Result<Answer, HttpError> {
        let own = own_headers.iter().copied();
        let extra = self.settings.extra_headers.iter();
        let headers: Vec<(&str, &str)> = own
            .filter(|(name, _)| !self.sets_header(name))
            .chain(extra.map(|(name, value)| (name.as_str(), value.expose())))
            .collect();
        let post = Post {
            url: &self.url,
            headers: &headers,
            body,
        };
        self.http.post(&post, &self.settings.limits, cancel, feed)
    }

    /// Reads an error answer.
    pub(crate) fn refusal(
        &self,
        mut answer: Answer,
        feed: &mut Feed<'_>,
    ) -> Result<Refusal, Failure> {
        if (300..400).contains(&answer.status()) {
            let to = answer.header("location").unwrap_or("another address");
            return Err(Failure::final_(ProviderError::BadRequest(format!(
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
        let failure = fault.failure(hints, &self.secrets());
        log::warn!(
            "{}: {} (request id {request_id})",
            self.settings.name,
            failure.error
        );
        Ok(Refusal { fault, failure })
    }

    /// Learns from a refusal of a request made with `used`; if it teaches something, the next request follows at once.
    pub(crate) fn learn(&self, refusal: Refusal, model: &str, used: &Quirks) -> Failure {
        let base_url = &self.settings.base_url;
        if self.learned.learn(base_url, model, used, &refusal.fault) {
            return refusal.at_once();
        }
        refusal.failure
    }

    /// What must not appear in error texts.
    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        let extra = self.settings.extra_headers.iter().map(|(_, value)| value);
        extra.chain([&self.settings.api_key]).collect()
    }
}
