//! Cuts an expression into tokens: numbers in all their spellings, names, signs. Pure; no thread.
//!
//! Full-width forms (１＋２) are read as their plain ones. Meaning of signs (is `%` per cent or modulo?) is the parser's.

use super::Fault;
use super::number::Number;

/// A sign; what it does depends on where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    Plus,
    Minus,
    Times,
    Divide,
    Power,
    Percent,
    Factorial,
    Degree,
    Root,
    Comma,
    Open,
    Close,
}

impl Sign {
    /// Returns how the sign is written in error sentences.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Power => "^",
            Self::Percent => "%",
            Self::Factorial => "!",
            Self::Degree => "°",
            Self::Root => "√",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Number(Number),
    /// A name, lower-cased.
    Name(String),
    Sign(Sign),
}

/// A token and the character it starts at, counted from 1.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// Cuts the text into tokens; spaces and one closing `=` are dropped.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let mut lexer = Lexer {
        chars: text.chars().map(plain).collect(),
        next: 0,
        brackets: Vec::new(),
        out: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.out)
}

/// Maps full-width and typographic forms to the plain sign.
fn plain(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        '×' | '✕' | '✖' | '·' | '⋅' | '∙' => '*',
        '÷' | '∕' => '/',
        '−' | '–' => '-',
        '、' => ',',
        _ => c,
    }
}

struct Lexer {
    chars: Vec<char>,
    next: usize,
    /// For each open bracket whether it belongs to a function call, where commas part values.
    brackets: Vec<bool>,
    out: Vec<Placed>,
}

impl Lexer {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(c) = self.peek(0) {
            if c.is_whitespace() {
                self.next += 1;
            } else if c.is_ascii_digit() || (c == '.' && self.digit(1)) {
                self.number()?;
            } else if c.is_alphabetic() || c == '_' {
                self.name();
            } else {
                self.sign(c)?;
            }
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.next + ahead).copied()
    }

    fn digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    fn push(&mut self, token: Token, start: usize) {
        self.out.push(Placed {
            token,
            at: start + 1,
        });
    }

    fn name(&mut self) {
        let start = self.next;
        while self
            .peek(0)
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
        {
            self.next += 1;
        }
        let name: String = self.chars[start..self.next]
            .iter()
            .flat_map(|c| c.to_lowercase())
            .collect();
        self.push(Token::Name(name), start);
    }

    fn sign(&mut self, c: char) -> Result<(), Fault> {
        let start = self.next;
        self.next += 1;
        let sign = match c {
            '+' => Sign::Plus,
            '-' => Sign::Minus,
            '*' if self.peek(0) == Some('*') => {
                self.next += 1;
                Sign::Power
            }
            '*' => Sign::Times,
            '/' => Sign::Divide,
            '^' => Sign::Power,
            '%' => Sign::Percent,
            '!' => Sign::Factorial,
            '°' => Sign::Degree,
            '√' => Sign::Root,
            ',' => Sign::Comma,
            '(' => {
                let call = matches!(self.out.last(), Some(Placed { token: Token::Name(name), .. }) if !super::parser::is_word_operator(name));
                self.brackets.push(call);
                Sign::Open
            }
            ')' => {
                self.brackets.pop();
                Sign::Close
            }
            '²' | '³' => {
                self.push(Token::Sign(Sign::Power), start);
                self.push(
                    Token::Number(Number::whole(if c == '²' { 2 } else { 3 })),
                    start,
                );
                return Ok(());
            }
            '=' if self.chars[self.next..].iter().all(|c| c.is_whitespace()) => return Ok(()),
            '=' => {
                return Err(Fault::new(
                    start + 1,
                    "unexpected \"=\": give one expression, without variables or equations",
                ));
            }
            _ => {
                return Err(Fault::new(
                    start + 1,
                    format!("unexpected {:?}", c.to_string()),
                ));
            }
        };
        self.push(Token::Sign(sign), start);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.next;
        if self.peek(0) == Some('0')
            && let Some(radix) = self.peek(1).and_then(radix_of)
        {
            return self.whole_in(radix, start);
        }
        let mut text = String::new();
        self.grouped_digits(&mut text)?;
        if self.peek(0) == Some('.') {
            self.next += 1;
            text.push('.');
            self.digits(&mut text);
        }
        self.exponent(&mut text);
        if self.peek(0) == Some('.') {
            return Err(Fault::new(
                self.next + 1,
                "unexpected \".\": a number has one decimal point",
            ));
        }
        if text.starts_with('.') {
            text.insert(0, '0');
        }
        let number = Number::parse(&text).map_err(|what| Fault::new(start + 1, what))?;
        self.push(Token::Number(number), start);
        Ok(())
    }

    fn digits(&mut self, text: &mut String) {
        while let Some(c) = self.peek(0) {
            if c.is_ascii_digit() {
                text.push(c);
            } else if !(c == '_' && self.digit(1)) {
                return;
            }
            self.next += 1;
        }
    }

    /// Reads digits with `_` anywhere between them and `,` as thousands mark where it cannot part values.
    fn grouped_digits(&mut self, text: &mut String) -> Result<(), Fault> {
        self.digits(text);
        if self.brackets.last() == Some(&true) {
            return Ok(());
        }
        let mut grouped = text.len() <= 3 && !text.is_empty();
        while self.peek(0) == Some(',') && self.digit(1) {
            let mark = self.next;
            self.next += 1;
            let before = text.len();
            self.digits(text);
            grouped &= text.len() - before == 3;
            if !grouped {
                return Err(Fault::new(
                    mark + 1,
                    "the comma is ambiguous: write numbers without commas and with a decimal point",
                ));
            }
        }
        Ok(())
    }

    fn exponent(&mut self, text: &mut String) {
        if !matches!(self.peek(0), Some('e' | 'E')) {
            return;
        }
        let signed = matches!(self.peek(1), Some('+' | '-'));
        if !self.digit(1 + usize::from(signed)) {
            return;
        }
        text.push('e');
        if signed {
            text.extend(self.peek(1));
        }
        self.next += 1 + usize::from(signed);
        self.digits(text);
    }

    fn whole_in(&mut self, radix: u32, start: usize) -> Result<(), Fault> {
        self.next += 2;
        let mut digits = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            if c != '_' {
                digits.push(c);
            }
            self.next += 1;
        }
        let value = i128::from_str_radix(&digits, radix).map_err(|_| {
            Fault::new(
                start + 1,
                format!("this is not a whole number of base {radix} below 2^127"),
            )
        })?;
        self.push(Token::Number(Number::whole(value)), start);
        Ok(())
    }
}

fn radix_of(mark: char) -> Option<u32> {
    match mark {
        'x' | 'X' => Some(16),
        'o' | 'O' => Some(8),
        'b' | 'B' => Some(2),
        _ => None,
    }
}
