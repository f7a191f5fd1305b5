//! How the Messages API spells a scripted answer: whole, as events, and errors. Pure JSON shapes.

use serde_json::{Value, json};

use super::model::Received;
use super::script::{Call, Completion};

/// Returns a message in one piece.
pub(super) fn whole(completion: &Completion, received: &Received) -> Value {
    let mut message = envelope(received);
    let blocks = blocks(completion);
    message["content"] = blocks.iter().map(|block| block.whole.clone()).collect();
    message["stop_reason"] = json!(stop_reason(completion));
    message["usage"]["output_tokens"] = json!(completion.tokens());
    message
}

/// Returns the events of a streamed message.
pub(super) fn events(completion: &Completion, received: &Received) -> Vec<Value> {
    let mut events = vec![json!({"type": "message_start", "message": envelope(received)})];
    for (index, block) in blocks(completion).into_iter().enumerate() {
        events.push(json!({
            "type": "content_block_start", "index": index, "content_block": block.start,
        }));
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        for delta in block.deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(completion), "stop_sequence": null},
        "usage": {"output_tokens": completion.tokens()},
    }));
    events.push(json!({"type": "message_stop"}));
    events
}

/// Returns an error.
pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
}

/// The message as it begins.
fn envelope(received: &Received) -> Value {
    let prompt = received.http.body.len().div_ceil(4);
    json!({
        "id": format!("msg_{}", received.index),
        "type": "message",
        "role": "assistant",
        "model": received.body["model"],
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        // As if the cache had served half of the prompt.
        "usage": {
            "input_tokens": prompt - prompt / 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": prompt / 2,
            "output_tokens": 1,
        },
    })
}

fn stop_reason(completion: &Completion) -> &str {
    match completion.finish {
        "stop" => "end_turn",
        "tool_calls" => "tool_use",
        "length" => "max_tokens",
        other => other,
    }
}

/// A block in both forms.
struct Block {
    whole: Value,
    start: Value,
    deltas: Vec<Value>,
}

fn blocks(completion: &Completion) -> Vec<Block> {
    let mut blocks = Vec::new();
    for thought in &completion.thoughts {
        let thinking = |text: &str, signature: &str| json!({"type": "thinking", "thinking": text, "signature": signature});
        let mut deltas = Vec::new();
        if !thought.text.is_empty() {
            deltas.push(json!({"type": "thinking_delta", "thinking": thought.text}));
        }
        deltas.push(json!({"type": "signature_delta", "signature": thought.signature}));
        blocks.push(Block {
            whole: thinking(&thought.text, &thought.signature),
            start: thinking("", ""),
            deltas,
        });
    }
    if !completion.pieces.is_empty() {
        let pieces = completion.pieces.iter();
        blocks.push(Block {
            whole: json!({"type": "text", "text": completion.pieces.concat()}),
            start: json!({"type": "text", "text": ""}),
            deltas: pieces
                .map(|piece| json!({"type": "text_delta", "text": piece}))
                .collect(),
        });
    }
    blocks.extend(completion.calls.iter().map(call_block));
    blocks
}

/// A call: the input comes in pieces of JSON text, the first of them empty.
fn call_block(call: &Call) -> Block {
    let tool_use = |input: Value| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input});
    let letters: Vec<char> = call.arguments.chars().collect();
    let pieces = letters.chunks(letters.len().div_ceil(2).max(1));
    let texts = pieces.map(|piece| piece.iter().collect::<String>());
    Block {
        whole: tool_use(serde_json::from_str(&call.arguments).unwrap_or_default()),
        start: tool_use(json!({})),
        deltas: std::iter::once(String::new())
            .chain(texts)
            .map(|text| json!({"type": "input_json_delta", "partial_json": text}))
            .collect(),
    }
}
