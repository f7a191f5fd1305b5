//! The gateway under test as a child process, and WebSocket clients that know only the oldest messages.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::Setup;
use crate::model::Model;

/// Longest wait for anything; a measurement that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home folder on the disk of the target folder, so that durable writes cost what they cost.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// Makes a home whose agent asks this model.
    pub(crate) fn new(model: &Model, max_concurrent_turns: usize) -> Self {
        let provider = json!({"type": "openai", "base_url": model.base_url(), "api_key": "bench"});
        Self::with_provider(&provider, max_concurrent_turns)
    }

    /// Makes a home whose agent asks this provider.
    pub(crate) fn with_provider(provider: &Value, max_concurrent_turns: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let workspace = folder.path().join("workspace");
        fs::create_dir(&workspace).unwrap();
        let config = json!({
            "providers": {"bench": provider},
            "models": {"bench": {"model_id": "bench", "max_tokens": 1024}},
            "agents": {"default": {"provider": "bench", "model": "bench"}},
            "gateway": {"max_concurrent_turns": max_concurrent_turns},
            "workspace_dir": workspace,
        });
        let home = Self { folder };
        fs::write(home.config(), format!("{config:#}")).unwrap();
        home
    }

    /// Returns the workspace of its gateway.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.path().join("workspace")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("config.json")
    }

    /// Returns the database's path unless [`Home::use_database`] said otherwise.
    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("workspace/picobot.db")
    }

    /// Makes gateways use another database.
    pub(crate) fn use_database(&self, database: &Path) {
        self.change(|config| config["gateway"]["session_db_path"] = json!(database));
    }

    /// Changes the configuration.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(self.config()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        change(&mut config);
        fs::write(self.config(), format!("{config:#}")).unwrap();
    }

    /// Returns the gateway's token, once one has started.
    fn token(&self) -> String {
        fs::read_to_string(self.path().join(".picobot/gateway.token")).unwrap()
    }

    /// Makes a command of the binary under test that knows only this home.
    pub(crate) fn command(&self, setup: &Setup, verb: &str) -> Command {
        let mut command = Command::new(&setup.binary);
        command
            .arg(verb)
            .arg("--config")
            .arg(self.config())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    port: u16,
}

impl Gateway {
    /// Starts a gateway and returns as soon as `/health` has answered.
    pub(crate) fn start(setup: &Setup, home: &Home) -> Self {
        let mut child = home
            .command(setup, "gateway")
            .args(["--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let port = loop {
            let mut line = String::new();
            if stderr.read_line(&mut line).unwrap() == 0 {
                let _ = child.wait();
                panic!("the gateway ended:\n{log}");
            }
            if let Some(port) = port_in(&line) {
                break port;
            }
            log.push_str(&line);
        };
        let gateway = Self { child, port };
        gateway.health();
        drain(stderr);
        gateway
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it in order and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    fn health(&self) {
        let port = self.port;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("GET /health HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert!(start.ends_with(b"200"), "/health: {start:?}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port_in(line: &str) -> Option<u16> {
    let (_, address) = line.split_once("listening on ")?;
    let (_, port) = address.rsplit_once(':')?;
    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Reads the log away, so that the gateway never waits for a full pipe.
#[allow(clippy::disallowed_methods)] // The harness is a program of its own and uses nothing of the library.
fn drain(mut stderr: BufReader<std::process::ChildStderr>) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    });
}

/// A connected client of one chat.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    chat_id: String,
}

impl Client {
    /// Connects and reads the first message.
    pub(crate) fn connect(gateway: &Gateway, chat_id: impl Into<String>) -> Self {
        Self::connect_with(gateway, chat_id, None)
    }

    /// Connects with the token, as somebody who answers questions about tool calls.
    pub(crate) fn approver(gateway: &Gateway, home: &Home, chat_id: impl Into<String>) -> Self {
        let mut client = Self::connect_with(gateway, chat_id, Some(home.token()));
        let hello = json!({"type": "hello", "capabilities": ["approval_request"]});
        client.send(&hello);
        client
    }

    fn connect_with(gateway: &Gateway, chat_id: impl Into<String>, token: Option<String>) -> Self {
        let port = gateway.port();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        // The default buffers would be 256 MB for 2,000 clients.
        let config = WebSocketConfig::default().read_buffer_size(1024);
        let url = format!("ws://127.0.0.1:{port}/ws");
        let mut request = url.into_client_request().unwrap();
        if let Some(token) = token {
            let value = format!("Bearer {}", token.trim()).parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) =
            tungstenite::client::client_with_config(request, stream, Some(config)).unwrap();
        let mut client = Self {
            socket,
            chat_id: chat_id.into(),
        };
        client.expect("session_established");
        client
    }

    /// Sends a text to this client's chat.
    pub(crate) fn say(&mut self, content: &str) {
        self.send(&json!({"type": "user_input", "content": content, "chat_id": self.chat_id}));
    }

    fn send(&mut self, message: &Value) {
        let frame = Message::text(message.to_string());
        self.socket.send(frame).unwrap();
    }

    /// Sends a text and waits for the answer.
    pub(crate) fn ask(&mut self, content: &str) {
        self.say(content);
        self.expect("assistant_response");
    }

    /// Goes on in a new dialog.
    pub(crate) fn renew(&mut self) {
        self.say("/new");
        self.expect("command_executed");
    }

    /// Opens a dialog; its newest 200 messages must come.
    pub(crate) fn load(&mut self, session_id: &str) {
        self.send(&json!({"type": "load_session", "session_id": session_id}));
        let loaded = self.next();
        let n = loaded["messages"].as_array().map_or(0, Vec::len);
        assert_eq!(n, 200, "{session_id}: {}", loaded["type"]);
    }

    /// Returns the next message that is no notification.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] != "system_notification" {
                    return message;
                }
            }
        }
    }

    /// Reads the next message, which has to be of this type.
    pub(crate) fn expect(&mut self, kind: &str) {
        let message = self.next();
        assert_eq!(message["type"], kind, "{message}");
    }
}
