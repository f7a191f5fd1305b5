//! WebSocket clients: one that knows only the oldest messages, and one that says hello.

use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::CEILING;

/// A connected client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// The dialog the gateway named first.
    pub(crate) session_id: String,
}

impl Client {
    /// Connects as a client that asks for nothing additive.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://127.0.0.1:{port}/ws");
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let mut client = Self {
            socket,
            session_id: String::new(),
        };
        let first = client.next();
        assert_eq!(first["type"], "session_established", "{first}");
        client.session_id = first["session_id"].as_str().unwrap().to_owned();
        client
    }

    /// Connects and asks for these capabilities.
    pub(crate) fn hello(port: u16, capabilities: &[&str]) -> Self {
        let mut client = Self::connect(port);
        client.send_json(&json!({"type": "hello", "capabilities": capabilities}));
        client
    }

    /// Sends one message.
    pub(crate) fn send_json(&mut self, message: &Value) {
        let text = message.to_string();
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Sends a text of the person.
    pub(crate) fn say(&mut self, content: &str) {
        self.send_json(&json!({"type": "user_input", "content": content}));
    }

    /// Returns the next message; panics if none comes.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("instead of a message: {other:?}"),
            }
        }
    }

    /// Returns everything up to and with the first message of one of these types.
    pub(crate) fn until(&mut self, types: &[&str]) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let message = self.next();
            let found = types.iter().any(|wanted| message["type"] == **wanted);
            seen.push(message);
            if found {
                return seen;
            }
        }
    }

    /// Sends a text and returns the one reply, whatever it is; only notifications may come before it.
    pub(crate) fn request(&mut self, content: &str) -> Value {
        self.say(content);
        loop {
            let message = self.next();
            if message["type"] != "system_notification" {
                return message;
            }
        }
    }

    /// Sends a text and returns the content of the one answer.
    pub(crate) fn ask(&mut self, content: &str) -> String {
        let reply = self.request(content);
        assert_eq!(reply["type"], "assistant_response", "{reply}");
        reply["content"].as_str().unwrap().to_owned()
    }

    /// Proves that everything sent so far is stored.
    pub(crate) fn ping(&mut self) {
        self.send_json(&json!({"type": "ping"}));
        self.until(&["pong"]);
    }
}
