//! `mcp`: servers whose tools join the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::Section;
use super::secret::Secret;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum McpTransport {
    /// A child process; needs `command`.
    Stdio,
    /// Server-sent events of the older protocol; needs `url`.
    Sse,
    /// The current HTTP transport; needs `url`.
    StreamableHttp,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServerConfig {
    /// Whether it is used; true when omitted.
    pub enabled: bool,
    /// How it is reached. When omitted: `stdio` if there is a command, else `streamable-http`.
    pub transport: McpTransport,
    /// Program to start: a name on the search path or a path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables given to it beside the few every child gets.
    pub env: BTreeMap<String, Secret>,
    /// Address of the server.
    pub url: String,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// Tools taken from it; `None`: all.
    pub tools: Option<Vec<String>>,
}

/// MCP settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpConfig {
    /// Longest time a tool call may take.
    pub tool_timeout: Duration,
    /// Servers by name.
    pub servers: BTreeMap<String, McpServerConfig>,
}

const TRANSPORTS: [(&str, McpTransport); 3] = [
    ("stdio", McpTransport::Stdio),
    ("sse", McpTransport::Sse),
    ("streamable-http", McpTransport::StreamableHttp),
];

impl McpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let tool_timeout = section.secs("tool_timeout_secs", 1..=86_400, Duration::from_secs(180));
        let servers = section.named("servers").into_iter();
        let servers = servers
            .filter(|(_, server)| server.is_present())
            .map(|(name, server)| (name, McpServerConfig::read(server)))
            .collect();
        section.finish();
        Self {
            tool_timeout,
            servers,
        }
    }
}

impl McpServerConfig {
    fn read(mut section: Section<'_>) -> Self {
        let enabled = section.flag("enabled", true);
        let mut section = section.used_if(enabled);
        let transport = section.word("transport", &TRANSPORTS);
        let transport = transport.unwrap_or(if section.has("command") {
            McpTransport::Stdio
        } else {
            McpTransport::StreamableHttp
        });
        let config = Self {
            enabled,
            transport,
            command: section.command("command").unwrap_or_default(),
            args: section.arguments("args"),
            env: section.secrets("env"),
            url: section.url("url", &["http", "https"]).unwrap_or_default(),
            headers: section.headers("headers"),
            tools: section.texts("tools"),
        };
        if transport == McpTransport::Stdio && !section.has("command") {
            section.missing("command", "expected the program of a stdio server");
        }
        if transport != McpTransport::Stdio && !section.has("url") {
            section.missing(
                "url",
                "expected the address of the server (or command, for a stdio server)",
            );
        }
        section.finish();
        config
    }
}
