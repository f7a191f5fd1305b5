//! A model service as fast as it can be: byte searches instead of JSON, one write an answer, no records.
//!
//! One thread a connection. What to do is said in the newest text of the person, behind `bench:`. The time from the last
//! byte of a request until its answer is ready to be written is summed up, so that the caller can take it off.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::stream::{self, Format};

/// An answer at once.
pub(crate) const PLAIN: &str = "bench:plain";
/// Five rounds of the calculator, then an answer.
pub(crate) const ROUNDS: &str = "bench:rounds";
/// An answer after two seconds.
pub(crate) const SLOW: &str = "bench:slow";
/// An answer of 20,000 tokens, each an event of its own.
pub(crate) const LONG: &str = "bench:long";
/// An answer of 1 MiB.
pub(crate) const BIG: &str = "bench:big";
/// A first piece, then nothing until the other side hangs up.
pub(crate) const HANG: &str = "bench:hang";

/// Nothing at all until the other side hangs up.
pub(crate) const DEAF: &str = "bench:deaf";
/// A wish to come again in 50 seconds.
pub(crate) const LATER: &str = "bench:later";
/// A call of `bash` that lasts; the word behind it is in the command lines of all it starts.
pub(crate) const BASH: &str = "bench:bash ";

/// Begins the system prompt of a request for a summary, which is treated as [`DEAF`].
const SUMMARY: &[u8] = b"You compress conversations.";
/// Tool rounds of [`ROUNDS`].
const N_ROUNDS: usize = 5;
/// The pause of [`SLOW`].
pub(crate) const SLOW_PAUSE: Duration = Duration::from_secs(2);

const STACK: usize = 128 * 1024;

#[derive(Default)]
struct Shared {
    busy_ns: AtomicU64,
    connections: AtomicUsize,
    last_body: Mutex<Vec<u8>>,
    hangs: Mutex<Option<SyncSender<Instant>>>,
}

/// The running service. It ends with the process.
pub(crate) struct Model {
    port: u16,
    shared: Arc<Shared>,
}

impl Model {
    /// Starts a service on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        start_thread({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let shared = shared.clone();
                    shared.connections.fetch_add(1, Ordering::AcqRel);
                    start_thread(move || {
                        // The other side closed: nothing to report.
                        let _ = serve(stream, &shared);
                    });
                }
            }
        });
        Self { port, shared }
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address for a provider's `base_url`, whichever format it speaks.
    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Returns how many connections were made since the last call.
    pub(crate) fn take_connections(&self) -> usize {
        self.shared.connections.swap(0, Ordering::AcqRel)
    }

    /// Returns the time spent on answers since the last call.
    pub(crate) fn take_busy(&self) -> Duration {
        Duration::from_nanos(self.shared.busy_ns.swap(0, Ordering::AcqRel))
    }

    /// Returns the body of the newest request.
    pub(crate) fn last_body(&self) -> Vec<u8> {
        self.shared.last_body.lock().unwrap().clone()
    }

    /// Returns where each [`HANG`] and [`DEAF`] reports twice: when it is reached, with the first piece out, and when the other
    /// side hung up; and each [`LATER`] once.
    pub(crate) fn watch_hangs(&self) -> Receiver<Instant> {
        let (tell, told) = sync_channel(2);
        *self.shared.hangs.lock().unwrap() = Some(tell);
        told
    }
}

#[allow(clippy::disallowed_methods)] // The harness is a program of its own and uses nothing of the library.
fn start_thread(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .unwrap();
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    while let Some((format, body)) = read_request(&mut reader)? {
        let since = Instant::now();
        let wish = newest(&body);
        if wish.starts_with(HANG.as_bytes()) {
            hang_event(&mut writer)?;
            return hang(&mut reader, shared);
        }
        if wish.starts_with(DEAF.as_bytes()) || is_summary(&body) {
            return hang(&mut reader, shared);
        }
        if wish.starts_with(LATER.as_bytes()) {
            writer.write_all(BUSY)?;
            shared.report();
            continue;
        }
        if let Some(marker) = wish.strip_prefix(BASH.as_bytes()) {
            writer.write_all(bash(marker).as_bytes())?;
            continue;
        }
        if wish.starts_with(SLOW.as_bytes()) {
            pause(SLOW_PAUSE);
        }
        let rounds_left = wish.starts_with(ROUNDS.as_bytes()) && results(wish) < N_ROUNDS;
        let long = if wish.starts_with(LONG.as_bytes()) {
            Some(stream::long(format))
        } else if wish.starts_with(BIG.as_bytes()) {
            Some(stream::big(format))
        } else {
            None
        };
        if let Some(answer) = long {
            writer.write_all(answer.as_bytes())?;
            continue;
        }
        let answer = match format {
            Format::Chat if rounds_left => call(results(wish)),
            Format::Chat => text(),
            Format::Messages => stream::short(format).to_owned(),
        };
        *shared.last_body.lock().unwrap() = body;
        // Before the last byte: the reader may ask as soon as it has that.
        let spent = u64::try_from(since.elapsed().as_nanos()).unwrap();
        shared.busy_ns.fetch_add(spent, Ordering::AcqRel);
        writer.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Waits without a clock's tick and without a spinning loop.
pub(crate) fn pause(time: Duration) {
    let (_never, wait) = sync_channel::<()>(0);
    let _ = wait.recv_timeout(time);
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<(Format, Vec<u8>)>> {
    let mut length = 0;
    let mut format = Format::Chat;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let lower = line.to_ascii_lowercase();
        if lower.starts_with("post /v1/messages ") {
            format = Format::Messages;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((format, body)))
}

/// Returns the body from the last `bench:` on.
fn newest(body: &[u8]) -> &[u8] {
    let at = body.windows(6).rposition(|bytes| bytes == b"bench:");
    &body[at.unwrap_or(body.len())..]
}

/// Counts the tool messages.
fn results(body: &[u8]) -> usize {
    let mark = b"\"role\":\"tool\"";
    body.windows(mark.len())
        .filter(|bytes| bytes == mark)
        .count()
}

fn is_summary(body: &[u8]) -> bool {
    body.windows(SUMMARY.len()).any(|bytes| bytes == SUMMARY)
}

fn hang_event(writer: &mut TcpStream) -> std::io::Result<()> {
    let event = event("{\"role\":\"assistant\",\"content\":\"wait \"}", "null");
    write!(writer, "{HEAD}{:x}\r\n{event}\r\n", event.len())
}

fn hang(reader: &mut BufReader<TcpStream>, shared: &Shared) -> std::io::Result<()> {
    shared.report();
    let _ = reader.read(&mut [0; 16]);
    shared.report();
    Ok(())
}

impl Shared {
    fn report(&self) {
        let tell = self.hangs.lock().unwrap().clone();
        if let Some(tell) = tell {
            let _ = tell.send(Instant::now());
        }
    }
}

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 50\r\ncontent-length: 4\r\n\r\nbusy";

/// A call whose command line and that of a session of its own hold the marker.
fn bash(marker: &[u8]) -> String {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let marker: Vec<u8> = marker.iter().copied().take_while(word).collect();
    let marker = String::from_utf8(marker).unwrap();
    let command =
        format!("setsid bash -c 'sleep 1000; : {marker}' & bash -c 'sleep 1000; : {marker}'");
    let arguments = serde_json::json!({"command": command}).to_string();
    let call = serde_json::json!({
        "role": "assistant", "content": null, "tool_calls": [{
            "index": 0, "id": "call_0", "type": "function",
            "function": {"name": "bash", "arguments": arguments},
        }],
    });
    stream(&[
        event(&call.to_string(), "null"),
        event("{}", "\"tool_calls\""),
    ])
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"b\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn stream(events: &[String]) -> String {
    let usage = "data: {\"id\":\"b\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
         \"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":10,\"total_tokens\":110}}\n\n";
    let body = format!("{}{usage}data: [DONE]\n\n", events.concat());
    format!("{HEAD}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

fn text() -> String {
    stream(&[
        event("{\"role\":\"assistant\",\"content\":\"This is \"}", "null"),
        event("{\"content\":\"the answer.\"}", "null"),
        event("{}", "\"stop\""),
    ])
}

fn call(round: usize) -> String {
    let call = format!(
        "{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":\"call_{round}\",\
         \"type\":\"function\",\"function\":{{\"name\":\"calculator\",\
         \"arguments\":\"{{\\\"expression\\\":\\\"{round}+1\\\"}}\"}}}}]}}"
    );
    stream(&[event(&call, "null"), event("{}", "\"tool_calls\"")])
}
