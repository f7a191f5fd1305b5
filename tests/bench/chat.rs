//! Rows about the terminal client as a process, in a terminal of tmux: memory and wake-ups. Its frames: `frames/main.rs`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::{Message, WebSocket};

use crate::Setup;
use crate::long_dialog::{dialog, established};
use crate::model::pause;
use crate::process;
use crate::row::Row;

const MESSAGES: usize = 10_000;
const COLUMNS: u16 = 120;
const ROWS: u16 = 40;

/// Memory and wake-ups of the process with the dialog open.
pub(crate) fn process(setup: &Setup) -> Vec<Row> {
    let has_tmux = Command::new("tmux").arg("-V").output().is_ok();
    assert!(
        has_tmux,
        "tmux is missing: the terminal client cannot be measured"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let home = tempfile::tempdir().unwrap();
    let terminal = Terminal::start(setup, home.path(), &url);
    assert!(
        comes(&listener),
        "the client does not connect:\n{}",
        terminal.screen()
    );
    let (stream, _) = listener.accept().unwrap();
    let mut socket = tungstenite::accept(stream).unwrap();
    serve(&mut socket);
    let pid = terminal.pid();
    pause(Duration::from_secs(2));
    let rss = process::rss_mb(pid);
    let (secs, scale) = if setup.quick { (5, 2.0) } else { (10, 1.0) };
    let before = process::context_switches(pid);
    pause(Duration::from_secs(secs));
    let switches = (process::context_switches(pid) - before) * scale;
    drop(terminal);
    vec![
        Row::at_most("chat: RSS with 10,000 messages", rss, "MB", 40.0),
        Row::at_most("chat: idle wake-ups in 10 s", switches, "", 0.0),
    ]
}

/// Waits for the client, but not for ever.
fn comes(listener: &TcpListener) -> bool {
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&limit)), Ok(1))
}

/// Plays the gateway until the dialog is loaded.
fn serve(socket: &mut WebSocket<TcpStream>) {
    socket.send(Message::text(established())).unwrap();
    loop {
        let message = socket.read().unwrap();
        let text = message.to_text().unwrap();
        if text.contains("load_session") {
            socket.send(Message::text(dialog(MESSAGES))).unwrap();
            return;
        }
    }
}

/// The client in a terminal.
struct Terminal<'a> {
    home: &'a Path,
}

impl<'a> Terminal<'a> {
    fn start(setup: &Setup, home: &'a Path, url: &str) -> Self {
        let binary = setup.binary.canonicalize().unwrap();
        let binary = binary.display();
        let line = format!("echo $$ > pid; exec {binary} chat --gateway-url {url}");
        let size = [COLUMNS.to_string(), ROWS.to_string()];
        let terminal = Self { home };
        let started = terminal
            .tmux()
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env_remove("SSH_CONNECTION")
            .current_dir(home)
            .args([
                "new-session",
                "-d",
                "-x",
                &size[0],
                "-y",
                &size[1],
                "sh",
                "-c",
                &line,
            ])
            .status();
        assert!(started.unwrap().success());
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(self.home.join("tmux.sock"));
        command
    }

    fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.home.join("pid")).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").status();
    }
}
