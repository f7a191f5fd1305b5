//! Inputs that join a running turn: handed over by the `session` thread, taken in by the turn's own thread behind a round
//! of tools, stored as messages of that turn and tied to it in one commit.
//!
//! Until that commit an input is open and belongs to no turn, so that a crash or the turn's end leaves it waiting for a
//! turn of its own; after it the input ends together with the turn, with the same answer.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Deps;
use super::active::Waiting;
use super::prompt;
use super::worker::TurnJob;
use crate::bus::Caller;
use crate::chat::{Attachment, Message};
use crate::observability::crash_point;
use crate::storage::{InboxId, InboxRow, StorageError, TurnId, Tx};

/// The inputs that are to join one turn, and those that have.
#[derive(Default)]
pub(super) struct Steering {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Offered, in the order received.
    pending: Vec<Waiting>,
    /// Taken by the turn, which is storing them.
    joining: Vec<Waiting>,
    /// Part of the turn.
    joined: HashSet<InboxId>,
}

/// Where an input stands in a turn's steering.
pub(super) enum Place {
    /// Nowhere.
    Unknown,
    /// Offered; the callers wait with it now.
    Offered,
    /// Part of the turn: the callers are given back and wait for its answer.
    Joined(Vec<Caller>),
}

impl Steering {
    /// Offers an input.
    pub(super) fn offer(&self, waiting: Waiting) {
        self.lock().pending.push(waiting);
    }

    /// Counts the inputs that were offered and have not joined.
    pub(super) fn n_pending(&self) -> usize {
        self.lock().pending.len()
    }

    /// Lists the beginnings of the inputs that were offered and have not joined.
    pub(super) fn previews(&self) -> Vec<String> {
        let state = self.lock();
        state.pending.iter().map(|w| w.preview.clone()).collect()
    }

    /// Takes back what is meant of the inputs that have not joined.
    pub(super) fn take(&self, is_meant: impl Fn(InboxId) -> bool) -> Vec<Waiting> {
        let mut state = self.lock();
        let (taken, left) = std::mem::take(&mut state.pending)
            .into_iter()
            .partition(|waiting| is_meant(waiting.input));
        state.pending = left;
        taken
    }

    /// Returns the newest input that has not joined.
    pub(super) fn newest(&self) -> Option<InboxId> {
        self.lock().pending.last().map(|waiting| waiting.input)
    }

    /// Takes back the newest input that has not joined.
    pub(super) fn take_newest(&self) -> Option<Waiting> {
        self.lock().pending.pop()
    }

    /// Takes back what a turn that has ended left: what it never took, and what it took and did not store.
    pub(super) fn leftover(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        let mut left = std::mem::take(&mut state.joining);
        left.append(&mut state.pending);
        left
    }

    /// Tells whether an input is part of the turn.
    pub(super) fn has_joined(&self, input: InboxId) -> bool {
        self.lock().joined.contains(&input)
    }

    /// Lets the callers of a repeat wait with their input.
    pub(super) fn wait_with(&self, input: InboxId, callers: &[Caller]) -> Place {
        let mut state = self.lock();
        if state.joined.contains(&input) {
            return Place::Joined(callers.to_vec());
        }
        let State {
            pending, joining, ..
        } = &mut *state;
        let known = pending.iter_mut().chain(joining);
        match known.into_iter().find(|waiting| waiting.input == input) {
            Some(waiting) => {
                waiting.callers.extend_from_slice(callers);
                Place::Offered
            }
            None => Place::Unknown,
        }
    }

    /// Takes everything that was offered; it counts as being stored.
    fn begin(&self) -> Vec<InboxId> {
        let mut state = self.lock();
        let State {
            pending, joining, ..
        } = &mut *state;
        joining.append(pending);
        joining.iter().map(|waiting| waiting.input).collect()
    }

    /// What was taken is stored; returns who waits for it.
    fn stored(&self) -> Vec<Caller> {
        let mut state = self.lock();
        let taken = std::mem::take(&mut state.joining);
        state
            .joined
            .extend(taken.iter().map(|waiting| waiting.input));
        taken
            .into_iter()
            .flat_map(|waiting| waiting.callers)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in what was offered to a turn and returns the messages; `store` runs a commit unless the turn was ended.
pub(super) fn join<E>(
    deps: &Deps,
    job: &TurnJob,
    turn: TurnId,
    failed: impl Fn(StorageError) -> E,
    store: impl FnOnce(&dyn Fn(&Tx<'_>) -> Result<(), StorageError>) -> Result<(), E>,
) -> Result<Vec<Message>, E> {
    let inputs = job.control.steering.begin();
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = deps.db.read(|tx| load(tx, &inputs)).map_err(&failed)?;
    // Decodes images: no lock is held.
    let messages: Vec<Message> = rows
        .iter()
        .map(|(row, files)| prompt::user_message(row, files, &job.session, Some(WHILE_AT_WORK)))
        .collect();
    crash_point("steer-begun");
    store(&|tx| {
        tx.append_messages(job.dialog, turn, &messages, std::time::SystemTime::now())?;
        for (row, _) in &rows {
            tx.take_input(row.id, turn)?;
        }
        Ok(())
    })?;
    crash_point("steer-stored");
    for caller in job.control.steering.stored() {
        job.replies.join(caller, turn);
    }
    Ok(messages)
}

fn load(tx: &Tx<'_>, inputs: &[InboxId]) -> Result<Vec<(InboxRow, Vec<Attachment>)>, StorageError> {
    let mut rows = Vec::with_capacity(inputs.len());
    for input in inputs {
        if let Some(row) = tx.input(*input)? {
            rows.push((row, tx.attachments(*input)?));
        }
    }
    Ok(rows)
}

const WHILE_AT_WORK: &str =
    "This message came while you were at work. Take it into account from here on.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{ClientId, Wants};
    use proptest::prelude::*;

    fn waiting(n: i64) -> Waiting {
        Waiting {
            input: InboxId(n),
            callers: vec![caller(n)],
            preview: n.to_string(),
            resume: None,
            joined: Vec::new(),
        }
    }

    fn caller(n: i64) -> Caller {
        Caller {
            client: ClientId(1),
            request_id: Some(n.to_string()),
            wants: Wants::default(),
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Offer,
        Begin,
        Stored,
        TakeBack,
        Stop(i64),
        Repeat(i64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => Just(Act::Offer),
            2 => Just(Act::Begin),
            2 => Just(Act::Stored),
            1 => Just(Act::TakeBack),
            1 => (0..12_i64).prop_map(Act::Stop),
            2 => (0..12_i64).prop_map(Act::Repeat),
        ];
        proptest::collection::vec(act, 0..40)
    }

    proptest! {
        /// Whatever happens, each input ends in one place, and those that join do so in the order received.
        #[test]
        fn nothing_is_lost_doubled_or_reordered(acts in acts()) {
            let steering = Steering::default();
            let mut offered = 0;
            let mut joined = Vec::new();
            let mut taken = Vec::new();
            let mut callers = 0;
            let mut begun = Vec::new();
            for act in acts {
                match act {
                    Act::Offer => {
                        offered += 1;
                        callers += 1;
                        steering.offer(waiting(offered));
                    }
                    Act::Begin => begun = steering.begin(),
                    Act::Stored => {
                        let told = steering.stored();
                        callers -= told.len();
                        joined.append(&mut begun);
                    }
                    Act::TakeBack => taken.extend(steering.take_newest()),
                    Act::Stop(n) => taken.extend(steering.take(|input| input.0 == n)),
                    Act::Repeat(n) => match steering.wait_with(InboxId(n), &[caller(n)]) {
                        Place::Offered => callers += 1,
                        Place::Joined(back) => {
                            prop_assert!(joined.contains(&InboxId(n)) && back.len() == 1);
                        }
                        Place::Unknown => {
                            prop_assert!(n < 1 || n > offered || taken.iter().any(|w: &Waiting| w.input.0 == n));
                        }
                    },
                }
                prop_assert!(joined.iter().all(|input| steering.has_joined(*input)));
            }
            let left = steering.leftover();
            prop_assert!(joined.is_sorted(), "{joined:?}");
            prop_assert!(left.iter().map(|w| w.input).is_sorted());
            let mut all: Vec<i64> = joined.iter().map(|input| input.0).collect();
            all.extend(taken.iter().chain(&left).map(|waiting| waiting.input.0));
            all.sort_unstable();
            prop_assert_eq!(all, (1..=offered).collect::<Vec<_>>());
            let held: usize = taken.iter().chain(&left).map(|w| w.callers.len()).sum();
            prop_assert_eq!(held, callers, "callers");
        }
    }
}
