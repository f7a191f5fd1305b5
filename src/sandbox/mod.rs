//! Running commands of the model: one supervised, confined process tree per call.
//!
//! Owns the way from a command line to its capped output and the certainty that nothing of it is left. [`Sandbox::run`]
//! blocks the calling thread (a turn) and starts `picobot --sandbox-exec`, our own binary again, as supervisor of that
//! one call; [`helper_main`] is what runs there. The two talk over pipes only:
//!
//! ```text
//! gateway ── stdin: one JSON line, then the lifeline ──▶ supervisor ──▶ command and whatever it starts
//!         ◀─ stdout: one JSON line, how it ended ────────┘                   │
//!         ◀─ stderr: what the command prints, stdout and stderr as one ──────┘
//! ```
//!
//! A command that goes on in the background may have a standard input: then the lifeline is a socket, over which the
//! reading end of a pipe comes first. Everybody else reads nothing.
//!
//! The lifeline is the supervisor's standard input: its end means that the call is cancelled or the gateway is gone.
//! The supervisor enters a mount namespace of its own, in which private files are covered. Its launching thread then
//! confines itself and starts the command, which inherits everything; Landlock, seccomp and no_new_privs belong to a
//! thread, so the supervisor's main thread stays outside of these. It can therefore kill
//! whatever it finds, and the command can neither signal nor trace it.
//!
//! Deliberately not here: what a tool makes of an outcome, and who may run what.

mod clean;
mod confine;
mod error;
mod helper;
mod input;
mod launch;
mod limits;
mod masks;
mod orphans;
mod output;
mod processes;
mod protocol;
mod read_only;
mod run;
mod scratch;
mod seccomp;
mod supervised;
mod wait;

pub use clean::Cleaner;
pub use error::SandboxError;
pub use helper::helper_main;
pub use input::CommandInput;
pub use orphans::{KnownChild, init_gateway, reap_orphans, start_known};
pub use protocol::{End, Protection};
pub use run::{Call, Level, Outcome, Policy, Sandbox, Started};

/// The hidden first argument that makes our binary a supervisor; see [`helper_main`].
pub const HELPER_ARGUMENT: &str = "--sandbox-exec";

/// The hidden second argument: the command's standard input comes over the lifeline, which then is a socket.
const INPUT_ARGUMENT: &str = "--with-input";

/// How much output of a command is kept: the first quarter and the last three quarters of this.
pub const OUTPUT_CAP_BYTES: usize = 64 * 1024;
