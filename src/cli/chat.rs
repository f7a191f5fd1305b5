//! `picobot chat`: finds the gateway and the settings, and hands over to the terminal client.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::{Args, ValueEnum};
use rustix::fs::Mode;

use super::Global;
use super::exit::{self, Failure};
use super::setup::{access, dial_failure, gateway_address, load_config, say};
use crate::client::{self, ClientError, Ended, Endpoint, Opening, Options, StartGateway};
use crate::config::{self, Config};
use crate::storage::InstanceLock;

/// A log of gateways that were started here is put aside when it is larger than this and another one is started.
const MAX_GATEWAY_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// Options of `chat`.
#[derive(Args)]
pub(super) struct ChatArgs {
    /// A first message
    prompt: Option<String>,
    /// Dialog to open: its id, a unique beginning of it, or its title
    #[arg(short, long, value_name = "ID|TITLE", conflicts_with_all = ["new", "resume"])]
    session: Option<String>,
    /// Go on in the dialog that changed last [default: the current one]
    #[arg(short = 'c', long = "continue", conflicts_with = "new")]
    resume: bool,
    /// Begin a new dialog
    #[arg(short, long)]
    new: bool,
    /// Colours [default: client.theme, auto; mono if NO_COLOR is set]
    #[arg(long, value_enum)]
    theme: Option<Theme>,
    /// What the mouse is used for [default: client.mouse, wheel]
    #[arg(long, value_enum)]
    mouse: Option<Mouse>,
    /// Do not offer to start a gateway
    #[arg(long)]
    no_autostart: bool,
    /// Talk to this gateway only
    #[arg(long, value_name = "URL")]
    gateway_url: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Theme {
    /// The terminal's own colours
    Auto,
    Dark,
    Light,
    /// No colours
    Mono,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mouse {
    /// Wheel and clicks; text is selected with shift held
    Wheel,
    /// The terminal keeps the mouse
    Off,
    /// Drags are taken too
    All,
}

pub(super) fn run(global: &Global, umask: u32, args: ChatArgs) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::new(exit::USAGE, "chat needs a terminal")
            .hint("in scripts and pipes use: picobot send"));
    }
    let url = args.gateway_url.clone();
    if let Some(url) = &url {
        client::check_url(url).map_err(dial_failure)?;
    }
    let loaded = load_config(global)?;
    let config = loaded.config;
    let start_command = start_command(global, url.as_deref(), &config.client.gateway_url);
    let is_startable = !args.no_autostart && url.is_none() && start_command.is_some();
    let options = Options {
        endpoint: endpoint(url, &config),
        start_command,
        start_gateway: is_startable.then(|| start_gateway(global, umask, &config.state_dir)),
        opening: match (&args.session, args.resume, args.new) {
            (Some(name), _, _) => Opening::Named(name.clone()),
            (None, true, _) => Opening::Newest,
            (None, false, true) => Opening::New,
            (None, false, false) => Opening::Current,
        },
        prompt: args.prompt.filter(|prompt| !prompt.trim().is_empty()),
        theme: theme(args.theme, &config),
        mouse: mouse(args.mouse, &config),
        ambiguous_is_wide: config.client.ambiguous_is_wide,
        keys: config.client.keys.clone(),
        root: root(&config),
        database: config.gateway.session_db_path.clone(),
        state_dir: config.state_dir,
        env: config::process_env(),
    };
    let ended = client::run(options).map_err(|error| match error {
        ClientError::Terminal(_) => Failure::new(exit::AGENT, error.to_string())
            .hint("in scripts and pipes use: picobot send"),
        ClientError::Panicked => Failure::new(exit::AGENT, error.to_string()),
    })?;
    farewell(&ended)
}

/// Says how to come back; a signal decides the exit code.
fn farewell(ended: &Ended) -> Result<(), Failure> {
    for fault in &ended.key_faults {
        say(&format!("picobot: {fault}"));
    }
    let mut text = ended.session.as_deref().map_or_else(String::new, resume);
    match ended.n_unsent {
        0 => {}
        1 => text.push_str("A message could not be sent; it is kept as the draft.\n"),
        n => text.push_str(&format!(
            "{n} messages could not be sent; they are kept as the draft.\n"
        )),
    }
    if ended.is_busy {
        text.push_str("The turn goes on at the gateway.\n");
    }
    // After a hang-up nobody reads it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match ended.signal {
        Some(signal) => Err(Failure::silent(
            128 + u8::try_from(signal).unwrap_or_default(),
        )),
        None => Ok(()),
    }
}

/// Returns the line that says how to come back. A gateway chose the id, and people paste the line into a shell.
fn resume(session: &str) -> String {
    match shlex::try_quote(session) {
        Ok(quoted) => format!("Resume: picobot chat --session {quoted}\n"),
        Err(_) => String::new(),
    }
}

fn endpoint(given: Option<String>, config: &Config) -> Endpoint {
    let access = access(config);
    let config = config.clone();
    Endpoint {
        url: Box::new(move || current_url(given.as_deref(), &config)),
        access,
    }
}

/// Returns where the gateway is now: as given, or as the holder of the database's lock says, or as configured.
fn current_url(given: Option<&str>, config: &Config) -> String {
    if let Some(url) = given {
        return url.to_owned();
    }
    let holder = InstanceLock::holder(&config.gateway.session_db_path);
    holder
        .and_then(gateway_address)
        .unwrap_or_else(|| config.client.gateway_url.clone())
}

/// `@path` completes below the workspace: that is where the tools look.
fn root(config: &Config) -> PathBuf {
    if config.workspace_dir.is_dir() {
        config.workspace_dir.clone()
    } else {
        std::env::current_dir().unwrap_or_default()
    }
}

fn theme(given: Option<Theme>, config: &Config) -> client::Theme {
    if let Some(theme) = given {
        return match theme {
            Theme::Auto => client::Theme::Auto,
            Theme::Dark => client::Theme::Dark,
            Theme::Light => client::Theme::Light,
            Theme::Mono => client::Theme::Mono,
        };
    }
    let env = config::process_env();
    let set = |name: &str| env.get(name).map(String::as_str).unwrap_or_default();
    if !set("NO_COLOR").is_empty() || set("TERM") == "dumb" {
        return client::Theme::Mono;
    }
    client::Theme::by_name(&config.client.theme).unwrap_or_default()
}

fn mouse(given: Option<Mouse>, config: &Config) -> client::Mouse {
    match given {
        Some(Mouse::Wheel) => client::Mouse::Wheel,
        Some(Mouse::Off) => client::Mouse::Off,
        Some(Mouse::All) => client::Mouse::All,
        None => client::Mouse::by_name(&config.client.mouse).unwrap_or_default(),
    }
}

/// Returns the arguments of `gateway` that make it the gateway of this client.
fn gateway_arguments(global: &Global) -> Vec<String> {
    let mut arguments = vec!["gateway".to_owned()];
    for (name, path) in [("--config", &global.config), ("--home", &global.home)] {
        if let Some(path) = path {
            arguments.extend([name.to_owned(), path.to_string_lossy().into_owned()]);
        }
    }
    arguments
}

/// Returns the command that starts the gateway a client looks for, for people: at the address given on the command line,
/// else as configured. `None` for a gateway that is not on this machine.
fn start_command(global: &Global, given: Option<&str>, configured: &str) -> Option<String> {
    let port = client::loopback_port(given.unwrap_or(configured))?;
    let mut arguments = gateway_arguments(global);
    if given.is_some() {
        arguments.extend(["--port".to_owned(), port.to_string()]);
    }
    let quoted = shlex::try_join(arguments.iter().map(String::as_str));
    Some(format!(
        "picobot {}",
        quoted.unwrap_or_else(|_| "gateway".to_owned())
    ))
}

/// Starts gateways in the background; their log goes to a file.
fn start_gateway(global: &Global, umask: u32, state_dir: &Path) -> StartGateway {
    let arguments = gateway_arguments(global);
    let log = state_dir.join("gateway.log");
    let mut child: Option<Child> = None;
    Box::new(move || {
        if let Some(running) = &mut child
            && matches!(running.try_wait(), Ok(None))
        {
            return Ok(format!(
                "the gateway (pid {}) is still starting",
                running.id()
            ));
        }
        let started = spawn_gateway(&arguments, umask, &log)
            .map_err(|error| format!("no gateway could be started: {error}"))?;
        let said = format!(
            "started a gateway (pid {}), it goes on when you leave; its log: {}",
            started.id(),
            log.display()
        );
        child = Some(started);
        Ok(said)
    })
}

fn spawn_gateway(arguments: &[String], umask: u32, log: &Path) -> std::io::Result<Child> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    rotate(log);
    let log = OpenOptions::new().append(true).create(true).open(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Keys that stop this client must not stop the gateway.
        .process_group(0);
    // The gateway gives its children the person's own mask, which this process has put aside.
    let private = rustix::process::umask(Mode::from_raw_mode(umask));
    let child = command.spawn();
    rustix::process::umask(private);
    child
}

/// Puts a log aside that has grown large; one old log is kept. A gateway that still writes goes on in the old one.
fn rotate(log: &Path) {
    let is_large = log
        .metadata()
        .is_ok_and(|info| info.len() > MAX_GATEWAY_LOG_BYTES);
    if is_large && let Err(error) = std::fs::rename(log, log.with_extension("log.1")) {
        log::warn!("{}: {error}", log.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_start_a_gateway_can_be_pasted() {
        let global = Global {
            config: Some("/tmp/my config.json".into()),
            home: None,
            verbose: 0,
            quiet: false,
        };
        let here = "ws://127.0.0.1:19876/ws";
        assert_eq!(
            start_command(&global, None, here).as_deref(),
            Some("picobot gateway --config '/tmp/my config.json'")
        );
        assert_eq!(
            start_command(&global, Some("ws://localhost:4000/ws"), here).as_deref(),
            Some("picobot gateway --config '/tmp/my config.json' --port 4000")
        );
        for elsewhere in [
            "wss://bot.example/ws",
            "ws://192.0.2.1:1/ws",
            "wss://127.0.0.1/ws",
        ] {
            assert_eq!(start_command(&global, Some(elsewhere), here), None);
            assert_eq!(start_command(&global, None, elsewhere), None);
        }
    }

    #[test]
    fn the_line_to_come_back_can_be_pasted() {
        assert_eq!(
            resume("cli_chat:local:d1"),
            "Resume: picobot chat --session cli_chat:local:d1\n"
        );
        assert_eq!(
            resume("d1; rm -r ~"),
            "Resume: picobot chat --session 'd1; rm -r ~'\n"
        );
    }

    #[test]
    fn a_large_log_is_put_aside() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("gateway.log");
        rotate(&log);
        std::fs::write(&log, "small").unwrap();
        rotate(&log);
        assert!(log.exists());
        let large = std::fs::File::options().append(true).open(&log).unwrap();
        large.set_len(MAX_GATEWAY_LOG_BYTES + 1).unwrap();
        rotate(&log);
        assert!(!log.exists() && home.path().join("gateway.log.1").exists());
    }
}
