//! A text with its line ends put aside, so that matching sees `\n` only and untouched lines keep what they had. Pure.

use std::ops::Range;

const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// A file's text as edits see it.
pub(super) struct Text {
    marked: bool,
    normal: String,
    /// Positions in `normal` of the `\n` that stand for `\r\n`, ascending.
    carriage: Vec<usize>,
    /// New lines get `\r\n` because most old ones have it.
    crlf: bool,
}

impl Text {
    /// Takes a file's text apart.
    pub(super) fn new(text: &str) -> Self {
        let plain = text.strip_prefix(BYTE_ORDER_MARK);
        let (normal, carriage) = split(plain.unwrap_or(text));
        let ends = normal.bytes().filter(|byte| *byte == b'\n').count();
        Self {
            marked: plain.is_some(),
            crlf: carriage.len() * 2 > ends,
            normal,
            carriage,
        }
    }

    /// Returns the text with `\n` line ends.
    pub(super) fn normal(&self) -> &str {
        &self.normal
    }

    /// Replaces ranges of the normal text: ascending, not overlapping, at character borders.
    pub(super) fn apply(&mut self, places: &[(Range<usize>, String)]) {
        let mut normal = String::with_capacity(self.normal.len());
        let mut carriage = Vec::with_capacity(self.carriage.len());
        let mut kept_from = 0;
        let mut marks = self.carriage.iter().copied().peekable();
        for (range, new) in places {
            while let Some(at) = marks.next_if(|at| *at < range.start) {
                carriage.push(at - kept_from + normal.len());
            }
            normal.push_str(&self.normal[kept_from..range.start]);
            while marks.next_if(|at| *at < range.end).is_some() {}
            let start = normal.len();
            let (new, _) = split(new);
            if self.crlf {
                carriage.extend(new.match_indices('\n').map(|(at, _)| start + at));
            }
            normal.push_str(&new);
            kept_from = range.end;
        }
        carriage.extend(marks.map(|at| at - kept_from + normal.len()));
        normal.push_str(&self.normal[kept_from..]);
        self.normal = normal;
        self.carriage = carriage;
    }

    /// Puts the text together again.
    pub(super) fn into_string(self) -> String {
        let mut out = String::with_capacity(self.normal.len() + self.carriage.len() + 3);
        if self.marked {
            out.push_str(BYTE_ORDER_MARK);
        }
        let mut from = 0;
        for at in self.carriage {
            out.push_str(&self.normal[from..at]);
            out.push_str("\r\n");
            from = at + 1;
        }
        out.push_str(&self.normal[from..]);
        out
    }
}

/// Replaces `\r\n` by `\n` and notes where.
pub(super) fn split(text: &str) -> (String, Vec<usize>) {
    let mut normal = String::with_capacity(text.len());
    let mut carriage = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.strip_suffix("\r\n") {
            Some(content) => {
                normal.push_str(content);
                carriage.push(normal.len());
                normal.push('\n');
            }
            None => normal.push_str(line),
        }
    }
    (normal, carriage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn untouched_lines_keep_their_ends() {
        let mut text = Text::new("\u{FEFF}a\r\nb\nc\r\nd\r\ne");
        assert_eq!(text.normal(), "a\nb\nc\nd\ne");
        text.apply(&[(2..3, "x\ny".into()), (6..7, String::new())]);
        assert_eq!(text.into_string(), "\u{FEFF}a\r\nx\r\ny\nc\r\n\r\ne");
    }

    proptest! {
        #[test]
        fn taking_apart_and_together_is_the_identity(text in "(\u{FEFF})?[ab\r\n你]{0,40}") {
            prop_assert_eq!(Text::new(&text).into_string(), text);
        }

        #[test]
        fn replacing_a_range_by_itself_changes_nothing(text in "([ab你]{0,5}\r\n){0,8}", a in 0usize..50, b in 0usize..50) {
            let mut parts = Text::new(&text);
            let normal = parts.normal().to_owned();
            let (a, b) = (a.min(b).min(normal.len()), a.max(b).min(normal.len()));
            prop_assume!(normal.is_char_boundary(a) && normal.is_char_boundary(b));
            parts.apply(&[(a..b, normal[a..b].to_owned())]);
            prop_assert_eq!(parts.into_string(), text);
        }
    }
}
