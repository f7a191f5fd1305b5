//! Cuts long Markdown into pieces that the service takes: by bytes of the finished request, by tables, at paragraphs
//! where possible; code fences and table heads are repeated. Pure.

/// Bytes of one piece as they count in a request body, where a text is JSON inside JSON. The service takes 30 KB.
pub(super) const MAX_PIECE_BYTES: usize = 24_000;
/// Tables of one card; the service refuses the whole card with a sixth.
pub(super) const MAX_TABLES: usize = 5;
/// A longer opening line of a code block is not repeated as it is.
const MAX_FENCE_BYTES: usize = 30;

/// Returns the bytes that a text takes inside a JSON text inside JSON.
pub(super) fn cost(text: &str) -> usize {
    text.chars().map(char_cost).sum()
}

fn char_cost(c: char) -> usize {
    match c {
        '"' | '\\' => 4,
        '\n' | '\r' | '\t' => 3,
        c if c.is_control() => 7,
        c => c.len_utf8(),
    }
}

/// Cuts a text; at least one piece, none over `max` bytes.
pub(super) fn split(text: &str, max: usize) -> Vec<String> {
    let mut splitter = Splitter::new(max);
    let lines: Vec<&str> = text.split('\n').collect();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        splitter.line(line, next);
    }
    splitter.end()
}

struct Splitter {
    max: usize,
    pieces: Vec<String>,
    piece: String,
    piece_cost: usize,
    /// Where a paragraph ended last in this piece, in bytes.
    break_at: Option<usize>,
    /// The line that opened the code block we are in.
    fence: Option<String>,
    /// Head and delimiter line of the table we are in.
    table: Option<String>,
    tables: usize,
}

impl Splitter {
    fn new(max: usize) -> Self {
        Self {
            max,
            pieces: Vec::new(),
            piece: String::new(),
            piece_cost: 0,
            break_at: None,
            fence: None,
            table: None,
            tables: 0,
        }
    }

    fn line(&mut self, line: &str, next: &str) {
        if self.fence.is_some() {
            self.add(line);
            if is_closing(line, self.fence.as_deref().unwrap_or_default()) {
                self.fence = None;
            }
            return;
        }
        if is_fence(line) {
            self.table = None;
            self.add(line);
            self.fence = Some(if line.len() <= MAX_FENCE_BYTES {
                line.to_owned()
            } else {
                closing(line)
            });
            return;
        }
        if line.trim().is_empty() {
            self.table = None;
            self.add(line);
            self.break_at = Some(self.piece.len());
            return;
        }
        let begins_table = self.table.is_none() && line.contains('|') && is_delimiter(next);
        if begins_table {
            if self.tables == MAX_TABLES {
                self.cut();
            }
            self.tables += 1;
            self.add(line);
            let head = format!("{line}\n{next}");
            // A head that leaves little room for rows is not repeated.
            let is_small = cost(&head) <= self.max / 4;
            self.table = Some(if is_small { head } else { String::new() });
            return;
        }
        if !line.contains('|') {
            self.table = None;
        }
        self.add(line);
    }

    /// Adds a line; begins a new piece if it does not fit, and cuts the line itself if it never would.
    fn add(&mut self, line: &str) {
        let mut line = line;
        loop {
            let line_cost = cost(line) + 3;
            if self.piece_cost + line_cost + self.closing_cost() <= self.max {
                break;
            }
            let opening = self.opening();
            let fits_alone = cost(&opening) + line_cost + self.closing_cost() <= self.max;
            let has_content = self.piece.len() > opening.len();
            if has_content {
                self.cut();
                if fits_alone {
                    continue;
                }
            }
            let room = self
                .max
                .saturating_sub(self.piece_cost + self.closing_cost() + 3);
            let (head, tail) = cut_chars(line, room);
            if tail.is_empty() {
                break;
            }
            self.push_line(head);
            self.cut();
            line = tail;
        }
        self.push_line(line);
    }

    fn push_line(&mut self, line: &str) {
        self.piece.push_str(line);
        self.piece.push('\n');
        self.piece_cost += cost(line) + 3;
    }

    fn closing_cost(&self) -> usize {
        let fence = self.fence.as_deref();
        fence.map_or(0, |fence| closing(fence).len() + 3)
    }

    /// What a piece begins with that goes on with a code block or a table.
    fn opening(&self) -> String {
        match (&self.fence, &self.table) {
            (Some(fence), _) => format!("{fence}\n"),
            (None, Some(head)) if !head.is_empty() => format!("{head}\n"),
            _ => String::new(),
        }
    }

    /// Ends the piece, at its last paragraph if that leaves it at least half full.
    fn cut(&mut self) {
        let is_plain = self.fence.is_none() && self.table.is_none();
        let mut rest = String::new();
        if let Some(at) = self
            .break_at
            .filter(|at| is_plain && *at > self.piece.len() / 2)
        {
            rest = self.piece.split_off(at);
        }
        if let Some(fence) = &self.fence {
            self.piece.push_str(&closing(fence));
        }
        let piece = std::mem::take(&mut self.piece);
        self.keep(&piece);
        self.piece = self.opening() + &rest;
        self.piece_cost = cost(&self.piece);
        self.break_at = None;
        self.tables = usize::from(self.table.is_some());
    }

    fn keep(&mut self, piece: &str) {
        let piece = piece.trim_matches('\n');
        if !piece.trim().is_empty() {
            self.pieces.push(piece.to_owned());
        }
    }

    fn end(mut self) -> Vec<String> {
        let piece = std::mem::take(&mut self.piece);
        self.keep(&piece);
        if self.pieces.is_empty() {
            self.pieces.push(String::new());
        }
        self.pieces
    }
}

/// Follows the code blocks of a text, line by line.
#[derive(Default)]
pub(super) struct Blocks(Option<String>);

impl Blocks {
    /// Takes the next line in; tells whether it opens or closes a block. In a block, the fences of others are text.
    pub(super) fn is_edge(&mut self, line: &str) -> bool {
        let is_edge = match &self.0 {
            Some(opened) => is_closing(line, opened),
            None => is_fence(line),
        };
        if is_edge {
            self.0 = match self.0 {
                Some(_) => None,
                None => Some(closing(line)),
            };
        }
        is_edge
    }

    /// Tells whether the next line stands in a block.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }
}

/// Tells whether a line opens a code block where none is open.
pub(super) fn is_fence(line: &str) -> bool {
    fence(line).is_some()
}

/// A fence's sign, how often it stands there, and what stands behind (CommonMark: three or more; no backtick behind
/// backticks).
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim_start();
    let sign = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let behind = line.trim_start_matches(sign);
    let n = line.len() - behind.len();
    let is_fence = n >= 3 && !(sign == '`' && behind.contains('`'));
    is_fence.then_some((sign, n, behind))
}

/// A block ends with the sign it began with, at least as often, and nothing behind.
fn is_closing(line: &str, opened: &str) -> bool {
    match (fence(line), fence(opened)) {
        (Some((sign, n, behind)), Some((opening, least, _))) => {
            sign == opening && n >= least && behind.trim().is_empty()
        }
        _ => false,
    }
}

/// The line that closes what a fence opened.
fn closing(opened: &str) -> String {
    let (sign, n, _) = fence(opened).unwrap_or(('`', 3, ""));
    sign.to_string().repeat(n.min(MAX_FENCE_BYTES))
}

/// Tells whether a line parts a table's head from its rows.
pub(super) fn is_delimiter(line: &str) -> bool {
    line.contains('|')
        && line.contains('-')
        && line
            .chars()
            .all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t'))
}

/// Cuts a text so that its first part costs at most `room`; at least one character.
fn cut_chars(text: &str, room: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_cost(c);
        if used > room && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_texts_stay_whole() {
        assert_eq!(split("hi\n\nthere", 100), ["hi\n\nthere"]);
        assert_eq!(split("", 100), [""]);
        assert_eq!(split("\n \n", 100), [""]);
    }

    #[test]
    fn paragraphs_are_kept_together() {
        let text = format!(
            "{}\n\n{}\n\n{}",
            "a".repeat(30),
            "b".repeat(30),
            "c".repeat(30)
        );
        let pieces = split(&text, 80);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].ends_with('b') && pieces[1].starts_with('c'));
    }

    #[test]
    fn code_blocks_are_closed_and_opened_again() {
        let code: String = (0..20).map(|n| format!("let x{n} = {n};\n")).collect();
        let pieces = split(&format!("See:\n```rust\n{code}```\nDone."), 120);
        assert!(pieces.len() > 2);
        for piece in &pieces {
            let fences = piece.lines().filter(|line| is_fence(line)).count();
            assert_eq!(fences % 2, 0, "{piece}");
        }
        assert!(pieces[1].starts_with("```rust\n"), "{}", pieces[1]);
        let joined: String = pieces.join("\n").replace("```\n```rust\n", "");
        assert!((0..20).all(|n| joined.contains(&format!("let x{n} = {n};"))));
    }

    #[test]
    fn table_heads_are_repeated_and_tables_counted() {
        let rows: String = (0..30).map(|n| format!("| {n} | row |\n")).collect();
        let pieces = split(&format!("| n | what |\n|---|---|\n{rows}"), 120);
        assert!(pieces.len() > 2);
        for piece in &pieces {
            assert!(piece.starts_with("| n | what |\n|---|---|\n"), "{piece}");
        }
        let table = "| a |\n|---|\n| 1 |\n\n";
        let pieces = split(&table.repeat(12), 100_000);
        let tables: Vec<_> = pieces.iter().map(|p| p.matches("|---|").count()).collect();
        assert_eq!(tables, [5, 5, 2]);
    }

    #[test]
    fn endless_lines_are_cut_between_characters() {
        let text = "好🙂".repeat(200);
        let pieces = split(&text, 100);
        assert!(pieces.iter().all(|piece| cost(piece) <= 100));
        assert_eq!(pieces.concat(), text);
    }

    proptest! {
        #[test]
        fn nothing_is_too_large_or_lost(
            text in "([a-z好\"\\\\]{0,30}|```[a-z]{0,4}|\\| a \\| b \\||\\|--\\|--\\||\n){0,60}",
            max in 120_usize..400,
        ) {
            let pieces = split(&text, max);
            prop_assert!(!pieces.is_empty());
            for piece in &pieces {
                prop_assert!(cost(piece) <= max + 16, "{} of {max}: {piece}", cost(piece));
            }
            let letters = |text: &str| text.matches('好').count();
            let all: usize = pieces.iter().map(|piece| letters(piece)).sum();
            prop_assert!(all >= letters(&text));
        }
    }
}
