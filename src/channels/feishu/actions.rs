//! Buttons of cards: who may press them, once, and what it means. Runs on `feishu-recv`; answered at once.

use std::collections::{HashSet, VecDeque};

use serde_json::{Value, json};

use super::event::{Action, is_id};
use super::render::{answer_card, button_card};
use super::words;
use crate::bus::{ApprovalAnswer, ApprovalOutcome, ApprovalRequest};

/// Pressed buttons remembered.
const MAX_PRESSED: usize = 1000;

/// What a button does, as it stands in the button.
const SWITCH: &str = "switch";
const APPROVE: &str = "approve";
/// Length of what is shown of a tool call.
const SHOWN_CHARS: usize = 2000;

/// The outcome of a press.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Outcome {
    /// What the person sees at once.
    pub(super) reply: Value,
    /// Chat, id of the input, and the slash command to run.
    pub(super) command: Option<(String, String, String)>,
    /// A question's id and its answer.
    pub(super) approval: Option<(String, ApprovalAnswer)>,
}

impl Outcome {
    fn toast(kind: &str, text: &str) -> Self {
        Self {
            reply: json!({"toast": {"type": kind, "content": text}}),
            command: None,
            approval: None,
        }
    }
}

/// Which buttons were pressed.
#[derive(Default)]
pub(super) struct Actions {
    pressed: HashSet<String>,
    order: VecDeque<String>,
}

/// Word, answer, label and what is said afterwards.
const ANSWERS: [(&str, ApprovalAnswer, &str, &str); 3] = [
    ("allow", ApprovalAnswer::Allow, words::ALLOW, words::ALLOWED),
    (
        "always",
        ApprovalAnswer::Always,
        words::ALWAYS,
        words::ALWAYS_ALLOWED,
    ),
    ("deny", ApprovalAnswer::Deny, words::DENY, words::DENIED),
];

/// Makes the card that asks about a tool call.
pub(super) fn approval_card(question: &ApprovalRequest) -> Value {
    let buttons: Vec<_> = ANSWERS
        .into_iter()
        .filter(|(word, ..)| question.can_always || *word != "always")
        .map(|(word, answer, label, _)| {
            let style = match answer {
                ApprovalAnswer::Allow => "primary",
                ApprovalAnswer::Always => "default",
                ApprovalAnswer::Deny => "danger",
            };
            let value = json!({
                "picobot": APPROVE, "id": question.id, "answer": word,
                "summary": shown(&question.summary),
            });
            (label.to_owned(), style, value)
        })
        .collect();
    button_card(words::APPROVAL, &approval_text(question), &buttons)
}

/// Returns the question as Markdown.
pub(super) fn approval_text(question: &ApprovalRequest) -> String {
    let arguments = shown(&question.arguments).replace("```", "` ` `");
    format!(
        "**{}**\n\n{}\n\n{}\n```json\n{arguments}\n```",
        question.name,
        shown(&question.summary),
        shown(&question.reason)
    )
}

/// Makes the card of a question that is settled.
pub(super) fn outcome_card(question: &ApprovalRequest, outcome: ApprovalOutcome) -> Value {
    let said = match outcome {
        ApprovalOutcome::Allowed => words::ALLOWED,
        ApprovalOutcome::Always => words::ALWAYS_ALLOWED,
        ApprovalOutcome::Denied => words::DENIED,
        ApprovalOutcome::Expired => words::EXPIRED,
    };
    settled_card(&shown(&question.summary), said)
}

fn settled_card(summary: &str, said: &str) -> Value {
    answer_card(&format!("{summary}\n\n**{said}**"))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Makes the value of a button that switches to a dialog.
pub(super) fn switch_value(chat: &str, dialog: &str, is_group: bool) -> Value {
    json!({"picobot": SWITCH, "chat": chat, "dialog": dialog, "group": is_group})
}

impl Actions {
    /// Judges a press.
    pub(super) fn press(&mut self, action: &Action, is_owner: bool, is_known: bool) -> Outcome {
        let field = |key: &str| action.value[key].as_str().unwrap_or_default();
        if field("picobot") == APPROVE {
            return self.approve(field("id"), field("answer"), field("summary"), is_owner);
        }
        if field("picobot") != SWITCH {
            return Outcome::toast("error", words::UNKNOWN_BUTTON);
        }
        let (chat, dialog) = (field("chat"), field("dialog"));
        // What stands in the button is ours, but where it was pressed is what counts.
        let is_here = !action.chat.is_empty()
            && chat.split(':').next() == Some(&action.chat)
            && chat.splitn(2, ':').all(is_id);
        let is_group = action.value["group"].as_bool().unwrap_or(true);
        let may = if is_group { is_owner } else { is_known };
        if !is_here || !may {
            return Outcome::toast("warning", words::OWNERS_ONLY);
        }
        if dialog.is_empty() || !dialog.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Outcome::toast("error", words::UNKNOWN_BUTTON);
        }
        let request = format!("{}:{SWITCH}", action.message);
        if !self.first(&request) {
            return Outcome::toast("info", words::PRESSED);
        }
        Outcome {
            reply: json!({"toast": {"type": "success", "content": words::SWITCHING}}),
            command: Some((chat.to_owned(), request, format!("/switch {dialog}"))),
            approval: None,
        }
    }

    /// Only owners answer questions, whoever asked for the work.
    fn approve(&mut self, id: &str, answer: &str, summary: &str, is_owner: bool) -> Outcome {
        if !is_owner {
            return Outcome::toast("warning", words::OWNERS_ONLY);
        }
        let known = ANSWERS.into_iter().find(|(word, ..)| *word == answer);
        let Some((_, answer, _, said)) = known else {
            return Outcome::toast("error", words::UNKNOWN_BUTTON);
        };
        if !self.first(&format!("{APPROVE}:{id}")) {
            return Outcome::toast("info", words::PRESSED);
        }
        let card = settled_card(summary, said);
        Outcome {
            reply: json!({
                "toast": {"type": "success", "content": said},
                "card": {"type": "raw", "data": card},
            }),
            command: None,
            approval: Some((id.to_owned(), answer)),
        }
    }

    /// Notes that a question is open no more, whoever or whatever decided it: its buttons mean nothing from now on.
    pub(super) fn decided(&mut self, question: &str) {
        self.first(&format!("{APPROVE}:{question}"));
    }

    /// Notes a press; false if it was pressed before.
    fn first(&mut self, key: &str) -> bool {
        if !self.pressed.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > MAX_PRESSED
            && let Some(oldest) = self.order.pop_front()
        {
            self.pressed.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(chat: &str, value: Value) -> Action {
        Action {
            person: "ou_1".to_owned(),
            message: "om_card".to_owned(),
            chat: chat.to_owned(),
            value,
        }
    }

    #[test]
    fn a_button_works_once_for_those_who_may() {
        let mut actions = Actions::default();
        let here = press("oc_1", switch_value("oc_1:omt_1", "7", true));
        assert_eq!(actions.press(&here, false, true).command, None);
        let elsewhere = press("oc_2", switch_value("oc_1", "7", true));
        assert_eq!(actions.press(&elsewhere, true, true).command, None);
        let outcome = actions.press(&here, true, true);
        let expected = ("oc_1:omt_1", "om_card:switch", "/switch 7");
        let (chat, request, text) = outcome.command.unwrap();
        assert_eq!((chat.as_str(), request.as_str(), text.as_str()), expected);
        assert_eq!(actions.press(&here, true, true).command, None);
    }

    #[test]
    fn questions_are_answered_once_by_owners() {
        let mut actions = Actions::default();
        let question = ApprovalRequest {
            id: "q1".to_owned(),
            name: "bash".to_owned(),
            arguments: "{\"command\":\"ls ```\"}".to_owned(),
            summary: "run ls".to_owned(),
            reason: "commands are asked about".to_owned(),
            in_workspace: true,
            can_always: false,
            expires_at: std::time::SystemTime::now(),
        };
        let card = approval_card(&question);
        let elements = card["body"]["elements"].as_array().unwrap();
        assert_eq!(elements.len(), 3, "no always");
        let value = elements[1]["behaviors"][0]["value"].clone();
        let allow = press("oc_1", value);
        assert_eq!(actions.press(&allow, false, true).approval, None);
        let outcome = actions.press(&allow, true, true);
        assert_eq!(
            outcome.approval,
            Some(("q1".to_owned(), ApprovalAnswer::Allow))
        );
        assert_eq!(outcome.reply["card"]["type"], "raw");
        let deny = press("oc_1", elements[2]["behaviors"][0]["value"].clone());
        assert_eq!(
            actions.press(&deny, true, true).approval,
            None,
            "decided already"
        );
        // One that was stopped, ran out or was answered elsewhere: nobody is told that it is allowed.
        let mut actions = Actions::default();
        actions.decided("q1");
        let outcome = actions.press(&allow, true, true);
        assert_eq!(outcome.approval, None);
        assert_eq!(outcome.reply["toast"]["type"], "info");
    }

    #[test]
    fn values_that_are_not_ours_do_nothing() {
        let mut actions = Actions::default();
        for value in [
            json!(null),
            json!("switch"),
            json!({"picobot": "other"}),
            switch_value("oc_1", "7 /delete", false),
            switch_value("oc_1", "", false),
            switch_value(&format!("oc_1:{}", "x".repeat(300)), "7", false),
            switch_value("oc_1:a:b", "7", false),
        ] {
            assert_eq!(
                actions.press(&press("oc_1", value), true, true).command,
                None
            );
        }
    }
}
