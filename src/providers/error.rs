//! Why a model call failed: one variant per decision someone takes. Pure.

use std::time::Duration;

/// Why a model call failed. Details are the service's own words, redacted and cut to 300 characters.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProviderError {
    /// The turn was stopped.
    #[error("cancelled")]
    Cancelled,
    /// Key, permission, region or balance: 401, 402, 403, exhausted quota.
    #[error("refused by the service: {0}")]
    Auth(String),
    /// Too many requests, after the retries.
    #[error("rate limited: {detail}")]
    RateLimited {
        /// When the service wants to be asked again.
        retry_after: Option<Duration>,
        /// The service's words.
        detail: String,
    },
    /// The request is longer than the model's context.
    #[error("context too long: {0}")]
    ContextTooLong(String),
    /// The model takes no images, or not one of these.
    #[error("image refused: {0}")]
    ImageRefused(String),
    /// The service's content filter minds something in the request.
    #[error("refused by the service's content filter: {0}")]
    Filtered(String),
    /// 5xx or "overloaded", after the retries.
    #[error("the service is overloaded or failing: {0}")]
    Overloaded(String),
    /// 400 and its kin: asking again would not help.
    #[error("the service refused the request: {0}")]
    BadRequest(String),
    /// No such model or path.
    #[error("not found: {0}")]
    NotFound(String),
    /// Could not connect, or the connection broke before any answer.
    #[error("cannot reach the service: {0}")]
    Network(String),
    /// No answer within the limit.
    #[error("no answer within {}", seconds(.0))]
    Timeout(Duration),
    /// An answer that cannot be understood.
    #[error("the answer cannot be understood: {0}")]
    Undecodable(String),
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs())
}

/// The class of a failure as stored with the model call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureClass(pub &'static str);

impl ProviderError {
    /// Returns the class stored with the model call.
    pub fn class(&self) -> FailureClass {
        FailureClass(match self {
            Self::Cancelled => "cancelled",
            Self::Auth(_) => "auth",
            Self::RateLimited { .. } => "rate_limited",
            Self::ContextTooLong(_) => "context_too_long",
            Self::ImageRefused(_) => "image_refused",
            Self::Filtered(_) => "filtered",
            Self::Overloaded(_) => "overloaded",
            Self::BadRequest(_) => "bad_request",
            Self::NotFound(_) => "not_found",
            Self::Network(_) => "network",
            Self::Timeout(_) => "timeout",
            Self::Undecodable(_) => "undecodable",
        })
    }
}
