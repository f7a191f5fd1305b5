//! Makes plain text of what programs print: valid UTF-8 without terminal sequences and control characters.
//!
//! A pure state machine over pieces of any size; the result does not depend on how the bytes were cut.

/// A string sequence (a window title, a picture) longer than this was none: what follows is text again.
const MAX_SEQUENCE_CHARS: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After a carriage return, which is the first half of a line end or a line end of its own.
    Return,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate character: one final character follows.
    Designate,
    /// After ESC `[`: parameters until a final character.
    Control,
    /// After ESC `]` and its like: anything until BEL or ESC `\`.
    Sequence(usize),
}

/// Turns bytes into plain text, piece by piece.
///
/// Line feeds and tabs stay; a carriage return counts as a line end; other control characters (C0, DEL, C1) and
/// terminal sequences vanish; bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Default)]
pub struct Cleaner {
    state: State,
    /// The beginning of a character whose rest has not come yet: three bytes at most.
    partial: Vec<u8>,
}

impl Cleaner {
    /// Makes a cleaner at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cleans a whole text.
    pub fn clean(bytes: &[u8]) -> String {
        let mut cleaner = Self::new();
        let mut text = String::with_capacity(bytes.len());
        cleaner.push(bytes, &mut text);
        cleaner.finish(&mut text);
        text
    }

    /// Cleans the next piece and appends what is certain of it to `text`.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        if self.partial.is_empty() {
            self.push_from(bytes, text);
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(bytes);
            self.push_from(&whole, text);
        }
    }

    /// Ends the text: a character that never got its rest becomes U+FFFD.
    pub fn finish(mut self, text: &mut String) {
        if !self.partial.is_empty() {
            self.take(char::REPLACEMENT_CHARACTER, text);
        }
        if self.state == State::Return {
            text.push('\n');
        }
    }

    fn push_from(&mut self, mut bytes: &[u8], text: &mut String) {
        loop {
            match std::str::from_utf8(bytes) {
                Ok(valid) => return self.take_all(valid, text),
                Err(error) => {
                    let (valid, rest) = bytes.split_at(error.valid_up_to());
                    self.take_all(std::str::from_utf8(valid).unwrap_or_default(), text);
                    let Some(bad) = error.error_len() else {
                        self.partial = rest.to_vec();
                        return;
                    };
                    self.take(char::REPLACEMENT_CHARACTER, text);
                    bytes = &rest[bad..];
                }
            }
        }
    }

    fn take_all(&mut self, piece: &str, text: &mut String) {
        for c in piece.chars() {
            self.take(c, text);
        }
    }

    fn take(&mut self, c: char, text: &mut String) {
        self.state = match (self.state, c) {
            (State::Return, '\n') => {
                text.push('\n');
                State::Text
            }
            (State::Return, c) => {
                text.push('\n');
                Self::take_text(c, text)
            }
            (State::Text, c) => Self::take_text(c, text),
            (State::Escape, '[') => State::Control,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::Sequence(0),
            (State::Escape | State::Designate, ' '..='/') => State::Designate,
            (State::Escape | State::Designate, '0'..='~') => State::Text,
            (State::Control, ' '..='?') => State::Control,
            (State::Control, '@'..='~') => State::Text,
            (State::Sequence(_), '\u{7}' | '\u{9c}') => State::Text,
            (State::Sequence(_), '\u{1b}') => State::Escape,
            (State::Sequence(length), c) if c != '\n' && length < MAX_SEQUENCE_CHARS => {
                State::Sequence(length + 1)
            }
            // Not a sequence after all: the character counts as what it is.
            (_, c) => Self::take_text(c, text),
        };
    }

    fn take_text(c: char, text: &mut String) -> State {
        match c {
            '\n' | '\t' => text.push(c),
            '\r' => return State::Return,
            '\u{1b}' => return State::Escape,
            '\u{9b}' => return State::Control,
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => return State::Sequence(0),
            c if c.is_control() => {}
            c => text.push(c),
        }
        State::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(Cleaner::clean(bytes), expected, "{bytes:?}");
    }

    #[test]
    fn plain_text_stays() {
        check("a\tb\n你好 🦀 é\n".as_bytes(), "a\tb\n你好 🦀 é\n");
    }

    #[test]
    fn terminal_sequences_vanish() {
        check(b"\x1b[1;31mred\x1b[0m!", "red!");
        check(b"a\x1b]0;title\x07b", "ab");
        check(b"a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb");
        check(b"a\x1b(Bb\x1b=c\x1b7d", "abcd");
        check(b"a\x1bPq picture\x1b\\b", "ab");
        check("a\u{9b}31mb\u{85}c".as_bytes(), "abc");
        check(b"a\x1b[?2004hb", "ab");
    }

    #[test]
    fn broken_sequences_do_not_eat_the_rest() {
        check(b"a\x1b]never ended\nnext", "a\nnext");
        check(b"a\x1b[31\nnext", "a\nnext");
        check(b"a\x1b", "a");
        check("a\x1b[1你".as_bytes(), "a你");
        check("a\x1b你".as_bytes(), "a你");
        let mut long = b"\x1b]".to_vec();
        long.resize(2 + MAX_SEQUENCE_CHARS + 3, b'x');
        check(&long, "xxx");
    }

    #[test]
    fn line_ends_become_line_feeds() {
        check(b"a\r\nb\rc\r", "a\nb\nc\n");
        check(b"10%\r\r\n20%", "10%\n\n20%");
    }

    #[test]
    fn control_characters_vanish_and_bad_bytes_are_replaced() {
        check(b"a\0b\x08c\x7fd", "abcd");
        check(b"a\xff\xfeb", "a\u{fffd}\u{fffd}b");
        check(b"\xe4\xbd", "\u{fffd}");
        check(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn the_result_is_plain_and_does_not_depend_on_the_cuts(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b']'), Just(b'\r'), Just(b'\n'), Just(0xe4)],
                0..200,
            ),
            step in 1usize..7,
        ) {
            let whole = Cleaner::clean(&bytes);
            prop_assert!(whole.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            let mut cleaner = Cleaner::new();
            let mut text = String::new();
            for piece in bytes.chunks(step) {
                cleaner.push(piece, &mut text);
            }
            cleaner.finish(&mut text);
            prop_assert_eq!(text, whole);
        }

        #[test]
        fn text_without_control_characters_is_not_changed(text in "[^\\p{Cc}]{0,100}") {
            prop_assert_eq!(Cleaner::clean(text.as_bytes()), text);
        }
    }
}
