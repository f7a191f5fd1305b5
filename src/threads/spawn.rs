//! Starting and joining named threads. Owns no state; runs on whichever thread calls it.
//!
//! A panic in a job thread is the job's own business (`catch_unwind` at its border). A panic in an actor thread trips
//! [`Fatal`]: its state can no longer be trusted, so the process must end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

/// Linux cuts longer thread names.
const MAX_NAME_BYTES: usize = 15;

/// A running thread with a name and a way to wait for its end.
#[derive(Debug)]
pub struct Thread {
    name: String,
    ended: Receiver<()>,
    handle: std::thread::JoinHandle<()>,
}

/// Why a thread could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It still ran at the deadline.
    #[error("thread {0} did not end in time")]
    Late(String),
    /// It panicked.
    #[error("thread {0} panicked")]
    Panicked(String),
}

impl Thread {
    /// Returns the name given at spawn.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until the thread has ended or the deadline has passed. A late thread is left running.
    pub fn join_until(self, deadline: Instant) -> Result<(), JoinError> {
        // The sender is dropped by the thread, also when it panics: a disconnect is the end.
        let late = matches!(
            self.ended.recv_deadline(deadline),
            Err(crossbeam_channel::RecvTimeoutError::Timeout)
        );
        if late {
            return Err(JoinError::Late(self.name));
        }
        self.handle
            .join()
            .map_err(|_| JoinError::Panicked(self.name))
    }

    /// Waits at most `limit` for the end; see [`Thread::join_until`].
    pub fn join_within(self, limit: Duration) -> Result<(), JoinError> {
        self.join_until(Instant::now() + limit)
    }
}

/// Starts a thread with a name of at most 15 bytes and a stack of `stack_bytes`.
pub fn spawn(
    name: impl Into<String>,
    stack_bytes: usize,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    let name = name.into();
    debug_assert!(name.len() <= MAX_NAME_BYTES, "thread name {name} is cut");
    let (alive, ended) = bounded::<()>(1);
    #[allow(clippy::disallowed_methods)] // The one place that starts threads.
    let handle = std::thread::Builder::new()
        .name(name.clone())
        .stack_size(stack_bytes)
        .spawn(move || {
            let _alive = alive;
            run();
        })?;
    Ok(Thread {
        name,
        ended,
        handle,
    })
}

/// What to do when an actor thread panics.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    /// Makes a trip wire; `notify` runs on the panicking thread with that thread's name, after the panic hook.
    pub fn new(notify: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }
}

/// Starts an actor: a thread whose panic must end the process.
pub fn spawn_actor(
    name: &'static str,
    stack_bytes: usize,
    fatal: &Fatal,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    let fatal = fatal.clone();
    spawn(name, stack_bytes, move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            (fatal.0)(name);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 128 * 1024;

    #[test]
    fn joins_and_reports_lateness() {
        let (stop, wait) = bounded::<()>(0);
        let late = spawn("late", STACK, move || {
            let _ = wait.recv();
        })
        .unwrap();
        let quick = spawn("quick", STACK, || {}).unwrap();
        assert_eq!(quick.name(), "quick");
        quick.join_within(Duration::from_secs(60)).unwrap();
        let error = late.join_until(Instant::now()).unwrap_err();
        assert!(matches!(error, JoinError::Late(name) if name == "late"));
        drop(stop);
    }

    #[test]
    fn an_actor_panic_trips_the_wire() {
        let (tell, told) = bounded(1);
        let fatal = Fatal::new(move |name| {
            let _ = tell.send(name.to_owned());
        });
        let actor = spawn_actor("actor", STACK, &fatal, || panic!("on purpose")).unwrap();
        actor.join_within(Duration::from_secs(60)).unwrap();
        assert_eq!(told.recv().unwrap(), "actor");
    }
}
