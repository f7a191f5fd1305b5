//! What commands print, and what they ask before they destroy something.

use std::borrow::Cow;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

use super::exit::{self, Failure};

/// Writes to stdout, to a terminal without what it would obey; whoever has closed it wants no more.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    match out
        .write_all(shown_on(&out, text).as_bytes())
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::AGENT, format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Asks on the terminal before something is destroyed; `yes` answers in advance.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            exit::USAGE,
            "this needs a yes, and there is no terminal to ask on",
        )
        .hint("add -y"));
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "是") {
        return Ok(());
    }
    Err(Failure::new(exit::STOPPED, "nothing was changed"))
}

/// Returns the beginning of a stranger's text on one line, without anything a terminal would obey.
pub(super) fn preview(text: &str, max_chars: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control() && !is_bidi(*c))
        .collect();
    match line.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Returns a text as it may be written there: pipes and files get all of it.
pub(super) fn shown_on<'a>(target: &impl IsTerminal, text: &'a str) -> Cow<'a, str> {
    if target.is_terminal() {
        harmless(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// A text without anything a terminal would obey; line ends and tabs stay.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_bidi(c);
    if text.contains(is_obeyed) {
        Cow::Owned(text.chars().filter(|c| !is_obeyed(*c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a size for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1_000.0 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    if unit == "bytes" {
        format!("{bytes} bytes")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_harmless_and_short() {
        assert_eq!(preview("a\n\tb\u{1b}[31m \u{202e}c", 20), "a b[31m c");
        assert_eq!(preview("很长的一段话", 3), "很长的…");
        assert_eq!(preview("", 3), "");
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        let hostile = "a\u{1b}[31m\tb\r\nc\u{7}\u{9b}2J\u{7f}\u{202e}d\u{2066}e\u{61c}";
        assert_eq!(harmless(hostile), "a[31m\tb\nc2Jde");
        let family = "一家👨‍👩‍👧\n\tعربي";
        assert!(matches!(harmless(family), Cow::Borrowed(same) if same == family));
        let file = tempfile::tempfile().unwrap();
        assert_eq!(shown_on(&file, hostile), hostile, "files get all of it");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_500), "1.5 kB");
        assert_eq!(size(2_000_000_000), "2.0 GB");
    }
}
