//! Takes out of a text whatever could steer a terminal or hide what is written. Pure.
//!
//! Applied before text from models, tools, files and chats is laid out; the view's own `put` is the second gate.

use std::borrow::Cow;

/// Stands for a folded paste in the composer; outside text may not hold these.
const PLACEHOLDERS: std::ops::RangeInclusive<u32> = 0x10_FF00..=0x10_FFFD;
/// Columns of a tab.
const TAB: &str = "    ";

/// Returns the character that stands for the paste of this number; `None` if there are too many.
pub(in crate::client) fn placeholder(index: usize) -> Option<char> {
    let code = PLACEHOLDERS.start() + u32::try_from(index).ok()?;
    PLACEHOLDERS
        .contains(&code)
        .then(|| char::from_u32(code))
        .flatten()
}

/// Returns the number of the paste a character stands for.
pub(in crate::client) fn placeholder_index(c: char) -> Option<usize> {
    let code = u32::from(c);
    PLACEHOLDERS
        .contains(&code)
        .then(|| (code - PLACEHOLDERS.start()) as usize)
}

/// Tells whether a character stands for a paste.
fn is_placeholder(c: char) -> bool {
    placeholder_index(c).is_some()
}

/// Returns the text without escape sequences, control characters but the newline, and characters that turn the writing
/// direction; tabs become spaces. Clean text is not copied.
pub(in crate::client) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_suspect) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\n' => out.push('\n'),
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' | '\u{b}' | '\u{c}' | '\u{85}' => out.push('\n'),
            '\t' => out.push_str(TAB),
            c if is_placeholder(c) => out.push('\u{fffd}'),
            c if is_suspect(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The same for a text that has one line: further lines are joined by blanks.
pub(in crate::client) fn clean_line(text: &str) -> String {
    clean(text)
        .split('\n')
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a character needs a closer look; the newline does not.
fn is_suspect(c: char) -> bool {
    match c {
        '\n' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control() || is_placeholder(c),
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips what follows an ESC, after ECMA-48 section 5.
fn skip_sequence(rest: &mut Rest<'_>) {
    match rest.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
        Some('[') => skip_control_sequence(rest),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some(c) if c < '\u{30}' => {
            while rest.next_if(|c| ('\u{20}'..'\u{30}').contains(c)).is_some() {}
            rest.next_if(|c| ('\u{30}'..='\u{7e}').contains(c));
        }
        _ => {}
    }
}

/// Skips parameters, intermediates and the final byte of a control sequence.
fn skip_control_sequence(rest: &mut Rest<'_>) {
    while rest
        .next_if(|c| ('\u{20}'..='\u{3f}').contains(c))
        .is_some()
    {}
    rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// Skips a control string up to its end; one without an end is taken for the opening only, so that nothing is lost.
fn skip_string(rest: &mut Rest<'_>) {
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        match c {
            '\u{7}' | '\u{9c}' => {
                *rest = ahead;
                return;
            }
            '\u{1b}' if ahead.peek() == Some(&'\\') => {
                ahead.next();
                *rest = ahead;
                return;
            }
            '\n' | '\u{1b}' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_is_left() {
        let check = |text: &str, wanted: &str| assert_eq!(clean(text), wanted, "{text:?}");
        check("你好\nab", "你好\nab");
        check("\u{1b}[31mred\u{1b}[0m", "red");
        check("\u{1b}]0;title\u{7}x\u{1b}]52;c;AAAA\u{1b}\\y", "xy");
        check("\u{1b}]0;never ended", "0;never ended");
        check("\u{1b}(Ba\u{1b}cb\u{1b}", "ab");
        check("\u{9b}2Ja\u{90}q\u{9c}b", "ab");
        check("a\u{202e}b\u{2066}c\u{200f}", "abc");
        check("a\tb\r\nc\rd\u{0}\u{8}\u{7f}", "a    b\nc\nd");
        check("\u{10ff00}", "\u{fffd}");
        check("\u{2028}", "\n");
        assert!(matches!(clean("plain 中文 👨‍👩‍👧"), Cow::Borrowed(_)));
        assert_eq!(clean_line("a\n\n b \r\nc"), "a  b c");
    }

    proptest::proptest! {
        #[test]
        fn always_clean(text in "[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}a\\[\\]P中\u{10ff00}]{0,40}") {
            let cleaned = clean(&text).into_owned();
            assert!(cleaned.chars().all(|c| c == '\n' || !is_suspect(c)), "{cleaned:?}");
            assert_eq!(clean(&cleaned), cleaned);
        }
    }

    #[test]
    fn placeholders_go_both_ways() {
        assert_eq!(placeholder(3).and_then(placeholder_index), Some(3));
        assert_eq!(placeholder(100_000), None);
        assert_eq!(placeholder_index('x'), None);
    }
}
