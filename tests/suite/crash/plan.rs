//! The tasks that clients give while the gateway is killed, and the model that works on them. Pure.
//!
//! The model is a function of the request alone: it finds the newest task and how far it is, so it may be asked again
//! after any crash. Every call with a side effect adds its own mark to a ledger in the workspace.

use serde_json::{Value, json};

use crate::support::model::Received;
use crate::support::script::{Answer, Call};

/// The file in the workspace that side effects are counted in.
pub(super) const LEDGER: &str = "ledger.txt";

/// Returns what a client says to have a task done.
pub(super) fn wish(task: &str) -> String {
    format!("Please do <{task}>.")
}

/// Returns the final answer of a task.
pub(super) fn answer(task: &str) -> String {
    format!("All of {task} is done.")
}

/// Returns the task that a text wishes for.
pub(super) fn task_in(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once('<')?;
    rest.split_once('>').map(|(task, _)| task)
}

/// Returns the file a task writes, if it writes one, and its content.
pub(super) fn file_of(task: &str) -> Option<(String, String)> {
    (number(task) % 4 == 3).then(|| (format!("out/{task}.txt"), format!("{task}\n")))
}

/// Returns the marks that a task's calls add to the ledger; each is also the id of its call.
pub(super) fn marks(task: &str) -> Vec<String> {
    let n = match number(task) % 4 {
        0 => 0,
        1 => 1,
        _ => 2,
    };
    (0..n).map(|i| format!("{task}_{i}")).collect()
}

fn number(task: &str) -> usize {
    let digits = task.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().unwrap()
}

/// Returns the rounds of calls of a task: none, one, two, or one with four calls of all kinds.
fn rounds(task: &str) -> Vec<Vec<Call>> {
    let bash: Vec<Call> = marks(task).iter().map(|mark| append(mark)).collect();
    let Some((path, content)) = file_of(task) else {
        return bash.into_iter().map(|call| vec![call]).collect();
    };
    let mut all = bash;
    all.insert(
        1,
        Call::new(
            &format!("{task}_w"),
            "file_write",
            json!({"path": path, "content": content}),
        ),
    );
    all.push(Call::new(
        &format!("{task}_c"),
        "calculator",
        json!({"expression": "6*7"}),
    ));
    vec![all]
}

fn append(mark: &str) -> Call {
    let command = format!("echo {mark} >> {LEDGER}");
    Call::new(mark, "bash", json!({"command": command}))
}

/// Answers as the model.
pub(super) fn play(received: &Received) -> Answer {
    let messages = received.body["messages"].as_array().unwrap();
    let newest = messages
        .iter()
        .rposition(|message| message["role"] == "user");
    let newest = newest.expect("a request without a user");
    let text = text_of(&messages[newest]);
    let task = task_in(&text).expect("a request without a task");
    let done = messages[newest..]
        .iter()
        .filter(|message| message["role"] == "assistant")
        .count();
    match rounds(task).get(done) {
        Some(calls) => Answer::calls(calls.clone()),
        None => Answer::text(&answer(task)),
    }
}

/// Returns the text of a message in either form.
pub(super) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}
