//! `gateway`: where it listens, whom it lets in, how much runs at once, and what is tidied up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Section;

/// Where the gateway listens when nothing is configured.
pub(super) const DEFAULT_HOST: &str = "127.0.0.1";
/// See [`DEFAULT_HOST`].
pub(super) const DEFAULT_PORT: u16 = 19_876;

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The user's own processes on this machine, and everyone with the token.
    Auto,
    /// Everyone with the token, nobody else.
    Token,
}

/// What is removed or moved away after a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanup {
    /// Dialogs without a message for so many days are archived; `None` (0 in the file, the default): never.
    pub archive_after_days: Option<u32>,
    /// Size all database backups together may have.
    pub backup_bytes: u64,
    /// Downloaded media are deleted after so many days; `None` (0 in the file): never.
    pub media_days: Option<u32>,
}

/// The gateway's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Host name or address to bind, without brackets.
    pub host: String,
    /// Port to bind; 0 takes any free one.
    pub port: u16,
    /// The database file, absolute.
    pub session_db_path: PathBuf,
    /// Who may connect.
    pub auth: Auth,
    /// Further values of `Host` that are accepted, lower case.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are accepted, lower case.
    pub allowed_origins: Vec<String>,
    /// Connections at once.
    pub max_connections: usize,
    /// Turns at once, 1 to 1024.
    pub max_concurrent_turns: usize,
    /// Background tasks at once.
    pub max_concurrent_background_tasks: usize,
    /// How long a message to a channel that pushes is of use; later it is not sent.
    pub outbox_max_age: Duration,
    /// What is tidied up.
    pub cleanup: Cleanup,
    /// Whether scheduled jobs run.
    pub scheduler_enabled: bool,
}

/// `none` is a word people try; it gets an answer of its own.
const AUTHS: [(&str, Option<Auth>); 3] = [
    ("auto", Some(Auth::Auto)),
    ("token", Some(Auth::Token)),
    ("none", None),
];

impl GatewayConfig {
    pub(super) fn read(mut section: Section<'_>, workspace: &Path) -> Self {
        let config = Self {
            host: read_host(&mut section),
            port: section.whole("port", 0..=u16::MAX).unwrap_or(DEFAULT_PORT),
            session_db_path: section
                .path("session_db_path")
                .unwrap_or_else(|| workspace.join("picobot.db")),
            auth: read_auth(&mut section),
            allowed_hosts: lower(section.texts("allowed_hosts")),
            allowed_origins: lower(section.texts("allowed_origins")),
            max_connections: section
                .whole("max_connections", 1..=65_536)
                .unwrap_or(4_096),
            max_concurrent_turns: section
                .whole("max_concurrent_turns", 1..=1_024)
                .unwrap_or(64),
            max_concurrent_background_tasks: section
                .whole("max_concurrent_background_tasks", 1..=1_024)
                .unwrap_or(10),
            outbox_max_age: Duration::from_secs(
                60 * section
                    .whole("outbox_max_age_minutes", 1..=43_200)
                    .unwrap_or(60),
            ),
            cleanup: read_cleanup(section.child("cleanup")),
            scheduler_enabled: read_scheduler(section.child("scheduler")),
        };
        section.finish();
        config
    }
}

fn read_host(section: &mut Section<'_>) -> String {
    let host = section.text("host");
    let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&host);
    let is_name = bare
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    if bare.is_empty() || !(is_name || is_address) {
        section.error_at(
            "host",
            "expected an address or host name without scheme and port",
        );
    }
    bare.to_owned()
}

fn read_auth(section: &mut Section<'_>) -> Auth {
    match section.word("auth", &AUTHS) {
        Some(Some(auth)) => auth,
        Some(None) => {
            section.error_at(
                "auth",
                "\"none\" is refused: it would let every program and web page in; use \"auto\" or \"token\"",
            );
            Auth::Auto
        }
        None => Auth::Auto,
    }
}

fn lower(texts: Option<Vec<String>>) -> Vec<String> {
    let texts = texts.unwrap_or_default().into_iter();
    texts.map(|text| text.to_ascii_lowercase()).collect()
}

fn read_cleanup(mut section: Section<'_>) -> Cleanup {
    let cleanup = Cleanup {
        archive_after_days: days(&mut section, "archive_after_days", 0),
        backup_bytes: section
            .whole("backup_bytes", 0..=1 << 50)
            .unwrap_or(512 << 20),
        media_days: days(&mut section, "media_days", 90),
    };
    section.finish();
    cleanup
}

/// Reads a number of days; 0 means never.
pub(super) fn days(section: &mut Section<'_>, key: &'static str, default: u32) -> Option<u32> {
    let days = section.whole(key, 0..=36_500).unwrap_or(default);
    (days > 0).then_some(days)
}

fn read_scheduler(mut section: Section<'_>) -> bool {
    let enabled = section.flag("enabled", true);
    section.finish();
    enabled
}
