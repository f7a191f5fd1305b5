//! The turn loop: ask the model, run its tools, ask again, until it answers.
//!
//! Runs on the caller's thread. Every step that must survive a crash goes through the [`Journal`] before the loop goes
//! on; what the last model call produced is handed back with the result, so that it can be stored together with the
//! turn's end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::calls;
use super::compress::estimate_messages;
use super::guard::{Cap, Guard, SoFar, TurnLimits};
use super::images::place;
use super::legalise::{CallIds, legalise, mend_calls};
use super::masking::{MaskedDeltas, mask_message};
use super::models::Models;
use super::policy::ApprovalPolicy;
use crate::chat::{
    CallRecord, Image, Message, ModelCall, Part, Role, SessionId, StopReason, ToolCall, Usage,
};
use crate::observability::{Event, Observers, Redactor};
use crate::providers::{Delta, ProviderError, Reply, Request, ToolSpec};
use crate::threads::CancelToken;
use crate::tools::{Action, Registry, Workspace};

/// What is stored in one commit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Step {
    /// Messages to append to the dialog.
    pub messages: Vec<Message>,
    /// Calls with side effects that begin right after the commit: id and tool name.
    pub started: Vec<(String, String)>,
    /// Calls that have ended.
    pub ended: Vec<CallRecord>,
    /// Model calls that have ended.
    pub model_calls: Vec<ModelCall>,
}

/// A step could not be stored; the turn must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the step could not be stored")]
pub struct JournalError;

/// A call that a person must allow first.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The call as the model wrote it.
    pub call: &'a ToolCall,
    /// What it would do.
    pub action: &'a Action,
    /// Why a person is asked.
    pub reason: &'a str,
}

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Permit {
    /// The call may run, once.
    Given,
    /// It may not; a sentence for the model.
    Refused(String),
}

/// What a turn needs from whoever keeps its dialog.
pub trait Journal {
    /// Stores a step; when this returns, it survives a crash.
    fn commit(&mut self, step: Step) -> Result<(), JournalError>;

    /// Says whether another model call may be paid for; else a sentence for the person.
    fn may_ask(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Returns what an earlier process used of this turn.
    fn so_far(&mut self) -> Result<SoFar, JournalError> {
        Ok(SoFar::default())
    }

    /// Asks a person whether a call may run, and waits for the answer, the end of its time, or the turn's cancelling. The
    /// step with the call is committed before.
    fn ask(&mut self, question: &Question<'_>) -> Result<Permit, JournalError> {
        let _ = question;
        Ok(Permit::Refused(NOBODY_TO_ASK.to_owned()))
    }

    /// Returns what the person said since the last round and what is to join this turn, stored as its messages.
    fn joined(&mut self) -> Result<Vec<Message>, JournalError> {
        Ok(Vec::new())
    }

    /// Puts [`Image::refused_note`] in the place of every stored image of the dialog.
    fn refuse_images(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Makes the dialog shorter; everything of it is stored when this is called. `None` if it cannot be made shorter, or
    /// the turn is being stopped.
    fn make_room(&mut self, _why: Room) -> Result<Option<Roomier>, JournalError> {
        Ok(None)
    }
}

/// Why room is needed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Room {
    /// The next request would have so many tokens, which is more than [`Setup::room_from`].
    Due(f64),
    /// The model found the request too long; `again` if a shortened one as well.
    Refused {
        /// Whether it is the second time.
        again: bool,
    },
}

/// A dialog made shorter.
#[derive(Clone, PartialEq, Debug)]
pub struct Roomier {
    /// The system prompt, which may be renewed.
    pub system: String,
    /// What is sent from now on, up to now.
    pub history: Vec<Message>,
    /// Tokens that it took to make it shorter.
    pub usage: Usage,
}

/// What is known of the length of a history's beginning.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Tokens of the last request with its answer, as the service counted them.
    pub tokens: u64,
    /// How many messages of the history that was.
    pub n_messages: usize,
}

/// Is told what happens while it happens; called from the turn's thread and from its tools' threads.
pub trait Watch: Sync {
    /// A piece of answer or reasoning.
    fn delta(&self, text: &str, reasoning: bool);
    /// A sentence for the person.
    fn notice(&self, text: &str);
    /// A call begins.
    fn tool_started(&self, call: &ToolCall);
    /// Live output of a call.
    fn tool_output(&self, call_id: &str, text: &str);
    /// A call has ended.
    fn tool_finished(&self, record: &CallRecord, content: &str);
}

/// Everything a turn works with.
pub struct Setup<'a> {
    /// The turn's number, for observers.
    pub turn: i64,
    /// The dialog.
    pub session: &'a SessionId,
    /// Who is asked.
    pub models: &'a Models,
    /// The system prompt.
    pub system: &'a str,
    /// The tools as the model sees them.
    pub specs: &'a [ToolSpec],
    /// The tools as they run.
    pub tools: &'a Registry,
    /// Where file tools and the shell work.
    pub workspace: &'a Workspace,
    /// From so many tokens on room is made before the model is asked.
    pub room_from: f64,
    /// What is known of the history's length.
    pub measured: Option<Measured>,
    /// Ids of this turn's calls that are not in the history any more.
    pub used_ids: &'a [String],
    /// A random word, new for each turn; see [`crate::tools::ToolCtx::boundary`].
    pub boundary: &'a str,
    /// How much it may use.
    pub limits: TurnLimits,
    /// Which calls run, and which a person must allow.
    pub policy: &'a ApprovalPolicy,
    /// Stops the turn.
    pub cancel: &'a CancelToken,
    /// Sees what happens.
    pub watch: &'a dyn Watch,
    /// Agent and tool events.
    pub observers: &'a Observers,
    /// What must not be shown, stored or sent.
    pub secrets: &'a Redactor,
}

/// How a turn ended.
#[derive(Clone, PartialEq, Debug)]
pub enum TurnEnd {
    /// With an answer for the person.
    Answered {
        /// The text, as stored and shown.
        text: String,
        /// Why the model stopped.
        stop: StopReason,
    },
    /// The model service failed.
    Failed {
        /// How.
        error: ProviderError,
        /// The configured name of the one that was asked last.
        provider: String,
    },
    /// No further model call may be paid for: a sentence for the person.
    OverBudget(String),
    /// It was cancelled.
    Stopped,
    /// A step could not be stored.
    NotStored,
}

/// What a turn leaves behind.
#[derive(Clone, PartialEq, Debug)]
pub struct TurnResult {
    /// How it ended.
    pub end: TurnEnd,
    /// What is not stored yet.
    pub rest: Step,
    /// Tokens of all its model calls.
    pub usage: Usage,
    /// The model that answered last, or was asked last.
    pub model: String,
}

/// Runs a turn on a stored history that ends with the user's message or with tool results.
///
/// `first` is committed together with the first step: what belongs to this turn and is not stored yet, such as the
/// user's message, which must also be in `history`.
pub fn run_turn(
    setup: &Setup<'_>,
    mut history: Vec<Message>,
    first: Step,
    journal: &mut dyn Journal,
) -> TurnResult {
    let (so_far, unread) = match journal.so_far() {
        Ok(so_far) => (so_far, false),
        Err(JournalError) => (SoFar::default(), true),
    };
    let mut state = Loop {
        setup,
        guard: Guard::new(setup.limits, so_far),
        ids: CallIds::of(&history).with(setup.used_ids),
        renewed: None,
        measured: setup.measured,
        has_partial: false,
        step: first,
        usage: Usage::default(),
        bound: None,
        asked: 0,
        journal,
    };
    let end = if unread {
        Err(TurnEnd::NotStored)
    } else {
        state.run(&mut history)
    };
    TurnResult {
        end: end.unwrap_or_else(|early| early),
        rest: state.step,
        usage: state.usage,
        model: setup.models.get(state.asked).model.model_id.clone(),
    }
}

struct Loop<'a, 'j> {
    setup: &'a Setup<'a>,
    guard: Guard,
    ids: CallIds,
    /// The system prompt, if it was renewed in this turn.
    renewed: Option<Arc<str>>,
    measured: Option<Measured>,
    /// Whether the step holds a piece of an answer that the history does not.
    has_partial: bool,
    /// Collected since the last commit.
    step: Step,
    usage: Usage,
    /// Whose calls this turn has run: only the same model may go on.
    bound: Option<usize>,
    /// Who was asked last.
    asked: usize,
    journal: &'j mut dyn Journal,
}

impl Loop<'_, '_> {
    fn run(&mut self, history: &mut Vec<Message>) -> Result<TurnEnd, TurnEnd> {
        self.finish_stored_calls(history)?;
        loop {
            let cap = self.guard.cap();
            let mut reply = self.ask(history, cap)?;
            self.measure(&reply, history.len());
            mend_calls(&mut reply.message, &mut self.ids);
            if cap.is_some() || reply.message.tool_calls().next().is_none() {
                return Ok(self.answer(reply, cap));
            }
            self.guard.round();
            self.bound = Some(self.asked);
            history.push(reply.message.clone());
            self.step.messages.push(reply.message);
            self.run_calls(history)?;
            self.take_joined(history)?;
        }
    }

    /// Lets what the person said meanwhile join the turn: every call of the round has its result.
    fn take_joined(&mut self, history: &mut Vec<Message>) -> Result<(), TurnEnd> {
        let joined = self
            .journal
            .joined()
            .map_err(|JournalError| TurnEnd::NotStored)?;
        history.extend(joined);
        Ok(())
    }

    /// Runs the calls of the last stored round that a dead process never began.
    fn finish_stored_calls(&mut self, history: &mut Vec<Message>) -> Result<(), TurnEnd> {
        if unanswered_calls(history).is_empty() {
            return Ok(());
        }
        self.run_calls(history)
    }

    /// Asks the model. A history that grows too long is made shorter before, one that the model finds too long after;
    /// and one with an image that is refused loses its images.
    fn ask(&mut self, history: &mut Vec<Message>, cap: Option<Cap>) -> Result<Reply, TurnEnd> {
        let used = self.used(history);
        if used >= self.setup.room_from {
            self.make_room(history, Room::Due(used))?;
        }
        let mut n_shortened = 0;
        loop {
            let failed = match self.ask_in_turn(history, cap) {
                Err(failed @ TurnEnd::Failed { .. }) => failed,
                other => return other,
            };
            let changed = match &failed {
                TurnEnd::Failed {
                    error: ProviderError::ContextTooLong(_),
                    ..
                } if n_shortened < MAX_SHORTENED => {
                    n_shortened += 1;
                    let again = n_shortened > 1;
                    self.make_room(history, Room::Refused { again })?
                }
                TurnEnd::Failed {
                    error: ProviderError::ImageRefused(_),
                    ..
                } => self.drop_images(history)?,
                _ => false,
            };
            if !changed {
                return Err(failed);
            }
        }
    }

    /// Returns how many tokens the next request will have: what the service last counted and an estimate of what was
    /// added, or an estimate of everything.
    fn used(&self, history: &[Message]) -> f64 {
        let setup = self.setup;
        match self.measured {
            Some(known) => {
                let added = history.get(known.n_messages..).unwrap_or_default();
                known.tokens as f64 + estimate_messages(added) * MARGIN
            }
            None => f64::from(setup.models.estimate_prompt(
                setup.session,
                self.renewed.as_deref().unwrap_or(setup.system),
                setup.specs,
                history,
            )),
        }
    }

    /// Notes what the service counted; the reply becomes the next message of the history.
    fn measure(&mut self, reply: &Reply, n_messages: usize) {
        // Of a call that took several requests the counts may be their sum.
        let total = reply.usage.total().filter(|_| reply.attempts == 1);
        self.measured = total.map(|tokens| Measured {
            tokens,
            n_messages: n_messages + 1,
        });
    }

    /// Has the dialog made shorter; returns whether it is.
    fn make_room(&mut self, history: &mut Vec<Message>, why: Room) -> Result<bool, TurnEnd> {
        if self.has_partial {
            return Ok(false);
        }
        // What is sent from now on is read back: all of it must be stored.
        if self.step != Step::default() {
            self.commit()?;
        }
        let made = self
            .journal
            .make_room(why)
            .map_err(|JournalError| TurnEnd::NotStored)?;
        if self.setup.cancel.is_cancelled() {
            return Err(TurnEnd::Stopped);
        }
        let Some(made) = made else { return Ok(false) };
        self.usage.add(made.usage);
        *history = made.history;
        self.renewed = Some(made.system.into());
        self.measured = None;
        Ok(true)
    }

    /// Puts texts in the place of all images, stored ones too: one that a service refuses would be refused at every
    /// later turn. Returns whether there were any.
    fn drop_images(&mut self, history: &mut [Message]) -> Result<bool, TurnEnd> {
        if history.iter().flat_map(Message::images).next().is_none() {
            return Ok(false);
        }
        self.journal
            .refuse_images()
            .map_err(|JournalError| TurnEnd::NotStored)?;
        for message in history.iter_mut().chain(&mut self.step.messages) {
            message.replace_images(Image::refused_note);
        }
        self.measured = None;
        self.setup.watch.notice(IMAGES_REFUSED);
        Ok(true)
    }

    /// Asks one candidate after the other until one answers. Once text was shown nobody else is asked.
    fn ask_in_turn(&mut self, history: &[Message], cap: Option<Cap>) -> Result<Reply, TurnEnd> {
        let setup = self.setup;
        let mut messages = legalise(history).request;
        if let Some(cap) = cap {
            messages
                .to_mut()
                .push(Message::text(Role::User, cap.for_model()));
        }
        let order = setup.models.order(self.bound, Instant::now());
        let mut failed = None;
        for index in order {
            if setup.cancel.is_cancelled() {
                return Err(TurnEnd::Stopped);
            }
            self.journal.may_ask().map_err(TurnEnd::OverBudget)?;
            let moved_on = failed.is_some() || (index != 0 && self.asked != index);
            self.asked = index;
            if moved_on && self.bound.is_none() {
                setup.watch.notice(&self.takeover(index));
            }
            let mut shown = String::new();
            let candidate = setup.models.get(index);
            let placed = place(&messages, &candidate.model, candidate.provider.dialect());
            match self.call(index, &placed, cap.is_none(), &mut shown) {
                Ok(reply) => {
                    setup.models.works(index);
                    return Ok(reply);
                }
                Err(error) => {
                    let may_move_on =
                        setup.models.rest(index, &error, Instant::now()) && shown.is_empty();
                    self.keep_partial(shown);
                    failed = Some(match error {
                        ProviderError::Cancelled => return Err(TurnEnd::Stopped),
                        error => TurnEnd::Failed {
                            error,
                            provider: setup.models.get(index).provider.name().to_owned(),
                        },
                    });
                    if !may_move_on {
                        break;
                    }
                }
            }
        }
        Err(failed.expect("the order is never empty: the first choice is always in it"))
    }

    /// Says who answers in place of the first choice.
    fn takeover(&self, index: usize) -> String {
        let models = self.setup.models;
        let [first, now] = [models.first(), models.get(index)]
            .map(|one| format!("{} ({})", one.model.model_id, one.provider.name()));
        if first == now {
            return format!(
                "{first} is not available with the first key now; another key is tried."
            );
        }
        format!("{first} is not available now; {now} answers.")
    }

    /// Makes one model call.
    fn call(
        &mut self,
        index: usize,
        messages: &[Message],
        with_tools: bool,
        shown: &mut String,
    ) -> Result<Reply, ProviderError> {
        let setup = self.setup;
        let candidate = setup.models.get(index);
        let renewed = self.renewed.clone();
        let request = Request {
            model: &candidate.model,
            system: renewed.as_deref().unwrap_or(setup.system),
            tools: if with_tools { setup.specs } else { &[] },
            messages,
        };
        let at = SystemTime::now();
        let began = Instant::now();
        let mut deltas = MaskedDeltas::new(setup.secrets);
        let mut show = |delta: Delta<'_>| match delta {
            Delta::Text(text) => {
                shown.push_str(text);
                setup.watch.delta(text, false);
            }
            Delta::Reasoning(text) => setup.watch.delta(text, true),
            Delta::Notice(text) => setup.watch.notice(text),
        };
        let mut result = candidate.provider.stream(
            &request,
            &mut |delta| deltas.push(delta, &mut show),
            setup.cancel,
        );
        deltas.finish(&mut show);
        if let Ok(reply) = &mut result {
            mask_message(setup.secrets, &mut reply.message);
        }
        self.record(index, &result, at, began.elapsed());
        if let Ok(reply) = &result {
            let (usage, attempts) = (reply.usage, reply.attempts);
            setup
                .models
                .learn(setup.session, index, &request, usage, attempts);
        }
        result
    }

    /// Keeps what was shown of an answer that broke off.
    fn keep_partial(&mut self, shown: String) {
        if shown.trim().is_empty() {
            return;
        }
        let mut partial = Message::text(Role::Assistant, shown);
        partial.parts.push(Part::Note(CUT_OFF.to_owned()));
        self.step.messages.push(partial);
        self.has_partial = true;
    }

    fn record(
        &mut self,
        index: usize,
        result: &Result<Reply, ProviderError>,
        at: SystemTime,
        latency: Duration,
    ) {
        let setup = self.setup;
        let candidate = setup.models.get(index);
        let (outcome, usage, first_token, attempts) = match result {
            Ok(reply) => ("ok", reply.usage, reply.first_token, reply.attempts),
            Err(error) => (error.class().0, Usage::default(), None, 1),
        };
        self.usage.add(usage);
        self.guard.spend(
            usage
                .input
                .unwrap_or(0)
                .saturating_add(usage.output.unwrap_or(0)),
        );
        setup.observers.tell(Event::ModelCalled {
            turn: setup.turn,
            provider: candidate.provider.name(),
            model: &candidate.model.model_id,
            usage,
            took: latency,
            outcome,
        });
        self.step.model_calls.push(ModelCall {
            provider: candidate.provider.name().to_owned(),
            model: candidate.model.model_id.clone(),
            purpose: "turn",
            outcome,
            usage,
            cost: candidate
                .price
                .as_ref()
                .and_then(|price| Some((price.cost(&usage)?, price.currency.clone()))),
            latency,
            first_token,
            attempts,
            at,
        });
    }

    /// Runs the open calls of the last round, committing before and after; their results join the history.
    fn run_calls(&mut self, history: &mut Vec<Message>) -> Result<(), TurnEnd> {
        let setup = self.setup;
        let mut waiting = calls::plan(setup, unanswered_calls(history));
        while let Some(mut batch) = calls::next_batch(setup, &mut waiting) {
            self.seek_permits(&mut batch)?;
            self.step.started = batch
                .iter()
                .filter(|call| call.needs_mark())
                .map(|call| (call.call.id.clone(), call.call.name.clone()))
                .collect();
            self.commit()?;
            let takes_images = setup.models.get(self.asked).model.images;
            let mut done = calls::run_batch(setup, batch, takes_images, self.guard.until());
            for (record, result) in &mut done {
                if let Some(remark) = self.guard.note(record.print) {
                    result.content.push('\n');
                    result.content.push_str(&remark);
                }
            }
            let results = Message::results(done.iter().map(|(_, result)| result.clone()));
            self.step.ended = done.into_iter().map(|(record, _)| record).collect();
            self.step.messages.push(results.clone());
            history.push(results);
        }
        self.commit()?;
        if setup.cancel.is_cancelled() {
            return Err(TurnEnd::Stopped);
        }
        Ok(())
    }

    /// Asks for the calls of a batch that need a person's yes; those that do not get it become errors for the model.
    fn seek_permits(&mut self, batch: &mut [calls::Planned]) -> Result<(), TurnEnd> {
        for planned in batch {
            let Some(question) = planned.question() else {
                continue;
            };
            self.commit()?;
            let permit = self
                .journal
                .ask(&question)
                .map_err(|JournalError| TurnEnd::NotStored)?;
            match permit {
                Permit::Given => planned.refuse_if_changed(self.setup),
                Permit::Refused(why) => planned.refuse(why),
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), TurnEnd> {
        self.journal
            .commit(std::mem::take(&mut self.step))
            .map_err(|JournalError| TurnEnd::NotStored)
    }

    /// Turns the model's last message into the answer.
    fn answer(&mut self, reply: Reply, cap: Option<Cap>) -> TurnEnd {
        let Reply {
            mut message, stop, ..
        } = reply;
        message
            .parts
            .retain(|part| !matches!(part, Part::ToolCall(_)));
        if cap.is_some() {
            // The native form may still hold the calls that were dropped.
            message.native = None;
        }
        let silent = message.visible_text().trim().is_empty();
        let remark = match (cap, stop) {
            (Some(cap), _) => Some(cap.for_person()),
            (None, StopReason::Truncated) => Some(CUT_OFF.to_owned()),
            (None, StopReason::Length) => Some(TOO_LONG.to_owned()),
            // A filter may have cut it anywhere.
            (None, StopReason::Refused) => Some(REFUSED.to_owned()),
            (None, _) if silent => Some(EMPTY.to_owned()),
            (None, _) => None,
        };
        message.parts.extend(remark.map(Part::Note));
        let text = message.shown_text();
        self.step.messages.push(message);
        TurnEnd::Answered { text, stop }
    }
}

/// Returns the calls of the last round that have no result yet.
pub fn unanswered_calls(history: &[Message]) -> Vec<ToolCall> {
    let n_results = history
        .iter()
        .rev()
        .take_while(|message| message.role == Role::Tool)
        .count();
    let (before, results) = history.split_at(history.len() - n_results);
    let Some(assistant) = before.last().filter(|last| last.role == Role::Assistant) else {
        return Vec::new();
    };
    let answered: Vec<&str> = results
        .iter()
        .flat_map(Message::tool_results)
        .map(|result| result.call_id.as_str())
        .collect();
    assistant
        .tool_calls()
        .filter(|call| !answered.contains(&call.id.as_str()))
        .cloned()
        .collect()
}

/// How often a request that the model finds too long is shortened.
const MAX_SHORTENED: u32 = 2;
/// On estimates of what was added: rather too much than too little. A learned factor would be forgotten by the next
/// process, which must decide alike.
const MARGIN: f64 = 1.1;
/// For the model, where a yes is needed and nobody could give it.
pub const NOBODY_TO_ASK: &str = "Not allowed: this needs a person's yes, and nobody who could give it is connected. Tell \
                             the person: they can connect `picobot chat`, or put a rule for it into `approvals.rules` of the \
                             configuration.";
const CUT_OFF: &str = "[cut off]";
const TOO_LONG: &str = "[cut off at the model's output limit; write 'continue' to go on]";
const REFUSED: &str = "The model declined to answer this. None of it is sent to the model again.";
const IMAGES_REFUSED: &str = "The model service refused an image. The images of this dialog were taken out, so that it \
                              can go on.";
const EMPTY: &str = "The model gave an empty answer. Ask again, or in other words.";

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
