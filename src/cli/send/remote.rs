//! The link to a gateway over its WebSocket. One thread: socket and signals are waited for together.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderValue, Uri, header};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::link::{Arrival, Link};
use crate::cli::exit::{self, Failure};
use crate::gateway::door;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Enough for most frames at once; the library's own choice is eight times as much, made anew in each process.
const READ_BUFFER_BYTES: usize = 16 * 1024;

pub(in crate::cli) struct RemoteLink {
    socket: WebSocket<TcpStream>,
    /// A byte comes for each signal.
    signals: [(i32, UnixStream); 2],
}

impl RemoteLink {
    /// Connects to a `ws://` URL. The token is sent to loopback addresses only.
    pub(in crate::cli) fn connect(url: &str, state_dir: &Path) -> Result<Self, Failure> {
        let uri: Uri = url
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme_str() == Some("ws") && uri.host().is_some())
            .ok_or_else(|| {
                Failure::new(exit::USAGE, format!("{url} is not a gateway URL"))
                    .hint("it looks like ws://127.0.0.1:19876/ws")
            })?;
        let stream = connect_tcp(&uri, url)?;
        let mut request = url
            .into_client_request()
            .map_err(|error| Failure::new(exit::USAGE, format!("{url}: {error}")))?;
        let is_loopback = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if is_loopback && let Some(value) = bearer(state_dir)? {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let handshake = tungstenite::client::client_with_config(request, stream, Some(config));
        let (socket, _) = handshake.map_err(|error| match error {
            HandshakeError::Failure(error) => handshake_failure(url, error),
            HandshakeError::Interrupted(_) => unreachable(url, "no answer in time"),
        })?;
        let signals = watch_signals()
            .and_then(|signals| {
                socket.get_ref().set_nonblocking(true)?;
                socket.get_ref().set_read_timeout(None)?;
                Ok(signals)
            })
            .map_err(|error| Failure::new(exit::AGENT, error.to_string()))?;
        Ok(Self { socket, signals })
    }

    /// Sends what is queued; the socket never blocks, so a slow gateway is waited for here.
    fn flush(&mut self, deadline: Instant) -> Result<(), Error> {
        loop {
            match self.socket.flush() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let mut fds = [PollFd::new(self.socket.get_ref(), PollFlags::OUT)];
                    if left.is_zero() || !matches!(poll(&mut fds, Some(&timespec(left))), Ok(1..)) {
                        return Err(Error::Io(ErrorKind::TimedOut.into()));
                    }
                }
                other => return other,
            }
        }
    }

    fn signal(&mut self) -> Option<i32> {
        let mut byte = [0];
        self.signals
            .iter_mut()
            .find_map(|(signal, pipe)| matches!(pipe.read(&mut byte), Ok(1..)).then_some(*signal))
    }

    /// Sleeps until the socket or a signal has something, or the deadline.
    fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let [(_, int), (_, term)] = &self.signals;
        let mut fds = [
            PollFd::new(self.socket.get_ref(), PollFlags::IN),
            PollFd::new(int, PollFlags::IN),
            PollFd::new(term, PollFlags::IN),
        ];
        // An interrupted wait is looked at like any other.
        let _ = poll(&mut fds, Some(&timespec(left)));
    }
}

impl Link for RemoteLink {
    fn send(&mut self, text: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        let sent = match self.socket.write(Message::text(text)) {
            Ok(()) => self.flush(deadline),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.flush(deadline),
            Err(error) => Err(error),
        };
        sent.map_err(|error| {
            Failure::new(exit::UNREACHABLE, format!("the gateway has gone: {error}"))
        })
    }

    fn next(&mut self, deadline: Instant) -> Arrival {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Arrival::Frame(text.as_str().to_owned()),
                Ok(Message::Close(frame)) => {
                    let why = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                    return Arrival::Closed(format!("the gateway closed the connection {why}"));
                }
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Arrival::Closed(format!("the gateway has gone: {error}")),
            }
            if let Some(signal) = self.signal() {
                return Arrival::Signal(signal);
            }
            if Instant::now() >= deadline {
                return Arrival::Late;
            }
            self.wait(deadline);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn unreachable(url: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(exit::UNREACHABLE, format!("no gateway at {url}: {why}"))
        .hint("start one with: picobot gateway")
}

fn connect_tcp(uri: &Uri, url: &str) -> Result<TcpStream, Failure> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, uri.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|error| unreachable(url, error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => {
                // Only the handshake blocks.
                let ready = stream
                    .set_read_timeout(Some(CONNECT_LIMIT))
                    .and_then(|()| stream.set_nodelay(true));
                return ready
                    .map(|()| stream)
                    .map_err(|error| unreachable(url, error));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => unreachable(url, error),
        None => unreachable(url, "the host has no address"),
    })
}

fn bearer(state_dir: &Path) -> Result<Option<HeaderValue>, Failure> {
    let token = door::token::load(&state_dir.join("gateway.token"))
        .map_err(|error| Failure::new(exit::AUTH, error.to_string()))?;
    Ok(token.and_then(|token| {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }))
}

fn handshake_failure(url: &str, error: Error) -> Failure {
    match error {
        Error::Http(response) if response.status() == 401 => Failure::new(
            exit::AUTH,
            format!("the gateway at {url} refused the token"),
        )
        .hint("use the gateway's own ~/.picobot/gateway.token"),
        Error::Http(response) => unreachable(url, format!("it answered {}", response.status())),
        error => unreachable(url, error),
    }
}

/// Signals become bytes on socket pairs, one for each, that can be waited for together with the gateway.
fn watch_signals() -> std::io::Result<[(i32, UnixStream); 2]> {
    let watch = |signal| {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal, write)?;
        Ok::<_, std::io::Error>((signal, read))
    };
    Ok([watch(SIGINT)?, watch(SIGTERM)?])
}
