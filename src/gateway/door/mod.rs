//! The door: one port for `GET /health` and `GET /ws`, with every limit and check between the network and the gateway.
//!
//! One actor thread, `gateway-io`, owns the listener and every client socket. It reads the outbound queue ([`DoorSink`])
//! and hands complete text messages to a [`Handler`] on its own thread. It never blocks but in `poll`, and does not wake
//! while nothing happens. Deliberately not here: what messages mean (the handler), SQL, TLS.
//!
//! A connection goes `request` (head bytes) → `head` and `rules` (decision) → `auth` → `ws` (client) → `closing`.

mod auth;
mod closing;
mod fragments;
mod head;
mod intake;
mod io;
mod limits;
mod page;
mod post;
mod queue;
mod request;
mod rules;
mod sockdiag;
pub mod token;
mod ws;

#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::net::TcpListener;
use mio::{Interest, Poll, Waker};

use crate::bus::{ClientId, Outbound, Sink};
use crate::config::Secret;
use crate::observability::Health;
use crate::threads::{Fatal, Thread, spawn_actor};

use auth::Guard;
use io::{Io, Parts};
use limits::Times;
use rules::Rules;

pub use auth::AuthMode;
pub use post::Posted;

/// Where the door is and whom it lets in.
#[derive(Clone, Debug)]
pub struct DoorConfig {
    /// Name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// `Host` values accepted besides the loopback names with our port. One without a port is good with any port.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values accepted; requests without that header are not concerned.
    pub allowed_origins: Vec<String>,
    /// WebSocket clients at the same time; one more is answered 503. Unfinished requests have their own limit of 256,
    /// so the health page is answered even when this one is reached.
    pub max_connections: usize,
    /// Who needs the token.
    pub auth: AuthMode,
    /// Paths that take posted requests, and where those go; a full queue is answered 503.
    pub posts: Option<(Vec<String>, Sender<Posted>)>,
}

/// Why the door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Something else listens there.
    #[error(
        "{addr} is in use; is another gateway running? Stop it or choose another `gateway.port`"
    )]
    PortInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address is not one of this machine's.
    #[error("{addr} is not an address of this machine; change `gateway.host`")]
    NotLocal {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system does not allow it, as for ports under 1024.
    #[error("no permission to listen on {addr}; choose a `gateway.port` of 1024 or more")]
    Forbidden {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The host name leads to no address.
    #[error("`gateway.host` {host:?} leads to no address: {source}")]
    UnknownHost {
        /// The name.
        host: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// An entry of `allowed_hosts` is neither `host` nor `host:port`.
    #[error("{entry:?} in `gateway.allowed_hosts` is not a host or host:port")]
    BadAllowedHost {
        /// The entry.
        entry: String,
    },
    /// Something else failed.
    #[error("cannot open the gateway's port: {0}")]
    Io(#[from] std::io::Error),
}

/// Whether a message was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It was.
    Taken,
    /// The queue behind is full: the door keeps the message, stops reading its client and offers it again after
    /// [`Sink::room`]. The same message may be offered several times before it is taken.
    Full,
}

/// Turns frames into bus messages and back. Runs on `gateway-io`: it must not block.
///
/// For one client the calls come as `connected`, then any number of `text` and `binary`, then `closed`; each only after
/// the one before was taken. Nothing is told about clients that are still connected when the door stops.
pub trait Handler: Send {
    /// A client finished its handshake. `trusted`: it presented the token.
    fn connected(&mut self, client: ClientId, trusted: bool) -> Flow;

    /// One complete text message. `replies` are sent to this client at once, before anything queued outside; a message
    /// that is not taken leaves none.
    fn text(&mut self, client: ClientId, text: &str, replies: &mut Vec<String>) -> Flow;

    /// A binary message came, which is not part of the contract. Returns the text to answer with.
    fn binary(&mut self, client: ClientId) -> Option<String>;

    /// Returns the text of an outbound message; `None` if its client does not want it. Called for connected clients only.
    fn encode(&mut self, outbound: &Outbound) -> Option<String>;

    /// A client has gone; everything it sent was handed over before.
    fn closed(&mut self, client: ClientId) -> Flow;
}

/// A bound port without a thread.
pub struct Door {
    config: DoorConfig,
    rules: Rules,
    guard: Guard,
    health: Arc<Health>,
    times: Times,
    poll: Poll,
    listener: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
}

impl Door {
    /// Binds the port and raises the limit of open files. Nothing is accepted before [`Door::start`]; clients that come
    /// earlier wait. Looks the host up, so it may block on DNS.
    pub fn bind(
        config: DoorConfig,
        health: Arc<Health>,
        token: &Secret,
    ) -> Result<Self, DoorError> {
        Self::bind_with(config, health, token, Times::default())
    }

    fn bind_with(
        config: DoorConfig,
        health: Arc<Health>,
        token: &Secret,
        times: Times,
    ) -> Result<Self, DoorError> {
        raise_open_files();
        let mut listener = listen(&config.host, config.port)?;
        let local = listener.local_addr()?;
        let rules = Rules::new(local.port(), &config.allowed_hosts, &config.allowed_origins)
            .map_err(|entry| DoorError::BadAllowedHost { entry })?;
        let paths = config.posts.as_ref().map(|(paths, _)| paths.as_slice());
        let rules = rules.with_posts(paths.unwrap_or_default());
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, io::LISTENER, Interest::READABLE)?;
        let shared = Arc::new(Shared {
            waker: Waker::new(poll.registry(), io::WAKER)?,
            is_signalled: AtomicBool::new(false),
            gate: Arc::default(),
            stop_by: OnceLock::new(),
        });
        Ok(Self {
            guard: Guard::new(config.auth, token),
            config,
            rules,
            health,
            times,
            poll,
            listener,
            local,
            shared,
        })
    }

    /// Returns the address listened on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Starts `gateway-io`.
    pub fn start(
        self,
        handler: impl Handler + 'static,
        fatal: &Fatal,
    ) -> std::io::Result<DoorHandle> {
        let (outbound, queue): (_, Receiver<Outbound>) = bounded(limits::OUTBOUND);
        let sink = DoorSink {
            outbound,
            shared: self.shared.clone(),
        };
        let io = Io::new(Parts {
            poll: self.poll,
            listener: self.listener,
            local: self.local,
            rules: self.rules,
            guard: self.guard,
            max_clients: self.config.max_connections,
            times: self.times,
            health: self.health,
            shared: self.shared,
            outbound: queue,
            handler,
            posts: self.config.posts.map(|(_, posts)| posts),
        });
        let thread = spawn_actor("gateway-io", limits::STACK_BYTES, fatal, || io.run())?;
        Ok(DoorHandle { sink, thread })
    }
}

fn listen(host: &str, port: u16) -> Result<TcpListener, DoorError> {
    let unknown = |source| DoorError::UnknownHost {
        host: host.to_owned(),
        source,
    };
    // Names and bare IPv6 addresses alike; brackets are how URLs write the latter.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addr = (bare, port)
        .to_socket_addrs()
        .map_err(unknown)?
        .next()
        .ok_or_else(|| unknown(ErrorKind::NotFound.into()))?;
    TcpListener::bind(addr).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => DoorError::PortInUse { addr },
        ErrorKind::AddrNotAvailable => DoorError::NotLocal { addr },
        ErrorKind::PermissionDenied => DoorError::Forbidden { addr },
        _ => DoorError::Io(error),
    })
}

/// Every client is a descriptor; the usual soft limit of 1,024 is there for programs that use `select`.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
}

/// A running door.
pub struct DoorHandle {
    sink: DoorSink,
    thread: Thread,
}

impl DoorHandle {
    /// Returns the way out to clients.
    pub fn sink(&self) -> DoorSink {
        self.sink.clone()
    }

    /// Stops accepting and reading, sends what is queued and a close frame (1001) to every client, and ends at
    /// `deadline` at the latest. Returns at once; join the thread to wait.
    pub fn stop(self, deadline: Instant) -> Thread {
        // A second value cannot come: stopping takes the handle.
        let _ = self.sink.shared.stop_by.set(deadline);
        self.sink.shared.signal();
        self.thread
    }
}

/// The queue to `gateway-io`.
#[derive(Clone)]
pub struct DoorSink {
    outbound: Sender<Outbound>,
    shared: Arc<Shared>,
}

impl Sink for DoorSink {
    /// Waits while 4,096 messages are queued; `gateway-io` never waits for anybody, so not for long. After the door has
    /// ended messages go nowhere.
    fn push(&self, outbound: Outbound) {
        match self.outbound.try_send(outbound) {
            Ok(()) => self.shared.signal(),
            Err(TrySendError::Full(outbound)) => {
                self.shared.signal();
                if self.outbound.send(outbound).is_ok() {
                    self.shared.signal();
                }
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// To be called after every message taken from the queue behind the handler; costs one atomic read unless somebody
    /// waits.
    fn room(&self) {
        if self.shared.gate.open() {
            self.shared.signal();
        }
    }
}

/// What other threads use to reach `gateway-io`.
struct Shared {
    waker: Waker,
    /// A wake-up is under way: more would say the same.
    is_signalled: AtomicBool,
    gate: Arc<Gate>,
    stop_by: OnceLock<Instant>,
}

impl Shared {
    fn signal(&self) {
        if !self.is_signalled.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake gateway-io: {error}");
        }
    }

    /// To be called before looking at what was signalled.
    fn clear_signal(&self) {
        self.is_signalled.swap(false, Ordering::AcqRel);
    }

    fn stop_by(&self) -> Option<Instant> {
        self.stop_by.get().copied()
    }
}

/// Closed while some client waits for room. The fences order it against the queue: either the one who made room sees
/// the gate closed, or the one who closed it sees the room.
#[derive(Default)]
struct Gate {
    is_closed: AtomicBool,
}

impl Gate {
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Returns whether it was closed, that is whether somebody must be woken.
    fn open(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_closed.load(Ordering::Relaxed) && self.is_closed.swap(false, Ordering::AcqRel)
    }

    fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }
}
