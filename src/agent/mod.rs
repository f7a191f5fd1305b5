//! One model and tool turn: the loop, its prompt, and the legality of requests.
//!
//! Has no thread of its own and keeps nothing between turns: the caller gives the history and a [`Journal`] that makes
//! each step durable, and is told what happens through [`Watch`].

mod calls;
pub mod compress;
mod guard;
mod images;
mod legalise;
mod masking;
mod models;
mod policy;
mod prompt;
mod tokens;
mod turn;

#[cfg(test)]
pub(crate) use images::place;

pub use guard::{SoFar, TurnLimits};
pub use legalise::{CallIds, INTERRUPTED, Legal, Repair, legalise};
pub use models::{Candidate, Models};
pub use policy::{ApprovalPolicy, BadRule, Decision, Rule, Verdict};
pub use prompt::{ContextFacts, context_block, system_prompt};
pub use turn::{
    Journal, JournalError, Measured, NOBODY_TO_ASK, Permit, Question, Room, Roomier, Setup, Step,
    TurnEnd, TurnResult, Watch, run_turn, unanswered_calls,
};
