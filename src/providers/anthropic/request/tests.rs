//! Request bodies: whole bodies compared, so that every key is looked at.

use proptest::prelude::*;
use serde_json::json;

use super::super::super::quirks::LearnedQuirks;
use super::super::super::{ModelSpec, ToolSpec};
use super::*;
use crate::chat::{MediaType, Native};

const NAME: &str = "scripted";

fn model(id: &str) -> ModelSpec {
    ModelSpec {
        model_id: id.to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    }
}

fn tool(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "d".to_owned(),
        parameters: json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    }
}

fn ask<'a>(request: &'a Request<'a>, quirks: &'a Quirks) -> Ask<'a> {
    Ask {
        request,
        quirks,
        provider: NAME,
        stream: true,
        replay: Replay::Whole,
        room: Room::default(),
        paused: &[],
    }
}

/// Encodes a request to a model without quirks.
fn text_of(request: &Request<'_>) -> String {
    String::from_utf8(encode(&ask(request, &Quirks::default()))).unwrap()
}

fn body(request: &Request<'_>) -> Value {
    serde_json::from_str(&text_of(request)).unwrap()
}

/// The messages of a request, without cache marks.
fn lines(messages: &[Message], tools: &[ToolSpec]) -> Value {
    lines_as(messages, tools, "m-2", Replay::Whole)
}

fn lines_as(messages: &[Message], tools: &[ToolSpec], model_id: &str, replay: Replay) -> Value {
    let request = Request {
        model: &model(model_id),
        system: "",
        tools,
        messages,
    };
    let quirks = Quirks {
        cache_marks: false,
        ..Quirks::default()
    };
    let ask = Ask {
        replay,
        ..ask(&request, &quirks)
    };
    let body: Value = serde_json::from_slice(&encode(&ask)).unwrap();
    body["messages"].clone()
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

fn assistant(text: &str, calls: &[(&str, &str, &str)]) -> Message {
    let mut message = Message::text(Role::Assistant, text);
    for (id, name, arguments) in calls {
        message.parts.push(Part::ToolCall(ToolCall {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        }));
    }
    message
}

fn result(call_id: &str, content: &str, is_error: bool) -> Message {
    Message::results([ToolResult {
        call_id: call_id.to_owned(),
        content: content.to_owned(),
        is_error,
        images: Vec::new(),
    }])
}

fn with_native(mut message: Message, provider: &str, model: &str, data: &str) -> Message {
    message.native = Some(Native {
        provider: provider.to_owned(),
        model: model.to_owned(),
        data: data.to_owned(),
    });
    message
}

fn picture(media_type: MediaType) -> Image {
    Image {
        digest: "d".to_owned(),
        media_type,
        width: 8,
        height: 6,
        name: "图.png".to_owned(),
        data: [1, 2, 3, 4].into(),
    }
}

#[test]
fn images_are_blocks_of_messages_and_results() {
    let mut look = user("look");
    look.parts.insert(0, Part::Image(picture(MediaType::Png)));
    let call = |id: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "file_read".to_owned(),
            arguments: "{}".to_owned(),
        })
    };
    let calls = Message {
        role: Role::Assistant,
        parts: vec![call("a"), call("b")],
        native: None,
    };
    let result = |id: &str, is_error: bool| ToolResult {
        call_id: id.to_owned(),
        content: "seen".to_owned(),
        is_error,
        images: vec![picture(MediaType::Jpeg)],
    };
    let history = [
        look,
        calls,
        Message::results([result("a", false), result("b", true)]),
    ];
    let image = |media_type: &str| {
        let source = json!({"type": "base64", "media_type": media_type, "data": "AQIDBA=="});
        json!({"type": "image", "source": source})
    };
    let seen = json!({"type": "text", "text": "seen"});
    let sent = lines(&history, &[tool("file_read")]);
    assert_eq!(
        sent[0]["content"],
        json!([image("image/png"), {"type": "text", "text": "look"}])
    );
    assert_eq!(
        sent[2]["content"],
        json!([
            {"type": "tool_result", "tool_use_id": "a", "content": [seen, image("image/jpeg")]},
            {"type": "tool_result", "tool_use_id": "b", "content": "seen", "is_error": true},
        ])
    );
    // Without tools the calls are told, and what they showed stands behind.
    let told = lines(&history[..], &[]);
    assert_eq!(told[2]["content"][1], image("image/jpeg"));
}

#[test]
fn a_small_body_holds_nothing_unasked() {
    let request = Request {
        model: &model("m"),
        system: "Be kind.",
        tools: &[],
        messages: &[user("hi")],
    };
    let mark = r#""cache_control":{"type":"ephemeral"}"#;
    assert_eq!(
        text_of(&request),
        format!(
            r#"{{"model":"m","max_tokens":8192,"system":[{{"type":"text","text":"Be kind.",{mark}}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"hi",{mark}}}]}}],"stream":true}}"#
        )
    );
}

#[test]
fn limits_and_temperature() {
    let check = |id: &str, max_tokens, temperature, room, expected: (u64, Value)| {
        let spec = ModelSpec {
            max_tokens,
            temperature,
            ..model(id)
        };
        let request = Request {
            model: &spec,
            system: " ",
            tools: &[],
            messages: &[user("hi")],
        };
        let quirks = LearnedQuirks::new().of("https://api.anthropic.com", id);
        let ask = Ask {
            room: Room::of(room),
            ..ask(&request, &quirks)
        };
        let sent: Value = serde_json::from_slice(&encode(&ask)).unwrap();
        assert!(sent.get("system").is_none());
        let found = (
            sent["max_tokens"].as_u64().unwrap(),
            sent.get("temperature").cloned().unwrap_or(Value::Null),
        );
        assert_eq!(found, expected, "{id}");
    };
    check("claude-sonnet-4-5", None, None, None, (16_384, Value::Null));
    check(
        "claude-sonnet-4-5",
        Some(500),
        Some(0.3),
        None,
        (500, json!(0.3)),
    );
    check(
        "claude-sonnet-4-5",
        Some(0),
        Some(1.5),
        None,
        (1, json!(1.0)),
    );
    check(
        "claude-sonnet-4-5",
        None,
        Some(f64::NAN),
        Some(2_000),
        (2_000, Value::Null),
    );
    check(
        "claude-opus-5-5",
        None,
        Some(0.3),
        None,
        (32_000, Value::Null),
    );
    check(
        "claude-opus-4-8",
        None,
        Some(0.3),
        None,
        (16_384, Value::Null),
    );
    check(
        "glm-5",
        Some(9_000),
        None,
        Some(20_000),
        (9_000, Value::Null),
    );
}

#[test]
fn tools_keep_their_order_and_that_of_their_keys() {
    let request = Request {
        model: &model("m"),
        system: "",
        tools: &[tool("zeta"), tool("alpha")],
        messages: &[user("hi")],
    };
    let text = text_of(&request);
    let schema =
        r#""description":"d","input_schema":{"type":"object","properties":{"z":{},"a":{}}}"#;
    assert!(text.contains(&format!(
        r#""tools":[{{"name":"zeta",{schema}}},{{"name":"alpha",{schema},"cache_control":{{"type":"ephemeral"}}}}]"#
    )));
    assert!(!text.contains("tool_choice"));
    assert_eq!(text_of(&request), text);
}

#[test]
fn results_come_first_and_together() {
    let messages = [
        user("hi"),
        assistant("See:", &[("a", "f", r#"{"x": 1.0}"#), ("b", "f", "{}")]),
        result("a", "1", false),
        result("b", " ", true),
        user("Also this."),
    ];
    assert_eq!(
        lines(&messages, &[tool("f")]),
        json!([
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "See:"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.0}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "content": "(no output)", "is_error": true},
                {"type": "text", "text": "Also this."},
            ]},
        ])
    );
    // Whatever order they come in.
    let odd = [
        user("hi"),
        assistant("", &[("a", "f", "{}")]),
        user("Also this."),
        result("a", "1", false),
    ];
    let sent = lines(&odd, &[tool("f")]);
    assert_eq!(sent[2]["content"][0]["type"], "tool_result");
    assert_eq!(sent[2]["content"][1]["text"], "Also this.");
}

#[test]
fn nothing_blank_is_sent() {
    let mut spoken = user(" \n");
    spoken
        .parts
        .insert(0, Part::Context("It is Monday.".to_owned()));
    spoken.parts.push(Part::Text("hi".to_owned()));
    let messages = [
        spoken,
        assistant("", &[]),
        user("  "),
        assistant(
            "\n",
            &[("a", "f", "{oops"), ("b", "", "[1]"), ("c", "a b", "")],
        ),
        Message::results(["a", "b", "c"].map(|id| ToolResult {
            call_id: id.to_owned(),
            content: String::new(),
            is_error: false,
            images: Vec::new(),
        })),
    ];
    let text = |text: &str| json!({"type": "text", "text": text});
    let call =
        |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let result =
        |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "(no output)"});
    assert_eq!(
        lines(&messages, &[tool("f")]),
        json!([
            {"role": "user", "content": [text("It is Monday."), text("hi")]},
            {"role": "assistant", "content": [text("(no text)")]},
            {"role": "user", "content": [text("(no text)")]},
            {"role": "assistant", "content": [call("a", "f"), call("b", "unknown"), call("c", "a_b")]},
            {"role": "user", "content": [result("a"), result("b"), result("c")]},
        ])
    );
}

#[test]
fn neighbours_of_one_role_are_joined() {
    let messages = [
        user("a"),
        user("b"),
        assistant("c", &[]),
        assistant("d", &[]),
        user("e"),
    ];
    let sent = lines(&messages, &[]);
    let shape: Vec<(&str, usize)> = sent
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let blocks = line["content"].as_array().unwrap();
            (line["role"].as_str().unwrap(), blocks.len())
        })
        .collect();
    assert_eq!(shape, [("user", 2), ("assistant", 2), ("user", 1)]);
}

#[test]
fn odd_ids_are_rewritten_alike_in_calls_and_results() {
    let messages = [
        user("hi"),
        assistant("", &[("functions.f:0", "f", "{}")]),
        result("functions.f:0", "1", false),
    ];
    let sent = lines(&messages, &[tool("f")]);
    let id = sent[1]["content"][0]["id"].as_str().unwrap();
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    );
    assert_eq!(sent[2]["content"][0]["tool_use_id"], id);
}

const NATIVE: &str = r#"{"content":[{"type":"thinking","thinking":"a\u0020b\/c","signature":"s"},{"type":"thinking","thinking":"","signature":"t"},{"type":"redacted_thinking","data":"e"}, {"type":"text",  "text":"See:"},{"type":"tool_use","id":"a","name":"f","input":{"x": 1.0}}]}"#;

fn thoughtful() -> Message {
    let message = assistant("See:", &[("a", "f", r#"{"x": 1.0}"#)]);
    with_native(message, NAME, "m-1", NATIVE)
}

#[test]
fn own_blocks_go_back_byte_by_byte() {
    let messages = [user("hi"), thoughtful(), result("a", "1", false)];
    let request = Request {
        model: &model("m-2"),
        system: "",
        tools: &[tool("f")],
        messages: &messages,
    };
    let text = text_of(&request);
    // Between blocks nothing is written but commas.
    let inner = NATIVE.strip_prefix(r#"{"content":["#).unwrap();
    let inner = inner.strip_suffix("]}").unwrap().replace("}, {", "},{");
    assert!(text.contains(&format!(r#""content":[{inner}]"#)), "{text}");
}

#[test]
fn foreign_or_unfitting_blocks_are_made_from_the_parts() {
    let built = json!([
        {"type": "text", "text": "See:"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.0}},
    ]);
    let check = |message: Message, model_id: &str| {
        let messages = [user("hi"), message, result("a", "1", false)];
        lines_as(&messages, &[tool("f")], model_id, Replay::Whole)[1]["content"].clone()
    };
    assert_eq!(check(thoughtful(), "other-2"), built);
    let calling = || assistant("See:", &[("a", "f", r#"{"x": 1.0}"#)]);
    assert_eq!(
        check(with_native(calling(), "elsewhere", "m-1", NATIVE), "m-2"),
        built
    );
    for odd in [
        "",
        "7",
        "{",
        "[]",
        r#"{"content":7}"#,
        r#"{"content":[7,{"type":"tool_use","id":"a","name":"f","input":{}}]}"#,
        r#"{"content":[]}"#,
        r#"{"content":[{"type":"text","text":"See:"}]}"#,
        r#"{"content":[{"type":"tool_use","id":"b","name":"f","input":{}}]}"#,
        r#"{"reasoning_content":"hm"}"#,
    ] {
        assert_eq!(
            check(with_native(calling(), NAME, "m-1", odd), "m-2"),
            built,
            "{odd}"
        );
    }
    assert_ne!(check(thoughtful(), "m-2"), built);
}

#[test]
fn thinking_can_be_left_out() {
    let messages = [user("hi"), thoughtful(), result("a", "1", false)];
    let sent = lines_as(&messages, &[tool("f")], "m-2", Replay::WithoutThinking);
    let kinds: Vec<&str> = sent[1]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "tool_use"]);
    let data = r#"{"content":[{"type":"thinking","thinking":"","signature":"t"}]}"#;
    let only_thinking = with_native(assistant("", &[]), NAME, "m-1", data);
    let sent = lines_as(
        &[user("hi"), only_thinking, user("go on")],
        &[],
        "m-2",
        Replay::WithoutThinking,
    );
    assert_eq!(
        sent[1]["content"],
        json!([{"type": "text", "text": "(no text)"}])
    );
}

#[test]
fn without_tools_calls_are_told() {
    let mut messages = vec![user("hi"), thoughtful(), result("a", "1", false)];
    messages.push(assistant("", &[("b", "g", "{}")]));
    messages.extend([result("b", "no", true), user("Answer now.")]);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        lines(&messages, &[]),
        json!([
            {"role": "user", "content": [text("hi")]},
            {"role": "assistant", "content": [text("See:"), text("[Called f with {\"x\": 1.0}]")]},
            {"role": "user", "content": [text("[Result of f]\n1")]},
            {"role": "assistant", "content": [text("[Called g with {}]")]},
            {"role": "user", "content": [text("[Error of g]\nno"), text("Answer now.")]},
        ])
    );
}

#[test]
fn cache_marks_stand_at_the_ends_of_what_stays() {
    let places = |messages: &[Message]| {
        let request = Request {
            model: &model("m"),
            system: "s",
            tools: &[tool("f"), tool("g")],
            messages,
        };
        let body = body(&request);
        let is_marked = |block: &Value| block.get("cache_control").is_some();
        let tools = body["tools"].as_array().unwrap();
        assert_eq!(
            tools.iter().map(is_marked).collect::<Vec<_>>(),
            [false, true]
        );
        assert!(is_marked(&body["system"][0]));
        let mut found = Vec::new();
        for (n, line) in body["messages"].as_array().unwrap().iter().enumerate() {
            let blocks = line["content"].as_array().unwrap();
            for (m, block) in blocks.iter().enumerate() {
                if is_marked(block) {
                    assert_eq!(line["role"], "user");
                    assert_eq!(m, blocks.len() - 1, "the last block");
                    found.push(n);
                }
            }
        }
        found
    };
    let mut messages = vec![user("a")];
    assert_eq!(places(&messages), [0]);
    messages.extend([thoughtful(), result("a", "1", false)]);
    assert_eq!(places(&messages), [0, 2]);
    messages.extend([assistant("b", &[]), user("c")]);
    assert_eq!(places(&messages), [2, 4], "they move with the dialog");
}

fn any_message() -> impl Strategy<Value = Message> {
    let text = prop_oneof![Just(""), Just(" "), Just("hi"), Just("好")];
    let part = prop_oneof![
        text.clone().prop_map(|text| Part::Text(text.to_owned())),
        text.prop_map(|text| Part::Context(text.to_owned())),
        Just(Part::Note("stopped".to_owned())),
    ];
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant)];
    (role, proptest::collection::vec(part, 0..3)).prop_map(|(role, parts)| Message {
        role,
        parts,
        native: None,
    })
}

proptest! {
    #[test]
    fn roles_alternate_and_nothing_is_blank(messages in proptest::collection::vec(any_message(), 1..12)) {
        let sent = lines(&messages, &[]);
        let mut before = "";
        for line in sent.as_array().unwrap() {
            let role = line["role"].as_str().unwrap();
            prop_assert_ne!(role, before);
            before = role;
            let blocks = line["content"].as_array().unwrap();
            prop_assert!(!blocks.is_empty());
            for block in blocks {
                prop_assert!(!block["text"].as_str().unwrap().trim().is_empty());
            }
        }
    }
}
