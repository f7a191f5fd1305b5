//! Good answers and odd ones, streamed and plain: what the reply must be.

use super::super::super::testing::{SSE_HEAD, chunk, chunked, response};
use super::*;
use crate::chat::{StopReason, Usage};
use proptest::prelude::*;

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
            "finish but no end mark",
            vec![text("a"), finish("stop")],
            r#"complete "a" [] x1"#,
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
            "broken off after text",
            vec![text("half")],
            r#"truncated "half" [] x1"#,
        ),
        (
            "broken off after text and a call",
            vec![text("half"), call("0", "a", "f", "{}")],
            r#"truncated "half" [] x1"#,
        ),
        (
            "error after text",
            vec![
                text("half"),
                s(r#"{"error":{"message":"boom","code":502}}"#),
            ],
            r#"truncated "half" [] x1"#,
        ),
        (
            "vendor gives up after text",
            vec![text("half"), finish("network_error"), done()],
            r#"truncated "half" [] x1"#,
        ),
        (
            "garbage after text",
            vec![text("half"), s("{oops"), done()],
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
            r#"length "" [f {}] x1"#,
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
            "blank lines first",
            format!("\n\n \n{}", with(r#"{"content":"a"}"#, "stop")),
            r#"complete "a" [] x1"#,
        ),
        (
            "a byte order mark",
            format!("\u{feff}{}", with(r#"{"content":"a"}"#, "stop")),
            r#"complete "a" [] x1"#,
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
            r#"length "a" [] x1"#,
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
        ("a list", "[]".to_owned(), "error undecodable"),
        (
            "half a JSON",
            r#"{"choices":[{"mess"#.to_owned(),
            "error undecodable",
        ),
        (
            "a web page",
            "<html>hi</html>".to_owned(),
            "error undecodable",
        ),
        ("words", "upstream is sad".to_owned(), "error undecodable"),
    ];
    for (name, body, expected) in rows {
        check_plain(name, &body, expected);
    }
}

#[test]
fn framing_of_streams() {
    let lf = events(&[text("好é"), finish("stop"), DONE.to_owned()]);
    let as_text = String::from_utf8(lf.clone()).unwrap();
    let crlf = as_text.replace('\n', "\r\n").into_bytes();
    let cr = as_text.replace('\n', "\r").into_bytes();
    let comments = format!(": keep-alive\n\n: OPENROUTER PROCESSING\n\n{as_text}").into_bytes();
    let no_blank_line_at_end = as_text.trim_end().as_bytes().to_vec();
    let mark = [b"\xEF\xBB\xBF".as_slice(), &lf].concat();
    for body in [lf, crlf, cr, comments, no_blank_line_at_end, mark] {
        for size in [1, 7, 4096] {
            let (outcome, _) = situation(true, vec![chunked(&body, size)]);
            assert_eq!(outcome.line(), r#"complete "好é" [] x1"#);
            assert_eq!(outcome.shown, "好é");
        }
    }
}

#[test]
fn bodies_until_the_connection_closes() {
    let body = events(&[text("a"), finish("stop"), DONE.to_owned()]);
    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    let (outcome, _) = situation(
        true,
        vec![vec![Step::Send([head, body].concat()), Step::Close]],
    );
    assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
}

#[test]
fn the_content_type_is_not_trusted() {
    let body = plain(r#"{"content":"a"}"#, "stop");
    let as_events = events(&[text("a"), finish("stop"), DONE.to_owned()]);
    for streaming in [true, false] {
        for header in [
            "",
            "content-type: text/plain\r\n",
            "content-type: text/event-stream\r\n",
            "content-type: application/json\r\n",
        ] {
            for body in [body.as_bytes(), &as_events] {
                let script = vec![Step::Send(response(200, header, body))];
                let (outcome, _) = situation(streaming, vec![script]);
                assert_eq!(outcome.line(), r#"complete "a" [] x1"#, "{header}");
            }
        }
    }
}

#[test]
fn a_service_that_forgets_the_end_does_not_hold_the_turn() {
    let body = events(&[text("a"), finish("stop")]);
    let server = Server::start(vec![vec![
        Step::Send(SSE_HEAD.to_vec()),
        Step::Send(chunk(&body)),
        Step::Hold,
    ]]);
    let mut settings = settings(&server);
    settings.limits.trailer = Duration::from_millis(20);
    let outcome = ask(&adapter(settings), &CancelToken::new());
    assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
}

#[test]
fn an_end_mark_without_the_end_of_the_body_does_not_hold_the_turn() {
    let body = events(&[text("a"), finish("stop"), DONE.to_owned()]);
    let (outcome, server) = situation(
        true,
        vec![vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Send(chunk(&body)),
            Step::Hold,
        ]],
    );
    assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
    assert_eq!(server.connections(), 2);
}

#[test]
fn five_streamed_calls_use_one_connection() {
    let server = Server::start(vec![fine_stream(); 5]);
    let provider = adapter(settings(&server));
    for _ in 0..5 {
        assert!(ask(&provider, &CancelToken::new()).result.is_ok());
    }
    assert_eq!(server.connections(), 1);
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
        (vec![text("<think>a</think>hi")], "a", None),
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

#[test]
fn invalid_utf8_does_not_end_the_answer() {
    let mut body = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xFF\xFEb\"}}]}\n\n".to_vec();
    body.extend(events(&[finish("stop"), DONE.to_owned()]));
    let (outcome, _) = situation(true, vec![chunked(&body, 4096)]);
    assert_eq!(outcome.line(), "complete \"a\u{fffd}\u{fffd}b\" [] x1");
    let mut body = plain(r#"{"content":"a?b"}"#, "stop").into_bytes();
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xFF;
    let (outcome, _) = situation(false, vec![vec![Step::Send(response(200, "", body))]]);
    assert_eq!(outcome.line(), "complete \"a\u{fffd}b\" [] x1");
}

#[test]
fn long_answers_are_cut_at_the_limit() {
    let many: Vec<String> = (0..1024).map(|_| text(&"x".repeat(10 * 1024))).collect();
    let (outcome, _) = situation(true, vec![chunked(&events(&many), 16 * 1024)]);
    let reply = outcome.result.unwrap();
    assert_eq!(reply.stop, StopReason::Truncated);
    assert_eq!(reply.message.visible_text().len(), 1024 * 1024);
    assert_eq!(outcome.shown.len(), 1024 * 1024);
    let body = plain(
        &format!(r#"{{"content":"{}"}}"#, "好".repeat(4 * 1024 * 1024)),
        "stop",
    );
    let (outcome, _) = situation(false, vec![json(200, &body)]);
    let reply = outcome.result.unwrap();
    assert_eq!(reply.stop, StopReason::Truncated);
    let length = reply.message.visible_text().len();
    assert!((1024 * 1024 - 3..=1024 * 1024).contains(&length));
}

#[test]
fn endless_streams_end() {
    let rows = [
        (text("more "), r#"truncated"#),
        (
            piece(r#"{"reasoning_content":"more and more and more and more"}"#),
            "error undecodable",
        ),
        ("x".repeat(2 * 1024 * 1024), "error undecodable"),
    ];
    for (data, expected) in rows {
        let server = Server::start(vec![vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Endless(chunk(&events(&[data]))),
        ]]);
        let mut settings = settings(&server);
        settings.limits.response_bytes = 4 * 1024 * 1024;
        let outcome = ask(&adapter(settings), &CancelToken::new());
        assert!(outcome.line().starts_with(expected), "{}", outcome.line());
        server
            .gone
            .recv_timeout(crate::providers::testing::CEILING)
            .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_confuse_the_adapter(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("data: ".as_bytes().to_vec()),
                Just(events(&[text("a")])),
                Just(events(&[call("0", "a", "f", "{}")])),
                Just(events(&[finish("stop")])),
                Just(events(&["[DONE]"])),
                Just(events(&["{\"error\":1}"])),
                Just(b"{\"choices\":[{\"delta\":7}]}\n\n".to_vec()),
                Just(b"\n\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..12),
            ],
            0..8,
        ),
        size in 1usize..64,
    ) {
        let body = pieces.concat();
        // The error classes that try again would want more scripts: four tries at most.
        let server = Server::start(vec![chunked(&body, size); 4]);
        let outcome = ask(&adapter(settings(&server)), &CancelToken::new());
        if let Ok(reply) = outcome.result {
            let broken = matches!(reply.stop, StopReason::Truncated | StopReason::Refused);
            prop_assert!(!broken || reply.message.tool_calls().next().is_none());
        }
    }
}
