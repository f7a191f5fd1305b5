//! `providers`: named model services. Typed settings only; the HTTP clients are elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Section;
use super::secret::Secret;

/// The wire format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// Chat completions and everything compatible.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// The built-in offline provider.
    Demo,
}

/// Time limits of model calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Until the connection stands; `connect_timeout_secs`, 10.
    pub connect: Duration,
    /// Until the first byte of the answer; `first_byte_timeout_secs`, 120.
    pub first_byte: Duration,
    /// Between bytes, keep-alive comments included; `idle_timeout_secs`, 90.
    pub idle: Duration,
    /// For the whole call; `total_timeout_secs`, 1800.
    pub total: Duration,
}

/// One model service.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Its wire format.
    pub kind: ProviderKind,
    /// Address, `http` or `https`, with the version segment where the service wants one. Empty for the demo.
    pub base_url: String,
    /// The keys, tried in order; empty if the service needs none. `api_key` is one text or a list.
    pub api_keys: Vec<Secret>,
    /// Headers sent with every request.
    pub extra_headers: BTreeMap<String, Secret>,
    /// A PEM file with the only certificates to trust, in place of the public authorities.
    pub ca_file: Option<PathBuf>,
    /// Time limits.
    pub time_limits: TimeLimits,
}

const KINDS: [(&str, ProviderKind); 3] = [
    ("openai", ProviderKind::OpenAi),
    ("anthropic", ProviderKind::Anthropic),
    ("demo", ProviderKind::Demo),
];

impl ProviderConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let kind = read_kind(&mut section);
        let base_url = section.url("base_url", &["http", "https"]);
        let config = Self {
            kind,
            base_url: base_url.unwrap_or_else(|| default_url(kind).to_owned()),
            api_keys: section.one_or_many_secrets("api_key"),
            extra_headers: section.headers("extra_headers"),
            ca_file: section.path("ca_file"),
            time_limits: TimeLimits::read(&mut section),
        };
        let is_keyless = !["api_key", "base_url", "extra_headers"]
            .into_iter()
            .any(|key| section.has(key));
        if kind != ProviderKind::Demo && is_keyless && section.is_in_use() {
            let hint = "give api_key, or the base_url of a service that needs none";
            section.warn_at(
                "api_key",
                "missing; this service refuses calls without a key",
                Some(hint.to_owned()),
            );
        }
        section.finish();
        config
    }

    /// Returns the provider used without any configuration.
    pub(super) fn demo() -> Self {
        Self {
            kind: ProviderKind::Demo,
            base_url: String::new(),
            api_keys: Vec::new(),
            extra_headers: BTreeMap::new(),
            ca_file: None,
            time_limits: TimeLimits::default(),
        }
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(90),
            total: Duration::from_secs(1_800),
        }
    }
}

impl TimeLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut limit = |key, default| section.secs(key, 1..=86_400, default);
        Self {
            connect: limit("connect_timeout_secs", default.connect),
            first_byte: limit("first_byte_timeout_secs", default.first_byte),
            idle: limit("idle_timeout_secs", default.idle),
            total: limit("total_timeout_secs", default.total),
        }
    }
}

fn read_kind(section: &mut Section<'_>) -> ProviderKind {
    let kind = match section.get("type") {
        Some(field) => field.word(&KINDS),
        None => {
            section.missing_always("type", "expected \"openai\" or \"anthropic\" or \"demo\"");
            None
        }
    };
    kind.unwrap_or(ProviderKind::Demo)
}

fn default_url(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::OpenAi => "https://api.openai.com/v1",
        ProviderKind::Anthropic => "https://api.anthropic.com",
        ProviderKind::Demo => "",
    }
}
