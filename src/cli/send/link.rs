//! The way to an agent: over a socket to a gateway, or in this process.

use std::time::{Duration, Instant};

use super::SendArgs;
use super::local::LocalLink;
use super::remote::RemoteLink;
use crate::cli::exit::{self, Failure};
use crate::cli::setup::{gateway_address, say};
use crate::gateway::{self, Launch};
use crate::storage::{InstanceLock, Kind, LockError, LockInfo};

/// How often a held lock is looked at again.
const LOOK: Duration = Duration::from_millis(20);

/// What comes back over a link.
pub(in crate::cli) enum Arrival {
    /// A frame of the WebSocket contract.
    Frame(String),
    /// A signal to end: its number.
    Signal(i32),
    /// The deadline has passed.
    Late,
    /// The other side has gone.
    Closed(String),
}

/// A conversation in frames of the WebSocket contract.
pub(in crate::cli) trait Link {
    /// Sends a frame.
    fn send(&mut self, text: &str) -> Result<(), Failure>;
    /// Waits for what comes next.
    fn next(&mut self, deadline: Instant) -> Arrival;
}

/// Finds the gateway of this database, else takes the database itself.
pub(super) fn open(
    launch: &Launch,
    args: &SendArgs,
    quiet: bool,
    deadline: Instant,
) -> Result<Box<dyn Link>, Failure> {
    let config = &launch.config;
    if let Some(url) = &args.gateway_url {
        return Ok(Box::new(RemoteLink::connect(url, config)?));
    }
    let database = &config.gateway.session_db_path;
    if !args.local {
        if let Some(address) = InstanceLock::holder(database).and_then(gateway_address) {
            return Ok(Box::new(RemoteLink::connect(&address, config)?));
        }
        if config.client.url_is_given {
            match RemoteLink::connect(&config.client.gateway_url, config) {
                Ok(link) => return Ok(Box::new(link)),
                Err(failure) if failure.code == exit::UNREACHABLE => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    gateway::prepare(config, database)?;
    let mut told = quiet;
    loop {
        match InstanceLock::acquire(database, Kind::OneShot) {
            Ok(lock) => return Ok(Box::new(LocalLink::start(launch, lock)?)),
            Err(LockError::Held(holder)) => {
                if let Some(link) = join_gateway(holder.as_ref(), launch, args)? {
                    return Ok(link);
                }
                if !told {
                    say(&waiting(holder.as_ref()));
                    told = true;
                }
            }
            Err(error) => return Err(anyhow::Error::from(error).into()),
        }
        if Instant::now() + LOOK >= deadline {
            return Err(Failure::new(
                exit::TIMEOUT,
                "another picobot used the database all the time",
            )
            .hint("wait for it, or run a gateway: it serves many at once"));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Uses the gateway that has taken the lock; `None` if the holder is another command or not ready yet.
fn join_gateway(
    holder: Option<&LockInfo>,
    launch: &Launch,
    args: &SendArgs,
) -> Result<Option<Box<dyn Link>>, Failure> {
    let Some(info) = holder.filter(|info| info.kind == Kind::Gateway) else {
        return Ok(None);
    };
    if args.local {
        return Err(Failure::new(
            exit::DATABASE,
            format!("a gateway (pid {}) uses this database", info.pid),
        )
        .hint("leave out --local to ask that gateway"));
    }
    match gateway_address(info.clone()) {
        Some(url) => Ok(Some(Box::new(RemoteLink::connect(&url, &launch.config)?))),
        None => Ok(None),
    }
}

fn waiting(holder: Option<&LockInfo>) -> String {
    match holder {
        Some(info) => format!("picobot: waiting for another picobot (pid {})", info.pid),
        None => "picobot: waiting for another picobot".to_owned(),
    }
}
