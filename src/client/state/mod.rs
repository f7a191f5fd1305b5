//! The state of the terminal client and the one function that changes it: [`update`]. Pure: what happens comes in as an
//! [`Event`], what is to be done goes out as [`Effect`]s, and time is passed in.
//!
//! Runs on `main` in the program, and on nothing at all in tests. Deliberately not here: sockets, files, the terminal.

mod approvals;
mod browse;
mod compose;
mod composer;
mod dialogs;
mod frames;
mod history;
mod lists;
mod loaded;
mod popup;
mod send;
#[cfg(test)]
pub(super) mod tests;
mod transcript;
mod types;
mod update;

pub(super) use approvals::Approval;
pub(super) use composer::Composer;
pub(super) use dialogs::DialogMode;
pub(super) use frames::short_address;
pub(super) use popup::PopupKind;
pub(super) use transcript::{Body, Call, CallState, Delivery, Entry, Fold, Tone, Transcript};
pub(super) use types::{
    Effect, Event, Link, Moment, NOWHERE, Overlay, Pending, Settings, Start, State, Usage,
};
pub(super) use update::update;
