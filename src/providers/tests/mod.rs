//! Every wire format against raw bytes on loopback, streamed and plain: what holds for all of them.
//!
//! A [`Kit`] says how a format spells things; the topic files hold the situations. What only one format knows is tested
//! beside its adapter, with the same kit.

mod cancel;
mod client;
mod failures;
mod framing;

use std::time::Duration;

use super::testing::{Server, Step, chunked, json};
use super::{
    Delta, Dialect, ModelSpec, Provider, ProviderError, Reply, Request, ServiceSettings, ToolSpec,
};
use crate::chat::{Message, Role};
use crate::config::Secret;
use crate::threads::CancelToken;

pub(super) const KEY: &str = "test-key-7f3a9";

/// How a wire format spells the answers of the tests.
pub(super) struct Kit {
    pub(super) dialect: Dialect,
    /// Makes the adapter, with nothing learned.
    pub(super) make: fn(ServiceSettings) -> Box<dyn Provider>,
    /// A plain response with this text.
    pub(super) plain: fn(&str) -> String,
    /// An error object with this message.
    pub(super) error: fn(&str) -> String,
    /// The events before the first piece of text.
    pub(super) open: fn() -> Vec<u8>,
    /// An event with a piece of text.
    pub(super) text: fn(&str) -> Vec<u8>,
    /// An event with a piece of reasoning.
    pub(super) reasoning: fn(&str) -> Vec<u8>,
    /// The events of a tool call whose arguments break off.
    pub(super) half_call: fn() -> Vec<u8>,
    /// The event that says that the answer is complete.
    pub(super) finish: fn() -> Vec<u8>,
    /// The end mark.
    pub(super) done: fn() -> Vec<u8>,
}

pub(super) const KITS: [&Kit; 2] = [&super::openai::tests::KIT, &super::anthropic::tests::KIT];

impl Kit {
    pub(super) fn settings(&self, server: &Server) -> ServiceSettings {
        let mut settings = ServiceSettings::new("scripted", server.url(), Secret::new(KEY));
        settings.pace.retry = Duration::ZERO;
        settings
    }

    pub(super) fn adapter(&self, server: &Server) -> Box<dyn Provider> {
        (self.make)(self.settings(server))
    }

    /// The events of a whole answer.
    pub(super) fn events(&self, texts: &[&str]) -> Vec<u8> {
        let mut body = self.cut_off(texts);
        body.extend((self.finish)());
        body.extend((self.done)());
        body
    }

    /// The events of an answer that breaks off.
    pub(super) fn cut_off(&self, texts: &[&str]) -> Vec<u8> {
        let mut body = (self.open)();
        texts.iter().for_each(|text| body.extend((self.text)(text)));
        body
    }

    /// A good answer that says "fine".
    pub(super) fn fine(&self, streaming: bool) -> Vec<Step> {
        if streaming {
            chunked(&self.events(&["fine"]), 4096)
        } else {
            json(200, &(self.plain)("fine"))
        }
    }

    pub(super) fn error(&self, status: u16, message: &str) -> Vec<Step> {
        json(status, &(self.error)(message))
    }

    /// Runs one situation, then a second call that must work: no situation may spoil the adapter.
    pub(super) fn situation(
        &self,
        streaming: bool,
        mut scripts: Vec<Vec<Step>>,
    ) -> (Outcome, Server) {
        scripts.push(self.fine(streaming));
        let server = Server::start(scripts);
        let provider = (self.make)(ServiceSettings {
            stream: streaming,
            ..self.settings(&server)
        });
        let outcome = ask(&*provider, &CancelToken::new());
        let next = ask(&*provider, &CancelToken::new());
        assert_eq!(next.line(), "complete \"fine\" [] x1", "the next call");
        (outcome, server)
    }
}

pub(super) fn model() -> ModelSpec {
    ModelSpec {
        model_id: "m-1".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    }
}

pub(super) fn tool() -> ToolSpec {
    ToolSpec {
        name: "calculator".to_owned(),
        description: "Calculates.".to_owned(),
        parameters: serde_json::json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    }
}

/// What one call passed on and gave back.
pub(super) struct Outcome {
    pub(super) result: Result<Reply, ProviderError>,
    pub(super) shown: String,
    pub(super) reasoning: String,
    pub(super) notices: Vec<String>,
}

pub(super) fn ask(provider: &dyn Provider, cancel: &CancelToken) -> Outcome {
    let messages = [Message::text(Role::User, "hi")];
    ask_with(provider, &model(), &messages, cancel)
}

pub(super) fn ask_with(
    provider: &dyn Provider,
    model: &ModelSpec,
    messages: &[Message],
    cancel: &CancelToken,
) -> Outcome {
    let request = Request {
        model,
        system: "You help.",
        tools: &[tool()],
        messages,
    };
    let (mut shown, mut reasoning, mut notices) = (String::new(), String::new(), Vec::new());
    let mut on_delta = |delta: Delta<'_>| match delta {
        Delta::Text(text) => shown.push_str(text),
        Delta::Reasoning(text) => reasoning.push_str(text),
        Delta::Notice(text) => notices.push(text.to_owned()),
    };
    let result = provider.stream(&request, &mut on_delta, cancel);
    Outcome {
        result,
        shown,
        reasoning,
        notices,
    }
}

impl Outcome {
    /// Puts a result into one line: stop reason, text, calls, attempts; or the class of the error.
    pub(super) fn line(&self) -> String {
        match &self.result {
            Ok(reply) => {
                let calls: Vec<String> = reply
                    .message
                    .tool_calls()
                    .map(|call| format!("{} {}", call.name, call.arguments))
                    .collect();
                format!(
                    "{} {:?} [{}] x{}",
                    reply.stop.as_str(),
                    reply.message.visible_text(),
                    calls.join(", "),
                    reply.attempts
                )
            }
            Err(error) => format!("error {}", error.class().0),
        }
    }
}
