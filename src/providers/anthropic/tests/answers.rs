//! Good answers and odd ones, streamed and plain: what the reply must be.

use std::slice;

use super::*;
use crate::chat::Usage;

fn check(name: &str, script: Vec<Step>, expected: &str) -> Outcome {
    let (outcome, _) = KIT.situation(true, vec![script]);
    assert_eq!(outcome.line(), expected, "{name}");
    outcome
}

fn raw_stream(all: &[Value]) -> Vec<Step> {
    chunked(&events(all), 4096)
}

#[test]
fn streams() {
    let s = |blocks: &[(Value, Vec<Value>)], reason: &str| stream(blocks, reason);
    let (hello, think) = (text_block("hello"), thinking_block("hm", "sig"));
    let call = |id: &str, json_text: &str| call_block(id, "f", json_text);
    let redacted = (json!({"type": "redacted_thinking", "data": "e"}), vec![]);
    let whole_input = json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}});
    let rows: Vec<(&str, Vec<Step>, &str)> = vec![
        (
            "text",
            s(slice::from_ref(&hello), "end_turn"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "two texts",
            s(&[hello.clone(), hello.clone()], "end_turn"),
            r#"complete "hellohello" [] x1"#,
        ),
        (
            "stop sequence",
            s(slice::from_ref(&hello), "stop_sequence"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "unknown reason",
            s(slice::from_ref(&hello), "tired"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "output limit",
            s(slice::from_ref(&hello), "max_tokens"),
            r#"length "hello" [] x1"#,
        ),
        (
            "window",
            s(slice::from_ref(&hello), "model_context_window_exceeded"),
            r#"length "hello" [] x1"#,
        ),
        (
            "thinking first",
            s(&[think.clone(), hello.clone()], "end_turn"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "only thinking",
            s(slice::from_ref(&think), "end_turn"),
            r#"complete "" [] x1"#,
        ),
        ("nothing", s(&[], "end_turn"), r#"complete "" [] x1"#),
        (
            "redacted thinking",
            s(&[redacted, hello.clone()], "end_turn"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "a call",
            s(&[hello.clone(), call("a", r#"{"x":1}"#)], "tool_use"),
            r#"tool_calls "hello" [f {"x":1}] x1"#,
        ),
        (
            "a call with end_turn",
            s(&[call("a", "{}")], "end_turn"),
            r#"tool_calls "" [f {}] x1"#,
        ),
        (
            "tool_use without calls",
            s(slice::from_ref(&hello), "tool_use"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "parallel calls",
            s(&[call("a", "{}"), call("b", r#"{"y":2}"#)], "tool_use"),
            r#"tool_calls "" [f {}, f {"y":2}] x1"#,
        ),
        (
            "a call without input",
            s(&[call("a", "")], "tool_use"),
            r#"tool_calls "" [f {}] x1"#,
        ),
        (
            "input in the start",
            s(&[(whole_input.clone(), vec![])], "tool_use"),
            r#"tool_calls "" [f {"x":1}] x1"#,
        ),
        (
            "input in the start and in pieces",
            s(&[(whole_input, vec![input(0, r#"{"x":2}"#)])], "tool_use"),
            r#"tool_calls "" [f {"x":2}] x1"#,
        ),
        (
            "input that is no object",
            s(&[call("a", "[1]")], "tool_use"),
            r#"tool_calls "" [f [1]] x1"#,
        ),
        (
            "broken input",
            s(&[call("a", "{oops")], "tool_use"),
            r#"tool_calls "" [f {oops] x1"#,
        ),
        (
            "half a call at the limit",
            s(&[hello.clone(), call("a", r#"{"x"#)], "max_tokens"),
            r#"tool_calls "hello" [f [cut off at the model's output limit]] x1"#,
        ),
        (
            "a call at the limit that looks whole",
            s(&[call("a", "{}"), call("b", "{}")], "max_tokens"),
            r#"tool_calls "" [f {}, f [cut off at the model's output limit]] x1"#,
        ),
        (
            "an empty call at the limit",
            s(&[call("a", "")], "max_tokens"),
            r#"tool_calls "" [f [cut off at the model's output limit]] x1"#,
        ),
        (
            "a server tool",
            s(
                &[
                    (
                        json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
                        vec![input(0, "{}")],
                    ),
                    hello,
                ],
                "end_turn",
            ),
            r#"complete "hello" [] x1"#,
        ),
    ];
    for (name, script, expected) in rows {
        check(name, script, expected);
    }
}

#[test]
fn odd_streams() {
    let done = json!({"type": "message_stop"});
    let text_start = || begin(0, json!({"type": "text", "text": ""}));
    let rows: Vec<(&str, Vec<Value>, &str)> = vec![
        (
            "pings and unknown events and deltas",
            vec![
                json!({"type": "ping"}),
                start(),
                json!({"type": "news", "x": [1]}),
                text_start(),
                json!({"type": "ping"}),
                delta(0, json!({"type": "sparkle_delta", "sparkle": 1})),
                delta(0, json!({"type": "citations_delta", "citation": {}})),
                text(0, "a"),
                end(0),
                stop("end_turn"),
                done.clone(),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "no message_start",
            vec![text_start(), text(0, "a"), stop("end_turn"), done.clone()],
            r#"complete "a" [] x1"#,
        ),
        (
            "no block starts",
            vec![
                start(),
                text(0, "a"),
                text(0, "b"),
                stop("end_turn"),
                done.clone(),
            ],
            r#"complete "ab" [] x1"#,
        ),
        (
            "text in the start",
            vec![
                start(),
                begin(0, json!({"type": "text", "text": "a"})),
                text(0, "b"),
                stop("end_turn"),
                done.clone(),
            ],
            r#"complete "ab" [] x1"#,
        ),
        (
            "all blocks numbered 0",
            vec![
                start(),
                text_start(),
                text(0, "a"),
                begin(
                    0,
                    json!({"type": "tool_use", "id": "c", "name": "f", "input": {}}),
                ),
                input(0, "{}"),
                begin(
                    0,
                    json!({"type": "tool_use", "id": "d", "name": "g", "input": {}}),
                ),
                input(0, "{}"),
                stop("tool_use"),
                done.clone(),
            ],
            r#"tool_calls "a" [f {}, g {}] x1"#,
        ),
        (
            "interleaved blocks",
            vec![
                start(),
                begin(
                    0,
                    json!({"type": "tool_use", "id": "c", "name": "f", "input": {}}),
                ),
                begin(
                    1,
                    json!({"type": "tool_use", "id": "d", "name": "g", "input": {}}),
                ),
                input(1, "{\"y\""),
                input(0, "{}"),
                input(1, ":1}"),
                stop("tool_use"),
                done.clone(),
            ],
            r#"tool_calls "" [f {}, g {"y":1}] x1"#,
        ),
        (
            "a call without id and name",
            vec![
                start(),
                begin(0, json!({"type": "tool_use"})),
                input(0, "{}"),
                stop("tool_use"),
                done.clone(),
            ],
            r#"tool_calls "" [unknown {}] x1"#,
        ),
        (
            "end mark but no reason",
            vec![start(), text(0, "a"), done.clone()],
            r#"complete "a" [] x1"#,
        ),
        (
            "odd types",
            vec![
                start(),
                json!({"type": "content_block_start", "index": "x", "content_block": 7}),
                json!({"type": "content_block_delta", "index": 0, "delta": []}),
                json!({"type": "message_delta", "delta": null, "usage": 3}),
                text(0, "a"),
                stop("end_turn"),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "busy after text",
            vec![
                start(),
                text(0, "half"),
                error_body("overloaded_error", "Overloaded"),
            ],
            r#"truncated "half" [] x1"#,
        ),
        (
            "nothing behind the end mark counts",
            vec![
                start(),
                text(0, "a"),
                stop("end_turn"),
                done.clone(),
                text(0, "b"),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "a whole message in a stream",
            vec![plain(&json!([{"type": "text", "text": "a"}]), "end_turn")],
            r#"complete "a" [] x1"#,
        ),
    ];
    for (name, all, expected) in rows {
        check(name, raw_stream(&all), expected);
    }
}

#[test]
fn errors_in_streams() {
    let rows = [
        ("overloaded_error", "Overloaded", "error overloaded", 4),
        ("api_error", "Internal server error", "error overloaded", 4),
        ("rate_limit_error", "slow down", "error rate_limited", 4),
        ("invalid_request_error", "no", "error bad_request", 1),
        (
            "invalid_request_error",
            "prompt is too long: 9 > 8",
            "error context_too_long",
            1,
        ),
        ("request_too_large", "too big", "error context_too_long", 1),
        ("authentication_error", "invalid x-api-key", "error auth", 1),
        ("billing_error", "pay", "error auth", 1),
        ("permission_error", "no", "error auth", 1),
        ("not_found_error", "model: x", "error not_found", 1),
    ];
    for (kind, message, expected, requests) in rows {
        let script = raw_stream(&[start(), error_body(kind, message)]);
        let (outcome, server) = KIT.situation(true, vec![script; requests]);
        assert_eq!(outcome.line(), expected, "{kind}");
        assert_eq!(server.received().len(), requests + 1, "{kind}");
    }
}

#[test]
fn plain_responses() {
    let call =
        |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    let text = json!({"type": "text", "text": "a"});
    let rows: Vec<(&str, Value, &str)> = vec![
        (
            "text",
            plain(&json!([text]), "end_turn"),
            r#"complete "a" [] x1"#,
        ),
        (
            "a call",
            plain(&json!([text, call("a", json!({"x": 1}))]), "tool_use"),
            r#"tool_calls "a" [f {"x":1}] x1"#,
        ),
        (
            "equal ids",
            plain(
                &json!([call("a", json!({})), call("a", json!({"x": 1}))]),
                "end_turn",
            ),
            r#"tool_calls "" [f {}, f {"x":1}] x1"#,
        ),
        (
            "input as text",
            plain(&json!([call("a", json!("{\"x\":1}"))]), "tool_use"),
            r#"tool_calls "" [f {"x":1}] x1"#,
        ),
        (
            "input null",
            plain(&json!([call("a", Value::Null)]), "tool_use"),
            r#"tool_calls "" [f {}] x1"#,
        ),
        (
            "input a list",
            plain(&json!([call("a", json!([1]))]), "tool_use"),
            r#"tool_calls "" [f [1]] x1"#,
        ),
        (
            "limit",
            plain(&json!([text]), "max_tokens"),
            r#"length "a" [] x1"#,
        ),
        (
            "a call at the limit",
            plain(&json!([text, call("a", json!({}))]), "max_tokens"),
            r#"tool_calls "a" [f [cut off at the model's output limit]] x1"#,
        ),
        (
            "empty content",
            plain(&json!([]), "end_turn"),
            r#"complete "" [] x1"#,
        ),
        (
            "content null",
            plain(&Value::Null, "end_turn"),
            r#"complete "" [] x1"#,
        ),
        (
            "odd blocks",
            plain(&json!([7, null, {"type": "x"}, {}, text]), "end_turn"),
            r#"complete "a" [] x1"#,
        ),
        (
            "only content",
            json!({"content": [text]}),
            r#"complete "a" [] x1"#,
        ),
        (
            "chat completions",
            json!({"choices": [{"message": {"content": "a"}}]}),
            "error undecodable",
        ),
    ];
    for (name, body, expected) in rows {
        let (outcome, _) = KIT.situation(false, vec![testing::json(200, &body.to_string())]);
        assert_eq!(outcome.line(), expected, "{name}");
    }
}

#[test]
fn refused_answers_are_told() {
    let mut refusal = stop("refusal");
    refusal["delta"]["stop_details"] = json!({"type": "refusal", "category": "cyber"});
    let all = [
        start(),
        begin(0, json!({"type": "text", "text": ""})),
        text(0, "Well,"),
        refusal,
    ];
    let outcome = check("refusal", raw_stream(&all), r#"refused "Well," [] x1"#);
    assert_eq!(outcome.shown, "Well,");
    let message = outcome.result.unwrap().message;
    assert_eq!(
        message.shown_text(),
        "Well,\n\nThe service names a category: cyber."
    );
    assert_eq!(message.native, None);
    let mut explained = stop("refusal");
    explained["delta"]["stop_details"] =
        json!({"type": "refusal", "category": "bio", "explanation": "Not here."});
    let outcome = check(
        "explained",
        raw_stream(&[start(), explained]),
        r#"refused "" [] x1"#,
    );
    assert_eq!(outcome.result.unwrap().message.shown_text(), "Not here.");
    let script = stream(&[call_block("a", "f", "{}")], "refusal");
    check("a call is not run", script, r#"refused "" [] x1"#);
    let outcome = check("empty", stream(&[], "refusal"), r#"refused "" [] x1"#);
    assert!(outcome.result.unwrap().message.parts.is_empty());
}

#[test]
fn usage_is_summed_and_reported() {
    let mut first = start();
    first["message"]["usage"] = json!({"input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 1});
    let mut last = stop("end_turn");
    last["usage"] = json!({"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}});
    let outcome = check(
        "usage",
        raw_stream(&[first, text(0, "a"), last]),
        r#"complete "a" [] x1"#,
    );
    let reply = outcome.result.unwrap();
    assert!(reply.first_token.is_some());
    let expected = Usage {
        input: Some(325),
        output: Some(9),
        cached: Some(300),
        reasoning: Some(4),
    };
    assert_eq!(reply.usage, expected);
    let body = plain(&json!([{"type": "text", "text": "a"}]), "end_turn").to_string();
    let (outcome, _) = KIT.situation(false, vec![testing::json(200, &body)]);
    let usage = outcome.result.unwrap().usage;
    assert_eq!(
        (usage.input, usage.output, usage.cached),
        (Some(7), Some(2), None)
    );
}

#[test]
fn what_the_parts_cannot_say_is_kept() {
    let redacted = (json!({"type": "redacted_thinking", "data": "e+/="}), vec![]);
    let silent = (
        json!({"type": "thinking", "thinking": "", "signature": ""}),
        vec![signature(0, "s1")],
    );
    let blocks = [
        thinking_block("let me \"see\"\n", "s0"),
        redacted,
        text_block("Hm."),
        silent,
        text_block(" "),
        call_block(
            "toolu_1",
            "f",
            r#"{"n": 12345678901234567890123, "f": 1.0}"#,
        ),
    ];
    let outcome = check(
        "all kinds",
        stream(&blocks, "tool_use"),
        r#"tool_calls "Hm." [f {"n": 12345678901234567890123, "f": 1.0}] x1"#,
    );
    assert_eq!(outcome.reasoning, "let me \"see\"\n");
    let reply = outcome.result.unwrap();
    assert_eq!(
        reply.message.native.unwrap().data,
        concat!(
            r#"{"content":[{"type":"thinking","thinking":"let me \"see\"\n","signature":"s0"},"#,
            r#"{"type":"redacted_thinking","data":"e+/="},{"type":"text","text":"Hm."},"#,
            r#"{"type":"thinking","thinking":"","signature":"s1"},"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{"n": 12345678901234567890123, "f": 1.0}}]}"#
        )
    );
    // Parts say the same: nothing is kept twice.
    let plain_blocks = [text_block("a"), call_block("c", "f", "{}")];
    let outcome = check(
        "plain blocks",
        stream(&plain_blocks, "tool_use"),
        r#"tool_calls "a" [f {}] x1"#,
    );
    assert_eq!(outcome.result.unwrap().message.native, None);
}

#[test]
fn thinking_stays_escaped_as_it_came() {
    // A character outside the basic plane, cut into its two halves.
    let piece = |half: &str| {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"thinking_delta\",\"thinking\":\"{half}\"}}}}\n\n"
        )
    };
    let body = |halves: &[&str]| {
        let mut body = events(&[
            start(),
            begin(0, json!({"type": "thinking", "thinking": ""})),
        ]);
        halves
            .iter()
            .for_each(|half| body.extend(piece(half).into_bytes()));
        body.extend(events(&[
            signature(0, "s"),
            text(1, "a"),
            stop("end_turn"),
            json!({"type": "message_stop"}),
        ]));
        chunked(&body, 4096)
    };
    let outcome = check(
        "halves",
        body(&["\\ud83d", "\\ude00\\u0041\\/"]),
        r#"complete "a" [] x1"#,
    );
    let data = outcome.result.unwrap().message.native.unwrap().data;
    assert!(
        data.contains(r#""thinking":"\ud83d\ude00\u0041\/""#),
        "{data}"
    );
    // Half a character alone would make every later request illegal.
    let outcome = check("one half", body(&["\\ud83d"]), r#"complete "a" [] x1"#);
    assert_eq!(outcome.result.unwrap().message.native, None);
}

#[test]
fn odd_ids_are_legal_in_both_forms() {
    let blocks = [
        thinking_block("hm", "s"),
        call_block("functions.f:0", "f", "{}"),
        call_block("functions.f:0", "f", "{oops"),
    ];
    let outcome = check(
        "ids",
        stream(&blocks, "tool_use"),
        r#"tool_calls "" [f {}, f {oops] x1"#,
    );
    let reply = outcome.result.unwrap();
    let content = content(&reply).unwrap();
    let calls: Vec<_> = reply.message.tool_calls().collect();
    assert_ne!(calls[0].id, calls[1].id);
    for (call, block) in calls.iter().zip([&content[1], &content[2]]) {
        assert!(
            call.id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        );
        assert_eq!(block["id"], call.id.as_str());
        assert_eq!(block["input"], json!({}));
    }
}

#[test]
fn what_is_too_long_is_left_out() {
    let long = "x".repeat(300 * 1024);
    let call = call_block("a", "f", &format!("{{\"x\":\"{long}\"}}"));
    check(
        "arguments",
        stream(&[call], "tool_use"),
        r#"tool_calls "" [f [left out: longer than 256 KiB]] x1"#,
    );
    let pieces: Vec<Value> = (0..5).map(|_| thinking(0, &long)).collect();
    let thought = (json!({"type": "thinking", "thinking": ""}), pieces);
    let outcome = check(
        "thinking",
        stream(&[thought, text_block("a")], "end_turn"),
        r#"complete "a" [] x1"#,
    );
    assert_eq!(outcome.result.unwrap().message.native, None);
    let many: Vec<_> = (0..100)
        .map(|n| call_block(&n.to_string(), "f", "{}"))
        .collect();
    let (outcome, _) = KIT.situation(true, vec![stream(&many, "tool_use")]);
    assert_eq!(outcome.result.unwrap().message.tool_calls().count(), 64);
    let blocks: Vec<_> = (0..1000).map(|_| text_block("a")).collect();
    let (outcome, _) = KIT.situation(true, vec![stream(&blocks, "end_turn")]);
    assert!(
        outcome.line().starts_with("truncated"),
        "{}",
        outcome.line()
    );
}
