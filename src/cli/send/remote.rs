//! The link to a gateway over its WebSocket. One thread: socket and signals are waited for together.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use tungstenite::{Error, Message, WebSocket};

use super::link::{Arrival, Link};
use crate::cli::exit::{self, Failure};
use crate::cli::setup::{access, dial_failure};
use crate::client::dial;
use crate::client::socket::Socket;
use crate::config::Config;

/// How long a slow gateway may take for a message.
const SEND_LIMIT: Duration = Duration::from_secs(5);

pub(in crate::cli) struct RemoteLink {
    socket: WebSocket<Socket>,
    /// A byte comes for each signal.
    signals: [(i32, UnixStream); 2],
}

impl RemoteLink {
    /// Connects to a `ws://` or `wss://` URL.
    pub(in crate::cli) fn connect(url: &str, config: &Config) -> Result<Self, Failure> {
        let socket = dial(url, &access(config)).map_err(dial_failure)?;
        let signals =
            watch_signals().map_err(|error| Failure::new(exit::AGENT, error.to_string()))?;
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
        let deadline = Instant::now() + SEND_LIMIT;
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
