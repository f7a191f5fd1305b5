//! The `demo` provider: offline, deterministic, in English and Chinese. Runs on the turn that asks.
//!
//! It reads the newest user message and the tool results behind it, asks for real tools where a fixed phrase matches,
//! and says plainly that it is no model. It keeps no state, waits only when asked to play slow, and computes nothing:
//! what it reports comes from the tools. `docs/demo.md` lists every phrase.

mod arithmetic;
mod commands;
mod finding;
mod phrase;
mod plays;
mod summary;
mod tasks;
mod words;

use std::time::{Duration, Instant};

use crate::chat::{Message, Native, Part, Role, StopReason, ToolCall, ToolResult, Usage};
use crate::threads::CancelToken;

use super::{Delta, Dialect, Provider, ProviderError, Reply, Request};
use plays::Play;
use tasks::Task;
use words::Language;

/// HTTP attempts a played failure claims, as many as the real adapters make.
const PLAYED_ATTEMPTS: u32 = 3;
/// When a played 429 wants to be asked again.
const PLAYED_RETRY_AFTER: Duration = Duration::from_secs(20);

/// With these words the agent's wish for a summary begins.
const SUMMARISER: &str = "You compress conversations.";

/// The built-in provider that needs no network and no key.
#[derive(Clone, Debug)]
pub struct Demo {
    name: String,
}

impl Demo {
    /// Makes a demo provider under its configured name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Provider for Demo {
    fn name(&self) -> &str {
        &self.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    fn stream(
        &self,
        request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        cancel: &CancelToken,
    ) -> Result<Reply, ProviderError> {
        let mut speaker = Speaker {
            on_delta,
            cancel,
            since: Instant::now(),
            first: None,
            said: String::new(),
            thought: String::new(),
            provider: &self.name,
        };
        speaker.check()?;
        let (calls, stop) = speaker.perform(decide(request), request)?;
        Ok(speaker.reply(request, calls, stop))
    }
}

/// What the demo does in one model call.
enum Act {
    Say(String),
    Think { thought: String, then: String },
    SayWaitSay(String, Duration, String),
    BreakOff(String),
    Call(Vec<Task>),
    Fail(ProviderError),
}

fn decide(request: &Request<'_>) -> Act {
    let turn = TurnSoFar::of(request.messages);
    if request.system.starts_with(SUMMARISER) {
        return Act::Say(summary::summary(&turn.text));
    }
    let language = Language::of(&turn.text);
    if let Some(play) = plays::parse(&turn.text) {
        return play_act(play, language, &turn, request);
    }
    if asks_for_first_words(&turn.text) {
        let first = first_words(request.messages);
        return Act::Say(words::marked(
            language,
            &words::first_words(language, &first),
        ));
    }
    match tasks::rounds(&turn.text) {
        Some(rounds) => work(&rounds, language, &turn, request),
        None if !turn.images.is_empty() => {
            let text = words::images(language, &turn.images);
            Act::Say(words::marked(language, &text))
        }
        None => Act::Say(words::marked(language, words::introduction(language))),
    }
}

/// The newest user message and what happened since.
struct TurnSoFar<'a> {
    text: String,
    /// What its images are called and how large they are.
    images: Vec<String>,
    /// The calls of each assistant message since, with their results.
    rounds: Vec<Vec<Option<&'a ToolResult>>>,
}

impl<'a> TurnSoFar<'a> {
    fn of(messages: &'a [Message]) -> Self {
        let start = messages
            .iter()
            .rposition(|message| message.role == Role::User)
            .unwrap_or(0);
        let since = messages.get(start..).unwrap_or_default();
        let results: Vec<&ToolResult> = since.iter().flat_map(Message::tool_results).collect();
        let rounds = since
            .iter()
            .filter(|message| message.tool_calls().next().is_some())
            .map(|message| {
                message
                    .tool_calls()
                    .map(|call| results.iter().copied().find(|r| r.call_id == call.id))
                    .collect()
            })
            .collect();
        let (images, text) = since.first().map(split_said).unwrap_or_default();
        Self {
            text,
            images,
            rounds,
        }
    }
}

/// Parts the texts that stand for images from what was said.
fn split_said(message: &Message) -> (Vec<String>, String) {
    let mut images = Vec::new();
    let mut said = message.clone();
    said.parts.retain(|part| match part {
        Part::Text(text) => match text.strip_prefix("[image: ") {
            Some(image) => {
                images.push(image.trim_end_matches(']').to_owned());
                false
            }
            None => true,
        },
        _ => true,
    });
    (images, said.visible_text())
}

fn has_tool(request: &Request<'_>, name: &str) -> bool {
    request.tools.iter().any(|tool| tool.name == name)
}

fn work(
    rounds: &[Vec<Task>],
    language: Language,
    turn: &TurnSoFar<'_>,
    request: &Request<'_>,
) -> Act {
    let failed = turn
        .rounds
        .iter()
        .flatten()
        .any(|result| result.is_none_or(|result| result.is_error));
    let next = rounds.get(turn.rounds.len()).filter(|_| !failed);
    let missing = next.and_then(|tasks| {
        tasks
            .iter()
            .map(Task::tool)
            .find(|tool| !has_tool(request, tool))
    });
    match (next, missing) {
        (Some(tasks), None) => Act::Call(tasks.clone()),
        (_, missing) => {
            let done: Vec<(Task, &ToolResult)> = rounds
                .iter()
                .flatten()
                .cloned()
                .zip(turn.rounds.iter().flatten())
                .filter_map(|(task, result)| Some((task, (*result)?)))
                .collect();
            let mut text = words::outcome(language, &done);
            if let Some(tool) = missing {
                text.push_str("\n\n");
                text.push_str(&words::missing_tool(language, tool));
            }
            Act::Say(words::marked(language, text.trim()))
        }
    }
}

fn play_act(play: Play, language: Language, turn: &TurnSoFar<'_>, request: &Request<'_>) -> Act {
    match play {
        Play::RateLimited => Act::Fail(ProviderError::RateLimited {
            retry_after: Some(PLAYED_RETRY_AFTER),
            detail: format!("429 played by the demo provider, {PLAYED_ATTEMPTS} attempts"),
        }),
        Play::Broken => Act::Fail(ProviderError::Overloaded(format!(
            "500 played by the demo provider, {PLAYED_ATTEMPTS} attempts"
        ))),
        Play::Slow(secs) => {
            let (before, after) = words::slow(language, secs);
            let after = words::marked(language, &after);
            Act::SayWaitSay(before, Duration::from_secs(secs), after)
        }
        Play::Markdown => Act::Say(words::marked(language, &plays::markdown())),
        Play::Reasoning => {
            let (thought, then) = words::reasoning(language);
            Act::Think {
                thought: thought.to_owned(),
                then: words::marked(language, then),
            }
        }
        Play::Truncated => Act::BreakOff(words::truncated(language).to_owned()),
        Play::Tools(wanted) => {
            let done = turn.rounds.len();
            if done < wanted && has_tool(request, "calculator") {
                let n = done + 1;
                Act::Call(vec![Task::Compute(format!("{n} * {n}"))])
            } else {
                Act::Say(words::marked(
                    language,
                    &words::rounds_done(language, done, wanted),
                ))
            }
        }
    }
}

fn asks_for_first_words(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let text = text.trim_end_matches(['?', '.', '!', '？', '。', '！']);
    const FORMS: [&str; 8] = [
        "what did i say first",
        "what was the first thing i said",
        "what did i say at first",
        "what was my first message",
        "我第一句话说了什么",
        "我第一句话说的是什么",
        "我一开始说了什么",
        "我最开始说了什么",
    ];
    FORMS.contains(&text)
}

fn first_words(messages: &[Message]) -> String {
    let first = messages.iter().find(|message| message.role == Role::User);
    let context = first.into_iter().flat_map(|first| &first.parts);
    let mut blocks = context.filter_map(|part| match part {
        Part::Context(text) => Some(text.as_str()),
        _ => None,
    });
    blocks
        .find_map(summary::first_request)
        .or_else(|| first.map(Message::visible_text))
        .unwrap_or_default()
}

/// Says things piece by piece and keeps count.
struct Speaker<'a> {
    on_delta: &'a mut dyn FnMut(Delta<'_>),
    cancel: &'a CancelToken,
    since: Instant,
    first: Option<Duration>,
    said: String,
    thought: String,
    provider: &'a str,
}

impl Speaker<'_> {
    fn check(&self) -> Result<(), ProviderError> {
        if self.cancel.is_cancelled() {
            return Err(ProviderError::Cancelled);
        }
        Ok(())
    }

    fn perform(
        &mut self,
        act: Act,
        request: &Request<'_>,
    ) -> Result<(Vec<ToolCall>, StopReason), ProviderError> {
        match act {
            Act::Say(text) => self.say(&text)?,
            Act::Think { thought, then } => {
                self.think(&thought)?;
                self.say(&then)?;
            }
            Act::SayWaitSay(before, pause, after) => {
                self.say(&before)?;
                if self.cancel.wait(pause) {
                    return Err(ProviderError::Cancelled);
                }
                self.say(&after)?;
            }
            Act::BreakOff(text) => {
                self.say(&text)?;
                return Ok((Vec::new(), StopReason::Truncated));
            }
            Act::Call(tasks) => {
                return Ok((calls(&tasks, request.messages), StopReason::ToolCalls));
            }
            Act::Fail(error) => return Err(error),
        }
        Ok((Vec::new(), StopReason::Complete))
    }

    fn say(&mut self, text: &str) -> Result<(), ProviderError> {
        for piece in pieces(text) {
            self.check()?;
            self.first.get_or_insert_with(|| self.since.elapsed());
            (self.on_delta)(Delta::Text(piece));
            self.said.push_str(piece);
        }
        Ok(())
    }

    fn think(&mut self, text: &str) -> Result<(), ProviderError> {
        for piece in pieces(text) {
            self.check()?;
            (self.on_delta)(Delta::Reasoning(piece));
        }
        self.thought.push_str(text);
        Ok(())
    }

    fn reply(self, request: &Request<'_>, calls: Vec<ToolCall>, stop: StopReason) -> Reply {
        let call_chars: usize = calls
            .iter()
            .map(|call| call.name.chars().count() + call.arguments.chars().count())
            .sum();
        let out_chars = self.said.chars().count() + self.thought.chars().count() + call_chars;
        let mut parts = Vec::new();
        if !self.said.is_empty() {
            parts.push(Part::Text(self.said));
        }
        parts.extend(calls.into_iter().map(Part::ToolCall));
        // Kept for people to read again; nobody sends it anywhere.
        let native = (!self.thought.is_empty()).then(|| Native {
            provider: self.provider.to_owned(),
            model: request.model.model_id.clone(),
            data: serde_json::json!({ "thought": self.thought }).to_string(),
        });
        Reply {
            message: Message {
                role: Role::Assistant,
                parts,
                native,
            },
            stop,
            usage: Usage {
                input: Some(tokens(request_chars(request))),
                output: Some(tokens(out_chars)),
                cached: None,
                reasoning: None,
            },
            first_token: self.first,
            attempts: 1,
        }
    }
}

/// Cuts a text into what is streamed at a time: a word with the space behind it, or one wide character.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(|c: char| c.is_whitespace() || c as u32 >= 0x2e80)
}

/// Makes calls whose ids follow from their place and are new in this history.
fn calls(tasks: &[Task], messages: &[Message]) -> Vec<ToolCall> {
    let mut n = 1 + messages
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .count();
    // A summary may have replaced older messages, so that a count comes up again.
    let taken = |n: usize| {
        let prefix = format!("demo_{n}_");
        messages
            .iter()
            .flat_map(Message::tool_calls)
            .any(|call| call.id.starts_with(&prefix))
    };
    while taken(n) {
        n += 1;
    }
    tasks
        .iter()
        .enumerate()
        .map(|(i, task)| ToolCall {
            id: format!("demo_{n}_{i}"),
            name: task.tool().to_owned(),
            arguments: task.arguments(),
        })
        .collect()
}

/// Four characters a token, the usual rule of thumb; at least one.
fn tokens(chars: usize) -> u64 {
    chars.div_ceil(4).max(1) as u64
}

fn request_chars(request: &Request<'_>) -> usize {
    let tools = request
        .tools
        .iter()
        .map(|tool| tool.name.len() + tool.description.chars().count());
    let parts = request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .map(|part| match part {
            Part::Text(text) | Part::Context(text) | Part::Note(text) => text.chars().count(),
            Part::ToolCall(call) => call.name.len() + call.arguments.chars().count(),
            Part::ToolResult(result) => result.content.chars().count(),
            Part::Image(image) => image.note().len(),
        });
    request.system.chars().count() + tools.sum::<usize>() + parts.sum::<usize>()
}

#[cfg(test)]
mod tests;
