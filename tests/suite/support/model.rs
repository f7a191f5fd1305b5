//! A scripted model service on loopback that speaks chat completions and the Messages API and records every request.
//!
//! Threads: `model` accepts, one `model-conn` a connection; all end when the server is dropped. The script decides what
//! to say (`script.rs`); this file only moves bytes.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use picobot::threads::{Thread, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::CEILING;
use super::gate::{Flag, Woken, wait};
use super::http::{self, Request};
use super::messages;
use super::script::{self, Answer, Completion, Content, Envelope};

// Reading deep JSON is recursive.
const STACK: usize = 2 * 1024 * 1024;

/// A request for a completion, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// The number of the connection it came on, from 0.
    pub(crate) connection: usize,
    /// Method, path and headers.
    pub(crate) http: Request,
    /// The body.
    pub(crate) body: Value,
    /// When it was complete.
    pub(crate) at: Instant,
}

/// The wire formats of the service, told apart by the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Chat completions.
    Chat,
    /// The Messages API.
    Messages,
}

impl Format {
    fn of(http: &Request) -> Option<Self> {
        match http.path.as_str() {
            _ if http.method != "POST" => None,
            path if path.ends_with("/chat/completions") => Some(Self::Chat),
            path if path.ends_with("/v1/messages") => Some(Self::Messages),
            _ => None,
        }
    }
}

impl Received {
    /// Returns the format of the request.
    pub(crate) fn format(&self) -> Format {
        Format::of(&self.http).expect("nothing else is recorded")
    }

    /// Returns the texts of the messages of one role.
    pub(crate) fn texts(&self, role: &str) -> Vec<String> {
        let messages = self.body["messages"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        messages
            .iter()
            .filter(|message| message["role"] == role)
            .map(|message| match &message["content"] {
                Value::String(text) => text.clone(),
                Value::Array(parts) => parts
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .collect(),
                _ => String::new(),
            })
            .collect()
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
    arrived: Condvar,
    stop: Flag,
}

/// The service; dropping it ends it.
pub(crate) struct ModelServer {
    port: u16,
    shared: Arc<Shared>,
    accepter: Option<Thread>,
}

impl ModelServer {
    /// Starts a service that asks `script` for every answer.
    pub(crate) fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            received: Mutex::default(),
            arrived: Condvar::new(),
            stop: Flag::new(),
        });
        let accepter = spawn("model", STACK, {
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self {
            port,
            shared,
            accepter: Some(accepter.unwrap()),
        }
    }

    /// Starts a service that gives these answers in order, and 500 when there are no more.
    pub(crate) fn queue(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Mutex<VecDeque<Answer>> = Mutex::new(answers.into_iter().collect());
        Self::start(move |_| {
            let next = answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            next.unwrap_or_else(|| Answer::error(500, "the script has ended"))
        })
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address for a provider's `base_url`.
    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.origin())
    }

    /// Returns the address without a version segment.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns what has come so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.lock().clone()
    }

    /// Waits until so many requests have come, and returns them.
    pub(crate) fn wait_for(&self, n: usize) -> Vec<Received> {
        let received = self.lock();
        let (received, _) = self
            .shared
            .arrived
            .wait_timeout_while(received, CEILING, |received| received.len() < n)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            received.len() >= n,
            "{} of {n} requests came",
            received.len()
        );
        received.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Received>> {
        let received = self.shared.received.lock();
        received.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.stop.raise();
        let late = self
            .accepter
            .take()
            .and_then(|thread| thread.join_within(CEILING).err());
        if let Some(error) = late {
            eprintln!("the scripted model: {error}");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    // The handle of each socket too, because a connection thread may wait in `read`.
    let mut connections: Vec<(Thread, TcpStream)> = Vec::new();
    while next_client(listener, &shared.stop) {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let number = connections.len();
        let handle = stream.try_clone().unwrap();
        let shared = shared.clone();
        let thread = spawn("model-conn", STACK, move || {
            // An error is the other side's doing: a test that minds looks at what was received.
            let _ = serve(stream, number, &shared);
        });
        connections.push((thread.unwrap(), handle));
    }
    for (_, socket) in &connections {
        let _ = socket.shutdown(Shutdown::Both);
    }
    for (thread, _) in connections {
        let _ = thread.join_within(CEILING);
    }
}

/// Waits for a client; false when the server is being dropped.
fn next_client(listener: &TcpListener, stop: &Flag) -> bool {
    let mut fds = [
        PollFd::new(stop.readable(), PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    while poll(&mut fds, None).is_err() {}
    fds[0].revents().is_empty()
}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(http) = http::read_request(&mut reader)? {
        if Format::of(&http).is_none() {
            write_http(
                &mut writer,
                404,
                &[],
                "{\"error\":{\"message\":\"no such page\"}}",
            )?;
            continue;
        }
        let received = record(http, connection, shared);
        let answer = (shared.script)(&received);
        if !give(&answer, &received, &mut writer, &shared.stop)? {
            return writer.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn record(http: Request, connection: usize, shared: &Shared) -> Received {
    let body = serde_json::from_slice(&http.body).unwrap_or(Value::Null);
    let mut all = shared
        .received
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let received = Received {
        index: all.len(),
        connection,
        http,
        body,
        at: Instant::now(),
    };
    all.push(received.clone());
    shared.arrived.notify_all();
    received
}

/// Writes an answer; returns whether the connection may be used again.
fn give(
    answer: &Answer,
    received: &Received,
    writer: &mut TcpStream,
    stop: &Flag,
) -> io::Result<bool> {
    if let Some(pause) = answer.pause {
        let woken = wait(writer, None, stop, pause);
        if woken != Woken::Elapsed {
            return Ok(false);
        }
    }
    let held_first = answer.gate.as_ref().filter(|(pieces, _)| *pieces == 0);
    if held_first.is_some_and(|(_, gate)| !gate.pass(writer, stop)) {
        return Ok(false);
    }
    let completion = match &answer.content {
        Content::Raw(bytes) => {
            write_to_the_end(answer, bytes, writer)?;
            return Ok(false);
        }
        Content::Error {
            status,
            headers,
            message,
        } => {
            let body = match received.format() {
                Format::Chat => script::error(message),
                Format::Messages => messages::error(*status, message),
            };
            write_http(writer, *status, headers, &body.to_string())?;
            return Ok(true);
        }
        Content::Completion(completion) => completion,
    };
    if let Some(reshape) = &answer.reshape {
        let body = if received.body["stream"] == true {
            events(completion, received).concat()
        } else {
            whole(completion, received).to_string()
        };
        write_to_the_end(answer, &reshape(&body), writer)?;
        return Ok(false);
    }
    if received.body["stream"] != true {
        write_http(writer, 200, &[], &whole(completion, received).to_string())?;
        return Ok(true);
    }
    stream_events(&events(completion, received), answer, writer, stop)
}

/// Writes bytes as they are, and what has no end behind them.
fn write_to_the_end(answer: &Answer, bytes: &[u8], writer: &mut TcpStream) -> io::Result<()> {
    writer.write_all(bytes)?;
    match &answer.endless {
        Some(more) => loop {
            writer.write_all(more)?;
        },
        None => Ok(()),
    }
}

/// Returns a completion in one piece.
fn whole(completion: &Completion, received: &Received) -> Value {
    match received.format() {
        Format::Chat => envelope(received).whole(completion),
        Format::Messages => messages::whole(completion, received),
    }
}

/// Returns the events of a streamed completion as they stand on the wire.
fn events(completion: &Completion, received: &Received) -> Vec<String> {
    match received.format() {
        Format::Chat => {
            let with_usage = received.body["stream_options"]["include_usage"] == true;
            let events = envelope(received).events(completion, with_usage);
            let lines = events.iter().map(|event| format!("data: {event}\n\n"));
            lines.chain(["data: [DONE]\n\n".to_owned()]).collect()
        }
        Format::Messages => messages::events(completion, received)
            .iter()
            .map(|event| {
                let name = event["type"].as_str().unwrap_or_default();
                format!("event: {name}\ndata: {event}\n\n")
            })
            .collect(),
    }
}

fn envelope(received: &Received) -> Envelope {
    Envelope {
        id: format!("chatcmpl-{}", received.index),
        model: received.body["model"].clone(),
        prompt_tokens: received.http.body.len().div_ceil(4),
    }
}

fn stream_events(
    events: &[String],
    answer: &Answer,
    writer: &mut TcpStream,
    stop: &Flag,
) -> io::Result<bool> {
    writer.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let mut left = answer.cut.unwrap_or(usize::MAX);
    for (n, line) in events.iter().enumerate() {
        let gate = answer
            .gate
            .as_ref()
            .filter(|(pieces, _)| n > 0 && *pieces == n);
        if gate.is_some_and(|(_, gate)| !gate.pass(writer, stop)) {
            return Ok(false);
        }
        let bytes = &line.as_bytes()[..line.len().min(left)];
        write!(writer, "{:x}\r\n", bytes.len())?;
        writer.write_all(bytes)?;
        writer.write_all(b"\r\n")?;
        left -= bytes.len();
        if left == 0 {
            return Ok(false);
        }
    }
    writer.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

fn write_http(
    writer: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &str,
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    write!(writer, "{head}\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::super::gate::Gate;
    use super::super::script::Call;
    use super::*;
    use serde_json::json;
    use std::io::Read;

    fn post(stream: &mut TcpStream, body: &Value) {
        let body = body.to_string();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }

    fn connect(server: &ModelServer) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        stream
    }

    /// Reads until the stream ends with these bytes or closes.
    fn read_until(stream: &mut TcpStream, end: &str) -> String {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(end.as_bytes()) && stream.read(&mut byte).unwrap() > 0 {
            bytes.extend(byte);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn keeps_a_connection_and_records() {
        let server = ModelServer::queue([Answer::text("one two"), Answer::text("three")]);
        let mut stream = connect(&server);
        post(&mut stream, &json!({"model": "m", "stream": true}));
        let first = read_until(&mut stream, "0\r\n\r\n");
        assert!(
            first.contains("\"content\":\"one \"") && first.contains("data: [DONE]"),
            "{first}"
        );
        post(&mut stream, &json!({"model": "m"}));
        let second = read_until(&mut stream, "}}");
        assert!(second.contains("\"content\":\"three\""), "{second}");
        let received = server.wait_for(2);
        assert_eq!(received[1].connection, 0);
        assert_eq!(received[1].body, json!({"model": "m"}));
    }

    #[test]
    fn a_gate_holds_and_sees_the_hang_up() {
        let gate = Gate::new();
        let server = ModelServer::queue([Answer::text("a b c").held_after(2, &gate)]);
        let mut stream = connect(&server);
        post(&mut stream, &json!({"model": "m", "stream": true}));
        let before = read_until(&mut stream, "\"content\":\"a \"");
        assert!(!before.contains("\"content\":\"b \""));
        gate.wait_reached();
        drop(stream);
        gate.wait_hung_up();
    }

    #[test]
    fn cuts_and_raw_bytes_close() {
        let server = ModelServer::queue([
            Answer::calls([Call::new("c", "t", json!({"a": 1}))]).cut_after(20),
            Answer::raw(b"nonsense"),
        ]);
        for expected in ["data: {\"id\":\"chatcmp", "nonsense"] {
            let mut stream = connect(&server);
            post(&mut stream, &json!({"model": "m", "stream": true}));
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            assert!(all.trim_end().ends_with(expected), "{all}");
        }
    }

    #[test]
    fn dropping_ends_a_slow_answer() {
        let server = ModelServer::queue([Answer::text("x").slow(Duration::from_secs(600))]);
        let mut stream = connect(&server);
        post(&mut stream, &json!({"model": "m"}));
        server.wait_for(1);
        drop(server);
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all, "");
    }
}
