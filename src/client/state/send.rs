//! Sending: inputs with their ids, the queue, stopping, and the commands this client carries out itself. Pure.

use super::transcript::{Body, Delivery};
use super::types::{Effect, Link, Pending, State};
use crate::chat::{Input, classify};
use crate::client::keys::Action;
use crate::client::theme::Theme;
use crate::wire::{ClientBody, ClientMessage, MAX_FRAME_BYTES};

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

/// More than the other fields of an input take.
const OTHER_FIELDS_BYTES: usize = 2_048;

impl State {
    /// Sends the draft, or queues it while a turn runs.
    pub(super) fn submit(&mut self) {
        let text = self.composer.expanded();
        if text.trim().is_empty() {
            return;
        }
        if !fits_a_frame(&text) {
            let mb = text.len() as f64 / 1e6;
            self.say(format!(
                "too long to be sent: {mb:.1} MB, at most 1 MB; put it into a file"
            ));
            return;
        }
        self.composer.clear();
        self.popup = None;
        self.history.add(&text);
        self.out.push(Effect::Remember(text.clone()));
        if !self.run_local(&text) {
            self.send_text(text);
        }
        self.save_draft();
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
            is_accepted: false,
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

    /// Lists what was written in the open dialog and has perhaps not reached the gateway, oldest first.
    pub(in crate::client) fn unsent(&self) -> Vec<&str> {
        let session = self.session().unwrap_or_default();
        let is_lost = self.link != Link::Online;
        let pending = self
            .pending
            .iter()
            .filter(|one| one.session == session || one.session.is_empty())
            .filter(|one| !one.is_command && !one.is_accepted)
            .filter(|one| !one.is_sent || is_lost || self.tells_accepted)
            .map(|one| one.text.as_str());
        pending.chain(self.first_prompt.as_deref()).collect()
    }

    /// The gateway has an input.
    pub(super) fn accept(&mut self, id: Option<&str>) {
        self.tells_accepted = true;
        let found = self
            .pending
            .iter_mut()
            .find(|pending| id == Some(&pending.request_id));
        if let Some(pending) = found {
            pending.is_accepted = true;
        }
        self.forget_unsent();
    }

    /// What was kept because it was not sent is kept no longer than needed.
    pub(super) fn forget_unsent(&mut self) {
        if self.has_kept_unsent {
            self.save_draft();
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

/// Tells whether a gateway takes so long a text; it closes the connection on a longer one, again and again.
fn fits_a_frame(text: &str) -> bool {
    /// A character of one byte takes six at most in JSON.
    const WORST: usize = 6;
    if text.len() < MAX_FRAME_BYTES / WORST / 2 {
        return true;
    }
    let json = serde_json::to_string(text).unwrap_or_default();
    json.len() + OTHER_FIELDS_BYTES <= MAX_FRAME_BYTES
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

#[cfg(test)]
mod tests {
    use super::super::{Event, NOWHERE};
    use super::*;
    use crate::client::net::NetEvent;
    use crate::client::play::{Play, SESSION};

    fn lose(play: &mut Play) {
        play.event(Event::Net(NetEvent::Down {
            why: "gone".to_owned(),
            retry_ms: 500,
            is_refused: false,
        }));
    }

    fn say(play: &mut Play, text: &str) {
        play.type_text(text);
        play.key("enter");
    }

    /// What is in the file of drafts for a dialog after all that happened.
    fn on_disk(play: &Play, wanted: &str) -> String {
        let saved = play.effects.iter().rev().find_map(|effect| match effect {
            Effect::SaveDraft { session, text } if session == wanted => Some(text.clone()),
            _ => None,
        });
        saved.unwrap_or_default()
    }

    #[test]
    fn what_is_written_offline_is_kept_until_the_gateway_has_it() {
        let mut play = Play::online();
        lose(&mut play);
        say(&mut play, "第一条");
        say(&mut play, "second");
        play.type_text("第三");
        play.ms += 2_000;
        play.event(Event::Tick);
        assert_eq!(play.state.unsent(), ["第一条", "second"]);
        assert_eq!(on_disk(&play, SESSION), "第一条\nsecond\n第三");
        assert_eq!(play.state.composer.expanded(), "第三");

        play.connect();
        play.load("");
        play.about("t-1", "input_accepted", "");
        let ids: Vec<String> = play
            .state
            .pending
            .iter()
            .map(|pending| pending.request_id.clone())
            .collect();
        for id in ids {
            play.about(&id, "input_accepted", "");
        }
        assert!(play.state.unsent().is_empty());
        assert_eq!(on_disk(&play, SESSION), "第三");
    }

    #[test]
    fn a_message_is_kept_only_while_nobody_has_it() {
        let mut play = Play::online();
        say(&mut play, "一");
        assert!(
            play.state.unsent().is_empty(),
            "an older gateway says nothing"
        );
        let id = play.state.pending[0].request_id.clone();
        lose(&mut play);
        assert_eq!(play.state.unsent(), ["一"]);
        play.connect();
        play.load("");
        play.about(&id, "input_accepted", "");
        lose(&mut play);
        assert!(play.state.unsent().is_empty());
        say(&mut play, "/new");
        assert!(play.state.unsent().is_empty(), "commands are no messages");
    }

    #[test]
    fn before_any_dialog_the_prompt_of_the_command_line_is_kept_too() {
        let mut play = Play::with(super::super::Start::New, Some("问题"), Default::default());
        lose(&mut play);
        say(&mut play, "还有");
        assert_eq!(play.state.unsent(), ["还有", "问题"]);
        assert_eq!(on_disk(&play, NOWHERE), "还有\n问题");
        play.connect();
        play.frame(&format!(
            r#"{{"type":"session_created","session_id":"{SESSION}","title":""}}"#
        ));
        play.load("");
        assert_eq!(on_disk(&play, NOWHERE), "", "it belongs to the dialog now");
    }

    #[test]
    fn what_no_frame_can_hold_stays_the_draft() {
        let mut play = Play::online();
        for (text, is_sent) in [("x", true), ("字", false), ("\u{1}", true), ("\n\"", false)] {
            play.effects.clear();
            play.event(Event::Paste(text.repeat(500_000)));
            let draft = play.state.composer.expanded();
            play.key("enter");
            assert_eq!(play.sent().len(), usize::from(is_sent && !draft.is_empty()));
            if !is_sent {
                assert_eq!(play.state.composer.expanded(), draft);
                assert!(play.screen(80, 24).contains("too long to be sent"));
                play.state.composer.clear();
            }
        }
    }

    #[test]
    fn questions_of_a_lost_connection_are_asked_again() {
        let mut play = Play::online();
        let ask = format!(
            r#"{{"type":"approval_request","approval_id":"p1","name":"bash","arguments":"{{}}","expires_at":"2026-03-01T14:05:00.000Z","session_id":"{SESSION}","summary":"ls","reason":"","in_workspace":true,"can_always":false}}"#
        );
        play.frame(&ask);
        lose(&mut play);
        assert_eq!(play.state.approvals.len(), 1);
        play.connect();
        assert!(play.state.approvals.is_empty(), "it may be settled");
        play.load("");
        play.frame(&ask);
        assert_eq!(play.state.approvals.len(), 1);
    }
}
