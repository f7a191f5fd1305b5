//! Refusals that change the next request, for the model or for the call alone.

use super::*;
use crate::chat::{Native, ToolCall, ToolResult};

fn refusal(message: &str) -> Vec<Step> {
    KIT.error(400, message)
}

#[test]
fn refusals_that_name_a_parameter_teach_at_once() {
    let model = ModelSpec {
        temperature: Some(1.7),
        max_tokens: Some(100_000),
        ..model()
    };
    let server = Server::start(vec![
        refusal("`temperature` is deprecated for this model"),
        refusal(
            "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for m-1",
        ),
        refusal("system.0.text.cache_control: Extra inputs are not permitted"),
        KIT.fine(true),
        KIT.fine(true),
    ]);
    let provider = adapter(KIT.settings(&server));
    let messages = [Message::text(Role::User, "hi")];
    let cancel = CancelToken::new();
    let outcome = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(outcome.line(), "complete \"fine\" [] x4");
    let again = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(again.line(), "complete \"fine\" [] x1");
    let bodies: Vec<Value> = server.received().iter().map(|r| r.json()).collect();
    assert_eq!(
        (&bodies[0]["temperature"], &bodies[0]["max_tokens"]),
        (&json!(1.0), &json!(100_000))
    );
    assert!(bodies[0].to_string().contains("cache_control"));
    for body in &bodies[3..] {
        assert!(body.get("temperature").is_none());
        assert_eq!(body["max_tokens"], 64_000);
        assert!(!body.to_string().contains("cache_control"));
    }
}

#[test]
fn a_prompt_that_leaves_little_room_gets_a_shorter_answer() {
    let full = "input length and `max_tokens` exceed context limit: 195000 + 8192 > 200000, decrease input length or `max_tokens` and try again";
    let server = Server::start(vec![
        refusal(full),
        KIT.fine(true),
        KIT.fine(true),
        refusal(full),
        refusal(full),
    ]);
    let provider = adapter(KIT.settings(&server));
    let cancel = CancelToken::new();
    assert_eq!(ask(&provider, &cancel).line(), "complete \"fine\" [] x2");
    assert_eq!(ask(&provider, &cancel).line(), "complete \"fine\" [] x1");
    assert_eq!(ask(&provider, &cancel).line(), "error context_too_long");
    let asked: Vec<Value> = server
        .received()
        .iter()
        .map(|r| r.json()["max_tokens"].clone())
        .collect();
    assert_eq!(
        asked,
        [8192, 5000, 8192, 8192, 5000],
        "it holds for its call alone"
    );
}

/// A history whose assistant message thought, and went on after a tool.
fn thoughtful() -> [Message; 3] {
    let data = r#"{"content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"e"},{"type":"text","text":"See:"},{"type":"tool_use","id":"a","name":"calculator","input":{}}]}"#;
    [
        Message::text(Role::User, "hi"),
        Message {
            role: Role::Assistant,
            parts: vec![
                Part::Text("See:".to_owned()),
                Part::ToolCall(ToolCall {
                    id: "a".to_owned(),
                    name: "calculator".to_owned(),
                    arguments: "{}".to_owned(),
                }),
            ],
            native: Some(Native {
                provider: "scripted".to_owned(),
                model: "m-1".to_owned(),
                data: data.to_owned(),
            }),
        },
        Message::results([ToolResult {
            call_id: "a".to_owned(),
            content: "4".to_owned(),
            is_error: false,
            images: Vec::new(),
        }]),
    ]
}

#[test]
fn a_refused_block_of_its_own_does_not_end_the_dialog() {
    let message = "messages.1.content.0: Input tag 'dance' found using 'type' does not match any of the expected tags: 'text', 'tool_use'";
    let server = Server::start(vec![refusal(message), KIT.fine(true)]);
    let provider = adapter(KIT.settings(&server));
    let mut history = thoughtful();
    history[1].native.as_mut().unwrap().data = r#"{"content":[{"type":"dance","steps":3},{"type":"tool_use","id":"a","name":"calculator","input":{}}]}"#.to_owned();
    let outcome = ask_with(&provider, &model(), &history, &CancelToken::new());
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    let kinds = |n: usize| {
        let body = server.received()[n].json();
        let blocks = body["messages"][1]["content"].as_array().unwrap().clone();
        let kind = |block: Value| block["type"].as_str().unwrap().to_owned();
        blocks.into_iter().map(kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(0), ["dance", "tool_use"]);
    assert_eq!(kinds(1), ["text", "tool_use"]);
}

#[test]
fn refused_thinking_is_left_out_for_the_call() {
    for message in [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.1.content.0: The block is bound to a different conversation",
    ] {
        let server = Server::start(vec![refusal(message), KIT.fine(true), KIT.fine(true)]);
        let provider = adapter(KIT.settings(&server));
        let cancel = CancelToken::new();
        let outcome = ask_with(&provider, &model(), &thoughtful(), &cancel);
        assert_eq!(outcome.line(), "complete \"fine\" [] x2");
        ask_with(&provider, &model(), &thoughtful(), &cancel);
        let kinds = |n: usize| -> Vec<String> {
            let body = server.received()[n].json();
            let blocks = body["messages"][1]["content"].as_array().unwrap().clone();
            blocks
                .iter()
                .map(|block| block["type"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            kinds(0),
            ["thinking", "redacted_thinking", "text", "tool_use"]
        );
        assert_eq!(kinds(1), ["text", "tool_use"]);
        assert_eq!(kinds(2), kinds(0), "the next call tries again");
    }
    let stubborn = refusal("Invalid `signature` in `thinking` block");
    let server = Server::start(vec![stubborn; 9]);
    let provider = adapter(KIT.settings(&server));
    let outcome = ask_with(&provider, &model(), &thoughtful(), &CancelToken::new());
    assert_eq!(outcome.line(), "error bad_request");
    assert_eq!(server.received().len(), 2, "it is tried once");
}
