//! How the client is started and how it ends.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::dial::Endpoint;
use super::terminal::Mouse;
use super::theme::Theme;

/// Starts a gateway that goes on by itself; returns a sentence about it, or why it could not be started.
pub type StartGateway = Box<dyn FnMut() -> Result<String, String>>;

/// Which dialog to begin with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Opening {
    /// The chat's current one.
    #[default]
    Current,
    /// The one that changed last.
    Newest,
    /// A new one.
    New,
    /// The one of this id or title.
    Named(String),
}

/// How the client is started.
pub struct Options {
    /// Where the gateway is.
    pub endpoint: Endpoint,
    /// The command that starts a gateway where this one looks for it, for people; `None`: it is on another machine.
    pub start_command: Option<String>,
    /// Starts one from here; `None`: not on offer.
    pub start_gateway: Option<StartGateway>,
    /// Which dialog to begin with.
    pub opening: Opening,
    /// What to send first.
    pub prompt: Option<String>,
    /// Colours.
    pub theme: Theme,
    /// What the mouse is used for.
    pub mouse: Mouse,
    /// Whether characters of ambiguous width take two columns.
    pub ambiguous_is_wide: bool,
    /// A person's own keys: action name → keys.
    pub keys: BTreeMap<String, Vec<String>>,
    /// PicoBot's folder: prompts and drafts are kept there.
    pub state_dir: PathBuf,
    /// Where `@path` begins.
    pub root: PathBuf,
    /// The gateway's database: `@path` offers neither it nor what lies beside it under its name.
    pub database: PathBuf,
    /// The process environment.
    pub env: BTreeMap<String, String>,
}

/// How the client ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The dialog that was open, without anything that steers a terminal: a gateway named it.
    pub session: Option<String>,
    /// How many messages could not be sent; they are kept with the draft.
    pub n_unsent: usize,
    /// Whether a turn of it goes on at the gateway.
    pub is_busy: bool,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// What of `keys` could not be used.
    pub key_faults: Vec<String>,
}

/// Why the client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The terminal cannot be used.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] std::io::Error),
    /// A part of the client failed; the report is on stderr.
    #[error("the chat failed; the draft is kept")]
    Panicked,
}
