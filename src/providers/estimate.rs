//! Counts tokens without a tokenizer: a rule by kinds of characters, put right by what services report. Pure; no thread.
//!
//! The rule was fitted to o200k; vocabularies of other services lie apart by a factor that stays the same for a model,
//! and that factor is what [`Calibration`] learns. An estimate is never exact: a request may still be too long.

use std::collections::HashMap;

use super::{Request, ToolSpec};
use crate::chat::{Image, Message, Part};

/// Tokens around each message.
const PER_MESSAGE: f64 = 4.0;
/// Tokens around each tool call and each result.
const PER_CALL: f64 = 8.0;
/// Tokens that open the reply.
const PER_REPLY: f64 = 3.0;
/// Services write tools in a form of their own that is shorter than JSON.
const TOOL_JSON: f64 = 0.9;
/// Tokens of the largest image a service takes without scaling it down.
const MAX_IMAGE: u32 = 1_600;

/// Shortest run of letters, digits and `+/=_-` that counts as encoded data if it mixes digits and both cases.
const MIN_DATA: usize = 48;
/// Longer runs are data in any case.
const CERTAIN_DATA: usize = 200;

/// Estimates the tokens of a text. One pass, no allocation.
///
/// Within 10 % of o200k for a page of prose (Chinese, English), code, JSON or logs; short texts may lie further off.
pub fn estimate_text(text: &str) -> f64 {
    let mut rest = text;
    let mut tokens = 0.0;
    // Bytes ahead of which is known that they are no data.
    let mut n_looked_at = 0;
    while let Some(first) = rest.chars().next() {
        if n_looked_at == 0 {
            let (length, is_data) = look_for_data(rest.as_bytes());
            if is_data {
                tokens += length as f64 / 1.45;
                rest = &rest[length..];
                continue;
            }
            n_looked_at = length;
        }
        let class = Class::of(first);
        let length = rest
            .char_indices()
            .find(|(_, c)| Class::of(*c) != class)
            .map_or(rest.len(), |(end, _)| end);
        let (run, tail) = rest.split_at(length);
        tokens += class.tokens(run);
        n_looked_at = n_looked_at.saturating_sub(length);
        rest = tail;
    }
    tokens
}

/// Returns the length of the run of letters, digits and `+/=_-` at the start, and whether it looks like base64 or a hash.
fn look_for_data(bytes: &[u8]) -> (usize, bool) {
    let (mut upper, mut lower, mut digit) = (false, false, false);
    let mut length = 0;
    for byte in bytes {
        match byte {
            b'A'..=b'Z' => upper = true,
            b'a'..=b'z' => lower = true,
            b'0'..=b'9' => digit = true,
            b'+' | b'/' | b'=' | b'_' | b'-' => {}
            _ => break,
        }
        length += 1;
    }
    let mixes = upper && lower && digit;
    let has_text = upper || lower || digit;
    let is_data = length >= MIN_DATA && mixes || length > CERTAIN_DATA && has_text;
    (length, is_data)
}

/// Characters that tokenizers treat alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// ASCII letters.
    Letters,
    Digits,
    /// Other printable ASCII, and control characters.
    Marks,
    LineEnds,
    Spaces,
    Han,
    /// Kana, hangul and the wide punctuation between Han characters.
    Wide,
    /// Arrows, boxes and other signs.
    Symbols,
    Emoji,
    /// Latin letters with marks, and typographic punctuation.
    Accented,
    /// Letters of all other scripts.
    Foreign,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letters,
            '0'..='9' => Self::Digits,
            '\n' | '\r' => Self::LineEnds,
            ' ' | '\t' => Self::Spaces,
            '\0'..='\u{7f}' => Self::Marks,
            '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}' => Self::Han,
            '\u{3000}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}' | '\u{ff00}'..='\u{ffef}' => {
                Self::Wide
            }
            '\u{1f000}'..='\u{1faff}' => Self::Emoji,
            '\u{2190}'.. if !c.is_alphabetic() => Self::Symbols,
            '\u{370}'..='\u{1fff}' | '\u{2c00}'.. => Self::Foreign,
            _ => Self::Accented,
        }
    }

    /// Returns the tokens of a run.
    fn tokens(self, run: &str) -> f64 {
        let each = |weight: f64| run.chars().count() as f64 * weight;
        if matches!(self, Self::Marks | Self::Symbols) && is_line(run) {
            return 1.0 + each(1.0 / 16.0);
        }
        match self {
            Self::Letters => (run.len() as f64 / 6.5).max(1.0),
            Self::Digits => run.len().div_ceil(3) as f64,
            // Joined to the word behind it more often than other marks.
            Self::Marks if run == "_" => 0.4,
            Self::Marks => (run.len() as f64 * 0.55).max(0.8),
            Self::LineEnds => 0.4,
            Self::Spaces if run == " " => 0.0,
            Self::Spaces => 0.7,
            Self::Han => each(0.72),
            Self::Wide => each(0.8),
            Self::Symbols => each(1.3),
            Self::Emoji => each(2.2),
            Self::Accented => each(0.7),
            Self::Foreign => each(0.45),
        }
    }
}

/// Tells whether a run is one sign over and over, as in rules and tables: those have long tokens of their own.
fn is_line(run: &str) -> bool {
    let mut chars = run.chars();
    let first = chars.next();
    run.len() > 3 && chars.all(|c| Some(c) == first)
}

fn image_tokens(image: &Image) -> f64 {
    estimate_image(image.width, image.height).into()
}

/// Estimates the tokens of an image of this size in pixels, after the scaling that services do.
pub fn estimate_image(width: u32, height: u32) -> u32 {
    let pixels = u64::from(width) * u64::from(height);
    u32::try_from(pixels.div_ceil(750)).map_or(MAX_IMAGE, |tokens| tokens.min(MAX_IMAGE))
}

/// Estimates the prompt tokens of a request: system prompt, tools and history, before any calibration.
pub fn estimate_request(request: &Request<'_>) -> u32 {
    let system = PER_MESSAGE + estimate_text(request.system);
    let messages: f64 = request.messages.iter().map(estimate_message).sum();
    whole(PER_REPLY + system + estimate_tools(request.tools) + messages)
}

/// Rounds up; what is larger than the type is the largest value.
fn whole(tokens: f64) -> u32 {
    tokens.ceil() as u32
}

/// Estimates the tokens of a tool list, before any calibration.
pub fn estimate_tools(tools: &[ToolSpec]) -> f64 {
    let text = |tool: &ToolSpec| {
        estimate_text(&tool.name)
            + estimate_text(&tool.description)
            + estimate_text(&tool.parameters.to_string())
            // The keys around the three.
            + PER_CALL
    };
    tools.iter().map(text).sum::<f64>() * TOOL_JSON
}

/// Estimates the prompt tokens of one message, before any calibration.
pub fn estimate_message(message: &Message) -> f64 {
    PER_MESSAGE + message.parts.iter().map(estimate_part).sum::<f64>()
}

fn estimate_part(part: &Part) -> f64 {
    match part {
        Part::Text(text) | Part::Context(text) => estimate_text(text),
        Part::Note(_) => 0.0,
        Part::ToolCall(call) => {
            PER_CALL + estimate_text(&call.name) + estimate_text(&call.arguments)
        }
        Part::ToolResult(result) => {
            let images: f64 = result.images.iter().map(image_tokens).sum();
            PER_CALL + estimate_text(&result.content) + images
        }
        Part::Image(image) => image_tokens(image),
    }
}

/// Which numbers belong together: a service and a model, which use one vocabulary.
type Key = (String, String);

/// How far estimates lie from what services count, learned per service and model.
///
/// Holds one number for each pair that answered; a service goes by any name that stays the same. The pairs come from the
/// configuration.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    ratios: HashMap<Key, f64>,
}

/// One answered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What [`estimate_request`] said of exactly this request.
    pub estimated: u32,
    /// The prompt's tokens as the service reported them, cached ones included.
    pub reported: u64,
    /// Whether it carried images; their cost differs too much to learn from.
    pub has_images: bool,
}

/// Ratio before anything was learned: rather too much than too little.
const START: f64 = 1.1;
/// Bounds of a ratio; what lies outside is a service that counts something else.
const RATIOS: std::ops::RangeInclusive<f64> = 0.6..=2.5;
/// How much of a new sample goes into the mean.
const WEIGHT: f64 = 0.3;
/// Smaller requests are mostly frame.
const MIN_SAMPLE: u32 = 300;

impl Calibration {
    /// Starts without knowledge.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from an answered request; small ones and those with images are ignored.
    pub fn observe(&mut self, service: &str, model: &str, sample: Sample) {
        let smallest = u64::from(sample.estimated).min(sample.reported);
        if sample.has_images || smallest < u64::from(MIN_SAMPLE) {
            return;
        }
        let ratio = sample.reported as f64 / f64::from(sample.estimated);
        let ratio = ratio.clamp(*RATIOS.start(), *RATIOS.end());
        let mean = self.ratio(service, model);
        let mean = mean + WEIGHT * (ratio - mean);
        self.ratios
            .insert((service.to_owned(), model.to_owned()), mean);
    }

    /// Returns the factor between estimates and this model's own count, 0.6 to 2.5.
    pub fn ratio(&self, service: &str, model: &str) -> f64 {
        let key = (service.to_owned(), model.to_owned());
        self.ratios.get(&key).copied().unwrap_or(START)
    }

    /// Predicts the prompt tokens of a request from its estimate.
    ///
    /// With `last`, a sample of an earlier request of the same dialog, model and tools that this one only adds to, the
    /// reported count stands for the old part and only what was added is estimated. After history was cut there is no
    /// such sample; one whose estimate is larger than this one is ignored.
    pub fn predict(&self, service: &str, model: &str, estimate: u32, last: Option<Sample>) -> u32 {
        let ratio = self.ratio(service, model);
        let known = last.filter(|last| last.reported > 0 && last.estimated <= estimate);
        match known {
            Some(last) => {
                let added = f64::from(estimate - last.estimated) * ratio;
                whole(last.reported as f64 + added)
            }
            None => whole(f64::from(estimate) * ratio),
        }
    }
}

#[cfg(test)]
mod tests;
