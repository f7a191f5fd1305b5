//! `models`: named models and how to ask them.

use super::budget::{MAX_AMOUNT, read_currency};
use super::reader::Section;

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputType {
    /// Text; always.
    Text,
    /// Images.
    Image,
}

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The id the service knows.
    pub model_id: String,
    /// Sampling temperature, 0 to 2; sent only if configured.
    pub temperature: Option<f64>,
    /// Limit of generated tokens, at least 1; sent only if configured.
    pub max_tokens: Option<u32>,
    /// What it takes; `["text"]` when omitted.
    pub input_type: Vec<InputType>,
    /// What it costs, if known.
    pub price: Option<PriceConfig>,
}

/// The price of a model, for a million tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceConfig {
    /// For prompt tokens.
    pub input: f64,
    /// For prompt tokens from the service's cache; as `input` when omitted.
    pub cached_input: Option<f64>,
    /// For generated tokens.
    pub output: f64,
    /// The currency, `USD` when omitted.
    pub currency: String,
}

const INPUT_TYPES: [(&str, InputType); 2] =
    [("text", InputType::Text), ("image", InputType::Image)];

impl ModelConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let input_type = section.words("input_type", &INPUT_TYPES);
        let config = Self {
            model_id: section.required_text("model_id", "expected the id the service knows"),
            temperature: section.number("temperature", 0.0..=2.0),
            max_tokens: section.whole("max_tokens", 1..=u32::MAX),
            input_type: input_type.unwrap_or_else(|| vec![InputType::Text]),
            price: PriceConfig::read(section.child("price")),
        };
        section.finish();
        config
    }

    /// Returns the model used without any configuration.
    pub(super) fn demo() -> Self {
        Self {
            model_id: "demo".to_owned(),
            temperature: None,
            max_tokens: None,
            input_type: vec![InputType::Text],
            price: None,
        }
    }

    /// Tells whether images may be sent to it.
    pub fn takes_images(&self) -> bool {
        self.input_type.contains(&InputType::Image)
    }
}

impl PriceConfig {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let present = section.is_present();
        let input = section.number("input", 0.0..=MAX_AMOUNT);
        let cached_input = section.number("cached_input", 0.0..=MAX_AMOUNT);
        let output = section.number("output", 0.0..=MAX_AMOUNT);
        let currency = read_currency(&mut section);
        if present {
            for (key, given) in [("input", input), ("output", output)] {
                if given.is_none() && !section.has(key) {
                    section.missing_always(key, "expected the price of a million tokens");
                }
            }
        }
        section.finish();
        Some(Self {
            input: input?,
            cached_input,
            output: output?,
            currency,
        })
    }
}
