//! The `outbound` thread: sends what stands in the outbox to channels that push, oldest first.
//!
//! Reads and marks rows through [`Outbox`], hands texts to a [`PushChannel`], and waits for a wake-up or for the next
//! retry. A row is marked begun before it is sent and goes out with its idempotency key, so that a repeat after a crash
//! can be told by the far side. Clients of the gateway's own port are not served here: their answers are in the
//! database and they read what they missed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::chat::{ChannelId, Route};

/// Pauses between tries of one delivery; the last one is repeated.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// Tries of one delivery before it has failed, about a day's worth: an outage of the far side must not lose answers.
const MAX_TRIES: u32 = 150;

/// A delivery to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Its number; later ones are larger.
    pub id: i64,
    /// Where it goes.
    pub route: Route,
    /// The text.
    pub body: String,
    /// The same for every try.
    pub idempotency_key: String,
    /// The id that the channel gave the input which this answers.
    pub answers: Option<String>,
    /// How often it was begun, this time included.
    pub attempts: u32,
}

/// Where deliveries are kept.
pub trait Outbox: Send {
    /// Returns the number of the oldest open delivery behind a number.
    fn next(&mut self, after: i64) -> Result<Option<i64>, String>;
    /// Returns the oldest open delivery behind a number and marks it begun.
    fn begin(&mut self, after: i64) -> Result<Option<Pending>, String>;
    /// Marks a delivery as arrived, or as failed for good.
    fn end(&mut self, id: i64, result: Result<(), &str>) -> Result<(), String>;
}

/// Why a delivery did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Trying again may help.
    #[error("{0}")]
    Temporary(String),
    /// Trying again would not help.
    #[error("{0}")]
    Permanent(String),
}

/// A channel that sends on its own.
pub trait PushChannel: Send {
    /// Sends a text; blocks until the far side has taken or refused it.
    fn push(&mut self, pending: &Pending) -> Result<(), PushError>;
}

/// Channels that push, by name.
pub type PushChannels = HashMap<ChannelId, Box<dyn PushChannel>>;

/// The sender's state; lives on its thread.
pub struct Dispatcher<O> {
    outbox: O,
    channels: PushChannels,
    /// When deliveries that did not arrive are tried again; in a new process at once.
    due: HashMap<i64, Instant>,
}

impl<O: Outbox> Dispatcher<O> {
    /// Makes a sender for these channels.
    pub fn new(outbox: O, channels: PushChannels) -> Self {
        Self {
            outbox,
            channels,
            due: HashMap::new(),
        }
    }

    /// Sends until the wake-up queue is closed. What an earlier process left goes first.
    pub fn run(mut self, wake: &Receiver<()>) {
        loop {
            let next = self.sweep(Instant::now());
            let woken = match next {
                None => wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => wake.recv_deadline(due),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Tries every open delivery that is due once; returns when the next is due, if any is left.
    fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let mut after = 0;
        let mut next: Option<Instant> = None;
        loop {
            let due = match self.try_next(after, now) {
                Ok(Some((id, due))) => {
                    after = id;
                    due
                }
                Ok(None) => return next,
                Err(error) => {
                    log::error!("the outbox cannot be read: {error}");
                    return Some(now + PAUSES[1]);
                }
            };
            next = match (next, due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }

    /// Tries the oldest open delivery behind a number if it is due; returns its number, and when it is due again.
    fn try_next(
        &mut self,
        after: i64,
        now: Instant,
    ) -> Result<Option<(i64, Option<Instant>)>, String> {
        let Some(id) = self.outbox.next(after)? else {
            return Ok(None);
        };
        if let Some(due) = self.due.get(&id).filter(|due| **due > now) {
            return Ok(Some((id, Some(*due))));
        }
        let Some(pending) = self.outbox.begin(id - 1)? else {
            return Ok(None);
        };
        let due = self.deliver(&pending).map(|pause| now + pause);
        match due {
            Some(due) => self.due.insert(pending.id, due),
            None => self.due.remove(&pending.id),
        };
        Ok(Some((pending.id, due)))
    }

    /// Tries one delivery; returns the pause before its next try if it is still open.
    fn deliver(&mut self, pending: &Pending) -> Option<Duration> {
        let sent = match self.channels.get_mut(&pending.route.channel) {
            Some(channel) => channel.push(pending),
            None => Err(PushError::Permanent(format!(
                "channel {} is not configured",
                pending.route.channel
            ))),
        };
        let tried = usize::try_from(pending.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = PAUSES[PAUSES.len() - 1];
        let pause = PAUSES.get(tried).copied().unwrap_or(last);
        let retry = (pending.attempts < MAX_TRIES).then_some(pause);
        let result = match (sent, retry) {
            (Ok(()), _) => Ok(()),
            (Err(PushError::Temporary(why)), Some(pause)) => {
                log::warn!(
                    "delivery {} did not arrive, trying again: {why}",
                    pending.id
                );
                return Some(pause);
            }
            (Err(error), _) => Err(error.to_string()),
        };
        if let Err(why) = &result {
            log::error!("delivery {} failed: {why}", pending.id);
        }
        let marked = self
            .outbox
            .end(pending.id, result.as_ref().copied().map_err(String::as_str));
        if let Err(error) = marked {
            log::error!("the outbox cannot be written: {error}");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::chat::ChatId;

    #[derive(Clone, Default)]
    struct Rows(Arc<Mutex<Vec<(Pending, String)>>>);

    impl Rows {
        fn with(channels: &[&str]) -> Self {
            let rows = channels.iter().enumerate().map(|(index, channel)| {
                let pending = Pending {
                    id: index as i64 + 1,
                    route: Route {
                        channel: ChannelId::new(channel).unwrap(),
                        chat: ChatId::new("c").unwrap(),
                    },
                    body: format!("text {index}"),
                    idempotency_key: format!("key {index}"),
                    answers: None,
                    attempts: 0,
                };
                (pending, "pending".to_owned())
            });
            Self(Arc::new(Mutex::new(rows.collect())))
        }

        fn states(&self) -> Vec<String> {
            self.0
                .lock()
                .unwrap()
                .iter()
                .map(|row| row.1.clone())
                .collect()
        }
    }

    impl Outbox for Rows {
        fn next(&mut self, after: i64) -> Result<Option<i64>, String> {
            let rows = self.0.lock().unwrap();
            let open = rows
                .iter()
                .find(|(row, state)| row.id > after && (state == "pending" || state == "started"));
            Ok(open.map(|(row, _)| row.id))
        }

        fn begin(&mut self, after: i64) -> Result<Option<Pending>, String> {
            let mut rows = self.0.lock().unwrap();
            let open = rows
                .iter_mut()
                .find(|(row, state)| row.id > after && (state == "pending" || state == "started"));
            Ok(open.map(|(row, state)| {
                row.attempts += 1;
                *state = "started".to_owned();
                row.clone()
            }))
        }

        fn end(&mut self, id: i64, result: Result<(), &str>) -> Result<(), String> {
            let mut rows = self.0.lock().unwrap();
            let row = rows
                .iter_mut()
                .find(|(row, _)| row.id == id)
                .ok_or("gone")?;
            row.1 = result.map_or_else(str::to_owned, |()| "sent".to_owned());
            Ok(())
        }
    }

    struct Scripted(Vec<Result<(), PushError>>, Arc<Mutex<Vec<String>>>);

    impl PushChannel for Scripted {
        fn push(&mut self, pending: &Pending) -> Result<(), PushError> {
            self.1.lock().unwrap().push(pending.idempotency_key.clone());
            if self.0.is_empty() {
                Ok(())
            } else {
                self.0.remove(0)
            }
        }
    }

    fn dispatcher(
        rows: &Rows,
        script: Vec<Result<(), PushError>>,
    ) -> (Dispatcher<Rows>, Arc<Mutex<Vec<String>>>) {
        let keys = Arc::new(Mutex::new(Vec::new()));
        let channel: Box<dyn PushChannel> = Box::new(Scripted(script, keys.clone()));
        let channels = HashMap::from([(ChannelId::new("push").unwrap(), channel)]);
        (Dispatcher::new(rows.clone(), channels), keys)
    }

    #[test]
    fn sends_in_order_and_marks() {
        let rows = Rows::with(&["push", "gone", "push"]);
        let (mut dispatcher, keys) = dispatcher(&rows, Vec::new());
        assert_eq!(dispatcher.sweep(Instant::now()), None);
        assert_eq!(*keys.lock().unwrap(), ["key 0", "key 2"]);
        assert_eq!(
            rows.states(),
            ["sent", "channel gone is not configured", "sent"]
        );
    }

    #[test]
    fn tries_again_with_the_same_key_and_gives_up_at_last() {
        let rows = Rows::with(&["push"]);
        let tries = usize::try_from(MAX_TRIES).unwrap();
        let script = vec![Err(PushError::Temporary("busy".into())); tries];
        let (mut dispatcher, keys) = dispatcher(&rows, script);
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        while let Some(due) = dispatcher.sweep(now) {
            assert_eq!(dispatcher.sweep(now), Some(due), "nothing is tried early");
            pauses.push(due - now);
            now = due;
        }
        assert_eq!(pauses[..PAUSES.len()], PAUSES);
        assert!(
            pauses[PAUSES.len()..]
                .iter()
                .all(|pause| *pause == PAUSES[4])
        );
        assert_eq!(*keys.lock().unwrap(), vec!["key 0"; tries]);
        assert_eq!(rows.states(), ["busy"]);
    }

    #[test]
    fn ends_when_nobody_can_wake_it() {
        let rows = Rows::with(&["push"]);
        let (dispatcher, _) = dispatcher(&rows, Vec::new());
        let (wake, woken) = crossbeam_channel::bounded(1);
        drop(wake);
        dispatcher.run(&woken);
        assert_eq!(rows.states(), ["sent"]);
    }
}
