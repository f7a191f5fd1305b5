//! Request bodies: whole bodies compared, so that every key is looked at.

use serde_json::json;

use super::super::super::quirks::LearnedQuirks;
use super::super::super::{ModelSpec, ToolSpec};
use super::*;
use crate::chat::{MediaType, Native, ToolResult};

const NAME: &str = "scripted";

fn model(id: &str) -> ModelSpec {
    ModelSpec {
        model_id: id.to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    }
}

/// Writes a body with the limit that holds when a call begins.
fn encode(request: &Request<'_>, quirks: &Quirks, provider: &str, stream: bool) -> Vec<u8> {
    let limit = limit(request.model, quirks, Room::default());
    super::encode(request, quirks, provider, stream, limit)
}

fn body(request: &Request<'_>, quirks: &Quirks, stream: bool) -> Value {
    serde_json::from_slice(&encode(request, quirks, NAME, stream)).unwrap()
}

/// The lines of `messages` for a model without quirks.
fn lines(messages: &[Message]) -> Value {
    lines_with(messages, &Quirks::default(), "m-2")
}

fn lines_with(messages: &[Message], quirks: &Quirks, model_id: &str) -> Value {
    let request = Request {
        model: &model(model_id),
        system: "",
        tools: &[],
        messages,
    };
    body(&request, quirks, false)["messages"].clone()
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

fn result(call_id: &str, content: &str) -> Message {
    Message::results([ToolResult {
        call_id: call_id.to_owned(),
        content: content.to_owned(),
        is_error: false,
        images: Vec::new(),
    }])
}

#[test]
fn a_small_body_holds_nothing_unasked() {
    let messages = [Message::text(Role::User, "hi")];
    let request = Request {
        model: &model("m"),
        system: "Be kind.",
        tools: &[],
        messages: &messages,
    };
    let text = String::from_utf8(encode(&request, &Quirks::default(), NAME, true)).unwrap();
    assert_eq!(
        text,
        r#"{"model":"m","messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#
    );
    let plain = body(&request, &Quirks::default(), false);
    assert_eq!(plain["stream"], false);
    assert!(plain.get("stream_options").is_none());
}

#[test]
fn tools_keep_their_order_and_that_of_their_keys() {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: "d".to_owned(),
        parameters: json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    };
    let messages = [Message::text(Role::User, "hi")];
    let request = Request {
        model: &model("m"),
        system: "",
        tools: &[tool("zeta"), tool("alpha")],
        messages: &messages,
    };
    let first = encode(&request, &Quirks::default(), NAME, true);
    let text = String::from_utf8(first.clone()).unwrap();
    assert!(text.contains(
        r#""tools":[{"type":"function","function":{"name":"zeta","description":"d","parameters":{"type":"object","properties":{"z":{},"a":{}}}}},{"type":"function","function":{"name":"alpha""#
    ));
    assert!(!text.contains("tool_choice"));
    assert_eq!(encode(&request, &Quirks::default(), NAME, true), first);
}

#[test]
fn fields_follow_the_quirks() {
    let messages = [Message::text(Role::User, "hi")];
    let tools = [ToolSpec {
        name: "f".to_owned(),
        description: "d".to_owned(),
        parameters: json!({}),
    }];
    let rows = [
        (
            "http://local/v1",
            "m",
            json!({"max_tokens": 100, "temperature": 0.7}),
        ),
        (
            "https://api.openai.com/v1",
            "gpt-4o",
            json!({"max_tokens": 100, "temperature": 0.7}),
        ),
        (
            "https://api.openai.com/v1",
            "gpt-5.4",
            json!({"max_completion_tokens": 100}),
        ),
        (
            "https://api.openai.com/v1",
            "gpt-6",
            json!({"max_completion_tokens": 100, "reasoning_effort": "none"}),
        ),
        (
            "https://api.moonshot.cn/v1",
            "kimi-k3",
            json!({"max_completion_tokens": 100}),
        ),
    ];
    for (base_url, id, expected) in rows {
        let spec = ModelSpec {
            temperature: Some(0.7),
            max_tokens: Some(100),
            ..model(id)
        };
        let request = Request {
            model: &spec,
            system: "",
            tools: &tools,
            messages: &messages,
        };
        let quirks = LearnedQuirks::new().of(base_url, id);
        let Value::Object(mut sent) = body(&request, &quirks, false) else {
            panic!("a body is an object");
        };
        for known in ["model", "messages", "tools", "stream"] {
            sent.shift_remove(known).unwrap();
        }
        assert_eq!(Value::Object(sent), expected, "{base_url} {id}");
        let without_tools = Request {
            tools: &[],
            ..request
        };
        let sent = body(&without_tools, &quirks, false);
        assert!(sent.get("tools").is_none() && sent.get("reasoning_effort").is_none());
    }
}

#[test]
fn user_texts_and_context_become_one_string() {
    let message = Message {
        role: Role::User,
        parts: vec![
            Part::Context("It is Monday.".to_owned()),
            Part::Text("hi".to_owned()),
            Part::Text(" ".to_owned()),
        ],
        native: None,
    };
    assert_eq!(
        lines(&[message, Message::text(Role::User, " \n")]),
        json!([
            {"role": "user", "content": "It is Monday.\n\nhi"},
            {"role": "user", "content": "(no text)"}
        ])
    );
}

fn picture(media_type: MediaType, data: &[u8]) -> Part {
    Part::Image(Image {
        digest: "d".to_owned(),
        media_type,
        width: 8,
        height: 6,
        name: "图.png".to_owned(),
        data: data.into(),
    })
}

#[test]
fn images_stand_between_the_texts() {
    let text = |text: &str| Part::Text(text.to_owned());
    let says = |parts: Vec<Part>| Message {
        role: Role::User,
        parts,
        native: None,
    };
    let url = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let words = |text: &str| json!({"type": "text", "text": text});
    let sent = lines(&[
        says(vec![
            Part::Context("now".to_owned()),
            text("a"),
            picture(MediaType::Png, &[1, 2, 3, 4]),
            picture(MediaType::Jpeg, &[0xFF, 0xEF, 0xBE]),
            text(" "),
            text("b"),
        ]),
        says(vec![picture(MediaType::Webp, &[0; 100])]),
    ]);
    let zeros = format!("data:image/webp;base64,{}A==", "A".repeat(133));
    assert_eq!(
        sent,
        json!([
            {"role": "user", "content": [
                words("now\n\na"),
                url("data:image/png;base64,AQIDBA=="),
                url("data:image/jpeg;base64,/+++"),
                words("b"),
            ]},
            {"role": "user", "content": [url(&zeros)]},
        ])
    );
}

#[test]
fn calls_and_results_are_replayed_legally() {
    let messages = [
        Message::text(Role::User, "hi"),
        assistant(
            "",
            &[
                ("a", "functions.bash:0", r#"{"x": 1}"#),
                ("b", "", "{oops"),
                ("c", "f", "[1]"),
                ("d", "f", ""),
            ],
        ),
        Message::results(["a", "b", "c", "d"].map(|id| ToolResult {
            call_id: id.to_owned(),
            content: if id == "a" { "ok" } else { " " }.to_owned(),
            is_error: false,
            images: Vec::new(),
        })),
        assistant("done", &[]),
        assistant("", &[]),
        assistant("look", &[("e", "f", "{}")]),
        result("e", "42"),
    ];
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(
        lines(&messages),
        json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [
                call("a", "functions_bash_0", r#"{"x": 1}"#),
                call("b", "unknown", "{}"),
                call("c", "f", "{}"),
                call("d", "f", "{}"),
            ]},
            {"role": "tool", "content": "ok", "tool_call_id": "a"},
            {"role": "tool", "content": "(no output)", "tool_call_id": "b"},
            {"role": "tool", "content": "(no output)", "tool_call_id": "c"},
            {"role": "tool", "content": "(no output)", "tool_call_id": "d"},
            {"role": "assistant", "content": "done"},
            {"role": "assistant", "content": "(no text)"},
            {"role": "assistant", "content": "look", "tool_calls": [call("e", "f", "{}")]},
            {"role": "tool", "content": "42", "tool_call_id": "e"},
        ])
    );
}

fn with_native(mut message: Message, provider: &str, model: &str, data: &str) -> Message {
    message.native = Some(Native {
        provider: provider.to_owned(),
        model: model.to_owned(),
        data: data.to_owned(),
    });
    message
}

#[test]
fn reasoning_goes_back_only_where_it_came_from() {
    let data = r#"{"reasoning_content":"hm","reasoning":"h","reasoning_details":[{"text":"h","index":0}],"extra_content":{"a":{"google":1}}}"#;
    let calling = || assistant("", &[("a", "f", "{}")]);
    let quirks = |echo| Quirks {
        echo,
        ..Quirks::default()
    };
    let line = |message: Message, echo, model_id: &str| {
        let line = lines_with(&[message], &quirks(echo), model_id)[0].clone();
        let fields = ["reasoning_content", "reasoning", "reasoning_details"];
        fields.map(|field| line.get(field).cloned())
    };
    let ours = || with_native(calling(), NAME, "m-1", data);
    let all = [
        Some(json!("hm")),
        Some(json!("h")),
        Some(json!([{"text": "h", "index": 0}])),
    ];
    let none = [None, None, None];
    let empty = [Some(json!("")), None, None];
    assert_eq!(line(ours(), Echo::WithCalls, "m-2"), all);
    assert_eq!(line(ours(), Echo::Required, "m-2"), all);
    assert_eq!(line(ours(), Echo::Never, "m-2"), none);
    assert_eq!(line(ours(), Echo::WithCalls, "other-2"), none);
    assert_eq!(line(ours(), Echo::Required, "other-2"), empty);
    let foreign = || with_native(calling(), "elsewhere", "m-1", data);
    assert_eq!(line(foreign(), Echo::WithCalls, "m-2"), none);
    assert_eq!(line(foreign(), Echo::Required, "m-2"), empty);
    let talking = with_native(assistant("hi", &[]), NAME, "m-1", data);
    assert_eq!(line(talking, Echo::Required, "m-2"), none);
    for odd in ["", "7", "{", r#"{"reasoning_content":null}"#] {
        let message = with_native(calling(), NAME, "m-1", odd);
        assert_eq!(line(message.clone(), Echo::WithCalls, "m-1"), none, "{odd}");
        assert_eq!(line(message, Echo::Required, "m-1"), empty, "{odd}");
    }
    let sent = lines_with(&[ours()], &Quirks::default(), "m-2");
    assert_eq!(
        sent[0]["tool_calls"][0]["extra_content"],
        json!({"google": 1})
    );
}

#[test]
fn received_reasoning_is_sent_back_byte_by_byte() {
    let data = r#"{"reasoning_content":"a\u0020b\/c","reasoning_details":[ {"b":1,  "a":1.0} ]}"#;
    let message = with_native(assistant("", &[("a", "f", "{}")]), NAME, "m-1", data);
    let request = Request {
        model: &model("m-1"),
        system: "",
        tools: &[],
        messages: &[message],
    };
    let sent = String::from_utf8(encode(&request, &Quirks::default(), NAME, true)).unwrap();
    assert!(sent.contains(r#""reasoning_content":"a\u0020b\/c""#));
    assert!(sent.contains(r#""reasoning_details":[ {"b":1,  "a":1.0} ]"#));
}
