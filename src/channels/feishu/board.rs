//! What `feishu-send` has to show, put down by other threads: answers being written, direct answers, reactions. A mutex
//! and a wake-up; putting something down never blocks, and newer text replaces older that was not shown yet.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::Value;

use crate::bus::{ApprovalOutcome, ApprovalRequest};

/// An answer must take this long before it is shown while it is written: quick ones come whole.
const PATIENCE: Duration = Duration::from_millis(900);
/// Between two updates of one card.
const BETWEEN_UPDATES: Duration = Duration::from_millis(400);
/// Tool lines shown.
const MAX_TOOLS: usize = 8;
/// Recalled messages remembered.
const MAX_RECALLED: usize = 1000;

/// A message to send besides answers of turns.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Say {
    /// The message it answers.
    pub(super) message: String,
    pub(super) what: Saying,
    /// The input to settle once it is said.
    pub(super) settles: bool,
    /// How often it was tried.
    pub(super) tries: u32,
    pub(super) due: Instant,
}

/// What is said.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Saying {
    Text(String),
    /// A card, and what to say where cards are refused.
    Card(Value, String),
    /// A question about a tool call.
    Ask(Arc<ApprovalRequest>),
    /// A question is settled.
    Settled(String, ApprovalOutcome),
    /// A new state of a card that was sent before, named by its message.
    Update(String, Value),
}

/// An answer being written.
#[derive(Clone, Debug, Default)]
struct Live {
    text: String,
    /// Name and state of each call.
    tools: VecDeque<(String, String, char)>,
    is_dirty: bool,
    begun: Option<Instant>,
    shown_at: Option<Instant>,
    /// Shown no more: the card failed or the answer is there.
    is_over: bool,
    wants_reaction: bool,
}

impl Live {
    fn due(&self) -> Option<Instant> {
        if !self.is_dirty || self.is_over {
            return None;
        }
        match self.shown_at {
            Some(at) => Some(at + BETWEEN_UPDATES),
            None => self.begun.map(|at| at + PATIENCE),
        }
    }
}

/// A state of an answer to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) message: String,
    pub(super) text: String,
    pub(super) tools: String,
}

#[derive(Default)]
struct State {
    live: HashMap<String, Live>,
    says: VecDeque<Say>,
    unreact: VecDeque<String>,
    recalled: HashSet<String>,
    wants_identity: bool,
}

/// The board of one bot.
pub(super) struct Board {
    state: Mutex<State>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

impl Board {
    pub(super) fn new() -> Self {
        let (wake, woken) = bounded(1);
        Self {
            state: Mutex::default(),
            wake,
            woken,
        }
    }

    /// What wakes the sender.
    pub(super) fn woken(&self) -> &Receiver<()> {
        &self.woken
    }

    /// A message is being worked on.
    pub(super) fn received(&self, message: &str) {
        let live = Live {
            wants_reaction: true,
            ..Live::default()
        };
        self.lock().live.insert(message.to_owned(), live);
        self.ring();
    }

    /// The answer goes on.
    pub(super) fn delta(&self, message: &str, text: &str) {
        let rings = self.change(message, |live| live.text.push_str(text));
        if rings {
            self.ring();
        }
    }

    /// A tool begins or ends; `state` is a sign for people.
    pub(super) fn tool(&self, message: &str, call: &str, name: &str, state: char) {
        let rings = self.change(message, |live| {
            match live.tools.iter_mut().find(|(id, ..)| id == call) {
                Some(known) => known.2 = state,
                None => {
                    if live.tools.len() == MAX_TOOLS {
                        live.tools.pop_front();
                    }
                    let name: String = name.chars().take(60).collect();
                    live.tools.push_back((call.to_owned(), name, state));
                    // What was said before a call is no part of the answer.
                    live.text.clear();
                }
            }
        });
        if rings {
            self.ring();
        }
    }

    /// Changes an answer; returns whether the sender must be told.
    fn change(&self, message: &str, change: impl FnOnce(&mut Live)) -> bool {
        let mut state = self.lock();
        let Some(live) = state.live.get_mut(message).filter(|live| !live.is_over) else {
            return false;
        };
        let was_dirty = live.is_dirty;
        live.begun.get_or_insert_with(Instant::now);
        live.is_dirty = true;
        change(live);
        !was_dirty
    }

    /// Something else is to be said.
    pub(super) fn say(&self, message: &str, what: Saying, settles: bool) {
        self.put_say(Say {
            message: message.to_owned(),
            what,
            settles,
            tries: 0,
            due: Instant::now(),
        });
    }

    /// The same, later again.
    pub(super) fn put_say(&self, say: Say) {
        self.lock().says.push_back(say);
        self.ring();
    }

    /// Work on a message is over without an answer of its own.
    pub(super) fn dropped(&self, message: &str) {
        self.lock().unreact.push_back(message.to_owned());
        self.ring();
    }

    /// A message was taken back: its answer is not wanted.
    pub(super) fn recalled(&self, message: &str) {
        let mut state = self.lock();
        if state.recalled.len() >= MAX_RECALLED {
            state.recalled.clear();
        }
        state.recalled.insert(message.to_owned());
    }

    pub(super) fn is_recalled(&self, message: &str) -> bool {
        self.lock().recalled.contains(message)
    }

    /// Who the bot is is not known yet and is to be found out.
    pub(super) fn ask_identity(&self) {
        self.lock().wants_identity = true;
        self.ring();
    }

    /// Tells, once, whether that was asked for.
    pub(super) fn next_identity(&self) -> bool {
        std::mem::take(&mut self.lock().wants_identity)
    }

    /// Takes the next message to say that is due.
    pub(super) fn next_say(&self, now: Instant) -> Option<Say> {
        let mut state = self.lock();
        let at = state.says.iter().position(|say| say.due <= now)?;
        state.says.remove(at)
    }

    /// Takes the next message on which work is over.
    pub(super) fn next_dropped(&self) -> Option<String> {
        self.lock().unreact.pop_front()
    }

    /// Takes the next message that waits for its reaction.
    pub(super) fn next_reaction(&self) -> Option<String> {
        let mut state = self.lock();
        let waiting = state.live.iter_mut().find(|(_, live)| live.wants_reaction);
        waiting.map(|(message, live)| {
            live.wants_reaction = false;
            message.clone()
        })
    }

    /// Tells, once, whether a message still waits for its reaction: a quick answer does not make it go without.
    pub(super) fn take_reaction(&self, message: &str) -> bool {
        let mut state = self.lock();
        let live = state.live.get_mut(message);
        live.is_some_and(|live| std::mem::take(&mut live.wants_reaction))
    }

    /// Takes the state of an answer that is due to be shown.
    pub(super) fn next_shown(&self, now: Instant) -> Option<Shown> {
        let mut state = self.lock();
        let due = state
            .live
            .iter_mut()
            .find(|(_, live)| live.due().is_some_and(|due| due <= now));
        due.map(|(message, live)| {
            live.is_dirty = false;
            live.shown_at = Some(now);
            Shown {
                message: message.clone(),
                text: live.text.clone(),
                tools: tool_lines(&live.tools),
            }
        })
    }

    /// Shows no more of an answer while it is written.
    pub(super) fn give_up(&self, message: &str) {
        if let Some(live) = self.lock().live.get_mut(message) {
            live.is_over = true;
            live.text = String::new();
        }
    }

    /// The answer is there: what stood on the board goes.
    pub(super) fn forget(&self, message: &str) {
        let mut state = self.lock();
        state.live.remove(message);
        if state.live.is_empty() {
            state.live.shrink_to_fit();
        }
    }

    /// When something is due next, besides what rings.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let shown = state.live.values().filter_map(Live::due);
        shown.chain(state.says.iter().map(|say| say.due)).min()
    }

    /// Wakes the sender.
    pub(super) fn ring(&self) {
        let _ = self.wake.try_send(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tool_lines(tools: &VecDeque<(String, String, char)>) -> String {
    let lines = tools
        .iter()
        .map(|(_, name, state)| format!("{state} `{name}`"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_answers_are_not_shown_and_slow_ones_at_intervals() {
        let board = Board::new();
        board.received("m");
        assert_eq!(board.next_reaction().as_deref(), Some("m"));
        assert_eq!(board.next_reaction(), None);
        assert!(!board.take_reaction("m") && !board.take_reaction("another"));
        board.received("quick");
        assert!(board.take_reaction("quick"));
        assert_eq!(board.next_reaction(), None);
        board.delta("m", "one ");
        let start = Instant::now();
        assert_eq!(board.next_shown(start), None);
        let later = start + PATIENCE;
        assert_eq!(board.next_shown(later).unwrap().text, "one ");
        assert_eq!(board.next_shown(later), None);
        board.delta("m", "two");
        assert_eq!(board.due(), Some(later + BETWEEN_UPDATES));
        let shown = board.next_shown(later + BETWEEN_UPDATES).unwrap();
        assert_eq!(shown.text, "one two");
        board.forget("m");
        board.delta("m", "late");
        assert_eq!(board.due(), None);
    }

    #[test]
    fn tools_have_one_line_each_and_end_what_was_said() {
        let board = Board::new();
        board.received("m");
        board.delta("m", "I will look.");
        board.tool("m", "1", "bash", '⏳');
        board.tool("m", "2", "file_read", '⏳');
        board.tool("m", "1", "bash", '✅');
        let shown = board.next_shown(Instant::now() + PATIENCE).unwrap();
        assert_eq!(shown.tools, "✅ `bash`\n⏳ `file_read`");
        assert_eq!(shown.text, "");
    }

    #[test]
    fn what_failed_to_be_said_waits_for_its_time() {
        let board = Board::new();
        board.say("m", Saying::Text("hi".to_owned()), true);
        let now = Instant::now();
        let say = board.next_say(now).unwrap();
        let due = now + Duration::from_secs(5);
        board.put_say(Say { due, ..say });
        assert_eq!(board.next_say(now), None);
        assert_eq!(board.due(), Some(due));
        assert!(board.next_say(due).is_some());
    }
}
