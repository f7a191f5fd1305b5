//! The journal of a running turn: each step is committed before the next begins, and what joins, asks or makes room goes
//! through here. Runs on the turn's thread. How a turn ends is stored elsewhere (`worker`, `ending`).

use std::time::SystemTime;

use super::compress::{Compactor, Owner};
use super::outage::persist;
use super::watcher::Watcher;
use super::worker::TurnJob;
use super::{Deps, approvals, steer};
use crate::agent::{Journal, JournalError, Permit, Question, Room, Roomier, SoFar, Step, Watch};
use crate::chat::{Image, Message};
use crate::observability::crash_point;
use crate::storage::{DialogKey, Prompt, StorageError, TurnId, Tx};

/// Stores a step of a turn.
pub(super) fn store_step(
    tx: &Tx<'_>,
    dialog: DialogKey,
    turn: TurnId,
    step: &Step,
    now: SystemTime,
) -> Result<(), StorageError> {
    if !step.messages.is_empty() {
        tx.append_messages(dialog, turn, &step.messages, now)?;
    }
    for record in &step.ended {
        tx.use_approval(turn, &record.call_id)?;
        tx.end_call(turn, record)?;
    }
    for (call_id, name) in &step.started {
        tx.use_approval(turn, call_id)?;
        tx.start_call(turn, call_id, name, now)?;
    }
    for call in &step.model_calls {
        tx.record_model_call(turn, call)?;
    }
    // Of a call that took several requests the counts may be their sum.
    if let Some(call) = step.model_calls.iter().rfind(|call| call.outcome == "ok") {
        tx.note_tokens(dialog, call.usage.total().filter(|_| call.attempts == 1))?;
    }
    Ok(())
}

/// Stores the steps in the middle of a turn.
pub(super) struct StepJournal<'a> {
    pub(super) deps: &'a Deps,
    pub(super) job: &'a TurnJob,
    pub(super) turn: TurnId,
    /// A prompt that the database does not have yet.
    pub(super) prompt: Option<Prompt>,
    /// Another process has begun this turn.
    pub(super) resumed: bool,
}

impl StepJournal<'_> {
    /// Commits something about the turn, unless it was ended from outside.
    fn write(
        &self,
        store: impl Fn(&Tx<'_>) -> Result<(), StorageError>,
    ) -> Result<(), JournalError> {
        let stored = persist(self.deps, self.job, || {
            self.deps.db.write(|tx| {
                let runs = tx.turn_runs(self.turn)?;
                if runs {
                    store(tx)?;
                }
                Ok(runs)
            })
        });
        match stored {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError),
            Err(error) => {
                log::error!(
                    "a step of turn {} could not be stored: {error}",
                    self.turn.0
                );
                Err(JournalError)
            }
        }
    }
}

impl Journal for StepJournal<'_> {
    fn may_ask(&mut self) -> Result<(), String> {
        let budget = self.deps.budget.as_ref();
        match budget.and_then(|budget| budget.refusal(&self.deps.db, SystemTime::now())) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    fn commit(&mut self, step: Step) -> Result<(), JournalError> {
        // What a call gave after the process began to end is not known to be complete: the next process says so.
        if self.job.control.is_cut_off() {
            return Err(JournalError);
        }
        crash_point("step-begun");
        let stored = self.write(|tx| {
            if let Some(prompt) = &self.prompt {
                tx.set_prompt(self.job.dialog, prompt)?;
            }
            store_step(tx, self.job.dialog, self.turn, &step, SystemTime::now())
        });
        crash_point("step-stored");
        stored?;
        self.prompt = None;
        Ok(())
    }

    fn so_far(&mut self) -> Result<SoFar, JournalError> {
        if !self.resumed {
            return Ok(SoFar::default());
        }
        let read = persist(self.deps, self.job, || {
            self.deps.db.read(|tx| {
                Ok(SoFar {
                    calls: tx.call_prints(self.turn)?,
                    tokens: tx.turn_tokens(self.turn)?,
                })
            })
        });
        read.map_err(|error| {
            log::error!("turn {} cannot be read: {error}", self.turn.0);
            JournalError
        })
    }

    fn ask(&mut self, question: &Question<'_>) -> Result<Permit, JournalError> {
        let permit = approvals::ask(self.deps, self.job, self.turn, question).map_err(|error| {
            log::error!("a question could not be stored: {error}");
            JournalError
        })?;
        // The next process asks again.
        if self.job.control.is_cut_off() {
            return Err(JournalError);
        }
        Ok(permit)
    }

    fn joined(&mut self) -> Result<Vec<Message>, JournalError> {
        if self.job.control.is_cut_off() {
            return Err(JournalError);
        }
        let failed = |error| {
            log::error!("what joins turn {} cannot be read: {error}", self.turn.0);
            JournalError
        };
        steer::join(self.deps, self.job, self.turn, failed, |store| {
            self.write(|tx| store(tx))
        })
    }

    fn make_room(&mut self, why: Room) -> Result<Option<Roomier>, JournalError> {
        let watch = Watcher { job: self.job };
        let compactor = Compactor {
            deps: self.deps,
            dialog: self.job.dialog,
            session: &self.job.session,
            owner: Owner::Turn(self.turn),
            cancel: &self.job.control.cancel,
            notice: &|text| watch.notice(text),
        };
        compactor.for_turn(why)
    }

    fn refuse_images(&mut self) -> Result<(), JournalError> {
        self.write(|tx| tx.replace_images(self.job.dialog, Image::refused_note))
    }
}
