//! The `tui-net` thread: owns the socket, connects again for ever, turns frames into messages.
//!
//! Waits in one `poll` for the socket and a wake-up of `main`; while offline it waits for the next try. It keeps nothing to
//! send while offline: the state knows what has no answer and sends it again.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt;
use tungstenite::{Error, Message, WebSocket};

use super::dial::{DialError, Endpoint, dial, explain};
use super::socket::Socket;
use super::text::clean_line;
use crate::threads::{Thread, spawn};
use crate::wire::ServerMessage;

/// Pauses before connecting again; the last one is repeated. Each varies by a fifth, so that many clients do not come at once.
const PAUSES_MS: [u64; 5] = [500, 1_000, 2_000, 5_000, 10_000];
const STACK_BYTES: usize = 256 * 1024;
/// Messages on their way to `main`, which takes them all before it draws.
const EVENTS: usize = 256;
/// Orders on their way here: a person types no faster.
const ORDERS: usize = 256;
/// The kernel looks after a silent connection: first after this, then twice more.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// News of the connection.
#[derive(Debug)]
pub(super) enum NetEvent {
    /// Connecting begins.
    Connecting,
    /// The connection stands; the address it goes to.
    Up(String),
    /// It is lost, or could not be made.
    Down {
        /// In a few words.
        why: String,
        /// When the next try comes.
        retry_ms: u64,
        /// Whether nobody listens there.
        is_refused: bool,
    },
    /// A message.
    Frame(Box<ServerMessage<'static>>),
    /// A message that cannot be read; a sentence.
    Unreadable(String),
}

enum Order {
    Send(String),
    RetryNow,
}

/// The thread from outside. Dropping the orders ends it.
pub(super) struct Net {
    orders: Option<Sender<Order>>,
    wake: UnixStream,
    thread: Thread,
    /// What comes from it.
    pub(super) events: Receiver<NetEvent>,
}

impl Net {
    /// Starts the thread; it connects at once.
    pub(super) fn start(endpoint: Endpoint) -> std::io::Result<Self> {
        let (orders, receive) = bounded(ORDERS);
        let (send, events) = bounded(EVENTS);
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let worker = Worker {
            endpoint,
            orders: receive,
            woken,
            events: send,
        };
        let thread = spawn("tui-net", STACK_BYTES, move || worker.run())?;
        Ok(Self {
            orders: Some(orders),
            wake,
            thread,
            events,
        })
    }

    /// Sends a message, if there is a connection.
    pub(super) fn send(&mut self, text: String) {
        self.order(Order::Send(text));
    }

    /// Connects now instead of at the next try, and again after short pauses if nobody is there yet.
    pub(super) fn retry_now(&mut self) {
        self.order(Order::RetryNow);
    }

    fn order(&mut self, order: Order) {
        // A thread that has so many orders waiting has lost its connection; the state sends again.
        if let Some(orders) = &self.orders {
            let _ = orders.try_send(order);
        }
        let _ = self.wake.write(&[1]);
    }

    /// Ends the thread. One that is just connecting is not waited for.
    pub(super) fn stop(mut self, limit: Duration) {
        self.orders = None;
        let _ = self.wake.write(&[1]);
        drop(self.events);
        let _ = self.thread.join_within(limit);
    }
}

struct Worker {
    endpoint: Endpoint,
    orders: Receiver<Order>,
    woken: UnixStream,
    events: Sender<NetEvent>,
}

/// Why a connection ended.
enum Lost {
    /// `main` has gone.
    Quit,
    /// The other side or the way to it.
    Gone(String),
}

/// Why the wait for the next try is over.
enum Woken {
    Due,
    Asked,
}

impl Worker {
    fn run(mut self) {
        let mut n_failed = 0;
        loop {
            if self.events.send(NetEvent::Connecting).is_err() {
                return;
            }
            let url = (self.endpoint.url)();
            let (why, is_refused) = match dial(&url, &self.endpoint.access) {
                Ok(socket) => match self.serve(socket, url, &mut n_failed) {
                    Lost::Quit => return,
                    Lost::Gone(why) => (why, false),
                },
                Err(error) => (error.in_short(), matches!(error, DialError::NobodyThere(_))),
            };
            let retry = pause(n_failed, random_share());
            n_failed += 1;
            let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
            let down = NetEvent::Down {
                why: clean_line(&why),
                retry_ms,
                is_refused,
            };
            if self.events.send(down).is_err() {
                return;
            }
            match self.wait(retry) {
                None => return,
                // Somebody expects a gateway soon: it is looked for often again.
                Some(Woken::Asked) => n_failed = 0,
                Some(Woken::Due) => {}
            }
        }
    }

    /// Waits for the next try; `None` if `main` has gone.
    fn wait(&self, pause: Duration) -> Option<Woken> {
        let until = std::time::Instant::now() + pause;
        loop {
            match self.orders.recv_deadline(until) {
                Ok(Order::Send(_)) => {}
                Ok(Order::RetryNow) => return Some(Woken::Asked),
                Err(RecvTimeoutError::Timeout) => return Some(Woken::Due),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn serve(&mut self, mut socket: WebSocket<Socket>, url: String, n_failed: &mut usize) -> Lost {
        keep_alive(socket.get_ref().tcp());
        if self.events.send(NetEvent::Up(url)).is_err() {
            return Lost::Quit;
        }
        let mut complained = false;
        loop {
            let mut wants_out = false;
            match socket.flush() {
                Ok(()) => {}
                Err(error) if would_block(&error) => wants_out = true,
                Err(error) => return gone(&error),
            }
            match socket.read() {
                Ok(Message::Text(text)) => {
                    *n_failed = 0;
                    let event = match ServerMessage::parse(&text) {
                        Ok(message) => NetEvent::Frame(Box::new(message)),
                        Err(_) if complained => continue,
                        Err(_) => {
                            complained = true;
                            NetEvent::Unreadable(unreadable(&text))
                        }
                    };
                    if self.events.send(event).is_err() {
                        return Lost::Quit;
                    }
                    continue;
                }
                Ok(Message::Close(frame)) => {
                    let why = frame
                        .map(|frame| frame.reason.to_string())
                        .filter(|why| !why.is_empty());
                    return Lost::Gone(
                        why.unwrap_or_else(|| "the gateway closed the connection".to_owned()),
                    );
                }
                Ok(_) => continue,
                Err(error) if would_block(&error) => {}
                Err(error) => return gone(&error),
            }
            match self.take_orders(&mut socket) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(lost) => return lost,
            }
            let out = if wants_out {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            let mut fds = [
                PollFd::new(socket.get_ref(), PollFlags::IN | out),
                PollFd::new(&self.woken, PollFlags::IN),
            ];
            // An interrupted wait is looked at like any other.
            let _ = poll(&mut fds, None);
            let mut bytes = [0; 64];
            while matches!((&self.woken).read(&mut bytes), Ok(1..)) {}
        }
    }

    /// Writes what is to be sent; true if there was something.
    fn take_orders(&self, socket: &mut WebSocket<Socket>) -> Result<bool, Lost> {
        let mut any = false;
        loop {
            match self.orders.try_recv() {
                Ok(Order::Send(text)) => {
                    any = true;
                    match socket.write(Message::text(text)) {
                        Ok(()) => {}
                        Err(error) if would_block(&error) => {}
                        Err(error) => return Err(gone(&error)),
                    }
                }
                Ok(Order::RetryNow) => {}
                Err(TryRecvError::Empty) => return Ok(any),
                Err(TryRecvError::Disconnected) => {
                    let _ = socket.close(None);
                    let _ = socket.flush();
                    return Err(Lost::Quit);
                }
            }
        }
    }
}

/// A connection that died without a word is found by the kernel, without a wake-up here.
fn keep_alive(stream: &TcpStream) {
    let set = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, KEEP_ALIVE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE / 3))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, 2));
    if let Err(error) = set {
        log::debug!("no keep-alive: {error}");
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}

fn gone(error: &Error) -> Lost {
    Lost::Gone(explain(error))
}

fn unreadable(text: &str) -> String {
    let beginning: String = text.chars().take(80).collect();
    format!(
        "The gateway sends messages that this client cannot read: {}",
        clean_line(&beginning)
    )
}

/// Returns the pause after so many failures in a row; `share` from 0 to 1 says where within its fifth up and down.
fn pause(n_failed: usize, share: f64) -> Duration {
    let ms = PAUSES_MS[n_failed.min(PAUSES_MS.len() - 1)];
    Duration::from_millis(ms).mul_f64(0.8 + 0.4 * share.clamp(0.0, 1.0))
}

/// The clock's last digits are random enough to keep clients apart.
fn random_share() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    f64::from(now.map_or(0, |now| now.subsec_nanos()) % 1_000) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_vary() {
        let ms = |n, share| pause(n, share).as_millis();
        assert_eq!(
            [
                ms(0, 0.5),
                ms(1, 0.5),
                ms(2, 0.5),
                ms(3, 0.5),
                ms(4, 0.5),
                ms(99, 0.5)
            ],
            [500, 1_000, 2_000, 5_000, 10_000, 10_000]
        );
        assert_eq!((ms(1, 0.0), ms(1, 1.0)), (800, 1_200));
        assert!((0.0..=1.0).contains(&random_share()));
    }
}
