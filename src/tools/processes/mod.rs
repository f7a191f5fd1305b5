//! Commands that go on in the background: started by `bash`, looked after by the tool `process`, listed for people by
//! `/ps`.
//!
//! Owns the table of them behind one mutex, held for bookkeeping only. Each running one has a thread `proc-N` that sits in
//! `poll` until there is output or an end. A process belongs to its dialog, survives the turn, and dies with the dialog or
//! with PicoBot. Not here: confinement and killing, which are the sandbox's.

mod recent;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::recent::Recent;
use super::ToolError;
use super::bash::{ending, sentence};
use super::random::random_hex;
use crate::chat::SessionId;
use crate::observability::{RedactedStream, Redactor};
use crate::sandbox::{Call, Cleaner, CommandInput, Sandbox, Started};
use crate::threads::{CancelToken, Thread, spawn};

/// Running at once in one dialog, and in all of them.
const MAX_IN_DIALOG: usize = 8;
const MAX_RUNNING: usize = 32;
/// Ended ones that are remembered in one dialog.
const MAX_ENDED: usize = 8;
/// What is kept of the output nobody has read yet, in bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// The longest input of one call, in bytes: what an empty pipe takes.
const MAX_INPUT_BYTES: usize = 64 * 1024;
/// How long a background process may run.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const STACK_BYTES: usize = 256 * 1024;

/// A background process as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessInfo {
    /// Its id.
    pub id: String,
    /// The command line.
    pub command: String,
    /// How long it has run, or ran.
    pub time: Duration,
    /// How it ended; `None` while it runs.
    pub end: Option<String>,
}

/// What whoever keeps dialogs needs of their processes.
pub trait ProcessPort: Send + Sync {
    /// Lists a dialog's processes, oldest first.
    fn list(&self, session: &SessionId) -> Vec<ProcessInfo>;

    /// Tells one of a dialog's running processes to end, or all of them; returns the ids. Does not wait for their ends.
    fn kill(&self, session: &SessionId, id: Option<&str>) -> Vec<String>;

    /// Ends and forgets all of a dialog.
    fn forget(&self, session: &SessionId);
}

/// What a look at a process gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// What it printed since the last look.
    pub(super) output: String,
    /// How it ended; `None` while it runs.
    pub(super) end: Option<String>,
    /// How long it has run, or ran.
    pub(super) time: Duration,
}

/// All background processes of this process.
#[derive(Clone)]
pub struct Processes(Arc<Shared>);

struct Shared {
    sandbox: Arc<Sandbox>,
    redactor: Arc<Redactor>,
    table: Mutex<Table>,
    /// Told of output and ends.
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    /// Nothing starts any more.
    closed: bool,
    threads: Vec<Thread>,
    /// How many threads have been started, for their names.
    n_started: u64,
}

struct Entry {
    id: String,
    session: SessionId,
    command: String,
    started: Instant,
    output: Recent,
    input: Option<CommandInput>,
    cancel: CancelToken,
    end: Option<(String, Duration)>,
}

impl Entry {
    fn time(&self) -> Duration {
        self.end
            .as_ref()
            .map_or_else(|| self.started.elapsed(), |(_, time)| *time)
    }

    fn is_running(&self) -> bool {
        self.end.is_none()
    }

    fn info(&self) -> ProcessInfo {
        ProcessInfo {
            id: self.id.clone(),
            command: self.command.clone(),
            time: self.time(),
            end: self.end.as_ref().map(|(end, _)| end.clone()),
        }
    }
}

impl Processes {
    /// Makes an empty table. Nothing is started before it is asked for.
    pub fn new(sandbox: Arc<Sandbox>, redactor: Arc<Redactor>) -> Self {
        Self(Arc::new(Shared {
            sandbox,
            redactor,
            table: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Starts a command; returns its id. The call's deadline does not count.
    pub(super) fn start(
        &self,
        session: &SessionId,
        command: &str,
        call: &Call<'_>,
    ) -> Result<String, ToolError> {
        let call = Call {
            deadline: LIFETIME,
            output_cap: 0,
            ..call.clone()
        };
        let (id, cancel) = self
            .0
            .lock()
            .reserve(session, &self.0.redactor.redact(command))?;
        let result = self.launch(&id, &call, &cancel);
        if result.is_err() {
            self.0.lock().entries.retain(|entry| entry.id != id);
        }
        result.map(|()| id)
    }

    fn launch(&self, id: &str, call: &Call<'_>, cancel: &CancelToken) -> Result<(), ToolError> {
        let mut started = self
            .0
            .sandbox
            .start_with_input(call)
            .map_err(|error| ToolError::Failed(sentence(&error)))?;
        let input = started.take_input();
        let mut table = self.0.lock();
        table.threads.retain(|thread| !thread.has_ended());
        table.n_started += 1;
        // Beyond a million the name would be cut, which harms nobody.
        let name = format!("proc-{}", table.n_started % 1_000_000);
        let thread = spawn(name, STACK_BYTES, {
            let (shared, id, cancel) = (self.0.clone(), id.to_owned(), cancel.clone());
            move || shared.follow(&id, started, &cancel)
        });
        let thread = thread
            .map_err(|error| ToolError::failed(format!("No thread could be started: {error}.")))?;
        table.threads.push(thread);
        if let Some(entry) = table.entry(id) {
            entry.input = input;
        }
        Ok(())
    }

    /// Waits until a process has ended or prints something, at most so long or until cancelled; then takes what it printed
    /// since the last look.
    pub(super) fn look(
        &self,
        session: &SessionId,
        id: &str,
        wait: Duration,
        cancel: &CancelToken,
    ) -> Result<Look, ToolError> {
        let shared = self.0.clone();
        let _closer = cancel.on_cancel(move || {
            drop(shared.lock());
            shared.changed.notify_all();
        });
        let deadline = Instant::now() + wait;
        let mut table = self.0.lock();
        loop {
            let entry = table.find(session, id)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let has_news = !entry.is_running() || entry.output.has_unread();
            if has_news || left.is_zero() || cancel.is_cancelled() {
                return Ok(Look {
                    output: entry.output.take(),
                    end: entry.end.as_ref().map(|(end, _)| end.clone()),
                    time: entry.time(),
                });
            }
            table = self
                .0
                .changed
                .wait_timeout(table, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Writes to a process's standard input. Never blocks: what the process does not take is an error.
    pub(super) fn write(&self, session: &SessionId, id: &str, text: &str) -> Result<(), ToolError> {
        if text.len() > MAX_INPUT_BYTES {
            return Err(ToolError::failed(format!(
                "The input is longer than {MAX_INPUT_BYTES} bytes; send it in pieces."
            )));
        }
        let mut table = self.0.lock();
        let entry = table.find(session, id)?;
        let input = match &mut entry.input {
            Some(input) if entry.end.is_none() => input,
            _ => {
                return Err(ToolError::failed(format!(
                    "{id} has ended and takes no input."
                )));
            }
        };
        match input.write(text.as_bytes()) {
            Ok(n) if n == text.len() => Ok(()),
            Ok(n) => Err(ToolError::failed(format!(
                "{id} does not read its input now; only the first {n} of {} bytes were sent.",
                text.len()
            ))),
            Err(_) => Err(ToolError::failed(format!("{id} has closed its input."))),
        }
    }

    /// Closes a process's standard input.
    pub(super) fn close_input(&self, session: &SessionId, id: &str) -> Result<(), ToolError> {
        self.0.lock().find(session, id)?.input = None;
        Ok(())
    }

    /// Ends everything; returns the threads to be joined. Nothing starts afterwards.
    pub fn stop(&self) -> Vec<Thread> {
        let mut table = self.0.lock();
        table.closed = true;
        let cancels: Vec<CancelToken> = table.running().map(|entry| entry.cancel.clone()).collect();
        let threads = std::mem::take(&mut table.threads);
        drop(table);
        cancels.iter().for_each(CancelToken::cancel);
        threads
    }
}

impl ProcessPort for Processes {
    fn list(&self, session: &SessionId) -> Vec<ProcessInfo> {
        let table = self.0.lock();
        let own = table
            .entries
            .iter()
            .filter(|entry| entry.session == *session);
        own.map(Entry::info).collect()
    }

    fn kill(&self, session: &SessionId, id: Option<&str>) -> Vec<String> {
        let meant: Vec<(String, CancelToken)> = {
            let table = self.0.lock();
            let own = table.running().filter(|entry| entry.session == *session);
            // Those on their way out have been told already.
            own.filter(|entry| !entry.cancel.is_cancelled())
                .filter(|entry| id.is_none_or(|id| entry.id == id))
                .map(|entry| (entry.id.clone(), entry.cancel.clone()))
                .collect()
        };
        // Closers run here; they take no lock of ours.
        for (_, cancel) in &meant {
            cancel.cancel();
        }
        meant.into_iter().map(|(id, _)| id).collect()
    }

    fn forget(&self, session: &SessionId) {
        self.kill(session, None);
        self.0
            .lock()
            .entries
            .retain(|entry| entry.session != *session);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a process to its end, on its own thread.
    fn follow(&self, id: &str, started: Started, cancel: &CancelToken) {
        let mut cleaner = Cleaner::new();
        let mut masked = RedactedStream::known(&self.redactor);
        let outcome = started.wait(cancel, &mut |bytes| {
            let mut text = String::new();
            cleaner.push(bytes, &mut text);
            masked.push(&text, &mut |text| self.add_output(id, text));
        });
        let mut rest = String::new();
        cleaner.finish(&mut rest);
        masked.push(&rest, &mut |text| self.add_output(id, text));
        masked.finish(&mut |text| self.add_output(id, text));
        let end = match outcome {
            Ok(outcome) => ending(&outcome, LIFETIME),
            Err(error) => format!("[not run: {}]", sentence(&error)),
        };
        let mut table = self.lock();
        if let Some(entry) = table.entry(id) {
            entry.end = Some((end, entry.started.elapsed()));
            entry.input = None;
            let session = entry.session.clone();
            table.forget_old(&session);
        }
        drop(table);
        self.changed.notify_all();
    }

    fn add_output(&self, id: &str, text: &str) {
        if let Some(entry) = self.lock().entry(id) {
            entry.output.push(text);
        }
        self.changed.notify_all();
    }
}

impl Table {
    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// Finds a process of this dialog; others' do not exist for it.
    fn find(&mut self, session: &SessionId, id: &str) -> Result<&mut Entry, ToolError> {
        let known = self
            .entries
            .iter_mut()
            .find(|entry| entry.id == id && entry.session == *session);
        known.ok_or_else(|| {
            let shown: String = id.chars().take(64).collect();
            ToolError::failed(format!(
                "There is no background process {shown:?}; without id the tool lists those there are."
            ))
        })
    }

    fn running(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_running())
    }

    /// Makes the entry of a process that is about to start, unless it is one too many.
    fn reserve(
        &mut self,
        session: &SessionId,
        command: &str,
    ) -> Result<(String, CancelToken), ToolError> {
        if self.closed {
            return Err(ToolError::Cancelled);
        }
        let own = self.running().filter(|entry| entry.session == *session);
        if own.count() >= MAX_IN_DIALOG || self.running().count() >= MAX_RUNNING {
            return Err(ToolError::failed(
                "Too many background processes run already; end one with the tool process first.",
            ));
        }
        let (id, cancel) = (self.new_id(), CancelToken::new());
        self.entries.push(Entry {
            id: id.clone(),
            session: session.clone(),
            command: command.to_owned(),
            started: Instant::now(),
            output: Recent::new(KEPT_BYTES),
            input: None,
            cancel: cancel.clone(),
            end: None,
        });
        Ok((id, cancel))
    }

    /// Makes an id that no process has or had, as far as anybody remembers.
    fn new_id(&self) -> String {
        loop {
            let id = format!("p{}", random_hex::<3>());
            if self.entries.iter().all(|entry| entry.id != id) {
                return id;
            }
        }
    }

    /// Drops the oldest of a dialog's ended processes beyond those that are remembered.
    fn forget_old(&mut self, session: &SessionId) {
        let is_old = |entry: &Entry| entry.session == *session && !entry.is_running();
        let surplus = self
            .entries
            .iter()
            .filter(|entry| is_old(entry))
            .count()
            .saturating_sub(MAX_ENDED);
        let mut dropped = 0;
        self.entries.retain(|entry| {
            let drops = is_old(entry) && dropped < surplus;
            dropped += usize::from(drops);
            !drops
        });
    }
}
