//! What only this format knows, against raw bytes on loopback; what holds for all formats is tested with [`KIT`].

mod answers;
mod lessons;
mod requests;

use super::super::testing::{Server, Step, chunked, events, json};
use super::super::tests::{KEY, Kit, Outcome, ask, ask_with, model};
use super::super::{Dialect, LearnedQuirks, ModelSpec};
use super::{OpenAi, OpenAiSettings};
use crate::chat::{Message, Role};
use crate::config::Secret;
use crate::net::Http;
use crate::threads::CancelToken;

pub(in super::super) const KIT: Kit = Kit {
    dialect: Dialect::OpenAi,
    make: |settings| Box::new(adapter(settings)),
    plain: |text| {
        let message = serde_json::json!({"role": "assistant", "content": text});
        plain(&message.to_string(), "stop")
    },
    error: |message| serde_json::json!({"error": {"message": message, "code": null}}).to_string(),
    open: || events(&[piece(r#"{"role":"assistant","content":""}"#)]),
    text: |said| events(&[text(said)]),
    reasoning: |thought| {
        events(&[piece(
            &serde_json::json!({"reasoning_content": thought}).to_string(),
        )])
    },
    half_call: || {
        let call = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}"#;
        events(&[piece(&format!(r#"{{"tool_calls":[{call}]}}"#))])
    },
    finish: || events(&[finish("stop")]),
    done: || events(&[DONE]),
};

fn settings(server: &Server) -> OpenAiSettings {
    KIT.settings(server)
}

fn adapter(settings: OpenAiSettings) -> OpenAi {
    OpenAi::new(settings, Http::new(), LearnedQuirks::new())
}

fn situation(streaming: bool, scripts: Vec<Vec<Step>>) -> (Outcome, Server) {
    KIT.situation(streaming, scripts)
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
    KIT.fine(true)
}

fn plain(message: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"x","choices":[{{"index":0,"message":{message},"finish_reason":"{reason}"}}],"usage":{{"prompt_tokens":7,"completion_tokens":2}}}}"#
    )
}
