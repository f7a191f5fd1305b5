//! Statistics over a list of numbers. Pure; no thread.
//!
//! Every list that comes here holds at least one number.

use super::number::{Number, Outcome};

pub(super) fn count(values: &[Number]) -> Number {
    Number::whole(values.len() as i128)
}

pub(super) fn sum(values: &[Number]) -> Outcome {
    values
        .iter()
        .try_fold(Number::ZERO, |sum, value| sum.add(*value))
}

pub(super) fn product(values: &[Number]) -> Outcome {
    values
        .iter()
        .try_fold(Number::whole(1), |product, value| product.mul(*value))
}

pub(super) fn mean(values: &[Number]) -> Outcome {
    sum(values)?.div(count(values))
}

/// Sorts exactly if all values are exact, else as doubles: a mix of both orders would contradict itself.
fn sorted(values: &[Number]) -> Vec<Number> {
    if let Some(mut exact) = values
        .iter()
        .map(|value| value.exact())
        .collect::<Option<Vec<_>>>()
    {
        exact.sort_by(|a, b| a.compare(*b));
        return exact.into_iter().map(Number::Exact).collect();
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.to_f64().total_cmp(&b.to_f64()));
    sorted
}

pub(super) fn minimum(values: &[Number]) -> Number {
    sorted(values)[0]
}

pub(super) fn maximum(values: &[Number]) -> Number {
    sorted(values)[values.len() - 1]
}

pub(super) fn median(values: &[Number]) -> Outcome {
    percentile(Number::whole(50), values)
}

/// Returns the percentile `p` (0 to 100) with linear interpolation between neighbours, as spreadsheets do.
pub(super) fn percentile(p: Number, values: &[Number]) -> Outcome {
    let place = p
        .div(Number::whole(100))?
        .mul(Number::whole(values.len() as i128 - 1))?;
    if p.is_negative() || p.to_f64() > 100.0 {
        return Err("percentile takes p from 0 to 100 first, then the values".into());
    }
    let sorted = sorted(values);
    let below = place.floor();
    let index = below
        .as_whole()
        .and_then(|index| usize::try_from(index).ok())
        .unwrap_or(0);
    let low = sorted[index.min(sorted.len() - 1)];
    let high = sorted[(index + 1).min(sorted.len() - 1)];
    low.add(high.sub(low)?.mul(place.sub(below)?)?)
}

/// Returns the value that stands most often; an error names the rivals if several do.
pub(super) fn mode(values: &[Number]) -> Outcome {
    let sorted = sorted(values);
    let runs: Vec<&[Number]> = sorted.chunk_by(|a, b| a == b).collect();
    let most = runs.iter().map(|run| run.len()).max().unwrap_or(0);
    let modes: Vec<Number> = runs
        .iter()
        .filter(|run| run.len() == most)
        .map(|run| run[0])
        .collect();
    if modes.len() == 1 {
        return Ok(modes[0]);
    }
    let shown: Vec<String> = modes.iter().take(5).map(|mode| mode.show()).collect();
    Err(format!(
        "there is no single mode: {} values stand {most} time(s) each ({}{})",
        modes.len(),
        shown.join(", "),
        if modes.len() > shown.len() {
            ", …"
        } else {
            ""
        }
    ))
}

fn squared_distances(values: &[Number]) -> Outcome {
    let mean = mean(values)?;
    values.iter().try_fold(Number::ZERO, |sum, value| {
        let distance = value.sub(mean)?;
        sum.add(distance.mul(distance)?)
    })
}

/// Returns the sample variance (n - 1).
pub(super) fn variance(values: &[Number]) -> Outcome {
    if values.len() < 2 {
        return Err("a sample variance or stdev needs at least 2 values".into());
    }
    squared_distances(values)?.div(Number::whole(values.len() as i128 - 1))
}

/// Returns the variance of a whole population (n).
pub(super) fn population_variance(values: &[Number]) -> Outcome {
    squared_distances(values)?.div(count(values))
}

/// Writes the usual figures, one per line; what has no value is left out with its reason.
pub(super) fn summary(values: &[Number]) -> String {
    let lines = [
        ("count", Ok(count(values))),
        ("sum", sum(values)),
        ("mean", mean(values)),
        ("median", median(values)),
        ("min", Ok(minimum(values))),
        ("max", Ok(maximum(values))),
        (
            "stdev (sample)",
            variance(values).and_then(|variance| variance.root(2)),
        ),
        ("variance (sample)", variance(values)),
    ];
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(name, value)| match value {
            Ok(value) => format!("{name}: {}", value.show()),
            Err(why) => format!("{name}: none ({why})"),
        })
        .collect();
    lines.join("\n")
}
