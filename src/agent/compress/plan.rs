//! Decides what of a dialog is shortened and what a summary takes the place of. Pure.
//!
//! Cheap things first: old tool results are shortened; if that is not enough, whole turns are cut, oldest first; only
//! when nothing else is left, rounds inside the running turn, whose request stays. A call is never parted from its
//! result, because cuts stand before a turn or before an assistant message.

use super::shrink::shrink;
use crate::chat::{Message, Role};
use crate::providers::estimate_message;

/// Rounds of tools whose results are never shortened as long as there is another way.
const WHOLE_ROUNDS: usize = 2;
/// A cut must save this share of what is used, or it is not worth a summary.
const WORTH: f64 = 0.1;

/// Of the messages of a request that was refused, this share is kept at most.
const MOST_KEPT: f64 = 0.4;

/// A stored message that is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its row number; orders a dialog.
    pub id: i64,
    /// The turn it belongs to.
    pub turn: i64,
    /// The message as stored.
    pub message: Message,
}

/// How much room is needed, in tokens as the service counts them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Need {
    /// What the next request would have.
    pub used: f64,
    /// What of it is no message: system prompt, tools, the summary so far.
    pub fixed: f64,
    /// What it should have at most.
    pub goal: f64,
    /// How much of the newest messages stays word for word.
    pub keep: f64,
    /// The turn that asks for room.
    pub running: Option<i64>,
    /// How hard it is needed.
    pub force: Force,
}

/// How hard room is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Force {
    /// It would be good to have it; little gain is not worth it.
    Early,
    /// A person wants a summary.
    Wanted,
    /// The model has refused the request as too long.
    Refused,
    /// It has refused the shortened one as well.
    RefusedAgain,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing can or need be done.
    Nothing,
    /// Shorten tool results up to this row.
    Shrink(i64),
    /// Put a summary in the place of messages.
    Cut(Cut),
}

/// Which messages a summary takes the place of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// All up to this row …
    pub upto: i64,
    /// … but this one, the request of the running turn.
    pub request: Option<i64>,
    /// Tool results up to this row are shortened among those that stay.
    pub shrunk: i64,
}

/// Returns the messages that a cut takes away.
pub fn cut_rows(rows: &[Row], cut: &Cut) -> Vec<Row> {
    let goes = |row: &&Row| row.id <= cut.upto && Some(row.id) != cut.request;
    rows.iter().filter(goes).cloned().collect()
}

/// Plans for the messages that are sent now; those up to the row `shrunk` are shortened already.
pub fn plan(rows: &[Row], shrunk: i64, need: &Need) -> Plan {
    let sizes = Sizes::of(rows, shrunk, need);
    if need.force != Force::Wanted && sizes.saved > 0.0 && need.used - sizes.saved <= need.goal {
        return Plan::Shrink(sizes.shrink_to);
    }
    let places = cut_places(rows, &sizes, need);
    let gone: f64 = places.gone().map(|index| sizes.short[index]).sum();
    let worth_it = match need.force {
        Force::Early => gone >= need.used * WORTH,
        _ => gone > 0.0,
    };
    if !worth_it {
        let helps = need.force >= Force::Refused && sizes.saved > 0.0;
        return match need.force {
            Force::RefusedAgain => shrink_all(rows, shrunk),
            _ if helps => Plan::Shrink(sizes.shrink_to),
            _ => Plan::Nothing,
        };
    }
    let last_gone = places.gone().next_back().map_or(0, |index| rows[index].id);
    let last_id = rows.last().map_or(0, |row| row.id);
    Plan::Cut(Cut {
        upto: last_gone,
        request: places.request.map(|index| rows[index].id),
        shrunk: match need.force {
            Force::Wanted => shrunk,
            Force::RefusedAgain => last_id,
            Force::Early | Force::Refused => sizes.shrink_to,
        },
    })
}

/// The last resort: even the newest results are shortened.
fn shrink_all(rows: &[Row], shrunk: i64) -> Plan {
    match rows.last() {
        Some(last) if last.id > shrunk => Plan::Shrink(last.id),
        _ => Plan::Nothing,
    }
}

/// Tokens of each message once the old results are shortened.
struct Sizes {
    short: Vec<f64>,
    shrink_to: i64,
    saved: f64,
}

impl Sizes {
    fn of(rows: &[Row], shrunk: i64, need: &Need) -> Self {
        let n_old = n_old(rows);
        let shrink_to = n_old
            .checked_sub(1)
            .map_or(shrunk, |last| rows[last].id.max(shrunk));
        let mut now = Vec::with_capacity(rows.len());
        let mut short = Vec::with_capacity(rows.len());
        for row in rows {
            let mut message = row.message.clone();
            if row.id <= shrunk {
                shrink(&mut message);
            }
            now.push(estimate_message(&message));
            if row.id > shrunk && row.id <= shrink_to {
                shrink(&mut message);
            }
            short.push(estimate_message(&message));
        }
        let estimated: f64 = now.iter().sum::<f64>() + need.fixed;
        // Services count otherwise than the estimate does, all texts alike.
        let ratio = (need.used / estimated.max(1.0)).clamp(0.5, 3.0);
        short.iter_mut().for_each(|size| *size *= ratio);
        let saved = now.iter().sum::<f64>() * ratio - short.iter().sum::<f64>();
        Self {
            short,
            shrink_to,
            saved,
        }
    }
}

/// Counts the messages before the newest rounds of tools.
fn n_old(rows: &[Row]) -> usize {
    let rounds = rows
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, row)| row.message.tool_calls().next().is_some());
    rounds
        .map(|(index, _)| index)
        .nth(WHOLE_ROUNDS - 1)
        .unwrap_or(0)
}

/// Where to cut, as indices of rows.
struct Places {
    /// Everything before goes …
    end: usize,
    /// … but this.
    request: Option<usize>,
}

impl Places {
    fn gone(&self) -> impl DoubleEndedIterator<Item = usize> {
        let request = self.request;
        (0..self.end).filter(move |index| Some(*index) != request)
    }
}

fn cut_places(rows: &[Row], sizes: &Sizes, need: &Need) -> Places {
    let size = |range: std::ops::Range<usize>| sizes.short[range].iter().sum::<f64>();
    let keep = match need.force {
        Force::Early | Force::Wanted => need.keep,
        // However short the messages are beside the fixed part: some of them must go.
        Force::Refused | Force::RefusedAgain => need.keep.min(size(0..rows.len()) * MOST_KEPT),
    };
    let running = rows
        .iter()
        .position(|row| Some(row.turn) == need.running)
        .unwrap_or(rows.len());
    let mut end = running;
    // A person who wants a summary keeps the last turn at most.
    let most = match need.force {
        Force::Wanted => 1,
        _ => usize::MAX,
    };
    for start in turn_starts(&rows[..running]).rev().take(most) {
        if size(start..running) > keep {
            break;
        }
        end = start;
    }
    let whole_turns = Places { end, request: None };
    let left = need.fixed + size(end..rows.len());
    let is_enough = left <= need.goal;
    let has_request = rows
        .get(running)
        .is_some_and(|row| row.message.role == Role::User);
    if !has_request || (is_enough && need.force < Force::RefusedAgain) {
        return whole_turns;
    }
    match first_kept_round(rows, running, keep, &size) {
        Some(first) => Places {
            end: first,
            request: Some(running),
        },
        // A single round: nothing inside the turn can go, but what kept the older turns can.
        None => Places {
            end: running,
            request: None,
        },
    }
}

fn turn_starts(rows: &[Row]) -> impl DoubleEndedIterator<Item = usize> {
    (0..rows.len()).filter(|index| *index == 0 || rows[*index].turn != rows[*index - 1].turn)
}

/// Returns the first of the newest rounds that fit, if an older one stands before it.
fn first_kept_round(
    rows: &[Row],
    running: usize,
    keep: f64,
    size: &dyn Fn(std::ops::Range<usize>) -> f64,
) -> Option<usize> {
    let rounds: Vec<usize> = (running + 1..rows.len())
        .filter(|index| rows[*index].message.role == Role::Assistant)
        .collect();
    let first = *rounds.first()?;
    let mut kept = *rounds.last()?;
    for start in rounds.into_iter().rev() {
        if size(start..rows.len()) > keep {
            break;
        }
        kept = start;
    }
    (kept > first).then_some(kept)
}
