//! The calculator's functions and constants, one table. Pure; no thread.
//!
//! A function that has an exact answer gives it (sqrt(16), log(1000), cos(0)); otherwise the result is approximate.

use super::number::{Number, Outcome};
use super::statistics;

/// A function by its names.
#[derive(Debug)]
pub(super) struct Function {
    names: &'static [&'static str],
    least: usize,
    most: usize,
    compute: fn(&[Number]) -> Outcome,
}

const MANY: usize = usize::MAX;

/// The largest factorial a double holds.
const MAX_FACTORIAL: i128 = 170;

impl Function {
    /// Refuses a wrong count of values with a sentence.
    pub(super) fn check_count(&self, count: usize) -> Result<(), String> {
        if (self.least..=self.most).contains(&count) {
            return Ok(());
        }
        let name = self.names[0];
        let (least, most) = (self.least, self.most);
        Err(match (least, most) {
            (_, MANY) => format!("{name} takes {least} or more values, got {count}"),
            _ if least == most => format!(
                "{name} takes {least} value(s), got {count} (write numbers inside a function without thousands commas)"
            ),
            _ => format!(
                "{name} takes {least} to {most} values, got {count} (write numbers inside a function without thousands commas)"
            ),
        })
    }

    /// Computes the function; the count of values was checked.
    pub(super) fn apply(&self, values: &[Number]) -> Outcome {
        (self.compute)(values)
    }
}

const fn function(
    names: &'static [&'static str],
    least: usize,
    most: usize,
    compute: fn(&[Number]) -> Outcome,
) -> Function {
    Function {
        names,
        least,
        most,
        compute,
    }
}

static FUNCTIONS: &[Function] = &[
    function(&["sqrt"], 1, 1, |v| v[0].root(2)),
    function(&["cbrt"], 1, 1, |v| v[0].root(3)),
    function(&["abs"], 1, 1, |v| Ok(v[0].abs())),
    function(&["sign", "sgn"], 1, 1, |v| Ok(sign(v[0]))),
    function(&["round"], 1, 2, round),
    function(&["floor"], 1, 1, |v| Ok(v[0].floor())),
    function(&["ceil", "ceiling"], 1, 1, |v| {
        Ok(v[0].negated().floor().negated())
    }),
    function(&["trunc", "int"], 1, 1, |v| Ok(truncate(v[0]))),
    function(&["min"], 1, MANY, |v| Ok(statistics::minimum(v))),
    function(&["max"], 1, MANY, |v| Ok(statistics::maximum(v))),
    function(&["pow"], 2, 2, |v| v[0].pow(v[1])),
    function(&["mod"], 2, 2, |v| v[0].modulo(v[1])),
    function(&["log", "lg"], 1, 2, |v| {
        logarithm(v[0], v.get(1).copied().unwrap_or(Number::whole(10)))
    }),
    function(&["log10"], 1, 1, |v| logarithm(v[0], Number::whole(10))),
    function(&["log2"], 1, 1, |v| logarithm(v[0], Number::whole(2))),
    function(&["ln"], 1, 1, |v| natural_logarithm(v[0])),
    function(&["exp"], 1, 1, |v| exponential(v[0])),
    function(&["sin"], 1, 1, |v| at_zero(v[0], 0, |x| snapped(x.sin()))),
    function(&["cos"], 1, 1, |v| at_zero(v[0], 1, |x| snapped(x.cos()))),
    function(&["tan"], 1, 1, tangent),
    function(&["asin", "arcsin"], 1, 1, |v| {
        within_one("asin", v[0], f64::asin)
    }),
    function(&["acos", "arccos"], 1, 1, |v| {
        within_one("acos", v[0], f64::acos)
    }),
    function(&["atan", "arctan"], 1, 1, |v| at_zero(v[0], 0, f64::atan)),
    function(&["atan2"], 2, 2, |v| {
        Number::approx(v[0].to_f64().atan2(v[1].to_f64()))
    }),
    function(&["sinh"], 1, 1, |v| at_zero(v[0], 0, f64::sinh)),
    function(&["cosh"], 1, 1, |v| at_zero(v[0], 1, f64::cosh)),
    function(&["tanh"], 1, 1, |v| at_zero(v[0], 0, f64::tanh)),
    function(&["asinh"], 1, 1, |v| at_zero(v[0], 0, f64::asinh)),
    function(&["acosh"], 1, 1, inverse_cosh),
    function(&["atanh"], 1, 1, inverse_tanh),
    function(&["deg", "degrees"], 1, 1, |v| {
        at_zero(v[0], 0, f64::to_degrees)
    }),
    function(&["rad", "radians"], 1, 1, |v| radians(v[0])),
    function(&["hypot"], 1, MANY, hypotenuse),
    function(&["gcd"], 1, MANY, |v| {
        fold_whole("gcd", v, |a, b| Some(greatest_divisor(a, b)))
    }),
    function(&["lcm"], 1, MANY, |v| fold_whole("lcm", v, least_multiple)),
    function(&["ncr", "comb", "choose"], 2, 2, combinations),
    function(&["npr", "perm"], 2, 2, permutations),
    function(&["factorial", "fact"], 1, 1, |v| factorial(v[0])),
    function(&["count"], 1, MANY, |v| Ok(statistics::count(v))),
    function(&["sum"], 1, MANY, statistics::sum),
    function(&["product"], 1, MANY, statistics::product),
    function(&["mean", "avg", "average"], 1, MANY, statistics::mean),
    function(&["median"], 1, MANY, statistics::median),
    function(&["mode"], 1, MANY, statistics::mode),
    function(&["range"], 1, MANY, |v| {
        statistics::maximum(v).sub(statistics::minimum(v))
    }),
    function(&["variance", "var"], 1, MANY, statistics::variance),
    function(
        &["pvariance", "pvar"],
        1,
        MANY,
        statistics::population_variance,
    ),
    function(&["stdev", "std", "stddev"], 1, MANY, |v| {
        statistics::variance(v)?.root(2)
    }),
    function(&["pstdev", "pstd"], 1, MANY, |v| {
        statistics::population_variance(v)?.root(2)
    }),
    function(&["percentile"], 2, MANY, |v| {
        statistics::percentile(v[0], &v[1..])
    }),
];

/// Finds a function by any of its names, lower-cased.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .iter()
        .find(|function| function.names.contains(&name))
}

/// Lists all names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS
        .iter()
        .flat_map(|function| function.names.iter().copied())
        .chain(["pi", "e", "tau", "mod", "of"])
}

/// Returns a constant by its lower-cased name.
pub(super) fn constant(name: &str) -> Option<Number> {
    match name {
        "pi" | "π" => Some(Number::Approx(std::f64::consts::PI)),
        "tau" | "τ" => Some(Number::Approx(std::f64::consts::TAU)),
        "e" => Some(Number::Approx(std::f64::consts::E)),
        _ => None,
    }
}

/// Returns n! for a whole n from 0 to 170; exact up to 33!.
pub(super) fn factorial(value: Number) -> Outcome {
    let Some(n) = value.as_whole().filter(|n| (0..=MAX_FACTORIAL).contains(n)) else {
        return Err(format!(
            "a factorial needs a whole number from 0 to {MAX_FACTORIAL}"
        ));
    };
    (2..=n).try_fold(Number::whole(1), |product, factor| {
        product.mul(Number::whole(factor))
    })
}

/// Converts degrees to radians.
pub(super) fn radians(value: Number) -> Outcome {
    at_zero(value, 0, f64::to_radians)
}

/// Computes `f`, but gives the exact value the function has at exactly zero.
fn at_zero(value: Number, at_zero: i128, f: fn(f64) -> f64) -> Outcome {
    if value == Number::ZERO {
        return Ok(Number::whole(at_zero));
    }
    Number::approx(f(value.to_f64()))
}

/// Takes the rounding rest of sin(pi) and the like for the zero it stands for.
fn snapped(value: f64) -> f64 {
    if value.abs() < 1e-15 { 0.0 } else { value }
}

fn sign(value: Number) -> Number {
    Number::whole(match (value.is_zero(), value.is_negative()) {
        (true, _) => 0,
        (_, true) => -1,
        _ => 1,
    })
}

fn truncate(value: Number) -> Number {
    if value.is_negative() {
        value.negated().floor().negated()
    } else {
        value.floor()
    }
}

fn round(values: &[Number]) -> Outcome {
    let digits = values.get(1).copied().unwrap_or(Number::ZERO);
    match digits.as_whole() {
        Some(places @ -30..=30) => values[0].round(places as i32),
        _ => Err("round takes a whole number of digits from -30 to 30".into()),
    }
}

fn natural_logarithm(value: Number) -> Outcome {
    positive("ln", value)?;
    if value == Number::whole(1) {
        return Ok(Number::ZERO);
    }
    Number::approx(value.to_f64().ln())
}

fn exponential(value: Number) -> Outcome {
    if value == Number::ZERO {
        return Ok(Number::whole(1));
    }
    Number::approx_nonzero(value.to_f64().exp())
}

fn positive(name: &str, value: Number) -> Result<(), String> {
    if value.is_zero() || value.is_negative() {
        return Err(format!("{name} needs a value above 0"));
    }
    Ok(())
}

/// Returns the logarithm; exact where the value is a whole power of the base.
fn logarithm(value: Number, base: Number) -> Outcome {
    positive("a logarithm", value)?;
    positive("the base of a logarithm", base)?;
    if base == Number::whole(1) {
        return Err("a logarithm has no base 1".into());
    }
    let result = if base == Number::whole(10) {
        value.to_f64().log10()
    } else if base == Number::whole(2) {
        value.to_f64().log2()
    } else {
        value.to_f64().ln() / base.to_f64().ln()
    };
    let nearest = Number::approx(result.round())?
        .as_whole()
        .map(Number::whole);
    if let (Some(exponent), Number::Exact(_)) = (nearest, value)
        && base.pow(exponent) == Ok(value)
    {
        return Ok(exponent);
    }
    Number::approx(result)
}

fn tangent(values: &[Number]) -> Outcome {
    if values[0].to_f64().cos().abs() < 1e-15 {
        return Err("tan has no value at 90° and 270°".into());
    }
    at_zero(values[0], 0, |x| snapped(x.tan()))
}

fn within_one(name: &str, value: Number, f: fn(f64) -> f64) -> Outcome {
    if value.to_f64().abs() > 1.0 {
        return Err(format!("{name} needs a value from -1 to 1"));
    }
    if f(value.to_f64()) == 0.0 && matches!(value, Number::Exact(_)) {
        return Ok(Number::ZERO);
    }
    Number::approx(f(value.to_f64()))
}

fn inverse_cosh(values: &[Number]) -> Outcome {
    if values[0].to_f64() < 1.0 {
        return Err("acosh needs a value of 1 or more".into());
    }
    Number::approx(values[0].to_f64().acosh())
}

fn inverse_tanh(values: &[Number]) -> Outcome {
    if values[0].to_f64().abs() >= 1.0 {
        return Err("atanh needs a value between -1 and 1".into());
    }
    at_zero(values[0], 0, f64::atanh)
}

fn hypotenuse(values: &[Number]) -> Outcome {
    let squares = values
        .iter()
        .try_fold(Number::ZERO, |sum, value| sum.add(value.mul(*value)?))?;
    squares.root(2)
}

fn whole(name: &str, value: Number) -> Result<i128, String> {
    value
        .as_whole()
        .ok_or_else(|| format!("{name} needs whole numbers below 10^38"))
}

fn fold_whole(name: &str, values: &[Number], join: fn(i128, i128) -> Option<i128>) -> Outcome {
    let mut result = whole(name, values[0])?.abs();
    for value in &values[1..] {
        result = join(result, whole(name, *value)?.abs())
            .ok_or_else(|| format!("the {name} is too large (over 10^38)"))?;
    }
    Ok(Number::whole(result))
}

fn greatest_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn least_multiple(a: i128, b: i128) -> Option<i128> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    (a / greatest_divisor(a, b)).checked_mul(b)
}

fn pick(name: &str, values: &[Number]) -> Result<(i128, i128), String> {
    let (n, k) = (whole(name, values[0])?, whole(name, values[1])?);
    if n < 0 || k < 0 {
        return Err(format!("{name} needs numbers of 0 or more"));
    }
    Ok((n, k))
}

/// Multiplies out; a product of this kind leaves the range of a double after about a thousand steps.
fn combinations(values: &[Number]) -> Outcome {
    let (n, k) = pick("nCr", values)?;
    if k > n {
        return Ok(Number::ZERO);
    }
    let mut result = Number::whole(1);
    for i in 0..k.min(n - k) {
        result = result
            .mul(Number::whole(n - i))?
            .div(Number::whole(i + 1))?;
    }
    Ok(result)
}

/// See [`combinations`] for why the loop is short.
fn permutations(values: &[Number]) -> Outcome {
    let (n, k) = pick("nPr", values)?;
    if k > n {
        return Ok(Number::ZERO);
    }
    (0..k).try_fold(Number::whole(1), |product, i| {
        product.mul(Number::whole(n - i))
    })
}
