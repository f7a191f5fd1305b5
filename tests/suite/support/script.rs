//! What the scripted model answers, and how chat completions spell it; `messages.rs` has the other format.
//!
//! Pure data and JSON shapes; `model.rs` writes them to a socket.

use std::sync::Arc;
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
    pub(super) reshape: Option<Arc<Reshape>>,
    pub(super) endless: Option<Vec<u8>>,
}

/// Makes a whole HTTP response out of the body that would have been sent.
pub(super) type Reshape = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// What an answer holds.
#[derive(Clone)]
pub(super) enum Content {
    /// A completion.
    Completion(Completion),
    /// An error, in the form of whoever is asked.
    Error {
        status: u16,
        headers: Vec<(String, String)>,
        message: String,
    },
    /// Bytes instead of an HTTP answer; the connection is closed behind them.
    Raw(Vec<u8>),
}

/// A good answer.
#[derive(Clone, Default)]
pub(super) struct Completion {
    pub(super) thoughts: Vec<Thought>,
    pub(super) pieces: Vec<String>,
    pub(super) calls: Vec<Call>,
    /// The reason in the words of chat completions, or any other word.
    pub(super) finish: &'static str,
}

/// What the model thought before it spoke.
#[derive(Clone)]
pub(super) struct Thought {
    pub(super) text: String,
    pub(super) signature: String,
}

/// A tool call of a scripted answer.
#[derive(Clone)]
pub(crate) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
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
            reshape: None,
            endless: None,
        }
    }

    /// Answers with a text, streamed word by word.
    pub(crate) fn text(text: &str) -> Self {
        Self::of(Content::Completion(Completion {
            pieces: text.split_inclusive(' ').map(str::to_owned).collect(),
            finish: "stop",
            ..Completion::default()
        }))
    }

    /// Asks for tools.
    pub(crate) fn calls(calls: impl IntoIterator<Item = Call>) -> Self {
        Self::of(Content::Completion(Completion {
            calls: calls.into_iter().collect(),
            finish: "tool_calls",
            ..Completion::default()
        }))
    }

    /// Refuses with a status and an error in the usual form.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::of(Content::Error {
            status,
            headers: Vec::new(),
            message: message.to_owned(),
        })
    }

    /// Answers with bytes of any kind and closes.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self::of(Content::Raw(bytes.to_vec()))
    }

    /// Adds a header to an error.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Content::Error { headers, .. } = &mut self.content {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Says something before the calls.
    pub(crate) fn saying(mut self, text: &str) -> Self {
        if let Content::Completion(completion) = &mut self.content {
            completion.pieces.push(text.to_owned());
        }
        self
    }

    /// Thinks first; the text may be empty, the signature only some formats have.
    pub(crate) fn thinking(mut self, text: &str, signature: &str) -> Self {
        if let Content::Completion(completion) = &mut self.content {
            completion.thoughts.push(Thought {
                text: text.to_owned(),
                signature: signature.to_owned(),
            });
        }
        self
    }

    /// Ends with this reason instead of the usual one.
    pub(crate) fn finish(mut self, reason: &'static str) -> Self {
        if let Content::Completion(completion) = &mut self.content {
            completion.finish = reason;
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

    /// Sends what this makes of the body instead, head included, and closes.
    pub(crate) fn reshaped(
        mut self,
        make: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.reshape = Some(Arc::new(make));
        self
    }

    /// Sends the same bytes behind a raw or reshaped answer until the other side hangs up.
    pub(crate) fn endless(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.endless = Some(bytes.into());
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

impl Completion {
    /// What the answer is said to cost.
    pub(super) fn tokens(&self) -> usize {
        let pieces = self.pieces.iter().map(String::len);
        let arguments = self.calls.iter().map(|call| call.arguments.len());
        pieces.chain(arguments).map(|bytes| bytes.div_ceil(4)).sum()
    }

    fn reasoning(&self) -> String {
        self.thoughts
            .iter()
            .map(|thought| thought.text.as_str())
            .collect()
    }
}

impl Envelope {
    fn usage(&self, completion: &Completion) -> Value {
        let completion = completion.tokens();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        })
    }

    /// Returns the events of a streamed completion, without `data:`.
    pub(super) fn events(&self, completion: &Completion, with_usage: bool) -> Vec<Value> {
        let chunk = |delta: Value, finish: Value| {
            self.chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
        };
        let mut events = vec![chunk(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )];
        if !completion.thoughts.is_empty() {
            let reasoning = completion.reasoning();
            events.push(chunk(json!({"reasoning_content": reasoning}), Value::Null));
        }
        for piece in &completion.pieces {
            events.push(chunk(json!({"content": piece}), Value::Null));
        }
        for (index, call) in completion.calls.iter().enumerate() {
            for delta in call_deltas(index, call) {
                events.push(chunk(json!({"tool_calls": [delta]}), Value::Null));
            }
        }
        events.push(chunk(json!({}), json!(completion.finish)));
        if with_usage {
            let mut last = self.chunk(json!([]));
            last["usage"] = self.usage(completion);
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
    pub(super) fn whole(&self, completion: &Completion) -> Value {
        let text = completion.pieces.concat();
        let mut message = json!({"role": "assistant", "content": text});
        if !completion.thoughts.is_empty() {
            message["reasoning_content"] = json!(completion.reasoning());
        }
        if !completion.calls.is_empty() {
            let all = completion.calls.iter().map(|call| {
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
            "choices": [{"index": 0, "message": message, "finish_reason": completion.finish}],
            "usage": self.usage(completion),
        })
    }
}

/// Returns an error as chat completions spell it.
pub(super) fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "scripted", "code": null}})
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
