//! How answers are cut into bytes: line ends, chunks, content types, limits, and bytes that make no sense.

use super::super::testing::{CEILING, SSE_HEAD, chunk, response};
use super::*;
use crate::chat::StopReason;
use proptest::prelude::*;

#[test]
fn framing_of_streams() {
    for kit in KITS {
        let lf = kit.events(&["好", "é"]);
        let as_text = String::from_utf8(lf.clone()).unwrap();
        let crlf = as_text.replace('\n', "\r\n").into_bytes();
        let cr = as_text.replace('\n', "\r").into_bytes();
        let comments = format!(": keep-alive\n\n: OPENROUTER PROCESSING\n\n{as_text}").into_bytes();
        let no_blank_line_at_end = as_text.trim_end().as_bytes().to_vec();
        let mark = [b"\xEF\xBB\xBF".as_slice(), &lf].concat();
        for body in [lf, crlf, cr, comments, no_blank_line_at_end, mark] {
            for size in [1, 7, 4096] {
                let (outcome, _) = kit.situation(true, vec![chunked(&body, size)]);
                assert_eq!(outcome.line(), r#"complete "好é" [] x1"#);
                assert_eq!(outcome.shown, "好é");
            }
        }
    }
}

#[test]
fn blank_lines_and_a_byte_order_mark_before_a_plain_answer() {
    for kit in KITS {
        for before in ["\n\n \n", "\u{feff}"] {
            let body = format!("{before}{}", (kit.plain)("a"));
            let (outcome, _) = kit.situation(false, vec![json(200, &body)]);
            assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
        }
    }
}

#[test]
fn bodies_until_the_connection_closes() {
    for kit in KITS {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        let all = [head, kit.events(&["a"])].concat();
        let (outcome, _) = kit.situation(true, vec![vec![Step::Send(all), Step::Close]]);
        assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
    }
}

#[test]
fn the_content_type_is_not_trusted() {
    for kit in KITS {
        for streaming in [true, false] {
            for header in [
                "",
                "content-type: text/plain\r\n",
                "content-type: text/event-stream\r\n",
                "content-type: application/json\r\n",
            ] {
                for body in [(kit.plain)("a").into_bytes(), kit.events(&["a"])] {
                    let script = vec![Step::Send(response(200, header, body))];
                    let (outcome, _) = kit.situation(streaming, vec![script]);
                    assert_eq!(outcome.line(), r#"complete "a" [] x1"#, "{header}");
                }
            }
        }
    }
}

#[test]
fn a_finished_answer_needs_no_end_mark() {
    for kit in KITS {
        let body = [kit.cut_off(&["a"]), (kit.finish)()].concat();
        let (outcome, _) = kit.situation(true, vec![chunked(&body, 4096)]);
        assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
        let server = Server::start(vec![vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Send(chunk(&body)),
            Step::Hold,
        ]]);
        let mut settings = kit.settings(&server);
        settings.limits.trailer = Duration::from_millis(20);
        let outcome = ask(&*(kit.make)(settings), &CancelToken::new());
        assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
    }
}

#[test]
fn an_end_mark_without_the_end_of_the_body_does_not_hold_the_turn() {
    for kit in KITS {
        let script = vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Send(chunk(&kit.events(&["a"]))),
            Step::Hold,
        ];
        let (outcome, server) = kit.situation(true, vec![script]);
        assert_eq!(outcome.line(), r#"complete "a" [] x1"#);
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn five_calls_use_one_connection() {
    for kit in KITS {
        for streaming in [true, false] {
            let server = Server::start(vec![kit.fine(streaming); 5]);
            let provider = kit.adapter(&server);
            for _ in 0..5 {
                assert!(ask(&*provider, &CancelToken::new()).result.is_ok());
            }
            assert_eq!(server.connections(), 1);
        }
    }
}

#[test]
fn invalid_utf8_does_not_end_the_answer() {
    let spoil = |mut body: Vec<u8>| {
        let at = body.iter().position(|byte| *byte == b'?').unwrap();
        body[at] = 0xFF;
        body
    };
    for kit in KITS {
        let streamed = chunked(&spoil(kit.events(&["a?b"])), 4096);
        let plain = spoil((kit.plain)("a?b").into_bytes());
        let plain = vec![Step::Send(response(200, "", plain))];
        for (streaming, script) in [(true, streamed), (false, plain)] {
            let (outcome, _) = kit.situation(streaming, vec![script]);
            assert_eq!(outcome.line(), "complete \"a\u{fffd}b\" [] x1");
        }
    }
}

#[test]
fn long_answers_are_cut_at_the_limit() {
    const LIMIT: usize = 1024 * 1024;
    for kit in KITS {
        let piece = (kit.text)(&"x".repeat(10 * 1024));
        let body = [kit.cut_off(&[]), piece.repeat(1024)].concat();
        let (outcome, _) = kit.situation(true, vec![chunked(&body, 16 * 1024)]);
        let reply = outcome.result.unwrap();
        assert_eq!(reply.stop, StopReason::Truncated);
        assert_eq!(reply.message.visible_text().len(), LIMIT);
        assert_eq!(outcome.shown.len(), LIMIT);
        let body = (kit.plain)(&"好".repeat(4 * LIMIT));
        let (outcome, _) = kit.situation(false, vec![json(200, &body)]);
        let reply = outcome.result.unwrap();
        assert_eq!(reply.stop, StopReason::Truncated);
        let length = reply.message.visible_text().len();
        assert!((LIMIT - 3..=LIMIT).contains(&length));
        assert_eq!(outcome.shown.len(), length);
    }
}

#[test]
fn endless_streams_end() {
    for kit in KITS {
        let long_line = format!("data: {}", "x".repeat(2 * 1024 * 1024));
        let rows = [
            ((kit.text)("more "), "truncated"),
            (
                (kit.reasoning)("more and more and more"),
                "error undecodable",
            ),
            (long_line.into_bytes(), "error undecodable"),
        ];
        for (event, expected) in rows {
            let server = Server::start(vec![vec![
                Step::Send(SSE_HEAD.to_vec()),
                Step::Send(chunk(&kit.cut_off(&[]))),
                Step::Endless(chunk(&event)),
            ]]);
            let mut settings = kit.settings(&server);
            settings.limits.response_bytes = 4 * 1024 * 1024;
            let outcome = ask(&*(kit.make)(settings), &CancelToken::new());
            assert!(outcome.line().starts_with(expected), "{}", outcome.line());
            server.gone.recv_timeout(CEILING).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_confuse_an_adapter(
        anthropic in any::<bool>(),
        picks in proptest::collection::vec((0usize..10, proptest::collection::vec(any::<u8>(), 0..12)), 0..8),
        size in 1usize..64,
    ) {
        let kit = KITS[usize::from(anthropic)];
        let pieces: [Vec<u8>; 9] = [
            b"data: ".to_vec(),
            (kit.open)(),
            (kit.text)("a"),
            (kit.reasoning)("b"),
            (kit.half_call)(),
            (kit.finish)(),
            (kit.done)(),
            b"data: {\"error\":1}\n\n".to_vec(),
            b"\n\n".to_vec(),
        ];
        let body: Vec<u8> = picks
            .iter()
            .flat_map(|(pick, noise)| pieces.get(*pick).unwrap_or(noise).clone())
            .collect();
        // The error classes that try again would want more scripts: four tries at most.
        let server = Server::start(vec![chunked(&body, size); 4]);
        let outcome = ask(&*kit.adapter(&server), &CancelToken::new());
        if let Ok(reply) = outcome.result {
            let broken = matches!(reply.stop, StopReason::Truncated | StopReason::Refused);
            prop_assert!(!broken || reply.message.tool_calls().next().is_none());
        }
    }
}
