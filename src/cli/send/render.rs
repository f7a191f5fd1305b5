//! What `send` prints: the answer on stdout (or in a file), everything else on stderr.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::SendArgs;
use super::talk::failure;
use crate::cli::Global;
use crate::cli::exit::{self, Failure};
use crate::cli::setup::say;
use crate::cli::terminal::harmless;
use crate::wire::{ServerBody, ServerMessage, TokenUsage, rfc3339};

/// Version of the JSON forms.
const SCHEMA: u32 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The answer, once.
    Text,
    /// The answer while it is made.
    Stream,
    /// One object at the end.
    Json,
    /// A line for each frame.
    JsonLines,
}

/// Collects and prints what a conversation brings.
pub(super) struct Output {
    mode: Mode,
    to: Box<dyn Write>,
    /// Then nothing is written that a terminal would obey.
    is_terminal: bool,
    quiet: bool,
    verbose: bool,
    show_usage: bool,
    n_lines: u64,
    /// What was streamed since the last tool call.
    streamed: String,
    answer: Option<String>,
    facts: Facts,
}

/// What `--json` and `--usage` tell.
#[derive(Default)]
struct Facts {
    session_id: Option<String>,
    model: Option<String>,
    stop_reason: Option<String>,
    usage: Option<TokenUsage>,
    merged: bool,
    /// The first tool call that was not allowed.
    not_approved: Option<String>,
}

impl Output {
    pub(super) fn open(args: &SendArgs, global: &Global) -> Result<Self, Failure> {
        let (to, is_terminal): (Box<dyn Write>, bool) = match &args.output {
            None => {
                let stdout = std::io::stdout();
                let is_terminal = stdout.is_terminal();
                (Box::new(stdout), is_terminal)
            }
            Some(path) => {
                let file = Replaced::open(path).map_err(|error| {
                    Failure::new(
                        exit::USAGE,
                        format!("cannot write {}: {error}", path.display()),
                    )
                })?;
                let is_terminal = file.file.is_terminal();
                (Box::new(file), is_terminal)
            }
        };
        let streams = args.stream || (args.output.is_none() && is_terminal);
        let mode = match (args.json, args.jsonl) {
            (true, _) => Mode::Json,
            (_, true) => Mode::JsonLines,
            _ if streams => Mode::Stream,
            _ => Mode::Text,
        };
        Ok(Self {
            mode,
            to,
            is_terminal,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            show_usage: args.usage,
            n_lines: 0,
            streamed: String::new(),
            answer: None,
            facts: Facts::default(),
        })
    }

    /// Returns which messages are of use: pieces of the answer cost both sides time and are left out where only the whole
    /// is printed.
    pub(super) fn capabilities(&self) -> Vec<String> {
        let names: &[&str] = match self.mode {
            Mode::Stream | Mode::JsonLines => &["stream", "approval_request"],
            Mode::Text | Mode::Json if self.verbose => {
                &["turn_finished", "tool_started", "approval_request"]
            }
            Mode::Text | Mode::Json => &["turn_finished", "approval_request"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Takes a raw frame; `--jsonl` prints it with a version, a number and a time.
    pub(super) fn frame(&mut self, frame: &str) -> Result<(), Failure> {
        if self.mode != Mode::JsonLines {
            return Ok(());
        }
        let Ok(Value::Object(frame)) = serde_json::from_str(frame) else {
            return Ok(());
        };
        self.n_lines += 1;
        let mut line = Map::new();
        line.insert("v".into(), json!(SCHEMA));
        line.insert("seq".into(), json!(self.n_lines));
        line.insert("ts".into(), json!(rfc3339(SystemTime::now())));
        line.extend(frame);
        self.write(&format!("{}\n", Value::Object(line)))
    }

    /// Takes a frame of the running turn; returns the end of our request once it comes. Fails if the output does.
    pub(super) fn take(
        &mut self,
        frame: &str,
        request_id: &str,
    ) -> Result<Option<Result<(), Failure>>, Failure> {
        self.frame(frame)?;
        match ServerMessage::parse(frame) {
            Ok(message) if message.request_id.as_deref() == Some(request_id) => {
                self.message(&message.body)
            }
            _ => Ok(None),
        }
    }

    fn message(&mut self, body: &ServerBody<'_>) -> Result<Option<Result<(), Failure>>, Failure> {
        match body {
            ServerBody::AssistantDelta {
                content, reasoning, ..
            } if !reasoning && self.mode == Mode::Stream => {
                self.streamed.push_str(content);
                self.write(content)?;
            }
            ServerBody::ToolStarted {
                name, arguments, ..
            } => {
                if self.mode == Mode::Stream && !self.streamed.is_empty() {
                    self.streamed.clear();
                    self.write("\n")?;
                }
                if self.verbose {
                    say(&format!("picobot: {name} {arguments}"));
                }
            }
            ServerBody::SystemNotification { content, .. } if !self.quiet => {
                say(&format!("picobot: {content}"));
            }
            ServerBody::TurnFinished {
                session_id,
                usage,
                model,
                stop_reason,
                ..
            } => {
                self.facts.session_id = Some(session_id.to_string());
                self.facts.model = Some(model.to_string());
                self.facts.usage = Some(*usage);
                self.facts.stop_reason = stop_reason.as_ref().map(ToString::to_string);
            }
            ServerBody::AssistantResponse {
                content,
                session_id,
                merged,
            } => {
                self.facts.session_id = Some(session_id.to_string());
                self.facts.merged = *merged;
                self.answer = Some(content.to_string());
                return Ok(Some(Ok(())));
            }
            ServerBody::CommandExecuted { content, .. } => {
                self.answer = Some(content.to_string());
                return Ok(Some(Ok(())));
            }
            ServerBody::Error { code, message, .. } => {
                return Ok(Some(Err(failure(code, message))));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Notes a tool call that was not allowed.
    pub(super) fn not_approved(&mut self, what: String) {
        self.facts.not_approved.get_or_insert(what);
    }

    /// Prints what is left to print. An answer that had to do without a tool call is printed, and is a failure.
    pub(super) fn finish(
        mut self,
        result: Result<(), Failure>,
        took: Duration,
    ) -> Result<(), Failure> {
        match self.mode {
            Mode::Text => {
                if let (Ok(()), Some(answer)) = (&result, self.answer.take()) {
                    self.write(&ended(&answer))?;
                }
            }
            Mode::Stream => self.finish_stream()?,
            Mode::Json => {
                let object = self.summary(&result, took);
                self.write(&format!("{object}\n"))?;
            }
            Mode::JsonLines => {}
        }
        self.to.flush().map_err(write_failure)?;
        if self.show_usage {
            say(&self.usage_line(took));
        }
        result.and_then(|()| match &self.facts.not_approved {
            None => Ok(()),
            Some(what) => Err(Failure::new(
                exit::APPROVAL,
                format!("not approved: {what}"),
            )
            .hint("--approve safe allows what stays in the workspace, --approve all whatever is asked")),
        })
    }

    /// Brings what was streamed to the stored answer, and to the end of a line.
    fn finish_stream(&mut self) -> Result<(), Failure> {
        let streamed = std::mem::take(&mut self.streamed);
        let Some(answer) = self.answer.take() else {
            return if streamed.is_empty() || streamed.ends_with('\n') {
                Ok(())
            } else {
                self.write("\n")
            };
        };
        match answer.strip_prefix(&streamed) {
            Some(rest) if rest.is_empty() && streamed.ends_with('\n') => Ok(()),
            Some(rest) => self.write(&ended(rest)),
            None => {
                // The stored text differs, say by a remark in place of white space: show it whole.
                let gap = if streamed.ends_with('\n') { "" } else { "\n" };
                self.write(&format!("{gap}{}", ended(&answer)))
            }
        }
    }

    fn summary(&self, result: &Result<(), Failure>, took: Duration) -> Value {
        let facts = &self.facts;
        let mut object = json!({
            "schema": SCHEMA,
            "ok": result.is_ok(),
            "answer": self.answer,
            "session_id": facts.session_id,
            "model": facts.model,
            "stop_reason": facts.stop_reason,
            "usage": facts.usage,
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        if facts.merged {
            object["merged"] = json!(true);
        }
        if let Some(what) = &facts.not_approved {
            object["not_approved"] = json!(what);
        }
        if let Err(failure) = result {
            object["error"] = json!({"exit_code": failure.code, "message": failure.message()});
        }
        object
    }

    fn usage_line(&self, took: Duration) -> String {
        let count = |tokens: Option<u64>| tokens.map_or("?".to_owned(), |n| n.to_string());
        let usage = self.facts.usage.unwrap_or_default();
        format!(
            "picobot: {} · {} tokens in, {} out · {:.1} s",
            self.facts.model.as_deref().unwrap_or("unknown model"),
            count(usage.input_tokens),
            count(usage.output_tokens),
            took.as_secs_f64()
        )
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let text = if self.is_terminal {
            harmless(text)
        } else {
            Cow::Borrowed(text)
        };
        self.to
            .write_all(text.as_bytes())
            .and_then(|()| {
                if self.mode == Mode::Stream || self.mode == Mode::JsonLines {
                    self.to.flush()
                } else {
                    Ok(())
                }
            })
            .map_err(write_failure)
    }
}

/// A file whose old content stays until there is something to put in its place.
struct Replaced {
    file: File,
    is_emptied: bool,
}

impl Replaced {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file,
            is_emptied: false,
        })
    }
}

impl Write for Replaced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.is_emptied {
            // Not every file has a length, /dev/null for one.
            let _ = self.file.set_len(0);
            self.is_emptied = true;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A reader that has gone is a quiet end.
fn write_failure(error: std::io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        Failure::silent(0)
    } else {
        Failure::new(exit::AGENT, format!("cannot write the answer: {error}"))
    }
}

/// The answer with exactly one newline behind it.
fn ended(answer: &str) -> String {
    format!("{}\n", answer.strip_suffix('\n').unwrap_or(answer))
}
