//! Compression through the real gateway: what makes it happen, what survives it, what a failure, `/stop` or a crash leaves.
//!
//! The scripted model is a function of the request: a request for a summary is known by its system prompt.

mod crash;
mod task;
mod triggers;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::model::{Format, ModelServer, Received};
use crate::support::python::sqlite;
use crate::support::script::Answer;

/// Whether a request asks for a summary.
fn wants_summary(received: &Received) -> bool {
    system_of(received).starts_with("You compress conversations.")
}

/// Returns the system prompt of a request in either format.
fn system_of(received: &Received) -> String {
    match received.format() {
        Format::Chat => received.texts("system").concat(),
        Format::Messages => match &received.body["system"] {
            Value::String(text) => text.clone(),
            blocks => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
        },
    }
}

/// Returns the texts of the tool results of a request in either format.
fn results_of(received: &Received) -> Vec<String> {
    if received.format() == Format::Chat {
        return received.texts("tool");
    }
    let messages = received.body["messages"].as_array().unwrap();
    let blocks = messages
        .iter()
        .filter_map(|message| message["content"].as_array());
    let results = blocks
        .flatten()
        .filter(|block| block["type"] == "tool_result");
    results.map(|block| block["content"].to_string()).collect()
}

/// Returns everything the model is given to read in a request, tools and the fixed prompt apart.
fn all_text(received: &Received) -> String {
    let messages = received.body["messages"].as_array().unwrap();
    let said = messages
        .iter()
        .filter(|message| message["role"] != "system");
    said.map(Value::to_string).collect()
}

/// The text of the newest message of the user.
fn newest(received: &Received) -> String {
    received.texts("user").pop().unwrap()
}

/// Makes a home whose agent has so small a context.
fn home(model: &ModelServer, token_limit: u32) -> Home {
    let home = Home::with_model(model);
    let mut config = home.config_for(model);
    config["agents"]["default"]["token_limit"] = json!(token_limit);
    config["agents"]["default"]["max_tool_iterations"] = json!(99);
    home.write_config(&config);
    home
}

/// A refusal as services word it.
fn too_long() -> Answer {
    Answer::error(
        400,
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    )
}

/// Asks a database that a gateway has open, through a copy of it and its log.
#[track_caller]
fn asked(database: &Path, statements: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(database, &copy).unwrap();
    let log = database.with_file_name("picobot.db-wal");
    if log.exists() {
        std::fs::copy(log, folder.path().join("copy.db-wal")).unwrap();
    }
    sqlite(&copy, statements)
}
