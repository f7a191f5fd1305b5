//! `agents`: which provider and model answer, and within which limits.

use std::time::Duration;

use super::reader::Section;

/// Most tool rounds of one turn, and the default.
const MAX_TOOL_ITERATIONS: u32 = 99;

/// How long a turn may go on by default.
const MAX_TURN_TIME: Duration = Duration::from_secs(15 * 60);

/// Tokens of all model calls of a turn by default: far more than work needs, a stop for what runs away.
const MAX_TURN_TOKENS: u64 = 5_000_000;

/// Context size assumed when none is given.
const TOKEN_LIMIT: u32 = 128_000;

/// Share of the context, in percent, from which on a dialog is compressed.
const COMPRESS_AT: u32 = 80;

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Name of a provider that exists.
    pub provider: String,
    /// Name of a model that exists.
    pub model: String,
    /// Who answers when that one cannot: names of a provider and a model, in order.
    pub fallbacks: Vec<(String, String)>,
    /// Tool rounds of one turn, 1 to 99.
    pub max_tool_iterations: u32,
    /// Time after which a turn gets no more tools.
    pub max_turn_time: Duration,
    /// Tokens, in and out, after which a turn gets no more tools.
    pub max_turn_tokens: u64,
    /// Context size in tokens.
    pub token_limit: u32,
    /// Share of it, in percent, from which on a dialog is compressed; 10 to 95.
    pub compress_at: u32,
}

impl AgentConfig {
    pub(super) fn read(mut section: Section<'_>, providers: &[String], models: &[String]) -> Self {
        let config = Self {
            provider: reference(&mut section, "provider", providers),
            model: reference(&mut section, "model", models),
            fallbacks: fallbacks(&mut section, providers, models),
            max_tool_iterations: section
                .whole("max_tool_iterations", 1..=MAX_TOOL_ITERATIONS)
                .unwrap_or(MAX_TOOL_ITERATIONS),
            max_turn_time: section.secs("max_turn_secs", 1..=86_400, MAX_TURN_TIME),
            max_turn_tokens: section
                .whole("max_turn_tokens", 1..=u64::MAX)
                .unwrap_or(MAX_TURN_TOKENS),
            token_limit: section
                .whole("token_limit", 1..=u32::MAX)
                .unwrap_or(TOKEN_LIMIT),
            compress_at: section.whole("compress_at", 10..=95).unwrap_or(COMPRESS_AT),
        };
        section.finish();
        config
    }

    /// Returns the agent used without any configuration.
    pub(super) fn demo() -> Self {
        Self {
            provider: "demo".to_owned(),
            model: "demo".to_owned(),
            fallbacks: Vec::new(),
            max_tool_iterations: MAX_TOOL_ITERATIONS,
            max_turn_time: MAX_TURN_TIME,
            max_turn_tokens: MAX_TURN_TOKENS,
            token_limit: TOKEN_LIMIT,
            compress_at: COMPRESS_AT,
        }
    }
}

fn fallbacks(
    section: &mut Section<'_>,
    providers: &[String],
    models: &[String],
) -> Vec<(String, String)> {
    let elements = section
        .get("fallbacks")
        .map(|field| field.elements())
        .unwrap_or_default();
    elements
        .into_iter()
        .map(|element| {
            let mut section = element.section();
            let pair = (
                reference(&mut section, "provider", providers),
                reference(&mut section, "model", models),
            );
            section.finish();
            pair
        })
        .collect()
}

fn reference(section: &mut Section<'_>, what: &'static str, names: &[String]) -> String {
    match section.get(what) {
        Some(field) => field.reference(what, names).unwrap_or_default(),
        None => {
            section.missing_always(what, &format!("expected the name of a {what}"));
            String::new()
        }
    }
}
