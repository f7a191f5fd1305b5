//! Failures before, in and after an answer: classes, retries, notices.

use super::super::testing::{CEILING, SSE_HEAD, chunk, response};
use super::*;

/// Runs one situation for every format, streamed and plain.
fn check(name: &str, scripts: impl Fn(&Kit) -> Vec<Vec<Step>>, expected: &str, requests: usize) {
    for kit in KITS {
        for streaming in [true, false] {
            let (outcome, server) = kit.situation(streaming, scripts(kit));
            let mode = format!("{name}, {:?}, streaming {streaming}", kit.dialect);
            assert_eq!(outcome.line(), expected, "{mode}");
            assert_eq!(server.received().len(), requests + 1, "{mode}");
        }
    }
}

fn page(status: u16, headers: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(response(status, headers, body))]
}

#[test]
fn refusals_are_final() {
    let rows: &[(&str, u16, &str, &str)] = &[
        ("bad request", 400, "no", "error bad_request"),
        (
            "overflow",
            400,
            "maximum context length is 8192 tokens",
            "error context_too_long",
        ),
        (
            "overflow, otherwise",
            400,
            "prompt is too long: 210000 tokens > 200000 maximum",
            "error context_too_long",
        ),
        ("too large", 413, "x", "error context_too_long"),
        ("key", 401, "bad key", "error auth"),
        ("balance", 402, "pay", "error auth"),
        (
            "balance, otherwise",
            400,
            "Your credit balance is too low to access the API",
            "error auth",
        ),
        ("permission", 403, "no", "error auth"),
        ("model", 404, "no such model", "error not_found"),
        ("unprocessable", 422, "no", "error bad_request"),
        (
            "quota",
            429,
            "You exceeded your current quota",
            "error auth",
        ),
    ];
    for (name, status, message, expected) in rows {
        check(name, |kit| vec![kit.error(*status, message)], expected, 1);
    }
    let html = "content-type: text/html\r\n";
    let elsewhere = "location: https://elsewhere/\r\n";
    let rows = [
        ("a page", page(403, html, "<html>no</html>"), "error auth"),
        ("redirect", page(307, elsewhere, ""), "error bad_request"),
        (
            "page with 200",
            page(200, html, "<html>login</html>"),
            "error undecodable",
        ),
        (
            "garbage events",
            page(200, "", "data: oops\n\n"),
            "error undecodable",
        ),
        ("a list", page(200, "", "[]"), "error undecodable"),
        ("an empty object", page(200, "", "{}"), "error undecodable"),
        (
            "words",
            page(200, "", "upstream is sad"),
            "error undecodable",
        ),
        (
            "error inside 200",
            page(200, "", r#"{"error":{"message":"x","code":401}}"#),
            "error auth",
        ),
        (
            "overflow inside 200",
            page(200, "", r#"{"error":{"message":"prompt is too long"}}"#),
            "error context_too_long",
        ),
        (
            "error in an event",
            page(
                200,
                "",
                "data: {\"error\":{\"message\":\"x\",\"code\":404}}\n\n",
            ),
            "error not_found",
        ),
        (
            "error in a named event",
            page(
                200,
                "",
                "event: error\ndata: {\"message\":\"x\",\"code\":400}\n\n",
            ),
            "error bad_request",
        ),
    ];
    for (name, script, expected) in rows {
        check(name, |_| vec![script.clone()], expected, 1);
    }
}

/// Checks that a failure is tried again, once with success and once in vain.
fn check_passing(name: &str, script: impl Fn(&Kit) -> Vec<Step>, expected: &str) {
    for kit in KITS {
        for streaming in [true, false] {
            let scripts = vec![script(kit), kit.fine(streaming)];
            let (outcome, _) = kit.situation(streaming, scripts);
            let mode = format!("{name}, {:?}, streaming {streaming}", kit.dialect);
            assert_eq!(outcome.line(), "complete \"fine\" [] x2", "{mode}");
        }
    }
    check(name, |kit| vec![script(kit); 4], expected, 4);
}

#[test]
fn passing_statuses_are_tried_again() {
    let rows: &[(&str, u16, &str, &str)] = &[
        ("rate limit", 429, "slow down", "error rate_limited"),
        ("server error", 500, "boom", "error overloaded"),
        ("busy", 503, "busy", "error overloaded"),
        ("overloaded", 529, "overloaded", "error overloaded"),
        ("conflict", 409, "again", "error overloaded"),
    ];
    for (name, status, message, expected) in rows {
        check_passing(name, |kit| kit.error(*status, message), expected);
    }
    let rows = [
        (
            "rate limit without a body",
            page(429, "", ""),
            "error rate_limited",
        ),
        (
            "page from a proxy",
            page(502, "", "<html>bad</html>"),
            "error overloaded",
        ),
        (
            "busy inside 200",
            page(200, "", r#"{"error":{"message":"x","code":503}}"#),
            "error overloaded",
        ),
        (
            "busy in an event",
            page(
                200,
                "",
                "data: {\"error\":{\"message\":\"x\",\"code\":429}}\n\n",
            ),
            "error rate_limited",
        ),
    ];
    for (name, script, expected) in rows {
        check_passing(name, |_| script.clone(), expected);
    }
}

#[test]
fn broken_exchanges_are_tried_again() {
    let reset_in_stream = vec![
        Step::Send(SSE_HEAD.to_vec()),
        Step::Send(chunk(b": processing\n\n")),
        Step::Reset,
    ];
    let short_body = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"cho".to_vec()),
        Step::Close,
    ];
    let broken_head = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncont".to_vec()), Step::Close];
    let rows = [
        ("closed", vec![Step::Close]),
        ("reset", vec![Step::Reset]),
        ("broken head", broken_head),
        ("reset in the stream", reset_in_stream),
        ("short body", short_body),
        ("empty body", page(200, "", "")),
        ("nothing but blank lines", page(200, "", "\n\n \n")),
        ("only comments", page(200, "", ": hi\n\n: there\n\n")),
    ];
    for (name, script) in rows {
        check_passing(name, |_| script.clone(), "error network");
    }
    let stream = |events: Vec<u8>| chunked(&events, 4096);
    let reasoning = |kit: &Kit| [kit.cut_off(&[]), (kit.reasoning)("hm")].concat();
    let half_call = |kit: &Kit| [kit.cut_off(&[]), (kit.half_call)()].concat();
    check_passing(
        "only a start",
        |kit| stream(kit.cut_off(&[])),
        "error network",
    );
    check_passing(
        "only reasoning",
        |kit| stream(reasoning(kit)),
        "error network",
    );
    check_passing("half a call", |kit| stream(half_call(kit)), "error network");
}

#[test]
fn what_was_shown_is_kept_and_runs_no_calls() {
    let error = b"data: {\"error\":{\"message\":\"boom\",\"code\":502}}\n\n";
    for kit in KITS {
        let rows = [
            ("end of body", vec![]),
            ("half a call", (kit.half_call)()),
            ("an error", error.to_vec()),
            ("garbage", b"data: {oops\n\n".to_vec()),
        ];
        for (name, rest) in rows {
            let body = [kit.cut_off(&["half"]), rest].concat();
            let (outcome, server) = kit.situation(true, vec![chunked(&body, 4096)]);
            assert_eq!(outcome.line(), r#"truncated "half" [] x1"#, "{name}");
            assert_eq!(outcome.result.unwrap().message.native, None);
            assert_eq!(server.received().len(), 2, "{name}");
        }
    }
}

#[test]
fn a_connection_the_server_closed_meanwhile_costs_no_try() {
    for kit in KITS {
        let mut scripts = vec![kit.fine(true), vec![Step::Close]];
        scripts.extend(vec![kit.error(500, "boom"); 3]);
        scripts.push(kit.fine(true));
        let server = Server::start(scripts);
        let provider = kit.adapter(&server);
        ask(&*provider, &CancelToken::new());
        let outcome = ask(&*provider, &CancelToken::new());
        assert_eq!(outcome.line(), "complete \"fine\" [] x5");
    }
}

#[test]
fn wanted_pauses_are_kept_or_reported() {
    let limited = |headers: &str| page(429, headers, "");
    for kit in KITS {
        let soon = limited("retry-after-ms: 5\r\nretry-after: 100\r\n");
        let (outcome, _) = kit.situation(true, vec![soon, kit.fine(true)]);
        assert_eq!(outcome.line(), "complete \"fine\" [] x2");
        let (outcome, server) = kit.situation(true, vec![limited("retry-after: 61\r\n")]);
        assert_eq!(
            outcome.result,
            Err(ProviderError::RateLimited {
                retry_after: Some(Duration::from_secs(61)),
                detail: "HTTP 429".to_owned()
            })
        );
        assert_eq!(server.received().len(), 2);
        let (outcome, _) = kit.situation(true, vec![limited("x-should-retry: false\r\n")]);
        assert_eq!(outcome.line(), "error rate_limited");
        let odd = page(400, "x-should-retry: true\r\n", "");
        let (outcome, _) = kit.situation(true, vec![odd, kit.fine(true)]);
        assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    }
}

#[test]
fn timeouts_are_reported_not_repeated() {
    for kit in KITS {
        let head = || Step::Send(SSE_HEAD.to_vec());
        let half = Step::Send(chunk(&kit.cut_off(&["half"])));
        let starts = [
            (vec![], "error timeout"),
            (vec![head()], "error timeout"),
            (vec![head(), half], "truncated \"half\" [] x1"),
        ];
        for (mut script, expected) in starts {
            script.push(Step::Hold);
            let server = Server::start(vec![script]);
            let mut settings = kit.settings(&server);
            settings.limits.first_byte = Duration::from_millis(50);
            settings.limits.idle = Duration::from_millis(50);
            let outcome = ask(&*(kit.make)(settings), &CancelToken::new());
            assert_eq!(outcome.line(), expected);
            server.gone.recv_timeout(CEILING).unwrap();
            assert_eq!(server.received().len(), 1);
        }
    }
}

#[test]
fn the_person_hears_about_waiting() {
    for kit in KITS {
        let server = Server::start(vec![vec![Step::Hold]]);
        let mut settings = kit.settings(&server);
        settings.pace.remind_after = Duration::from_millis(5);
        settings.pace.remind_every = Duration::from_millis(5);
        let provider = (kit.make)(settings);
        let cancel = CancelToken::new();
        let mut notices = Vec::new();
        let mut on_delta = |delta: Delta<'_>| {
            if let Delta::Notice(sentence) = delta {
                notices.push(sentence.to_owned());
                if notices.len() == 2 {
                    cancel.cancel();
                }
            }
        };
        let request = Request {
            model: &model(),
            system: "",
            tools: &[],
            messages: &[Message::text(Role::User, "hi")],
        };
        let result = provider.stream(&request, &mut on_delta, &cancel);
        assert_eq!(result, Err(ProviderError::Cancelled));
        assert_eq!(notices.len(), 2);
        for notice in notices {
            assert!(
                notice.starts_with("Still waiting for scripted ("),
                "{notice}"
            );
            assert!(notice.ends_with(" s). /stop cancels."), "{notice}");
        }
    }
}

#[test]
fn keys_never_appear_in_errors() {
    for kit in KITS {
        let message = format!("your key {KEY} is wrong");
        let inside = serde_json::json!({"error": {"message": message, "code": 401}}).to_string();
        let event = format!("data: {inside}\n\n");
        let scripts = [
            kit.error(401, &message),
            json(200, &inside),
            chunked(event.as_bytes(), 4096),
        ];
        for script in scripts {
            let (outcome, _) = kit.situation(true, vec![script]);
            let error = outcome.result.unwrap_err().to_string();
            assert!(error.contains("your key *** is wrong"), "{error}");
        }
    }
}

#[test]
fn a_service_that_keeps_failing_is_left_alone() {
    for kit in KITS {
        let server = Server::start(vec![kit.error(500, "boom"); 100]);
        let provider = kit.adapter(&server);
        let cancel = CancelToken::new();
        for _ in 0..3 {
            assert_eq!(ask(&*provider, &cancel).line(), "error overloaded");
        }
        assert_eq!(server.received().len(), 8);
    }
}

#[test]
fn a_service_that_is_not_there_is_a_network_error() {
    for kit in KITS {
        let server = Server::start(Vec::new());
        let mut settings = kit.settings(&server);
        drop(server);
        settings.base_url = "http://127.0.0.1:1/v1".to_owned();
        let outcome = ask(&*(kit.make)(settings), &CancelToken::new());
        assert_eq!(outcome.line(), "error network");
    }
}

#[test]
fn a_key_with_a_line_break_is_an_error_not_a_header() {
    for kit in KITS {
        let server = Server::start(vec![kit.fine(true)]);
        let mut odd = kit.settings(&server);
        odd.api_key = Secret::new("a\r\nx-evil: 1");
        let outcome = ask(&*(kit.make)(odd), &CancelToken::new());
        assert_eq!(outcome.line(), "error bad_request");
        assert!(server.received().is_empty());
    }
}

#[test]
fn a_service_that_only_streams_or_never_does_is_obeyed() {
    let only = "This model only support stream mode, please enable the stream parameter";
    let never = "streaming is not supported";
    for kit in KITS {
        for (wanted, message) in [(true, only), (false, never)] {
            let server = Server::start(vec![kit.error(400, message), kit.fine(wanted)]);
            let provider = (kit.make)(ServiceSettings {
                stream: !wanted,
                ..kit.settings(&server)
            });
            let outcome = ask(&*provider, &CancelToken::new());
            assert_eq!(outcome.line(), "complete \"fine\" [] x2");
            assert_eq!(server.received()[1].json()["stream"], wanted);
        }
    }
}
