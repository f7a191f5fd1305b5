//! Lays out the transcript: only what is looked at, kept until it changes. Pure; owned by the state.
//!
//! Rows are cached by (entry, revision, width, folding, gap, way of measuring). A theme only colours rows, so it is no part
//! of the key. The place on screen is an anchor, the entry and row at the top, or "follow the end": heights of what was
//! never looked at are not needed, so opening a long dialog costs what its last screen costs.

use std::collections::HashMap;
use std::rc::Rc;

use super::entry_rows::{Context, entry_rows};
use super::state::{Body, Entry, Transcript};
use super::stream::Streamed;
use super::text::Row;

/// Entries kept laid out; a screen shows far fewer.
const MAX_CACHED: usize = 512;

/// Which rows are on screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Anchor {
    /// The last row is at the bottom.
    #[default]
    Follow,
    /// This row of this entry is at the top; `of` is the entry's height when that was chosen.
    Top { uid: u64, row: usize, of: usize },
}

#[derive(Clone, PartialEq, Eq)]
struct CacheKey {
    revision: u32,
    gap: bool,
    context: Context,
}

struct Laid {
    key: CacheKey,
    rows: Rc<[Row]>,
    used: u64,
}

/// The end of the transcript as it was when the person scrolled away from it.
struct LeftEnd {
    /// The last entry.
    uid: u64,
    /// How many of its rows were there, as rows are laid out in `context`.
    height: usize,
    /// How many rows it had in `context` when last looked at; more than `height` if it has grown.
    of: usize,
    context: Context,
}

/// The layout of the open dialog.
#[derive(Default)]
pub(super) struct Layout {
    cache: HashMap<u64, Laid>,
    anchor: Anchor,
    context: Context,
    height: usize,
    stamp: u64,
    /// Where the end was when it was left.
    left_at: Option<LeftEnd>,
    /// The answer that streams.
    streamed: Streamed,
}

/// One row on screen.
pub(super) struct Visible {
    /// The entry it belongs to.
    pub(super) uid: u64,
    rows: Rc<[Row]>,
    at: usize,
}

impl Visible {
    /// Returns the row.
    pub(super) fn row(&self) -> &Row {
        &self.rows[self.at]
    }
}

impl Layout {
    /// Sets the size and the ways to show things.
    pub(super) fn set(&mut self, context: Context, height: usize) {
        self.context = context;
        self.height = height;
    }

    /// Forgets everything: another dialog is open.
    pub(super) fn reset(&mut self) {
        self.cache.clear();
        self.follow();
    }

    /// Shows the end and stays there.
    pub(super) fn follow(&mut self) {
        self.anchor = Anchor::Follow;
        self.left_at = None;
    }

    /// Tells whether the end is followed.
    pub(super) fn follows(&self) -> bool {
        self.anchor == Anchor::Follow
    }

    fn rows(&mut self, transcript: &Transcript, index: usize) -> Rc<[Row]> {
        let Some(entry) = transcript.get(index) else {
            return Rc::from([]);
        };
        let key = CacheKey {
            revision: entry.revision,
            gap: index > 0 && wants_gap(transcript.get(index - 1), entry),
            context: self.context.clone(),
        };
        if let Some(laid) = self.cache.get_mut(&entry.uid)
            && laid.key == key
        {
            laid.used = self.stamp;
            return laid.rows.clone();
        }
        let mut rows = match &entry.body {
            Body::Answer {
                text,
                is_open: true,
            } => self.streamed.rows(entry.uid, text, &self.context),
            _ => entry_rows(entry, &self.context),
        };
        if key.gap && !rows.is_empty() {
            rows.insert(0, Row::default());
        }
        let rows: Rc<[Row]> = rows.into();
        let used = self.stamp;
        self.cache.insert(
            entry.uid,
            Laid {
                key,
                rows: rows.clone(),
                used,
            },
        );
        rows
    }

    /// Returns the entry and row at the top of the screen.
    fn top(&mut self, transcript: &Transcript) -> (usize, usize) {
        let end = self.top_at_end(transcript);
        let Anchor::Top { uid, row, of } = self.anchor else {
            return end;
        };
        let index = transcript.index_of(uid);
        if index > end.0 {
            return end;
        }
        let now = self.rows(transcript, index).len();
        // After a change of width the same text stays about where it was.
        let row = if now == of || of == 0 {
            row
        } else {
            row * now / of
        };
        (index, row.min(now.saturating_sub(1))).min(end)
    }

    /// Returns the entry and row at the top when the last row is at the bottom.
    fn top_at_end(&mut self, transcript: &Transcript) -> (usize, usize) {
        let mut left = self.height;
        for index in (0..transcript.len()).rev() {
            let n = self.rows(transcript, index).len();
            if n >= left {
                return (index, n - left);
            }
            left -= n;
        }
        (0, 0)
    }

    /// Returns the rows on screen, at most as many as it is high.
    pub(super) fn visible(&mut self, transcript: &Transcript) -> Vec<Visible> {
        self.stamp += 1;
        let (first, mut skip) = self.top(transcript);
        let mut out = Vec::with_capacity(self.height);
        for index in first..transcript.len() {
            let rows = self.rows(transcript, index);
            let uid = transcript.get(index).map_or(0, |entry| entry.uid);
            for at in skip..rows.len() {
                if out.len() == self.height {
                    break;
                }
                let rows = rows.clone();
                out.push(Visible { uid, rows, at });
            }
            skip = 0;
            if out.len() == self.height {
                break;
            }
        }
        if self.cache.len() > MAX_CACHED {
            let stamp = self.stamp;
            self.cache.retain(|_, laid| laid.used == stamp);
        }
        out
    }

    /// Scrolls by rows, upwards if negative. Returns true if the top was reached.
    pub(super) fn scroll(&mut self, transcript: &Transcript, by: isize) -> bool {
        let (mut index, row) = self.top(transcript);
        let mut row = row as isize + by;
        while row < 0 && index > 0 {
            index -= 1;
            row += self.rows(transcript, index).len() as isize;
        }
        while index < transcript.len() {
            let n = self.rows(transcript, index).len() as isize;
            if row < n {
                break;
            }
            row -= n;
            index += 1;
        }
        let place = (index, row.max(0) as usize);
        self.go(transcript, place);
        place == (0, 0)
    }

    /// Shows the oldest entry.
    pub(super) fn show_top(&mut self, transcript: &Transcript) {
        self.go(transcript, (0, 0));
    }

    fn go(&mut self, transcript: &Transcript, place: (usize, usize)) {
        if place >= self.top_at_end(transcript) {
            self.follow();
            return;
        }
        if self.left_at.is_none() {
            let last = transcript.len().saturating_sub(1);
            let height = self.rows(transcript, last).len();
            self.left_at = transcript.get(last).map(|entry| LeftEnd {
                uid: entry.uid,
                height,
                of: height,
                context: self.context.clone(),
            });
        }
        let (index, row) = place;
        let of = self.rows(transcript, index).len();
        if let Some(entry) = transcript.get(index) {
            let uid = entry.uid;
            self.anchor = Anchor::Top { uid, row, of };
        }
    }

    /// Scrolls as little as needed to show the beginning of an entry.
    pub(super) fn reveal(&mut self, transcript: &Transcript, uid: u64) {
        let index = transcript.index_of(uid);
        let (first, skip) = self.top(transcript);
        let n = self.rows(transcript, index).len();
        if (index, 0) < (first, skip) {
            self.go(transcript, (index, 0));
            return;
        }
        let mut below = 0;
        for between in first..index {
            below += self.rows(transcript, between).len();
            if below > self.height + skip {
                break;
            }
        }
        let fits = n.min(self.height);
        if below + fits > self.height + skip {
            // Its last row at the bottom, or its first at the top if it is higher than the screen.
            let place = self.above(transcript, (index, 0), self.height - fits);
            self.go(transcript, place);
        }
    }

    /// Returns the place so many rows above another.
    fn above(
        &mut self,
        transcript: &Transcript,
        (mut index, row): (usize, usize),
        by: usize,
    ) -> (usize, usize) {
        let mut left = by;
        let mut row = row;
        while left > row && index > 0 {
            left -= row;
            index -= 1;
            row = self.rows(transcript, index).len();
        }
        (index, row.saturating_sub(left))
    }

    /// Lists the rows of an entry in which a text stands, given in lower case. Not found is what a row's end cuts in two.
    pub(super) fn rows_with(
        &mut self,
        transcript: &Transcript,
        uid: u64,
        wanted: &str,
    ) -> Vec<usize> {
        let rows = self.rows(transcript, transcript.index_of(uid));
        let has = |row: &Row| {
            let text: String = row.spans.iter().map(|span| span.text.as_str()).collect();
            text.to_lowercase().contains(wanted)
        };
        (0..rows.len()).filter(|at| has(&rows[*at])).collect()
    }

    /// Scrolls to a row of an entry, into the middle, unless it is in sight.
    pub(super) fn reveal_row(&mut self, transcript: &Transcript, uid: u64, row: usize) {
        let place = (transcript.index_of(uid), row);
        let top = self.top(transcript);
        let lowest = self.above(transcript, place, self.height.saturating_sub(1));
        if place < top || top < lowest {
            let middle = self.above(transcript, place, self.height / 2);
            self.go(transcript, middle);
        }
    }

    /// Returns how many rows of the entry at `from`, the last one when the end was left, are not new. Another width or
    /// folding makes other rows of the same text: their part of the entry stays.
    fn left_height(&mut self, transcript: &Transcript, from: usize) -> usize {
        let now = self.rows(transcript, from).len();
        let Some(left) = &mut self.left_at else {
            return 0;
        };
        if left.context != self.context {
            left.height = left.height * now / left.of.max(1);
            left.context = self.context.clone();
        }
        left.of = now;
        left.height
    }

    /// Counts the rows that came since the end was left.
    pub(super) fn n_new_rows(&mut self, transcript: &Transcript) -> usize {
        let Some(uid) = self.left_at.as_ref().map(|left| left.uid) else {
            return 0;
        };
        let from = transcript.index_of(uid);
        let height = self.left_height(transcript, from);
        let n: usize = (from..transcript.len())
            .map(|index| self.rows(transcript, index).len())
            .sum();
        n.saturating_sub(height)
    }
}

/// The person's messages and remarks stand apart; the pieces of one answer follow each other.
fn wants_gap(before: Option<&Entry>, entry: &Entry) -> bool {
    let Some(before) = before else { return false };
    let is_remark = |entry: &Entry| matches!(entry.body, Body::Remark { .. });
    entry.is_user() || before.is_user() || is_remark(entry) != is_remark(before)
}
