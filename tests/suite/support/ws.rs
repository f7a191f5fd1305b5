//! WebSocket clients: one that knows only the oldest messages, and one that says hello.
//!
//! What may fail because the gateway dies is offered twice: `try_…` gives the error back, the plain form panics.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::CEILING;

/// A connected client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// The dialog the gateway named first.
    pub(crate) session_id: String,
    /// That first message.
    pub(crate) established: Value,
}

impl Client {
    /// Connects as a client that asks for nothing additive.
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap()
    }

    /// Connects with the gateway's token.
    pub(crate) fn with_token(port: u16, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::with_headers(port, &[("authorization", &bearer)]).unwrap()
    }

    /// Connects and asks for these capabilities.
    pub(crate) fn hello(port: u16, capabilities: &[&str]) -> Self {
        let mut client = Self::connect(port);
        client.send_json(&json!({"type": "hello", "capabilities": capabilities}));
        client
    }

    /// Connects; the gateway may refuse or be gone.
    pub(crate) fn try_connect(port: u16) -> Result<Self, Error> {
        Self::with_headers(port, &[])
    }

    /// Connects with further header lines in the request.
    pub(crate) fn with_headers(port: u16, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(CEILING))?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(name, value);
        }
        let (socket, _) = tungstenite::client(request, stream).map_err(|error| match error {
            HandshakeError::Failure(error) => error,
            HandshakeError::Interrupted(_) => panic!("the handshake takes too long"),
        })?;
        let mut client = Self {
            socket,
            session_id: String::new(),
            established: Value::Null,
        };
        client.established = client.try_next()?;
        let first = &client.established;
        if first["type"] != "session_established" {
            return Err(Error::Io(std::io::Error::other(first.to_string())));
        }
        client.session_id = first["session_id"].as_str().unwrap().to_owned();
        Ok(client)
    }

    /// Sends one message.
    pub(crate) fn send_json(&mut self, message: &Value) {
        self.try_send(message).unwrap();
    }

    /// Sends one message to a gateway that may be gone.
    pub(crate) fn try_send(&mut self, message: &Value) -> Result<(), Error> {
        self.socket.send(Message::text(message.to_string()))
    }

    /// Sends any frame.
    pub(crate) fn send_frame(&mut self, frame: Message) {
        self.socket.send(frame).unwrap();
    }

    /// Sends a text of the person.
    pub(crate) fn say(&mut self, content: &str) {
        self.send_json(&json!({"type": "user_input", "content": content}));
    }

    /// Returns the next message; panics if none comes.
    pub(crate) fn next(&mut self) -> Value {
        self.try_next()
            .unwrap_or_else(|error| panic!("instead of a message: {error:?}"))
    }

    /// Returns the next message of a gateway that may be gone.
    pub(crate) fn try_next(&mut self) -> Result<Value, Error> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return Err(Error::ConnectionClosed),
                Ok(other) => panic!("instead of a message: {other:?}"),
                // A child of another test ended while this one waited.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for so long and tells whether nothing came.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        let set = |socket: &WebSocket<TcpStream>, limit| {
            socket.get_ref().set_read_timeout(Some(limit)).unwrap();
        };
        set(&self.socket, time);
        let silent = match self.socket.read() {
            Err(Error::Io(error)) => error.kind() == ErrorKind::WouldBlock,
            _ => false,
        };
        set(&self.socket, CEILING);
        silent
    }

    /// Returns the code with which the gateway closes; only closing may come.
    pub(crate) fn close_code(&mut self) -> u16 {
        match self.socket.read() {
            Ok(Message::Close(Some(frame))) => frame.code.into(),
            other => panic!("instead of a close frame: {other:?}"),
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

    /// Loads a dialog and returns its messages.
    pub(crate) fn load(&mut self, session_id: &str) -> Vec<Value> {
        self.send_json(&json!({"type": "load_session", "session_id": session_id}));
        let loaded = self.until(&["session_loaded", "error"]).pop().unwrap();
        assert_eq!(loaded["type"], "session_loaded", "{loaded}");
        assert_eq!(loaded["has_more"], false, "{loaded}");
        loaded["messages"].as_array().unwrap().clone()
    }
}
