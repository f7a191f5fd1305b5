//! The `session` actor: its event loop, the start of turns and their ends.
//!
//! Control goes before turn ends, turn ends before inbound. The thread never waits on a turn or a client: jobs are
//! handed in only when a slot is free, and reads go to `query`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use super::active::{Active, Running, TurnControl, Waiting, Work};
use super::clients::Clients;
use super::query::{self, Query};
use super::replies::Replies;
use super::stop::UnsavedStop;
use super::updates::Changes;
use super::worker::{self, TurnDone, TurnJob};
use super::{Deps, wording};
use crate::bus::{Body, Caller, Control, ErrorCode, Inbound, Outbound, SessionInbox};
use crate::chat::SessionId;
use crate::observability::Part;
use crate::storage::{DialogKey, StorageError};
use crate::threads::{JoinError, SlotPool};

/// Inbound messages committed together.
const BATCH: usize = 64;
/// A turn runs JSON and tool code; debug builds need the room.
const TURN_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Slots that keep their thread while idle.
const RESIDENT_SLOTS: usize = 2;
/// How long to wait for the system to have threads again.
const THREAD_PAUSE: Duration = Duration::from_secs(1);
/// How long turns that were cut off may take to return.
pub(super) const CUT_OFF_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Actor {
    pub(super) deps: Arc<Deps>,
    inbox: SessionInbox,
    done: Receiver<TurnDone>,
    stopped: Receiver<Instant>,
    queries: Sender<Query>,
    pool: SlotPool<TurnJob>,
    pub(super) clients: Clients,
    pub(super) active: HashMap<DialogKey, Active>,
    pub(super) changes: Changes,
    /// Dialogs that wait for a free slot, first come first served.
    line: VecDeque<DialogKey>,
    /// When running turns are cut off, once the process ends.
    ending: Option<Instant>,
    /// When the disk is tried again after it failed.
    pub(super) probe: Option<Instant>,
    /// Stopped turns whose end could not be stored.
    pub(super) unsaved: Vec<UnsavedStop>,
    /// Whether what an earlier process left could not be read.
    pub(super) recover_later: bool,
    /// When the line is served again although no turn has ended: no thread could be started.
    retry: Option<Instant>,
}

enum Wake {
    Control(Control),
    Done(TurnDone),
    Inbound(Inbound),
    Stop(Instant),
    Deadline,
}

impl Actor {
    pub(super) fn new(
        deps: Deps,
        inbox: SessionInbox,
        queries: Sender<Query>,
        stopped: Receiver<Instant>,
    ) -> Self {
        let deps = Arc::new(deps);
        let max_turns = deps.max_turns;
        // One end for each slot. A slot may get its next job before its last end is taken in: then the sender waits a
        // moment, and nobody waits for the sender.
        let (tell_done, done) = bounded(max_turns);
        let pool = SlotPool::new(
            "turn",
            TURN_STACK_BYTES,
            max_turns,
            RESIDENT_SLOTS,
            {
                let deps = deps.clone();
                move |job: TurnJob| worker::run(&deps, &job)
            },
            move |outcome| {
                let _ = tell_done.send(outcome);
            },
        );
        Self {
            deps,
            inbox,
            done,
            stopped,
            queries,
            pool,
            clients: Clients::default(),
            active: HashMap::new(),
            changes: Changes::default(),
            line: VecDeque::new(),
            ending: None,
            probe: None,
            unsaved: Vec::new(),
            recover_later: false,
            retry: None,
        }
    }

    /// Works until told to stop and all turns have ended or were cut off; returns the threads that did not come.
    pub(super) fn run(mut self) -> Vec<JoinError> {
        while let Some(wake) = self.next() {
            match wake {
                Wake::Control(control) => self.handle_control(control),
                Wake::Done(done) => self.handle_done(&done),
                Wake::Inbound(first) => self.handle_inbound(first),
                Wake::Stop(deadline) => self.handle_stop(deadline),
                Wake::Deadline => self.handle_deadline(),
            }
            self.watch_storage();
            self.tell_changes();
            if let Some(approvers) = self.clients.changed_approvers() {
                self.deps.approvals.set_approvers(approvers);
            }
        }
        self.pool.join_until(Instant::now() + CUT_OFF_LIMIT)
    }

    fn next(&self) -> Option<Wake> {
        if self.ending.is_some() && !self.any_running() {
            return None;
        }
        if let Ok(control) = self.inbox.control.try_recv() {
            return Some(Wake::Control(control));
        }
        if let Ok(done) = self.done.try_recv() {
            return Some(Wake::Done(done));
        }
        let stopped = match self.ending {
            None => self.stopped.clone(),
            Some(_) => never(),
        };
        let deadline = self.deadline().map_or_else(never, crossbeam_channel::at);
        // A lane whose senders are gone means that nobody is left to serve.
        select! {
            recv(self.inbox.control) -> control => Some(control.map_or(Wake::Stop(Instant::now()), Wake::Control)),
            recv(self.done) -> done => done.ok().map(Wake::Done),
            recv(self.inbox.inbound) -> message => Some(message.map_or(Wake::Stop(Instant::now()), Wake::Inbound)),
            recv(stopped) -> deadline => Some(Wake::Stop(deadline.unwrap_or_else(|_| Instant::now()))),
            recv(deadline) -> _ => Some(Wake::Deadline),
        }
    }

    fn any_running(&self) -> bool {
        self.active.values().any(|active| active.running.is_some())
    }

    /// When this thread must act without being told: a stopped turn has not ended, or the process must.
    fn deadline(&self) -> Option<Instant> {
        self.active
            .values()
            .filter_map(|active| active.running.as_ref()?.give_up)
            .chain(self.ending)
            .chain(self.retry)
            .chain(self.probe)
            .min()
    }

    fn handle_inbound(&mut self, first: Inbound) {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match self.inbox.inbound.try_recv() {
                Ok(message) => batch.push(message),
                Err(_) => break,
            }
        }
        self.deps.sink.room();
        self.apply_batch(&batch);
    }

    /// Takes everything in that was received before now, so that a command which overtakes knows of it.
    pub(super) fn drain_inbound(&mut self) {
        for _ in 0..=crate::bus::INBOUND / BATCH {
            match self.inbox.inbound.try_recv() {
                Ok(first) => self.handle_inbound(first),
                Err(_) => return,
            }
        }
    }

    fn handle_done(&mut self, done: &TurnDone) {
        let ended = self.active.get_mut(&done.dialog).and_then(|active| {
            active
                .running
                .take_if(|running| running.input == done.input)
        });
        if let Some(running) = ended {
            let session = running.replies.session().clone();
            self.changes.note(done.dialog, &session, &running.asked_by);
            if running.control.left_stopped() {
                self.unsaved.push(UnsavedStop {
                    dialog: done.dialog,
                    input: done.input,
                    turn: running.control.turn(),
                    words: running.control.stop_words(),
                });
            }
            for left in running.control.steering.leftover() {
                self.take_up(done.dialog, &session, left);
            }
        }
        if self.deps.pushing.is_empty() {
            // Nobody to tell.
        } else {
            let _ = self.deps.outbox_wake.try_send(());
        }
        // The line first: a dialog with a backlog must not keep its slot for ever.
        self.serve_line();
        self.dispatch(done.dialog);
        if self.active.is_empty() {
            self.rest();
        }
    }

    /// The last of the work is done: memory of a burst goes back.
    fn rest(&mut self) {
        self.active.shrink_to_fit();
        self.line.shrink_to_fit();
        crate::platform::trim_memory_after_burst(|| self.deps.db.shrink());
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The process ends: what was received is still taken in; what waits is kept for the next process.
    fn handle_stop(&mut self, deadline: Instant) {
        if !self.is_ending() {
            self.drain_inbound();
            self.ending = Some(deadline);
            self.line.clear();
            self.tell_waiting();
        }
    }

    fn tell_waiting(&mut self) {
        let waiting: Vec<_> = self
            .active
            .values_mut()
            .map(|active| {
                let steered = active.steering().map(|steering| steering.take(|_| true));
                let mut queue = std::mem::take(&mut active.queue);
                queue.extend(steered.into_iter().flatten().map(Work::Input));
                (active.session.clone(), queue)
            })
            .collect();
        for (session, queue) in waiting {
            for work in queue {
                let message = match work {
                    Work::Input(_) => wording::ENDING,
                    Work::Op(..) => wording::CLOSED,
                };
                for caller in &work.into_callers() {
                    let body = Body::Error {
                        code: ErrorCode::ShuttingDown,
                        message: message.to_owned(),
                    };
                    self.reply(caller, Some(session.clone()), body);
                }
            }
        }
    }

    fn handle_deadline(&mut self) {
        let now = Instant::now();
        if let Some(ending) = self.ending
            && now >= ending
        {
            self.cut_off_turns();
            return;
        }
        if self.probe.is_some_and(|at| at <= now) {
            self.probe_storage();
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.serve_line();
        }
        let late: Vec<_> = self
            .active
            .iter()
            .filter(|(_, active)| {
                active
                    .running
                    .as_ref()
                    .and_then(|running| running.give_up)
                    .is_some_and(|at| at <= now)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in late {
            self.give_up_stopped(key);
            self.dispatch(key);
        }
    }

    /// Ends the process's turns; they stay open in the database for the next one.
    fn cut_off_turns(&mut self) {
        for running in self
            .active
            .values_mut()
            .filter_map(|active| active.running.take())
        {
            running.control.cut_off();
        }
    }

    /// Puts work behind what a dialog has to do already.
    pub(super) fn add_work(&mut self, key: DialogKey, session: &SessionId, work: Work) {
        let active = self
            .active
            .entry(key)
            .or_insert_with(|| Active::new(session.clone()));
        active.queue.push_back(work);
        self.count_waiting();
    }

    /// Puts an input among those that wait: where it belongs by the order received, but one whose turn an earlier process began
    /// before all others. What they say and do would come in the middle of that turn.
    pub(super) fn add_in_order(&mut self, key: DialogKey, session: &SessionId, waiting: Waiting) {
        let active = self
            .active
            .entry(key)
            .or_insert_with(|| Active::new(session.clone()));
        let later =
            |work: &Work| matches!(work, Work::Input(other) if other.place() > waiting.place());
        let at = active.queue.iter().position(later);
        let at = at.unwrap_or(active.queue.len());
        active.queue.insert(at, Work::Input(waiting));
        self.count_waiting();
    }

    pub(super) fn count_waiting(&self) {
        let waiting: usize = self.active.values().map(Active::n_waiting).sum();
        self.deps
            .health
            .queued
            .store(waiting as u64, Ordering::Relaxed);
    }

    /// Starts what a dialog can do now; a dialog with nothing left is forgotten.
    pub(super) fn dispatch(&mut self, key: DialogKey) {
        while self.ending.is_none() {
            let Some(active) = self.active.get_mut(&key) else {
                return;
            };
            let waits_for_slot =
                active.in_line && matches!(active.queue.front(), Some(Work::Input(_)));
            if active.running.is_some() || waits_for_slot {
                return;
            }
            match active.queue.pop_front() {
                None => {
                    self.active.remove(&key);
                    return;
                }
                Some(Work::Op(op, asker)) => self.run_op(key, op, &asker),
                Some(Work::Input(waiting)) => {
                    self.begin(key, waiting);
                    self.count_waiting();
                    return;
                }
            }
        }
    }

    /// Starts the turn of an input, or puts its dialog in the line for a free slot.
    fn begin(&mut self, key: DialogKey, waiting: Waiting) {
        let Some(active) = self.active.get_mut(&key) else {
            return;
        };
        let control = Arc::new(TurnControl::default());
        let replies = Arc::new(Replies::new(
            active.session.clone(),
            self.deps.sink.clone(),
            waiting.callers.clone(),
            waiting.joined.clone(),
        ));
        let job = TurnJob {
            dialog: key,
            session: active.session.clone(),
            input: waiting.input,
            resume: waiting.resume,
            control: control.clone(),
            replies: replies.clone(),
        };
        match self.pool.try_run(job) {
            Ok(()) => {
                let asked_by: Vec<_> = waiting.callers.iter().map(|c| c.client).collect();
                self.changes.note(key, &active.session, &asked_by);
                active.running = Some(Running {
                    input: waiting.input,
                    control,
                    replies,
                    asked_by,
                    since: Instant::now(),
                    give_up: None,
                });
            }
            Err(_) => {
                active.queue.push_front(Work::Input(waiting));
                active.in_line = true;
                self.line.push_back(key);
                if !self.any_running() {
                    self.retry = Some(Instant::now() + THREAD_PAUSE);
                }
            }
        }
    }

    fn serve_line(&mut self) {
        while let Some(key) = self.line.pop_front() {
            if let Some(active) = self.active.get_mut(&key) {
                active.in_line = false;
            }
            self.dispatch(key);
            let waits_again = self.active.get(&key).is_some_and(|active| active.in_line);
            if waits_again {
                // No slot was free: it keeps its place in front.
                self.line.rotate_right(1);
                return;
            }
        }
    }

    pub(super) fn storage_failed(&self, error: &StorageError) -> Body {
        log::error!("not stored: {error}");
        self.deps.health.degraded(Part::Storage);
        Body::Error {
            code: ErrorCode::Storage,
            message: wording::not_stored(error),
        }
    }

    pub(super) fn reply(&self, caller: &Caller, session: Option<SessionId>, body: Body) {
        self.deps.sink.push(Outbound {
            client: caller.client,
            request_id: caller.request_id.clone(),
            session,
            body,
        });
    }

    pub(super) fn ask(&self, query: Query) {
        if let Err(error) = self.queries.try_send(query) {
            query::refuse(error.into_inner(), &*self.deps.sink);
        }
    }
}
