//! One measured number beside its goal, as a table line and as JSON. Pure.

use std::fmt;

use serde_json::{Value, json};

/// The head of the table.
pub(crate) const HEAD: &str =
    "| Metric | Measured | Goal | Measured / goal | Met |\n|---|---:|---:|---:|---|";

/// One number with its goal.
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    goal: f64,
    /// Whether more is better.
    upward: bool,
}

impl Row {
    /// Makes a row that should stay at or under its goal.
    pub(crate) fn at_most(name: &str, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            goal,
            upward: false,
        }
    }

    /// Makes a row that should reach its goal.
    pub(crate) fn at_least(name: &str, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            upward: true,
            ..Self::at_most(name, value, unit, goal)
        }
    }

    fn met(&self) -> bool {
        if self.upward {
            self.value >= self.goal
        } else {
            self.value <= self.goal
        }
    }

    /// Returns measured by goal; `None` for a goal of nothing.
    fn ratio(&self) -> Option<f64> {
        (self.goal > 0.0).then(|| self.value / self.goal)
    }

    fn with_unit(&self, value: f64) -> String {
        format!("{} {}", number(value), self.unit)
            .trim_end()
            .to_owned()
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal,
            "goal_is": if self.upward { "at_least" } else { "at_most" },
            "ratio": self.ratio(),
            "met": self.met(),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.upward { "≥" } else { "≤" };
        let ratio = self
            .ratio()
            .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let met = if self.met() { "yes" } else { "**no**" };
        let value = self.with_unit(self.value);
        let goal = self.with_unit(self.goal);
        let name = &self.name;
        write!(f, "| {name} | {value} | {sign} {goal} | {ratio} | {met} |")
    }
}

/// Writes a number with about three digits that count.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Returns all rows as a JSON document.
pub(crate) fn json(rows: &[Row], machine: &str, quick: bool) -> String {
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let document = json!({"schema": 1, "machine": machine, "quick": quick, "rows": rows});
    format!("{document:#}\n")
}

/// Sorts the values and returns the one below which the given share lies; 0.5 is the median.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}
