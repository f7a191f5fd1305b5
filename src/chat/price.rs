//! What model calls cost. Pure arithmetic; prices come from the configuration, and what is not known is not guessed.

use super::Usage;

/// The price of a model, for a million tokens.
#[derive(Clone, PartialEq, Debug)]
pub struct Price {
    /// For prompt tokens.
    pub input: f64,
    /// For prompt tokens read from the service's cache; as `input` if not given.
    pub cached_input: Option<f64>,
    /// For generated tokens, reasoning included.
    pub output: f64,
    /// The currency's name, such as `USD`.
    pub currency: String,
}

impl Price {
    /// Returns what a call cost; `None` if the service did not say how many tokens it took.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        let (input, output) = (usage.input?, usage.output?);
        let cached = usage.cached.unwrap_or(0).min(input);
        let cached_price = self.cached_input.unwrap_or(self.input);
        let sum = (input - cached) as f64 * self.input
            + cached as f64 * cached_price
            + output as f64 * self.output;
        Some(sum / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_known_or_not() {
        let price = Price {
            input: 2.0,
            cached_input: Some(0.5),
            output: 10.0,
            currency: "USD".to_owned(),
        };
        let mut usage = Usage {
            input: Some(1_000_000),
            output: Some(100_000),
            cached: Some(400_000),
            reasoning: Some(50_000),
        };
        assert_eq!(price.cost(&usage), Some(1.2 + 0.2 + 1.0));
        usage.cached = None;
        assert_eq!(price.cost(&usage), Some(3.0));
        usage.output = None;
        assert_eq!(price.cost(&usage), None, "unknown is not zero");
    }
}
