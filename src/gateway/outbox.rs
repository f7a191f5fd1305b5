//! The outbox table as its sender sees it: due rows one by one, and the end of what has waited too long.
//!
//! A message that could not be delivered in time is not sent hours later: its chat gets one short notice instead, and
//! the message stays among the dead letters. Runs on `outbound`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::channels::outbound::{Next, Outbox, Pending};
use crate::storage::{Db, Delivery, Expired, StorageError, Tx};

/// A notice is of use for longer than what it is about.
const NOTICE_AGE: Duration = Duration::from_secs(24 * 3_600);
/// Longest wait for a due time; a clock that was set back must not hold a delivery up for long.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The table, and how old a message may get in it.
pub(super) struct OutboxRows {
    db: Arc<Db>,
    max_age: Duration,
}

impl OutboxRows {
    pub(super) fn new(db: Arc<Db>, max_age: Duration) -> Self {
        Self { db, max_age }
    }

    fn next(&self, tx: &Tx<'_>, now: SystemTime) -> Result<Next, StorageError> {
        let before = |age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let oldest_notice = before(NOTICE_AGE.max(self.max_age));
        for expired in tx.expire_deliveries(before(self.max_age), oldest_notice, now)? {
            log::warn!(
                "{} messages to {}:{} were not delivered in time",
                expired.n,
                expired.route.channel,
                expired.route.chat
            );
            tx.add_notice(&notice(&expired), now)?;
        }
        if let Some(row) = tx.begin_delivery(now)? {
            return Ok(Next::Deliver(Pending {
                id: row.id,
                route: row.delivery.route,
                body: row.delivery.body,
                idempotency_key: row.delivery.idempotency_key,
                answers: row.answers,
                attempts: row.attempts,
            }));
        }
        Ok(match tx.next_delivery_due()? {
            Some(due) => {
                let wait = due.duration_since(now).unwrap_or_default();
                Next::Wait(wait.clamp(Duration::from_millis(1), LONGEST_WAIT))
            }
            None => Next::Empty,
        })
    }
}

fn notice(expired: &Expired) -> Delivery {
    let count = match expired.n {
        1 => "A message".to_owned(),
        n => format!("{n} messages"),
    };
    let sure = if expired.may_have_arrived {
        "was not delivered in time, though part of it may have arrived"
    } else {
        "could not be delivered in time and was not sent"
    };
    let sure = match expired.n {
        1 => sure.to_owned(),
        _ => sure
            .replacen("was", "were", 1)
            .replace("and was", "and were"),
    };
    Delivery {
        route: expired.route.clone(),
        body: format!("{count} of PicoBot {sure}. Ask again if you still need it."),
        idempotency_key: format!("late-{}", expired.last),
        input: None,
    }
}

impl Outbox for OutboxRows {
    fn resume(&mut self) -> Result<(), String> {
        self.db.write(|tx| tx.make_deliveries_due()).map_err(text)
    }

    fn begin(&mut self) -> Result<Next, String> {
        let now = SystemTime::now();
        self.db.write(|tx| self.next(tx, now)).map_err(text)
    }

    fn postpone(&mut self, id: i64, pause: Duration, why: &str) -> Result<(), String> {
        let due = SystemTime::now() + pause;
        self.db
            .write(|tx| tx.postpone_delivery(id, due, why))
            .map_err(text)
    }

    fn end(&mut self, id: i64, result: Result<(), &str>) -> Result<(), String> {
        let now = SystemTime::now();
        self.db
            .write(|tx| tx.end_delivery(id, result, now))
            .map_err(text)
    }
}

fn text(error: StorageError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChannelId, ChatId, Route};
    use crate::storage::Shown;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_is_too_old_becomes_one_notice() {
        let dir = tempfile::tempdir().unwrap();
        let db = Arc::new(Db::open(&dir.path().join("picobot.db"), false).unwrap());
        let now = SystemTime::now();
        let route = Route {
            channel: ChannelId::new("push").unwrap(),
            chat: ChatId::new("a").unwrap(),
        };
        let add = |key: &str, at| {
            let delivery = Delivery {
                route: route.clone(),
                body: key.to_owned(),
                idempotency_key: key.to_owned(),
                input: None,
            };
            db.write(|tx| tx.add_delivery(&delivery, at)).unwrap();
        };
        add("old", now - 3 * HOUR);
        add("older", now - 5 * HOUR);
        add("new", now);
        let mut rows = OutboxRows::new(db.clone(), HOUR);
        let mut sent = Vec::new();
        while let Next::Deliver(pending) = rows.begin().unwrap() {
            sent.push((pending.body, pending.idempotency_key));
            rows.end(pending.id, Ok(())).unwrap();
        }
        let notice = "2 messages of PicoBot could not be delivered in time and were not sent. \
                      Ask again if you still need it.";
        assert_eq!(
            sent,
            [
                ("new".to_owned(), "new".to_owned()),
                (notice.to_owned(), "late-2".to_owned())
            ]
        );
        let dead = db.read(|tx| tx.deliveries(Shown::Undelivered, 10)).unwrap();
        assert_eq!(dead.len(), 2);
        assert!(dead.iter().all(|row| row.state == "expired"));
    }

    #[test]
    fn a_notice_says_what_is_known() {
        let expired = |n, may_have_arrived| Expired {
            route: Route {
                channel: ChannelId::new("push").unwrap(),
                chat: ChatId::new("a").unwrap(),
            },
            n,
            may_have_arrived,
            last: 7,
        };
        let said = |n, begun| notice(&expired(n, begun)).body;
        assert!(
            said(1, false).starts_with(
                "A message of PicoBot could not be delivered in time and was not sent."
            )
        );
        assert!(
            said(3, true)
                .starts_with("3 messages of PicoBot were not delivered in time, though part")
        );
    }

    #[test]
    fn a_postponed_delivery_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let db = Arc::new(Db::open(&dir.path().join("picobot.db"), false).unwrap());
        let route = Route {
            channel: ChannelId::new("push").unwrap(),
            chat: ChatId::new("a").unwrap(),
        };
        let delivery = Delivery {
            route,
            body: "text".to_owned(),
            idempotency_key: "key".to_owned(),
            input: None,
        };
        db.write(|tx| tx.add_delivery(&delivery, SystemTime::now()))
            .unwrap();
        let mut rows = OutboxRows::new(db, HOUR);
        let Next::Deliver(pending) = rows.begin().unwrap() else {
            panic!("nothing is due");
        };
        rows.postpone(pending.id, Duration::from_secs(60), "busy")
            .unwrap();
        let Next::Wait(wait) = rows.begin().unwrap() else {
            panic!("it is not waited for");
        };
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
        rows.resume().unwrap();
        assert!(matches!(rows.begin().unwrap(), Next::Deliver(again) if again.attempts == 2));
    }
}
