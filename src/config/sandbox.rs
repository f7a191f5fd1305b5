//! `sandbox`: what children (shell, MCP servers, skill scripts) may do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Section;
use super::secret::Secret;

/// How far children are let.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxLevel {
    /// There are no tools that start children.
    Off,
    /// The workspace and what programs need to run.
    Workspace,
    /// Everything the user may do.
    Full,
}

/// Sandbox settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxConfig {
    /// How far children are let.
    pub level: SandboxLevel,
    /// Whether tools that start children are refused where the kernel cannot hold them.
    pub required: bool,
    /// Whether children may use the network.
    pub network: bool,
    /// Further places children may read, absolute.
    pub read_paths: Vec<PathBuf>,
    /// Further folders children may read and write, absolute.
    pub write_paths: Vec<PathBuf>,
    /// Variables children get besides the few every child has; those that are not set are left out.
    pub env: BTreeMap<String, Secret>,
    /// Time a shell command gets, 1 to 600 seconds.
    pub timeout: Duration,
}

const LEVELS: [(&str, SandboxLevel); 3] = [
    ("off", SandboxLevel::Off),
    ("workspace", SandboxLevel::Workspace),
    ("full", SandboxLevel::Full),
];

impl SandboxConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            level: section
                .word("level", &LEVELS)
                .unwrap_or(SandboxLevel::Workspace),
            required: section.flag("required", true),
            network: section.flag("network", false),
            read_paths: section.paths("read_paths"),
            write_paths: section.paths("write_paths"),
            env: section.variables("env"),
            timeout: section.secs("timeout_secs", 1..=600, Duration::from_secs(120)),
        };
        section.finish();
        config
    }
}
