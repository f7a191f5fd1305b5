//! The sink behind the `log` facade: one line per event to stderr or to a rotated file.
//!
//! Called on whichever thread logs; holds one lock while it writes. Every text is redacted, and control characters are
//! escaped, so an event is exactly one line and cannot act on a terminal. Lost lines (full disk, closed stderr) are lost
//! quietly: logging never stops the program. No thread of its own: a count of repeats is written with the next event
//! after its second, or at `flush`.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::redact::Redactor;

#[cfg(test)]
mod tests;

/// Log files over this size are rotated.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// Log files kept, the current one included.
const MAX_FILES: usize = 5;

/// Longest message kept; the rest of a longer one is counted.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// The same message may come so often within a second; more of it is counted.
const MAX_REPEATS: u32 = 5;

/// Different messages watched for repeats at a time.
const MAX_WATCHED: usize = 32;

/// Our own events have targets that start so; other crates are heard from `warn` up, or at `trace`.
const OWN_TARGET: &str = "picobot";

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// The standard error stream.
    Stderr,
    /// A file with mode 0600, rotated at 10 MiB to `NAME.1` … `NAME.4`. Its folder must exist.
    File(PathBuf),
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `TIME LEVEL THREAD TARGET: MESSAGE`.
    Text,
    /// A JSON object with `time`, `level`, `thread`, `target`, `message`.
    Json,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Where to.
    pub target: LogTarget,
    /// The least important level written.
    pub level: LevelFilter,
    /// In which form.
    pub format: LogFormat,
}

/// Sets up logging for the whole process.
///
/// Panics are logged too, instead of printed with whatever they hold. Fails if the file cannot be opened or if logging is
/// set up already.
pub fn init_log(options: LogOptions, redactor: Arc<Redactor>) -> io::Result<()> {
    let level = options.level;
    let sink = Sink::open(options, redactor, MAX_FILE_BYTES)?;
    log::set_boxed_logger(Box::new(sink))
        .map_err(|error| io::Error::new(ErrorKind::AlreadyExists, error))?;
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let words = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no words");
        log::error!(
            "panicked at {}: {words}",
            place.as_deref().unwrap_or("an unknown place")
        );
    }));
    Ok(())
}

struct Sink {
    level: LevelFilter,
    format: LogFormat,
    redactor: Arc<Redactor>,
    state: Mutex<State>,
}

struct State {
    output: Output,
    repeats: Repeats,
}

impl Sink {
    fn open(options: LogOptions, redactor: Arc<Redactor>, max_bytes: u64) -> io::Result<Self> {
        let output = match options.target {
            LogTarget::Stderr => Output::Stderr,
            LogTarget::File(path) => Output::File(RotatedFile::open(path, max_bytes)?),
        };
        let repeats = Repeats::default();
        Ok(Self {
            level: options.level,
            format: options.format,
            redactor,
            state: Mutex::new(State { output, repeats }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, now: Timestamp, record: &Record<'_>) {
        let text = match record.args().as_str() {
            Some(text) => self.redactor.redact(text).into_owned(),
            None => self
                .redactor
                .redact(&record.args().to_string())
                .into_owned(),
        };
        let thread = std::thread::current();
        let event = Event {
            level: record.level(),
            thread: thread.name().unwrap_or("-").to_owned(),
            target: record.target().to_owned(),
            message: capped(text),
        };
        let mut state = self.state();
        for summary in state.repeats.ended(now) {
            state.output.write_line(&summary.line(now, self.format));
        }
        let Admission {
            is_written,
            summary,
        } = state.repeats.admit(now, &event);
        if let Some(summary) = summary {
            state.output.write_line(&summary.line(now, self.format));
        }
        if is_written {
            state.output.write_line(&event.line(now, self.format));
        }
    }

    fn flush_at(&self, now: Timestamp) {
        let mut state = self.state();
        for summary in state.repeats.all() {
            state.output.write_line(&summary.line(now, self.format));
        }
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_own = metadata.target().starts_with(OWN_TARGET);
        metadata.level() <= self.level
            && (is_own || metadata.level() <= Level::Warn || self.level == LevelFilter::Trace)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(Timestamp::now(), record);
        }
    }

    fn flush(&self) {
        self.flush_at(Timestamp::now());
    }
}

/// One event, redacted.
#[derive(Clone)]
struct Event {
    level: Level,
    thread: String,
    target: String,
    message: String,
}

impl Event {
    /// Returns the event as one line with its line end.
    fn line(&self, now: Timestamp, format: LogFormat) -> String {
        let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        match format {
            LogFormat::Text => {
                let (thread, target) = (escaped(&self.thread), escaped(&self.target));
                let message = escaped(&self.message);
                format!("{time} {:5} {thread} {target}: {message}\n", self.level)
            }
            LogFormat::Json => {
                let level = self.level.as_str().to_ascii_lowercase();
                let object = serde_json::json!({
                    "time": time,
                    "level": level,
                    "thread": self.thread,
                    "target": self.target,
                    "message": self.message,
                });
                json_escaped(&object.to_string()) + "\n"
            }
        }
    }

    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.level, &self.target, &self.message).hash(&mut hasher);
        hasher.finish()
    }
}

/// Cuts a message that is too long, at the border of a character.
fn capped(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let mut end = MAX_MESSAGE_BYTES;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let n_cut = message.len() - end;
        message.truncate(end);
        message.push_str(&format!(" [… {n_cut} bytes left out]"));
    }
    message
}

/// Tells whether a character may act on a terminal or break a line: C0, C1, direction marks, line separators.
fn is_risky(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if is_risky(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line
}

/// Escapes what JSON itself leaves as it is; all such characters stand inside strings.
fn json_escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_risky(c) {
            // All risky characters lie below U+10000: one unit each.
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line
}

/// Messages seen within the last second, and how often.
#[derive(Default)]
struct Repeats {
    watched: Vec<Watched>,
}

struct Watched {
    key: u64,
    since: Timestamp,
    n_seen: u32,
    last: Event,
}

struct Admission {
    is_written: bool,
    summary: Option<Event>,
}

impl Repeats {
    /// Takes out what was watched for a second; returns the counts to be written.
    fn ended(&mut self, now: Timestamp) -> Vec<Event> {
        let second = SignedDuration::from_secs(1);
        let is_over = |watched: &mut Watched| now.duration_since(watched.since).abs() >= second;
        let over = self.watched.extract_if(.., is_over);
        over.filter_map(Watched::summary).collect()
    }

    fn all(&mut self) -> Vec<Event> {
        self.watched
            .drain(..)
            .filter_map(Watched::summary)
            .collect()
    }

    /// Counts an event; tells whether to write it, and gives the count of another one it pushed out.
    fn admit(&mut self, now: Timestamp, event: &Event) -> Admission {
        let key = event.key();
        if let Some(watched) = self.watched.iter_mut().find(|watched| watched.key == key) {
            watched.n_seen += 1;
            return Admission {
                is_written: watched.n_seen <= MAX_REPEATS,
                summary: None,
            };
        }
        let is_full = self.watched.len() >= MAX_WATCHED;
        let pushed_out = is_full.then(|| self.watched.remove(0));
        self.watched.push(Watched {
            key,
            since: now,
            n_seen: 1,
            last: event.clone(),
        });
        Admission {
            is_written: true,
            summary: pushed_out.and_then(Watched::summary),
        }
    }
}

impl Watched {
    fn summary(self) -> Option<Event> {
        let n_left_out = self.n_seen.checked_sub(MAX_REPEATS).filter(|n| *n > 0)?;
        let message = format!("repeated {n_left_out} more times: {}", self.last.message);
        Some(Event {
            message,
            ..self.last
        })
    }
}

enum Output {
    Stderr,
    File(RotatedFile),
}

impl Output {
    fn write_line(&mut self, line: &str) {
        // A line that cannot be written has nowhere to be reported.
        let _ = match self {
            Output::Stderr => io::stderr().write_all(line.as_bytes()),
            Output::File(file) => file.write_line(line),
        };
    }
}

struct RotatedFile {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    max_bytes: u64,
}

impl RotatedFile {
    fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = open_private(&path)?;
        let n_bytes = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            n_bytes,
            max_bytes,
        })
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let n_bytes = line.len() as u64;
        if self.n_bytes > 0 && self.n_bytes + n_bytes > self.max_bytes {
            // What fails is tried again after as many bytes, not at every line; the old file goes on until then.
            self.n_bytes = 0;
            let _ = self.rotate();
        }
        self.n_bytes += n_bytes;
        self.file.write_all(line.as_bytes())
    }

    /// Moves `NAME` to `NAME.1`, that to `NAME.2` and so on, and starts a new file; the oldest is overwritten.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..MAX_FILES - 1).rev() {
            // One that cannot be moved is overwritten by the next.
            let _ = fs::rename(
                numbered(&self.path, number),
                numbered(&self.path, number + 1),
            );
        }
        match fs::rename(&self.path, numbered(&self.path, 1)) {
            Ok(()) => self.file = open_private(&self.path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.file = open_private(&self.path)?;
            }
            // A log that can only grow is worse than one that starts again.
            Err(_) => self.file.set_len(0)?,
        }
        Ok(())
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    // The mode above holds only for a new file.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
