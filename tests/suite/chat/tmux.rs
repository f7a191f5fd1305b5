//! A terminal for programs that need one: tmux on a socket of its own, gone when dropped.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::home::Home;

/// Longer than between the keys of a paste.
const BETWEEN_KEYS: Duration = Duration::from_millis(30);
/// Longest wait for a screen. Debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at the screen: a terminal has no event to wait for.
const LOOK: Duration = Duration::from_millis(25);

/// One terminal.
pub(crate) struct Tmux {
    socket: PathBuf,
}

/// Tells whether tmux is there; where CI asks for everything its absence is a failure.
pub(crate) fn is_here() -> bool {
    let found = Command::new("tmux")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "tmux is missing: the terminal client cannot be tested"
    );
    eprintln!("SKIPPED: tmux is missing, the terminal client was not tested in a terminal");
    false
}

impl Tmux {
    /// Runs a shell line in a terminal of this size, in a home of its own.
    pub(crate) fn start(home: &Home, columns: u16, rows: u16, line: &str) -> Self {
        // A server that is told to end may still hold its socket for a moment.
        static N: AtomicUsize = AtomicUsize::new(0);
        let number = N.fetch_add(1, Ordering::Relaxed);
        let socket = home.path().join(format!("tmux{number}.sock"));
        let tmux = Self { socket };
        let size = [columns.to_string(), rows.to_string()];
        let mut command = tmux.command();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("LANG", "zh_CN.UTF-8")
            .env("SHELL", "/bin/sh")
            .current_dir(home.path())
            .args(["new-session", "-d", "-x", &size[0], "-y", &size[1], line]);
        assert!(command.status().unwrap().success());
        tmux
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(&self.socket);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys by their tmux names.
    pub(crate) fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.run(&arguments);
    }

    /// Types a text and waits until it is on screen, so that no key that follows can be taken for a part of a paste.
    #[track_caller]
    pub(crate) fn type_text(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.wait_for(text);
        // On a fast machine all this takes less time than between two keys of a person.
        std::thread::park_timeout(BETWEEN_KEYS);
    }

    /// Pastes a text as a terminal does that marks no pastes.
    pub(crate) fn paste_unmarked(&self, text: &str) {
        let file = self.socket.with_extension("paste");
        std::fs::write(&file, text).unwrap();
        self.run(&["load-buffer", &file.display().to_string()]);
        self.run(&["paste-buffer"]);
    }

    /// Types a text and sends it.
    #[track_caller]
    pub(crate) fn say(&self, text: &str) {
        self.type_text(text);
        self.keys(&["Enter"]);
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.run(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]);
    }

    /// Returns what is on screen.
    pub(crate) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Returns column and row of the cursor.
    pub(crate) fn cursor(&self) -> (usize, usize) {
        let place = self.run(&["display-message", "-p", "#{cursor_x} #{cursor_y}"]);
        let (x, y) = place.trim().split_once(' ').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    }

    /// Waits for a text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits until the screen is as wanted; returns it.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "no {what:?} on:\n{screen}");
            std::thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- the terminal:\n{}--", self.screen());
        }
        self.run(&["kill-server"]);
    }
}
