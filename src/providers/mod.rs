//! Model services: the `Provider` trait and one file per API.
//!
//! Shared by all APIs: `http` (the client), `service` (one configured service and a call's way to it), `read`, `sse`,
//! `leaf` (reading answers), `history` (what replayed messages look like), `reasoning` (what people may read of it), `fault` (what error answers mean), `room` (how
//! long answers may be), `retry`,
//! `breaker`, `quirks` (how services differ, known and learned) and `feed` (what is passed on, and reminders). `openai`
//! and `anthropic` are adapters.
//!
//! Runs on the turn that asks; blocking HTTP, stopped through the turn's `CancelToken`. Holds no history and makes no
//! decision about a dialog: what is sent was made legal before (`agent`).

mod anthropic;
mod breaker;
mod demo;
mod error;
mod estimate;
mod fault;
mod feed;
mod history;
mod leaf;
mod openai;
mod quirks;
mod read;
mod reasoning;
mod retry;
mod room;
mod schema;
mod service;
mod sse;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use crate::chat::{Message, StopReason, Usage};
use crate::threads::CancelToken;

pub use anthropic::{Anthropic, AnthropicSettings};
pub use demo::Demo;
pub use error::{FailureClass, ProviderError};
pub use estimate::{
    Calibration, Sample, estimate_image, estimate_message, estimate_request, estimate_text,
    estimate_tools,
};
pub use feed::Pace;
pub use history::is_object;
pub use openai::{OpenAi, OpenAiSettings};
pub use quirks::LearnedQuirks;
pub use reasoning::reasoning_of;
pub use schema::{Cleaned, Loss, ToolNames, clean_description, clean_schema};
pub use service::ServiceSettings;

/// Rules of a wire format that history must obey before it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Chat completions and everything compatible.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
}

/// A tool as the model sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct ToolSpec {
    /// Name, `^[a-zA-Z][a-zA-Z0-9_-]{0,63}$`.
    pub name: String,
    /// One or two sentences.
    pub description: String,
    /// Cleaned JSON Schema of the arguments; an object.
    pub parameters: serde_json::Value,
}

/// One model with its settings.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelSpec {
    /// The id the service knows.
    pub model_id: String,
    /// Sampling temperature, only if configured.
    pub temperature: Option<f64>,
    /// Limit of generated tokens, only if configured.
    pub max_tokens: Option<u32>,
    /// Whether images may be sent.
    pub images: bool,
}

/// One model call.
pub struct Request<'a> {
    /// The model.
    pub model: &'a ModelSpec,
    /// The system prompt.
    pub system: &'a str,
    /// The tools, in a fixed order; empty for none.
    pub tools: &'a [ToolSpec],
    /// A legal history that ends with a user or tool message.
    pub messages: &'a [Message],
}

/// What arrives while a call runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delta<'a> {
    /// A piece of the answer.
    Text(&'a str),
    /// A piece of reasoning; never shown as the answer.
    Reasoning(&'a str),
    /// A sentence for the person, such as "Waiting 8 s: the service is busy."
    Notice(&'a str),
}

/// A finished call.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// The assistant message: text, calls, native form. May be empty.
    pub message: Message,
    /// Why the model stopped.
    pub stop: StopReason,
    /// Token counts as reported.
    pub usage: Usage,
    /// From sending the request to the first piece of answer.
    pub first_token: Option<Duration>,
    /// HTTP requests made, 1 for a call that worked at once.
    pub attempts: u32,
}

/// A model service.
pub trait Provider: Send + Sync {
    /// Returns the configured name.
    fn name(&self) -> &str;

    /// Returns the rules a history must obey.
    fn dialect(&self) -> Dialect;

    /// Runs one model call on this thread, passing pieces on as they come.
    ///
    /// Retries what may be retried as long as no text was passed on; reasoning may then come again. Cancelling ends it within milliseconds with
    /// [`ProviderError::Cancelled`]. If a stream breaks after text was passed on, the reply holds that text with
    /// [`StopReason::Truncated`] and without half-built calls.
    fn stream(
        &self,
        request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        cancel: &CancelToken,
    ) -> Result<Reply, ProviderError>;
}

#[cfg(test)]
mod tests;
