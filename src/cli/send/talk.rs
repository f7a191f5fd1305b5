//! The conversation of `send`: find the dialog, ask, wait, and stop the turn if the person gives up. Pure of I/O but for
//! the link and the output it is given.

use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use super::approve::{self, Approve};
use super::input::Prompt;
use super::link::{Arrival, Link};
use super::render::Output;
use crate::chat::{self, Choice, Picked};
use crate::cli::exit::{self, Failure};
use crate::wire::{ClientBody, ClientMessage, ServerBody, ServerMessage, SessionInfo};

/// How long a turn may take to stop after the person gave up.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What is wanted.
pub(super) struct Ask {
    pub(super) prompt: Prompt,
    pub(super) session: Option<String>,
    pub(super) new: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) approve: Approve,
}

/// Asks and waits for the one answer.
pub(super) fn talk(link: &mut dyn Link, ask: &Ask, output: &mut Output) -> Result<(), Failure> {
    let mut talk = Talk { link, ask, output };
    let established = talk.expect(|body| matches!(body, ServerBody::SessionEstablished { .. }))?;
    talk.send(ClientBody::Hello {
        capabilities: talk.output.capabilities(),
    })?;
    let session = talk.choose_session(session_of(&established))?;
    let request_id = ask
        .request_id
        .clone()
        .unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    talk.link.send(
        &ClientMessage {
            body: ClientBody::UserInput {
                content: ask.prompt.text.clone(),
                channel: None,
                chat_id: None,
                session_id: Some(session.clone()),
                sender_id: None,
                images: ask.prompt.images.clone(),
            },
            request_id: Some(request_id.clone()),
        }
        .to_json(),
    )?;
    talk.answer(&session, &request_id)
}

struct Talk<'a> {
    link: &'a mut dyn Link,
    ask: &'a Ask,
    output: &'a mut Output,
}

impl Talk<'_> {
    fn send(&mut self, body: ClientBody) -> Result<(), Failure> {
        self.link.send(
            &ClientMessage {
                body,
                request_id: None,
            }
            .to_json(),
        )
    }

    /// Waits for a frame that answers; an error frame is a failure.
    fn expect(
        &mut self,
        wanted: impl Fn(&ServerBody<'_>) -> bool,
    ) -> Result<ServerBody<'static>, Failure> {
        loop {
            match self.link.next(self.ask.deadline) {
                Arrival::Frame(frame) => {
                    self.output.frame(&frame)?;
                    let Ok(message) = ServerMessage::parse(&frame) else {
                        continue;
                    };
                    if wanted(&message.body) {
                        return Ok(message.body);
                    }
                    if let ServerBody::Error { code, message, .. } = message.body {
                        return Err(failure(&code, &message));
                    }
                }
                Arrival::Signal(signal) => return Err(signalled(signal)),
                Arrival::Late => return Err(late(self.ask.timeout)),
                Arrival::Closed(why) => {
                    return Err(Failure::new(exit::UNREACHABLE, why.trim())
                        .hint("start it again with picobot gateway; nothing was sent yet"));
                }
            }
        }
    }

    /// Returns the id of the dialog to speak in.
    fn choose_session(&mut self, current: String) -> Result<String, Failure> {
        if let Some(title) = &self.ask.new {
            let title = Some(title.clone()).filter(|title| !title.trim().is_empty());
            self.send(ClientBody::CreateSession { title })?;
            let created = self.expect(|body| matches!(body, ServerBody::SessionCreated { .. }))?;
            return Ok(session_of(&created));
        }
        let Some(wanted) = &self.ask.session else {
            return Ok(current);
        };
        if wanted.parse::<crate::chat::SessionId>().is_ok() {
            return Ok(wanted.clone());
        }
        pick(&self.dialogs()?, wanted)
    }

    /// Returns all dialogs of the chat.
    fn dialogs(&mut self) -> Result<Vec<SessionInfo<'static>>, Failure> {
        let mut all = Vec::new();
        loop {
            self.send(ClientBody::ListSessions {
                include_archived: true,
                all_chats: false,
                offset: Some(all.len() as u64),
            })?;
            let listed = self.expect(|body| matches!(body, ServerBody::SessionList { .. }))?;
            let ServerBody::SessionList { sessions, has_more } = listed else {
                return Ok(all);
            };
            let goes_on = has_more == Some(true) && !sessions.is_empty();
            all.extend(sessions);
            if !goes_on {
                return Ok(all);
            }
        }
    }

    /// Answers a question about a tool call as the command line says.
    fn decide(&mut self, frame: &str) -> Result<(), Failure> {
        let Some(answer) = approve::decide(frame, self.ask.approve) else {
            return Ok(());
        };
        if let Some(what) = answer.refused {
            self.output.not_approved(what);
        }
        self.send(answer.body)
    }

    /// Waits for the answer; a signal or the deadline stops the turn first.
    fn answer(&mut self, session: &str, request_id: &str) -> Result<(), Failure> {
        let mut deadline = self.ask.deadline;
        let mut gave_up: Option<Failure> = None;
        loop {
            let arrival = self.link.next(deadline);
            let why = match arrival {
                Arrival::Frame(frame) if approve::is_question(&frame, request_id) => {
                    self.output.frame(&frame)?;
                    self.decide(&frame)?;
                    continue;
                }
                Arrival::Frame(frame) => match self.output.take(&frame, request_id) {
                    Ok(None) => continue,
                    Ok(Some(Ok(()))) => return gave_up.map_or(Ok(()), Err),
                    Ok(Some(Err(failure))) => {
                        return Err(gave_up.unwrap_or_else(|| kept(failure, request_id)));
                    }
                    // Nobody reads on: then nobody waits for the turn.
                    Err(failure) => failure,
                },
                Arrival::Signal(signal) => signalled(signal),
                Arrival::Late => late(self.ask.timeout),
                Arrival::Closed(why) => Failure::new(exit::UNREACHABLE, why.trim()),
            };
            if gave_up.is_some() || why.code == exit::UNREACHABLE {
                return Err(gave_up.unwrap_or_else(|| kept(why, request_id)));
            }
            gave_up = Some(why);
            deadline = Instant::now() + STOP_LIMIT;
            self.send(ClientBody::UserInput {
                content: format!("/stop {request_id}"),
                channel: None,
                chat_id: None,
                session_id: Some(session.to_owned()),
                sender_id: None,
                images: Vec::new(),
            })?;
        }
    }
}

fn session_of(body: &ServerBody<'_>) -> String {
    match body {
        ServerBody::SessionEstablished { session_id, .. }
        | ServerBody::SessionCreated { session_id, .. } => session_id.to_string(),
        _ => String::new(),
    }
}

/// Finds a dialog by its id, its title, or a unique beginning of either.
fn pick(sessions: &[SessionInfo<'_>], wanted: &str) -> Result<String, Failure> {
    let id = |info: &SessionInfo<'_>| {
        let id = info.session_id.rsplit(':').next();
        id.unwrap_or_default().to_owned()
    };
    let ids: Vec<String> = sessions.iter().map(id).collect();
    let choices: Vec<Choice<'_>> = sessions
        .iter()
        .zip(&ids)
        .map(|(info, id)| Choice {
            id,
            title: &info.title,
            number: None,
        })
        .collect();
    match chat::pick(&choices, wanted) {
        Picked::One(at) => Ok(sessions[at].session_id.to_string()),
        Picked::Nothing => Err(
            Failure::new(exit::USAGE, format!("there is no dialog {wanted:?}"))
                .hint("--new begins one; picobot sessions lists those there are"),
        ),
        Picked::Several(places) => {
            let names: Vec<_> = places
                .iter()
                .take(5)
                .map(|at| format!("{} ({})", ids[*at], sessions[*at].title))
                .collect();
            Err(Failure::new(
                exit::USAGE,
                format!("{wanted:?} fits several dialogs: {}", names.join(", ")),
            )
            .hint("use the whole id"))
        }
    }
}

fn signalled(signal: i32) -> Failure {
    let code = 128 + u8::try_from(signal).unwrap_or(2);
    let word = if signal == SIGINT {
        "interrupted"
    } else {
        "terminated"
    };
    Failure::new(code, word)
}

fn late(timeout: Duration) -> Failure {
    Failure::new(
        exit::TIMEOUT,
        format!("no answer within {} s", timeout.as_secs()),
    )
    .hint("allow more with --timeout")
}

/// Says how to get the answer later where the gateway ended before it.
fn kept(failure: Failure, request_id: &str) -> Failure {
    if failure.code != exit::UNREACHABLE {
        return failure;
    }
    failure.hint(format!(
        "the same again with --idempotency-key {request_id} gets the answer, once"
    ))
}

/// Turns an error frame into an exit code.
pub(super) fn failure(code: &str, message: &str) -> Failure {
    let exit = match code {
        "bad_request" | "unknown_type" | "not_found" => exit::USAGE,
        "forbidden" | "auth" => exit::AUTH,
        "provider" => exit::PROVIDER,
        "timeout" => exit::TIMEOUT,
        "stopped" => exit::STOPPED,
        "budget" => exit::BUDGET,
        "storage" => exit::DATABASE,
        "shutting_down" => exit::UNREACHABLE,
        _ => exit::AGENT,
    };
    Failure::new(exit, message)
}
