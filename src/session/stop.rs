//! Stopping turns, and the control lane.

use std::time::{Duration, Instant, SystemTime};

use super::active::{Waiting, Work};
use super::actor::Actor;
use super::apply::Apply;
use super::ending::{end_messages, store_delivery};
use super::replies::{error_reply, reply_body};
use super::{commands, wording};
use crate::bus::{Body, Control, ErrorCode, Op};
use crate::observability::Part;
use crate::storage::{
    DialogKey, InboxId, InboxRow, Outcome, StorageError, StoredReply, TurnId, TurnState, Tx,
};

/// How long a stopped turn may take to end by itself; then the session goes on without it.
pub(super) const OBEY_LIMIT: Duration = Duration::from_millis(1_500);

/// What a stop found.
#[derive(Default)]
pub(super) struct StopReport {
    /// Whether a turn was running.
    pub(super) turn: bool,
    /// Whether the input that was meant has joined a turn, which goes on.
    pub(super) joined: bool,
    /// Beginnings of the inputs that were dropped.
    pub(super) dropped: Vec<String>,
    /// Whether those that wait could not be dropped, because the database cannot be written.
    pub(super) not_stored: bool,
}

/// A turn that a person stopped and whose end could not be stored.
pub(super) struct UnsavedStop {
    pub(super) dialog: DialogKey,
    pub(super) input: InboxId,
    /// The turn, if it had begun.
    pub(super) turn: Option<TurnId>,
    /// Why it was stopped, for people.
    pub(super) words: &'static str,
}

impl Actor {
    /// Handles a message of the overtaking lane. Everything received before a command is taken in first.
    pub(super) fn handle_control(&mut self, control: Control) {
        let Control { caller, op } = control;
        let (route, session, command) = match op {
            Op::Command {
                route,
                session,
                command,
            } => (route, session, command),
            Op::Approve { id, answer } => return self.approve(&caller, &id, answer),
        };
        self.drain_inbound();
        let before = self.clients.snapshot(caller.client);
        let db = self.deps.db.clone();
        let mut effects = Vec::new();
        let mut stop = None;
        // A disk that fails, or another program in the database, must not hold up a stop.
        let result = db.write_late(|tx| {
            let mut apply = Apply {
                tx,
                actor: self,
                effects: &mut effects,
                now: SystemTime::now(),
            };
            let Some(row) = apply.target(&caller, route.as_ref(), session.as_ref())? else {
                apply.not_found(&caller);
                return Ok(None);
            };
            if command.name == "stop" {
                let only = match command.argument.as_str() {
                    "" => None,
                    id => Some(
                        tx.find_input(row.session.channel.as_str(), id)?
                            .map_or(InboxId(0), |input| input.id),
                    ),
                };
                stop = Some((row.key, only));
                return Ok(Some((row.session, String::new())));
            }
            let text = format!("/{} {}", command.name, command.argument);
            apply.run_command(&caller, &row, &command, &text)
        });
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                self.clients.restore(caller.client, before);
                let body = self.storage_failed(&error);
                return self.reply(&caller, None, body);
            }
        };
        self.act(effects);
        if let Some((session, content)) = answer {
            let content = match stop {
                Some((key, only)) => commands::stop_text(&self.stop_dialog(key, only)),
                None => content,
            };
            let command = command.name;
            self.reply(&caller, Some(session), Body::Command { command, content });
        }
        if let Some((key, _)) = stop {
            self.dispatch(key);
        }
    }

    /// Stops a dialog's turn and drops its waiting inputs, or does so for one input only; each asker is told.
    pub(super) fn stop_dialog(&mut self, key: DialogKey, only: Option<InboxId>) -> StopReport {
        let is_meant = |input: InboxId| only.is_none_or(|only| only == input);
        let mut report = StopReport::default();
        let Some(active) = self.active.get_mut(&key) else {
            return report;
        };
        if let Some(running) = &mut active.running
            && is_meant(running.input)
        {
            running.control.stop();
            running
                .give_up
                .get_or_insert_with(|| Instant::now() + OBEY_LIMIT);
            report.turn = true;
        }
        let steered = match active.steering() {
            Some(steering) => {
                report.joined = only.is_some_and(|only| steering.has_joined(only));
                steering.take(is_meant)
            }
            None => Vec::new(),
        };
        let (inputs, others): (Vec<_>, Vec<_>) = std::mem::take(&mut active.queue)
            .into_iter()
            .partition(|work| matches!(work, Work::Input(waiting) if is_meant(waiting.input)));
        active.queue.extend(others);
        let mut waiting: Vec<Waiting> = inputs
            .into_iter()
            .filter_map(|work| match work {
                Work::Input(waiting) => Some(waiting),
                Work::Op(..) => None,
            })
            .chain(steered)
            .collect();
        waiting.sort_by_key(|waiting| waiting.input);
        let session = active.session.clone();
        let reply = error_reply(ErrorCode::Stopped, wording::DROPPED);
        let stored = match waiting.is_empty() {
            true => Ok(()),
            false => self.deps.db.write(|tx| {
                for input in &waiting {
                    drop_input(tx, key, input, &reply)?;
                }
                Ok(())
            }),
        };
        if let Err(error) = stored {
            // They stay queued: what is not stored must not be promised.
            log::error!("waiting inputs could not be stopped: {error}");
            self.deps.health.degraded(Part::Storage);
            if let Some(active) = self.active.get_mut(&key) {
                for input in waiting.into_iter().rev() {
                    active.queue.push_front(Work::Input(input));
                }
            }
            report.not_stored = true;
            return report;
        }
        let body = reply_body(&reply);
        for input in waiting {
            for caller in input.callers.iter().chain(&input.joined) {
                self.reply(caller, Some(session.clone()), body.clone());
            }
            report.dropped.push(input.preview);
        }
        if !report.dropped.is_empty() {
            self.changes.note(key, &session, &[]);
        }
        self.count_waiting();
        report
    }

    /// Ends a stopped turn that has not obeyed: its thread may come back later and will find it ended.
    pub(super) fn give_up_stopped(&mut self, key: DialogKey) {
        let Some(running) = self
            .active
            .get_mut(&key)
            .and_then(|active| active.running.take())
        else {
            return;
        };
        log::warn!("a stopped turn did not end in time; going on without it");
        let stop = UnsavedStop {
            dialog: key,
            input: running.input,
            turn: running.control.turn(),
            words: running.control.stop_words(),
        };
        if let Err(error) = self.store_stop(&stop) {
            log::error!("a stopped turn could not be stored: {error}");
            self.deps.health.degraded(Part::Storage);
            if error.is_temporary() {
                self.unsaved.push(stop);
            }
        }
        let reply = error_reply(ErrorCode::Stopped, running.control.stop_words());
        running.replies.answer(reply);
        let session = running.replies.session().clone();
        self.changes.note(key, &session, &running.asked_by);
        for left in running.control.steering.leftover() {
            self.take_up(key, &session, left);
        }
    }

    /// Stores the end of a turn that a person stopped, unless it has one.
    pub(super) fn store_stop(&self, stop: &UnsavedStop) -> Result<(), StorageError> {
        let reply = error_reply(ErrorCode::Stopped, stop.words);
        self.deps.db.write(|tx| {
            let now = SystemTime::now();
            let Some(turn) = stop.turn else {
                return tx.close_input(stop.input, Outcome::Stopped, &reply);
            };
            if !tx.end_turn(turn, TurnState::Stopped, now)? {
                return Ok(());
            }
            end_messages(tx, stop.dialog, turn, stop.input, stop.words, now)?;
            tx.interrupt_calls(turn)?;
            if let Some(row) = tx.dialog(stop.dialog)? {
                let ends = (turn, stop.input);
                store_delivery(&self.deps, tx, &row.session, ends, stop.words, now)?;
            }
            tx.close_joined(turn, stop.input, Outcome::Stopped, &reply)?;
            tx.close_input(stop.input, Outcome::Stopped, &reply)
        })?;
        let _ = self.deps.outbox_wake.try_send(());
        Ok(())
    }

    /// Returns the answer to an input that a person stopped and whose end is still to be stored.
    pub(super) fn stop_to_store(&self, input: &InboxRow) -> Option<StoredReply> {
        let stop = self.unsaved.iter().find(|stop| {
            stop.input == input.id || (stop.turn.is_some() && stop.turn == input.turn)
        });
        stop.map(|stop| error_reply(ErrorCode::Stopped, stop.words))
    }

    /// Says in a few words what a dialog does.
    pub(super) fn doing(&self, key: DialogKey) -> String {
        let Some(active) = self.active.get(&key) else {
            return "idle".to_owned();
        };
        let waiting = match active.n_waiting() {
            0 => String::new(),
            n => format!(", {} waiting", wording::count(n as u64, "message")),
        };
        match &active.running {
            Some(running) => {
                let time = super::times::duration(running.since.elapsed());
                let stopping = if running.give_up.is_some() {
                    ", being stopped"
                } else {
                    ""
                };
                format!("a turn runs since {time}{stopping}{waiting}")
            }
            None => format!("waiting for a free place{waiting}"),
        }
    }
}

/// Ends an input whose turn has not begun in this process.
fn drop_input(
    tx: &Tx<'_>,
    dialog: DialogKey,
    input: &Waiting,
    reply: &StoredReply,
) -> Result<(), StorageError> {
    if let Some(turn) = input.resume {
        let now = SystemTime::now();
        tx.end_turn(turn, TurnState::Stopped, now)?;
        end_messages(tx, dialog, turn, input.input, wording::STOPPED, now)?;
        tx.interrupt_calls(turn)?;
        tx.close_joined(turn, input.input, Outcome::Stopped, reply)?;
    }
    tx.close_input(input.input, Outcome::Stopped, reply)
}
