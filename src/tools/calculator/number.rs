//! Numbers of the calculator: exact fractions as long as they fit, floating point after that. Pure; no thread.
//!
//! An operation on two exact numbers is exact or, if the fraction outgrows 128 bits, approximate; approximate stays
//! approximate. Nothing here knows of expressions or positions.

use std::cmp::Ordering;

/// What an operation gives: a finite number, or a sentence that says why there is none.
pub(super) type Outcome = Result<Number, String>;

/// A fraction in lowest terms; the denominator is positive and the numerator is never `i128::MIN`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ratio {
    num: i128,
    den: i128,
}

/// A finite number that knows whether it is exact.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
    /// Exactly this fraction.
    Exact(Ratio),
    /// About this much.
    Approx(f64),
}

/// Denominators up to this are shown as a fraction beside the decimal form.
const SHOWN_DENOMINATOR: i128 = 9_999;

/// Digits shown of an approximate number: what a double keeps for certain.
const SIGNIFICANT: usize = 15;

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Ratio {
    const ZERO: Self = Self { num: 0, den: 1 };

    /// Reduces a fraction; `None` if it does not fit or the denominator is zero.
    fn new(num: i128, den: i128) -> Option<Self> {
        if den == 0 {
            return None;
        }
        let divisor = gcd(num.unsigned_abs(), den.unsigned_abs());
        let mut num = i128::try_from(num.unsigned_abs() / divisor).ok()? * num.signum();
        let den_positive = i128::try_from(den.unsigned_abs() / divisor).ok()?;
        if den < 0 {
            num = -num;
        }
        Some(Self {
            num,
            den: den_positive,
        })
    }

    fn add(self, other: Self) -> Option<Self> {
        let divisor =
            i128::try_from(gcd(self.den.unsigned_abs(), other.den.unsigned_abs())).ok()?;
        let left = self.num.checked_mul(other.den / divisor)?;
        let right = other.num.checked_mul(self.den / divisor)?;
        let den = (self.den / divisor).checked_mul(other.den)?;
        Self::new(left.checked_add(right)?, den)
    }

    fn mul(self, other: Self) -> Option<Self> {
        // Reducing crosswise first keeps the products as small as the result allows.
        let a = Self::new(self.num, other.den)?;
        let b = Self::new(other.num, self.den)?;
        Self::new(a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?)
    }

    fn inverse(self) -> Option<Self> {
        Self::new(self.den, self.num)
    }

    fn negated(self) -> Self {
        Self {
            num: -self.num,
            den: self.den,
        }
    }

    fn floor(self) -> i128 {
        self.num.div_euclid(self.den)
    }

    fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Orders two fractions exactly: whole parts first, then the inverted rests, as in the Euclidean algorithm.
    pub(super) fn compare(self, other: Self) -> Ordering {
        let (mut a, mut b) = (self, other);
        let mut flipped = false;
        loop {
            let (rest_a, rest_b) = (a.num.rem_euclid(a.den), b.num.rem_euclid(b.den));
            let order = match a.floor().cmp(&b.floor()) {
                Ordering::Equal => match (rest_a, rest_b) {
                    (0, _) | (_, 0) => rest_a.cmp(&rest_b),
                    _ => {
                        a = Self {
                            num: a.den,
                            den: rest_a,
                        };
                        b = Self {
                            num: b.den,
                            den: rest_b,
                        };
                        flipped = !flipped;
                        continue;
                    }
                },
                order => order,
            };
            return if flipped { order.reverse() } else { order };
        }
    }

    /// Raises to a whole power by squaring; `None` if it does not fit.
    fn power(self, exponent: i128) -> Option<Self> {
        let mut base = if exponent < 0 { self.inverse()? } else { self };
        let mut left = exponent.unsigned_abs();
        let mut result = Self { num: 1, den: 1 };
        while left > 0 {
            if left & 1 == 1 {
                result = result.mul(base)?;
            }
            left >>= 1;
            if left > 0 {
                base = base.mul(base)?;
            }
        }
        Some(result)
    }

    /// Finds the exact root of a non-negative fraction, if there is one.
    fn root(self, degree: u32) -> Option<Self> {
        let num = whole_root(self.num, degree)?;
        let den = whole_root(self.den, degree)?;
        Self::new(num, den)
    }

    /// Writes the fraction as a finite decimal, if it is one that fits.
    fn decimal(self) -> Option<String> {
        let mut rest = self.den;
        let (mut twos, mut fives) = (0, 0);
        while rest % 2 == 0 {
            rest /= 2;
            twos += 1;
        }
        while rest % 5 == 0 {
            rest /= 5;
            fives += 1;
        }
        if rest != 1 {
            return None;
        }
        let places: u32 = twos.max(fives);
        let scaled = self
            .num
            .checked_mul(10_i128.checked_pow(places)? / self.den)?;
        let sign = if scaled < 0 { "-" } else { "" };
        let places = places as usize;
        let digits = format!("{:0>width$}", scaled.unsigned_abs(), width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        if part.is_empty() {
            Some(format!("{sign}{whole}"))
        } else {
            Some(format!("{sign}{whole}.{part}"))
        }
    }
}

/// Finds the exact whole root of a non-negative whole number.
fn whole_root(value: i128, degree: u32) -> Option<i128> {
    let positive = u128::try_from(value).ok()?;
    let guess = if degree == 2 {
        positive.isqrt()
    } else {
        // Roots of degree 3 and more stay below 2^43, where a double is exact enough to land on the neighbour.
        (positive as f64).powf(1.0 / f64::from(degree)).round() as u128
    };
    (guess.saturating_sub(1)..=guess + 1)
        .find(|candidate| candidate.checked_pow(degree) == Some(positive))
        .and_then(|root| i128::try_from(root).ok())
}

fn finite(value: f64) -> Outcome {
    if value.is_nan() {
        Err("there is no real result".into())
    } else if value.is_infinite() {
        Err("the result is too large (over 1.8e308)".into())
    } else {
        Ok(Number::Approx(value))
    }
}

/// As [`finite`], for results that cannot truly be zero.
fn finite_nonzero(value: f64) -> Outcome {
    if value == 0.0 {
        Err("the result is too small (under 5e-324)".into())
    } else {
        finite(value)
    }
}

impl Number {
    pub(super) const ZERO: Self = Self::Exact(Ratio::ZERO);

    /// Makes an exact whole number; approximate only for `i128::MIN`.
    pub(super) fn whole(value: i128) -> Self {
        Ratio::new(value, 1).map_or(Self::Approx(value as f64), Self::Exact)
    }

    /// Makes an approximate number from a computed double, if it is finite.
    pub(super) fn approx(value: f64) -> Outcome {
        finite(value)
    }

    /// Makes an approximate number that must not have vanished.
    pub(super) fn approx_nonzero(value: f64) -> Outcome {
        finite_nonzero(value)
    }

    /// Reads decimal text such as `-12.5e-3`: digits, one point, an exponent. The caller has checked the form.
    pub(super) fn parse(text: &str) -> Outcome {
        match exact_decimal(text) {
            Some(ratio) => Ok(Self::Exact(ratio)),
            None => match text.parse::<f64>() {
                Ok(value) => finite(value),
                Err(_) => Err(format!("\"{text}\" is not a number")),
            },
        }
    }

    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Exact(ratio) => ratio.to_f64(),
            Self::Approx(value) => value,
        }
    }

    /// Returns the value if it is whole and fits; an approximate number counts below 2^53.
    pub(super) fn as_whole(self) -> Option<i128> {
        match self {
            Self::Exact(ratio) => (ratio.den == 1).then_some(ratio.num),
            Self::Approx(value) => {
                (value.fract() == 0.0 && value.abs() < 9.0e15).then_some(value as i128)
            }
        }
    }

    pub(super) fn is_zero(self) -> bool {
        match self {
            Self::Exact(ratio) => ratio.num == 0,
            Self::Approx(value) => value == 0.0,
        }
    }

    pub(super) fn is_negative(self) -> bool {
        match self {
            Self::Exact(ratio) => ratio.num < 0,
            Self::Approx(value) => value < 0.0,
        }
    }

    /// Returns the fraction of an exact number.
    pub(super) fn exact(self) -> Option<Ratio> {
        match self {
            Self::Exact(ratio) => Some(ratio),
            Self::Approx(_) => None,
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Exact(ratio) => Self::Exact(ratio.negated()),
            Self::Approx(value) => Self::Approx(-value),
        }
    }

    pub(super) fn abs(self) -> Self {
        if self.is_negative() {
            self.negated()
        } else {
            self
        }
    }

    pub(super) fn add(self, other: Self) -> Outcome {
        if let (Self::Exact(a), Self::Exact(b)) = (self, other)
            && let Some(sum) = a.add(b)
        {
            return Ok(Self::Exact(sum));
        }
        finite(self.to_f64() + other.to_f64())
    }

    pub(super) fn sub(self, other: Self) -> Outcome {
        self.add(other.negated())
    }

    pub(super) fn mul(self, other: Self) -> Outcome {
        if let (Self::Exact(a), Self::Exact(b)) = (self, other)
            && let Some(product) = a.mul(b)
        {
            return Ok(Self::Exact(product));
        }
        let product = self.to_f64() * other.to_f64();
        if self.is_zero() || other.is_zero() {
            return finite(product);
        }
        finite_nonzero(product)
    }

    pub(super) fn div(self, other: Self) -> Outcome {
        if other.is_zero() {
            return Err("division by zero".into());
        }
        if let (Self::Exact(a), Self::Exact(b)) = (self, other)
            && let Some(quotient) = b.inverse().and_then(|inverse| a.mul(inverse))
        {
            return Ok(Self::Exact(quotient));
        }
        let quotient = self.to_f64() / other.to_f64();
        if self.is_zero() {
            return finite(quotient);
        }
        finite_nonzero(quotient)
    }

    /// Returns the remainder with the sign of the divisor: -7 mod 3 is 2.
    pub(super) fn modulo(self, other: Self) -> Outcome {
        if other.is_zero() {
            return Err("modulo by zero".into());
        }
        if let (Self::Exact(_), Self::Exact(_)) = (self, other)
            && let Ok(Self::Exact(quotient)) = self.div(other)
            && let Ok(Self::Exact(whole)) = other.mul(Self::whole(quotient.floor()))
            && let Ok(exact @ Self::Exact(_)) = self.sub(Self::Exact(whole))
        {
            return Ok(exact);
        }
        let (a, b) = (self.to_f64(), other.to_f64());
        let rest = a % b;
        finite(if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
            rest + b
        } else {
            rest
        })
    }

    pub(super) fn pow(self, exponent: Self) -> Outcome {
        if self.is_zero() && exponent.is_negative() {
            return Err("division by zero: 0 has no negative power".into());
        }
        if let (Self::Exact(base), Self::Exact(power)) = (self, exponent)
            && let Some(exact) = exact_power(base, power)
        {
            return Ok(Self::Exact(exact));
        }
        if self.is_negative() && exponent.as_whole().is_none() && exponent.to_f64().fract() != 0.0 {
            return Err("a negative number has no real power with a fractional exponent (use cbrt for cube roots)".into());
        }
        let value = self.to_f64().powf(exponent.to_f64());
        if self.is_zero() {
            finite(value)
        } else {
            finite_nonzero(value)
        }
    }

    /// Returns the square (2) or cube (3) root; `degree` 2 needs a number that is not negative.
    pub(super) fn root(self, degree: u32) -> Outcome {
        if self.is_negative() {
            if degree == 2 {
                return Err("a negative number has no real square root".into());
            }
            return self.negated().root(degree).map(Self::negated);
        }
        if let Self::Exact(ratio) = self
            && let Some(root) = ratio.root(degree)
        {
            return Ok(Self::Exact(root));
        }
        let value = self.to_f64();
        finite(if degree == 2 {
            value.sqrt()
        } else {
            value.cbrt()
        })
    }

    pub(super) fn floor(self) -> Self {
        match self {
            Self::Exact(ratio) => Self::whole(ratio.floor()),
            Self::Approx(value) => Self::Approx(value.floor()),
        }
    }

    /// Rounds to `places` decimals (negative: tens, hundreds), halves away from zero.
    pub(super) fn round(self, places: i32) -> Outcome {
        let negative = self.is_negative();
        if let Self::Exact(_) = self {
            let scale = Self::whole(10).pow(Self::whole(places.into()))?;
            let half = Self::Exact(Ratio { num: 1, den: 2 });
            let rounded = self.abs().mul(scale)?.add(half)?.floor().div(scale)?;
            return Ok(if negative { rounded.negated() } else { rounded });
        }
        let value = self.to_f64();
        match usize::try_from(places) {
            Ok(decimals) => Self::parse(&format!("{value:.decimals$}")),
            Err(_) => {
                let scale = 10_f64.powi(-places);
                finite((value / scale).round() * scale)
            }
        }
    }

    /// Writes the number for a reader: `409.5`, `1/3 ≈ 0.333333333333333`, `≈ 1.4142135623731`.
    pub(super) fn show(self) -> String {
        match self {
            Self::Approx(value) => format!("≈ {}", float_text(value)),
            Self::Exact(ratio) => match ratio.decimal() {
                Some(text) => text,
                None if ratio.den <= SHOWN_DENOMINATOR && ratio.num.abs() < 1_000_000_000 => {
                    format!(
                        "{}/{} ≈ {}",
                        ratio.num,
                        ratio.den,
                        float_text(ratio.to_f64())
                    )
                }
                None => format!("≈ {}", float_text(ratio.to_f64())),
            },
        }
    }
}

fn exact_power(base: Ratio, power: Ratio) -> Option<Ratio> {
    if power.den == 1 {
        return base.power(power.num);
    }
    let degree = u32::try_from(power.den)
        .ok()
        .filter(|degree| *degree <= 64)?;
    if base.num < 0 {
        return None;
    }
    base.root(degree)?.power(power.num)
}

fn exact_decimal(text: &str) -> Option<Ratio> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let part = part.trim_end_matches('0');
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    let places = i32::try_from(part.len()).ok()?;
    let shift = exponent.checked_sub(places)?;
    if digits == 0 {
        return Some(Ratio::ZERO);
    }
    let scale = 10_i128.checked_pow(shift.unsigned_abs())?;
    if shift < 0 {
        Ratio::new(digits, scale)
    } else {
        Ratio::new(digits.checked_mul(scale)?, 1)
    }
}

/// Writes a double with 15 significant digits, without trailing zeros; far from 1 in scientific form.
fn float_text(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let scientific = format!("{value:.precision$e}", precision = SIGNIFICANT - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = digits.trim_end_matches('0');
    match exponent {
        -7..0 => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            format!("{sign}0.{zeros}{digits}")
        }
        0..15 => {
            let whole = exponent as usize + 1;
            if digits.len() <= whole {
                format!("{sign}{digits:0<whole$}")
            } else {
                format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
            }
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{point}{rest}e{exponent}")
        }
    }
}
