//! The scripted Feishu service as a child process, and what tests tell and ask it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The credentials it knows.
pub(super) const APP_ID: &str = "cli_0123456789abcdef";
/// See [`APP_ID`].
pub(super) const APP_SECRET: &str = "right-secret";

/// A running service; ends with this value.
pub(super) struct Service {
    child: Child,
    _stdin: ChildStdin,
    base: String,
}

impl Service {
    /// Starts it; `None` where the official SDK is not there, which is said loudly.
    pub(super) fn start() -> Option<Self> {
        let python = crate::sdk::python()?;
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/python/feishu_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut base = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut base)
            .unwrap();
        Some(Self {
            child,
            _stdin: stdin,
            base: base.trim().to_owned(),
        })
    }

    /// Returns its address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Returns the port of its API.
    pub(super) fn port(&self) -> u16 {
        self.base.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Tells or asks it something.
    #[track_caller]
    pub(super) fn control(&self, what: &str, body: &Value) -> Value {
        post(
            &self.base,
            &format!("/control/{what}"),
            &[],
            &body.to_string(),
        )
        .1
    }

    /// Returns what happened so far.
    #[track_caller]
    pub(super) fn log(&self) -> Value {
        self.control("log", &json!({}))
    }

    /// Waits until so many messages were sent, and returns their texts.
    #[track_caller]
    pub(super) fn wait_sent(&self, n: usize) -> Vec<String> {
        let log = self.control("wait", &json!({"sent": n, "timeout": 120}));
        let sent: Vec<String> = log["sent"]
            .as_array()
            .unwrap()
            .iter()
            .map(text_of)
            .collect();
        assert!(sent.len() >= n, "{n} messages expected: {sent:#?}");
        sent
    }

    /// Waits for something; see `reached` of the script.
    #[track_caller]
    pub(super) fn wait(&self, what: &Value) -> Value {
        let mut body = what.clone();
        body["timeout"] = json!(120);
        self.control("wait", &body)
    }

    /// Delivers an event and returns how it was answered.
    #[track_caller]
    pub(super) fn deliver(&self, event: &Value) -> u64 {
        let answer = self.control("event", &json!({"event": event, "wait": 120}));
        answer["answers"][0]["code"].as_u64().unwrap_or(0)
    }

    /// Presses a button and returns what the bot answered at once.
    #[track_caller]
    pub(super) fn press(&self, person: &str, message: &str, chat: &str, value: &Value) -> Value {
        use base64::Engine;
        let event = envelope(
            "card.action.trigger",
            &json!({
                "operator": {"open_id": person}, "token": "c-1",
                "action": {"value": value, "tag": "button"},
                "context": {"open_message_id": message, "open_chat_id": chat},
            }),
        );
        let answer = self.control("event", &json!({"event": event, "wait": 120}));
        let data = answer["answers"][0]["data"].as_str().unwrap();
        let data = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        serde_json::from_slice(&data).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts JSON; returns the status and the JSON answer.
#[track_caller]
pub(super) fn post(base: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let host = base.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(180)))
        .unwrap();
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// What a sent message says, whatever its form.
pub(super) fn text_of(sent: &Value) -> String {
    let content: Value = serde_json::from_str(sent["content"].as_str().unwrap()).unwrap();
    if let Some(text) = content["text"].as_str() {
        return text.to_owned();
    }
    if let Some(elements) = content["body"]["elements"].as_array() {
        let texts = elements.iter().filter_map(|one| one["content"].as_str());
        return texts.collect::<Vec<_>>().join("\n");
    }
    if let Some(text) = content["zh_cn"]["content"][0][0]["text"].as_str() {
        return text.to_owned();
    }
    content.to_string()
}

/// An event in its envelope.
pub(super) fn envelope(kind: &str, event: &Value) -> Value {
    json!({
        "schema": "2.0",
        "header": {"event_id": format!("e-{kind}"), "event_type": kind, "create_time": "1",
                   "token": "tok", "app_id": APP_ID, "tenant_key": "t"},
        "event": event,
    })
}

/// A private text of `ou_1`.
pub(super) fn text(id: &str, text: &str) -> Value {
    message(id, "text", &json!({"text": text}), |_| {})
}

/// A private message of `ou_1`, changed as wished.
pub(super) fn message(
    id: &str,
    kind: &str,
    content: &Value,
    change: impl FnOnce(&mut Value),
) -> Value {
    let mut event = envelope(
        "im.message.receive_v1",
        &json!({
            "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user"},
            "message": {
                "message_id": id, "chat_id": "oc_1", "chat_type": "p2p",
                "message_type": kind, "content": content.to_string(),
            },
        }),
    );
    change(&mut event["event"]);
    event
}

/// A text of a person in the group `oc_g` that mentions the bot.
pub(super) fn group_text(id: &str, person: &str, said: &str) -> Value {
    let content = json!({"text": format!("@_user_1 {said}")});
    message(id, "text", &content, |event| {
        event["sender"]["sender_id"]["open_id"] = json!(person);
        event["message"]["chat_id"] = json!("oc_g");
        event["message"]["chat_type"] = json!("group");
        event["message"]["mentions"] =
            json!([{"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "PicoBot"}]);
    })
}
