//! Good answers and odd ones, streamed and plain: what the reply must be.

use super::*;
use crate::chat::Usage;

fn check_stream(name: &str, data: &[String], expected: &str) {
    let (outcome, _) = situation(true, vec![stream(data)]);
    assert_eq!(outcome.line(), expected, "{name}");
}

fn check_plain(name: &str, body: &str, expected: &str) {
    let (outcome, _) = situation(false, vec![json(200, body)]);
    assert_eq!(outcome.line(), expected, "{name}");
}

fn call(index: &str, id: &str, name: &str, arguments: &str) -> String {
    let function = serde_json::json!({"name": name, "arguments": arguments});
    piece(&format!(
        r#"{{"tool_calls":[{{"index":{index},"id":"{id}","type":"function","function":{function}}}]}}"#
    ))
}

#[test]
fn streams() {
    let s = String::from;
    let done = || s(DONE);
    let rows: Vec<(&str, Vec<String>, &str)> = vec![
        (
            "plain text",
            vec![
                piece(r#"{"role":"assistant","content":""}"#),
                text("he"),
                text("llo"),
                finish("stop"),
                done(),
            ],
            r#"complete "hello" [] x1"#,
        ),
        (
            "first chunk without choices",
            vec![
                s(r#"{"choices":[],"prompt_filter_results":[]}"#),
                text("a"),
                finish("stop"),
                done(),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "choices null, delta null, content null, unknown keys",
            vec![
                s(r#"{"choices":null}"#),
                s(r#"{"choices":[{"delta":null}],"x":{"y":[1]}}"#),
                piece(r#"{"content":null,"reasoning_content":null,"tool_calls":null,"z":1}"#),
                text("a"),
                finish("stop"),
                done(),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "content as parts",
            vec![
                piece(r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#),
                finish("stop"),
                done(),
            ],
            r#"complete "ab" [] x1"#,
        ),
        (
            "end mark but no finish",
            vec![text("a"), done()],
            r#"complete "a" [] x1"#,
        ),
        (
            "unknown finish reason",
            vec![text("a"), finish("eos"), done()],
            r#"complete "a" [] x1"#,
        ),
        (
            "length",
            vec![text("a"), finish("length"), done()],
            r#"length "a" [] x1"#,
        ),
        (
            "window exceeded",
            vec![text("a"), finish("model_context_window_exceeded"), done()],
            r#"length "a" [] x1"#,
        ),
        (
            "content filter",
            vec![text("a"), finish("content_filter"), done()],
            r#"refused "a" [] x1"#,
        ),
        (
            "sensitive",
            vec![finish("sensitive"), done()],
            r#"refused "" [] x1"#,
        ),
        (
            "refusal",
            vec![piece(r#"{"refusal":"I cannot"}"#), finish("stop"), done()],
            r#"refused "I cannot" [] x1"#,
        ),
        (
            "broken off after text and a call",
            vec![text("half"), call("0", "a", "f", "{}")],
            r#"truncated "half" [] x1"#,
        ),
        (
            "vendor gives up after text",
            vec![text("half"), finish("network_error"), done()],
            r#"truncated "half" [] x1"#,
        ),
        (
            "empty answer",
            vec![finish("stop"), done()],
            r#"complete "" [] x1"#,
        ),
        (
            "only reasoning",
            vec![
                piece(r#"{"reasoning_content":"hm"}"#),
                finish("stop"),
                done(),
            ],
            r#"complete "" [] x1"#,
        ),
        (
            "thinking in the text",
            vec![
                text("<thi"),
                text("nk>hm</th"),
                text("ink>\n\nhi"),
                finish("stop"),
                done(),
            ],
            r#"complete "hi" [] x1"#,
        ),
        (
            "calls with stop",
            vec![
                call("0", "a", "f", "{\"x\":"),
                call("0", "", "", "1}"),
                finish("stop"),
                done(),
            ],
            r#"tool_calls "" [f {"x":1}] x1"#,
        ),
        (
            "tool_calls without calls",
            vec![text("a"), finish("tool_calls"), done()],
            r#"complete "a" [] x1"#,
        ),
        (
            "parallel calls all numbered 0",
            vec![
                call("0", "a", "f", "{}"),
                call("0", "b", "g", "{}"),
                finish("tool_calls"),
                done(),
            ],
            r#"tool_calls "" [f {}, g {}] x1"#,
        ),
        (
            "text and a call",
            vec![
                text("let me see"),
                call("0", "a", "f", ""),
                finish("tool_calls"),
                done(),
            ],
            r#"tool_calls "let me see" [f {}] x1"#,
        ),
        (
            "length with a half call",
            vec![
                call("0", "a", "f", "{}"),
                call("1", "b", "g", "{\"x\":"),
                finish("length"),
                done(),
            ],
            r#"tool_calls "" [f {}, g [cut off at the model's output limit]] x1"#,
        ),
        (
            "length with whole calls",
            vec![call("0", "a", "f", "{}"), finish("length"), done()],
            r#"tool_calls "" [f {}] x1"#,
        ),
        (
            "arguments that are no object",
            vec![call("0", "a", "f", "[1]"), finish("tool_calls"), done()],
            r#"tool_calls "" [f [1]] x1"#,
        ),
        (
            "other choices are ignored",
            vec![
                s(r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#),
                finish("stop"),
                done(),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "finish in the chunk of the last text",
            vec![
                s(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#),
                done(),
            ],
            r#"complete "a" [] x1"#,
        ),
        (
            "whole message in a stream",
            vec![plain(r#"{"content":"a"}"#, "stop"), done()],
            r#"complete "a" [] x1"#,
        ),
    ];
    for (name, data, expected) in rows {
        check_stream(name, &data, expected);
    }
}

#[test]
fn plain_responses() {
    let with = |message: &str, reason: &str| plain(message, reason);
    let two_calls = r#"{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"a","function":{"name":"g","arguments":{"x":1}}}]}"#;
    let rows = [
        (
            "text",
            with(r#"{"content":"hello"}"#, "stop"),
            r#"complete "hello" [] x1"#,
        ),
        (
            "content null",
            with(r#"{"content":null}"#, "stop"),
            r#"complete "" [] x1"#,
        ),
        (
            "no finish, no usage, no id",
            r#"{"choices":[{"message":{"content":"a"}}]}"#.to_owned(),
            r#"complete "a" [] x1"#,
        ),
        (
            "calls with equal ids and object arguments",
            with(two_calls, "tool_calls"),
            r#"tool_calls "" [f {}, g {"x":1}] x1"#,
        ),
        (
            "calls with stop",
            with(two_calls, "stop"),
            r#"tool_calls "" [f {}, g {"x":1}] x1"#,
        ),
        (
            "empty list of calls",
            with(r#"{"content":"a","tool_calls":[]}"#, "stop"),
            r#"complete "a" [] x1"#,
        ),
        (
            "length",
            with(r#"{"content":"a"}"#, "length"),
            r#"length "a" [] x1"#,
        ),
        (
            "length with a half call",
            with(
                r#"{"content":"a","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x"}}]}"#,
                "length",
            ),
            r#"tool_calls "a" [f [cut off at the model's output limit]] x1"#,
        ),
        (
            "refusal",
            with(r#"{"content":null,"refusal":"no"}"#, "stop"),
            r#"refused "no" [] x1"#,
        ),
        (
            "thinking in the text",
            with(r#"{"content":"<think>\nhm\n</think>\n\nhi"}"#, "stop"),
            r#"complete "hi" [] x1"#,
        ),
        (
            "thinking without its opening tag",
            with(r#"{"content":"hm\n</think>\n\nhi"}"#, "stop"),
            r#"complete "hi" [] x1"#,
        ),
        (
            "empty choices",
            r#"{"choices":[]}"#.to_owned(),
            "error undecodable",
        ),
        (
            "no choices",
            r#"{"id":"x"}"#.to_owned(),
            "error undecodable",
        ),
        (
            "half a JSON",
            r#"{"choices":[{"mess"#.to_owned(),
            "error undecodable",
        ),
    ];
    for (name, body, expected) in rows {
        check_plain(name, &body, expected);
    }
}

#[test]
fn usage_is_the_last_one_reported() {
    let counts = |prompt: u64, completion: u64| {
        format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}"#)
    };
    let expected = Usage {
        input: Some(9),
        output: Some(4),
        ..Usage::default()
    };
    let own_chunk = format!(r#"{{"choices":[],"usage":{}}}"#, counts(9, 4));
    let in_choice = format!(
        r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop","usage":{}}}]}}"#,
        counts(9, 4)
    );
    let growing = |completion| {
        format!(
            r#"{{"choices":[{{"delta":{{"content":"a"}}}}],"usage":{}}}"#,
            counts(9, completion)
        )
    };
    let null = r#"{"choices":[],"usage":null}"#.to_owned();
    let rows = [
        vec![
            text("a"),
            finish("stop"),
            own_chunk.clone(),
            null,
            DONE.to_owned(),
        ],
        vec![text("a"), in_choice, DONE.to_owned()],
        vec![
            growing(1),
            growing(2),
            growing(4),
            finish("stop"),
            DONE.to_owned(),
        ],
        vec![text("a"), finish("stop"), own_chunk],
    ];
    for data in rows {
        let (outcome, _) = situation(true, vec![stream(&data)]);
        let reply = outcome.result.unwrap();
        assert_eq!(reply.usage, expected, "{data:?}");
        assert!(reply.first_token.is_some());
    }
    let (outcome, _) = situation(true, vec![stream(&[text("a"), DONE.to_owned()])]);
    assert_eq!(outcome.result.unwrap().usage, Usage::default());
}

#[test]
fn reasoning_is_passed_on_kept_and_never_the_answer() {
    let rows = [
        (
            vec![
                piece(r#"{"reasoning_content":"a"}"#),
                piece(r#"{"content":null,"reasoning_content":"b"}"#),
                piece(r#"{"content":"hi","reasoning_content":null}"#),
            ],
            "ab",
            Some(r#"{"reasoning_content":"ab"}"#),
        ),
        (
            vec![piece(r#"{"reasoning_content":""}"#), text("hi")],
            "",
            Some(r#"{"reasoning_content":""}"#),
        ),
        (
            vec![
                piece(
                    r#"{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","index":0,"text":"a"}]}"#,
                ),
                piece(
                    r#"{"reasoning":"b","reasoning_details":[{"type":"reasoning.text","index":0,"text":"b","signature":null}]}"#,
                ),
                piece(
                    r#"{"reasoning_details":[{"type":"reasoning.text","index":0,"signature":"s"},{"type":"reasoning.encrypted","index":1,"data":"e"}]}"#,
                ),
                text("hi"),
            ],
            "ab",
            Some(
                r#"{"reasoning":"ab","reasoning_details":[{"type":"reasoning.text","index":0,"text":"ab","signature":"s"},{"type":"reasoning.encrypted","index":1,"data":"e"}]}"#,
            ),
        ),
        (
            // The same twice under two names is passed on once.
            vec![
                piece(r#"{"reasoning_content":"a","reasoning":"a"}"#),
                text("hi"),
            ],
            "a",
            Some(r#"{"reasoning_content":"a","reasoning":"a"}"#),
        ),
        (
            vec![text("<think>a</think>hi")],
            "a",
            Some(r#"{"thought":"a"}"#),
        ),
        (vec![text("hi")], "", None),
    ];
    for (mut data, reasoning, native) in rows {
        data.extend([finish("stop"), DONE.to_owned()]);
        let (outcome, _) = situation(true, vec![stream(&data)]);
        assert_eq!(outcome.reasoning, reasoning);
        assert_eq!(outcome.shown, "hi");
        let message = outcome.result.unwrap().message;
        assert_eq!(message.visible_text(), "hi");
        let kept = message.native.map(|native| {
            assert_eq!(
                (native.provider.as_str(), native.model.as_str()),
                ("scripted", "m-1")
            );
            native.data
        });
        assert_eq!(kept.as_deref(), native);
    }
}

#[test]
fn a_missing_opening_tag_is_learned() {
    let answer = || stream(&[text("hm\n</think>\n\nhi"), finish("stop"), DONE.to_owned()]);
    let server = Server::start(vec![answer(), answer(), fine_stream()]);
    let provider = adapter(settings(&server));
    let first = ask(&provider, &CancelToken::new());
    assert_eq!(first.line(), r#"complete "hi" [] x1"#);
    assert_eq!(first.shown, "hm\nhi");
    let second = ask(&provider, &CancelToken::new());
    assert_eq!(
        (second.shown.as_str(), second.reasoning.as_str()),
        ("hi", "hm\n")
    );
    // An answer without any thinking still arrives.
    let third = ask(&provider, &CancelToken::new());
    assert_eq!(third.line(), r#"complete "fine" [] x1"#);
    assert_eq!(third.shown, "fine");
}

#[test]
fn opaque_data_of_calls_is_kept() {
    let call = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#;
    let data = [piece(call), finish("tool_calls"), DONE.to_owned()];
    let (outcome, _) = situation(true, vec![stream(&data)]);
    let native = outcome.result.unwrap().message.native.unwrap();
    assert_eq!(
        native.data,
        r#"{"extra_content":{"a":{"google":{"thought_signature":"s"}}}}"#
    );
}
