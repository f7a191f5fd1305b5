//! A scripted HTTP server on loopback for the tests of this module: raw bytes out, requests recorded.
//!
//! One thread accepts, one serves each connection; all end when the server is dropped or their client is gone. No HTTP
//! library: the point is to send what a library would refuse to send.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::threads;

/// No test waits longer for anything.
pub(crate) const CEILING: Duration = Duration::from_secs(60);
/// More events than any test makes.
const EVENTS: usize = 256;
const STACK_BYTES: usize = 256 * 1024;

/// What the server does after a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends bytes as they are.
    Send(Vec<u8>),
    /// Sends the same bytes until the client is gone.
    Endless(Vec<u8>),
    /// Says nothing until the client is gone.
    Hold,
    /// Ends the connection in order.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Returns a header's value; names are compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

struct Shared {
    scripts: Mutex<VecDeque<Vec<Step>>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    stop: AtomicBool,
    asked: Sender<()>,
    gone: Sender<()>,
}

/// The server; each request gets the next script.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// One event for each request received.
    pub(crate) asked: Receiver<()>,
    /// One event for each client that was gone before its script ended.
    pub(crate) gone: Receiver<()>,
}

impl Server {
    pub(crate) fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, asked_rx) = bounded(EVENTS);
        let (gone, gone_rx) = bounded(EVENTS);
        let shared = Arc::new(Shared {
            scripts: Mutex::new(scripts.into()),
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            asked,
            gone,
        });
        let accepting = shared.clone();
        threads::spawn("t-accept", STACK_BYTES, move || {
            for stream in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let serving = accepting.clone();
                let stream = stream.unwrap();
                threads::spawn("t-conn", STACK_BYTES, move || serve(stream, &serving)).unwrap();
            }
        })
        .unwrap();
        Self {
            address,
            shared,
            asked: asked_rx,
            gone: gone_rx,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accept loop.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_read_timeout(Some(CEILING)).unwrap();
    stream.set_write_timeout(Some(CEILING)).unwrap();
    while let Some(request) = read_request(&mut stream) {
        shared.received.lock().unwrap().push(request);
        shared.asked.send(()).unwrap();
        let script = shared.scripts.lock().unwrap().pop_front();
        for step in script.unwrap_or_else(|| vec![Step::Close]) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        shared.gone.send(()).unwrap();
                        return;
                    }
                }
                Step::Endless(bytes) => {
                    while stream.write_all(&bytes).is_ok() {}
                    shared.gone.send(()).unwrap();
                    return;
                }
                Step::Hold => {
                    let seen = stream.read(&mut [0; 64]);
                    if !matches!(&seen, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock) {
                        shared.gone.send(()).unwrap();
                    }
                    return;
                }
                Step::Close => return,
                Step::Reset => {
                    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                    return;
                }
            }
        }
    }
}

/// Reads one request; `None` if the client is gone.
pub(crate) fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let mut request = Received {
        head: String::from_utf8(bytes[..head_end].to_vec()).unwrap(),
        body: bytes.split_off(head_end),
    };
    let length: usize = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while request.body.len() < length {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.body.extend_from_slice(&buffer[..count]),
        }
    }
    Some(request)
}

/// A response with a length.
pub(crate) fn response(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A whole JSON response.
pub(crate) fn json(status: u16, body: &str) -> Vec<Step> {
    vec![Step::Send(response(
        status,
        "content-type: application/json\r\n",
        body,
    ))]
}

/// The head of a chunked event stream.
pub(crate) const SSE_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk of a chunked body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A whole chunked event stream, cut into chunks of `size` bytes.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<Step> {
    let mut bytes = SSE_HEAD.to_vec();
    body.chunks(size)
        .for_each(|piece| bytes.extend(chunk(piece)));
    bytes.extend_from_slice(b"0\r\n\r\n");
    vec![Step::Send(bytes)]
}

/// An event stream of data lines.
pub(crate) fn events<S: AsRef<str>>(data: &[S]) -> Vec<u8> {
    data.iter()
        .flat_map(|data| format!("data: {}\n\n", data.as_ref()).into_bytes())
        .collect()
}

/// Writes a request as both formats have it: chat completions, and the Messages API.
pub(crate) fn bodies(request: &super::Request<'_>) -> [serde_json::Value; 2] {
    [
        super::openai::body(request),
        super::anthropic::body(request),
    ]
    .map(|body| serde_json::from_slice(&body).unwrap())
}
