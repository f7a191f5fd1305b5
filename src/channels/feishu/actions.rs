//! Buttons of cards: who may press them, once, and what it means. Runs on `feishu-recv`; answered at once.

use std::collections::{HashSet, VecDeque};

use serde_json::{Value, json};

use super::event::Action;
use super::words;

/// Pressed buttons remembered.
const MAX_PRESSED: usize = 1000;

/// What a button does, as it stands in the button.
const SWITCH: &str = "switch";

/// The outcome of a press.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Outcome {
    /// What the person sees at once.
    pub(super) reply: Value,
    /// Chat, id of the input, and the slash command to run.
    pub(super) command: Option<(String, String, String)>,
}

impl Outcome {
    fn toast(kind: &str, text: &str) -> Self {
        Self {
            reply: json!({"toast": {"type": kind, "content": text}}),
            command: None,
        }
    }
}

/// Which buttons were pressed.
#[derive(Default)]
pub(super) struct Actions {
    pressed: HashSet<String>,
    order: VecDeque<String>,
}

/// Makes the value of a button that switches to a dialog.
pub(super) fn switch_value(chat: &str, dialog: &str, is_group: bool) -> Value {
    json!({"picobot": SWITCH, "chat": chat, "dialog": dialog, "group": is_group})
}

impl Actions {
    /// Judges a press.
    pub(super) fn press(&mut self, action: &Action, is_owner: bool, is_known: bool) -> Outcome {
        let field = |key: &str| action.value[key].as_str().unwrap_or_default();
        if field("picobot") != SWITCH {
            return Outcome::toast("error", words::UNKNOWN_BUTTON);
        }
        let (chat, dialog) = (field("chat"), field("dialog"));
        // What stands in the button is ours, but where it was pressed is what counts.
        let is_here = !action.chat.is_empty() && chat.split(':').next() == Some(&action.chat);
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
        }
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
    fn values_that_are_not_ours_do_nothing() {
        let mut actions = Actions::default();
        for value in [
            json!(null),
            json!("switch"),
            json!({"picobot": "other"}),
            switch_value("oc_1", "7 /delete", false),
            switch_value("oc_1", "", false),
        ] {
            assert_eq!(
                actions.press(&press("oc_1", value), true, true).command,
                None
            );
        }
    }
}
