//! Compression of a dialog: when it is due, what is stored, what people are told. On a turn's thread; only that thread
//! works on the dialog meanwhile, so `/new`, commands and other dialogs go on.
//!
//! A compression is one transaction that replaces the dialog's `contexts` row; the messages stay as they are. Before it
//! the old state holds, behind it the new one, whenever the process dies. What is sent is always read back from the
//! database, so a turn goes on with exactly what another process would load. What to cut is decided in
//! `agent::compress`.

mod command;
mod store;

pub(super) use command::{NAME, is_compaction, run_command};
pub(super) use store::{LoadedContext, load_rows, rows_of};

use std::time::{Duration, SystemTime};

use super::{Deps, prompt};
use crate::agent::compress::{
    Cut, Facts, Force, Need, NoSummary, Plan, Row, SummaryJob, cut_rows, plan, render, shown,
    summarise,
};
use crate::agent::{JournalError, Room, Roomier};
use crate::chat::{Message, ModelCall, Role, SessionId, Usage};
use crate::observability::{Part, crash_point};
use crate::providers::{estimate_text, estimate_tools};
use crate::storage::{Context, DialogKey, InboxId, NewTimeline, Prompt, StorageError, TurnId};
use crate::threads::CancelToken;
use store::{Change, Stored};

/// How long no summary is asked for after one that failed.
const REST: Duration = Duration::from_secs(600);
/// Processes that may die of a dialog's summary before it is made without a model.
const MAX_TRIES: u32 = 3;
/// Of the token limit, in hundredths: what a compression aims at, what stays word for word, what the facts of a summary
/// get, what the summary's request may have, and where a failed summary is no longer put up with.
const GOAL: f64 = 0.50;
/// See [`GOAL`].
const KEEP: f64 = 0.15;
/// See [`GOAL`].
const FACTS: f64 = 0.08;
/// See [`GOAL`].
const REQUEST: f64 = 0.70;
/// See [`GOAL`].
const FULL: f64 = 0.95;

/// When dialogs are compressed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ContextLimits {
    /// Context size in tokens.
    pub tokens: u32,
    /// The share of it, in percent, from which on a dialog is compressed.
    pub compress_at: u32,
}

impl ContextLimits {
    /// Returns the number of tokens from which on a dialog is compressed.
    pub(super) fn threshold(&self) -> f64 {
        f64::from(self.tokens) * f64::from(self.compress_at) / 100.0
    }
}

/// For whom a dialog is compressed. What has ended meanwhile must store nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// A running turn.
    Turn(TurnId),
    /// A person's command.
    Command(InboxId),
}

/// Why a dialog is compressed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Why<'a> {
    /// The next request would have so many tokens.
    Due(f64),
    /// The model found the request too long; `again` if it found the shortened one too long as well.
    Refused { again: bool },
    /// A person wants it, and this kept above all.
    Wanted { focus: &'a str },
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Outcome {
    /// There was nothing to do, or it was stopped.
    Unchanged,
    /// The owner has ended; nothing was stored.
    Gone,
    /// No summary could be made, and the history was kept: why.
    Failed(String),
    /// The dialog is shorter: what to say.
    Done(String),
}

/// What a compression works with.
pub(super) struct Compactor<'a> {
    pub(super) deps: &'a Deps,
    pub(super) dialog: DialogKey,
    pub(super) session: &'a SessionId,
    pub(super) owner: Owner,
    pub(super) cancel: &'a CancelToken,
    pub(super) notice: &'a dyn Fn(&str),
}

/// A summary in its place, not stored yet.
struct Draft {
    context: Context,
    prompt: Prompt,
    /// About what is left.
    tokens: f64,
}

/// A compression's result with what its calls used.
pub(super) struct Compacted {
    pub(super) outcome: Outcome,
    pub(super) usage: Usage,
}

impl Compactor<'_> {
    /// Compresses the dialog if that helps.
    pub(super) fn run(&self, why: Why<'_>) -> Result<Compacted, StorageError> {
        crash_point("compaction-begun");
        let loaded = load_rows(self.deps, self.dialog)?;
        let system = loaded.prompt.as_ref().map_or("", |prompt| &prompt.system);
        let need = self.need(&loaded, system, why);
        let mut usage = Usage::default();
        let outcome = match plan(&loaded.rows, loaded.context.shrunk, &need) {
            Plan::Nothing => Outcome::Unchanged,
            Plan::Shrink(shrunk) => self.shrink(&loaded, shrunk)?,
            Plan::Cut(cut) => self.cut(&loaded, &cut, &need, why, &mut usage)?,
        };
        Ok(Compacted { outcome, usage })
    }

    /// Makes room for a turn, says so, and reads back what is sent from now on. `None`: nothing has changed, or the disk
    /// fails; then the turn goes on with what it has, and waits for the disk at its next step.
    pub(super) fn for_turn(&self, why: Room) -> Result<Option<Roomier>, JournalError> {
        let why = match why {
            Room::Due(used) => Why::Due(used),
            Room::Refused { again } => Why::Refused { again },
        };
        let failed = |error: StorageError| {
            log::error!("no room could be made: {error}");
            self.deps.health.degraded(Part::Storage);
        };
        let Ok(Compacted { outcome, usage }) = self.run(why).map_err(failed) else {
            return Ok(None);
        };
        match outcome {
            Outcome::Gone => return Err(JournalError),
            Outcome::Unchanged => return Ok(None),
            Outcome::Failed(reason) => {
                (self.notice)(&format!(
                    "This dialog is long and could not be compressed; it goes on as it is. {reason}"
                ));
                return Ok(None);
            }
            Outcome::Done(said) => (self.notice)(&said),
        }
        let Ok(loaded) = load_rows(self.deps, self.dialog).map_err(failed) else {
            return Ok(None);
        };
        let system = loaded.prompt.map(|prompt| prompt.system);
        Ok(Some(Roomier {
            system: system.unwrap_or_else(|| prompt::renewed(self.deps).system),
            history: shown(loaded.rows, loaded.context.shrunk, &loaded.context.summary),
            usage,
        }))
    }

    fn need(&self, loaded: &LoadedContext, system: &str, why: Why<'_>) -> Need {
        let limit = f64::from(self.deps.agent.context.tokens);
        let fixed = estimate_text(system)
            + estimate_tools(&self.deps.specs)
            + estimate_text(&loaded.context.summary);
        let estimated = || {
            let history = shown(
                loaded.rows.iter().cloned(),
                loaded.context.shrunk,
                &loaded.context.summary,
            );
            self.estimate(system, &history)
        };
        let (used, force) = match why {
            Why::Due(used) => (used, Force::Early),
            Why::Refused { again: false } => (estimated(), Force::Refused),
            Why::Refused { again: true } => (estimated(), Force::RefusedAgain),
            Why::Wanted { .. } => (estimated(), Force::Wanted),
        };
        let (goal, keep) = match force {
            Force::Early => (limit * GOAL, limit * KEEP),
            // The service's limit is lower than the configured one: go by what it has refused.
            Force::Refused => (used.min(limit) * GOAL, used.min(limit) * KEEP),
            Force::RefusedAgain => (0.0, 0.0),
            Force::Wanted => (0.0, limit * KEEP),
        };
        let running = match self.owner {
            Owner::Turn(turn) => Some(turn.0),
            Owner::Command(_) => None,
        };
        Need {
            used,
            fixed,
            goal,
            keep,
            running,
            force,
        }
    }

    /// Stores that old results are sent shortened.
    fn shrink(&self, loaded: &LoadedContext, shrunk: i64) -> Result<Outcome, StorageError> {
        let context = Context {
            shrunk,
            ..loaded.context.clone()
        };
        let change = Change {
            context: &context,
            prompt: None,
            timeline: None,
            calls: &[],
            ledger_turn: TurnId(0),
        };
        match self.store(&change)? {
            Stored::Yes => Ok(Outcome::Done(
                "Shortened old tool results to make room.".to_owned(),
            )),
            Stored::OwnerEnded => Ok(Outcome::Gone),
        }
    }

    /// Puts a summary in the place of messages.
    fn cut(
        &self,
        loaded: &LoadedContext,
        cut: &Cut,
        need: &Need,
        why: Why<'_>,
        usage: &mut Usage,
    ) -> Result<Outcome, StorageError> {
        let gone = cut_rows(&loaded.rows, cut);
        let facts = Facts::from_json(&loaded.context.facts);
        let is_full = need.force >= Force::Refused
            || need.used >= f64::from(self.deps.agent.context.tokens) * FULL
            || loaded.context.tries >= MAX_TRIES;
        let asks = self.may_ask_model(&loaded.context, need.force);
        if !asks && !is_full && need.force == Force::Early {
            return Ok(Outcome::Unchanged);
        }
        let (result, calls) = if asks {
            self.deps
                .db
                .write_relaxed(|tx| tx.begin_summary(self.dialog))?;
            self.ask(&facts.prose, &gone, why, need)
        } else {
            (Err(RESTS.to_owned()), Vec::new())
        };
        crash_point("compaction-summarised");
        for call in &calls {
            usage.add(call.usage);
        }
        if self.cancel.is_cancelled() {
            self.note_failure(&gone, &calls, None)?;
            return Ok(Outcome::Unchanged);
        }
        let rests_until = match &result {
            Err(_) if asks => Some(SystemTime::now() + REST),
            Err(_) => loaded.context.rests_until,
            Ok(_) => None,
        };
        if let Err(reason) = &result
            && !is_full
        {
            self.note_failure(&gone, &calls, rests_until)?;
            return Ok(Outcome::Failed(reason.clone()));
        }
        let mut draft = self.draft(loaded, cut, &gone, facts, result.as_deref().ok(), need.used);
        draft.context.rests_until = rests_until;
        let change = Change {
            context: &draft.context,
            prompt: Some(&draft.prompt),
            timeline: Some(&NewTimeline {
                turn: cut.request.and(self.turn()),
                content: result.as_ref().unwrap_or(&draft.context.summary),
                began_at: loaded.time_of(gone.first()),
                ended_at: loaded.time_of(gone.last()),
            }),
            calls: &calls,
            ledger_turn: self.ledger_turn(&gone),
        };
        let stored = self.store(&change)?;
        crash_point("compaction-stored");
        if stored == Stored::OwnerEnded {
            return Ok(Outcome::Gone);
        }
        let mut said = format!(
            "Compressed {} messages into a summary: about {} → {} tokens.",
            gone.len(),
            round(need.used),
            round(draft.tokens)
        );
        if let Err(reason) = result {
            said.push_str(&format!(
                " It was made without a model; names, requests and steps were kept. {reason}"
            ));
        }
        Ok(Outcome::Done(said))
    }

    /// Whether a model is asked: not while a failed attempt is fresh, unless a person wants it; and not if processes
    /// died of it.
    fn may_ask_model(&self, context: &Context, force: Force) -> bool {
        let rests = context
            .rests_until
            .is_some_and(|until| until > SystemTime::now());
        (force == Force::Wanted || !rests) && context.tries < MAX_TRIES
    }

    fn ask(
        &self,
        previous: &str,
        gone: &[Row],
        why: Why<'_>,
        need: &Need,
    ) -> (Result<String, String>, Vec<ModelCall>) {
        let deps = self.deps;
        let tokens = f64::from(deps.agent.context.tokens);
        // What was refused says more than the configured limit.
        let most = match need.force {
            Force::Early | Force::Wanted => tokens,
            Force::Refused | Force::RefusedAgain => tokens.min(need.used),
        };
        let mut may_ask = || {
            let refusal = deps
                .budget
                .as_ref()
                .and_then(|budget| budget.refusal(&deps.db, SystemTime::now()));
            refusal.map_or(Ok(()), Err)
        };
        let summarised = summarise(SummaryJob {
            models: &deps.agent.models,
            cancel: self.cancel,
            may_ask: &mut may_ask,
            notice: self.notice,
            observers: &deps.observers,
            turn: match self.owner {
                Owner::Turn(turn) => turn.0,
                Owner::Command(_) => 0,
            },
            rows: gone,
            previous,
            focus: match why {
                Why::Wanted { focus } => focus,
                Why::Due(_) | Why::Refused { .. } => "",
            },
            max_tokens: most * REQUEST,
            max_words: ((tokens * 0.02) as usize).clamp(100, 800),
        });
        let result = summarised.result.map_err(|error| match error {
            NoSummary::Cancelled => super::wording::STOPPED.to_owned(),
            NoSummary::OverBudget(sentence) => sentence,
            NoSummary::Failed(error, name) => super::wording::summary_failure(&error, &name),
            NoSummary::Unusable => "The model gave no usable summary.".to_owned(),
        });
        (result, summarised.calls)
    }

    /// Keeps the history; the calls were made all the same.
    fn note_failure(
        &self,
        gone: &[Row],
        calls: &[ModelCall],
        rests_until: Option<SystemTime>,
    ) -> Result<(), StorageError> {
        self.deps.db.write(|tx| {
            tx.end_summary(self.dialog, rests_until)?;
            for call in calls {
                tx.record_model_call(self.ledger_turn(gone), call)?;
            }
            Ok(())
        })
    }

    /// Writes what is to be stored.
    fn draft(
        &self,
        loaded: &LoadedContext,
        cut: &Cut,
        gone: &[Row],
        mut facts: Facts,
        prose: Option<&str>,
        used: f64,
    ) -> Draft {
        let request = cut.request.and_then(|id| {
            let row = loaded.rows.iter().find(|row| row.id == id)?;
            Some(&row.message)
        });
        facts.add(
            request
                .into_iter()
                .chain(gone.iter().map(|row| &row.message)),
        );
        if let Some(prose) = prose {
            facts.prose = prose.to_owned();
        }
        let stays: Vec<Row> = loaded
            .rows
            .iter()
            .filter(|row| row.id > cut.upto || Some(row.id) == cut.request)
            .cloned()
            .collect();
        if stays.iter().any(|row| row.message.role == Role::User) {
            // The newest request follows word for word.
            facts.last.clear();
        }
        let limit = f64::from(self.deps.agent.context.tokens).min(used);
        let room = (limit * FACTS * CHARS_A_TOKEN) as usize;
        let summary = render(
            &facts,
            prose.is_some(),
            request.map(Message::visible_text).as_deref(),
            room.clamp(MIN_FACTS_CHARS, MAX_FACTS_CHARS),
        );
        let context = Context {
            upto: cut.upto.max(loaded.context.upto),
            request: cut.request,
            shrunk: cut.shrunk,
            facts: facts.to_json(),
            summary,
            ..Context::default()
        };
        let prompt = prompt::renewed(self.deps);
        let history = shown(stays, context.shrunk, &context.summary);
        let tokens = self.estimate(&prompt.system, &history);
        Draft {
            context,
            prompt,
            tokens,
        }
    }

    /// Guesses the tokens of a request as the model counts them, so that sizes before and after can be compared.
    fn estimate(&self, system: &str, history: &[Message]) -> f64 {
        let (models, specs) = (&self.deps.agent.models, &self.deps.specs);
        f64::from(models.estimate_prompt(self.session, system, specs, history))
    }

    /// Returns the turn under which calls are entered: the one that waits, else the newest of those summarised.
    fn ledger_turn(&self, gone: &[Row]) -> TurnId {
        self.turn()
            .or_else(|| gone.last().map(|row| TurnId(row.turn)))
            .unwrap_or(TurnId(0))
    }

    fn turn(&self) -> Option<TurnId> {
        match self.owner {
            Owner::Turn(turn) => Some(turn),
            Owner::Command(_) => None,
        }
    }
}

/// Of the facts in a summary, whatever the token limit.
const MIN_FACTS_CHARS: usize = 3_000;
/// See [`MIN_FACTS_CHARS`].
const MAX_FACTS_CHARS: usize = 24_000;
/// Of mixed text, about.
const CHARS_A_TOKEN: f64 = 3.0;
/// Why no model was asked.
const RESTS: &str = "Earlier attempts to have one written failed.";

/// Writes a number of tokens for people: two leading digits count.
fn round(tokens: f64) -> String {
    let tokens = tokens.max(0.0) as u64;
    let step = match tokens {
        0..=99 => 1,
        100..=999 => 10,
        1_000..=9_999 => 100,
        _ => 1_000,
    };
    let rounded = (tokens + step / 2) / step * step;
    let digits = rounded.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
