//! `budget`: how much model calls may cost. Counts what has a price; nothing is refused without one.

use super::reader::Section;

/// The currency assumed for prices and budgets.
pub(super) const CURRENCY: &str = "USD";

/// Most that a price or a budget may say.
pub(super) const MAX_AMOUNT: f64 = 1e9;

/// Spending limits.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetConfig {
    /// For a day of local time.
    pub per_day: Option<f64>,
    /// For a month of local time.
    pub per_month: Option<f64>,
    /// The currency both are in; costs in others do not count.
    pub currency: String,
}

impl BudgetConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            per_day: section.number("per_day", 0.0..=MAX_AMOUNT),
            per_month: section.number("per_month", 0.0..=MAX_AMOUNT),
            currency: section
                .text("currency")
                .unwrap_or_else(|| CURRENCY.to_owned()),
        };
        section.finish();
        config
    }
}
