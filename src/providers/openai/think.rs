//! Takes thinking blocks out of an answer's text: `<think>…</think>` at its start, split over pieces in any way.
//!
//! Pure; runs on the turn that asks. Local servers and some vendors put reasoning into the text; the opening tag may be
//! missing because the prompt template holds it. Tags further inside an answer are the answer's own words and stay.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// What a piece turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<'a> {
    Text(&'a str),
    Reasoning(&'a str),
    /// The opening tag was missing: all text so far was reasoning.
    TextWasReasoning,
    /// The expected closing tag never came: all reasoning so far was text.
    ReasoningWasText,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing but whitespace and complete blocks so far.
    Start,
    /// Inside a block; `assumed` if its opening tag was not seen.
    Inside {
        assumed: bool,
    },
    Text,
}

/// The filter for one answer.
#[derive(Debug)]
pub(super) struct ThinkFilter {
    state: State,
    /// The start of a possible tag at the end of the last piece.
    held: String,
    /// The text itself opened a block, so a closing tag is its own.
    opened_in_text: bool,
    /// Whether a closing tag without an opening one may end a block.
    close_alone: bool,
    at_line_start: bool,
}

impl ThinkFilter {
    /// Starts an answer; `inside` if the model is known to leave the opening tag out.
    pub(super) fn new(inside: bool) -> Self {
        Self {
            state: if inside {
                State::Inside { assumed: true }
            } else {
                State::Start
            },
            held: String::new(),
            opened_in_text: false,
            close_alone: true,
            at_line_start: true,
        }
    }

    /// The service sends reasoning apart from the text: a lone closing tag is text.
    pub(super) fn reasoning_is_apart(&mut self) {
        self.close_alone = false;
        if self.state == (State::Inside { assumed: true }) {
            self.state = State::Start;
        }
    }

    /// Takes the next piece of the answer.
    pub(super) fn push(&mut self, piece: &str, found: &mut impl FnMut(Found<'_>)) {
        if self.held.is_empty() {
            self.take(piece, found);
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.push_str(piece);
            self.take(&joined, found);
        }
    }

    /// Ends the answer: what looked like the start of a tag was none.
    pub(super) fn finish(&mut self, found: &mut impl FnMut(Found<'_>)) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Inside { assumed } => {
                emit(&held, Found::Reasoning, found);
                if assumed {
                    found(Found::ReasoningWasText);
                }
            }
            State::Start | State::Text => emit(&held, Found::Text, found),
        }
    }

    fn take(&mut self, piece: &str, found: &mut impl FnMut(Found<'_>)) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.state {
                State::Start => self.at_start(rest),
                State::Inside { .. } => self.inside(rest, found),
                State::Text => self.in_text(rest, found),
            };
        }
    }

    fn at_start<'a>(&mut self, rest: &'a str) -> &'a str {
        let rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(OPEN) {
            self.state = State::Inside { assumed: false };
            return after;
        }
        if OPEN.starts_with(rest) {
            self.held.push_str(rest);
            return "";
        }
        self.state = State::Text;
        rest
    }

    fn inside<'a>(&mut self, rest: &'a str, found: &mut impl FnMut(Found<'_>)) -> &'a str {
        if let Some((before, after)) = rest.split_once(CLOSE) {
            emit(before, Found::Reasoning, found);
            self.state = State::Start;
            return after;
        }
        let keep = partial_tag(rest, CLOSE);
        let (certain, held) = rest.split_at(rest.len() - keep);
        emit(certain, Found::Reasoning, found);
        self.held.push_str(held);
        ""
    }

    fn in_text<'a>(&mut self, rest: &'a str, found: &mut impl FnMut(Found<'_>)) -> &'a str {
        for (at, _) in rest.match_indices('<') {
            let tail = &rest[at..];
            if tail.starts_with(OPEN) {
                self.opened_in_text = true;
            } else if let Some(after) = tail.strip_prefix(CLOSE) {
                if self.ends_block(&rest[..at]) {
                    self.emit_text(&rest[..at], found);
                    found(Found::TextWasReasoning);
                    self.state = State::Start;
                    return after;
                }
            } else if OPEN.starts_with(tail) || CLOSE.starts_with(tail) {
                self.emit_text(&rest[..at], found);
                self.held.push_str(tail);
                return "";
            }
        }
        self.emit_text(rest, found);
        ""
    }

    /// Whether a closing tag after `before` ends a block whose opening tag is missing: it then stands on its own line.
    fn ends_block(&self, before: &str) -> bool {
        let at_line_start = if before.is_empty() {
            self.at_line_start
        } else {
            before.ends_with('\n')
        };
        at_line_start && self.close_alone && !self.opened_in_text
    }

    fn emit_text(&mut self, text: &str, found: &mut impl FnMut(Found<'_>)) {
        if !text.is_empty() {
            self.at_line_start = text.ends_with('\n');
            found(Found::Text(text));
        }
    }
}

fn emit<'a>(text: &'a str, kind: impl Fn(&'a str) -> Found<'a>, found: &mut impl FnMut(Found<'_>)) {
    if !text.is_empty() {
        found(kind(text));
    }
}

/// Length of the longest end of `text` that is a proper start of `tag`.
fn partial_tag(text: &str, tag: &str) -> usize {
    (1..tag.len().min(text.len() + 1))
        .rev()
        .find(|length| text.ends_with(&tag[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the text and the reasoning that remain.
    fn run(inside: bool, pieces: &[&str]) -> (String, String) {
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut filter = ThinkFilter::new(inside);
        let mut found = |found: Found<'_>| match found {
            Found::Text(piece) => text.push_str(piece),
            Found::Reasoning(piece) => reasoning.push_str(piece),
            Found::TextWasReasoning => reasoning.push_str(&std::mem::take(&mut text)),
            Found::ReasoningWasText => text.insert_str(0, &std::mem::take(&mut reasoning)),
        };
        for piece in pieces {
            filter.push(piece, &mut found);
        }
        filter.finish(&mut found);
        (text, reasoning)
    }

    fn check(inside: bool, input: &str, text: &str, reasoning: &str) {
        let expected = (text.to_owned(), reasoning.to_owned());
        assert_eq!(run(inside, &[input]), expected, "{input:?}");
        let chars: Vec<String> = input.chars().map(String::from).collect();
        let pieces: Vec<&str> = chars.iter().map(String::as_str).collect();
        assert_eq!(run(inside, &pieces), expected, "{input:?} by characters");
    }

    #[test]
    fn table() {
        check(false, "hello", "hello", "");
        check(false, "<think>a</think>hello", "hello", "a");
        check(false, "\n<think>\na\n</think>\n\nhello", "hello", "\na\n");
        check(false, "<think>a</think><think>b</think>c", "c", "ab");
        check(false, "<think></think>hi", "hi", "");
        check(false, "<think>never closed", "", "never closed");
        check(false, "a < b <t> <thin", "a < b <t> <thin", "");
        check(false, "<thin", "<thin", "");
        check(false, "<think>a</thi", "", "a</thi");
        check(false, "so\n</think>\n\nhello", "hello", "so\n");
        check(false, "</think>\nhello", "hello", "");
        check(
            false,
            "use `</think>` to close",
            "use `</think>` to close",
            "",
        );
        check(
            false,
            "like this:\n<think>\nx\n</think>\ndone",
            "like this:\n<think>\nx\n</think>\ndone",
            "",
        );
        check(true, "a\n</think>\nhello", "hello", "a\n");
        check(true, "just an answer", "just an answer", "");
        check(true, "", "", "");
    }

    #[test]
    fn reasoning_apart_keeps_lone_closing_tags() {
        let mut text = String::new();
        let mut filter = ThinkFilter::new(true);
        filter.reasoning_is_apart();
        let mut found = |found: Found<'_>| {
            if let Found::Text(piece) = found {
                text.push_str(piece);
            }
        };
        filter.push("a\n</think>\nb", &mut found);
        filter.finish(&mut found);
        assert_eq!(text, "a\n</think>\nb");
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("<think>"), Just("</think>"), Just("<th"), Just("</"), Just("\n"),
                    Just(" "), Just("a"), Just("好"), Just("<"), Just(">"),
                ],
                0..20,
            ),
            inside: bool,
            size in 1usize..5,
        ) {
            let whole = words.concat();
            let chars: Vec<char> = whole.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|c| c.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(run(inside, &pieces), run(inside, &[&whole]));
        }
    }
}
