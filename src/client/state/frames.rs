//! What the gateway says changes the state. Pure.

use std::borrow::Cow;

use super::approvals::Approval;
use super::loaded::Page;
use super::transcript::{Body, Call, CallState, Delivery, Tone};
use super::types::{Dialog, Effect, Link, Overlay, Start, State, Turn};
use crate::chat::{Choice, Picked, SessionId, pick};
use crate::client::clock;
use crate::client::net::NetEvent;
use crate::client::text::clean_line;
use crate::wire::{ClientBody, ServerBody, ServerMessage, SessionInfo};

/// What is asked for in `hello`; an older gateway ignores what it does not know.
const CAPABILITIES: [&str; 4] = [
    "stream",
    "approval_request",
    "approval_resolved",
    "session_updated",
];
/// Live output kept of one call, in bytes.
const MAX_LIVE_BYTES: usize = 256 * 1024;

impl State {
    /// Takes in news of the connection.
    pub(super) fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Connecting => self.link = Link::Connecting,
            NetEvent::Up(url) => {
                self.settings.address = short_address(&url);
                self.link = Link::Online;
                self.is_starting = false;
                self.is_loading_older = false;
            }
            NetEvent::Down {
                why,
                retry_ms,
                is_refused,
            } => {
                // A running turn goes on at the gateway; here nothing moves until the connection is back.
                self.link = Link::Offline {
                    why,
                    retry_ms,
                    is_refused,
                };
            }
            NetEvent::Frame(message) => self.on_frame(*message),
            NetEvent::Unreadable(what) => {
                // A dialog that is loaded takes the place of the remark.
                self.say("the gateway sends messages that this client cannot read");
                self.remark(what, Tone::Notice);
            }
        }
    }

    fn on_frame(&mut self, message: ServerMessage<'static>) {
        self.repeats_ids |= message.request_id.is_some();
        let id = message
            .request_id
            .or_else(|| self.answered_id(&message.body));
        let id = id.as_deref();
        match message.body {
            ServerBody::SessionEstablished { session_id, title } => {
                self.begin(session_id.into_owned(), title.into_owned())
            }
            ServerBody::SessionCreated { session_id, title } => {
                let (id, title) = (session_id.into_owned(), title.into_owned());
                self.established = Some(Dialog {
                    id: id.clone(),
                    title,
                });
                self.open(&id);
            }
            ServerBody::SessionList { sessions, has_more } => {
                self.fill_dialogs(&sessions, has_more.unwrap_or_default());
                self.start_in(&sessions);
            }
            ServerBody::SessionLoaded {
                session_id,
                messages,
                has_more,
                before,
                title,
                model,
                token_limit,
                context_tokens,
            } => {
                if let Some(model) = model {
                    self.usage.model = clean_line(&model);
                }
                self.usage.limit = token_limit.or(self.usage.limit);
                let session = session_id.into_owned();
                self.take_page(Page {
                    session: session.clone(),
                    messages,
                    has_more,
                    before,
                });
                if let Some(dialog) = self.dialog.as_mut().filter(|dialog| dialog.id == session) {
                    if let Some(title) = title {
                        dialog.title = title.into_owned();
                    }
                    self.usage.context = context_tokens.or(self.usage.context);
                }
                if before.is_none() {
                    self.after_load();
                }
            }
            ServerBody::SessionRenamed { session_id, title } => {
                self.retitle(&session_id, &title);
                self.refresh_list();
            }
            ServerBody::SessionArchived { session_id } => self.on_gone(
                &session_id,
                "that dialog is put away; this is the newest one",
            ),
            ServerBody::SessionDeleted { session_id } => self.on_gone(
                &session_id,
                "that dialog is deleted; this is the newest one",
            ),
            ServerBody::HistoryCleared { session_id } => {
                if self.session() == Some(&*session_id) {
                    self.open(&session_id);
                }
            }
            ServerBody::SlashCommandsList { commands } => {
                let owned = |command: crate::wire::CommandInfo<'_>| {
                    (
                        clean_line(&command.name),
                        clean_line(&command.usage),
                        clean_line(&command.description),
                    )
                };
                self.commands = commands.into_iter().map(owned).collect();
            }
            ServerBody::CommandExecuted {
                command,
                content,
                session_id,
            } => self.on_command(id, &command, content.into_owned(), session_id.as_deref()),
            ServerBody::SystemNotification {
                content,
                session_id,
            } => {
                if session_id.is_none_or(|session| self.session() == Some(&*session)) {
                    self.remark(content.into_owned(), Tone::Notice);
                }
            }
            ServerBody::AssistantResponse {
                content,
                session_id,
                merged,
            } => self.on_answer(id, &content, &session_id, merged),
            ServerBody::Error {
                code,
                message,
                session_id,
            } => self.on_error(id, &code, message.into_owned(), session_id.as_deref()),
            ServerBody::ApprovalRequest {
                approval_id,
                name,
                arguments,
                expires_at,
                session_id,
                summary,
                reason,
                in_workspace,
                can_always,
            } => {
                if self.session() == Some(&*session_id) {
                    self.ask_approval(Approval {
                        id: approval_id.into_owned(),
                        name: name.into_owned(),
                        arguments: arguments.into_owned(),
                        summary: summary.into_owned(),
                        reason: reason.into_owned(),
                        in_workspace,
                        can_always,
                        expires_ms: clock::parse(&expires_at),
                        shown_ms: 0,
                    });
                }
            }
            ServerBody::ApprovalResolved {
                approval_id,
                decision,
                ..
            } => {
                let waited = self
                    .approvals
                    .iter()
                    .any(|approval| approval.id == approval_id);
                if waited {
                    self.say(format!(
                        "that question is settled: {}",
                        clean_line(&decision)
                    ));
                }
                self.resolve_approval(&approval_id);
            }
            ServerBody::InputTakenBack { content, input, .. } => {
                self.take_pending(input.as_deref());
                self.waiting_elsewhere.retain(|waiting| *waiting != content);
                self.put_back(&content);
            }
            ServerBody::SessionUpdated(info) => self.on_updated(&info),
            ServerBody::Pong {} | ServerBody::Unknown => {}
            streamed => self.on_streamed(id, streamed),
        }
    }

    /// Returns the id of the input that an answer without an id is for: from a gateway that repeats none, the one that has
    /// waited longest in its dialog. Answers come in order.
    fn answered_id(&self, body: &ServerBody<'_>) -> Option<Cow<'static, str>> {
        let (session, is_command) = match body {
            ServerBody::AssistantResponse { session_id, .. } => (Some(&**session_id), false),
            ServerBody::CommandExecuted { session_id, .. } => (session_id.as_deref(), true),
            _ => return None,
        };
        if self.repeats_ids {
            return None;
        }
        let waiting = self.pending.iter().find(|pending| {
            pending.is_sent
                && pending.is_command == is_command
                && session.is_none_or(|id| pending.session == id)
        })?;
        Some(waiting.request_id.clone().into())
    }

    /// Takes in the pieces of a turn; those of other dialogs are not shown.
    fn on_streamed(&mut self, id: Option<&str>, body: ServerBody<'static>) {
        let session = match &body {
            ServerBody::InputAccepted { session_id }
            | ServerBody::TurnStarted { session_id, .. }
            | ServerBody::AssistantDelta { session_id, .. }
            | ServerBody::ToolStarted { session_id, .. }
            | ServerBody::ToolOutput { session_id, .. }
            | ServerBody::ToolFinished { session_id, .. }
            | ServerBody::TurnFinished { session_id, .. } => session_id,
            _ => return,
        };
        let is_here = self.session() == Some(&**session);
        if matches!(
            body,
            ServerBody::InputAccepted { .. } | ServerBody::TurnStarted { .. }
        ) {
            self.accept(id);
        }
        if !is_here {
            return;
        }
        match body {
            ServerBody::InputAccepted { .. } => self.set_delivery(id, Delivery::Running),
            ServerBody::TurnStarted { .. } => {
                self.show_queued(id);
                self.set_delivery(id, Delivery::Running);
                self.turn = Some(Turn {
                    began_ms: self.now.ms,
                    doing: "thinking".to_owned(),
                    is_stopping: false,
                });
            }
            ServerBody::AssistantDelta {
                content, reasoning, ..
            } => {
                self.transcript
                    .stream(&content, reasoning, self.now.unix_ms);
                self.doing(if reasoning { "thinking" } else { "writing" });
            }
            ServerBody::ToolStarted {
                call_id,
                name,
                arguments,
                ..
            } => {
                self.transcript.close_streams();
                self.doing(&format!("running {}", clean_line(&name)));
                // A turn that a restarted gateway goes on with begins calls that the loaded dialog shows already.
                let is_shown = self.transcript.change_call(&call_id, |call| {
                    call.state = CallState::Running;
                    call.output.clear();
                });
                if is_shown {
                    return;
                }
                let call = Call {
                    id: call_id.into_owned(),
                    name: name.into_owned(),
                    arguments: arguments.into_owned(),
                    output: String::new(),
                    state: CallState::Running,
                    took_ms: None,
                };
                self.transcript
                    .push(Body::Call(call), Some(self.now.unix_ms));
            }
            ServerBody::ToolOutput {
                call_id, content, ..
            } => {
                self.transcript
                    .change_call(&call_id, |call| add_live(&mut call.output, &content));
            }
            ServerBody::ToolFinished {
                call_id,
                is_error,
                content,
                took_ms,
                ..
            } => {
                self.transcript.change_call(&call_id, |call| {
                    call.state = if is_error {
                        CallState::Failed
                    } else {
                        CallState::Done
                    };
                    call.output = content.into_owned();
                    call.took_ms = Some(took_ms);
                });
                self.doing("thinking");
            }
            ServerBody::TurnFinished {
                usage,
                model,
                context_tokens,
                token_limit,
                cost,
                currency,
                ..
            } => {
                let own = &mut self.usage;
                own.input += usage.input_tokens.unwrap_or(0);
                own.output += usage.output_tokens.unwrap_or(0);
                own.context = context_tokens.or(own.context);
                own.limit = token_limit.or(own.limit);
                if !model.is_empty() {
                    own.model = clean_line(&model);
                }
                if let (Some(cost), Some(currency)) =
                    (cost.and_then(|cost| cost.as_f64()), currency)
                {
                    *own.cost.entry(clean_line(&currency)).or_default() += cost;
                }
                self.turn = None;
            }
            _ => {}
        }
    }

    fn doing(&mut self, what: &str) {
        if let Some(turn) = &mut self.turn {
            what.clone_into(&mut turn.doing);
        }
    }

    /// A connection begins: asks for everything that is needed, and sends again what was not answered.
    fn begin(&mut self, session: String, title: String) {
        // What still waits for an answer is asked again.
        self.approvals.clear();
        self.repeats_ids = false;
        self.established = Some(Dialog {
            id: session.clone(),
            title,
        });
        self.ask(ClientBody::Hello {
            capabilities: CAPABILITIES.map(str::to_owned).to_vec(),
        });
        self.ask(ClientBody::GetSlashCommands);
        if let Some(open) = self.session().map(str::to_owned) {
            self.open(&open);
            return;
        }
        match &self.start {
            Start::Current => self.open(&session),
            Start::New => self.create_dialog(),
            Start::Pick(_) | Start::Newest => {
                let include_archived = matches!(self.start, Start::Pick(_));
                self.ask(ClientBody::ListSessions {
                    include_archived,
                    all_chats: false,
                    offset: None,
                });
            }
        }
    }

    /// A dialog is no longer listed; if it is the open one, the newest takes its place.
    fn on_gone(&mut self, session: &str, said: &str) {
        if self.session() == Some(session) {
            self.leave_gone_dialog();
            self.start = Start::Newest;
            self.established = None;
            self.say(said);
            self.ask(ClientBody::ListSessions {
                include_archived: false,
                all_chats: false,
                offset: None,
            });
        }
        self.refresh_list();
    }

    /// Opens the dialog to begin with, if the list was asked for that.
    fn start_in(&mut self, sessions: &[SessionInfo<'_>]) {
        match std::mem::take(&mut self.start) {
            Start::Newest => match sessions.iter().find(|info| !info.archived) {
                Some(info) => {
                    self.retitle(&info.session_id, &info.title);
                    self.open(&info.session_id);
                }
                None => self.create_dialog(),
            },
            Start::Pick(wanted) => self.open_named(sessions, &wanted),
            Start::Current | Start::New => {}
        }
    }

    /// Opens the dialog a person named on the command line, else the current one.
    fn open_named(&mut self, sessions: &[SessionInfo<'_>], wanted: &str) {
        // A whole id may name a dialog of another chat.
        if wanted.parse::<SessionId>().is_ok() {
            self.open(wanted);
            return;
        }
        let choices: Vec<Choice<'_>> = sessions
            .iter()
            .map(|info| Choice {
                id: info.session_id.rsplit(':').next().unwrap_or_default(),
                title: &info.title,
                number: None,
            })
            .collect();
        let problem = match pick(&choices, wanted) {
            Picked::One(at) => {
                self.open(&sessions[at].session_id);
                return;
            }
            Picked::Nothing => format!("there is no dialog {wanted:?}"),
            Picked::Several(places) => format!("{} dialogs fit {wanted:?}", places.len()),
        };
        if let Some(current) = self.established.as_ref().map(|dialog| dialog.id.clone()) {
            self.open(&current);
        }
        self.say(format!("{problem}; this is the current one"));
    }

    fn refresh_list(&mut self) {
        if matches!(self.overlay, Overlay::Dialogs(_)) {
            self.ask_for_list();
        }
    }

    fn retitle(&mut self, session: &str, title: &str) {
        for dialog in [&mut self.dialog, &mut self.established]
            .into_iter()
            .flatten()
        {
            if dialog.id == session {
                dialog.title = title.to_owned();
            }
        }
    }

    /// The dialog is open: what was not answered goes out again, and the prompt of the command line.
    fn after_load(&mut self) {
        self.start = Start::Current;
        self.resend();
        if let Some(prompt) = self.first_prompt.take() {
            self.history.add(&prompt);
            self.out.push(Effect::Remember(prompt.clone()));
            self.send_text(prompt);
        }
    }

    fn set_delivery(&mut self, id: Option<&str>, delivery: Delivery) {
        let uid = self
            .pending
            .iter()
            .find(|pending| id == Some(&pending.request_id))
            .and_then(|pending| pending.uid);
        if let Some(uid) = uid {
            self.set_delivery_of(uid, delivery);
        }
    }

    fn set_delivery_of(&mut self, uid: u64, new: Delivery) {
        self.transcript.change_uid(uid, |entry| {
            if let Body::User { delivery, .. } = &mut entry.body {
                *delivery = new;
            }
        });
    }

    /// Moves an input that waited into the transcript: its turn comes.
    fn show_queued(&mut self, id: Option<&str>) {
        let waiting = self
            .pending
            .iter()
            .position(|pending| id == Some(&pending.request_id) && pending.uid.is_none());
        if let Some(at) = waiting {
            let text = self.pending[at].text.clone();
            self.pending[at].uid = Some(self.push_user(&text, Delivery::Running));
        }
    }

    fn take_pending(&mut self, id: Option<&str>) -> Option<super::Pending> {
        let at = self
            .pending
            .iter()
            .position(|pending| id == Some(&pending.request_id))?;
        self.was_answered = true;
        let taken = self.pending.remove(at);
        self.forget_unsent();
        taken
    }

    fn on_answer(&mut self, id: Option<&str>, content: &str, session: &str, merged: bool) {
        if !merged {
            self.show_queued_before_answer(id, session);
        }
        let pending = self.take_pending(id);
        if self.session() != Some(session) {
            return;
        }
        if let Some(uid) = pending.as_ref().and_then(|pending| pending.uid) {
            self.set_delivery_of(uid, Delivery::Done);
        }
        if merged {
            // The answer is on screen already; what joined its turn is shown where it belongs, before it.
            if let Some(pending) = pending.filter(|pending| pending.uid.is_none()) {
                self.push_user(&pending.text, Delivery::Done);
                self.say("that message joined the running turn");
            }
            return;
        }
        let is_known =
            pending.as_ref().is_some_and(|pending| pending.is_resent)
                && self.transcript.iter().rev().take(64).any(
                    |entry| matches!(&entry.body, Body::Answer { text, .. } if text == content),
                );
        if !is_known {
            self.transcript.finish_answer(content, self.now.unix_ms);
        }
        self.transcript.stop_calls();
        self.turn = None;
    }

    /// A gateway that does not stream says nothing before the answer.
    fn show_queued_before_answer(&mut self, id: Option<&str>, session: &str) {
        if self.session() == Some(session) {
            self.show_queued(id);
        }
    }

    fn on_command(
        &mut self,
        id: Option<&str>,
        command: &str,
        content: String,
        session: Option<&str>,
    ) {
        let pending = self.take_pending(id);
        let is_own_stop = command == "/stop" && pending.is_none();
        if is_own_stop {
            self.say(clean_line(&content));
        } else {
            let text = match pending {
                Some(pending) => format!("{}\n{content}", pending.text.trim()),
                None => content,
            };
            // A new dialog speaks for itself.
            self.answer_to_keep = (command != "/new").then(|| text.clone());
            self.remark(text, Tone::Plain);
        }
        let changes = [
            "/new", "/switch", "/delete", "/archive", "/clear", "/compact", "/rename",
        ]
        .contains(&command);
        match session.filter(|_| changes) {
            Some(session) => {
                let session = session.to_owned();
                let goes = command == "/delete" || command == "/archive";
                if goes && self.session() != Some(session.as_str()) {
                    self.leave_gone_dialog();
                }
                self.open(&session);
            }
            None => self.answer_to_keep = None,
        }
    }

    fn on_error(&mut self, id: Option<&str>, code: &str, message: String, session: Option<&str>) {
        if code == "shutting_down" {
            // What was accepted is answered after the next start; it is asked for again then.
            self.say(clean_line(&message));
            return;
        }
        self.is_loading_older = false;
        if code == "not_found" && self.loading.is_some() && id.is_none() {
            self.loading = None;
            self.dialog = None;
            let current = self.established.take().map(|dialog| dialog.id);
            match current {
                Some(current) => self.open(&current),
                None => self.create_dialog(),
            }
            self.remark(message, Tone::Notice);
            return;
        }
        let pending = self.take_pending(id);
        let is_here = session.is_none_or(|session| self.session() == Some(session));
        if !is_here {
            return;
        }
        let stopped = code == "stopped";
        if let Some(pending) = &pending {
            if pending.uid.is_some() {
                self.transcript.close_streams();
                self.transcript.stop_calls();
                self.turn = None;
            }
            let delivery = if stopped {
                Delivery::Stopped
            } else {
                Delivery::Failed
            };
            match pending.uid {
                Some(uid) => self.set_delivery_of(uid, delivery),
                None if stopped => return,
                None => {
                    self.push_user(&pending.text, delivery);
                }
            }
        }
        self.remark(message, if stopped { Tone::Notice } else { Tone::Failure });
    }

    /// A dialog has changed. What we asked for ourselves is on screen; what others did is loaded.
    fn on_updated(&mut self, info: &SessionInfo<'_>) {
        self.retitle(&info.session_id, &info.title);
        self.refresh_list();
        if self.session() != Some(&*info.session_id) {
            return;
        }
        let is_ours = self
            .pending
            .iter()
            .any(|pending| pending.session == info.session_id);
        let is_idle = info.state.as_deref().is_none_or(|state| state == "idle");
        let was_ours = is_idle && std::mem::take(&mut self.was_answered);
        let is_new = self.known_count.replace(info.message_count) != Some(info.message_count);
        if !is_ours && !was_ours && (is_new || !is_idle) && self.loading.is_none() {
            let id = info.session_id.to_string();
            self.open(&id);
        }
    }

    fn remark(&mut self, text: String, tone: Tone) {
        self.transcript
            .push(Body::Remark { text, tone }, Some(self.now.unix_ms));
    }
}

/// Writes `ws://127.0.0.1:19876/ws` as `ws 127.0.0.1:19876`.
pub(in crate::client) fn short_address(url: &str) -> String {
    let short = url.trim_end_matches("/ws");
    let (scheme, place) = short.split_once("://").unwrap_or(("", short));
    clean_line(&format!("{scheme} {place}")).trim().to_owned()
}

/// Appends live output; of very much the end is kept.
fn add_live(output: &mut String, piece: &str) {
    output.push_str(piece);
    if output.len() > 2 * MAX_LIVE_BYTES {
        let mut from = output.len() - MAX_LIVE_BYTES;
        while !output.is_char_boundary(from) {
            from += 1;
        }
        output.drain(..from);
    }
}
