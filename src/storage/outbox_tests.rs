//! Tests of the `outbox` table: due times, expiry, dead letters.

use std::time::{Duration, SystemTime};

use super::*;
use crate::storage::Db;

const HOUR: Duration = Duration::from_secs(3_600);

fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
    (dir, db)
}

fn delivery(chat: &str, key: &str) -> Delivery {
    Delivery {
        route: Route {
            channel: ChannelId::new("push").unwrap(),
            chat: ChatId::new(chat).unwrap(),
        },
        body: format!("text of {key} 中文"),
        idempotency_key: key.to_owned(),
        input: None,
    }
}

fn states(db: &Db) -> Vec<String> {
    let mut all = db.read(|tx| tx.deliveries(Shown::All, 100)).unwrap();
    all.reverse();
    all.into_iter().map(|row| row.state).collect()
}

#[test]
fn a_postponed_delivery_waits_for_its_time() {
    let (_dir, db) = open();
    let now = SystemTime::now();
    db.write(|tx| {
        tx.add_delivery(&delivery("a", "1"), now)?;
        tx.add_delivery(&delivery("a", "1"), now)?;
        assert_eq!(tx.next_delivery_due()?, Some(SystemTime::UNIX_EPOCH));
        let first = tx.begin_delivery(now)?.unwrap();
        assert_eq!((first.id, first.attempts), (1, 1));
        tx.postpone_delivery(first.id, now + HOUR, "busy")?;
        assert_eq!(tx.begin_delivery(now)?, None);
        let due = tx.next_delivery_due()?.unwrap();
        assert!(due > now && due <= now + HOUR);
        let again = tx.begin_delivery(now + HOUR)?.unwrap();
        assert_eq!(again.attempts, 2);
        tx.postpone_delivery(again.id, now + 2 * HOUR, "busy")?;
        tx.make_deliveries_due()?;
        assert!(tx.begin_delivery(now)?.is_some());
        tx.end_delivery(1, Ok(()), now)?;
        assert_eq!(tx.next_delivery_due()?, None);
        Ok(())
    })
    .unwrap();
    assert_eq!(states(&db), ["sent"]);
}

#[test]
fn nothing_overtakes_an_earlier_delivery_of_its_chat() {
    let (_dir, db) = open();
    let now = SystemTime::now();
    db.write(|tx| {
        for (chat, key) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("b", "5")] {
            tx.add_delivery(&delivery(chat, key), now)?;
        }
        let first = tx.begin_delivery(now)?.unwrap();
        assert_eq!(first.id, 1);
        tx.postpone_delivery(1, now + HOUR, "busy")?;
        // The other chat goes on; then there is nothing to do for an hour.
        for id in [3, 5] {
            assert_eq!(tx.begin_delivery(now)?.unwrap().id, id);
            tx.end_delivery(id, Ok(()), now)?;
        }
        assert_eq!(tx.begin_delivery(now)?, None);
        assert!(tx.next_delivery_due()?.unwrap() > now);
        for id in [1, 2, 4] {
            let next = tx.begin_delivery(now + HOUR)?.unwrap();
            assert_eq!(next.id, id);
            let result = if id == 2 { Err("refused") } else { Ok(()) };
            tx.end_delivery(id, result, now)?;
        }
        assert_eq!(tx.next_delivery_due()?, None);
        Ok(())
    })
    .unwrap();
    assert_eq!(states(&db), ["sent", "failed", "sent", "sent", "sent"]);
}

#[test]
fn old_messages_expire_by_chat_and_notices_later() {
    let (_dir, db) = open();
    let then = SystemTime::now();
    let now = then + 2 * HOUR;
    let expired = db
        .write(|tx| {
            tx.add_delivery(&delivery("a", "1"), then)?;
            tx.begin_delivery(then)?;
            tx.add_delivery(&delivery("b", "2"), then)?;
            tx.add_delivery(&delivery("a", "3"), then)?;
            tx.add_notice(&delivery("a", "4"), then)?;
            tx.add_delivery(&delivery("a", "5"), now)?;
            tx.expire_deliveries(now - HOUR, now - 24 * HOUR, now)
        })
        .unwrap();
    let found: Vec<_> = expired
        .iter()
        .map(|one| {
            (
                one.route.chat.as_str(),
                one.n,
                one.may_have_arrived,
                one.last,
            )
        })
        .collect();
    assert_eq!(found, [("a", 2, true, 3), ("b", 1, false, 2)]);
    assert_eq!(
        states(&db),
        ["expired", "expired", "expired", "pending", "pending"]
    );
}

#[test]
fn dead_letters_are_listed_retried_and_dropped() {
    let (_dir, db) = open();
    let then = SystemTime::now();
    let now = then + 2 * HOUR;
    db.write(|tx| {
        for key in ["1", "2", "3"] {
            tx.add_delivery(&delivery("a", key), then)?;
        }
        tx.end_delivery(1, Err("the chat is gone"), then)?;
        tx.end_delivery(2, Ok(()), then)
    })
    .unwrap();
    let shown = db.read(|tx| tx.deliveries(Shown::Undelivered, 10)).unwrap();
    let ids: Vec<_> = shown.iter().map(|row| row.id).collect();
    assert_eq!(ids, [3, 1]);
    assert_eq!(shown[1].error.as_deref(), Some("the chat is gone"));
    assert_eq!(shown[1].to, "push:a");
    assert!(shown[1].finished_at.is_some());

    let retried = db.write(|tx| tx.retry_deliveries(None, now)).unwrap();
    assert_eq!(retried.len(), 1);
    assert_eq!((retried[0].id, retried[0].attempts), (1, 0));
    // It counts as new: it does not expire at once.
    db.write(|tx| tx.expire_deliveries(now - HOUR, now, now))
        .unwrap();
    assert_eq!(states(&db), ["pending", "sent", "expired"]);

    let dropped = db
        .write(|tx| tx.drop_deliveries(Some(&[1, 2, 99]), now))
        .unwrap();
    assert_eq!(dropped.iter().map(|row| row.id).collect::<Vec<_>>(), [1]);
    assert_eq!(states(&db), ["dropped", "sent", "expired"]);
    // Its sending was under way and came to an end: only an arrival changes what the person said.
    db.write(|tx| tx.end_delivery(1, Err("refused"), now))
        .unwrap();
    assert_eq!(states(&db)[0], "dropped");
    assert_eq!(
        db.write(|tx| tx.retry_deliveries(Some(&[1]), now))
            .unwrap()
            .len(),
        1
    );
    assert!(
        db.write(|tx| tx.retry_deliveries(Some(&[]), now))
            .unwrap()
            .is_empty()
    );
}
