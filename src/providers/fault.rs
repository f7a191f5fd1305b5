//! What an error answer means: bodies of every known shape, and the tables that turn them into a class.
//!
//! Pure; runs on the turn that asks. The same tables serve every wire format. Classes of failures below HTTP are made in
//! `retry`; changes of the request that an error teaches are in `quirks`.

use std::time::Duration;

use serde_json::Value;

use super::ProviderError;
use super::retry::{Again, Failure};
use crate::config::Secret;
use crate::net::Answer;

/// Enough of an error body to understand it.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest detail that is reported.
const MAX_DETAIL_CHARS: usize = 300;

/// What an error is about, apart from its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Overflow,
    Image,
    Filter,
    Quota,
    Rate,
    Overloaded,
    Auth,
    NotFound,
    Bad,
}

/// Codes and types that services send; compared without case, against the whole field.
const CODES: &[(&str, Class)] = &[
    // OpenAI, and those who copy it.
    ("context_length_exceeded", Class::Overflow),
    ("insufficient_quota", Class::Quota),
    ("billing_hard_limit_reached", Class::Quota),
    ("rate_limit_exceeded", Class::Rate),
    ("invalid_api_key", Class::Auth),
    ("model_not_found", Class::NotFound),
    ("invalid_request_error", Class::Bad),
    // Anthropic.
    ("authentication_error", Class::Auth),
    ("permission_error", Class::Auth),
    ("billing_error", Class::Quota),
    ("not_found_error", Class::NotFound),
    ("rate_limit_error", Class::Rate),
    ("overloaded_error", Class::Overloaded),
    ("request_too_large", Class::Overflow),
    // Moonshot.
    ("exceeded_current_quota_error", Class::Quota),
    ("rate_limit_reached_error", Class::Rate),
    ("engine_overloaded_error", Class::Overloaded),
    // Zhipu: numbers as text.
    ("1113", Class::Quota),
    ("1261", Class::Overflow),
    ("1302", Class::Rate),
    ("1305", Class::Overloaded),
    ("1308", Class::Quota),
    ("1309", Class::Quota),
    ("1310", Class::Quota),
    ("1312", Class::Overloaded),
    // DashScope and Volcengine.
    ("arrearage", Class::Quota),
    ("accountoverdueerror", Class::Quota),
    ("data_inspection_failed", Class::Filter),
    ("datainspectionfailed", Class::Filter),
    ("sensitivecontentdetected", Class::Filter),
    ("inputtextsensitivecontentdetected", Class::Filter),
    // Azure and Zhipu.
    ("content_filter", Class::Filter),
    ("responsibleaipolicyviolation", Class::Filter),
    ("1301", Class::Filter),
    // llama.cpp.
    ("exceed_context_size_error", Class::Overflow),
];

/// Lower-case texts, all parts of an entry present: the prompt does not fit. Only with statuses that can mean it.
const OVERFLOW: &[&[&str]] = &[
    &["context_length_exceeded"],
    &["context_window_exceeded"],
    &["maximum context length"],
    &["context window"],
    &["prompt is too long"],
    &["exceed context limit"],
    &["range of input length should be"],
    &["exceeded model token limit"],
    &["prompt 超长"],
    &["exceed max message tokens"],
    &["input length", "exceeds"],
    &["exceeds the available context size"],
    &["exceed_context_size_error"],
    &["longer than the maximum model length"],
    &["reduce the length of the"],
    &["exceeded max context length"],
    &["maximum prompt length is"],
    &["input token count"],
    &["tokens too long"],
    &["input is too long"],
    &["too many tokens"],
    &["request too large for model"],
    &["max length exceeded"],
];

/// The same: an image is not taken, or none is. Only with statuses that can mean it.
const IMAGE: &[&[&str]] = &[
    &["image exceeds"],
    &["image dimensions exceed"],
    &["could not process image"],
    &["unable to process", "image"],
    &["invalid image"],
    &["invalid_image"],
    &["image_parse_error"],
    &["unsupported image"],
    &["valid image"],
    &["image does not match"],
    &["image cannot be empty"],
    &["image format is illegal"],
    &["image length and width"],
    &["image_url is only supported"],
    &["unknown variant", "image_url"],
    &["invalid content type", "image_url"],
    &["not support image"],
    &["not supported", "image input"],
    &["not enabled", "image input"],
    &["support image input"],
    &["required for image input"],
    &["not a multimodal model"],
    &["image(s) may be provided"],
    &["图片", "错误"],
    &["图片", "不支持"],
];

/// The same: a content filter minds something in the request.
const FILTER: &[&[&str]] = &[
    &["data_inspection_failed"],
    &["inappropriate content"],
    &["content management policy"],
    &["content filter"],
    &["sensitive content"],
    &["敏感", "内容"],
    &["不安全", "内容"],
];

/// Texts that rule an overflow out.
const NOT_OVERFLOW: &[&str] = &["rate limit", "too many requests"];

/// Texts of an account that has nothing left; waiting does not help.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "exceeded your current quota",
    "exceeded_current_quota_error",
    "billing_hard_limit",
    "credit balance is too low",
    "insufficient balance",
    "arrearage",
];

/// Texts of a service that is too busy, whatever the status.
const OVERLOADED: &[&str] = &["overloaded_error", "engine_overloaded", "is overloaded"];

/// An error answer, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The HTTP status, or 0 for an error that came inside a good answer.
    pub(crate) status: u16,
    /// The parameter the service complains about.
    pub(crate) param: Option<String>,
    message: String,
    codes: Vec<String>,
    /// Everything above in lower case, for searching.
    text: String,
}

/// What the headers say about asking again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Hints {
    /// The pause the service wants.
    pub(crate) after: Option<Duration>,
    /// The service's own word, which goes before every table.
    pub(crate) again: Option<bool>,
}

impl Hints {
    /// Reads `retry-after-ms`, `retry-after` (seconds or a date) and `x-should-retry`.
    pub(crate) fn of(answer: &Answer) -> Self {
        let millis = answer
            .header("retry-after-ms")
            .and_then(|text| text.trim().parse::<f64>().ok())
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        Self {
            after: millis.or_else(|| answer.header("retry-after").and_then(parse_pause)),
            again: match answer.header("x-should-retry") {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
        }
    }
}

/// Reads seconds, whole or decimal, or an HTTP date; a date that has passed is no pause.
fn parse_pause(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = at.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

impl Fault {
    /// Takes an error body apart; any bytes will do.
    pub(crate) fn from_body(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => Self::from_json(status, &value),
            Err(_) => Self::new(status, plain_words(&text), Vec::new(), None),
        }
    }

    /// Takes an error object apart that came inside a good answer.
    pub(crate) fn inside_answer(value: &Value) -> Self {
        let fault = Self::from_json(0, value);
        let status = fault
            .codes
            .iter()
            .find_map(|code| code.parse().ok().filter(|code| (400..600).contains(code)));
        Self {
            status: status.unwrap_or(0),
            ..fault
        }
    }

    fn from_json(status: u16, value: &Value) -> Self {
        // Gemini wraps its error object in a list.
        let value = value.get(0).unwrap_or(value);
        let error = match value.get("error") {
            Some(error) if !error.is_null() => error,
            _ => value,
        };
        let words = |key: &str| error.get(key).map(json_words).unwrap_or_default();
        let mut message = match error {
            Value::String(text) => text.clone(),
            _ => ["message", "detail", "msg"]
                .iter()
                .map(|key| words(key))
                .find(|text| !text.is_empty())
                .unwrap_or_else(|| json_words(error)),
        };
        if let Some(raw) = error.pointer("/metadata/raw") {
            message = format!("{message}: {}", json_words(raw));
        }
        let codes = ["code", "type", "status"]
            .iter()
            .map(|key| words(key))
            .filter(|code| !code.is_empty())
            .collect();
        let param = Some(words("param")).filter(|param| !param.is_empty());
        Self::new(status, message, codes, param)
    }

    fn new(status: u16, message: String, codes: Vec<String>, param: Option<String>) -> Self {
        let text = format!("{message} {}", codes.join(" ")).to_lowercase();
        Self {
            status,
            param,
            message,
            codes,
            text,
        }
    }

    /// Whether the error's words contain a lower-case text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Whether the prompt is too long, or is together with what was left for the answer.
    pub(crate) fn is_overflow(&self) -> bool {
        self.class() == Class::Overflow
    }

    /// The error's words in lower case.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn class_by_words(&self) -> Option<Class> {
        let says_one_of = |table: &[&[&str]]| {
            table
                .iter()
                .any(|row| row.iter().all(|part| self.says(part)))
        };
        let image_possible = matches!(self.status, 0 | 400 | 404 | 413 | 415 | 422 | 500 | 501);
        if image_possible && says_one_of(IMAGE) {
            return Some(Class::Image);
        }
        let overflow_possible = matches!(self.status, 0 | 400 | 413 | 422 | 500)
            && !NOT_OVERFLOW.iter().any(|text| self.says(text));
        if overflow_possible && says_one_of(OVERFLOW) {
            return Some(Class::Overflow);
        }
        if matches!(self.status, 0 | 400 | 422) && says_one_of(FILTER) {
            return Some(Class::Filter);
        }
        if QUOTA.iter().any(|text| self.says(text)) {
            return Some(Class::Quota);
        }
        if OVERLOADED.iter().any(|text| self.says(text)) {
            return Some(Class::Overloaded);
        }
        None
    }

    fn class_by_code(&self) -> Option<Class> {
        self.codes.iter().find_map(|code| {
            CODES
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(code))
                .map(|(_, class)| *class)
        })
    }

    fn class_by_status(&self) -> Option<Class> {
        Some(match self.status {
            401..=403 => Class::Auth,
            404 => Class::NotFound,
            413 => Class::Overflow,
            429 => Class::Rate,
            408 | 409 | 500 | 502..=504 | 506..=599 => Class::Overloaded,
            400..=499 | 501 | 505 => Class::Bad,
            _ => return None,
        })
    }

    fn class(&self) -> Class {
        let by_words = self.class_by_words();
        let by_code = || self.class_by_code();
        match self.status {
            // The status of these is less exact than what a body may say.
            0 | 400 | 403 | 413 | 422 | 429 | 500 => by_words
                .or_else(by_code)
                .filter(|class| self.fits_status(*class)),
            _ => by_words.filter(|class| matches!(class, Class::Quota | Class::Image)),
        }
        .or_else(|| self.class_by_status())
        .unwrap_or(Class::Overloaded)
    }

    /// A general type such as "invalid request" says less than a status other than 400.
    fn fits_status(&self, class: Class) -> bool {
        class != Class::Bad || matches!(self.status, 0 | 400 | 422)
    }

    /// Decides what the error means and whether to ask again.
    pub(crate) fn failure(&self, hints: Hints, secrets: &[&Secret]) -> Failure {
        let detail = self.detail(secrets);
        let (error, passing) = match self.class() {
            Class::Overflow => (ProviderError::ContextTooLong(detail), false),
            Class::Image => (ProviderError::ImageRefused(detail), false),
            Class::Filter => (ProviderError::Filtered(detail), false),
            Class::Quota | Class::Auth => (ProviderError::Auth(detail), false),
            Class::NotFound => (ProviderError::NotFound(detail), false),
            Class::Bad => (ProviderError::BadRequest(detail), false),
            Class::Overloaded => (ProviderError::Overloaded(detail), true),
            Class::Rate => {
                let retry_after = hints.after;
                (
                    ProviderError::RateLimited {
                        retry_after,
                        detail,
                    },
                    true,
                )
            }
        };
        let again = if hints.again.unwrap_or(passing) {
            Again::After(hints.after)
        } else {
            Again::Never
        };
        Failure { error, again }
    }

    /// The service's words for people and logs: without secrets, on one line, at most 300 characters.
    fn detail(&self, secrets: &[&Secret]) -> String {
        let words = printable(&self.message, secrets);
        match (self.status, words.is_empty()) {
            (0, _) => words,
            (status, true) => format!("HTTP {status}"),
            (status, false) => cut(&format!("HTTP {status}: {words}")),
        }
    }
}

/// Makes a service's words fit for people and logs: no secrets, one line, at most 300 characters.
pub(crate) fn printable(text: &str, secrets: &[&Secret]) -> String {
    cut(&redact(text, secrets))
}

/// Removes the given secrets and everything that looks like a key, and puts the text on one line.
fn redact(text: &str, secrets: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        // Replacing a very short value would only garble the text.
        if secret.expose().len() >= 4 {
            text = text.replace(secret.expose(), "***");
        }
    }
    let visible: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible
        .split_whitespace()
        .map(|word| if looks_like_key(word) { "***" } else { word })
        .collect();
    words.join(" ")
}

fn looks_like_key(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '\'', '(', '`']);
    word.len() >= 12 && (word.starts_with("sk-") || word.starts_with("eyJ"))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_DETAIL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn json_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Makes a body that is no JSON readable: pages are reduced to their title.
fn plain_words(text: &str) -> String {
    let text = text.trim();
    if !text.starts_with('<') {
        return text.to_owned();
    }
    // Lower-casing ASCII only keeps every byte in its place.
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let from = start + "<title>".len();
        let length = lower[from..].find("</title>")?;
        Some(text[from..from + length].trim())
    });
    match title {
        Some(title) if !title.is_empty() => format!("a web page: {title}"),
        _ => "a web page".to_owned(),
    }
}

#[cfg(test)]
mod tests;
