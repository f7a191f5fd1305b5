//! A gate at which a scripted answer stops until the test lets it go on, or until the other side hangs up.
//!
//! The test's thread and the model's connection thread meet here. It knows nothing of HTTP.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::CEILING;

/// Something that can be raised once and polled for.
pub(crate) struct Flag {
    raise: UnixStream,
    raised: UnixStream,
}

impl Flag {
    /// Makes a flag that is down.
    pub(crate) fn new() -> Self {
        let (raise, raised) = UnixStream::pair().unwrap();
        Self { raise, raised }
    }

    /// Raises it for good.
    pub(crate) fn raise(&self) {
        let _ = (&self.raise).write_all(b"!");
    }

    /// Returns what becomes readable when it is raised.
    pub(crate) fn readable(&self) -> &UnixStream {
        &self.raised
    }
}

/// Why a wait on a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// The flag was raised.
    Raised,
    /// The server is being dropped.
    Stopped,
    /// The other side closed the connection.
    HungUp,
    /// The time is over.
    Elapsed,
}

/// Waits until `flag` or `stop` is raised, the peer hangs up or `limit` has passed.
pub(crate) fn wait(socket: &TcpStream, flag: Option<&Flag>, stop: &Flag, limit: Duration) -> Woken {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap(),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut fds = vec![
        PollFd::new(socket, PollFlags::RDHUP),
        PollFd::new(stop.readable(), PollFlags::IN),
    ];
    if let Some(flag) = flag {
        fds.push(PollFd::new(flag.readable(), PollFlags::IN));
    }
    loop {
        match poll(&mut fds, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
            Ok(0) => return Woken::Elapsed,
            Ok(_) => break,
        }
    }
    let is_up = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    match (is_up(0), is_up(2)) {
        (true, _) => Woken::HungUp,
        (_, true) => Woken::Raised,
        _ => Woken::Stopped,
    }
}

#[derive(Default)]
struct Seen {
    reached: bool,
    hung_up: bool,
}

struct Shared {
    open: Flag,
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// A gate; clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Shared>);

impl Gate {
    /// Makes a closed gate.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            open: Flag::new(),
            seen: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Lets through whoever waits or will come.
    pub(crate) fn release(&self) {
        self.0.open.raise();
    }

    /// Waits until an answer has come to the gate.
    pub(crate) fn wait_reached(&self) {
        self.until("no answer came to the gate", |seen| seen.reached);
    }

    /// Waits until the other side has closed the connection of the answer at the gate.
    pub(crate) fn wait_hung_up(&self) {
        self.until("the connection stayed open", |seen| seen.hung_up);
    }

    fn until(&self, complaint: &str, happened: impl Fn(&Seen) -> bool) {
        let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, _) = self
            .0
            .changed
            .wait_timeout_while(seen, CEILING, |seen| !happened(seen))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(happened(&seen), "{complaint}");
    }

    /// Stops the answer on `socket` here; returns true if it may go on.
    pub(crate) fn pass(&self, socket: &TcpStream, stop: &Flag) -> bool {
        self.note(|seen| seen.reached = true);
        let woken = wait(socket, Some(&self.0.open), stop, Duration::from_secs(600));
        if woken == Woken::HungUp {
            self.note(|seen| seen.hung_up = true);
        }
        woken == Woken::Raised
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }
}
