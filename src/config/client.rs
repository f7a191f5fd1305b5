//! `client`: what the terminal client needs to know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::gateway::{DEFAULT_HOST, DEFAULT_PORT, GatewayConfig};
use super::reader::Section;
use super::secret::Secret;

/// The terminal client's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// WebSocket address of the gateway. When omitted it follows `gateway.host` and `gateway.port`.
    pub gateway_url: String,
    /// Whether the configuration names it.
    pub url_is_given: bool,
    /// The token of a gateway elsewhere; sent to whatever gateway is talked to.
    pub token: Option<Secret>,
    /// PEM file with the only certificates to trust for `wss`.
    pub ca_file: Option<PathBuf>,
    /// Colours: `auto`, `dark`, `light` or `mono`.
    pub theme: String,
    /// What the mouse is used for: `wheel`, `off` or `all`.
    pub mouse: String,
    /// Whether characters of ambiguous width take two columns.
    pub ambiguous_is_wide: bool,
    /// A person's own keys: action name → keys; none switches the action off. Only the client knows the names.
    pub keys: BTreeMap<String, Vec<String>>,
}

impl ClientConfig {
    pub(super) fn read(mut section: Section<'_>, gateway: &GatewayConfig) -> Self {
        let url = section.url("gateway_url", &["ws", "wss"]);
        let token = section.get("token").and_then(|field| field.secret());
        let ca_file = section.path("ca_file");
        let themes = ["auto", "dark", "light", "mono"].map(|name| (name, name));
        let mice = ["wheel", "off", "all"].map(|name| (name, name));
        let theme = section.word("theme", &themes).unwrap_or("auto").to_owned();
        let mouse = section.word("mouse", &mice).unwrap_or("wheel").to_owned();
        let ambiguous = section.whole("ambiguous_width", 1..=2).unwrap_or(1u8);
        let keys = section.named_texts("keys");
        section.finish();
        Self {
            token: token.filter(|token| !token.expose().is_empty()),
            ca_file,
            theme,
            mouse,
            ambiguous_is_wide: ambiguous == 2,
            keys,
            url_is_given: url.is_some(),
            gateway_url: url.unwrap_or_else(|| default_url(gateway)),
        }
    }
}

/// A gateway that listens everywhere is reached over loopback; a port that is not known in advance cannot be guessed.
fn default_url(gateway: &GatewayConfig) -> String {
    let host = match gateway.host.as_str() {
        "0.0.0.0" => DEFAULT_HOST,
        "::" => "::1",
        host => host,
    };
    let port = if gateway.port == 0 {
        DEFAULT_PORT
    } else {
        gateway.port
    };
    if host.contains(':') {
        format!("ws://[{host}]:{port}/ws")
    } else {
        format!("ws://{host}:{port}/ws")
    }
}
