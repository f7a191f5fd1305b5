//! What commands share: home, configuration, log, and the way to a gateway.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Global;
use super::exit::{self, Failure};
use super::terminal::shown_on;
use crate::client::{Access, DialError, Reached};
use crate::config::{self, Config, LoadOptions, Loaded, Secret};
use crate::gateway::door::token;
use crate::observability::{LogFormat, LogOptions, LogTarget, Redactor, init_log};
use crate::storage::{InstanceLock, Kind, LockInfo};

/// Loads the configuration; prints its warnings, and all its faults at once.
pub(super) fn load_config(global: &Global) -> Result<Loaded, Failure> {
    let env = config::process_env();
    let home = global
        .home
        .clone()
        .or_else(|| env.get("HOME").map(PathBuf::from))
        .filter(|home| !home.as_os_str().is_empty())
        .ok_or_else(|| {
            Failure::new(exit::CONFIG, "no home folder: HOME is not set")
                .hint("set HOME or pass --home DIR")
        })?;
    let home = absolute(&home)?;
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::new(exit::CONFIG, format!("no working folder: {error}")))?;
    let loaded = config::load(LoadOptions {
        explicit: global.config.clone(),
        home,
        cwd,
        env,
    })
    .map_err(|errors| {
        Failure::new(
            exit::CONFIG,
            format!("the configuration cannot be used:\n{errors}"),
        )
        .hint("docs/config.md lists every key; ~/.picobot/config.example.json is an example")
    })?;
    if !global.quiet {
        for warning in &loaded.warnings {
            say(&format!("picobot: {warning}"));
        }
    }
    Ok(loaded)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(exit::CONFIG, format!("{}: {error}", path.display())))
}

/// Starts the log on stderr; every secret of the configuration is masked in it. Returns what masks them.
pub(super) fn start_log(
    level: log::LevelFilter,
    format: LogFormat,
    loaded: &Loaded,
) -> Result<Arc<Redactor>, Failure> {
    let secrets = loaded
        .secrets
        .iter()
        .map(|secret| secret.expose().to_owned());
    let token = token::load(&loaded.config.state_dir.join("gateway.token"));
    let token = token.ok().flatten().map(|token| token.expose().to_owned());
    let redactor = Arc::new(Redactor::new(secrets.chain(token)));
    init_log(
        LogOptions {
            target: LogTarget::Stderr,
            level,
            format,
        },
        redactor.clone(),
    )
    .map_err(|error| Failure::new(exit::AGENT, format!("the log cannot be started: {error}")))?;
    Ok(redactor)
}

/// Writes a line to stderr, to a terminal without what it would obey; a closed stderr is ignored.
pub(super) fn say(text: &str) {
    let mut err = std::io::stderr();
    let text = shown_on(&err, text);
    let _ = writeln!(err, "{text}");
}

/// Returns the address of the gateway that holds a database's lock; `None` for another holder or one that is not ready.
pub(super) fn gateway_address(info: LockInfo) -> Option<String> {
    match info.kind {
        Kind::Gateway => info.address.map(|address| format!("ws://{address}/ws")),
        Kind::OneShot => None,
    }
}

/// Returns what is shown to gateways, after the configuration.
pub(super) fn access(config: &Config) -> Access {
    let named = config.client.token.clone();
    let (state_dir, database) = (
        config.state_dir.clone(),
        config.gateway.session_db_path.clone(),
    );
    Access {
        token: Box::new(move |url, reached| {
            let is_own = || {
                InstanceLock::holder(&database)
                    .and_then(gateway_address)
                    .as_deref()
                    == Some(url)
            };
            match (&named, reached) {
                (None, Reached::Elsewhere) => Ok(None),
                (None, Reached::ThisMachine) => read_token(&state_dir),
                // The named token is for a gateway elsewhere, be it at the end of a tunnel.
                (Some(_), Reached::ThisMachine) if is_own() => read_token(&state_dir),
                (Some(token), _) => Ok(Some(token.clone())),
            }
        }),
        ca_file: config.client.ca_file.clone(),
    }
}

/// Reads the gateway's token; `None` if there is none.
fn read_token(state_dir: &Path) -> Result<Option<Secret>, String> {
    token::load(&state_dir.join("gateway.token")).map_err(|error| error.to_string())
}

/// Turns a failed connection into an exit code and a hint.
pub(super) fn dial_failure(error: DialError) -> Failure {
    let message = error.to_string();
    match error {
        DialError::BadUrl(_) => {
            Failure::new(exit::USAGE, message).hint("it looks like ws://127.0.0.1:19876/ws")
        }
        DialError::NobodyThere(_) | DialError::Unreachable { .. } => {
            Failure::new(exit::UNREACHABLE, message).hint("start one with: picobot gateway")
        }
        DialError::Refused(_) => Failure::new(exit::AUTH, message).hint(
            "use the gateway's own ~/.picobot/gateway.token; for one elsewhere set client.token",
        ),
        DialError::Token(_) => Failure::new(exit::AUTH, message),
    }
}
