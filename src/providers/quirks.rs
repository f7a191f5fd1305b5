//! How services and models differ from the plain wire format: one table, and what their refusals teach at run time.
//!
//! Lessons are kept per base URL and model for the life of the process, behind one private mutex. The table is data; the
//! adapters only ask for [`Quirks`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::Fault;
use super::room;

/// Pairs of base URL and model come from the configuration; more than this means something is odd.
const MAX_LEARNED: usize = 1024;

/// The name of the field that limits generated tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenField {
    MaxTokens,
    MaxCompletionTokens,
}

/// Whether reasoning that a model sent goes back to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Echo {
    /// Never: an extra field is an error.
    Never,
    /// On messages with tool calls, as received.
    WithCalls,
    /// As `WithCalls`, and an empty `reasoning_content` where none was received: the service insists on the field.
    Required,
}

/// What to do differently for one model of one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Quirks {
    pub(crate) token_field: TokenField,
    /// The most the token field may say.
    pub(crate) token_cap: Option<u32>,
    /// Whether the token field is sent where the format allows to leave it out.
    pub(crate) token_limit: bool,
    /// What the token field says if nothing is configured and the format demands it. Reasoning counts into it.
    pub(crate) output_tokens: u32,
    /// Whether the ends of what stays the same may be marked for the service's cache.
    pub(crate) cache_marks: bool,
    /// Whether a configured temperature is sent.
    pub(crate) temperature: bool,
    /// Whether `reasoning_effort: "none"` goes with tools.
    pub(crate) effort_none: bool,
    /// Whether usage may be asked for in a stream.
    pub(crate) stream_options: bool,
    /// Forces streaming on or off.
    pub(crate) stream: Option<bool>,
    pub(crate) echo: Echo,
    /// The model's text starts inside a thinking block whose opening tag is not sent.
    pub(crate) open_think: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            token_field: TokenField::MaxTokens,
            token_cap: None,
            token_limit: true,
            output_tokens: 8_192,
            cache_marks: true,
            temperature: true,
            effort_none: false,
            stream_options: true,
            stream: None,
            echo: Echo::WithCalls,
            open_think: false,
        }
    }
}

/// One difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    TokenField(TokenField),
    TokenCap(u32),
    NoTokenLimit,
    OutputTokens(u32),
    NoCacheMarks,
    NoTemperature,
    EffortNone(bool),
    NoStreamOptions,
    Stream(bool),
    Echo(Echo),
    OpenThink,
}

impl Quirks {
    fn apply(&mut self, change: Change) {
        match change {
            Change::TokenField(field) => self.token_field = field,
            Change::TokenCap(cap) => self.token_cap = Some(cap),
            Change::NoTokenLimit => self.token_limit = false,
            Change::OutputTokens(count) => self.output_tokens = count,
            Change::NoCacheMarks => self.cache_marks = false,
            Change::NoTemperature => self.temperature = false,
            Change::EffortNone(on) => self.effort_none = on,
            Change::NoStreamOptions => self.stream_options = false,
            Change::Stream(on) => self.stream = Some(on),
            Change::Echo(echo) => self.echo = echo,
            Change::OpenThink => self.open_think = true,
        }
    }
}

/// A row of the table: applies if the base URL contains `base` and the model id starts with one of `models`.
struct Row {
    base: &'static str,
    /// Empty for every model.
    models: &'static [&'static str],
    changes: &'static [Change],
}

const COMPLETION_TOKENS: Change = Change::TokenField(TokenField::MaxCompletionTokens);

/// Known differences, from the vendors' public documentation. Later rows win.
const TABLE: &[Row] = &[
    Row {
        base: "api.openai.com",
        models: &[],
        changes: &[Change::Echo(Echo::Never)],
    },
    Row {
        base: "api.openai.com",
        models: &["o1", "o3", "o4", "gpt-5", "gpt-6"],
        changes: &[COMPLETION_TOKENS, Change::NoTemperature],
    },
    Row {
        base: "api.openai.com",
        models: &["gpt-5.6", "gpt-5.7", "gpt-5.8", "gpt-5.9", "gpt-6"],
        changes: &[Change::EffortNone(true)],
    },
    Row {
        base: "openai.azure.com",
        models: &[],
        changes: &[Change::Echo(Echo::Never)],
    },
    Row {
        base: "api.deepseek.com",
        models: &["deepseek-v3.2", "deepseek-v4"],
        changes: &[Change::Echo(Echo::Required)],
    },
    Row {
        base: "api.moonshot.",
        models: &[],
        changes: &[COMPLETION_TOKENS],
    },
    Row {
        base: "api.moonshot.",
        models: &["kimi-k2-thinking", "kimi-k2.5", "kimi-k2.6", "kimi-k3"],
        changes: &[Change::NoTemperature, Change::Echo(Echo::Required)],
    },
    Row {
        base: "",
        models: &["claude-opus-4", "claude-sonnet-4", "claude-haiku-4"],
        changes: &[Change::OutputTokens(16_384)],
    },
    Row {
        base: "",
        models: CLAUDE_5,
        changes: &[Change::OutputTokens(32_000)],
    },
    // Only these addresses: resellers of the same models may take what the vendor refuses.
    Row {
        base: "api.anthropic.com",
        models: &["claude-opus-4-7", "claude-opus-4-8"],
        changes: &[Change::NoTemperature],
    },
    Row {
        base: "api.anthropic.com",
        models: CLAUDE_5,
        changes: &[Change::NoTemperature],
    },
];

/// They think unasked.
const CLAUDE_5: &[&str] = &[
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5",
    "claude-fable-5",
    "claude-mythos-5",
];

fn from_table(base_url: &str, model: &str) -> Quirks {
    let mut quirks = Quirks::default();
    for row in TABLE {
        let model_fits =
            row.models.is_empty() || row.models.iter().any(|prefix| model.starts_with(prefix));
        if model_fits && base_url.contains(row.base) {
            row.changes.iter().for_each(|change| quirks.apply(*change));
        }
    }
    quirks
}

/// A refusal that teaches: all of `texts` occur in it, and one of `any` if there are some.
struct Lesson {
    texts: &'static [&'static str],
    any: &'static [&'static str],
    change: Change,
}

/// Words of a service that does not know a field.
const UNKNOWN: &[&str] = &[
    "unknown",
    "unsupported",
    "not supported",
    "does not support",
    "unrecognized",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra",
    "invalid",
    "deprecated",
];

/// Words of a service that knows a field but not such a value.
const REFUSED: &[&str] = &[
    "invalid",
    "unsupported",
    "not supported",
    "does not support",
    "unknown",
    "unrecognized",
    "not permitted",
    "not allowed",
    "too large",
    "非法",
    "不合法",
    "无效",
];

/// What refusals teach. The first row that changes anything wins, so the more exact ones come first.
const LESSONS: &[Lesson] = &[
    Lesson {
        texts: &["reasoning_effort", "function tools"],
        any: &[],
        change: Change::EffortNone(true),
    },
    Lesson {
        texts: &["reasoning_effort"],
        any: UNKNOWN,
        change: Change::EffortNone(false),
    },
    Lesson {
        texts: &["'max_tokens'", "max_completion_tokens"],
        any: &["use", "instead"],
        change: COMPLETION_TOKENS,
    },
    Lesson {
        texts: &["max_completion_tokens"],
        any: UNKNOWN,
        change: Change::TokenField(TokenField::MaxTokens),
    },
    Lesson {
        texts: &["reasoning_content"],
        any: &["must be passed back", "missing", "required"],
        change: Change::Echo(Echo::Required),
    },
    Lesson {
        texts: &["reasoning_content"],
        any: &[],
        change: Change::Echo(Echo::Never),
    },
    Lesson {
        texts: &["reasoning"],
        any: UNKNOWN,
        change: Change::Echo(Echo::Never),
    },
    Lesson {
        texts: &["cache_control"],
        any: UNKNOWN,
        change: Change::NoCacheMarks,
    },
    Lesson {
        texts: &["temperature"],
        any: &[],
        change: Change::NoTemperature,
    },
    Lesson {
        texts: &["stream_options"],
        any: &[],
        change: Change::NoStreamOptions,
    },
    Lesson {
        texts: &["stream"],
        any: &[
            "only support stream mode",
            "enable the stream",
            "requires stream",
            "must be streamed",
        ],
        change: Change::Stream(true),
    },
    Lesson {
        texts: &["stream"],
        any: &["not supported", "does not support", "unsupported"],
        change: Change::Stream(false),
    },
];

/// What a refusal teaches about a model with these quirks, if it teaches anything new.
fn lesson(fault: &Fault, quirks: &Quirks) -> Option<Change> {
    if !matches!(fault.status, 400 | 422) {
        return None;
    }
    let teaches = |change: Change| {
        let mut changed = quirks.clone();
        changed.apply(change);
        changed != *quirks
    };
    if let Some(cap) = room::cap_in(fault) {
        let lower = quirks.token_cap.is_none_or(|known| cap < known);
        return lower.then_some(Change::TokenCap(cap));
    }
    let says = |text: &str| fault.says(text) || fault.param.as_deref() == Some(text);
    let by_table = LESSONS
        .iter()
        .filter(|row| row.texts.iter().all(|text| says(text)))
        .filter(|row| row.any.is_empty() || row.any.iter().any(|text| says(text)))
        .map(|row| row.change)
        .find(|change| teaches(*change));
    // A limit that is refused without a word about a better one.
    let refused =
        || room::is_named(fault) && !fault.is_overflow() && REFUSED.iter().any(|text| says(text));
    by_table
        .or_else(|| (refused() && teaches(Change::NoTokenLimit)).then_some(Change::NoTokenLimit))
}

/// What was learned from services since the process started; clones share it.
#[derive(Clone, Default)]
pub struct LearnedQuirks {
    known: Arc<Mutex<HashMap<(String, String), Quirks>>>,
}

impl LearnedQuirks {
    /// Starts with nothing learned.
    pub fn new() -> Self {
        Self::default()
    }

    /// What holds for a model of a service now.
    pub(crate) fn of(&self, base_url: &str, model: &str) -> Quirks {
        let key = (base_url.to_owned(), model.to_owned());
        self.lock()
            .get(&key)
            .cloned()
            .unwrap_or_else(|| from_table(base_url, model))
    }

    /// Learns from a refusal of a request made with `used`; returns whether the next request will differ.
    pub(crate) fn learn(&self, base_url: &str, model: &str, used: &Quirks, fault: &Fault) -> bool {
        let Some(change) = lesson(fault, used) else {
            return false;
        };
        self.note(base_url, model, change);
        true
    }

    /// Remembers a difference.
    pub(crate) fn note(&self, base_url: &str, model: &str, change: Change) {
        let mut quirks = self.of(base_url, model);
        quirks.apply(change);
        let mut known = self.lock();
        let key = (base_url.to_owned(), model.to_owned());
        if known.len() < MAX_LEARNED || known.contains_key(&key) {
            known.insert(key, quirks);
            log::info!("learned about {model} at {base_url}: {change:?}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Quirks>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://127.0.0.1:1/v1";

    fn check(status: u16, message: &str, used: &Quirks, expected: Option<Change>) {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        let fault = Fault::from_body(status, body.as_bytes());
        assert_eq!(lesson(&fault, used), expected, "{message}");
    }

    #[test]
    fn table_rows_apply_by_base_and_model() {
        let openai = "https://api.openai.com/v1";
        assert_eq!(from_table(BASE, "gpt-6"), Quirks::default());
        let old = from_table(openai, "gpt-4o");
        assert_eq!(old.token_field, TokenField::MaxTokens);
        assert_eq!(old.echo, Echo::Never);
        assert!(old.temperature);
        let middle = from_table(openai, "gpt-5.4-mini");
        assert_eq!(middle.token_field, TokenField::MaxCompletionTokens);
        assert!(!middle.temperature && !middle.effort_none);
        assert!(from_table(openai, "gpt-5.6").effort_none);
        assert!(from_table(openai, "gpt-6-mini").effort_none);
        let kimi = from_table("https://api.moonshot.cn/v1", "kimi-k3");
        assert_eq!(kimi.echo, Echo::Required);
        assert!(!kimi.temperature);
        let anthropic = "https://api.anthropic.com";
        let opus = from_table(anthropic, "claude-opus-5-5");
        assert!(!opus.temperature && opus.output_tokens == 32_000);
        let sonnet = from_table(anthropic, "claude-sonnet-4-5");
        assert!(sonnet.temperature && sonnet.output_tokens == 16_384);
        assert!(!from_table(anthropic, "claude-opus-4-7").temperature);
        assert_eq!(from_table(BASE, "glm-5").output_tokens, 8_192);
        let deepseek = from_table("https://api.deepseek.com", "deepseek-v4-pro");
        assert_eq!(deepseek.echo, Echo::Required);
    }

    #[test]
    fn refusals_teach() {
        let plain = Quirks::default();
        let with = |change| {
            let mut quirks = plain.clone();
            quirks.apply(change);
            quirks
        };
        let completion = with(COMPLETION_TOKENS);
        let rows: &[(&str, &Quirks, Option<Change>)] = &[
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                &plain,
                Some(COMPLETION_TOKENS),
            ),
            (
                "Unknown field max_completion_tokens",
                &completion,
                Some(Change::TokenField(TokenField::MaxTokens)),
            ),
            (
                "Range of max_tokens should be [1, 8192]",
                &plain,
                Some(Change::TokenCap(8192)),
            ),
            (
                "max_tokens is too large: 200000. This model supports at most 16384 completion tokens",
                &plain,
                Some(Change::TokenCap(16384)),
            ),
            (
                "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x-1",
                &plain,
                Some(Change::TokenCap(64000)),
            ),
            (
                "messages.0.content.0.text.cache_control: Extra inputs are not permitted",
                &plain,
                Some(Change::NoCacheMarks),
            ),
            (
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
                &plain,
                Some(Change::NoTemperature),
            ),
            (
                "`temperature` is deprecated for this model",
                &plain,
                Some(Change::NoTemperature),
            ),
            (
                "Function tools with reasoning_effort are not supported",
                &plain,
                Some(Change::EffortNone(true)),
            ),
            (
                "Unknown parameter: reasoning_effort",
                &with(Change::EffortNone(true)),
                Some(Change::EffortNone(false)),
            ),
            (
                "Unrecognized request argument supplied: stream_options",
                &plain,
                Some(Change::NoStreamOptions),
            ),
            (
                "This model only support stream mode, please enable the stream parameter",
                &plain,
                Some(Change::Stream(true)),
            ),
            (
                "streaming is not supported by this model",
                &plain,
                Some(Change::Stream(false)),
            ),
            (
                "The reasoning_content in the thinking mode must be passed back",
                &plain,
                Some(Change::Echo(Echo::Required)),
            ),
            (
                "thinking is enabled but reasoning_content is missing",
                &plain,
                Some(Change::Echo(Echo::Required)),
            ),
            (
                "The reasoning_content field is not accepted in messages",
                &plain,
                Some(Change::Echo(Echo::Never)),
            ),
            (
                "max_tokens参数非法。请检查文档。",
                &plain,
                Some(Change::NoTokenLimit),
            ),
            (
                "Unsupported parameter: max_tokens",
                &plain,
                Some(Change::NoTokenLimit),
            ),
            (
                "max_tokens参数非法。请检查文档。",
                &with(Change::NoTokenLimit),
                None,
            ),
            ("messages must not be empty", &plain, None),
            ("tools.0.name is invalid", &plain, None),
        ];
        for (message, used, expected) in rows {
            check(400, message, used, *expected);
            check(500, message, used, None);
        }
    }

    #[test]
    fn the_named_parameter_is_enough() {
        let body = br#"{"error":{"message":"no good","param":"temperature"}}"#;
        let fault = Fault::from_body(400, body);
        assert_eq!(
            lesson(&fault, &Quirks::default()),
            Some(Change::NoTemperature)
        );
    }

    #[test]
    fn a_lesson_is_learned_once_and_only_for_its_model() {
        let learned = LearnedQuirks::new();
        let fault = Fault::from_body(400, b"temperature is not supported");
        let used = learned.of(BASE, "a");
        assert!(learned.learn(BASE, "a", &used, &fault));
        let now = learned.of(BASE, "a");
        assert!(!now.temperature);
        assert!(!learned.learn(BASE, "a", &now, &fault));
        assert!(learned.of(BASE, "b").temperature);
        assert!(learned.clone().of(BASE, "a") == now);
    }
}
