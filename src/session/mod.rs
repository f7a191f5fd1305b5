//! Dialogs: routing, life cycle, slash commands, queues, turns, cancelling, persistence.
//!
//! Threads: `session` (the actor: decides, short SQL), `query` (long reads), `turn-N` (one turn each). The actor reads
//! the two lanes of `bus` and the turns' ends; it commits inputs in batches before it acknowledges them. Not here: the
//! model and tool loop (`agent`), sockets (`gateway`), what a message looks like to a client (`channels`).

mod active;
mod actor;
mod admit;
mod apply;
mod approvals;
mod budget;
mod clients;
mod commands;
mod compress;
mod detail;
mod ending;
mod inputs;
mod journal;
mod ops;
mod outage;
mod outbox;
mod prompt;
mod query;
mod recover;
mod replies;
mod search;
mod steer;
mod stop;
mod take_back;
mod times;
mod title;
mod transcript;
mod updates;
mod watcher;
mod wording;
mod worker;

pub use approvals::Approvals;
pub use budget::Budget;
pub use compress::ContextLimits;
pub use query::{list, load};
pub use search::search;
pub use title::clean_title;
pub use transcript::{Piece, export};

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::agent::{ApprovalPolicy, Models, TurnLimits};
use crate::bus::{SessionInbox, Sink};
use crate::chat::ChannelId;
use crate::observability::{Health, Observers, Redactor};
use crate::providers::ToolSpec;
use crate::storage::Db;
use crate::threads::{Fatal, JoinError, Thread, spawn_actor};
use crate::tools::{ProcessPort, Registry, Workspace};

/// The `session` and `query` threads parse no model output; SQLite needs a little.
const STACK_BYTES: usize = 512 * 1024;

/// The agent that answers.
pub struct Agent {
    /// Who is asked, first choice first.
    pub models: Models,
    /// How much one turn may use.
    pub limits: TurnLimits,
    /// How many tokens a request may have, and when dialogs are compressed.
    pub context: ContextLimits,
}

/// What people may ask about this process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The names of the configured MCP servers.
    pub mcp_servers: Vec<String>,
}

/// What the session works with; fixed for the life of the process.
pub struct Deps {
    /// The database.
    pub db: Arc<Db>,
    /// Takes what goes out to clients.
    pub sink: Arc<dyn Sink>,
    /// Who answers.
    pub agent: Agent,
    /// The tools as they run.
    pub tools: Registry,
    /// The tools as the model sees them.
    pub specs: Vec<ToolSpec>,
    /// The same as text; dialogs remember which tools they were begun with.
    pub tools_text: Arc<str>,
    /// Which calls run, and which a person must allow.
    pub policy: ApprovalPolicy,
    /// The questions that wait for a person.
    pub approvals: Approvals,
    /// Where file tools and the shell work.
    pub workspace: Arc<Workspace>,
    /// Counters and states.
    pub health: Arc<Health>,
    /// Agent and tool events.
    pub observers: Observers,
    /// Channels whose answers are pushed through the outbox.
    pub pushing: HashSet<ChannelId>,
    /// Tells the outbox's sender of new rows; capacity 1, a waiting note is enough.
    pub outbox_wake: Sender<()>,
    /// Turns at once.
    pub max_turns: usize,
    /// How much model calls may cost.
    pub budget: Option<Budget>,
    /// Masks secrets in what people get to see.
    pub redactor: Arc<Redactor>,
    /// What people may ask about this process.
    pub facts: Facts,
    /// Commands that go on in the background.
    pub processes: Arc<dyn ProcessPort>,
}

/// Whose inputs a process works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everybody's, those that an earlier process left included.
    All,
    /// Only what this process takes in; what others left stays untouched unless it is asked for again by its id.
    OwnInputs,
}

/// The running session; dropping it does not stop it, [`Session::stop`] does.
pub struct Session {
    stop: Sender<Instant>,
    ended: Receiver<Vec<JoinError>>,
    threads: Vec<Thread>,
}

impl Session {
    /// Starts the threads. What an earlier process left is taken up first.
    pub fn start(
        deps: Deps,
        inbox: SessionInbox,
        scope: Scope,
        fatal: &Fatal,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(1);
        let (tell_end, ended) = bounded(1);
        let (ask, questions) = bounded(crate::bus::QUERIES);
        let (db, sink) = (deps.db.clone(), deps.sink.clone());
        let redactor = deps.redactor.clone();
        let answers = query::Answers {
            model: deps.agent.models.first().model.model_id.clone(),
            token_limit: deps.agent.context.tokens.into(),
        };
        let query = spawn_actor("query", STACK_BYTES, fatal, move || {
            query::serve(&questions, &db, &sink, &redactor, &answers);
        })?;
        let session = spawn_actor("session", STACK_BYTES, fatal, move || {
            let mut actor = actor::Actor::new(deps, inbox, ask, stopped);
            if scope == Scope::All {
                actor.recover();
                // The last to start: what start-up touched is no longer needed.
                crate::platform::forget_code();
            }
            let _ = tell_end.send(actor.run());
        })?;
        Ok(Self {
            stop,
            ended,
            threads: vec![session, query],
        })
    }

    /// Takes nothing new, gives running turns until `grace` to end, cuts the others off (the next process goes on with
    /// them) and joins all threads; returns those that did not come.
    pub fn stop(self, grace: Duration) -> Vec<JoinError> {
        let deadline = Instant::now() + grace;
        let _ = self.stop.send(deadline);
        let join_deadline = deadline + actor::CUT_OFF_LIMIT + Duration::from_secs(1);
        let mut late = self.ended.recv_deadline(join_deadline).unwrap_or_default();
        for thread in self.threads {
            late.extend(thread.join_until(join_deadline).err());
        }
        late
    }
}

/// What people see for a dialog without a title.
fn shown_title(title: &str) -> &str {
    if title.is_empty() {
        "New dialog"
    } else {
        title
    }
}

#[cfg(test)]
mod tests;
