//! The real gateway as a child process: started on a free port, killed when dropped.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use serde_json::Value;

use super::home::Home;
use super::http;
use super::process::{Finished, PATIENCE, Process};

/// A running gateway.
pub(crate) struct Gateway {
    process: Process,
    port: u16,
}

impl Gateway {
    /// Starts a gateway and waits until it answers.
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_with(home, |_| {})
    }

    /// The same, with further arguments or environment.
    pub(crate) fn start_with(home: &Home, adjust: impl FnOnce(&mut Command)) -> Self {
        let process = Self::launch(home, adjust);
        let gateway = Self::when_ready(home, process)
            .unwrap_or_else(|process| panic!("no gateway:\n{}", process.stderr().text()));
        let (status, body) = http::get(gateway.port, "/health").unwrap();
        assert!(
            status.contains("200"),
            "{status}\n{body}\n{}",
            gateway.log()
        );
        gateway
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn launch(home: &Home, adjust: impl FnOnce(&mut Command)) -> Process {
        let mut command = command(home, "gateway");
        command.args(["--port", "0"]);
        adjust(&mut command);
        Process::start(&mut command)
    }

    /// Waits until a process listens; gives it back if it does not.
    pub(crate) fn when_ready(home: &Home, process: Process) -> Result<Self, Process> {
        Self::when_ready_at(&home.lock_file(), process)
    }

    /// The same for a process whose database, and so whose lock file, is elsewhere.
    pub(crate) fn when_ready_at(lock_file: &Path, process: Process) -> Result<Self, Process> {
        if process.stderr().has("listening on ") {
            let port = port_in(lock_file);
            Ok(Self { process, port })
        } else {
            Err(process)
        }
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Returns what it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.process.stderr().text()
    }

    /// Returns what `/health` says.
    pub(crate) fn health(&self) -> Value {
        let (_, body) = http::get(self.port, "/health").unwrap();
        serde_json::from_str(&body).unwrap()
    }

    /// Kills it without warning.
    pub(crate) fn kill9(self) {
        self.process.kill9();
    }

    /// Asks it to end, waits for that, and returns how it ended.
    pub(crate) fn term(self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.finish_within(PATIENCE).status
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(self) -> Finished {
        self.process.finish()
    }

    /// Kills it without warning and starts it again.
    pub(crate) fn restart(self, home: &Home) -> Self {
        self.kill9();
        Self::start(home)
    }
}

/// Makes a command of the binary that knows only this home.
pub(crate) fn command(home: &Home, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_picobot"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .current_dir(home.path())
        .arg(verb);
    if home.config().exists() {
        command.arg("--config").arg(home.config());
    }
    command
}

fn port_in(lock_file: &Path) -> u16 {
    let text = fs::read_to_string(lock_file).unwrap();
    let lock: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(lock["kind"], "gateway", "{text}");
    let port = lock["port"].as_u64().unwrap();
    u16::try_from(port).unwrap()
}
