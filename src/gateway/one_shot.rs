//! The gateway's stack without its port, for one command that runs one turn and leaves. Same database, same session,
//! same agent loop; only this process's own inputs are worked on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::build::{self, Launch};
use super::run;
use crate::bus::{ClientId, Outbound, Sink, session_queue};
use crate::channels::cli_chat::CliChat;
use crate::channels::outbound::PushChannels;
use crate::observability::Health;
use crate::session::{Scope, Session};
use crate::storage::{Db, InstanceLock};
use crate::threads::Fatal;
use crate::tools::Processes;

/// Frames that may wait for the command to print them.
const FRAMES: usize = 4_096;
const CLIENT: ClientId = ClientId(1);
/// How long commands in the background may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(3);

/// A running stack with one client: the command itself.
pub struct OneShot {
    chat: CliChat,
    frames: Receiver<Outbound>,
    session: Option<Session>,
    processes: Processes,
    lock: Option<InstanceLock>,
    /// Whether the database needs no check that was left to a gateway.
    checked: bool,
}

struct QueueSink(Sender<Outbound>);

impl Sink for QueueSink {
    fn push(&self, outbound: Outbound) {
        let _ = self.0.send(outbound);
    }
}

impl OneShot {
    /// Starts the stack; the lock is held until this is dropped.
    pub fn start(launch: &Launch, mut lock: InstanceLock) -> Result<Self> {
        let db = Db::open_with(
            &launch.config.gateway.session_db_path,
            lock.is_after_crash(),
            Some(build::backups(&launch.config)),
        )?;
        lock.opened();
        db.keep_log();
        let checked = !db.needs_check();
        let db = Arc::new(db);
        let (sink, frames) = bounded(FRAMES);
        let parts = build::parts(
            launch,
            db,
            build::Front {
                sink: Arc::new(QueueSink(sink)),
                port: 0,
            },
            Arc::new(Health::default()),
            run::turn_observers(),
            // Bots belong to the gateway.
            PushChannels::new(),
            build::open_workspace(launch)?,
        )?;
        let fatal = Fatal::new(|name| {
            log::error!("thread {name} panicked");
            std::process::exit(70);
        });
        let (queue, inbox) = session_queue();
        let mut chat = CliChat::new(queue);
        let processes = parts.processes.clone();
        let session = Session::start(parts.deps, inbox, Scope::OwnInputs, &fatal)?;
        // The queue is empty: one message always fits.
        let _ = chat.connected(CLIENT, true);
        Ok(Self {
            chat,
            frames,
            session: Some(session),
            processes,
            lock: Some(lock),
            checked,
        })
    }

    /// Sends one message of the WebSocket contract; returns frames that answer at once.
    pub fn send(&mut self, text: &str) -> Vec<String> {
        // One client with a handful of messages cannot fill the queue.
        let _ = self.chat.text(CLIENT, text);
        self.chat
            .take_replies()
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// Returns the queue of what comes back; [`OneShot::encode`] makes frames of it.
    pub fn frames(&self) -> &Receiver<Outbound> {
        &self.frames
    }

    /// Returns a message as the frame a WebSocket client would see.
    pub fn encode(&self, outbound: &Outbound) -> Option<String> {
        self.chat.encode(outbound)
    }
}

impl Drop for OneShot {
    fn drop(&mut self) {
        let mut late = match self.session.take() {
            Some(session) => session.stop(Duration::ZERO),
            None => Vec::new(),
        };
        for thread in self.processes.stop() {
            late.extend(thread.join_within(END_LIMIT).err());
        }
        for error in &late {
            log::warn!("{error}");
        }
        if let Some(lock) = self.lock.take().filter(|_| self.checked && late.is_empty()) {
            lock.end();
        }
    }
}
