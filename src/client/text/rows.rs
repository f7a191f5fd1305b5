//! Styled text and the rows it becomes. Styles are named by meaning; the theme gives them colours when they are drawn, so
//! that a change of theme needs no new layout. Pure.

use super::width::Widths;
use super::wrap::wrap;

/// What a piece of text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub(in crate::client) enum Role {
    /// What is said.
    #[default]
    Text,
    /// Less important than the rest.
    Dim,
    /// The person's side.
    User,
    /// A heading, the chosen line, what matters.
    Accent,
    /// Success.
    Good,
    /// Needs attention.
    Warn,
    /// Failure.
    Bad,
    /// Code.
    Code,
    /// A keyword in code.
    Keyword,
    /// A string in code.
    Literal,
    /// A number in code.
    Number,
    /// A comment in code.
    Comment,
    /// An address.
    Link,
    /// The chosen line of a list.
    Chosen,
}

/// How a piece of text looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub(in crate::client) struct Look {
    /// What it is.
    pub(in crate::client) role: Role,
    /// Bold.
    pub(in crate::client) bold: bool,
    /// Italic.
    pub(in crate::client) italic: bool,
    /// Struck out.
    pub(in crate::client) struck: bool,
    /// Underlined.
    pub(in crate::client) underlined: bool,
}

impl Look {
    /// Makes a look without emphasis.
    pub(in crate::client) fn of(role: Role) -> Self {
        Self {
            role,
            ..Self::default()
        }
    }

    /// Returns the same in bold.
    pub(in crate::client) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// A piece of a row.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(in crate::client) struct Span {
    /// Its text, without line breaks.
    pub(in crate::client) text: String,
    /// How it looks.
    pub(in crate::client) look: Look,
}

/// One row of the screen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub(in crate::client) struct Row {
    /// Its pieces from left to right.
    pub(in crate::client) spans: Vec<Span>,
}

impl Row {
    /// Makes a row of one piece.
    pub(in crate::client) fn of(text: impl Into<String>, look: Look) -> Self {
        let mut row = Self::default();
        row.push(text, look);
        row
    }

    /// Appends a piece.
    pub(in crate::client) fn push(&mut self, text: impl Into<String>, look: Look) {
        let text = text.into();
        if text.is_empty() {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.look == look => last.text.push_str(&text),
            _ => self.spans.push(Span { text, look }),
        }
    }

    /// Returns its columns.
    pub(in crate::client) fn width(&self, widths: Widths) -> usize {
        self.spans.iter().map(|span| widths.text(&span.text)).sum()
    }

    /// Returns its text.
    #[cfg(test)]
    pub(in crate::client) fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }
}

/// Rows from top to bottom.
pub(in crate::client) type Rows = Vec<Row>;

/// A text with looks, on its way to rows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub(in crate::client) struct Styled {
    text: String,
    /// Where each look ends.
    runs: Vec<(usize, Look)>,
}

impl Styled {
    /// Appends a text.
    pub(in crate::client) fn push(&mut self, text: &str, look: Look) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        match self.runs.last_mut() {
            Some((end, last)) if *last == look => *end = self.text.len(),
            _ => self.runs.push((self.text.len(), look)),
        }
    }

    /// Appends a styled text.
    pub(in crate::client) fn append(&mut self, other: &Styled) {
        let mut start = 0;
        for (end, look) in &other.runs {
            self.push(&other.text[start..*end], *look);
            start = *end;
        }
    }

    /// Tells whether nothing was appended.
    pub(in crate::client) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text.
    pub(in crate::client) fn text(&self) -> &str {
        &self.text
    }

    /// Breaks it into rows of at most `width` columns and puts a prefix before each: `first` before the first of all.
    pub(in crate::client) fn rows(
        &self,
        width: usize,
        first: &Row,
        other: &Row,
        widths: Widths,
    ) -> Rows {
        self.rows_after(None, width, first, other, widths)
    }

    /// The same for a text that has perhaps only grown: rows that cannot have changed are taken from the last time.
    pub(super) fn rows_after(
        &self,
        last: Option<&mut Grown>,
        width: usize,
        first: &Row,
        other: &Row,
        widths: Widths,
    ) -> Rows {
        let (mut rows, mut starts, mut from) = match &last {
            Some(last) => last.kept(self, first, other),
            None => Default::default(),
        };
        for line in self.text[from..].split('\n') {
            let room = |prefix: &Row| width.saturating_sub(prefix.width(widths));
            let lead = if rows.is_empty() { first } else { other };
            for cut in wrap(line, room(lead), room(other), widths, true) {
                let mut row = if rows.is_empty() { first } else { other }.clone();
                self.copy(from + cut.start, from + cut.shown_end, &mut row);
                rows.push(row);
                starts.push(from + cut.start);
            }
            from += line.len() + 1;
        }
        if let Some(last) = last {
            *last = Grown {
                of: self.clone(),
                first: first.clone(),
                other: other.clone(),
                rows: rows.clone(),
                starts,
            };
        }
        rows
    }

    /// Tells whether two texts are the same up to a place, looks included.
    fn agrees(&self, other: &Self, upto: usize) -> bool {
        let runs = |of: &Self| {
            let n = of.runs.partition_point(|(end, _)| *end < upto);
            of.runs
                .iter()
                .take(n + 1)
                .map(|(end, look)| ((*end).min(upto), *look))
                .collect::<Vec<_>>()
        };
        self.text.as_bytes().get(..upto) == other.text.as_bytes().get(..upto)
            && runs(self) == runs(other)
    }

    /// Copies a range with its looks.
    fn copy(&self, mut start: usize, end: usize, row: &mut Row) {
        let mut at = self.runs.partition_point(|(run_end, _)| *run_end <= start);
        while start < end
            && let Some((run_end, look)) = self.runs.get(at)
        {
            let stop = end.min(*run_end);
            row.push(&self.text[start..stop], *look);
            start = stop;
            at += 1;
        }
    }
}

/// How a text was laid out the last time; for one width.
#[derive(Default)]
pub(super) struct Grown {
    of: Styled,
    first: Row,
    other: Row,
    rows: Rows,
    /// Where in the text each row begins.
    starts: Vec<usize>,
}

impl Grown {
    /// Returns the rows that are the same for another text, where they begin, and where the next one does. Where a row ends
    /// depends on what stands behind it, but no further than the next row: the last two are not kept.
    fn kept(&self, text: &Styled, first: &Row, other: &Row) -> (Rows, Vec<usize>, usize) {
        let n = self.rows.len().saturating_sub(2);
        let is_same = n > 0
            && self.first == *first
            && self.other == *other
            && text.agrees(&self.of, self.starts[n]);
        if !is_same {
            return Default::default();
        }
        let starts = self.starts[..n].to_vec();
        (self.rows[..n].to_vec(), starts, self.starts[n])
    }
}
