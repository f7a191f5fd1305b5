//! Dialogs with work: what runs, and what waits. Owned by the `session` thread; a dialog without work has no entry.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Instant;

use super::replies::Replies;
use super::steer::Steering;
use super::wording;
use crate::bus::{Caller, ClientId};
use crate::chat::SessionId;
use crate::storage::{InboxId, TurnId};
use crate::threads::CancelToken;

/// An input that waits for its turn.
pub(super) struct Waiting {
    pub(super) input: InboxId,
    pub(super) callers: Vec<Caller>,
    /// The beginning of its text, for people.
    pub(super) preview: String,
    /// The turn an earlier process began for it.
    pub(super) resume: Option<TurnId>,
    /// Who waits for inputs that joined that turn.
    pub(super) joined: Vec<Caller>,
}

impl Waiting {
    /// Where it belongs among others of its dialog: turns that were begun first, then by the order received.
    pub(super) fn place(&self) -> (bool, Option<TurnId>, InboxId) {
        (self.resume.is_none(), self.resume, self.input)
    }
}

/// What may only be done to a dialog while no turn runs in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DialogOp {
    Clear,
    Archive,
    Delete,
}

/// Who asked for something to be done to a dialog, and how.
pub(super) struct Asker {
    pub(super) caller: Caller,
    /// The slash command it came as.
    pub(super) command: Option<TypedCommand>,
}

/// A slash command whose answer comes later.
pub(super) struct TypedCommand {
    /// Its name without the slash.
    pub(super) name: String,
    /// The whole text.
    pub(super) text: String,
}

/// Something to do in a dialog, in order.
pub(super) enum Work {
    Input(Waiting),
    Op(DialogOp, Asker),
}

impl Work {
    /// Returns who waits for it.
    pub(super) fn into_callers(self) -> Vec<Caller> {
        match self {
            Self::Input(mut waiting) => {
                waiting.callers.append(&mut waiting.joined);
                waiting.callers
            }
            Self::Op(_, asker) => vec![asker.caller],
        }
    }
}

/// A dialog with work.
pub(super) struct Active {
    pub(super) session: SessionId,
    pub(super) running: Option<Running>,
    pub(super) queue: VecDeque<Work>,
    /// Whether it stands in the line for a free slot.
    pub(super) in_line: bool,
}

impl Active {
    pub(super) fn new(session: SessionId) -> Self {
        Self {
            session,
            running: None,
            queue: VecDeque::new(),
            in_line: false,
        }
    }

    /// Lists the beginnings of the inputs that wait.
    pub(super) fn previews(&self) -> Vec<String> {
        let waiting = self.queue.iter().filter_map(|work| match work {
            Work::Input(waiting) => Some(waiting.preview.clone()),
            Work::Op(..) => None,
        });
        waiting
            .chain(self.steering().map(Steering::previews).unwrap_or_default())
            .collect()
    }

    /// Counts the inputs that wait.
    pub(super) fn n_waiting(&self) -> usize {
        let queued = self
            .queue
            .iter()
            .filter(|work| matches!(work, Work::Input(_)))
            .count();
        queued + self.steering().map_or(0, Steering::n_pending)
    }

    /// Returns what is to join the running turn.
    pub(super) fn steering(&self) -> Option<&Steering> {
        self.running
            .as_ref()
            .map(|running| &running.control.steering)
    }

    /// Tells whether something waits that is no input.
    pub(super) fn has_op(&self) -> bool {
        self.queue
            .iter()
            .any(|work| !matches!(work, Work::Input(_)))
    }
}

/// A turn at work.
pub(super) struct Running {
    pub(super) input: InboxId,
    pub(super) control: Arc<TurnControl>,
    pub(super) replies: Arc<Replies>,
    /// The clients that asked for it.
    pub(super) asked_by: Vec<ClientId>,
    /// When it began.
    pub(super) since: Instant,
    /// When a stopped turn that has not ended is given up.
    pub(super) give_up: Option<Instant>,
}

const GOES_ON: u8 = 0;
const STOPPED: u8 = 1;
const ENDING: u8 = 2;
const REPLACED: u8 = 3;

/// Shared by the `session` thread and a turn: how to end it, and why.
#[derive(Default)]
pub(super) struct TurnControl {
    pub(super) cancel: CancelToken,
    /// Whether it was asked for by somebody who may not have the machine changed: nobody else's words join it.
    pub(super) is_guests: AtomicBool,
    /// Inputs that join the turn.
    pub(super) steering: Steering,
    why: AtomicU8,
    turn: AtomicI64,
    left: AtomicBool,
}

impl TurnControl {
    /// Stops the turn for a person: it ends as stopped.
    pub(super) fn stop(&self) {
        let _ = self
            .why
            .compare_exchange(GOES_ON, STOPPED, Ordering::AcqRel, Ordering::Acquire);
        self.cancel.cancel();
    }

    /// Stops the turn because a newer input takes its place.
    pub(super) fn replace(&self) {
        let _ = self
            .why
            .compare_exchange(GOES_ON, REPLACED, Ordering::AcqRel, Ordering::Acquire);
        self.cancel.cancel();
    }

    /// Says why the turn was stopped.
    pub(super) fn stop_words(&self) -> &'static str {
        match self.why.load(Ordering::Acquire) {
            REPLACED => wording::REPLACED,
            _ => wording::STOPPED,
        }
    }

    /// Cuts the turn off because the process ends: the next process takes it up again.
    pub(super) fn cut_off(&self) {
        let _ = self
            .why
            .compare_exchange(GOES_ON, ENDING, Ordering::AcqRel, Ordering::Acquire);
        self.cancel.cancel();
    }

    /// Whether the process ends, so that nothing more may be stored for the turn.
    pub(super) fn is_cut_off(&self) -> bool {
        self.why.load(Ordering::Acquire) == ENDING
    }

    /// Whether a person stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.why.load(Ordering::Acquire), STOPPED | REPLACED)
    }

    /// Notes that the turn's thread has left without storing an end.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Whether a person stopped it and that could not be stored.
    pub(super) fn left_stopped(&self) -> bool {
        self.is_stopped() && self.left.load(Ordering::Acquire)
    }

    /// Notes the turn's number once it has one.
    pub(super) fn set_turn(&self, turn: TurnId) {
        self.turn.store(turn.0, Ordering::Release);
    }

    /// Returns the turn's number, if it has begun.
    pub(super) fn turn(&self) -> Option<TurnId> {
        match self.turn.load(Ordering::Acquire) {
            0 => None,
            turn => Some(TurnId(turn)),
        }
    }
}
