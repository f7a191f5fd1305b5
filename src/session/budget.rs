//! Spending limits, checked before each model call. Runs on the turn's thread.

use std::time::SystemTime;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::prompt::local_zone;
use crate::storage::{Db, StorageError};

/// How much model calls may cost.
#[derive(Clone, PartialEq, Debug)]
pub struct Budget {
    /// For a day of local time.
    pub per_day: Option<f64>,
    /// For a month of local time.
    pub per_month: Option<f64>,
    /// The currency both are in.
    pub currency: String,
}

impl Budget {
    /// Says why no further call may be made, or nothing. A cost that could not be read is no reason to refuse.
    pub(super) fn refusal(&self, db: &Db, now: SystemTime) -> Option<String> {
        let limits = [
            ("today", self.per_day, day_start as fn(Date) -> Date),
            ("this month", self.per_month, month_start),
        ];
        for (when, limit, start) in limits {
            let Some(limit) = limit else { continue };
            let spent = since(now, start).map(|since| self.spent(db, since));
            match spent {
                Some(Ok(spent)) if spent >= limit => {
                    return Some(format!(
                        "The budget of {when} is used up: {spent:.2} of {limit:.2} {}. Raise it in the configuration (budget), or wait.",
                        self.currency
                    ));
                }
                Some(Err(error)) => log::error!("the budget cannot be checked: {error}"),
                _ => {}
            }
        }
        None
    }

    fn spent(&self, db: &Db, since: SystemTime) -> Result<f64, StorageError> {
        db.read(|tx| tx.spent_since(since, &self.currency))
    }
}

fn day_start(date: Date) -> Date {
    date
}

fn month_start(date: Date) -> Date {
    date.checked_sub((i64::from(date.day()) - 1).days())
        .unwrap_or(date)
}

/// Returns the instant at which a period of local time began.
fn since(now: SystemTime, start: fn(Date) -> Date) -> Option<SystemTime> {
    let now = Timestamp::try_from(now)
        .ok()?
        .to_zoned(local_zone().clone());
    let start = start(now.date()).to_zoned(local_zone().clone()).ok()?;
    Some(start.timestamp().into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{ChannelId, ChatId, ModelCall, Route, Usage};

    fn call(at: SystemTime, cost: Option<f64>) -> ModelCall {
        ModelCall {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            purpose: "turn",
            outcome: "ok",
            usage: Usage::default(),
            cost: cost.map(|cost| (cost, "USD".to_owned())),
            latency: Duration::ZERO,
            first_token: None,
            attempts: 1,
            at,
        }
    }

    #[test]
    fn days_and_months_are_counted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let now = SystemTime::now();
        let long_ago = now - Duration::from_secs(40 * 86_400);
        db.write(|tx| {
            let route = Route {
                channel: ChannelId::new("c").unwrap(),
                chat: ChatId::new("d").unwrap(),
            };
            let turn = tx.begin_turn(tx.current_dialog(&route, now)?.key, now)?;
            tx.record_model_call(turn, &call(long_ago, Some(100.0)))?;
            tx.record_model_call(turn, &call(now, None))?;
            tx.record_model_call(turn, &call(now, Some(1.5)))
        })
        .unwrap();
        let budget = |per_day, per_month| Budget {
            per_day,
            per_month,
            currency: "USD".to_owned(),
        };
        assert_eq!(budget(Some(2.0), Some(2.0)).refusal(&db, now), None);
        let refusal = budget(Some(1.5), None).refusal(&db, now).unwrap();
        assert!(refusal.contains("today") && refusal.contains("1.50 of 1.50 USD"));
        let refusal = budget(None, Some(1.0)).refusal(&db, now).unwrap();
        assert!(refusal.contains("this month"));
        let euros = Budget {
            currency: "EUR".to_owned(),
            ..budget(Some(0.1), None)
        };
        assert_eq!(euros.refusal(&db, now), None);
    }
}
