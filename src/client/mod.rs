//! The terminal client: a pure `update(state, event) -> effects`, a pure `view(state) -> frame`, and the loop that joins them
//! to a terminal and a gateway.
//!
//! Threads: `main` runs the loop, one `select!` over terminal events, the gateway, signals and the next due time; `tui-input`
//! reads the terminal, `tui-net` owns the socket, `tui-signals` waits for signals, `tui-editor` for an editor while
//! one is open. Nothing polls: an idle client has no
//! wake-ups and draws nothing. Text from outside is cleaned before it reaches a cell (`text::clean`, and once more in
//! `view::put`). Deliberately not here: configuration files, the gateway's token and how a gateway is started (`cli`).

mod clock;
pub mod dial;
mod editor;
mod entry_rows;
mod files;
mod input;
mod keys;
mod layout;
mod net;
mod options;
mod outside;
#[cfg(test)]
mod play;
mod run;
#[cfg(test)]
mod screens;
pub mod socket;
pub mod stage;
mod state;
mod stream;
mod suspend;
mod terminal;
mod text;
mod theme;
mod view;

pub use dial::{Access, DialError, Endpoint, Reached, check_url, dial, loopback_port};
pub use options::{ClientError, Ended, Opening, Options, StartGateway};
pub use run::run;
pub use terminal::Mouse;
pub use theme::Theme;
