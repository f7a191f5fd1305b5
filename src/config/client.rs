//! `client`: what the terminal client needs to know.

use super::gateway::{DEFAULT_HOST, DEFAULT_PORT, GatewayConfig};
use super::reader::Section;

/// The terminal client's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// WebSocket address of the gateway. When omitted it follows `gateway.host` and `gateway.port`.
    pub gateway_url: String,
    /// Whether the configuration names it.
    pub url_is_given: bool,
}

impl ClientConfig {
    pub(super) fn read(mut section: Section<'_>, gateway: &GatewayConfig) -> Self {
        let url = section.url("gateway_url", &["ws", "wss"]);
        section.finish();
        Self {
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
