//! What the scripted model answers: the pieces of one answer and how they are put on the wire.
//!
//! Pure data and JSON shapes of chat completions; `model.rs` writes them to a socket.

use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(super) content: Content,
    pub(super) pause: Option<Duration>,
    pub(super) gate: Option<(usize, Gate)>,
    pub(super) cut: Option<usize>,
}

/// What an answer holds.
#[derive(Clone)]
pub(super) enum Content {
    /// A completion.
    Completion {
        pieces: Vec<String>,
        calls: Vec<Call>,
        finish: &'static str,
    },
    /// An HTTP answer of any status.
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Bytes instead of an HTTP answer; the connection is closed behind them.
    Raw(Vec<u8>),
}

/// A tool call of a scripted answer.
#[derive(Clone)]
pub(crate) struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Call {
    /// Makes a call with arguments that are JSON.
    pub(crate) fn new(id: &str, name: &str, arguments: Value) -> Self {
        Self::with_text(id, name, &arguments.to_string())
    }

    /// Makes a call with any text as arguments.
    pub(crate) fn with_text(id: &str, name: &str, arguments: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }
}

impl Answer {
    fn of(content: Content) -> Self {
        Self {
            content,
            pause: None,
            gate: None,
            cut: None,
        }
    }

    /// Answers with a text, streamed word by word.
    pub(crate) fn text(text: &str) -> Self {
        let pieces = text.split_inclusive(' ').map(str::to_owned).collect();
        Self::of(Content::Completion {
            pieces,
            calls: Vec::new(),
            finish: "stop",
        })
    }

    /// Asks for tools.
    pub(crate) fn calls(calls: impl IntoIterator<Item = Call>) -> Self {
        Self::of(Content::Completion {
            pieces: Vec::new(),
            calls: calls.into_iter().collect(),
            finish: "tool_calls",
        })
    }

    /// Refuses with a status and an error in the usual form.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let error = json!({"error": {"message": message, "type": "scripted", "code": null}});
        Self::of(Content::Http {
            status,
            headers: Vec::new(),
            body: error.to_string(),
        })
    }

    /// Answers with bytes of any kind and closes.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self::of(Content::Raw(bytes.to_vec()))
    }

    /// Adds a header to an error.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Content::Http { headers, .. } = &mut self.content {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Says something before the calls.
    pub(crate) fn saying(mut self, text: &str) -> Self {
        if let Content::Completion { pieces, .. } = &mut self.content {
            pieces.push(text.to_owned());
        }
        self
    }

    /// Ends with this reason instead of the usual one.
    pub(crate) fn finish(mut self, reason: &'static str) -> Self {
        if let Content::Completion { finish, .. } = &mut self.content {
            *finish = reason;
        }
        self
    }

    /// Waits so long before the first byte.
    pub(crate) fn slow(mut self, pause: Duration) -> Self {
        self.pause = Some(pause);
        self
    }

    /// Stops at a gate before the first byte.
    pub(crate) fn held(self, gate: &Gate) -> Self {
        self.held_after(0, gate)
    }

    /// Stops at a gate after so many pieces of the stream; the first piece carries only the role.
    pub(crate) fn held_after(mut self, pieces: usize, gate: &Gate) -> Self {
        self.gate = Some((pieces, gate.clone()));
        self
    }

    /// Breaks the connection after so many bytes of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

/// Who answers, for the envelope of a completion.
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) model: Value,
    pub(super) prompt_tokens: usize,
}

impl Envelope {
    fn usage(&self, pieces: &[String], calls: &[Call]) -> Value {
        let said: usize = pieces.iter().map(|piece| piece.len().div_ceil(4)).sum();
        let asked: usize = calls
            .iter()
            .map(|call| call.arguments.len().div_ceil(4))
            .sum();
        let completion = said + asked;
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        })
    }

    /// Returns the events of a streamed completion, without `data:`.
    pub(super) fn events(
        &self,
        pieces: &[String],
        calls: &[Call],
        finish: &str,
        with_usage: bool,
    ) -> Vec<Value> {
        let chunk = |delta: Value, finish: Value| {
            self.chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
        };
        let mut events = vec![chunk(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )];
        for piece in pieces {
            events.push(chunk(json!({"content": piece}), Value::Null));
        }
        for (index, call) in calls.iter().enumerate() {
            for delta in call_deltas(index, call) {
                events.push(chunk(json!({"tool_calls": [delta]}), Value::Null));
            }
        }
        events.push(chunk(json!({}), json!(finish)));
        if with_usage {
            let mut last = self.chunk(json!([]));
            last["usage"] = self.usage(pieces, calls);
            events.push(last);
        }
        events
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": 1_767_225_600,
            "model": self.model,
            "choices": choices,
        })
    }

    /// Returns a completion in one piece.
    pub(super) fn whole(&self, pieces: &[String], calls: &[Call], finish: &str) -> Value {
        let text = pieces.concat();
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            let all = calls.iter().map(|call| {
                json!({
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                })
            });
            message["tool_calls"] = all.collect();
            if text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": 1_767_225_600,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": self.usage(pieces, calls),
        })
    }
}

/// A call as services stream it: id and name first, then the arguments in pieces.
fn call_deltas(index: usize, call: &Call) -> Vec<Value> {
    let mut deltas = vec![json!({
        "index": index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    })];
    let letters: Vec<char> = call.arguments.chars().collect();
    for piece in letters.chunks(letters.len().div_ceil(2).max(1)) {
        let piece: String = piece.iter().collect();
        deltas.push(json!({"index": index, "function": {"arguments": piece}}));
    }
    deltas
}
