//! Messages that tools send: stored in the outbox, to chats that the channels know. Called by turns.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam_channel::Sender;

use crate::chat::{ChannelId, ChatId, Route, SessionId};
use crate::storage::{Db, Delivery, StorageError};
use crate::tools::{Courier, random_hex};

/// Chats named to a model that gave none that is known.
const NAMED_CHATS: usize = 10;

/// The outbox as tools see it.
pub(super) struct OutboxCourier {
    pub(super) db: Arc<Db>,
    /// Channels that push.
    pub(super) pushing: HashSet<ChannelId>,
    /// Wakes the sender.
    pub(super) wake: Sender<()>,
}

impl Courier for OutboxCourier {
    fn post(&self, from: &SessionId, to: Option<&str>, body: &str) -> Result<String, String> {
        let route = match to {
            Some(to) => route_of(to).ok_or_else(|| self.unknown(to))?,
            None if self.pushing.contains(&from.channel) => from.route(),
            None => {
                return Err(
                    "This chat reads your answers and nothing else; say it in your answer."
                        .to_owned(),
                );
            }
        };
        let place = format!("{}:{}", route.channel, route.chat);
        if !self.pushing.contains(&route.channel) {
            return Err(self.unknown(&place));
        }
        let delivery = Delivery {
            route,
            body: body.to_owned(),
            idempotency_key: format!("tool-{}", random_hex::<16>()),
            input: None,
        };
        let stored = self.db.write(|tx| {
            let known = tx.is_known_chat(&delivery.route)?;
            if known {
                tx.add_delivery(&delivery, SystemTime::now())?;
            }
            Ok(known)
        });
        match stored {
            Ok(true) => {
                // Full: the sender is awake already.
                let _ = self.wake.try_send(());
                Ok(place)
            }
            Ok(false) => Err(self.unknown(&place)),
            Err(error) => Err(not_stored(&error)),
        }
    }
}

impl OutboxCourier {
    fn unknown(&self, to: &str) -> String {
        let mut channels: Vec<&ChannelId> = self.pushing.iter().collect();
        channels.sort();
        let known = self.db.read(|tx| {
            let mut known = Vec::new();
            for channel in channels {
                let chats = tx.chats_of(channel, NAMED_CHATS - known.len())?;
                known.extend(chats.iter().map(|chat| format!("{channel}:{chat}")));
            }
            Ok(known)
        });
        let shown: String = to.chars().take(100).collect();
        match known {
            Ok(known) if known.is_empty() => {
                format!(
                    "There is no chat {shown:?}, and no other yet: nobody has written to the bot."
                )
            }
            Ok(known) => format!(
                "There is no chat {shown:?}. Known are: {}.",
                known.join(", ")
            ),
            Err(error) => not_stored(&error),
        }
    }
}

fn route_of(text: &str) -> Option<Route> {
    let (channel, chat) = text.split_once(':')?;
    Some(Route {
        channel: ChannelId::new(channel).ok()?,
        chat: ChatId::new(chat).ok()?,
    })
}

fn not_stored(error: &StorageError) -> String {
    log::error!("a message of a tool was not stored: {error}");
    "The message could not be stored, so it is not sent.".to_owned()
}
