//! What was said and done in the open dialog, oldest first. Pure.
//!
//! Texts are kept as they came; the layout cleans them. Every change of an entry raises its revision, which is how the
//! layout knows what to lay out anew.

use std::collections::VecDeque;

/// What a person decided about an entry's folding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::client) enum Fold {
    /// As the kind and state of the entry suggest.
    #[default]
    Auto,
    Open,
    Folded,
}

/// How far a sent message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum Delivery {
    Sending,
    Running,
    Done,
    Failed,
    Stopped,
}

/// How far a tool call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum CallState {
    Running,
    Done,
    Failed,
    Stopped,
}

/// A tool call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Call {
    pub(in crate::client) id: String,
    pub(in crate::client) name: String,
    /// JSON text as the model wrote it.
    pub(in crate::client) arguments: String,
    /// Live output, then the result.
    pub(in crate::client) output: String,
    pub(in crate::client) state: CallState,
    pub(in crate::client) took_ms: Option<u64>,
}

/// How a remark is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum Tone {
    /// An answer to a command.
    Plain,
    /// Something to know.
    Notice,
    /// A failure.
    Failure,
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) enum Body {
    User { text: String, delivery: Delivery },
    Answer { text: String, is_open: bool },
    Reasoning { text: String, is_open: bool },
    Call(Call),
    Remark { text: String, tone: Tone },
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Entry {
    /// Names it on this side; never used twice.
    pub(in crate::client) uid: u64,
    /// Raised by every change.
    pub(in crate::client) revision: u32,
    /// When it was said, in milliseconds since 1970; `None` if unknown.
    pub(in crate::client) at_ms: Option<i64>,
    pub(in crate::client) fold: Fold,
    pub(in crate::client) body: Body,
}

impl Entry {
    /// Returns its text for search and copying, uncleaned.
    pub(in crate::client) fn text(&self) -> &str {
        match &self.body {
            Body::User { text, .. }
            | Body::Answer { text, .. }
            | Body::Reasoning { text, .. }
            | Body::Remark { text, .. } => text,
            Body::Call(call) => &call.output,
        }
    }

    /// Tells whether it belongs to the person's side.
    pub(in crate::client) fn is_user(&self) -> bool {
        matches!(self.body, Body::User { .. })
    }
}

/// The entries.
#[derive(Default, Debug)]
pub(in crate::client) struct Transcript {
    entries: VecDeque<Entry>,
    /// The next uid upwards, and the next one for entries put in front.
    next: u64,
    front: u64,
}

/// Uids begin in the middle, so that older entries get smaller ones: the order of uids is the order of entries.
const MIDDLE: u64 = 1 << 40;

impl Transcript {
    /// Tells how many entries there are.
    pub(in crate::client) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns an entry by its place.
    pub(in crate::client) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// Returns the place of an entry, or of the next younger one.
    pub(in crate::client) fn index_of(&self, uid: u64) -> usize {
        self.entries.partition_point(|entry| entry.uid < uid)
    }

    /// Lists the entries, oldest first.
    pub(in crate::client) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Removes everything. Uids are not used again.
    pub(in crate::client) fn clear(&mut self) {
        self.entries.clear();
        self.front = 0;
        self.next = (self.next + 1).next_multiple_of(MIDDLE);
    }

    /// Appends an entry and returns its uid.
    pub(in crate::client) fn push(&mut self, body: Body, at_ms: Option<i64>) -> u64 {
        if self.next == 0 {
            self.next = MIDDLE;
        }
        if self.entries.is_empty() {
            self.front = self.next;
        }
        let uid = self.next;
        self.next += 1;
        self.entries.push_back(Entry {
            uid,
            revision: 0,
            at_ms,
            fold: Fold::Auto,
            body,
        });
        uid
    }

    /// Puts older entries in front; they come oldest first.
    pub(in crate::client) fn prepend(&mut self, older: Vec<(Body, Option<i64>)>) {
        if self.entries.is_empty() {
            for (body, at_ms) in older {
                self.push(body, at_ms);
            }
            return;
        }
        for (body, at_ms) in older.into_iter().rev() {
            self.front -= 1;
            self.entries.push_front(Entry {
                uid: self.front,
                revision: 0,
                at_ms,
                fold: Fold::Auto,
                body,
            });
        }
    }

    /// Changes an entry by its place.
    pub(in crate::client) fn change(&mut self, index: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(index) {
            change(entry);
            entry.revision = entry.revision.wrapping_add(1);
        }
    }

    /// Changes an entry by its uid.
    pub(in crate::client) fn change_uid(&mut self, uid: u64, change: impl FnOnce(&mut Entry)) {
        let index = self.index_of(uid);
        if self.get(index).is_some_and(|entry| entry.uid == uid) {
            self.change(index, change);
        }
    }

    /// Appends streamed text to the open answer or reasoning at the end, or opens one.
    pub(in crate::client) fn stream(&mut self, piece: &str, is_reasoning: bool, at_ms: i64) {
        let last = self.entries.len().wrapping_sub(1);
        let fits = match self.get(last).map(|entry| &entry.body) {
            Some(Body::Answer { is_open, .. }) => *is_open && !is_reasoning,
            Some(Body::Reasoning { is_open, .. }) => *is_open && is_reasoning,
            _ => false,
        };
        if !fits {
            self.close_streams();
            let text = String::new();
            let is_open = true;
            let body = if is_reasoning {
                Body::Reasoning { text, is_open }
            } else {
                Body::Answer { text, is_open }
            };
            self.push(body, Some(at_ms));
        }
        let last = self.entries.len() - 1;
        self.change(last, |entry| {
            if let Body::Answer { text, .. } | Body::Reasoning { text, .. } = &mut entry.body {
                text.push_str(piece);
            }
        });
    }

    /// Ends open answers and reasoning: what comes next is a piece of its own.
    pub(in crate::client) fn close_streams(&mut self) {
        for index in self.entries.len().saturating_sub(8)..self.entries.len() {
            let open = matches!(
                self.get(index).map(|entry| &entry.body),
                Some(Body::Answer { is_open: true, .. } | Body::Reasoning { is_open: true, .. })
            );
            if open {
                self.change(index, |entry| {
                    if let Body::Answer { is_open, .. } | Body::Reasoning { is_open, .. } =
                        &mut entry.body
                    {
                        *is_open = false;
                    }
                });
            }
        }
    }

    /// Changes the newest call of this id.
    pub(in crate::client) fn change_call(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Call),
    ) -> bool {
        let found = self
            .entries
            .iter()
            .rposition(|entry| matches!(&entry.body, Body::Call(call) if call.id == id));
        if let Some(index) = found {
            self.change(index, |entry| {
                if let Body::Call(call) = &mut entry.body {
                    change(call);
                }
            });
        }
        found.is_some()
    }

    /// Ends calls that were cut off with their turn.
    pub(in crate::client) fn stop_calls(&mut self) {
        for index in 0..self.entries.len() {
            let runs = matches!(&self.entries[index].body, Body::Call(call) if call.state == CallState::Running);
            if runs {
                self.change(index, |entry| {
                    if let Body::Call(call) = &mut entry.body {
                        call.state = CallState::Stopped;
                    }
                });
            }
        }
    }

    /// Makes the newest answer, if it is still open, this text; else adds it as an answer of its own.
    pub(in crate::client) fn finish_answer(&mut self, content: &str, at_ms: i64) {
        let open = self
            .entries
            .iter()
            .rposition(|entry| matches!(entry.body, Body::Answer { is_open: true, .. }));
        match open {
            Some(index) => self.change(index, |entry| {
                entry.body = Body::Answer {
                    text: content.to_owned(),
                    is_open: false,
                };
            }),
            None => {
                let text = content.to_owned();
                self.push(
                    Body::Answer {
                        text,
                        is_open: false,
                    },
                    Some(at_ms),
                );
            }
        }
        self.close_streams();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_text_replaces_the_streamed_one() {
        let mut transcript = Transcript::default();
        transcript.stream("thinking", true, 0);
        transcript.stream("Let me", false, 0);
        transcript.stream(" look.", false, 0);
        transcript.close_streams();
        transcript.stream("One fi", false, 0);
        transcript.finish_answer("One file.", 0);
        let texts: Vec<&str> = transcript.iter().map(Entry::text).collect();
        assert_eq!(texts, ["thinking", "Let me look.", "One file."]);
        transcript.finish_answer("Again.", 0);
        assert_eq!(transcript.len(), 4);
    }

    #[test]
    fn uids_keep_the_order() {
        let mut transcript = Transcript::default();
        let remark = |n: usize| Body::Remark {
            text: n.to_string(),
            tone: Tone::Plain,
        };
        let first = transcript.push(remark(2), None);
        transcript.push(remark(3), None);
        transcript.prepend(vec![(remark(0), None), (remark(1), None)]);
        assert_eq!(transcript.index_of(first), 2);
        let uids: Vec<u64> = transcript.iter().map(|entry| entry.uid).collect();
        assert!(uids.is_sorted());
        transcript.clear();
        assert!(transcript.push(remark(0), None) > uids[3]);
    }
}
