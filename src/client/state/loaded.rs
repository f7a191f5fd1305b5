//! A loaded dialog becomes the transcript. Pure.

use super::transcript::{Body, Call, CallState, Delivery, Tone};
use super::types::{Dialog, Effect, NOWHERE, State, Turn};
use crate::client::clock;
use crate::wire::{HistoryCall, HistoryEntry};

/// A page of a dialog.
pub(super) struct Page {
    pub(super) session: String,
    pub(super) messages: Vec<HistoryEntry<'static>>,
    pub(super) has_more: bool,
    /// The cursor this page was asked with: it holds older messages.
    pub(super) before: Option<i64>,
}

impl State {
    /// Shows a page: older messages in front, or a whole dialog anew.
    pub(super) fn take_page(&mut self, page: Page) {
        let is_older = page.before.is_some();
        if is_older {
            self.is_loading_older = false;
            if self.session() != Some(page.session.as_str()) || page.before != self.oldest {
                return;
            }
        } else {
            let wanted = self.loading.take();
            if wanted.is_some_and(|wanted| wanted != page.session) {
                return;
            }
        }
        self.has_older = page.has_more;
        self.oldest = page
            .messages
            .iter()
            .find_map(|entry| entry.id)
            .or(self.oldest.filter(|_| is_older));
        if is_older {
            let bodies = page
                .messages
                .iter()
                .filter(|entry| entry.state != "queued")
                .flat_map(bodies)
                .collect();
            self.transcript.prepend(bodies);
        } else {
            self.take_dialog(page);
        }
    }

    fn take_dialog(&mut self, page: Page) {
        let is_other = self.session() != Some(page.session.as_str());
        if is_other {
            self.enter(&page.session);
        }
        let followed = self.layout.follows();
        self.transcript.clear();
        self.layout.reset();
        if !followed && !is_other {
            self.say("the dialog was loaded anew");
        }
        self.waiting_elsewhere.clear();
        let mut runs = false;
        for entry in &page.messages {
            if entry.state == "queued" {
                let is_own = self
                    .pending
                    .iter()
                    .any(|pending| pending.text == entry.content);
                if !is_own {
                    self.waiting_elsewhere.push(entry.content.to_string());
                }
                continue;
            }
            for (body, at) in bodies(entry) {
                runs |= matches!(
                    body,
                    Body::User {
                        delivery: Delivery::Running,
                        ..
                    }
                );
                self.transcript.push(body, at);
            }
        }
        self.adopt_pending(&page.session);
        if let Some(text) = self.answer_to_keep.take() {
            let at = self.now.unix_ms;
            let tone = Tone::Plain;
            self.transcript.push(Body::Remark { text, tone }, Some(at));
        }
        if runs && self.turn.is_none() {
            self.turn = Some(Turn {
                began_ms: self.now.ms,
                doing: "working".to_owned(),
                is_stopping: false,
            });
        }
        if !runs {
            self.turn = None;
        }
    }

    /// Finds our unanswered inputs among the loaded messages; those that are not there are shown again.
    fn adopt_pending(&mut self, session: &str) {
        let mut free: Vec<(u64, String)> = Vec::new();
        for entry in self
            .transcript
            .iter()
            .rev()
            .take(64)
            .filter(|entry| entry.is_user())
        {
            free.push((entry.uid, entry.text().to_owned()));
        }
        let mut missing = Vec::new();
        for (at, pending) in self.pending.iter_mut().enumerate() {
            if pending.session != session && !pending.session.is_empty() {
                continue;
            }
            let was_shown = pending.uid.take().is_some();
            if let Some(found) = free.iter().rposition(|(_, text)| *text == pending.text) {
                pending.uid = Some(free.remove(found).0);
            } else if was_shown {
                missing.push(at);
            }
        }
        for at in missing {
            let text = self.pending[at].text.clone();
            let uid = self.push_user(&text, Delivery::Sending);
            self.pending[at].uid = Some(uid);
        }
    }

    /// Changes to another dialog: its draft takes the place of the present one, which is kept.
    pub(super) fn enter(&mut self, session: &str) {
        let was_nowhere = self.dialog.is_none();
        if !was_nowhere {
            self.save_draft();
        }
        let title = self.title_of(session);
        self.dialog = Some(Dialog {
            id: session.to_owned(),
            title,
        });
        self.turn = None;
        self.known_count = None;
        self.was_answered = false;
        self.browse = None;
        self.usage = super::Usage {
            model: self.usage.model.clone(),
            limit: self.usage.limit,
            ..super::Usage::default()
        };
        self.approvals.clear();
        let draft = self.drafts.get(session).cloned().unwrap_or_default();
        if !was_nowhere || (self.composer.is_empty() && !draft.is_empty()) {
            self.history.leave();
            self.composer.set(&draft);
            self.popup = None;
        } else {
            self.bring_draft(draft);
        }
        let was_kept = self.drafts.remove(NOWHERE).is_some() || self.has_kept_unsent;
        if was_nowhere && was_kept {
            let (session, text) = (NOWHERE.to_owned(), String::new());
            self.out.push(Effect::SaveDraft { session, text });
        }
    }

    /// What was written before any dialog was open is from now on the draft of the first one. The one that dialog had
    /// becomes the newest prompt.
    fn bring_draft(&mut self, earlier: String) {
        if self.composer.is_empty() {
            return;
        }
        if !earlier.trim().is_empty() && earlier != self.draft() {
            self.history.add(&earlier);
            self.out.push(Effect::Remember(earlier));
        }
        self.save_draft();
    }

    fn title_of(&self, session: &str) -> String {
        let known = [&self.established, &self.dialog]
            .into_iter()
            .flatten()
            .find(|dialog| dialog.id == session);
        known.map(|dialog| dialog.title.clone()).unwrap_or_default()
    }
}

/// Returns what one message becomes: its text, then its tool calls.
fn bodies(entry: &HistoryEntry<'_>) -> Vec<(Body, Option<i64>)> {
    let at = clock::parse(&entry.created_at);
    let mut out = Vec::new();
    let text = entry.content.to_string();
    match &*entry.role {
        "user" => {
            let delivery = match &*entry.state {
                "running" => Delivery::Running,
                "failed" => Delivery::Failed,
                "stopped" => Delivery::Stopped,
                _ => Delivery::Done,
            };
            out.push((Body::User { text, delivery }, at));
        }
        "assistant" => {
            if let Some(reasoning) = &entry.reasoning {
                let text = reasoning.to_string();
                out.push((
                    Body::Reasoning {
                        text,
                        is_open: false,
                    },
                    at,
                ));
            }
            if !text.is_empty() {
                out.push((
                    Body::Answer {
                        text,
                        is_open: false,
                    },
                    at,
                ));
            }
            out.extend(
                entry
                    .tool_calls
                    .iter()
                    .map(|call| (Body::Call(self::call(call)), at)),
            );
        }
        _ => {
            let tone = Tone::Plain;
            out.push((Body::Remark { text, tone }, at));
        }
    }
    out
}

fn call(call: &HistoryCall<'_>) -> Call {
    Call {
        id: call.call_id.to_string(),
        name: call.name.to_string(),
        arguments: call.arguments.to_string(),
        output: call.content.to_string(),
        state: match &*call.state {
            "running" => CallState::Running,
            "failed" => CallState::Failed,
            "stopped" | "interrupted" => CallState::Stopped,
            _ => CallState::Done,
        },
        took_ms: call.took_ms,
    }
}
