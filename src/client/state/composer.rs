//! The draft: a text with a caret that moves by cluster, folded pastes, and a memory of what was deleted. Pure.

use std::ops::Range;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use crate::client::text::{Cut, Widths, clean, placeholder, placeholder_index, wrap};

/// A paste beyond one of these is folded.
const FOLD_LINES: usize = 10;
const FOLD_CHARS: usize = 1_000;

/// The draft.
#[derive(Clone, Default, Debug)]
pub(in crate::client) struct Composer {
    /// What was typed; a placeholder character stands for each folded paste.
    text: String,
    caret: usize,
    pastes: Vec<String>,
    killed: Killed,
    /// The column that moving up and down keeps to.
    goal: Option<usize>,
}

/// What was deleted last: a text with placeholders, and the pastes they stand for, in order.
#[derive(Clone, Default, Debug)]
struct Killed {
    text: String,
    pastes: Vec<String>,
}

/// The draft laid out: visual rows and the caret.
pub(in crate::client) struct Laid {
    /// The text of each row, with labels in the place of folded pastes.
    pub(in crate::client) rows: Vec<String>,
    /// The caret's row and column.
    pub(in crate::client) caret: (usize, usize),
}

impl Composer {
    /// Tells whether nothing is written.
    pub(in crate::client) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns what is written, with folded pastes as placeholders.
    pub(in crate::client) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the caret's byte place.
    pub(in crate::client) fn caret(&self) -> usize {
        self.caret
    }

    /// Returns everything that is written, folded pastes in full.
    pub(in crate::client) fn expanded(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        for c in self.text.chars() {
            match placeholder_index(c).and_then(|index| self.pastes.get(index)) {
                Some(paste) => out.push_str(paste),
                None => out.push(c),
            }
        }
        out
    }

    /// Replaces everything; a long text is folded.
    pub(in crate::client) fn set(&mut self, text: &str) {
        self.clear();
        self.paste(text);
    }

    /// Empties the draft; what was deleted before can still be put back.
    pub(in crate::client) fn clear(&mut self) {
        self.text.clear();
        self.pastes.clear();
        self.caret = 0;
        self.goal = None;
    }

    /// Inserts typed text.
    pub(in crate::client) fn insert(&mut self, text: &str) {
        let text = clean(text);
        self.insert_raw(&text);
    }

    fn insert_raw(&mut self, text: &str) {
        self.text.insert_str(self.caret, text);
        self.caret += text.len();
        self.caret = self.boundary_at_or_after(self.caret);
        self.goal = None;
    }

    /// Inserts a paste, folded if it is long.
    pub(in crate::client) fn paste(&mut self, text: &str) {
        let text = clean(text).into_owned();
        let is_long = text.lines().count() > FOLD_LINES || text.chars().nth(FOLD_CHARS).is_some();
        let text = if is_long { self.fold(text) } else { text };
        self.insert_raw(&text);
    }

    /// Puts a paste aside and returns what stands for it; itself if there are too many.
    fn fold(&mut self, paste: String) -> String {
        match placeholder(self.pastes.len()) {
            Some(mark) => {
                self.pastes.push(paste);
                mark.to_string()
            }
            None => paste,
        }
    }

    /// Replaces a range by a completion and puts the caret behind it.
    pub(in crate::client) fn replace(&mut self, range: Range<usize>, text: &str) {
        if self.text.get(range.clone()).is_none() {
            return;
        }
        self.text.replace_range(range.clone(), "");
        self.caret = range.start;
        self.insert(text);
    }

    /// Takes the backslash before the caret away, if one stands there at the end of the draft.
    pub(in crate::client) fn take_backslash(&mut self) -> bool {
        let there = self.caret == self.text.len() && self.text.ends_with('\\');
        if there {
            self.backspace();
        }
        there
    }

    fn previous(&self, from: usize) -> usize {
        self.text[..from]
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(at, _)| at)
    }

    fn next(&self, from: usize) -> usize {
        self.text[from..]
            .graphemes(true)
            .next()
            .map_or(from, |cluster| from + cluster.len())
    }

    /// Text put before a combining mark joins it: the caret then belongs behind the whole cluster.
    fn boundary_at_or_after(&self, at: usize) -> usize {
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        match cursor.is_boundary(&self.text, 0) {
            Ok(true) => at,
            _ => cursor
                .next_boundary(&self.text, 0)
                .ok()
                .flatten()
                .unwrap_or(self.text.len()),
        }
    }

    /// Deletes the cluster before the caret.
    pub(in crate::client) fn backspace(&mut self) {
        let start = self.previous(self.caret);
        self.remove(start..self.caret);
    }

    /// Deletes the cluster behind the caret.
    pub(in crate::client) fn delete(&mut self) {
        let end = self.next(self.caret);
        self.remove(self.caret..end);
    }

    fn remove(&mut self, range: Range<usize>) -> String {
        let removed = self.text[range.clone()].to_owned();
        self.text.replace_range(range.clone(), "");
        self.caret = self.boundary_at_or_after(range.start);
        self.goal = None;
        removed
    }

    fn kill(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let text = self.remove(range);
        let pastes = text
            .chars()
            .filter_map(|c| self.pastes.get(placeholder_index(c)?).cloned())
            .collect();
        self.killed = Killed { text, pastes };
    }

    /// Deletes to the start of the line, or the line break before it.
    pub(in crate::client) fn kill_to_start(&mut self) {
        let start = self.line_start();
        self.kill(if start == self.caret {
            self.previous(self.caret)..self.caret
        } else {
            start..self.caret
        });
    }

    /// Deletes to the end of the line, or the line break there.
    pub(in crate::client) fn kill_to_end(&mut self) {
        let end = self.line_end();
        self.kill(
            self.caret..if end == self.caret {
                self.next(self.caret)
            } else {
                end
            },
        );
    }

    /// Deletes the word before the caret.
    pub(in crate::client) fn kill_word(&mut self) {
        self.kill(self.word_start()..self.caret);
    }

    /// Deletes the word behind the caret.
    pub(in crate::client) fn kill_word_forward(&mut self) {
        self.kill(self.caret..self.word_end());
    }

    /// Puts back what was deleted last.
    pub(in crate::client) fn yank(&mut self) {
        let killed = self.killed.clone();
        let mut pastes = killed.pastes.into_iter();
        let mut text = String::with_capacity(killed.text.len());
        for c in killed.text.chars() {
            if placeholder_index(c).is_none() {
                text.push(c);
            } else if let Some(paste) = pastes.next() {
                text.push_str(&self.fold(paste));
            }
        }
        self.insert_raw(&text);
    }

    /// Moves a cluster to the left.
    pub(in crate::client) fn left(&mut self) {
        self.move_to(self.previous(self.caret));
    }

    /// Moves a cluster to the right.
    pub(in crate::client) fn right(&mut self) {
        self.move_to(self.next(self.caret));
    }

    /// Moves to the start of the word.
    pub(in crate::client) fn word_left(&mut self) {
        self.move_to(self.word_start());
    }

    /// Moves behind the word.
    pub(in crate::client) fn word_right(&mut self) {
        self.move_to(self.word_end());
    }

    /// Moves to the start of the line.
    pub(in crate::client) fn home(&mut self) {
        self.move_to(self.line_start());
    }

    /// Moves to the end of the line.
    pub(in crate::client) fn end(&mut self) {
        self.move_to(self.line_end());
    }

    fn move_to(&mut self, place: usize) {
        self.caret = place;
        self.goal = None;
    }

    fn line_start(&self) -> usize {
        self.text[..self.caret].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.caret..]
            .find('\n')
            .map_or(self.text.len(), |at| self.caret + at)
    }

    fn word_start(&self) -> usize {
        let before: Vec<(usize, &str)> = self.text[..self.caret].grapheme_indices(true).collect();
        let mut at = before.len();
        while at > 0 && !is_word(before[at - 1].1) {
            at -= 1;
        }
        while at > 0 && is_word(before[at - 1].1) {
            at -= 1;
        }
        before.get(at).map_or(self.caret, |(place, _)| *place)
    }

    fn word_end(&self) -> usize {
        let mut place = self.caret;
        let mut in_word = false;
        for cluster in self.text[self.caret..].graphemes(true) {
            match is_word(cluster) {
                true => in_word = true,
                false if in_word => break,
                false => {}
            }
            place += cluster.len();
        }
        place
    }

    /// Moves a visual row up; false if the caret is on the first one.
    pub(in crate::client) fn up(&mut self, width: usize, widths: Widths) -> bool {
        self.vertical(width, widths, |row, _| row.checked_sub(1))
    }

    /// Moves a visual row down; false if the caret is on the last one.
    pub(in crate::client) fn down(&mut self, width: usize, widths: Widths) -> bool {
        self.vertical(width, widths, |row, n| (row + 1 < n).then_some(row + 1))
    }

    fn vertical(
        &mut self,
        width: usize,
        widths: Widths,
        to: impl Fn(usize, usize) -> Option<usize>,
    ) -> bool {
        let cuts = self.cuts(width, widths);
        let (row, column) = self.caret_in(&cuts, width, widths);
        let Some(cut) = to(row, cuts.len()).and_then(|row| cuts.get(row)) else {
            return false;
        };
        let goal = self.goal.unwrap_or(column);
        let mut place = cut.start;
        let mut used = 0;
        let last = cut.shown_end;
        for cluster in self.text[cut.start..last].graphemes(true) {
            let columns = self.columns(cluster, width, widths);
            if used + columns > goal || place + cluster.len() > last {
                break;
            }
            used += columns;
            place += cluster.len();
        }
        // The end of a row that goes on is the start of the next one.
        if place == cut.end
            && cut.end == last
            && cuts
                .iter()
                .any(|other| other.start == place && other != cut)
        {
            place = self.previous(place).max(cut.start);
        }
        self.caret = place;
        self.goal = Some(goal);
        true
    }

    /// Lays the draft out in rows of at most `width` columns.
    pub(in crate::client) fn lay_out(&self, width: usize, widths: Widths) -> Laid {
        let cuts = self.cuts(width, widths);
        let caret = self.caret_in(&cuts, width, widths);
        let rows = cuts
            .iter()
            .map(|cut| self.shown(&self.text[cut.start..cut.shown_end], width, widths))
            .collect();
        Laid { rows, caret }
    }

    /// Breaks the text into visual rows. Folded pastes are measured by their labels.
    fn cuts(&self, width: usize, widths: Widths) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut from = 0;
        for line in self.text.split('\n') {
            if line.chars().any(|c| placeholder_index(c).is_some()) {
                self.cut_with_labels(line, from, width, widths, &mut cuts);
            } else {
                cuts.extend(
                    wrap(line, width, width, widths, false)
                        .into_iter()
                        .map(|cut| Cut {
                            start: cut.start + from,
                            end: cut.end + from,
                            shown_end: cut.shown_end + from,
                            ..cut
                        }),
                );
            }
            // A caret behind a full row needs a row of its own.
            let end = from + line.len();
            if self.caret == end && cuts.last().is_some_and(|last| last.width >= width) {
                cuts.push(Cut {
                    start: end,
                    end,
                    shown_end: end,
                    width: 0,
                });
            }
            from = end + 1;
        }
        cuts
    }

    fn cut_with_labels(
        &self,
        line: &str,
        from: usize,
        width: usize,
        widths: Widths,
        cuts: &mut Vec<Cut>,
    ) {
        let mut start = 0;
        let mut used = 0;
        let mut close = |start: usize, end: usize, used: usize| {
            cuts.push(Cut {
                start: from + start,
                end: from + end,
                shown_end: from + end,
                width: used,
            });
        };
        for (at, cluster) in line.grapheme_indices(true) {
            let columns = self.columns(cluster, width, widths);
            if used + columns > width && at > start {
                close(start, at, used);
                (start, used) = (at, 0);
            }
            used += columns;
        }
        close(start, line.len(), used);
    }

    fn caret_in(&self, cuts: &[Cut], width: usize, widths: Widths) -> (usize, usize) {
        let row = cuts
            .partition_point(|cut| cut.start <= self.caret)
            .saturating_sub(1);
        let Some(cut) = cuts.get(row) else {
            return (0, 0);
        };
        let before = &self.text[cut.start..self.caret.max(cut.start)];
        let column: usize = before
            .graphemes(true)
            .map(|cluster| self.columns(cluster, width, widths))
            .sum();
        (row, column.min(width.saturating_sub(1)))
    }

    fn columns(&self, cluster: &str, width: usize, widths: Widths) -> usize {
        match self.label(cluster) {
            Some(label) => widths.text(&label).min(width),
            None => widths.cluster(cluster),
        }
    }

    fn label(&self, cluster: &str) -> Option<String> {
        let index = placeholder_index(cluster.chars().next()?)?;
        let paste = self.pastes.get(index)?;
        Some(match paste.lines().count() {
            0 | 1 => format!("[paste {} characters]", paste.chars().count()),
            n => format!("[paste {n} lines]"),
        })
    }

    fn shown(&self, text: &str, width: usize, widths: Widths) -> String {
        if !text.chars().any(|c| placeholder_index(c).is_some()) {
            return text.to_owned();
        }
        let parts = text
            .graphemes(true)
            .map(|cluster| match self.label(cluster) {
                Some(label) => widths.fit(&label, width),
                None => cluster.to_owned(),
            });
        parts.collect()
    }
}

fn is_word(cluster: &str) -> bool {
    cluster
        .chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || c == '_' || placeholder_index(c).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    #[test]
    fn a_folded_paste_that_was_deleted_comes_back_whole() {
        let (first, second) = ("一\n".repeat(20), "two\n".repeat(30));
        let mut composer = with("a ");
        composer.paste(&first);
        composer.insert(" b ");
        composer.paste(&second);
        let whole = format!("a {first} b {second}");
        composer.kill_to_start();
        assert_eq!(composer.expanded(), "");
        composer.yank();
        assert_eq!(composer.expanded(), whole);
        // Also into a draft that is new, with a paste of its own.
        composer.kill_to_start();
        composer.clear();
        composer.paste(&"three\n".repeat(40));
        composer.yank();
        assert_eq!(composer.expanded(), "three\n".repeat(40) + &whole);
        let shown = composer.lay_out(80, Widths::default()).rows.concat();
        assert_eq!(
            shown,
            "[paste 40 lines]a [paste 20 lines] b [paste 30 lines]"
        );
    }

    #[test]
    fn the_caret_moves_by_cluster() {
        let mut composer = with("a中👨‍👩‍👧e\u{301}");
        let mut places = vec![composer.caret()];
        for _ in 0..4 {
            composer.left();
            places.push(composer.caret());
        }
        assert_eq!(places, [25, 22, 4, 1, 0]);
        composer.end();
        composer.backspace();
        composer.backspace();
        assert_eq!(composer.text(), "a中");
        composer.home();
        composer.delete();
        assert_eq!(composer.text(), "中");
    }

    #[test]
    fn readline_keys() {
        let mut composer = with("git commit -m 整理 下载\nsecond line");
        composer.kill_word();
        composer.kill_word();
        assert_eq!(composer.text(), "git commit -m 整理 下载\n");
        composer.yank();
        composer.home();
        composer.kill_to_end();
        composer.kill_to_start();
        assert_eq!(composer.text(), "git commit -m 整理 下载");
        composer.home();
        composer.word_right();
        assert_eq!(composer.caret(), 3);
        composer.kill_word_forward();
        assert_eq!(composer.text(), "git -m 整理 下载");
        composer.word_left();
        assert_eq!(composer.caret(), 0);
    }

    #[test]
    fn long_pastes_are_folded_and_sent_whole() {
        let mut composer = with("看 ");
        let paste = "一行\n".repeat(312);
        composer.paste(&paste);
        composer.insert(" 好");
        assert_eq!(composer.expanded(), format!("看 {paste} 好"));
        let laid = composer.lay_out(40, Widths::default());
        assert_eq!(laid.rows, ["看 [paste 312 lines] 好"]);
        assert_eq!(laid.caret, (0, 23));
        composer.left();
        composer.left();
        composer.backspace();
        assert_eq!(composer.expanded(), "看  好");
        composer.paste(&"x".repeat(1_001));
        assert!(
            composer.lay_out(60, Widths::default()).rows[0].contains("[paste 1001 characters]")
        );
        composer.paste("short\npaste");
        assert!(composer.text().contains("short\npaste"));
    }

    #[test]
    fn up_and_down_keep_the_column() {
        let widths = Widths::default();
        let mut composer = with("一二三四五六\nab\n一二三四");
        assert_eq!(
            composer.lay_out(8, widths).rows,
            ["一二三四", "五六", "ab", "一二三四", ""]
        );
        composer.left();
        assert_eq!(composer.lay_out(8, widths).caret, (3, 6));
        assert!(composer.up(8, widths));
        assert_eq!(composer.lay_out(8, widths).caret, (2, 2));
        assert!(composer.up(8, widths));
        assert!(composer.up(8, widths));
        assert_eq!(composer.lay_out(8, widths).caret, (0, 6));
        assert!(!composer.up(8, widths));
        assert!(composer.down(8, widths));
    }

    proptest! {
        #[test]
        fn the_caret_is_where_the_text_before_it_ends(
            text in "([a-z ]{1,6}|[中文,。]{1,4}|👨‍👩‍👧|e\u{301}|\n){0,20}",
            lefts in 0usize..30,
            width in 4usize..30,
        ) {
            let widths = Widths::default();
            let mut composer = with(&text);
            for _ in 0..lefts {
                composer.left();
            }
            let laid = composer.lay_out(width, widths);
            let (row, column) = laid.caret;
            prop_assert!(row < laid.rows.len() && column < width);
            for row in &laid.rows {
                prop_assert!(widths.text(row) <= width, "{row:?}");
            }
            let joined: String = laid.rows.concat();
            prop_assert_eq!(joined, text.replace('\n', ""));
            let before = composer.text()[..composer.caret()].replace('\n', "");
            let shown: String = laid.rows[..row].concat();
            let mut here = String::new();
            for cluster in laid.rows[row].graphemes(true) {
                if widths.text(&here) + widths.cluster(cluster) > column {
                    break;
                }
                here.push_str(cluster);
            }
            prop_assert_eq!(shown + &here, before);
        }

        #[test]
        fn editing_never_leaves_a_cluster(keys in proptest::collection::vec(0u8..14, 0..60)) {
            let mut composer = with("中e\u{301}👨‍👩‍👧 x");
            for key in keys {
                match key {
                    0 => composer.left(),
                    1 => composer.right(),
                    2 => composer.backspace(),
                    3 => composer.delete(),
                    4 => composer.word_left(),
                    5 => composer.kill_word(),
                    6 => composer.yank(),
                    7 => composer.insert("\u{301}"),
                    8 => composer.insert("文\n"),
                    9 => composer.paste(&"a\n".repeat(20)),
                    10 => { composer.up(5, Widths::default()); }
                    11 => { composer.down(5, Widths::default()); }
                    12 => composer.kill_to_start(),
                    _ => composer.kill_to_end(),
                }
                let text = composer.text();
                let at = composer.caret();
                prop_assert!(text.grapheme_indices(true).any(|(place, _)| place == at) || at == text.len());
                composer.lay_out(5, Widths::default());
            }
        }
    }
}
