//! Drives a real door over loopback with raw sockets and WebSocket clients, and a handler that echoes into a queue.

mod auth;
mod flow;
mod hostile;
mod http;
mod stop;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use super::*;
use crate::bus::Body;

/// Ceiling of every wait.
const CEILING: Duration = Duration::from_secs(60);
const TOKEN: &str = "the-token";

/// What the handler was told.
#[derive(PartialEq, Eq, Debug)]
enum Told {
    Connected(ClientId, bool),
    Text(ClientId, String),
    Closed(ClientId),
}

/// Puts everything into a bounded queue and echoes texts.
struct Echo {
    told: Sender<Told>,
    /// The kernel's number of the thread it runs on.
    thread: Arc<AtomicI32>,
}

impl Echo {
    fn put(&self, told: Told) -> Flow {
        match self.told.try_send(told) {
            Ok(()) => Flow::Taken,
            Err(_) => Flow::Full,
        }
    }
}

impl Handler for Echo {
    fn connected(&mut self, client: ClientId, trusted: bool) -> Flow {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.thread.store(thread, Ordering::Relaxed);
        self.put(Told::Connected(client, trusted))
    }

    fn text(&mut self, client: ClientId, text: &str, replies: &mut Vec<String>) -> Flow {
        let flow = self.put(Told::Text(client, text.to_owned()));
        if flow == Flow::Taken {
            replies.push(text.to_owned());
        }
        flow
    }

    fn binary(&mut self, _: ClientId) -> Option<String> {
        Some("no binary".to_owned())
    }

    fn encode(&mut self, outbound: &Outbound) -> Option<String> {
        match &outbound.body {
            Body::Notification { content } => Some(content.clone()),
            _ => None,
        }
    }

    fn closed(&mut self, client: ClientId) -> Flow {
        self.put(Told::Closed(client))
    }
}

/// How a test's door differs from the usual one.
struct Setup {
    config: DoorConfig,
    times: Times,
    /// Capacity of the queue behind the handler.
    room: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: DoorConfig {
                host: "127.0.0.1".to_owned(),
                port: 0,
                allowed_hosts: Vec::new(),
                allowed_origins: Vec::new(),
                max_connections: 4096,
                auth: AuthMode::Auto,
                posts: None,
            },
            times: Times::default(),
            room: 10_000,
        }
    }
}

struct Rig {
    addr: SocketAddr,
    health: Arc<Health>,
    sink: DoorSink,
    told: Receiver<Told>,
    thread: Arc<AtomicI32>,
    door: Option<DoorHandle>,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let health = Arc::new(Health::default());
        let token = Secret::new(TOKEN);
        let door = Door::bind_with(setup.config, health.clone(), &token, setup.times).unwrap();
        let addr = door.local_addr();
        let (tell, told) = bounded(setup.room);
        let fatal = Fatal::new(|_| {});
        let thread = Arc::new(AtomicI32::new(0));
        let handler = Echo {
            told: tell,
            thread: thread.clone(),
        };
        let door = door.start(handler, &fatal).unwrap();
        Self {
            addr,
            health,
            sink: door.sink(),
            told,
            thread,
            door: Some(door),
        }
    }

    fn raw(&self) -> TcpStream {
        raw(self.addr)
    }

    /// Sends bytes on a new connection and returns all that comes back.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.raw();
        stream.write_all(request.as_bytes()).unwrap();
        read_all(&mut stream)
    }

    fn health(&self) -> String {
        self.ask(&format!(
            "GET /health HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.addr
        ))
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        self.try_connect(None).unwrap()
    }

    fn try_connect(
        &self,
        token: Option<&str>,
    ) -> Result<WebSocket<TcpStream>, Box<tungstenite::Error>> {
        let mut request = format!("ws://{}/ws", self.addr)
            .into_client_request()
            .unwrap();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            request.headers_mut().insert("Authorization", value);
        }
        let config = WebSocketConfig::default().max_frame_size(None);
        match tungstenite::client::client_with_config(request, self.raw(), Some(config)) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("no answer in time"),
        }
    }

    /// The status a WebSocket handshake is refused with.
    fn refused(&self, token: Option<&str>) -> u16 {
        match *self.try_connect(token).unwrap_err() {
            tungstenite::Error::Http(response) => response.status().as_u16(),
            error => panic!("no HTTP answer: {error}"),
        }
    }

    /// A raw connection that has become a WebSocket.
    fn upgraded(&self) -> TcpStream {
        let mut stream = self.raw();
        stream.write_all(self.upgrade_head().as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        stream
    }

    fn upgrade_head(&self) -> String {
        format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.addr
        )
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(CEILING).unwrap()
    }

    fn next_client(&self) -> ClientId {
        match self.next() {
            Told::Connected(client, _) => client,
            other => panic!("no arrival but {other:?}"),
        }
    }

    fn notify(&self, client: ClientId, content: impl Into<String>) {
        self.sink.push(Outbound {
            client,
            request_id: None,
            session: None,
            body: Body::Notification {
                content: content.into(),
            },
        });
    }

    /// Ends the door and waits for its thread.
    fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(door) = self.door.take() {
            let thread = door.stop(Instant::now() + Duration::from_secs(2));
            thread.join_within(CEILING).unwrap();
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

fn raw(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, CEILING).unwrap();
    stream.set_read_timeout(Some(CEILING)).unwrap();
    stream.set_write_timeout(Some(CEILING)).unwrap();
    stream
}

/// Reads until the other side closes; a reset counts as a close, a silence does not.
fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(bytes).unwrap()
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A client's frame: `first` is the first byte (FIN, RSV, opcode), the mask is all zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Reads one frame of the server: its first byte and payload.
fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut start = [0; 2];
    stream.read_exact(&mut start).unwrap();
    let len = match start[1] {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            usize::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            stream.read_exact(&mut len).unwrap();
            u64::from_be_bytes(len) as usize
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).unwrap();
    (start[0], payload)
}

/// Reads up to the close frame and returns its code.
fn close_code(stream: &mut TcpStream) -> u16 {
    loop {
        let (first, payload) = read_frame(stream);
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

fn text(socket: &mut WebSocket<TcpStream>) -> String {
    match socket.read().unwrap() {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("no text but {other:?}"),
    }
}
