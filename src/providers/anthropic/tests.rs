//! What only this format knows, against raw bytes on loopback; what holds for all formats is tested with [`KIT`].

mod answers;
mod lessons;
mod pauses;
mod requests;

use serde_json::{Value, json};

use super::super::testing::{self, Server, Step, chunked};
use super::super::tests::{KEY, Kit, Outcome, ask, ask_with, model};
use super::super::{Dialect, LearnedQuirks, ModelSpec, Reply};
use super::{Anthropic, AnthropicSettings};
use crate::chat::{Message, Part, Role};
use crate::config::Secret;
use crate::net::Http;
use crate::threads::CancelToken;

pub(in super::super) const KIT: Kit = Kit {
    dialect: Dialect::Anthropic,
    make: |settings| Box::new(adapter(settings)),
    plain: |text| plain(&json!([{"type": "text", "text": text}]), "end_turn").to_string(),
    error: |message| error_body("invalid_request_error", message).to_string(),
    open: || events(&[start(), begin(0, json!({"type": "text", "text": ""}))]),
    text: |said| events(&[text(0, said)]),
    reasoning: |thought| events(&[thinking(9, thought)]),
    half_call: || {
        let block = json!({"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}});
        events(&[begin(1, block), input(1, "{\"x")])
    },
    finish: || events(&[end(0), stop("end_turn")]),
    done: || events(&[json!({"type": "message_stop"})]),
};

fn adapter(settings: AnthropicSettings) -> Anthropic {
    Anthropic::new(settings, Http::new(), LearnedQuirks::new())
}

fn error_body(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
}

/// Puts events on the wire, each with its name.
fn events(events: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        let name = event["type"].as_str().unwrap();
        out.extend(format!("event: {name}\ndata: {event}\n\n").into_bytes());
    }
    out
}

fn start() -> Value {
    json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    }})
}

fn begin(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn text(index: u64, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn thinking(index: u64, thinking: &str) -> Value {
    delta(
        index,
        json!({"type": "thinking_delta", "thinking": thinking}),
    )
}

fn signature(index: u64, signature: &str) -> Value {
    delta(
        index,
        json!({"type": "signature_delta", "signature": signature}),
    )
}

fn input(index: u64, json_text: &str) -> Value {
    delta(
        index,
        json!({"type": "input_json_delta", "partial_json": json_text}),
    )
}

fn end(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn stop(reason: &str) -> Value {
    json!({
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 2},
    })
}

/// A whole stream of these blocks, each with its pieces, ended for this reason.
fn stream(blocks: &[(Value, Vec<Value>)], reason: &str) -> Vec<Step> {
    let mut all = vec![start()];
    for (index, (block, pieces)) in (0..).zip(blocks) {
        all.push(begin(index, block.clone()));
        all.extend(pieces.iter().map(|piece| {
            let mut piece = piece.clone();
            piece["index"] = json!(index);
            piece
        }));
        all.push(end(index));
    }
    all.extend([stop(reason), json!({"type": "message_stop"})]);
    chunked(&events(&all), 4096)
}

fn plain(content: &Value, reason: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": content,
        "stop_reason": reason, "stop_sequence": null,
        "usage": {"input_tokens": 7, "output_tokens": 2},
    })
}

fn text_block(said: &str) -> (Value, Vec<Value>) {
    (json!({"type": "text", "text": ""}), vec![text(0, said)])
}

fn thinking_block(thought: &str, sign: &str) -> (Value, Vec<Value>) {
    let block = json!({"type": "thinking", "thinking": "", "signature": ""});
    (block, vec![thinking(0, thought), signature(0, sign)])
}

fn call_block(id: &str, name: &str, json_text: &str) -> (Value, Vec<Value>) {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let middle = json_text.len() / 2;
    let pieces = [&json_text[..middle], &json_text[middle..]];
    (block, pieces.map(|piece| input(0, piece)).into())
}

/// The native content of a reply.
fn content(reply: &Reply) -> Option<Value> {
    let native = reply.message.native.as_ref()?;
    assert_eq!(
        (native.provider.as_str(), native.model.as_str()),
        ("scripted", "m-1")
    );
    let data: Value = serde_json::from_str(&native.data).unwrap();
    Some(data["content"].clone())
}
