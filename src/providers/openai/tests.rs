//! The adapter against raw bytes on loopback. Here: what the topic files share.

mod answers;
mod cancel;
mod failures;
mod requests;

use std::time::Duration;

use super::super::testing::{Server, Step, chunked, events, json};
use super::super::{Delta, ToolSpec};
use super::super::{Http, LearnedQuirks, ModelSpec, Provider, ProviderError, Reply, Request};
use super::{OpenAi, OpenAiSettings};
use crate::chat::{Message, Role};
use crate::config::Secret;
use crate::threads::CancelToken;

const KEY: &str = "test-key-7f3a9";

/// What one call passed on and gave back.
struct Outcome {
    result: Result<Reply, ProviderError>,
    shown: String,
    reasoning: String,
    notices: Vec<String>,
}

fn settings(server: &Server) -> OpenAiSettings {
    let mut settings = OpenAiSettings::new("scripted", server.url(), Secret::new(KEY));
    settings.pace.retry = Duration::ZERO;
    settings
}

fn adapter(settings: OpenAiSettings) -> OpenAi {
    OpenAi::new(settings, Http::new(), LearnedQuirks::new())
}

fn model() -> ModelSpec {
    ModelSpec {
        model_id: "m-1".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    }
}

fn tool() -> ToolSpec {
    ToolSpec {
        name: "calculator".to_owned(),
        description: "Calculates.".to_owned(),
        parameters: serde_json::json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    }
}

fn ask(provider: &OpenAi, cancel: &CancelToken) -> Outcome {
    ask_with(
        provider,
        &model(),
        &[Message::text(Role::User, "hi")],
        cancel,
    )
}

fn ask_with(
    provider: &OpenAi,
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
    fn line(&self) -> String {
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

/// A stream chunk with a piece of the answer.
fn piece(delta: &str) -> String {
    format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

fn text(text: &str) -> String {
    piece(&serde_json::json!({"content": text}).to_string())
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

const DONE: &str = "[DONE]";

/// A good stream from data lines.
fn stream<S: AsRef<str>>(data: &[S]) -> Vec<Step> {
    chunked(&events(data), 4096)
}

/// A good stream that says "fine".
fn fine_stream() -> Vec<Step> {
    stream(&[text("fine"), finish("stop"), DONE.to_owned()])
}

/// A good plain response.
fn fine_plain() -> Vec<Step> {
    json(
        200,
        &plain(r#"{"role":"assistant","content":"fine"}"#, "stop"),
    )
}

fn plain(message: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"x","choices":[{{"index":0,"message":{message},"finish_reason":"{reason}"}}],"usage":{{"prompt_tokens":7,"completion_tokens":2}}}}"#
    )
}

/// Runs one situation, then a second call that must work: no situation may spoil the adapter.
fn situation(streaming: bool, mut scripts: Vec<Vec<Step>>) -> (Outcome, Server) {
    let good = if streaming { fine_stream } else { fine_plain };
    scripts.push(good());
    let server = Server::start(scripts);
    let provider = adapter(OpenAiSettings {
        stream: streaming,
        ..settings(&server)
    });
    let outcome = ask(&provider, &CancelToken::new());
    let next = ask(&provider, &CancelToken::new());
    assert_eq!(next.line(), "complete \"fine\" [] x1", "the next call");
    (outcome, server)
}
