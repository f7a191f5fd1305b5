//! The text of a configuration file: strict parsing, positions, and lines that may be shown. Pure; no file access.
//!
//! The syntax is JSON with `//` and `/* */` comments and trailing commas, nothing looser.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use jsonc_parser::ast::Value;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions};

use super::problem::{ConfigErrors, Excerpt, Position, Problem, Severity};
use super::templates::EXAMPLE;

/// Longest part of a line that is shown, in characters.
const MAX_SHOWN: usize = 100;

/// How much of a long line is shown before the place itself.
const SHOWN_BEFORE: usize = 40;

/// A configuration file's text.
pub(super) struct Source {
    file: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Wraps a text that has no byte order mark.
    pub(super) fn new(file: &Path, text: String) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(line_ends).collect();
        Self {
            file: file.to_owned(),
            text,
            line_starts,
        }
    }

    /// Returns the file's name as given.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the text of a range.
    pub(super) fn slice(&self, range: &Range<usize>) -> &str {
        &self.text[range.clone()]
    }

    /// Parses the text. An empty file or one with comments only is an error too.
    pub(super) fn parse(&self) -> Result<Value<'_>, ConfigErrors> {
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::AsTokens,
            tokens: true,
        };
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let parsed =
            jsonc_parser::parse_to_ast(&self.text, &collect, &options).map_err(|error| {
                let range = error.range();
                self.syntax_error(range.start..range.end, error.kind().to_string())
            })?;
        if let Some((range, message)) = self.find_looseness(&parsed.tokens.unwrap_or_default()) {
            return Err(self.syntax_error(range, message.to_owned()));
        }
        parsed
            .value
            .ok_or_else(|| self.syntax_error(0..0, "the file holds no JSON value".to_owned()))
    }

    /// Finds what the parser lets pass and JSON does not: foreign white space and raw control characters in strings.
    fn find_looseness(&self, tokens: &[TokenAndRange<'_>]) -> Option<(Range<usize>, &'static str)> {
        let mut end = 0;
        for token in tokens {
            if let Some(found) = self.find_foreign_space(end..token.range.start) {
                return Some(found);
            }
            end = token.range.end;
            if !matches!(token.token, Token::String(_)) {
                continue;
            }
            let text = &self.text[token.range.start..end];
            if let Some(at) = text.find(|c: char| c < ' ') {
                let at = token.range.start + at;
                let message = "control characters and line ends in a string must be escaped";
                return Some((at..at + 1, message));
            }
        }
        self.find_foreign_space(end..self.text.len())
    }

    fn find_foreign_space(&self, range: Range<usize>) -> Option<(Range<usize>, &'static str)> {
        let gap = &self.text[range.clone()];
        let (at, c) = gap
            .char_indices()
            .find(|(_, c)| !matches!(c, ' ' | '\t' | '\r' | '\n'))?;
        let at = range.start + at;
        Some((
            at..at + c.len_utf8(),
            "this kind of white space is not allowed in JSON",
        ))
    }

    fn syntax_error(&self, range: Range<usize>, message: String) -> ConfigErrors {
        // Without a syntax tree nobody knows which text is a secret.
        let line = self.line_range(range.start);
        let hidden = unfamiliar_words(&self.text[line.clone()], line.start);
        ConfigErrors::one(Problem {
            severity: Severity::Error,
            file: self.file.clone(),
            position: Some(self.position(range.start)),
            path: String::new(),
            message: lower_first(&message),
            found: None,
            hint: Some("JSON with comments and trailing commas is expected".to_owned()),
            excerpt: Some(self.excerpt(range, &hidden)),
        })
    }

    /// Returns the place of a byte offset.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.line_index(offset);
        let before = &self.text[self.line_starts[line]..offset];
        Position {
            line: line + 1,
            column: before.chars().count() + 1,
        }
    }

    fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset) - 1
    }

    fn line_range(&self, offset: usize) -> Range<usize> {
        let index = self.line_index(offset);
        let start = self.line_starts[index];
        let end = self
            .line_starts
            .get(index + 1)
            .map_or(self.text.len(), |next| next - 1);
        start..end
    }

    /// Returns the line of a range and marks below it. Characters inside `hidden` (sorted, apart) show as `*`.
    pub(super) fn excerpt(&self, range: Range<usize>, hidden: &[Range<usize>]) -> Excerpt {
        let bounds = self.line_range(range.start);
        let line = self.text[bounds.clone()].trim_end_matches('\r');
        let n_before = self.text[bounds.start..range.start].chars().count();
        let first = if line.chars().count() > MAX_SHOWN {
            n_before.saturating_sub(SHOWN_BEFORE)
        } else {
            0
        };
        let mut excerpt = Excerpt {
            line: String::new(),
            marks: String::new(),
        };
        if first > 0 {
            excerpt.line.push('…');
            excerpt.marks.push(' ');
        }
        let mut chars = line.char_indices().skip(first);
        for (at, c) in chars.by_ref().take(MAX_SHOWN) {
            let at = bounds.start + at;
            let shown = if is_inside(hidden, at) {
                '*'
            } else {
                printable(c)
            };
            excerpt.line.push(shown);
            // An empty range and the end of a line get one mark too.
            let is_marked = range.contains(&at) || at == range.start;
            excerpt.marks.push_str(match (is_marked, shown) {
                (true, shown) if is_wide(shown) => "^^",
                (true, _) => "^",
                (false, '\t') => "\t",
                (false, shown) if is_wide(shown) => "\u{3000}",
                (false, _) => " ",
            });
        }
        if chars.next().is_some() {
            excerpt.line.push('…');
        }
        if !excerpt.marks.contains('^') {
            excerpt.marks.push('^');
        }
        excerpt.marks.truncate(excerpt.marks.trim_end().len());
        excerpt
    }
}

fn is_inside(hidden: &[Range<usize>], at: usize) -> bool {
    let next = hidden.partition_point(|range| range.end <= at);
    hidden.get(next).is_some_and(|range| range.contains(&at))
}

/// Returns the ranges of words that do not occur in the shipped example; short numbers are no secret either.
fn unfamiliar_words(line: &str, start: usize) -> Vec<Range<usize>> {
    let known: HashSet<&str> = words(EXAMPLE).map(|(_, word)| word).collect();
    let is_known = |word: &str| {
        let is_number = word.len() <= 6 && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number || known.contains(word)
    };
    words(line)
        .filter(|(_, word)| !is_known(word))
        .map(|(at, word)| start + at..start + at + word.len())
        .collect()
}

/// Splits a text at quotes, white space and JSON punctuation.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| c.is_whitespace() || "{}[]\",:<>'".contains(c))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Returns the character, or a replacement for one that could act on a terminal.
fn printable(c: char) -> char {
    let is_bidi =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if (c.is_control() && c != '\t') || is_bidi || matches!(c, '\u{2028}' | '\u{2029}') {
        '\u{fffd}'
    } else {
        c
    }
}

/// Returns a short form of outside text that is safe to print.
pub(super) fn shortened(text: &str, max_chars: usize) -> String {
    let mut short: String = text.chars().take(max_chars).map(printable).collect();
    if text.chars().nth(max_chars).is_some() {
        short.push('…');
    }
    short
}

/// Tells whether terminals draw a character over two columns: the main blocks of East Asian wide text and emoji.
fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Option<(Position, String)> {
        let source = Source::new(Path::new("config.json"), text.to_owned());
        let error = source.parse().err()?.problems.pop()?;
        Some((error.position?, error.message))
    }

    #[test]
    fn accepts_comments_and_trailing_commas() {
        for text in [
            "{}",
            "// a\n{ /* b */ \"a\": [1, 2,], }\n// c",
            "{\"a\": \"\u{3000}\"}",
            "[true, false, null, -1.5e+3, \"\\u00e9\\n\\/\"]\r\n",
        ] {
            assert_eq!(error(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_everything_looser() {
        for (text, line, column) in [
            ("", 1, 1),
            ("// nothing", 1, 1),
            ("{a: 1}", 1, 2),
            ("{'a': 1}", 1, 2),
            ("{\"a\": 'b'}", 1, 7),
            ("{\"a\": 1 \"b\": 2}", 1, 8),
            ("{\n\"a\": 0x1F}", 2, 6),
            ("{\"a\": +1}", 1, 7),
            ("{\"a\": .5}", 1, 7),
            ("{\"a\": 5.}", 1, 7),
            ("{\"a\": 01}", 1, 8),
            ("{\"a\": NaN}", 1, 7),
            ("{\"a\": Infinity}", 1, 7),
            ("{\"a\": \"\\x41\"}", 1, 8),
            ("{\"a\": 1,,}", 1, 9),
            ("{\"a\": }", 1, 7),
            ("{\"a\"\u{a0}: 1}", 1, 5),
            ("{\"a\": \"b\nc\"}", 1, 9),
            ("{\"a\": \"b", 1, 7),
            ("{\"a\": 1} {}", 1, 10),
            ("{\"a\": 1", 1, 1),
            ("/* open", 1, 1),
            ("{\"密\": 1 \"b\": 2}", 1, 8),
        ] {
            let found = error(text).unwrap_or_else(|| panic!("accepted: {text}"));
            assert_eq!(found.0, Position { line, column }, "{text}: {}", found.1);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(error(&deep).unwrap().1.contains("depth"));
        let deep = "{\"a\":".repeat(100_000);
        assert!(error(&deep).unwrap().1.contains("depth"));
    }

    #[test]
    fn broken_lines_do_not_show_secrets() {
        for text in [
            "{\"api_key\": \"sk-hunter2\" \"x\": 1}",
            "{\"api_key: \"sk-hunter2\", \"type\": 1}",
            "{\"api_key\": sk-hunter2}",
            "{\"api_key\": \"sk-hunter2",
            "{'api_key': 'sk-hunter2'}",
        ] {
            let source = Source::new(Path::new("config.json"), text.to_owned());
            let shown = source.parse().unwrap_err().to_string();
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(shown.contains("api_key"), "{shown}");
        }
    }

    #[test]
    fn marks_stand_below_the_place() {
        let source = Source::new(Path::new("c"), "\t\"模型\": \"x\u{1b}\",\r\n".to_owned());
        let at = source.text.find("\"x").unwrap();
        let excerpt = source.excerpt(at..at + 4, &[]);
        assert_eq!(excerpt.line, "\t\"模型\": \"x\u{fffd}\",");
        assert_eq!(excerpt.marks, "\t \u{3000}\u{3000}   ^^^^");
        let hidden = source.excerpt(at..at + 4, &[at + 1..at + 3, 500..600]);
        assert_eq!(hidden.line, "\t\"模型\": \"**\",");
        let end = source.excerpt(source.text.len()..source.text.len(), &[]);
        assert_eq!((end.line.as_str(), end.marks.as_str()), ("", "^"));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let source = Source::new(Path::new("c"), text);
        let excerpt = source.excerpt(5_000..5_001, &[]);
        assert_eq!(excerpt.line.chars().count(), MAX_SHOWN + 2);
        let at = excerpt.line.chars().position(|c| c == 'X').unwrap();
        assert_eq!(excerpt.marks.chars().position(|c| c == '^'), Some(at));
    }
}
