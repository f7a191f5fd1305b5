//! Turns tokens into a list of steps in the order they are computed. Pure; no thread, no recursion.
//!
//! Two stacks instead of a tree: an expression of any depth costs memory in proportion to its length and nothing else.

use super::Fault;
use super::functions::{self, Function};
use super::lexer::{Placed, Sign, Token};
use super::number::Number;
use crate::tools::similar;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Binary {
    /// Returns how tightly the operator binds; a negative sign binds with 3.
    fn strength(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide | Self::Modulo => 2,
            Self::Power => 4,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Push(Number),
    Negate,
    Root,
    Percent,
    Factorial,
    Degree,
    Binary(Binary),
    /// Calls a function with this many values.
    Call(&'static Function, usize),
}

/// One step and the character that asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) at: usize,
}

enum Pending {
    Action(Action, u8),
    Group,
    Call(&'static Function, usize),
}

/// The tokens behind the current one.
type Rest<'a> = std::iter::Peekable<std::slice::Iter<'a, Placed>>;

struct Parser {
    steps: Vec<Step>,
    pending: Vec<(Pending, usize)>,
}

/// Tells whether a name stands between two values instead of being one.
pub(super) fn is_word_operator(name: &str) -> bool {
    matches!(name, "of" | "x")
}

/// Orders the tokens into steps that leave exactly one value.
pub(super) fn parse(tokens: &[Placed]) -> Result<Vec<Step>, Fault> {
    let mut parser = Parser {
        steps: Vec::new(),
        pending: Vec::new(),
    };
    let mut wants_value = true;
    let mut rest = tokens.iter().peekable();
    while let Some(placed) = rest.next() {
        wants_value = if wants_value {
            parser.value(placed, &mut rest)?
        } else {
            parser.operator(placed, rest.peek().map(|next| &next.token))?
        };
    }
    parser.finish(wants_value, tokens)
}

impl Parser {
    fn step(&mut self, action: Action, at: usize) {
        self.steps.push(Step { action, at });
    }

    /// Takes a token where a value must start; returns whether a value is still wanted.
    fn value(&mut self, placed: &Placed, rest: &mut Rest<'_>) -> Result<bool, Fault> {
        let at = placed.at;
        match &placed.token {
            Token::Number(number) => self.step(Action::Push(*number), at),
            Token::Name(name) => return self.name(name, at, rest),
            Token::Sign(Sign::Plus) => return Ok(true),
            Token::Sign(Sign::Minus) => {
                self.pending.push((Pending::Action(Action::Negate, 3), at));
                return Ok(true);
            }
            Token::Sign(Sign::Root) => {
                self.pending.push((Pending::Action(Action::Root, 5), at));
                return Ok(true);
            }
            Token::Sign(Sign::Open) => {
                self.pending.push((Pending::Group, at));
                return Ok(true);
            }
            Token::Sign(sign) => {
                return Err(Fault::new(
                    at,
                    format!("a value is missing before \"{}\"", sign.text()),
                ));
            }
        }
        Ok(false)
    }

    fn name(&mut self, name: &str, at: usize, rest: &mut Rest<'_>) -> Result<bool, Fault> {
        if let Some(constant) = functions::constant(name) {
            self.step(Action::Push(constant), at);
            return Ok(false);
        }
        let Some(function) = functions::find(name) else {
            return Err(Fault::new(at, unknown_name(name)));
        };
        let bracket = rest.next().map(|next| &next.token);
        if bracket != Some(&Token::Sign(Sign::Open)) {
            return Err(Fault::new(
                at,
                format!("{name} needs its values in brackets, as in {name}(2)"),
            ));
        }
        self.pending.push((Pending::Call(function, 1), at));
        Ok(true)
    }

    /// Takes a token behind a value; returns whether a value is wanted next.
    fn operator(&mut self, placed: &Placed, following: Option<&Token>) -> Result<bool, Fault> {
        let at = placed.at;
        let binary = match &placed.token {
            Token::Sign(Sign::Plus) => Binary::Add,
            Token::Sign(Sign::Minus) => Binary::Subtract,
            Token::Sign(Sign::Times) => Binary::Multiply,
            Token::Sign(Sign::Divide) => Binary::Divide,
            Token::Sign(Sign::Power) => Binary::Power,
            Token::Sign(Sign::Percent) if starts_value(following) => Binary::Modulo,
            Token::Name(name) if name == "mod" => Binary::Modulo,
            Token::Name(name) if is_word_operator(name) => Binary::Multiply,
            Token::Sign(Sign::Percent) => return self.postfix(Action::Percent, at),
            Token::Sign(Sign::Factorial) => return self.postfix(Action::Factorial, at),
            Token::Sign(Sign::Degree) => return self.postfix(Action::Degree, at),
            Token::Sign(Sign::Close) => return self.close(at).map(|()| false),
            Token::Sign(Sign::Comma) => return self.comma(at).map(|()| true),
            Token::Number(_) | Token::Name(_) | Token::Sign(Sign::Open | Sign::Root) => {
                return Err(Fault::new(
                    at,
                    "an operator is missing here (write 2*pi, not 2pi)",
                ));
            }
        };
        self.reduce(binary.strength(), binary != Binary::Power);
        let pending = Pending::Action(Action::Binary(binary), binary.strength());
        self.pending.push((pending, at));
        Ok(true)
    }

    fn postfix(&mut self, action: Action, at: usize) -> Result<bool, Fault> {
        self.step(action, at);
        Ok(false)
    }

    /// Moves waiting operators that bind tighter (or as tightly, for left-to-right ones) to the steps.
    fn reduce(&mut self, strength: u8, left_to_right: bool) {
        while let Some((Pending::Action(action, waiting), at)) = self.pending.last() {
            if *waiting < strength || (*waiting == strength && !left_to_right) {
                return;
            }
            let (action, at) = (*action, *at);
            self.pending.pop();
            self.step(action, at);
        }
    }

    fn close(&mut self, at: usize) -> Result<(), Fault> {
        self.reduce(0, true);
        match self.pending.pop() {
            Some((Pending::Call(function, values), call_at)) => {
                function
                    .check_count(values)
                    .map_err(|what| Fault::new(call_at, what))?;
                self.step(Action::Call(function, values), call_at);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(Fault::new(at, "\")\" without \"(\"")),
        }
    }

    fn comma(&mut self, at: usize) -> Result<(), Fault> {
        self.reduce(0, true);
        match self.pending.last_mut() {
            Some((Pending::Call(_, values), _)) => {
                *values += 1;
                Ok(())
            }
            _ => Err(Fault::new(
                at,
                "a comma parts values only inside a function, as in mean(1, 2)",
            )),
        }
    }

    fn finish(mut self, wants_value: bool, tokens: &[Placed]) -> Result<Vec<Step>, Fault> {
        let Some(last) = tokens.last() else {
            return Err(Fault::new(1, "the expression is empty"));
        };
        if wants_value {
            return Err(Fault::new(
                last.at,
                "the expression ends where a value is missing",
            ));
        }
        self.reduce(0, true);
        match self.pending.pop() {
            Some((_, at)) => Err(Fault::new(at, "the bracket is never closed")),
            None => Ok(self.steps),
        }
    }
}

fn starts_value(token: Option<&Token>) -> bool {
    match token {
        Some(Token::Number(_) | Token::Sign(Sign::Open | Sign::Root)) => true,
        Some(Token::Name(name)) => name != "mod" && !is_word_operator(name),
        _ => false,
    }
}

fn unknown_name(name: &str) -> String {
    let shown: String = name.chars().take(40).collect();
    match similar::closest(name, functions::names()) {
        Some(known) => format!("unknown name \"{shown}\" (did you mean {known}?)"),
        None => format!("unknown name \"{shown}\""),
    }
}
