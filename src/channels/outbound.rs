//! The `outbound` thread: sends what stands in the outbox to channels that push, oldest first.
//!
//! Reads and marks rows through [`Outbox`], hands texts to a [`PushChannel`], and waits for a wake-up or for the time of
//! the next try. A row is marked begun before it is sent and goes out with its idempotency key, so that a repeat after a
//! crash can be told by the far side. What may still arrive is tried again until it is too old; how old that is, and who
//! is told, is the outbox's business. Clients of the gateway's own port are not served here: their answers are in the
//! database and they read what they missed.

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::chat::{ChannelId, Route};

/// Pauses between tries of one delivery; the last one is repeated until the delivery is too old.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// Pause after a fault of the outbox itself.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

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

/// What the outbox has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// This delivery is due and marked begun.
    Deliver(Pending),
    /// Nothing is due for so long.
    Wait(Duration),
    /// Nothing is open.
    Empty,
}

/// Where deliveries are kept.
pub trait Outbox: Send {
    /// Makes everything due that an earlier process left.
    fn resume(&mut self) -> Result<(), String>;
    /// Returns the oldest delivery that is due, marked begun; gives up what is too old.
    fn begin(&mut self) -> Result<Next, String>;
    /// Notes that a delivery is tried again after a pause, and why it did not arrive.
    fn postpone(&mut self, id: i64, pause: Duration, why: &str) -> Result<(), String>;
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
}

impl<O: Outbox> Dispatcher<O> {
    /// Makes a sender for these channels.
    pub fn new(outbox: O, channels: PushChannels) -> Self {
        Self { outbox, channels }
    }

    /// Sends until the wake-up queue is closed. What an earlier process left goes first.
    pub fn run(mut self, wake: &Receiver<()>) {
        if let Err(error) = self.outbox.resume() {
            log::error!("the outbox cannot be written: {error}");
        }
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

    /// Tries every delivery that is due; returns the pause before the next try, if any is left.
    fn sweep(&mut self) -> Option<Duration> {
        loop {
            let done = match self.outbox.begin() {
                Ok(Next::Deliver(pending)) => self.deliver(&pending),
                Ok(Next::Wait(pause)) => return Some(pause),
                Ok(Next::Empty) => return None,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                log::error!("the outbox cannot be used: {error}");
                return Some(FAULT_PAUSE);
            }
        }
    }

    /// Tries one delivery and notes how that went.
    fn deliver(&mut self, pending: &Pending) -> Result<(), String> {
        let id = pending.id;
        let sent = match self.channels.get_mut(&pending.route.channel) {
            Some(channel) => channel.push(pending),
            None => Err(PushError::Permanent(format!(
                "channel {} is not configured",
                pending.route.channel
            ))),
        };
        match sent {
            Ok(()) => self.outbox.end(id, Ok(())),
            Err(PushError::Temporary(why)) => {
                log::warn!("delivery {id} did not arrive, trying again: {why}");
                let tries = usize::try_from(pending.attempts.saturating_sub(1));
                let tries = tries.unwrap_or(usize::MAX).min(PAUSES.len() - 1);
                self.outbox.postpone(id, PAUSES[tries], &why)
            }
            Err(PushError::Permanent(why)) => {
                log::error!("delivery {id} failed: {why}");
                self.outbox.end(id, Err(&why))
            }
        }
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
        fn resume(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn begin(&mut self) -> Result<Next, String> {
            let mut rows = self.0.lock().unwrap();
            let open = rows
                .iter_mut()
                .find(|(_, state)| state == "pending" || state == "started");
            if let Some((row, state)) = open {
                row.attempts += 1;
                *state = "started".to_owned();
                return Ok(Next::Deliver(row.clone()));
            }
            let waits = rows
                .iter()
                .find_map(|(_, state)| state.strip_prefix("waits "));
            Ok(match waits {
                Some(secs) => Next::Wait(Duration::from_secs(secs.parse().unwrap())),
                None => Next::Empty,
            })
        }

        fn postpone(&mut self, id: i64, pause: Duration, _: &str) -> Result<(), String> {
            let mut rows = self.0.lock().unwrap();
            let row = rows.iter_mut().find(|(row, _)| row.id == id);
            row.ok_or("gone")?.1 = format!("waits {}", pause.as_secs());
            Ok(())
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
    fn tries_again_with_the_same_key_and_longer_pauses() {
        let rows = Rows::with(&["push"]);
        let script = vec![Err(PushError::Temporary("busy".into())); 7];
        let (mut dispatcher, keys) = dispatcher(&rows, script);
        for pause in PAUSES.into_iter().chain([PAUSES[4]; 2]) {
            assert_eq!(dispatcher.sweep(), Some(pause));
            rows.0.lock().unwrap()[0].1 = "pending".to_owned();
        }
        assert_eq!(dispatcher.sweep(), None);
        assert_eq!(*keys.lock().unwrap(), vec!["key 0"; 8]);
        assert_eq!(rows.states(), ["sent"]);
    }

    #[test]
    fn what_cannot_arrive_fails_at_once() {
        let rows = Rows::with(&["push"]);
        let (mut dispatcher, _) = dispatcher(&rows, vec![Err(PushError::Permanent("no".into()))]);
        assert_eq!(dispatcher.sweep(), None);
        assert_eq!(rows.states(), ["no"]);
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
