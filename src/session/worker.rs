//! One turn from its input to its answer, on a `turn-N` thread: loads the dialog, runs the agent loop, stores each
//! step (`journal`), answers (`ending`).
//!
//! Commits: a plain turn makes one durable commit here (its end); a tool round makes two more. The turn's start is a
//! relaxed write: losing it costs nothing but a count. Whoever finds the turn ended from outside (a `/stop` that was
//! not obeyed in time) stores and sends nothing more.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::active::TurnControl;
use super::compress;
use super::detail::meter_of_turn;
use super::ending::{Ended, end_messages, store_delivery};
use super::inputs::shown_input;
use super::journal::{StepJournal, store_step};
use super::outage::persist;
use super::replies::{Replies, error_reply};
use super::watcher::Watcher;
use super::{Deps, prompt, wording};
use crate::agent::compress::shown;
use crate::agent::{
    INTERRUPTED, Measured, Setup, Step, TurnEnd, TurnResult, legalise, run_turn, unanswered_calls,
};
use crate::bus::{Body, ErrorCode, Meter};
use crate::chat::{Attachment, Message, Part, Role, SessionId, ToolResult, Usage};
use crate::observability::{Event, Part as HealthPart, crash_point};
use crate::providers::ProviderError;
use crate::storage::{
    Context, DialogKey, InboxId, InboxRow, Outcome, Prompt, StorageError, StoredMessage,
    StoredReply, TurnId, TurnState, Tx,
};
use crate::tools::random_hex;

/// A turn that is begun this often without an end is given up: it may be what ends the process.
const MAX_ATTEMPTS: u32 = 3;

/// A turn to run.
pub(super) struct TurnJob {
    pub(super) dialog: DialogKey,
    pub(super) session: SessionId,
    pub(super) input: InboxId,
    pub(super) resume: Option<TurnId>,
    pub(super) control: Arc<TurnControl>,
    pub(super) replies: Arc<Replies>,
}

/// A turn that no longer occupies its slot.
pub(super) struct TurnDone {
    pub(super) dialog: DialogKey,
    pub(super) input: InboxId,
}

/// Runs a turn; a panic in it fails that turn only.
pub(super) fn run(deps: &Deps, job: &TurnJob) -> TurnDone {
    deps.health.turns_running.fetch_add(1, Ordering::Relaxed);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        Turn::begin(deps, job).map(|begun| match begun {
            Begun::Turn(turn) => turn.run(),
            Begun::Compaction(focus) => compress::run_command(deps, job, &focus),
            Begun::Ended(reply) => job.replies.answer(reply),
        })
    }));
    match ran {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            log::error!("a turn could not begin: {error}");
            leave(job);
        }
        Err(_) => fail_crashed(deps, job),
    }
    deps.health.turns_running.fetch_sub(1, Ordering::Relaxed);
    deps.health.turns_done.fetch_add(1, Ordering::Relaxed);
    TurnDone {
        dialog: job.dialog,
        input: job.input,
    }
}

/// The panic hook has logged what happened; the person gets a reference into the log.
fn fail_crashed(deps: &Deps, job: &TurnJob) {
    let reference = job.control.turn().map_or(job.input.0, |turn| turn.0);
    log::error!("turn {reference} panicked");
    let message = format!("Internal error, reference {reference:X}. The log has the details.");
    let reply = error_reply(ErrorCode::Internal, &message);
    let stored = persist(deps, job, || {
        deps.db.write(|tx| {
            if let Some(turn) = job.control.turn() {
                let now = SystemTime::now();
                if !tx.end_turn(turn, TurnState::Failed, now)? {
                    return Ok(());
                }
                end_messages(tx, job.dialog, turn, job.input, &message, now)?;
                tx.interrupt_calls(turn)?;
                let ends = (turn, job.input);
                store_delivery(deps, tx, &job.session, ends, &message, now)?;
            }
            if let Some(turn) = job.control.turn() {
                tx.close_joined(turn, job.input, Outcome::Failed, &reply)?;
            }
            tx.close_input(job.input, Outcome::Failed, &reply)
        })
    });
    if let Err(error) = stored {
        log::error!("the end of turn {reference} could not be stored: {error}");
    }
    job.replies.answer(reply);
}

/// Answers for a turn that stays open in the database.
fn leave(job: &TurnJob) {
    let (code, message) = if job.control.is_cut_off() {
        (ErrorCode::ShuttingDown, wording::ENDING)
    } else if job.control.is_stopped() {
        (ErrorCode::Stopped, job.control.stop_words())
    } else {
        (ErrorCode::Storage, wording::KEPT)
    };
    job.control.leave();
    // A turn that was ended from outside has been answered already; then this reaches nobody.
    job.replies.answer(error_reply(code, message));
}

/// What is loaded at a turn's start.
struct Loaded {
    turn: TurnId,
    attempts: u32,
    input: InboxRow,
    files: Vec<Attachment>,
    prompt: Option<Prompt>,
    context: Context,
    history: Vec<StoredMessage>,
    /// Ids of the turn's calls that a summary stands for.
    used_ids: Vec<String>,
    /// Whether steps of the turn are stored, by another process.
    has_steps: bool,
}

/// What an input is.
enum Begun<T> {
    /// A message, with its turn.
    Turn(T),
    /// A wish to have the dialog compressed, with what to keep above all.
    Compaction(String),
    /// Something that has ended meanwhile, with its answer.
    Ended(StoredReply),
}

fn load(tx: &Tx<'_>, job: &TurnJob) -> Result<Begun<Loaded>, StorageError> {
    let input = tx
        .input(job.input)?
        .ok_or_else(|| StorageError::missing("input"))?;
    if input.closed {
        let gone = || error_reply(ErrorCode::NotFound, wording::DELETED);
        return Ok(Begun::Ended(input.reply.unwrap_or_else(gone)));
    }
    if let Some(focus) = compress::is_compaction(&input.content) {
        return Ok(Begun::Compaction(focus));
    }
    let resumed = match job.resume {
        Some(turn) => tx.resume_turn(turn)?.map(|attempts| (turn, attempts)),
        None => None,
    };
    let (turn, attempts) = match resumed {
        Some(resumed) => resumed,
        None => {
            let turn = tx.begin_turn(job.dialog, SystemTime::now())?;
            tx.take_input(job.input, turn)?;
            (turn, 1)
        }
    };
    let context = tx.context(job.dialog)?;
    let used_ids = match (resumed, context.request) {
        (Some((turn, _)), Some(_)) => tx.call_ids(turn)?,
        _ => Vec::new(),
    };
    Ok(Begun::Turn(Loaded {
        turn,
        attempts,
        input,
        files: tx.attachments(job.input)?,
        prompt: tx.prompt(job.dialog)?,
        history: tx.history(job.dialog, &context)?,
        context,
        used_ids,
        has_steps: resumed.is_some() && tx.has_messages(turn)?,
    }))
}

/// Returns a stored history, mended first if it is at fault: `rewrite` replaces what is stored from a row on, and reads the
/// history again.
pub(super) fn mended(
    stored: Vec<StoredMessage>,
    rewrite: impl FnOnce(i64, &[Rewritten]) -> Result<Vec<StoredMessage>, StorageError>,
) -> Result<Vec<StoredMessage>, StorageError> {
    let (places, history): (Vec<_>, Vec<_>) = stored
        .into_iter()
        .map(|stored| ((stored.id, stored.turn, stored.created_at), stored.message))
        .unzip();
    let Some(repair) = legalise(&history).repair else {
        let put_back = |((id, turn, created_at), message)| StoredMessage {
            id,
            turn,
            message,
            created_at,
        };
        return Ok(places.into_iter().zip(history).map(put_back).collect());
    };
    log::warn!("a stored history is mended from message {} on", repair.kept);
    let rest: Vec<Rewritten> = repair
        .rest
        .into_iter()
        .map(|(from, message)| {
            let (_, turn, created_at) = places[from];
            (turn, message, created_at)
        })
        .collect();
    let from = places.get(repair.kept).map_or(i64::MAX, |(id, _, _)| *id);
    rewrite(from, &rest)
}

/// A message in its mended form, with its turn and when it was stored.
pub(super) type Rewritten = (TurnId, Message, SystemTime);

struct Turn<'a> {
    deps: &'a Deps,
    job: &'a TurnJob,
    loaded: Loaded,
    began: Instant,
}

impl<'a> Turn<'a> {
    fn begin(deps: &'a Deps, job: &'a TurnJob) -> Result<Begun<Self>, StorageError> {
        let began = Instant::now();
        let loaded = match persist(deps, job, || deps.db.write_relaxed(|tx| load(tx, job)))? {
            Begun::Turn(loaded) => loaded,
            Begun::Compaction(focus) => return Ok(Begun::Compaction(focus)),
            Begun::Ended(reply) => return Ok(Begun::Ended(reply)),
        };
        job.control.set_turn(loaded.turn);
        let guests = loaded.input.guest;
        job.control.is_guests.store(guests, Ordering::Release);
        crash_point("turn-begun");
        deps.observers.tell(Event::TurnStarted {
            turn: loaded.turn.0,
            session: &job.session,
        });
        job.replies.tell(
            |caller| caller.wants.turns,
            || Body::TurnStarted {
                turn: loaded.turn.0,
            },
        );
        Ok(Begun::Turn(Self {
            deps,
            job,
            loaded,
            began,
        }))
    }

    fn run(self) {
        let own = self.loaded.has_steps;
        // Also where a summary stands for its steps by now: begun anew, it would do again what it has done.
        let last = self.loaded.history.last();
        let overtaken = own && last.is_none_or(|last| last.turn != self.loaded.turn);
        if self.loaded.attempts > MAX_ATTEMPTS {
            self.give_up(own, wording::CRASHED);
        } else if overtaken {
            self.give_up(own, wording::OVERTAKEN);
        } else {
            self.work(own);
        }
    }

    /// Returns what the service last counted, and of how much of the history: up to the model's last message.
    fn measured(&self, history: &[Message]) -> Option<Measured> {
        let last = history
            .iter()
            .rposition(|message| message.role == Role::Assistant)?;
        Some(Measured {
            tokens: self.loaded.context.tokens?,
            n_messages: last + 1,
        })
    }

    /// Ends a turn that will not be run.
    fn give_up(self, own: bool, why: &str) {
        let mut rest = Step::default();
        if !own {
            let loaded = &self.loaded;
            let files = loaded.files.iter().map(|file| file.name.as_str());
            let text = shown_input(&loaded.input.content, files);
            rest.messages.push(Message::text(Role::User, text));
        }
        let end = Ended::failed(ErrorCode::Internal, why.to_owned());
        self.finish(end, rest, Usage::default(), String::new());
    }

    fn work(mut self, own: bool) {
        let prompt = prompt::for_dialog(self.deps, self.loaded.prompt.take());
        let mut first = Step::default();
        let mut history = match self.stored_history(own, &mut first) {
            Ok(history) => history,
            Err(error) => {
                log::error!("turn {}: {error}", self.loaded.turn.0);
                let message = wording::not_stored(&error);
                return self.finish(
                    Ended::failed(ErrorCode::Storage, message),
                    first,
                    Usage::default(),
                    String::new(),
                );
            }
        };
        if !own {
            let message = prompt::user_message(
                &self.loaded.input,
                &self.loaded.files,
                &self.job.session,
                prompt.remark.as_deref(),
            );
            history.push(message.clone());
            first.messages.push(message);
        }
        let agent = &self.deps.agent;
        let watch = Watcher { job: self.job };
        let boundary = random_hex::<6>();
        let policy = if self.loaded.input.guest {
            Cow::Owned(self.deps.policy.for_guests())
        } else {
            Cow::Borrowed(&self.deps.policy)
        };
        let setup = Setup {
            turn: self.loaded.turn.0,
            session: &self.job.session,
            models: &agent.models,
            system: &prompt.system,
            specs: &self.deps.specs,
            tools: &self.deps.tools,
            workspace: &self.deps.workspace,
            room_from: self.deps.agent.context.threshold(),
            measured: self.measured(&history),
            used_ids: &self.loaded.used_ids,
            boundary: &boundary,
            limits: agent.limits,
            policy: &policy,
            cancel: &self.job.control.cancel,
            watch: &watch,
            observers: &self.deps.observers,
            secrets: &self.deps.redactor,
        };
        let mut journal = StepJournal {
            deps: self.deps,
            job: self.job,
            turn: self.loaded.turn,
            prompt: prompt.to_store,
            resumed: self.loaded.attempts > 1,
        };
        let TurnResult {
            end,
            rest,
            usage,
            model,
        } = run_turn(&setup, history, first, &mut journal);
        self.loaded.prompt = journal.prompt;
        let ended = match end {
            TurnEnd::Answered { text, stop } => Ended::answered(text, stop),
            TurnEnd::Stopped if self.job.control.is_cut_off() => return self.leave(),
            TurnEnd::Stopped => Ended::stopped(self.job.control.stop_words()),
            TurnEnd::NotStored => return self.leave(),
            TurnEnd::OverBudget(text) => Ended::failed(ErrorCode::Budget, text),
            TurnEnd::Failed { error, provider } => {
                log::warn!("turn {}: {provider}: {error}", self.loaded.turn.0);
                self.deps.health.degraded(HealthPart::Provider);
                let (code, text) = wording::provider_failure(&error, &provider);
                Ended {
                    declined: matches!(error, ProviderError::Filtered(_)),
                    ..Ended::failed(code, self.deps.redactor.redact(&text).into_owned())
                }
            }
        };
        self.finish(ended, rest, usage, model);
    }

    /// Returns the dialog's history as the model may see it, mended in the database if it was at fault. Calls of this
    /// turn that a dead process had begun get their result here.
    fn stored_history(
        &mut self,
        own: bool,
        first: &mut Step,
    ) -> Result<Vec<Message>, StorageError> {
        let stored = std::mem::take(&mut self.loaded.history);
        let stored = if own {
            stored
        } else {
            mended(stored, |from, rest| self.rewrite(from, rest))?
        };
        let rows = compress::rows_of(stored);
        let context = &self.loaded.context;
        let interrupted = if own {
            // What is sent may be shorter than what is stored, but calls and results are the same.
            self.interrupted_calls(&shown(rows.iter().cloned(), 0, ""))?
        } else {
            None
        };
        let mut history = shown(rows, context.shrunk, &context.summary);
        if let Some(results) = interrupted {
            history.push(results.clone());
            first.messages.push(results);
        }
        Ok(history)
    }

    fn rewrite(&self, from: i64, rest: &[Rewritten]) -> Result<Vec<StoredMessage>, StorageError> {
        let (dialog, context) = (self.job.dialog, &self.loaded.context);
        persist(self.deps, self.job, || {
            self.deps.db.write(|tx| {
                tx.rewrite_from(dialog, context, from, rest)?;
                tx.history(dialog, context)
            })
        })
    }

    fn interrupted_calls(&self, history: &[Message]) -> Result<Option<Message>, StorageError> {
        let open = unanswered_calls(history);
        if open.is_empty() {
            return Ok(None);
        }
        let turn = self.loaded.turn;
        let begun = persist(self.deps, self.job, || {
            self.deps.db.read(|tx| {
                open.iter()
                    .filter_map(|call| match tx.call_started(turn, &call.id) {
                        Ok(true) => Some(Ok(call.clone())),
                        Ok(false) => None,
                        Err(error) => Some(Err(error)),
                    })
                    .collect::<Result<Vec<_>, _>>()
            })
        })?;
        if begun.is_empty() {
            return Ok(None);
        }
        Ok(Some(Message::results(begun.into_iter().map(|call| {
            ToolResult {
                call_id: call.id,
                content: INTERRUPTED.to_owned(),
                is_error: true,
                images: Vec::new(),
            }
        }))))
    }

    /// Ends this thread's work on a turn that stays open in the database: the next process goes on with it.
    fn leave(self) {
        if self.job.control.is_cut_off() {
            self.uncount();
        }
        leave(self.job);
    }

    /// Ending in order is no sign that the turn ends processes.
    fn uncount(&self) {
        let turn = self.loaded.turn;
        let noted = self.deps.db.write_relaxed(|tx| tx.uncount_attempt(turn));
        if let Err(error) = noted {
            log::warn!("turn {}: {error}", turn.0);
        }
    }

    /// Stores the turn's end and answers.
    fn finish(self, ended: Ended, mut rest: Step, usage: Usage, model: String) {
        if let Some(note) = &ended.note {
            rest.messages.push(Message {
                role: Role::Assistant,
                parts: vec![Part::Note(note.clone())],
                native: None,
            });
        }
        crash_point("turn-ended");
        let stored = persist(self.deps, self.job, || {
            self.deps.db.write(|tx| self.store_end(tx, &ended, &rest))
        });
        crash_point("turn-stored");
        let took = self.began.elapsed();
        match stored {
            Ok(true) => {
                if ended.state == TurnState::Done {
                    self.deps.health.ok(HealthPart::Provider);
                }
            }
            // Ended from outside, and answered there.
            Ok(false) => return,
            Err(error) => {
                log::error!("turn {} could not be stored: {error}", self.loaded.turn.0);
                return self.leave();
            }
        }
        self.deps.observers.tell(Event::TurnFinished {
            turn: self.loaded.turn.0,
            session: &self.job.session,
            state: ended.state.as_str(),
            took,
        });
        // The answer of a megabyte is not held once more while it is sent.
        drop(rest);
        let meter = self.meter();
        self.job.replies.tell(
            |caller| caller.wants.turns,
            || Body::TurnFinished {
                meter: meter.clone(),
                turn: self.loaded.turn.0,
                usage,
                model: model.clone(),
                stop: ended.stop,
                took,
            },
        );
        self.job.replies.answer(ended.reply);
    }

    /// Returns what clients may count. A failed read costs only that.
    fn meter(&self) -> Meter {
        let (turn, limit) = (self.loaded.turn, u64::from(self.deps.agent.context.tokens));
        let read = self.deps.db.read(|tx| meter_of_turn(tx, turn, limit));
        read.unwrap_or_else(|error| {
            log::warn!("turn {}: {error}", turn.0);
            Meter::default()
        })
    }

    fn store_end(&self, tx: &Tx<'_>, ended: &Ended, rest: &Step) -> Result<bool, StorageError> {
        let now = SystemTime::now();
        let turn = self.loaded.turn;
        if !tx.end_turn(turn, ended.state, now)? {
            return Ok(false);
        }
        if let Some(prompt) = &self.loaded.prompt {
            tx.set_prompt(self.job.dialog, prompt)?;
        }
        store_step(tx, self.job.dialog, turn, rest, now)?;
        if ended.declined {
            tx.leave_turn_out(self.job.dialog, turn)?;
        }
        tx.interrupt_calls(turn)?;
        tx.close_joined(turn, self.job.input, ended.outcome(), &ended.reply)?;
        tx.close_input(self.job.input, ended.outcome(), &ended.reply)?;
        let (session, ends) = (&self.job.session, (turn, self.job.input));
        store_delivery(self.deps, tx, session, ends, &ended.reply.text, now)?;
        Ok(true)
    }
}
