//! Feishu and Lark bots in the gateway: their store over the database, and the sink that parts their messages from
//! those of the port's clients.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::bus::{Outbound, Sink};
use crate::channels::feishu::{
    Account, CardTrace, Codes, Feishu, FeishuSink, Files, Hook, HookRequest, Store, StoreError,
    StoredEvent, Trace,
};
use crate::config::{Config, FeishuConfig, FeishuMode};
use crate::net::Trust;
use crate::observability::{ChannelHealth, Health};
use crate::storage::{Db, FeishuEvent, StorageError};
use crate::threads::{Fatal, Thread, spawn_actor};
use crate::tools::Workspace;

use super::door::{DoorSink, Posted};

/// Returns the enabled bots, each with what it keeps; their states appear on the health page.
pub(super) fn accounts(
    config: &Config,
    db: &Arc<Db>,
    health: &Health,
    workspace: &Arc<Workspace>,
) -> anyhow::Result<Vec<Account>> {
    let enabled = config.channels.feishu.iter().filter(|bot| bot.enabled);
    let account = |bot: &FeishuConfig| {
        Ok(Account {
            trust: trust(bot)?,
            open_folders: open_folders(config),
            store: Arc::new(Rows {
                db: db.clone(),
                channel: bot.name.clone(),
            }),
            health: Arc::new(ChannelHealth::new(&bot.name)),
            codes: codes(&config.state_dir),
            files: Arc::new(WorkspaceFiles(workspace.clone())),
            config: bot.clone(),
        })
    };
    let accounts = enabled.map(account).collect::<anyhow::Result<Vec<_>>>()?;
    let states = accounts.iter().map(|account| account.health.clone());
    // Set once: the gateway starts its bots once.
    let _ = health.channels.set(states.collect());
    Ok(accounts)
}

/// Returns whose certificates a bot trusts.
///
/// # Errors
///
/// If its `ca_file` cannot be read or holds something else; names the setting.
pub fn trust(bot: &FeishuConfig) -> anyhow::Result<Trust> {
    let Some(path) = &bot.ca_file else {
        return Ok(Trust::public());
    };
    let name = || {
        format!(
            "channels.feishu.ca_file {} of bot {}",
            path.display(),
            bot.name
        )
    };
    let pem = std::fs::read(path)
        .context("it cannot be read")
        .with_context(name)?;
    Trust::only(&pem)
        .map_err(anyhow::Error::msg)
        .with_context(name)
}

/// Returns the folders that commands may write to.
pub(super) fn open_folders(config: &Config) -> Vec<PathBuf> {
    let workspace = std::iter::once(&config.workspace_dir);
    workspace
        .chain(&config.sandbox.write_paths)
        .cloned()
        .collect()
}

/// Returns the pairing codes of the state folder.
pub fn codes(state_dir: &Path) -> Codes {
    Codes::in_folder(state_dir)
}

/// Requests that wait for the worker.
const POSTS: usize = 64;
/// Room for a posted text as deep as the JSON reader allows, in a build without optimisation too.
const HOOK_STACK_BYTES: usize = 1024 * 1024;

/// Paths that take posted requests, and the two ends of their queue.
pub(super) struct Posts {
    pub(super) paths: Vec<String>,
    pub(super) sender: Sender<Posted>,
    receiver: Receiver<Posted>,
}

/// Returns what bots in webhook mode need from the door; `None` if there are none.
pub(super) fn posts(config: &Config) -> Option<Posts> {
    let bots = config.channels.feishu.iter();
    let hooks = bots.filter(|bot| bot.enabled && bot.mode == FeishuMode::Webhook);
    let paths: Vec<String> = hooks.map(|bot| bot.webhook_path.clone()).collect();
    let (sender, receiver) = bounded(POSTS);
    (!paths.is_empty()).then_some(Posts {
        paths,
        sender,
        receiver,
    })
}

/// Starts `gateway-hook`, which answers posted requests until the door has ended.
pub(super) fn start_hooks(posts: Posts, bots: &Feishu, fatal: &Fatal) -> std::io::Result<Thread> {
    let hooks: HashMap<String, Hook> = bots.hooks().into_iter().collect();
    let receiver = posts.receiver;
    spawn_actor("gateway-hook", HOOK_STACK_BYTES, fatal, move || {
        for mut posted in receiver.iter() {
            let Some(hook) = hooks.get(&posted.path) else {
                posted.answer(404, "{}");
                continue;
            };
            let request = HookRequest {
                headers: std::mem::take(&mut posted.headers),
                body: std::mem::take(&mut posted.body),
            };
            let answer = hook.answer(&request);
            posted.answer(answer.status, &answer.body);
        }
    })
}

/// Parts messages of bots from those of the port's clients.
pub(super) struct Outlets {
    pub(super) door: DoorSink,
    pub(super) feishu: FeishuSink,
}

impl Sink for Outlets {
    fn push(&self, outbound: Outbound) {
        if let Some(outbound) = self.feishu.push(outbound) {
            self.door.push(outbound);
        }
    }

    fn room(&self) {
        self.door.room();
        self.feishu.room();
    }
}

/// The workspace as answers may show it: what the file tools may read.
struct WorkspaceFiles(Arc<Workspace>);

impl Files for WorkspaceFiles {
    fn read(&self, path: &str, max_bytes: usize) -> Option<Vec<u8>> {
        let file = self.0.file(path).ok()?;
        file.read_all(max_bytes as u64).ok()
    }
}

/// One bot's rows.
struct Rows {
    db: Arc<Db>,
    channel: String,
}

impl Store for Rows {
    fn record(&self, events: &[StoredEvent]) -> Result<Vec<bool>, StoreError> {
        let rows: Vec<FeishuEvent> = events
            .iter()
            .map(|event| FeishuEvent {
                message: event.message.clone(),
                chat: event.chat.clone(),
                chat_type: event.chat_type.clone(),
                thread: event.thread.clone(),
                event: event.event.clone(),
                received_at: event.received_at,
            })
            .collect();
        let added = self.db.write(|tx| {
            let record = |row| tx.record_feishu_event(&self.channel, row);
            rows.iter().map(record).collect::<Result<Vec<bool>, _>>()
        });
        added.map_err(explain)
    }

    fn open(&self) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = self.db.read(|tx| tx.open_feishu_events(&self.channel));
        let rows = rows.map_err(explain)?.into_iter();
        let events = rows.map(|row| StoredEvent {
            message: row.message,
            chat: row.chat,
            chat_type: row.chat_type,
            thread: row.thread,
            event: row.event,
            received_at: row.received_at,
        });
        Ok(events.collect())
    }

    fn close(&self, messages: &[String]) -> Result<(), StoreError> {
        // Losing it costs a look: the session knows what it has taken.
        let closed = self
            .db
            .write_relaxed(|tx| tx.close_feishu_events(&self.channel, messages));
        closed.map_err(explain)
    }

    fn trace(&self, message: &str) -> Result<Option<Trace>, StoreError> {
        let row = self.db.read(|tx| tx.feishu_trace(&self.channel, message));
        let trace = row.map_err(explain)?.map(|row| Trace {
            chat: row.chat,
            is_group: row.chat_type != "p2p",
            thread: row.thread,
            reaction: row.reaction,
            card: row
                .card
                .map(|(card, message, at)| CardTrace { card, message, at }),
        });
        Ok(trace)
    }

    fn set_reaction(&self, message: &str, reaction: Option<&str>) -> Result<(), StoreError> {
        let noted = self
            .db
            .write_relaxed(|tx| tx.set_feishu_reaction(&self.channel, message, reaction));
        noted.map_err(explain)
    }

    fn set_card(&self, message: &str, card: Option<&CardTrace>) -> Result<(), StoreError> {
        let card = card.map(|card| (card.card.as_str(), card.message.as_str(), card.at));
        let noted = self
            .db
            .write(|tx| tx.set_feishu_card(&self.channel, message, card));
        noted.map_err(explain)
    }

    fn newest_in(&self, chat: &str, thread: &str) -> Result<Option<String>, StoreError> {
        let found = self
            .db
            .read(|tx| tx.newest_feishu_message(&self.channel, chat, thread));
        found.map_err(explain)
    }

    fn people(&self) -> Result<Vec<(String, bool)>, StoreError> {
        let people = self.db.read(|tx| tx.feishu_people(&self.channel));
        people.map_err(explain)
    }

    fn add_person(&self, person: &str, is_owner: bool) -> Result<(), StoreError> {
        let now = SystemTime::now();
        let added = self
            .db
            .write(|tx| tx.add_feishu_person(&self.channel, person, is_owner, now));
        added.map_err(explain)
    }

    fn sweep(&self) -> Result<(), StoreError> {
        let now = SystemTime::now();
        while self
            .db
            .write_relaxed(|tx| tx.sweep_feishu_events(now))
            .map_err(explain)?
        {}
        Ok(())
    }
}

fn explain(error: StorageError) -> StoreError {
    StoreError(error.to_string())
}
