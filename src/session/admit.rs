//! Where an input goes: to a turn of its own, into the running turn, or to those who answered it already. Runs on the
//! `session` thread, after the input is stored.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::active::{Waiting, Work};
use super::actor::Actor;
use super::replies::reply_body;
use super::steer::Place;
use super::stop::OBEY_LIMIT;
use super::wording;
use crate::bus::{Body, ErrorCode};
use crate::chat::{InputMode, SessionId};
use crate::storage::{DialogKey, InboxRow};

impl Actor {
    /// Takes in a new input. While a turn runs, the dialog's mode decides: it waits behind it, joins it, or stops it. Behind a
    /// turn that is being stopped, and behind a wish to clear or delete, everything waits.
    pub(super) fn admit(
        &mut self,
        key: DialogKey,
        session: &SessionId,
        waiting: Waiting,
        mode: InputMode,
    ) {
        let has_op = self.active.get(&key).is_some_and(|active| active.has_op());
        let running = self
            .active
            .get_mut(&key)
            .and_then(|active| active.running.as_mut())
            .filter(|running| running.give_up.is_none() && !has_op);
        match (mode, running) {
            (InputMode::Steer, Some(running))
                if !running.control.is_guests.load(Ordering::Acquire) =>
            {
                let clients = waiting.callers.iter().map(|caller| caller.client);
                running.asked_by.extend(clients);
                running.control.steering.offer(waiting);
                self.count_waiting();
            }
            (InputMode::Interrupt, Some(running)) => {
                running.control.replace();
                running.give_up = Some(Instant::now() + OBEY_LIMIT);
                if let Some(active) = self.active.get_mut(&key) {
                    active.queue.push_front(Work::Input(waiting));
                }
                self.count_waiting();
            }
            (_, _) => {
                self.add_work(key, session, Work::Input(waiting));
                self.dispatch(key);
            }
        }
    }

    /// Lets the callers of a repeat wait for an input that is under way.
    pub(super) fn join(&mut self, key: DialogKey, session: &SessionId, waiting: Waiting) {
        self.take_up(key, session, waiting);
        self.dispatch(key);
    }

    /// Brings callers together with their input. One that nobody works on (it was left by another process or by a turn that
    /// ended, or its end could not be stored) is queued; one that ended is answered from the database, and one that a person
    /// stopped, though that could not be stored yet, as stopped.
    pub(super) fn take_up(&mut self, key: DialogKey, session: &SessionId, waiting: Waiting) {
        let Some(waiting) = self.wait_with_running(key, session, waiting) else {
            return;
        };
        if let Some(active) = self.active.get_mut(&key) {
            for work in &mut active.queue {
                if let Work::Input(known) = work
                    && known.input == waiting.input
                {
                    known.callers.extend(waiting.callers);
                    return;
                }
            }
        }
        let found = self.deps.db.read(|tx| {
            let row = tx.input(waiting.input)?;
            let main = match row.as_ref().and_then(|row| row.turn) {
                Some(turn) => tx.main_input(turn)?,
                None => None,
            };
            Ok((row, main))
        });
        let body = match found {
            Ok((Some(row), main)) if !row.closed => match self.stop_to_store(&row) {
                Some(reply) => reply_body(&reply),
                None => {
                    self.queue_again(key, session, waiting, &row, main);
                    return;
                }
            },
            Ok((
                Some(InboxRow {
                    reply: Some(reply), ..
                }),
                _,
            )) => reply_body(&reply),
            Ok(_) => Body::Error {
                code: ErrorCode::NotFound,
                message: wording::DELETED.to_owned(),
            },
            Err(error) => self.storage_failed(&error),
        };
        for caller in &waiting.callers {
            self.reply(caller, Some(session.clone()), body.clone());
        }
    }

    /// Lets callers wait with the running turn if their input belongs to it; gives them back if not.
    fn wait_with_running(
        &mut self,
        key: DialogKey,
        session: &SessionId,
        waiting: Waiting,
    ) -> Option<Waiting> {
        let Some(running) = self.active.get(&key).and_then(|a| a.running.as_ref()) else {
            return Some(waiting);
        };
        let turn = running.control.turn();
        if running.input == waiting.input {
            for caller in &waiting.callers {
                running.replies.add(caller.clone());
            }
        } else {
            let place = running
                .control
                .steering
                .wait_with(waiting.input, &waiting.callers);
            match place {
                Place::Offered => return None,
                Place::Joined(callers) => {
                    for caller in callers {
                        running.replies.add_joined(caller);
                    }
                }
                // It joined when another process ran the turn.
                Place::Unknown if waiting.resume.is_some() && waiting.resume == turn => {
                    for caller in &waiting.callers {
                        running.replies.add_joined(caller.clone());
                    }
                }
                Place::Unknown => return Some(waiting),
            }
        }
        for caller in &waiting.callers {
            self.ask_again(caller, session);
        }
        None
    }

    /// Queues an open input; one that joined a turn waits with the input that the turn was begun for.
    fn queue_again(
        &mut self,
        key: DialogKey,
        session: &SessionId,
        waiting: Waiting,
        row: &InboxRow,
        main: Option<crate::storage::InboxId>,
    ) {
        let main = main.unwrap_or(waiting.input);
        if main == waiting.input {
            let resume = row.turn;
            self.add_in_order(key, session, Waiting { resume, ..waiting });
            return;
        }
        if let Some(active) = self.active.get_mut(&key) {
            for work in &mut active.queue {
                if let Work::Input(known) = work
                    && known.input == main
                {
                    known.joined.extend(waiting.callers);
                    return;
                }
            }
        }
        let resumed = Waiting {
            input: main,
            callers: Vec::new(),
            joined: waiting.callers,
            resume: row.turn,
            preview: waiting.preview,
        };
        self.add_in_order(key, session, resumed);
    }
}
