//! The official SDKs as judges: of the requests we send, by their types, and of the scripted model, as its clients.
//!
//! Needs the Python environment that `make test` makes (`PICOBOT_TEST_PYTHON`). Without it these checks say loudly that
//! they were left out; with `CI=true` they fail.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::model::{Format, ModelServer};
use crate::support::script::{Answer, Call};

/// Returns the Python with the SDKs, or `None` where there is none and that is allowed.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("PICOBOT_TEST_PYTHON").unwrap_or_default();
    if !python.is_empty() {
        return Some(python);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "PICOBOT_TEST_PYTHON is not set; `make test` sets it"
    );
    // Not `eprintln!`: the test harness would keep that for itself.
    let remark = "LEFT OUT: a check with the official SDKs; `make test` runs it\n";
    let _ = std::io::stderr().write_all(remark.as_bytes());
    None
}

/// Runs a script of `python/`; returns whether it succeeded, and what it printed.
pub(crate) fn run(python: &str, script: &str, arguments: &[&str]) -> (bool, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/python");
    let output = Command::new(python)
        .arg(folder.join(script))
        .args(arguments)
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Judges bodies by the types of the SDK of a format; `None` without the SDK.
fn judge(format: Format, bodies: &[Value]) -> Option<(bool, String)> {
    let python = python()?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bodies.jsonl");
    let lines: String = bodies.iter().map(|body| format!("{body}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let sdk = match format {
        Format::Chat => "openai",
        Format::Messages => "anthropic",
    };
    let arguments = [sdk, file.to_str().unwrap()];
    Some(run(&python, "validate_requests.py", &arguments))
}

/// Panics if the types of a format's SDK refuse one of these bodies.
#[track_caller]
pub(crate) fn assert_valid(format: Format, bodies: &[Value]) {
    if let Some((valid, text)) = judge(format, bodies) {
        assert!(valid, "{text}");
    }
}

fn full_request() -> Value {
    json!({
        "model": "m",
        "max_tokens": 100,
        "temperature": 0.5,
        "stream": true,
        "stream_options": {"include_usage": true},
        "tools": [{
            "type": "function",
            "function": {"name": "t", "description": "d", "parameters": {"type": "object", "properties": {}}},
        }],
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": null,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
    })
}

#[test]
fn the_judge_accepts_good_requests() {
    let small = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    assert_valid(Format::Chat, &[full_request(), small]);
}

#[test]
fn the_judge_refuses_bad_requests() {
    let spoil = |change: fn(&mut Value)| {
        let mut body = full_request();
        change(&mut body);
        body
    };
    let spoiled = [
        spoil(|body| body["surprise"] = json!(1)),
        spoil(|body| body["max_tokens"] = json!("100")),
        spoil(|body| body["messages"][1]["at"] = json!("now")),
        spoil(|body| body["messages"][1]["content"][0]["text"] = json!(1)),
        spoil(|body| body["messages"][2]["tool_calls"][0]["function"]["arguments"] = json!({})),
        spoil(|body| body["messages"][2]["tool_calls"][0]["extra"] = json!(1)),
        spoil(|body| body["messages"][3]["tool_call_id"] = Value::Null),
        spoil(|body| body["tools"][0]["name"] = json!("t")),
        spoil(|body| body["stream_options"]["usage"] = json!(true)),
        spoil(|body| body["messages"] = Value::Null),
    ];
    assert_all_refused(Format::Chat, &spoiled);
}

fn assert_all_refused(format: Format, spoiled: &[Value]) {
    if let Some((valid, text)) = judge(format, spoiled) {
        let all = format!("{n} bodies checked, {n} refused", n = spoiled.len());
        assert!(!valid && text.contains(&all), "{text}");
    }
}

fn full_messages() -> Value {
    let mark = json!({"type": "ephemeral"});
    json!({
        "model": "m",
        "max_tokens": 100,
        "stream": true,
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "tools": [{
            "name": "t", "description": "d", "input_schema": {"type": "object", "properties": {}}, "cache_control": mark,
        }],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "s"},
                    {"type": "redacted_thinking", "data": "e"},
                    {"type": "tool_use", "id": "c", "name": "t", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": "x", "is_error": true},
                    {"type": "text", "text": "and", "cache_control": mark},
                ],
            },
        ],
    })
}

#[test]
fn the_other_judge_accepts_good_requests() {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let small = json!({"model": "m", "max_tokens": 1, "messages": messages, "stream": false});
    assert_valid(Format::Messages, &[full_messages(), small]);
}

#[test]
fn the_other_judge_refuses_bad_requests() {
    let spoil = |change: fn(&mut Value)| {
        let mut body = full_messages();
        change(&mut body);
        body
    };
    let spoiled = [
        spoil(|body| body["surprise"] = json!(1)),
        // The newest version of the API took them out; PicoBot sends one only if it is configured.
        spoil(|body| body["temperature"] = json!(0.5)),
        spoil(|body| body["max_tokens"] = Value::Null),
        spoil(|body| body["max_tokens"] = json!("100")),
        spoil(|body| body["system"][0]["kind"] = json!("x")),
        spoil(|body| body["messages"][0]["at"] = json!("now")),
        spoil(|body| body["messages"][0]["content"][0]["text"] = json!(1)),
        spoil(|body| body["messages"][1]["content"][0]["signature"] = Value::Null),
        spoil(|body| body["messages"][1]["content"][2]["input"] = json!("{}")),
        spoil(|body| body["messages"][1]["content"][2]["extra"] = json!(1)),
        spoil(|body| body["messages"][2]["content"][0]["tool_use_id"] = Value::Null),
        spoil(|body| body["messages"][2]["content"][1]["cache_control"] = json!(true)),
        spoil(|body| body["tools"][0]["parameters"] = json!({})),
        spoil(|body| body["messages"] = Value::Null),
    ];
    assert_all_refused(Format::Messages, &spoiled);
}

/// A service whose answer the text of the last message picks.
fn scripted() -> ModelServer {
    ModelServer::start(|received| {
        let text = received.texts("user").pop().unwrap_or_default();
        match text.parse() {
            Ok(status) => Answer::error(status, "scripted refusal"),
            Err(_) if text == "calls" => Answer::calls([
                Call::new("c1", "calculator", json!({"expression": "2+2"})),
                Call::new("c2", "calculator", json!({"expression": "3×3"})),
            ]),
            Err(_) if text == "thinks" => Answer::text("hello").thinking("hm 好", "sig+/="),
            Err(_) => Answer::text("hello 世界 again"),
        }
    })
}

#[test]
fn the_sdks_understand_the_scripted_model() {
    let Some(python) = python() else { return };
    let server = scripted();
    for (script, base_url) in [
        ("drive_server.py", server.base_url()),
        ("drive_messages.py", server.origin()),
    ] {
        let (understood, text) = run(&python, script, &[&base_url]);
        assert!(understood, "{text}");
    }
}
