//! Dialogs through the real gateway: slash commands, several clients on one dialog, input during a turn, control.

mod cli;
mod commands;
mod control;
mod during;
mod shared;

use serde_json::Value;

use crate::support::ws::Client;

/// Types a slash command and returns the text of its one answer.
#[track_caller]
fn command(client: &mut Client, text: &str) -> String {
    let reply = client.request(text);
    assert_eq!(reply["type"], "command_executed", "{text}: {reply}");
    let name = text.split_whitespace().next().unwrap();
    assert_eq!(reply["command"], name, "{reply}");
    content(&reply)
}

fn content(message: &Value) -> String {
    message["content"].as_str().unwrap().to_owned()
}

/// Returns role and text of messages as `session_loaded` shows them.
fn said(messages: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    messages
        .iter()
        .map(|message| (text(&message["role"]), text(&message["content"])))
        .collect()
}
