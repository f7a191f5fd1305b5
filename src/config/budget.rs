//! `budget`: how much model calls may cost. Counts what has a price; nothing is refused without one.

use super::reader::Section;

/// The currency assumed for prices and budgets.
const CURRENCY: &str = "USD";

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
            currency: read_currency(&mut section),
        };
        section.finish();
        config
    }

    /// Tells whether anything is limited.
    pub(super) fn is_set(&self) -> bool {
        self.per_day.is_some() || self.per_month.is_some()
    }
}

/// Reads a currency's code (ISO 4217). Prices and budgets are compared by it, so that `usd` must not pass for `USD`.
pub(super) fn read_currency(section: &mut Section<'_>) -> String {
    let Some(code) = section.text("currency") else {
        return CURRENCY.to_owned();
    };
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        section.error_at(
            "currency",
            "expected the three capital letters of a currency, such as \"USD\"",
        );
    }
    code
}
