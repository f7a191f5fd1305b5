//! The real gateway as a child process: started on a free port, killed when dropped.
//!
//! A thread reads its stderr, both to learn that it listens and to show it when a test fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use picobot::threads::{Thread, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use super::home::Home;
use super::{CEILING, http};

/// Longest wait for a start or an orderly end. Debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    port: u16,
    log: Arc<Mutex<String>>,
    reader: Option<Thread>,
}

impl Gateway {
    /// Starts a gateway and waits until it answers.
    pub(crate) fn start(home: &Home) -> Self {
        let mut child = command(home, "gateway")
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (reader, listening) = follow(stderr, log.clone());
        let mut gateway = Self {
            child,
            port: 0,
            log,
            reader: Some(reader),
        };
        if listening.recv_timeout(PATIENCE).is_err() {
            panic!("the gateway does not listen:\n{}", gateway.log());
        }
        gateway.port = port_in(home);
        let (status, body) = http::get(gateway.port, "/health").unwrap();
        assert!(
            status.contains("200"),
            "{status}\n{body}\n{}",
            gateway.log()
        );
        gateway
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns what it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock();
        log.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what `/health` says.
    pub(crate) fn health(&self) -> Value {
        let (_, body) = http::get(self.port, "/health").unwrap();
        serde_json::from_str(&body).unwrap()
    }

    /// Kills it without warning.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, waits for that, and returns how it ended.
    pub(crate) fn term(mut self) -> ExitStatus {
        let pid = pid_of(&self.child);
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let limit = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&limit)).unwrap();
        assert_eq!(ended, 1, "it does not end:\n{}", self.log());
        self.child.wait().unwrap()
    }

    /// Kills it without warning and starts it again.
    pub(crate) fn restart(self, home: &Home) -> Self {
        self.kill9();
        Self::start(home)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join_within(CEILING);
        }
        if std::thread::panicking() {
            eprintln!("-- the gateway's log:\n{}--", self.log());
        }
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

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Collects stderr; the receiver gets one message when the gateway says that it listens.
fn follow(stderr: ChildStderr, log: Arc<Mutex<String>>) -> (Thread, Receiver<()>) {
    let (tell, listening) = bounded(1);
    let reader = spawn("gateway-log", 128 * 1024, move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
            if line.contains("listening on ") {
                let _ = tell.try_send(());
            }
        }
    });
    (reader.unwrap(), listening)
}

fn port_in(home: &Home) -> u16 {
    let text = fs::read_to_string(home.lock_file()).unwrap();
    let lock: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(lock["kind"], "gateway", "{text}");
    let port = lock["port"].as_u64().unwrap();
    u16::try_from(port).unwrap()
}
