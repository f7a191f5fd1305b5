//! Splits a command line into words and signs the way a shell does, as far as naming programs needs it. Pure.

use std::iter::Peekable;
use std::str::Chars;

/// One word or one sign of a line.
pub(super) enum Token {
    Word(String),
    /// A command may begin behind it.
    Break,
    /// The next word names a file.
    Redirection,
    /// A command inside the current one begins.
    Open,
    /// It ends; inside double quotes nothing but the rest of a word can follow.
    Close {
        in_quotes: bool,
    },
}

/// Splits a line into words and signs; what stands in `$(…)`, in backticks and in `<(…)` comes before the word around it.
pub(super) fn tokens(line: &str) -> Vec<Token> {
    let mut reader = Reader::default();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' => {
                if let Some(next) = chars.next()
                    && next != '\n'
                {
                    reader.push(next);
                }
            }
            '\'' if !reader.in_quotes => {
                reader.in_word = true;
                reader
                    .word
                    .extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                reader.in_quotes = !reader.in_quotes;
                reader.in_word = true;
            }
            '`' => reader.backtick(),
            '$' if next == Some('(') => {
                chars.next();
                reader.open(Inner::Substitution);
            }
            '$' if next == Some('\'') && !reader.in_quotes => {
                chars.next();
                reader.in_word = true;
                escaped_text(&mut chars, &mut reader.word);
            }
            // `$"…"` is `"…"` where there are no translations.
            '$' if next == Some('"') && !reader.in_quotes => {}
            _ if reader.in_quotes => reader.push(c),
            '<' | '>' if next == Some('(') => {
                chars.next();
                reader.open(Inner::Substitution);
            }
            '<' | '>' => {
                // A number right before it is no word.
                if reader.word.bytes().all(|byte| byte.is_ascii_digit()) {
                    reader.word.clear();
                    reader.in_word = false;
                }
                reader.sign(Token::Redirection);
                while chars.next_if(|c| "<>&|".contains(*c)).is_some() {}
            }
            '(' => {
                reader.end_word();
                reader.open(Inner::Subshell);
            }
            ')' => reader.close_parenthesis(),
            '&' if next == Some('>') => reader.end_word(),
            ';' | '&' | '|' | '\n' => reader.sign(Token::Break),
            '#' if !reader.in_word => {
                // A comment up to the end of its line.
                for _ in chars.by_ref().take_while(|c| *c != '\n') {}
                reader.sign(Token::Break);
            }
            // A shell parts words at these two; other kinds of space are letters to it.
            ' ' | '\t' => reader.end_word(),
            c => reader.push(c),
        }
    }
    reader.end_word();
    // What is still open is read as if it ended here.
    while let Some(around) = reader.outer.pop() {
        reader.restore(around);
        reader.end_word();
    }
    reader.out
}

/// Reads the rest of `$'…'`, which knows the escapes of C (the manual of bash, "ANSI-C Quoting").
fn escaped_text(chars: &mut Peekable<Chars<'_>>, word: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '\'' => return,
            '\\' => word.extend(escape(chars)),
            c => word.push(c),
        }
    }
}

/// Reads what stands behind a backslash there; bytes that are no ASCII are read as if they were characters.
fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let c = chars.next()?;
    let code = match c {
        'a' => 7,
        'b' => 8,
        'e' | 'E' => 27,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        'c' => chars.next()? as u32 & 31,
        'x' => number(chars, 16, 2, 0),
        'u' => number(chars, 16, 4, 0),
        'U' => number(chars, 16, 8, 0),
        '0'..='7' => number(chars, 8, 2, c as u32 - '0' as u32) & 255,
        // Quotes and the backslash itself; what is no escape is shown with its backslash by bash, which names no program.
        other => other as u32,
    };
    char::from_u32(code)
}

/// Reads at most so many digits behind what was read already.
fn number(chars: &mut Peekable<Chars<'_>>, base: u32, most: usize, so_far: u32) -> u32 {
    (0..most).fold(so_far, |number, _| {
        let digit = chars.next_if(|c| c.is_digit(base));
        let digit = digit.and_then(|c| c.to_digit(base));
        digit.map_or(number, |digit| number.wrapping_mul(base) + digit)
    })
}

/// What a command inside another stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inner {
    /// `(…)`
    Subshell,
    /// `$(…)`, `<(…)` and `>(…)`: part of a word.
    Substitution,
    /// The same in its old spelling.
    Backticks,
}

/// The word around a command inside another.
struct Around {
    inner: Inner,
    word: String,
    in_word: bool,
    in_quotes: bool,
}

/// A line being split.
#[derive(Default)]
struct Reader {
    out: Vec<Token>,
    word: String,
    in_word: bool,
    /// Inside double quotes.
    in_quotes: bool,
    outer: Vec<Around>,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.word.push(c);
        self.in_word = true;
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.in_word) {
            self.out.push(Token::Word(std::mem::take(&mut self.word)));
        }
    }

    fn sign(&mut self, token: Token) {
        self.end_word();
        self.out.push(token);
    }

    fn open(&mut self, inner: Inner) {
        self.out.push(Token::Open);
        self.outer.push(Around {
            inner,
            word: std::mem::take(&mut self.word),
            in_word: inner != Inner::Subshell,
            in_quotes: std::mem::take(&mut self.in_quotes),
        });
        self.in_word = false;
    }

    fn backtick(&mut self) {
        let is_open = |around: &Around| around.inner == Inner::Backticks;
        if self.outer.last().is_some_and(is_open) {
            self.close();
        } else {
            self.open(Inner::Backticks);
        }
    }

    fn close_parenthesis(&mut self) {
        let is_open = |around: &Around| around.inner != Inner::Backticks;
        if self.outer.last().is_some_and(is_open) {
            self.close();
        } else {
            self.sign(Token::Break);
        }
    }

    fn close(&mut self) {
        self.end_word();
        if let Some(around) = self.outer.pop() {
            self.restore(around);
        }
    }

    fn restore(&mut self, around: Around) {
        self.out.push(Token::Close {
            in_quotes: around.in_quotes,
        });
        self.word = around.word;
        self.in_word = around.in_word;
        self.in_quotes = around.in_quotes;
    }
}
