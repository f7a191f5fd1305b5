//! Computes the steps of a parsed expression on a stack. Pure; no thread.

use super::Fault;
use super::functions;
use super::number::{Number, Outcome};
use super::parser::{Action, Binary, Step};

/// Runs the steps; a failure names the character of the step that failed.
pub(super) fn evaluate(steps: &[Step]) -> Result<Number, Fault> {
    let mut stack: Vec<Number> = Vec::new();
    for step in steps {
        let value = run(step.action, &mut stack).map_err(|what| Fault::new(step.at, what))?;
        stack.push(value);
    }
    Ok(pop(&mut stack))
}

fn run(action: Action, stack: &mut Vec<Number>) -> Outcome {
    match action {
        Action::Push(number) => Ok(number),
        Action::Negate => Ok(pop(stack).negated()),
        Action::Root => pop(stack).root(2),
        Action::Percent => pop(stack).div(Number::whole(100)),
        Action::Factorial => functions::factorial(pop(stack)),
        Action::Degree => functions::radians(pop(stack)),
        Action::Binary(operator) => {
            let right = pop(stack);
            binary(operator, pop(stack), right)
        }
        Action::Call(function, count) => {
            let values = stack.split_off(stack.len().saturating_sub(count));
            function.apply(&values)
        }
    }
}

fn pop(stack: &mut Vec<Number>) -> Number {
    stack
        .pop()
        .expect("the parser puts every operator behind its values")
}

fn binary(operator: Binary, left: Number, right: Number) -> Outcome {
    match operator {
        Binary::Add => left.add(right),
        Binary::Subtract => left.sub(right),
        Binary::Multiply => left.mul(right),
        Binary::Divide => left.div(right),
        Binary::Modulo => left.modulo(right),
        Binary::Power => left.pow(right),
    }
}
