//! Wire format × streamed and plain × every odd thing a service may do, through the real gateway.
//!
//! Each row runs in a dialog of its own: the turn ends with an answer or a plain sentence, and the next turn works. Every
//! request seen meanwhile is judged by the rules of its format and by the official SDK's types.

mod situations;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::Answer;
use crate::support::stage::check_all;
use crate::support::ws::Client;
use situations::{Outcome, Situation};

/// What the model says when nothing is scripted.
const FINE: &str = "fine";

/// A gateway for one half of the matrix.
struct Bench {
    gateway: Gateway,
    model: ModelServer,
    script: Arc<Mutex<VecDeque<Answer>>>,
    _home: Home,
}

impl Bench {
    fn new(kind: &str, streams: bool) -> Self {
        let script: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let answers = script.clone();
        let model = ModelServer::start(move |received| {
            if received.body["stream"] == true && !streams {
                return Answer::error(400, "streaming is not supported by this model");
            }
            let next = answers.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Answer::text(FINE))
        });
        let base_url = if kind == "openai" {
            model.base_url()
        } else {
            model.origin()
        };
        let home = Home::with_model_and(
            &model,
            json!({
                "providers": {"odd": {
                    "type": kind, "base_url": base_url, "api_key": "test-key",
                    // Long enough for a busy machine.
                    "first_byte_timeout_secs": 4, "idle_timeout_secs": 4,
                }},
                "agents": {"default": {"provider": "odd", "model": "scripted", "max_tool_iterations": 5}},
            }),
        );
        Self {
            gateway: Gateway::start(&home),
            model,
            script,
            _home: home,
        }
    }

    fn ask(&self, client: &mut Client, chat: &str, text: &str) -> Value {
        client.send_json(&json!({"type": "user_input", "content": text, "chat_id": chat}));
        loop {
            // A long answer makes the dialog shorter first, and says so.
            let message = client.next();
            if message["type"] != "system_notification" {
                return message;
            }
        }
    }

    /// Runs a row; returns a complaint if something was wrong.
    fn run(&self, client: &mut Client, row: &Situation) -> Result<(), String> {
        let answers = (row.answers)();
        self.script.lock().unwrap().extend(answers);
        let reply = self.ask(client, row.name, "do something odd");
        let left = std::mem::take(&mut *self.script.lock().unwrap()).len();
        judge(&reply, &row.outcome)?;
        if left > 0 {
            return Err(format!("{left} scripted answers were not asked for"));
        }
        let next = self.ask(client, row.name, "and now?");
        if next["type"] != "assistant_response" || next["content"] != FINE {
            return Err(format!("the next turn did not work: {next}"));
        }
        Ok(())
    }
}

fn judge(reply: &Value, outcome: &Outcome) -> Result<(), String> {
    let content = reply["content"].as_str().unwrap_or_default();
    let message = reply["message"].as_str().unwrap_or_default();
    let good = match outcome {
        Outcome::Says(text) => content == *text,
        Outcome::Ends(text) => !content.is_empty() && content.ends_with(text),
        Outcome::Fails(code, text) => {
            reply["type"] == "error"
                && reply["code"] == *code
                && message.contains(text)
                && is_plain(message)
        }
    };
    if good {
        return Ok(());
    }
    let mut shown = reply.to_string();
    shown.truncate(
        shown
            .char_indices()
            .nth(500)
            .map_or(shown.len(), |(at, _)| at),
    );
    Err(format!("wanted {outcome:?}, got {shown}"))
}

/// Whether a person can read it: a sentence on one line, without the marks of code.
fn is_plain(message: &str) -> bool {
    let marks = ["::", "Err(", "Some(", "panicked", "<html"];
    message.starts_with(char::is_uppercase)
        && !message.contains('\n')
        && !marks.iter().any(|mark| message.contains(mark))
}

fn check(kind: &str, streams: bool) {
    let bench = Bench::new(kind, streams);
    let mut client = Client::connect(bench.gateway.port());
    // Teaches it that this model does not stream, where that is so.
    assert_eq!(bench.ask(&mut client, "first", "hi")["content"], FINE);
    let rows = situations::all(kind, streams);
    assert!(rows.len() >= 45, "{} rows", rows.len());
    let complaints: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let complaint = bench.run(&mut client, row).err()?;
            Some(format!("{}: {complaint}", row.name))
        })
        .collect();
    assert!(
        complaints.is_empty(),
        "{kind}, streamed {streams}, {} of {} rows:\n{}\n{}",
        complaints.len(),
        rows.len(),
        complaints.join("\n"),
        bench.gateway.log()
    );
    check_all(&bench.model.received());
}

#[test]
fn chat_completions_streamed() {
    check("openai", true);
}

#[test]
fn chat_completions_plain() {
    check("openai", false);
}

#[test]
fn messages_streamed() {
    check("anthropic", true);
}

#[test]
fn messages_plain() {
    check("anthropic", false);
}
