//! One request to the gateway that has this database, for management commands. No thread; blocks until the answer.

use std::time::{Duration, Instant};

use super::exit::{self, Failure};
use super::send::{Arrival, Link, RemoteLink};
use crate::config::Config;
use crate::storage::{InstanceLock, Kind};
use crate::wire::{ClientBody, ClientMessage, ServerBody, ServerMessage};

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Our one request's id.
const REQUEST: &str = "ask";

/// Returns the URL of the gateway that has the configured database; `None` if none runs.
pub(super) fn gateway_url(config: &Config) -> Option<String> {
    let holder = InstanceLock::holder(&config.gateway.session_db_path)?;
    let address = holder.address.filter(|_| holder.kind == Kind::Gateway)?;
    Some(format!("ws://{address}/ws"))
}

/// Sends a request and returns its answer; an `error` is a failure.
pub(super) fn ask(
    url: &str,
    config: &Config,
    body: ClientBody,
) -> Result<ServerBody<'static>, Failure> {
    ask_within(url, config, body, PATIENCE)
}

/// The same, for what may take longer; remarks of the gateway on the way are passed over.
pub(super) fn ask_within(
    url: &str,
    config: &Config,
    body: ClientBody,
    limit: Duration,
) -> Result<ServerBody<'static>, Failure> {
    let deadline = Instant::now() + limit;
    let mut link = RemoteLink::connect(url, config)?;
    let request = ClientMessage {
        body,
        request_id: Some(REQUEST.to_owned()),
    };
    link.send(&request.to_json())?;
    loop {
        let frame = match link.next(deadline) {
            Arrival::Frame(frame) => frame,
            Arrival::Signal(signal) => {
                return Err(Failure::silent(u8::try_from(128 + signal).unwrap_or(1)));
            }
            Arrival::Late => {
                return Err(Failure::new(exit::TIMEOUT, "the gateway does not answer"));
            }
            Arrival::Closed(why) => return Err(Failure::new(exit::UNREACHABLE, why)),
        };
        let message = ServerMessage::parse(&frame)
            .map_err(|error| Failure::new(exit::UNREACHABLE, error.to_string()))?;
        if message.request_id.as_deref() != Some(REQUEST) {
            continue;
        }
        return match message.body {
            ServerBody::Error { code, message, .. } => Err(Failure::new(
                match &*code {
                    "forbidden" => exit::AUTH,
                    "storage" => exit::DATABASE,
                    "bad_request" | "not_found" => exit::USAGE,
                    _ => exit::AGENT,
                },
                message,
            )),
            ServerBody::SystemNotification { .. } => continue,
            body => Ok(body),
        };
    }
}
