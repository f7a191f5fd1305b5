//! Sending: inputs with their ids, the queue, stopping, and the commands this client carries out itself. Pure.

use super::transcript::{Body, Delivery};
use super::types::{Effect, Link, Pending, State};
use crate::chat::{Input, classify};
use crate::client::keys::Action;
use crate::client::theme::Theme;
use crate::wire::{ClientBody, ClientMessage};

/// Commands that are carried out here and never sent.
pub(super) const LOCAL_COMMANDS: [(&str, &str); 7] = [
    ("/quit", "Leaves; the gateway goes on."),
    ("/keys", "Shows all keys."),
    ("/dialogs", "Lists the dialogs."),
    ("/copy", "Copies the last answer."),
    ("/theme", "Changes the colours: auto, dark, light or mono."),
    ("/reasoning", "Shows or hides reasoning."),
    ("/tools", "Opens or folds all tool output."),
];

impl State {
    /// Sends the draft, or queues it while a turn runs.
    pub(super) fn submit(&mut self) {
        let text = self.composer.expanded();
        if text.trim().is_empty() {
            return;
        }
        self.composer.clear();
        self.popup = None;
        self.history.add(&text);
        self.out.push(Effect::Remember(text.clone()));
        self.save_draft();
        if !self.run_local(&text) {
            self.send_text(text);
        }
    }

    /// Sends a text as an input of its own.
    pub(super) fn send_text(&mut self, text: String) {
        let is_command = matches!(classify(&text), (Input::Command(_), _));
        let waits = self.is_busy();
        let request_id = self.next_request_id();
        let uid = (!is_command && !waits).then(|| self.push_user(&text, Delivery::Sending));
        let is_sent = self.link == Link::Online && self.dialog.is_some();
        let pending = Pending {
            is_sent,
            request_id,
            session: self.session().unwrap_or_default().to_owned(),
            text,
            uid,
            is_resent: false,
            is_command,
        };
        if is_sent {
            self.out.push(Effect::Send(input(&pending)));
        }
        self.pending.push_back(pending);
        self.layout.follow();
    }

    pub(super) fn push_user(&mut self, text: &str, delivery: Delivery) -> u64 {
        let text = text.to_owned();
        self.transcript
            .push(Body::User { text, delivery }, Some(self.now.unix_ms))
    }

    /// Sends everything again that has no answer: the gateway knows the ids and doubles nothing.
    pub(super) fn resend(&mut self) {
        let Some(session) = self.session().map(str::to_owned) else {
            return;
        };
        for pending in &mut self.pending {
            if pending.session.is_empty() {
                pending.session.clone_from(&session);
            }
            self.out.push(Effect::Send(input(pending)));
            pending.is_resent = pending.is_sent;
            pending.is_sent = true;
        }
    }

    /// Stops the turn that runs; what waits behind it goes on.
    pub(super) fn stop_turn(&mut self) {
        if !self.is_busy() {
            return;
        }
        let session = self.session().unwrap_or_default().to_owned();
        // A turn of our own is stopped by its id, so that the queue goes on; another's by the plain command.
        let own = self
            .pending
            .iter()
            .find(|pending| pending.uid.is_some() && pending.session == session);
        let content = match own {
            Some(pending) => format!("/stop {}", pending.request_id),
            None => "/stop".to_owned(),
        };
        if let Some(turn) = &mut self.turn {
            turn.is_stopping = true;
        }
        self.ask(ClientBody::UserInput {
            content,
            channel: None,
            chat_id: None,
            sender_id: None,
            session_id: Some(session),
            images: Vec::new(),
        });
    }

    /// Takes the newest waiting input back into the draft. The gateway decides whether it still waits.
    pub(super) fn take_back(&mut self) {
        let session = self.session().unwrap_or_default().to_owned();
        let waits = |pending: &Pending| {
            pending.uid.is_none() && !pending.is_command && pending.session == session
        };
        let own = self.pending.iter().rposition(waits);
        match own.map(|at| (at, self.pending[at].is_sent)) {
            Some((at, false)) => {
                if let Some(pending) = self.pending.remove(at) {
                    self.put_back(&pending.text);
                }
            }
            _ if self.link != Link::Online => self.say("not now: there is no connection"),
            Some((at, true)) => {
                let input = Some(self.pending[at].request_id.clone());
                self.ask(ClientBody::TakeBack { input });
            }
            None if !self.waiting_elsewhere.is_empty() => {
                self.ask(ClientBody::TakeBack { input: None });
            }
            None => self.say("nothing waits that could be taken back"),
        }
    }

    /// Puts a text in front of the draft.
    pub(super) fn put_back(&mut self, text: &str) {
        let draft = self.composer.expanded();
        let joined = if draft.is_empty() {
            text.to_owned()
        } else {
            format!("{text}\n{draft}")
        };
        self.history.leave();
        self.composer.set(&joined);
        self.edited();
    }

    /// Carries out a command of this client; false if the text is none.
    fn run_local(&mut self, text: &str) -> bool {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        let is_remote = self.commands.iter().any(|(known, _, _)| known == name);
        if is_remote || !LOCAL_COMMANDS.iter().any(|(known, _)| *known == name) {
            return false;
        }
        match name {
            "/quit" => self.out.push(Effect::Quit),
            "/keys" => self.act(Action::Help),
            "/dialogs" => self.act(Action::Dialogs),
            "/reasoning" => self.act(Action::ToggleReasoning),
            "/tools" => self.act(Action::ToggleTools),
            "/copy" => self.copy_last_answer(),
            _ => match Theme::by_name(argument) {
                Some(theme) => self.theme = theme,
                None => self.say("themes are auto, dark, light and mono"),
            },
        }
        true
    }

    fn copy_last_answer(&mut self) {
        let last = self
            .transcript
            .iter()
            .rev()
            .find_map(|entry| match &entry.body {
                Body::Answer { text, .. } => Some(crate::client::text::clean(text).into_owned()),
                _ => None,
            });
        match last {
            Some(text) => self.copy(text),
            None => self.say("there is no answer yet"),
        }
    }
}

fn input(pending: &Pending) -> ClientMessage {
    ClientMessage {
        body: ClientBody::UserInput {
            content: pending.text.clone(),
            channel: None,
            chat_id: None,
            sender_id: None,
            session_id: Some(pending.session.clone()).filter(|id| !id.is_empty()),
            images: Vec::new(),
        },
        request_id: Some(pending.request_id.clone()),
    }
}
