//! What one model call passes on while it runs: pieces of the answer, and a word to the person when nothing comes.
//!
//! Runs on the turn that asks. It knows whether text was passed on already, which decides about retries (`retry`). Pieces
//! that came with one read are passed on together: each costs a mask, a lock, and a message to every client.

use std::time::{Duration, Instant};

use super::Delta;
use crate::net::Patience;

/// Pieces are gathered up to this many bytes; a larger one is passed on by itself.
const GATHERED_BYTES: usize = 4 * 1024;

/// When a person hears about waiting. Tests shorten it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pace {
    /// First pause before asking again; doubled each time and jittered by a quarter.
    pub retry: Duration,
    /// Silence before the first reminder.
    pub remind_after: Duration,
    /// Silence between reminders.
    pub remind_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(1),
            remind_after: Duration::from_secs(20),
            remind_every: Duration::from_secs(30),
        }
    }
}

/// Passes pieces on and keeps track of silence.
pub(crate) struct Feed<'a> {
    name: &'a str,
    pace: &'a Pace,
    on_delta: &'a mut dyn FnMut(Delta<'_>),
    quiet_since: Instant,
    remind_at: Instant,
    attempt_began: Instant,
    first_piece: Option<Duration>,
    text_passed: bool,
    /// What is not passed on yet, all of one kind.
    gathered: String,
    gathers_reasoning: bool,
}

impl<'a> Feed<'a> {
    /// Starts with the call; `name` is the service as the person knows it.
    pub(crate) fn new(
        name: &'a str,
        pace: &'a Pace,
        on_delta: &'a mut dyn FnMut(Delta<'_>),
    ) -> Self {
        let now = Instant::now();
        Self {
            name,
            pace,
            on_delta,
            quiet_since: now,
            remind_at: now + pace.remind_after,
            attempt_began: now,
            first_piece: None,
            text_passed: false,
            gathered: String::new(),
            gathers_reasoning: false,
        }
    }

    /// A new request is about to be sent.
    pub(crate) fn attempt(&mut self) {
        self.attempt_began = Instant::now();
        self.first_piece = None;
    }

    /// Takes a piece of the answer; [`Feed::flush`] passes it on.
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.text_passed = true;
            self.gather(text, false);
        }
    }

    /// Takes a piece of reasoning; it is no visible progress.
    pub(crate) fn reasoning(&mut self, text: &str) {
        if !text.is_empty() {
            self.gather(text, true);
        }
    }

    fn gather(&mut self, piece: &str, reasoning: bool) {
        self.piece_arrived();
        let full = self.gathered.len() + piece.len() > GATHERED_BYTES;
        if full || self.gathers_reasoning != reasoning {
            self.flush();
        }
        self.gathers_reasoning = reasoning;
        if piece.len() > GATHERED_BYTES {
            self.pass(piece);
        } else {
            self.gathered.push_str(piece);
        }
    }

    /// Passes on what was gathered; call before anything that waits.
    pub(crate) fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        self.pass(&gathered);
        gathered.clear();
        self.gathered = gathered;
    }

    fn pass(&mut self, piece: &str) {
        if self.gathers_reasoning {
            (self.on_delta)(Delta::Reasoning(piece));
        } else {
            self.heard(Instant::now());
            (self.on_delta)(Delta::Text(piece));
        }
    }

    /// Passes a sentence for the person on.
    pub(crate) fn notice(&mut self, sentence: &str) {
        self.flush();
        self.heard(Instant::now());
        (self.on_delta)(Delta::Notice(sentence));
    }

    /// Notes the first piece of an answer, of whatever kind.
    pub(crate) fn piece_arrived(&mut self) {
        if self.first_piece.is_none() {
            self.first_piece = Some(self.attempt_began.elapsed());
        }
    }

    /// From sending the newest request to the first piece of its answer.
    pub(crate) fn first_piece(&self) -> Option<Duration> {
        self.first_piece
    }

    /// Whether text was passed on, after which nothing may be repeated.
    pub(crate) fn text_passed(&self) -> bool {
        self.text_passed
    }

    fn heard(&mut self, now: Instant) {
        self.quiet_since = now;
        self.remind_at = now + self.pace.remind_after;
    }
}

impl Patience for Feed<'_> {
    fn due(&self) -> Instant {
        self.remind_at
    }

    fn remind(&mut self, now: Instant) {
        let silence = now.duration_since(self.quiet_since).as_secs();
        self.remind_at = now + self.pace.remind_every;
        let sentence = format!(
            "Still waiting for {} ({silence} s). /stop cancels.",
            self.name
        );
        (self.on_delta)(Delta::Notice(&sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminds_after_silence_and_text_ends_the_silence() {
        let pace = Pace::default();
        let mut notices = Vec::new();
        let mut sink = |delta: Delta<'_>| {
            if let Delta::Notice(sentence) = delta {
                notices.push(sentence.to_owned());
            }
        };
        let mut feed = Feed::new("deepseek", &pace, &mut sink);
        let began = feed.quiet_since;
        assert_eq!(feed.due(), began + pace.remind_after);
        feed.remind(began + Duration::from_secs(20));
        assert_eq!(feed.due(), began + Duration::from_secs(50));
        feed.remind(began + Duration::from_secs(50));
        feed.reasoning("hm");
        assert!(!feed.text_passed());
        assert_eq!(feed.due(), began + Duration::from_secs(80));
        feed.text("hi");
        feed.flush();
        assert!(feed.text_passed());
        assert!(feed.due() < began + Duration::from_secs(80));
        assert_eq!(
            notices,
            [
                "Still waiting for deepseek (20 s). /stop cancels.",
                "Still waiting for deepseek (50 s). /stop cancels."
            ]
        );
    }

    #[test]
    fn what_comes_together_is_passed_on_together_and_in_order() {
        let pace = Pace::default();
        let mut seen = Vec::new();
        let mut sink = |delta: Delta<'_>| seen.push(format!("{delta:?}"));
        let mut feed = Feed::new("x", &pace, &mut sink);
        let long = "长".repeat(GATHERED_BYTES);
        feed.reasoning("h");
        feed.reasoning("m");
        feed.text("a");
        feed.text("b");
        feed.flush();
        feed.flush();
        feed.text("c");
        feed.text(&long);
        feed.text("d");
        feed.notice("wait");
        let expected = [
            Delta::Reasoning("hm"),
            Delta::Text("ab"),
            Delta::Text("c"),
            Delta::Text(&long),
            Delta::Text("d"),
            Delta::Notice("wait"),
        ];
        assert_eq!(seen, expected.map(|delta| format!("{delta:?}")));
    }

    #[test]
    fn empty_pieces_are_not_passed_on() {
        let pace = Pace::default();
        let mut count = 0;
        let mut sink = |_: Delta<'_>| count += 1;
        let mut feed = Feed::new("x", &pace, &mut sink);
        feed.text("");
        feed.reasoning("");
        assert_eq!(feed.first_piece(), None);
        assert!(!feed.text_passed());
        assert_eq!(count, 0);
    }
}
