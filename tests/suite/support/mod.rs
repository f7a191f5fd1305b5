//! The other sides of the wire: a temporary home, a scripted model service, the real gateway process, WebSocket clients.
//!
//! Every wait here has a ceiling and waits for an event, never for time to pass.

pub(crate) mod gate;
pub(crate) mod gateway;
pub(crate) mod home;
pub(crate) mod http;
pub(crate) mod legal;
pub(crate) mod messages;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod script;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod ws;

use std::time::Duration;

/// Longest wait for anything that should come at once: only a test that fails waits so long, however loaded the machine.
pub(crate) const CEILING: Duration = Duration::from_secs(60);
