//! Simple colours for code: strings, comments, numbers and the keywords of common languages. Pure.
//!
//! One line at a time and without grammars: what it cannot know it leaves plain.

use super::rows::{Look, Role, Styled};

/// Keywords of the languages people paste most; a word in one that is plain in another does no harm.
const KEYWORDS: &[&str] = &[
    "abstract",
    "and",
    "as",
    "async",
    "await",
    "begin",
    "bool",
    "break",
    "case",
    "catch",
    "chan",
    "char",
    "class",
    "const",
    "continue",
    "crate",
    "def",
    "default",
    "defer",
    "del",
    "do",
    "done",
    "double",
    "echo",
    "elif",
    "else",
    "end",
    "enum",
    "esac",
    "except",
    "export",
    "extends",
    "false",
    "fi",
    "final",
    "finally",
    "float",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "go",
    "goto",
    "if",
    "impl",
    "implements",
    "import",
    "in",
    "int",
    "interface",
    "is",
    "lambda",
    "let",
    "local",
    "long",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "new",
    "nil",
    "None",
    "not",
    "null",
    "or",
    "package",
    "pass",
    "private",
    "protected",
    "pub",
    "public",
    "raise",
    "return",
    "select",
    "self",
    "Self",
    "short",
    "static",
    "struct",
    "super",
    "switch",
    "then",
    "this",
    "throw",
    "throws",
    "trait",
    "True",
    "False",
    "true",
    "try",
    "type",
    "typeof",
    "undefined",
    "union",
    "unsafe",
    "use",
    "using",
    "var",
    "void",
    "where",
    "while",
    "with",
    "yield",
    "SELECT",
    "FROM",
    "WHERE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "TABLE",
    "JOIN",
    "GROUP",
    "ORDER",
    "BY",
    "LIMIT",
    "VALUES",
    "INTO",
    "SET",
    "AND",
    "OR",
    "NOT",
    "NULL",
];

/// How a language writes comments.
struct Marks {
    line: &'static [&'static str],
    has_keywords: bool,
}

fn marks(language: &str) -> Marks {
    let (line, has_keywords): (&[&str], bool) = match language {
        "python" | "py" | "sh" | "bash" | "shell" | "zsh" | "ruby" | "rb" | "yaml" | "yml"
        | "toml" | "ini" | "make" | "dockerfile" | "perl" | "r" => (&["#"], true),
        "sql" | "lua" | "haskell" | "hs" => (&["--"], true),
        "json" => (&[], true),
        "" | "text" | "txt" | "plain" | "markdown" | "md" | "diff" | "console" | "output" => {
            (&[], false)
        }
        _ => (&["//"], true),
    };
    Marks { line, has_keywords }
}

/// Colours one line of code.
pub(super) fn colour(line: &str, language: &str) -> Styled {
    let plain = Look::of(Role::Code);
    let mut out = Styled::default();
    let language = language.to_ascii_lowercase();
    if language == "diff" {
        let role = match line.as_bytes().first() {
            Some(b'+') => Role::Good,
            Some(b'-') => Role::Bad,
            Some(b'@') => Role::Accent,
            _ => Role::Code,
        };
        out.push(line, Look::of(role));
        return out;
    }
    let marks = marks(&language);
    if !marks.has_keywords {
        out.push(line, plain);
        return out;
    }
    let mut rest = line;
    let mut after_word = false;
    let mut after_blank = true;
    while let Some(c) = rest.chars().next() {
        let is_mark = marks.line.iter().any(|mark| rest.starts_with(mark));
        // In a shell `$#` and `a#b` are no comments.
        let comment =
            is_mark && (c != '#' || after_blank) || rest.starts_with("/*") && marks.line == ["//"];
        let (n, role) = if comment {
            (rest.len(), Role::Comment)
        } else if c == '"' || c == '`' || c == '\'' && !after_word {
            match string_end(rest, c) {
                Some(n) => (n, Role::Literal),
                None => (c.len_utf8(), Role::Code),
            }
        } else if c.is_ascii_digit() && !after_word {
            (
                span(rest, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
                Role::Number,
            )
        } else if is_word(c) {
            let n = span(rest, is_word);
            let known = KEYWORDS.contains(&&rest[..n]);
            (n, if known { Role::Keyword } else { Role::Code })
        } else {
            (c.len_utf8(), Role::Code)
        };
        out.push(&rest[..n], Look::of(role));
        after_word = rest[..n].chars().next_back().is_some_and(is_word);
        after_blank = rest[..n].ends_with(char::is_whitespace);
        rest = &rest[n..];
    }
    out
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn span(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// Finds the byte behind the closing quote; `None` if the string does not end on this line.
fn string_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::text::{Row, Widths};

    fn roles(line: &str, language: &str) -> Vec<(String, Role)> {
        let none = Row::default();
        let rows = colour(line, language).rows(200, &none, &none, Widths::default());
        assert_eq!(rows[0].text(), line);
        rows[0]
            .spans
            .iter()
            .map(|span| (span.text.clone(), span.look.role))
            .collect()
    }

    #[test]
    fn code_has_colours() {
        let rust = roles("let x = \"a\\\"b\"; // 注释 \"x\"", "rust");
        assert_eq!(rust[0], ("let".to_owned(), Role::Keyword));
        assert!(rust.contains(&("\"a\\\"b\"".to_owned(), Role::Literal)));
        assert_eq!(
            rust.last().unwrap(),
            &("// 注释 \"x\"".to_owned(), Role::Comment)
        );
        assert!(
            roles("fn f<'a>(x: &'a str) -> i32 { 42 }", "rust")
                .contains(&("42".to_owned(), Role::Number))
        );
        assert_eq!(
            roles("+ added", "diff"),
            [("+ added".to_owned(), Role::Good)]
        );
        assert_eq!(
            roles("if this is text", ""),
            [("if this is text".to_owned(), Role::Code)]
        );
        assert_eq!(
            roles("echo $# # done", "sh").last().unwrap(),
            &("# done".to_owned(), Role::Comment)
        );
    }

    proptest::proptest! {
        #[test]
        fn colours_lose_nothing(line in "[a\"'`#/\\\\ 1中*-]{0,40}", language in "rust|sh|sql|json|diff|") {
            assert_eq!(colour(&line, &language).text(), line);
        }
    }
}
