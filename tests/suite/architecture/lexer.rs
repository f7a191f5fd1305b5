//! Cuts Rust source into words and signs, without comments and literals. Pure.
//!
//! Just enough for rules about names: no syntax tree, no types. It marks what stands inside `#[cfg(test)]` modules and how
//! deep in inline modules a token is, because `super` counts from there.

/// A word or a sign of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    /// An identifier, `::`, or one sign.
    pub(super) text: String,
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// How many inline modules enclose it.
    pub(super) depth: usize,
    /// Whether one of them is only compiled for tests.
    pub(super) in_test: bool,
}

/// Cuts a source text into tokens.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = raw_tokens(source);
    mark_modules(&mut tokens);
    tokens
}

fn raw_tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let (end, kept) = piece(&chars, at);
        let text: String = chars[at..end].iter().collect();
        if kept {
            found.push(Token {
                text: text.trim_start_matches("r#").to_owned(),
                line,
                depth: 0,
                in_test: false,
            });
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Returns where the piece that starts at `at` ends, and whether it is a word or sign that counts.
fn piece(chars: &[char], at: usize) -> (usize, bool) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        c if c.is_whitespace() => (at + 1, false),
        '/' if next == Some('/') => (scan(chars, at, |c| c != '\n'), false),
        '/' if next == Some('*') => (block_comment(chars, at), false),
        '"' => (string(chars, at), false),
        '\'' => (quote(chars, at), false),
        ':' if next == Some(':') => (at + 2, true),
        c if is_word(c) => word_or_literal(chars, at),
        _ => (at + 1, true),
    }
}

fn word_or_literal(chars: &[char], at: usize) -> (usize, bool) {
    let end = scan(chars, at, is_word);
    let prefix: String = chars[at..end].iter().collect();
    match (prefix.as_str(), chars.get(end)) {
        ("b" | "c", Some('"')) => (string(chars, end), false),
        ("b", Some('\'')) => (quote(chars, end), false),
        ("r" | "br" | "cr", Some('"' | '#')) => match raw_string(chars, end) {
            Some(end) => (end, false),
            None => (scan(chars, end + 1, is_word), true),
        },
        _ => (end, true),
    }
}

fn scan(chars: &[char], from: usize, keep: impl Fn(char) -> bool) -> usize {
    (from..chars.len())
        .find(|at| !keep(chars[*at]))
        .unwrap_or(chars.len())
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let mut open = 0;
    let mut at = at;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                open += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                open -= 1;
                at += 2;
                if open == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// A string with `#`s; `None` for a raw identifier.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let quote = scan(chars, at, |c| c == '#');
    let hashes = quote - at;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let closes =
        |end: usize| chars[end] == '"' && (1..=hashes).all(|n| chars.get(end + n) == Some(&'#'));
    let end = (quote + 1..chars.len()).find(|end| closes(*end))?;
    Some(end + 1 + hashes)
}

/// A character literal, or the quote and name of a lifetime.
fn quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let end = scan(chars, at + 3, |c| c != '\'');
            (end + 1).min(chars.len())
        }
        (Some(_), Some('\'')) => at + 3,
        _ => scan(chars, at + 1, is_word),
    }
}

fn mark_modules(tokens: &mut [Token]) {
    // The brace depth at which each enclosing inline module was opened, and whether it is a test module.
    let mut modules: Vec<(usize, bool)> = Vec::new();
    let mut braces = 0;
    for at in 0..tokens.len() {
        match tokens[at].text.as_str() {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    modules.push((braces, is_test_module(&tokens[..at - 2])));
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if modules.last().is_some_and(|(opened, _)| *opened == braces) {
                    modules.pop();
                }
            }
            _ => {}
        }
        tokens[at].depth = modules.len();
        tokens[at].in_test = modules.iter().any(|(_, test)| *test);
    }
}

fn is_test_module(before: &[Token]) -> bool {
    let visibility = before
        .iter()
        .rev()
        .take_while(|token| ["pub", "(", ")", "crate", "super"].contains(&token.text.as_str()));
    let end = before.len() - visibility.count();
    // `)` of a visibility and of `cfg(test)]` cannot be confused: the attribute ends with `]`.
    let words: Vec<&str> = before[..end]
        .iter()
        .rev()
        .take(7)
        .map(|token| token.text.as_str())
        .collect();
    words == ["]", ")", "test", "(", "cfg", "[", "#"]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        let source = r####"
            a /* b /* c */ d */ e // f
            "g \" h" 'i' '\'' '\u{41}' b"j" b'k' r"l" r#"m " n"# r##"o "# p"## c"q"
            &'life r#type s::t
        "####;
        assert_eq!(words(source), ["a", "e", "&", "type", "s", "::", "t"]);
    }

    #[test]
    fn modules_are_marked() {
        let source = "one\nmod m { two }\n#[cfg(test)]\npub(crate) mod t { three { four } mod u { five } }\nsix";
        let marked: Vec<_> = tokens(source)
            .into_iter()
            .filter(|token| {
                ["one", "two", "three", "four", "five", "six"].contains(&token.text.as_str())
            })
            .map(|token| (token.text, token.line, token.depth, token.in_test))
            .collect();
        let expected = [
            ("one", 1, 0, false),
            ("two", 2, 1, false),
            ("three", 4, 1, true),
            ("four", 4, 1, true),
            ("five", 4, 2, true),
            ("six", 5, 0, false),
        ];
        let expected =
            expected.map(|(text, line, depth, test)| (text.to_owned(), line, depth, test));
        assert_eq!(marked, expected);
    }

    #[test]
    fn broken_source_ends() {
        for source in ["\"", "'", "/*", "r#\"", "b'", "'\\", "\"\\"] {
            let _ = tokens(source);
        }
    }
}
