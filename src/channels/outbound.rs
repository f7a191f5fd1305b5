//! The `outbound` thread: sends what stands in the outbox to channels that push, oldest first.
//!
//! Reads and marks rows through [`Outbox`], hands texts to a [`PushChannel`], and waits for a wake-up or for the next
//! retry. A row is marked begun before it is sent and goes out with its idempotency key, so that a repeat after a crash
//! can be told by the far side. Clients of the gateway's own port are not served here: their answers are in the
//! database and they read what they missed.

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::chat::{ChannelId, Route};

/// Pauses between tries of one delivery; after the last the delivery has failed.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

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
    /// How often it was begun, this time included.
    pub attempts: u32,
}

/// Where deliveries are kept.
pub trait Outbox: Send {
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

/// The sender's state; lives on its thread.
pub struct Dispatcher<O> {
    outbox: O,
    channels: HashMap<ChannelId, Box<dyn PushChannel>>,
}

impl<O: Outbox> Dispatcher<O> {
    /// Makes a sender for these channels.
    pub fn new(outbox: O, channels: HashMap<ChannelId, Box<dyn PushChannel>>) -> Self {
        Self { outbox, channels }
    }

    /// Sends until the wake-up queue is closed. What an earlier process left goes first.
    pub fn run(mut self, wake: &Receiver<()>) {
        loop {
            let next = self.sweep();
            let woken = match next {
                None => wake.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => wake.recv_timeout(pause),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Tries every open delivery once; returns the pause before the next try, if any is left.
    fn sweep(&mut self) -> Option<Duration> {
        let mut after = 0;
        let mut next: Option<Duration> = None;
        loop {
            let pending = match self.outbox.begin(after) {
                Ok(Some(pending)) => pending,
                Ok(None) => return next,
                Err(error) => {
                    log::error!("the outbox cannot be read: {error}");
                    return Some(PAUSES[1]);
                }
            };
            after = pending.id;
            let pause = self.deliver(&pending);
            next = match (next, pause) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
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
        let retry = usize::try_from(pending.attempts.saturating_sub(1))
            .ok()
            .and_then(|n| PAUSES.get(n));
        let result = match (sent, retry) {
            (Ok(()), _) => Ok(()),
            (Err(PushError::Temporary(why)), Some(pause)) => {
                log::warn!(
                    "delivery {} did not arrive, trying again: {why}",
                    pending.id
                );
                return Some(*pause);
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
        assert_eq!(dispatcher.sweep(), None);
        assert_eq!(*keys.lock().unwrap(), ["key 0", "key 2"]);
        assert_eq!(
            rows.states(),
            ["sent", "channel gone is not configured", "sent"]
        );
    }

    #[test]
    fn tries_again_with_the_same_key_and_gives_up_at_last() {
        let rows = Rows::with(&["push"]);
        let script = vec![Err(PushError::Temporary("busy".into())); 6];
        let (mut dispatcher, keys) = dispatcher(&rows, script);
        for pause in PAUSES {
            assert_eq!(dispatcher.sweep(), Some(pause));
        }
        assert_eq!(dispatcher.sweep(), None);
        assert_eq!(*keys.lock().unwrap(), vec!["key 0"; 6]);
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
