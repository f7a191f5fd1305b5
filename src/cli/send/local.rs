//! The link to an agent in this process.

use std::collections::VecDeque;
use std::time::Instant;

use crossbeam_channel::{Receiver, at, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::link::{Arrival, Link};
use crate::cli::exit::Failure;
use crate::gateway::{Launch, OneShot};
use crate::storage::InstanceLock;
use crate::threads;

const STACK_BYTES: usize = 64 * 1024;

pub(super) struct LocalLink {
    stack: OneShot,
    /// Frames that answered at once.
    ready: VecDeque<String>,
    signals: Receiver<i32>,
}

impl LocalLink {
    pub(super) fn start(launch: &Launch, lock: InstanceLock) -> Result<Self, Failure> {
        let signals = forward_signals()?;
        let stack = OneShot::start(launch, lock)?;
        Ok(Self {
            stack,
            ready: VecDeque::new(),
            signals,
        })
    }
}

impl Link for LocalLink {
    fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.ready.extend(self.stack.send(text));
        Ok(())
    }

    fn next(&mut self, deadline: Instant) -> Arrival {
        if let Some(frame) = self.ready.pop_front() {
            return Arrival::Frame(frame);
        }
        loop {
            select! {
                recv(self.stack.frames()) -> outbound => match outbound {
                    Ok(outbound) => if let Some(frame) = self.stack.encode(&outbound) {
                        return Arrival::Frame(frame);
                    },
                    Err(_) => return Arrival::Closed("the session has ended".to_owned()),
                },
                recv(self.signals) -> signal => return Arrival::Signal(signal.unwrap_or(SIGTERM)),
                recv(at(deadline)) -> _ => return Arrival::Late,
            }
        }
    }
}

/// Passes signals on as messages; the thread lives as long as the process.
fn forward_signals() -> Result<Receiver<i32>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            crate::cli::exit::AGENT,
            format!("signals cannot be watched: {error}"),
        )
    };
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let (tell, told) = bounded(4);
    threads::spawn("signals", STACK_BYTES, move || {
        for signal in signals.forever() {
            if tell.send(signal).is_err() {
                return;
            }
        }
    })
    .map_err(failed)?;
    Ok(told)
}
