//! A queue whose reader waits in `poll`, together with a socket. Any thread puts in; one takes out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// The queue. It is bounded by what its senders have open: each message answers for one that was taken in before.
pub(super) struct Mailbox<T> {
    notes: Mutex<VecDeque<T>>,
    bell: OwnedFd,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            notes: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Puts a note in and wakes the reader; never blocks.
    pub(super) fn put(&self, note: T) {
        let was_empty = {
            let mut notes = self.lock();
            notes.push_back(note);
            notes.len() == 1
        };
        if was_empty && let Err(error) = rustix::io::write(&self.bell, &1_u64.to_ne_bytes()) {
            log::error!("a waiting thread cannot be woken: {error}");
        }
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> VecDeque<T> {
        // The bell first: a note that comes in between rings again.
        let mut rung = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut rung);
        std::mem::take(&mut *self.lock())
    }

    /// Returns what becomes readable when there are notes.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
