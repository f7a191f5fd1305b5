//! The gateway process: start, signals, ordered shutdown. Runs on `main`.
//!
//! Order of start: lock, port, database, door, session. Order of end: the session takes nothing new and lets turns end,
//! the door sends what is queued and closes, the outbox's sender ends, everything is joined by name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::build::{self, Launch};
use super::check::Check;
use super::door::{self, AuthMode, Door, DoorConfig, Flow, Handler};
use super::feishu::{self, Outlets};
use super::outbox::OutboxRows;
use super::protection::Probe;
use super::upkeep::Upkeep;
use crate::bus::{ClientId, Outbound, session_queue};
use crate::channels::cli_chat::{self, CliChat};
use crate::channels::feishu::Feishu;
use crate::channels::outbound::Dispatcher;
use crate::config::{self, Auth, Config, SandboxLevel};
use crate::observability::{Event, Health, Observer, Observers};
use crate::sandbox;
use crate::session::{Scope, Session};
use crate::storage::{Db, InstanceLock, Kind, LockError, LockInfo};
use crate::threads::{Fatal, spawn_actor};

/// How long running turns may go on after the first signal.
const GRACE: Duration = Duration::from_secs(10);
/// How long the door may take to send what is queued.
const FLUSH: Duration = Duration::from_secs(5);
/// How long a gateway waits at its start for a command that has the database.
const ONE_SHOT_WAIT: Duration = Duration::from_millis(1_500);
const STACK_BYTES: usize = 256 * 1024;

/// Runs the gateway until a signal ends it. A panic in one of its actors ends the process with code 70.
pub fn run(launch: &Launch) -> Result<()> {
    let config = &launch.config;
    let database = &config.gateway.session_db_path;
    prepare(config, database)?;
    let mut lock = take_lock(database)?;
    let token = door::token::load_or_create(&config.state_dir.join("gateway.token"))?;
    let health = Arc::new(Health::default());
    let posts = feishu::posts(config);
    let door = Door::bind(door_config(config, posts.as_ref()), health.clone(), &token)?;
    let address = door.local_addr();
    let backups = build::backups(config);
    let db = Arc::new(Db::open_with(
        database,
        lock.is_after_crash(),
        Some(backups),
    )?);
    lock.opened();
    log::info!("SQLite {}", crate::storage::sqlite_version());
    std::env::set_current_dir(&config.workspace_dir).context("cannot enter the workspace")?;

    let fatal = Fatal::new(|name| {
        log::error!("thread {name} panicked; PicoBot ends, the journal makes the restart safe");
        std::process::exit(70);
    });
    let (queue, inbox) = session_queue();
    let workspace = build::open_workspace(launch)?;
    let accounts = feishu::accounts(config, &db, &health, &workspace)?;
    let (bots, pushers) = Feishu::start(accounts, &queue, &fatal)?;
    let hooks = match posts {
        Some(posts) => Some(feishu::start_hooks(posts, &bots, &fatal)?),
        None => None,
    };
    let door = door.start(DoorHandler(CliChat::new(queue)), &fatal)?;
    let sink = Arc::new(Outlets {
        door: door.sink(),
        feishu: bots.sink(),
    });
    let parts = build::parts(
        launch,
        db.clone(),
        build::Front {
            sink,
            port: address.port(),
        },
        health.clone(),
        turn_observers(),
        pushers,
        workspace,
    )?;
    let (sandbox, processes) = (parts.sandbox.clone(), parts.processes.clone());
    let outbound = spawn_actor("outbound", STACK_BYTES, &fatal, {
        let rows = OutboxRows::new(db.clone(), config.gateway.outbox_max_age);
        let dispatcher = Dispatcher::new(rows, parts.pushers);
        let wake = parts.outbox_wake;
        move || dispatcher.run(&wake)
    })?;
    let check = Check::start(&db)?;
    let upkeep = Upkeep::start(config, db.clone(), &fatal)?;
    let session = Session::start(parts.deps, inbox, Scope::All, &fatal)?;
    // Before anybody can know that it runs: who sends a signal then means an end in order.
    let signals = watch_signals()?;
    lock.announce(address);
    log::info!("listening on {address}");
    let probe = Probe::start(sandbox, &config.workspace_dir, health)?;

    wait_for_end(signals);
    let probe = probe.end();
    let (check, checked) = check.end();
    let upkeep = upkeep.stop();
    bots.stop_intake();
    let mut late = session.stop(GRACE);
    let background = processes.stop();
    let flushed = Instant::now() + FLUSH;
    late.extend(door.stop(flushed).join_until(flushed + FLUSH).err());
    late.extend(bots.stop(flushed));
    let others = hooks.into_iter().chain(check).chain(background);
    for thread in [outbound, upkeep, probe].into_iter().chain(others) {
        late.extend(thread.join_within(FLUSH).err());
    }
    for error in &late {
        log::error!("{error}");
    }
    if late.is_empty() {
        drop(db);
        if checked.load(Ordering::Acquire) {
            lock.end();
        }
    }
    log::info!("stopped");
    Ok(())
}

/// Takes the database's lock; a command that runs one turn is given a moment to finish.
fn take_lock(database: &Path) -> Result<InstanceLock> {
    let deadline = Instant::now() + ONE_SHOT_WAIT;
    loop {
        match InstanceLock::acquire(database, Kind::Gateway) {
            Err(LockError::Held(Some(LockInfo {
                kind: Kind::OneShot,
                ..
            }))) if Instant::now() < deadline => {
                std::thread::park_timeout(Duration::from_millis(20))
            }
            other => return Ok(other?),
        }
    }
}

/// Makes folders and templates; changes nothing that exists.
pub fn prepare(config: &Config, database: &Path) -> Result<()> {
    sandbox::init_gateway().context("cannot take care of commands")?;
    let home = config.state_dir.parent().unwrap_or(&config.state_dir);
    config::release_templates(home, &config.workspace_dir).context("cannot write the templates")?;
    if let Some(folder) = database.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(())
}

fn door_config(config: &Config, posts: Option<&feishu::Posts>) -> DoorConfig {
    DoorConfig {
        host: config.gateway.host.clone(),
        port: config.gateway.port,
        allowed_hosts: config.gateway.allowed_hosts.clone(),
        allowed_origins: config.gateway.allowed_origins.clone(),
        max_connections: config.gateway.max_connections,
        // Children that may use the network run under our user id: the id then proves nothing.
        auth: match config.gateway.auth {
            Auth::Auto if !children_have_network(config) => AuthMode::Auto,
            Auth::Auto | Auth::Token => AuthMode::Token,
        },
        posts: posts.map(|posts| (posts.paths.clone(), posts.sender.clone())),
    }
}

fn children_have_network(config: &Config) -> bool {
    match config.sandbox.level {
        SandboxLevel::Off => false,
        SandboxLevel::Workspace => config.sandbox.network,
        SandboxLevel::Full => true,
    }
}

/// Begins to collect signals. The second one that asks to end ends the process at once, which is safe.
fn watch_signals() -> Result<Signals> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it, so that any further one ends the process.
        flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        flag::register(signal, asked.clone())?;
    }
    Ok(Signals::new([SIGINT, SIGTERM, SIGHUP])?)
}

/// Waits for the first signal that asks to end.
fn wait_for_end(mut signals: Signals) {
    for signal in signals.forever() {
        if signal == SIGHUP {
            log::info!("SIGHUP: the configuration is read at start only");
            continue;
        }
        log::info!("stopping; a second signal stops at once");
        break;
    }
}

/// The terminal channel behind the door.
struct DoorHandler(CliChat);

impl DoorHandler {
    /// Only `text` makes replies, for the client it was called with.
    fn replies(&mut self, replies: &mut Vec<String>) {
        replies.extend(self.0.take_replies().into_iter().map(|(_, text)| text));
    }
}

fn flow(flow: cli_chat::Flow) -> Flow {
    match flow {
        cli_chat::Flow::Taken => Flow::Taken,
        cli_chat::Flow::Full => Flow::Full,
    }
}

impl Handler for DoorHandler {
    fn connected(&mut self, client: ClientId, trusted: bool) -> Flow {
        flow(self.0.connected(client, trusted))
    }

    fn text(&mut self, client: ClientId, text: &str, replies: &mut Vec<String>) -> Flow {
        let taken = flow(self.0.text(client, text));
        self.replies(replies);
        taken
    }

    fn binary(&mut self, client: ClientId) -> Option<String> {
        self.0.binary(client)
    }

    fn encode(&mut self, outbound: &Outbound) -> Option<String> {
        self.0.encode(outbound)
    }

    fn closed(&mut self, client: ClientId) -> Flow {
        flow(self.0.closed(client))
    }
}

/// One log line for each turn and model call; no text of anybody's.
struct TurnLog;

impl Observer for TurnLog {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::TurnFinished {
                turn,
                session,
                state,
                took,
            } => log::info!(
                "turn {turn} in {session}: {state} in {} ms",
                took.as_millis()
            ),
            Event::ModelCalled {
                turn,
                provider,
                model,
                usage,
                took,
                outcome,
            } => log::debug!(
                "turn {turn}: {provider}/{model} {outcome} in {} ms, tokens {:?} in {:?} out",
                took.as_millis(),
                usage.input,
                usage.output
            ),
            Event::ToolRan {
                turn,
                name,
                took,
                is_error,
                bytes,
            } => log::debug!(
                "turn {turn}: {name} {} in {} ms, {bytes} bytes",
                if is_error { "failed" } else { "ran" },
                took.as_millis()
            ),
            Event::TurnStarted { .. } => {}
        }
    }
}

/// Lets the one-shot runner log like the gateway.
pub(super) fn turn_observers() -> Observers {
    Observers::new(vec![Box::new(TurnLog)])
}
