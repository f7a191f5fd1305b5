//! Reads `.env` text into a map. Pure; the file itself is read by `load`, and nothing is ever put into the process
//! environment: that would be shared with children and is unsound with threads.
//!
//! Deliberately not here: values over several lines and `$NAME` inside values.

use std::collections::BTreeMap;

/// What a `.env` file holds, and which of its lines could not be used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dotenv {
    /// Values by name; the last of several wins.
    pub(super) values: BTreeMap<String, String>,
    /// Line number (from 1) and what is wrong there. Never contains a value.
    pub(super) bad_lines: Vec<(usize, &'static str)>,
}

/// Parses `.env` text: `NAME=value`, `export NAME=value`, single and double quotes, `#` comments, LF or CRLF.
pub(super) fn parse(bytes: &[u8]) -> Dotenv {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut result = Dotenv::default();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let parsed = std::str::from_utf8(line)
            .map_err(|_| "the line is not UTF-8")
            .and_then(parse_line);
        match parsed {
            Ok(Some((name, value))) => {
                result.values.insert(name.to_owned(), value);
            }
            Ok(None) => {}
            Err(why) => result.bad_lines.push((index + 1, why)),
        }
    }
    result
}

fn parse_line(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = line.split_once('=').ok_or("expected NAME=value")?;
    let name = match name.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim(),
        _ => name.trim(),
    };
    if !is_name(name) {
        return Err("the name before = may hold letters, digits and _ only");
    }
    parse_value(value.trim_start()).map(|value| Some((name, value)))
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn parse_value(text: &str) -> Result<String, &'static str> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, after) = rest
            .split_once('\'')
            .ok_or("the closing ' is missing on this line")?;
        return nothing_after(after).map(|()| value.to_owned());
    }
    match text.strip_prefix('"') {
        Some(rest) => parse_double_quoted(rest),
        None => Ok(without_comment(text).trim_end().to_owned()),
    }
}

/// A `#` starts a comment at the beginning or after white space; `a#b` is a value.
fn without_comment(text: &str) -> &str {
    let mut after_space = true;
    for (at, c) in text.char_indices() {
        if c == '#' && after_space {
            return &text[..at];
        }
        after_space = c.is_whitespace();
    }
    text
}

fn parse_double_quoted(text: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return nothing_after(chars.as_str()).map(|()| value),
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(other @ ('"' | '\\' | '$')) => value.push(other),
                Some(other) => value.extend(['\\', other]),
                None => break,
            },
            _ => value.push(c),
        }
    }
    Err("the closing \" is missing on this line")
}

fn nothing_after(text: &str) -> Result<(), &'static str> {
    let text = text.trim_start();
    if text.is_empty() || text.starts_with('#') {
        Ok(())
    } else {
        Err("unexpected text after the closing quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_usual_forms() {
        for (line, expected) in [
            ("A=1", "1"),
            ("  A = 1  ", "1"),
            ("export A=1", "1"),
            ("export\tA=1\r", "1"),
            ("A=", ""),
            ("A=# nothing", ""),
            ("A=b # note", "b"),
            ("A=b#c", "b#c"),
            ("A=b=c==", "b=c=="),
            ("A='b # c' # note", "b # c"),
            ("A='b\\n'", "b\\n"),
            (r#"A="b # \"c\"\n\\" # note"#, "b # \"c\"\n\\"),
            (r#"A="\d$X""#, "\\d$X"),
            ("A=密钥", "密钥"),
            ("A=1\nA=2", "2"),
            ("\u{feff}A=1", "1"),
        ] {
            let result = parse(line.as_bytes());
            assert_eq!(result.bad_lines, [], "{line}");
            assert_eq!(result.values["A"], expected, "{line}");
        }
        let exported = parse(b"exportA=1");
        assert_eq!(exported.values["exportA"], "1");
    }

    #[test]
    fn bad_lines_are_named_and_the_rest_is_read() {
        let text = b"# keys\nno sign\nA=1\n2B=x\nC='open\nD=\"open\\\nE=\"x\" y\nF=\xff\n\nG=2\n=x";
        let result = parse(text);
        let lines: Vec<usize> = result.bad_lines.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5, 6, 7, 8, 11]);
        let names: Vec<&str> = result.values.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "G"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let result = parse(&bytes);
            let n_lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
            prop_assert!(result.bad_lines.iter().all(|(line, _)| (1..=n_lines).contains(line)));
        }

        #[test]
        fn quoted_values_come_back(value in "[^\\x00-\\x1f\\x7f]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let result = parse(format!("export KEY=\"{quoted}\" # note\n").as_bytes());
            prop_assert_eq!(&result.values["KEY"], &value);
        }
    }
}
