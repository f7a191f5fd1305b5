//! What a search found in one file, and how it is written for a model. Pure but for the decoding of lines.

use std::path::PathBuf;

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink, SinkContext, SinkFinish, SinkMatch};

use crate::tools::encoding::detect;

/// Lines kept of one file.
const MAX_KEPT: usize = 1_000;
/// Longest line shown, in characters, and how much of it stands before the match.
const MAX_LINE_CHARS: usize = 300;
const BEFORE_MATCH_CHARS: usize = 80;
/// Bytes of a line that are kept around its match.
const MAX_LINE_BYTES: usize = 4 * MAX_LINE_CHARS;

/// One line of a file.
pub(super) struct Line {
    number: u64,
    bytes: Vec<u8>,
    cut_before: bool,
    cut_behind: bool,
    is_match: bool,
}

/// What was found in one file.
pub(super) struct FileMatches {
    pub(super) path: PathBuf,
    pub(super) lines: Vec<Line>,
    /// Matching lines, those that are not kept included.
    pub(super) n_matches: u64,
}

/// Collects the lines of one file.
pub(super) struct Collector<'a> {
    pub(super) matcher: &'a RegexMatcher,
    /// Whether the lines are wanted, or only their number.
    pub(super) keep_lines: bool,
    /// Whether one match is enough.
    pub(super) first_only: bool,
    pub(super) lines: Vec<Line>,
    pub(super) n_matches: u64,
    pub(super) binary: bool,
    /// Asked now and then in files with many matches.
    pub(super) goes_on: &'a (dyn Fn() -> bool + Sync),
}

impl Sink for Collector<'_> {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        self.n_matches += 1;
        if self.keep_lines && self.lines.len() < MAX_KEPT {
            let bytes = without_end(found.bytes());
            let at = self.matcher.find(bytes).ok().flatten();
            let at = at.map_or(0, |place| place.start());
            self.lines
                .push(cut(found.line_number().unwrap_or(0), bytes, at, true));
        }
        let goes_on = !self.n_matches.is_multiple_of(1_024) || (self.goes_on)();
        Ok(goes_on && !self.first_only)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> Result<bool, Self::Error> {
        if self.keep_lines && self.lines.len() < MAX_KEPT {
            let bytes = without_end(context.bytes());
            let number = context.line_number().unwrap_or(0);
            self.lines.push(cut(number, bytes, 0, false));
        }
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> Result<(), Self::Error> {
        self.binary = end.binary_byte_offset().is_some();
        Ok(())
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Keeps the part of a line around a match.
fn cut(number: u64, bytes: &[u8], at: usize, is_match: bool) -> Line {
    let from = if bytes.len() <= MAX_LINE_BYTES {
        0
    } else {
        at.saturating_sub(BEFORE_MATCH_CHARS)
    };
    // A character is not parted: continuation bytes belong to what is left out.
    let from = (from..bytes.len())
        .find(|at| *at == 0 || bytes[*at] & 0xC0 != 0x80)
        .unwrap_or(bytes.len());
    let end = bytes.len().min(from + MAX_LINE_BYTES);
    Line {
        number,
        bytes: bytes[from..end].to_vec(),
        cut_before: from > 0,
        cut_behind: end < bytes.len(),
        is_match,
    }
}

impl Line {
    pub(super) fn is_match(&self) -> bool {
        self.is_match
    }

    /// Tells whether lines between the one before and this one are left out.
    pub(super) fn follows(&self, before: &Self) -> bool {
        self.number == before.number + 1
    }

    /// Writes the line: number, `:` for a match or `-` beside one, text.
    pub(super) fn text(&self) -> String {
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => match detect(&self.bytes) {
                Some(found) => found.decode(&self.bytes).0.into_owned(),
                None => String::from_utf8_lossy(&self.bytes).into_owned(),
            },
        };
        let text = text.trim_end_matches('\u{FFFD}');
        let n = text.chars().count();
        let shown: String = text
            .chars()
            .take(MAX_LINE_CHARS)
            .map(|c| {
                if c.is_control() && c != '\t' {
                    '\u{FFFD}'
                } else {
                    c
                }
            })
            .collect();
        let mark = if self.is_match { ':' } else { '-' };
        let before = if self.cut_before { "…" } else { "" };
        let behind = if self.cut_behind || n > MAX_LINE_CHARS {
            "…"
        } else {
            ""
        };
        format!("{}{mark} {before}{shown}{behind}\n", self.number)
    }
}
