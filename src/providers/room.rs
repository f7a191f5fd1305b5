//! How long an answer may be: what refusals of the answer's token limit say, in every known vendor's words.
//!
//! Pure; runs on the turn that asks. A model's own limit ([`cap_in`]) is remembered by `quirks`; the room behind one prompt
//! ([`Room`]) matters to one call only. Prompts that are too long whatever is left for the answer are `fault`'s business.

use super::fault::Fault;

/// Less room for an answer than this is none: the prompt must become shorter.
const MIN_ROOM_TOKENS: u32 = 1024;

/// Lower-case names of the limit, in requests and in error texts.
const NAMES: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "maxtokens",
    "max_new_tokens",
    "max_output_tokens",
    "maxoutputtokens",
    "maximum tokens you requested",
];

/// What stands before a model's own limit.
const BEFORE_CAP: &[&str] = &[
    // DashScope, DeepSeek, Zhipu: "[1, 8192]".
    "[1,",
    "[0,",
    // OpenAI: "supports at most 16384 completion tokens".
    "at most ",
    // Volcengine and newer OpenAI: "expected a value <= 4096".
    "<= ",
    // Groq, and servers made with pydantic.
    "less than or equal to ",
    // Gateways: "must be between 0 and 4000".
    "between 0 and ",
    "between 1 and ",
    // Bedrock.
    "model limit of ",
    "cannot exceed ",
    "must not exceed ",
    "不能超过",
    "不能大于",
    "小于等于",
];

/// Whether a refusal is about the limit of the answer's tokens.
pub(crate) fn is_named(fault: &Fault) -> bool {
    let named = |name: &&str| fault.says(name) || fault.param.as_deref() == Some(name);
    NAMES.iter().any(named)
}

/// Reads a model's largest answer out of a refusal.
pub(crate) fn cap_in(fault: &Fault) -> Option<u32> {
    if !is_named(fault) {
        return None;
    }
    let text = fault.text();
    let after = |mark: &&str| number_at_start(text.split_once(*mark)?.1);
    // Anthropic: "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens".
    let compared = || {
        let (before, _) = text.split_once(", which is the maximum")?;
        number_at_start(before.rsplit_once('>')?.1)
    };
    let cap = BEFORE_CAP.iter().find_map(after).or_else(compared);
    cap.filter(|cap| *cap > 0)
}

/// How many tokens fit behind a call's prompt, as far as refusals told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Room(Option<u32>);

impl Room {
    #[cfg(test)]
    pub(crate) fn of(room: Option<u32>) -> Self {
        Self(room)
    }

    /// Learns from a refusal of a request that left `asked` tokens for the answer; returns whether the next one must leave
    /// less.
    pub(crate) fn learn(&mut self, fault: &Fault, asked: u32) -> bool {
        let Some(found) = room_in(fault.text()) else {
            return false;
        };
        // Servers that stop counting at the limit would give way token by token.
        let room = if fault.says("at least") && self.0.is_some() {
            found.min(asked / 2)
        } else {
            found
        };
        let fits = (MIN_ROOM_TOKENS..asked).contains(&room);
        if fits {
            self.0 = Some(room);
        }
        fits
    }

    /// Bounds a limit.
    pub(crate) fn bound(self, limit: u32) -> u32 {
        self.0.map_or(limit, |room| limit.min(room))
    }
}

/// Reads how much room the prompt leaves; `None` if the text does not tell the window and the prompt.
fn room_in(text: &str) -> Option<u32> {
    // Anthropic: "input length and `max_tokens` exceed context limit: A + B > C".
    if let Some((_, sum)) = text.split_once("exceed context limit:") {
        let mut numbers = numbers(sum);
        let (prompt, _, window) = (numbers.next()?, numbers.next()?, numbers.next()?);
        return window.checked_sub(prompt);
    }
    let (_, rest) = text.split_once("maximum context length ")?;
    let window = numbers(rest).next()?;
    // vLLM: "your request has A input tokens", "your prompt contains at least A input tokens".
    let stated = number_before(rest, " input tokens");
    // OpenAI, OpenRouter, SGLang: "you requested T tokens (A in the messages, B in the completion)".
    let computed = || {
        let (_, requested) = rest.split_once("requested ")?;
        let total = numbers(requested).next()?;
        let ends = [
            " in the completion",
            " tokens for the completion",
            " in the output",
        ];
        let answer = ends.iter().find_map(|end| number_before(requested, end))?;
        total.checked_sub(answer)
    };
    window.checked_sub(stated.or_else(computed)?)
}

/// Reads the number a text begins with, behind blanks and quotes.
fn number_at_start(text: &str) -> Option<u32> {
    let text = text.trim_start_matches([' ', '`', '\'', '"', '\n']);
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

fn number_before(text: &str, mark: &str) -> Option<u32> {
    let (before, _) = text.split_once(mark)?;
    let start = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| {
        at + before[at..].chars().next().map_or(1, char::len_utf8)
    });
    before[start..].parse().ok()
}

/// The whole numbers in a text; those too large for the type are left out.
fn numbers(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> Fault {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        Fault::from_body(400, body.as_bytes())
    }

    #[test]
    fn caps_in_every_vendors_words() {
        let rows = [
            ("Range of max_tokens should be [1, 8192]", Some(8192)),
            (
                "Invalid max_tokens value, the valid range of max_tokens is [1, 65536]",
                Some(65536),
            ),
            (
                "Invalid max_tokens value, the valid range of max_tokens is [1,\n 8192]",
                Some(8192),
            ),
            (
                "field MaxTokens invalid, should be in [1, 65536]",
                Some(65536),
            ),
            (
                "max_tokens is too large: 200000. This model supports at most 16384 completion tokens, whereas you provided 200000.",
                Some(16384),
            ),
            (
                "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 100000 instead.",
                Some(4096),
            ),
            (
                "`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` is less than the `context_window` for this model",
                Some(16384),
            ),
            (
                "max_tokens (current value: 4096) must be between 0 and 4000 ",
                Some(4000),
            ),
            (
                "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x-1",
                Some(64000),
            ),
            (
                "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.",
                Some(4096),
            ),
            ("max_tokens不能超过4095", Some(4095)),
            ("max_tokens参数非法。请检查文档。", None),
            ("max_tokens must be between 1 and 0", None),
            ("max_tokens should be [1, 99999999999999999999]", None),
            ("tools should be at most 128", None),
        ];
        for (message, expected) in rows {
            assert_eq!(cap_in(&fault(message)), expected, "{message}");
        }
        let by_param =
            br#"{"error":{"message":"must be less than or equal to 100","param":"max_tokens"}}"#;
        assert_eq!(cap_in(&Fault::from_body(400, by_param)), Some(100));
    }

    #[test]
    fn room_in_every_vendors_words() {
        let rows = [
            (
                "input length and `max_tokens` exceed context limit: 190000 + 16384 > 200000, decrease input length or `max_tokens` and try again",
                Some(10_000),
            ),
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 300 input tokens (5000 > 4096 - 300).",
                Some(3796),
            ),
            (
                "This model's maximum context length is 128000 tokens. However, you requested 65535 output tokens and your prompt contains at least 62466 input tokens, for a total of at least 128001 tokens.",
                Some(65534),
            ),
            (
                "This model's maximum context length is 4097 tokens. However, you requested 5268 tokens (1012 in the messages, 4256 in the completion). Please reduce the length of the messages or completion.",
                Some(3085),
            ),
            (
                "This model's maximum context length is 4097 tokens. However, you requested 5268 tokens (1000 in the messages, 12 in the functions, and 4256 in the completion).",
                Some(3085),
            ),
            (
                "This endpoint's maximum context length is 131072 tokens. However, you requested about 150100 tokens (20000 of text input, 100 of tool input, 130000 in the output).",
                Some(110_972),
            ),
            (
                "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a total of 33000 tokens: 1000 tokens from the input messages and 32000 tokens for the completion.",
                Some(31_768),
            ),
            ("This model's maximum context length is 8192 tokens", None),
            (
                "This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.",
                None,
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", None),
            ("exceed context limit: 300000 + 8192 > 200000", None),
        ];
        for (message, expected) in rows {
            assert_eq!(room_in(fault(message).text()), expected, "{message}");
        }
    }

    #[test]
    fn room_only_shrinks_and_never_to_nothing() {
        let sum = |a: u32, b: u32, c: u32| fault(&format!("exceed context limit: {a} + {b} > {c}"));
        let mut room = Room::default();
        assert_eq!(room.bound(16_384), 16_384);
        assert!(room.learn(&sum(190_000, 16_384, 200_000), 16_384));
        assert_eq!((room.bound(16_384), room.bound(500)), (10_000, 500));
        assert!(!room.learn(&sum(190_000, 10_000, 200_000), 10_000));
        assert!(room.learn(&sum(191_000, 10_000, 200_000), 10_000));
        // Too little to answer in: the caller must shorten the prompt.
        assert!(!Room::default().learn(&sum(199_900, 8_192, 200_000), 8_192));
        assert!(!Room::default().learn(&sum(300_000, 8_192, 200_000), 8_192));
    }

    #[test]
    fn a_server_that_stops_counting_is_met_in_the_middle() {
        let message = |asked: u32| {
            let prompt = 128_001 - asked;
            fault(&format!(
                "This model's maximum context length is 128000 tokens. However, you requested {asked} output tokens and your prompt contains at least {prompt} input tokens"
            ))
        };
        let mut room = Room::default();
        let mut asked = 65_535;
        let mut lessons = 0;
        while room.learn(&message(asked), asked) {
            asked = room.bound(65_535);
            lessons += 1;
        }
        assert_eq!((lessons, asked), (6, 2_047));
    }
}
