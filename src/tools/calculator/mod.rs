//! The `calculator` tool: expressions and statistics, exact where that is possible.
//!
//! Runs on the turn's thread; pure. Work is bounded by the length of the input: parsing and evaluating use no recursion
//! and no loop that the size of a number could stretch.

mod eval;
mod functions;
mod lexer;
mod number;
mod parser;
mod statistics;

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, ToolCtx, ToolError, TypedTool};
use number::Number;

/// Longest accepted expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 8_000;
/// Most numbers taken in `numbers`.
const MAX_NUMBERS: usize = 10_000;

/// Computes expressions and statistics.
pub(super) struct Calculator;

/// Arguments of [`Calculator`].
#[derive(Deserialize, JsonSchema)]
pub(super) struct CalculatorArgs {
    /// e.g. 17.5% of 2340, 2^10 mod 7, sqrt(2), round(x, 2), stdev(1,2,4), sin(30°)
    expression: Option<String>,
    /// for count, sum, mean, median, min, max, stdev, variance
    numbers: Option<Vec<serde_json::Number>>,
}

/// What is wrong with an expression and where: the character, counted from 1.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    at: usize,
    what: String,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self {
            at,
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at character {}", self.what, self.at)
    }
}

impl TypedTool for Calculator {
    type Args = CalculatorArgs;
    const NAME: &'static str = "calculator";
    const DESCRIPTION: &'static str = "Computes an expression exactly, or statistics of numbers. ≈ marks rounded results; % is per cent; angles in radians.";

    fn effects_of(&self, _: &CalculatorArgs) -> Effects {
        Effects::ReadOnly
    }

    fn call(&self, args: CalculatorArgs, _: &ToolCtx<'_>) -> Result<String, ToolError> {
        let expression = args.expression.filter(|text| !text.trim().is_empty());
        let numbers = args.numbers.filter(|numbers| !numbers.is_empty());
        let mut parts = Vec::new();
        if let Some(text) = &expression {
            parts.push(compute(text).map_err(ToolError::failed)?);
        }
        if let Some(numbers) = &numbers {
            parts.push(summarise(numbers).map_err(ToolError::failed)?);
        }
        if parts.is_empty() {
            return Err(ToolError::failed(
                "calculator needs `expression` (text such as \"2+3\") or `numbers` (a list); call it again with one of them",
            ));
        }
        Ok(parts.join("\n"))
    }
}

/// Computes one expression; errors name the character at fault.
fn compute(text: &str) -> Result<String, String> {
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!(
            "the expression has {} bytes, more than {MAX_EXPRESSION_BYTES}; split it up",
            text.len()
        ));
    }
    let value = lexer::tokens(text)
        .and_then(|tokens| parser::parse(&tokens))
        .and_then(|steps| eval::evaluate(&steps));
    value.map(Number::show).map_err(|fault| fault.to_string())
}

fn summarise(numbers: &[serde_json::Number]) -> Result<String, String> {
    if numbers.len() > MAX_NUMBERS {
        return Err(format!(
            "{} numbers are more than {MAX_NUMBERS}; use bash for large data",
            numbers.len()
        ));
    }
    let values: Result<Vec<Number>, String> = numbers
        .iter()
        .map(|number| Number::parse(&number.to_string()))
        .collect();
    Ok(statistics::summary(&values?))
}

#[cfg(test)]
mod tests;
