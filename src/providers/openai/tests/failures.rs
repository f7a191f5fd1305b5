//! Failures before, in and after an answer: classes, retries, notices, lessons.

use super::super::super::testing::{CEILING, SSE_HEAD, chunk, response};
use super::*;

/// Runs one situation for streaming and plain requests.
fn check(name: &str, scripts: Vec<Vec<Step>>, expected: &str, requests: usize) {
    for streaming in [true, false] {
        let (outcome, server) = situation(streaming, scripts.clone());
        let good = if streaming { "stream" } else { "plain" };
        assert_eq!(outcome.line(), expected, "{name}, {good}");
        assert_eq!(server.received().len(), requests + 1, "{name}, {good}");
    }
}

fn error(status: u16, message: &str) -> Vec<Step> {
    json(
        status,
        &serde_json::json!({"error": {"message": message, "code": null}}).to_string(),
    )
}

#[test]
fn refusals_are_final() {
    let page = || {
        vec![Step::Send(response(
            403,
            "content-type: text/html\r\n",
            "<html>no</html>",
        ))]
    };
    let redirect = || {
        vec![Step::Send(response(
            307,
            "location: https://elsewhere/\r\n",
            "",
        ))]
    };
    let rows = [
        ("bad request", error(400, "no"), "error bad_request"),
        (
            "overflow",
            error(400, "maximum context length is 8192 tokens"),
            "error context_too_long",
        ),
        ("too large", error(413, "x"), "error context_too_long"),
        ("key", error(401, "bad key"), "error auth"),
        ("balance", error(402, "pay"), "error auth"),
        ("permission as a page", page(), "error auth"),
        ("model", error(404, "no such model"), "error not_found"),
        ("unprocessable", error(422, "no"), "error bad_request"),
        (
            "quota",
            error(429, "You exceeded your current quota"),
            "error auth",
        ),
        ("redirect", redirect(), "error bad_request"),
        (
            "error inside 200",
            json(200, r#"{"error":{"message":"x","code":401}}"#),
            "error auth",
        ),
        (
            "overflow inside 200",
            json(200, r#"{"error":{"message":"prompt is too long"}}"#),
            "error context_too_long",
        ),
        (
            "error in an event",
            stream(&[r#"{"error":{"message":"x","code":404}}"#]),
            "error not_found",
        ),
        (
            "error in a named event",
            vec![Step::Send(response(
                200,
                "content-type: text/event-stream\r\n",
                "event: error\ndata: {\"message\":\"x\",\"code\":400}\n\n",
            ))],
            "error bad_request",
        ),
        ("garbage events", stream(&["oops"]), "error undecodable"),
        (
            "page with 200",
            json(200, "<html>login</html>"),
            "error undecodable",
        ),
    ];
    for (name, script, expected) in rows {
        check(name, vec![script], expected, 1);
    }
}

#[test]
fn passing_failures_are_tried_again() {
    let broken_head = || vec![Step::Send(b"HTTP/1.1 200 OK\r\ncont".to_vec()), Step::Close];
    let no_answer = || vec![Step::Close];
    let reset = || vec![Step::Reset];
    let reset_in_stream = || {
        vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Send(chunk(b": processing\n\n")),
            Step::Reset,
        ]
    };
    let short_body = || {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"cho".to_vec()),
            Step::Close,
        ]
    };
    let half_call = || {
        stream(&[piece(
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}]}"#,
        )])
    };
    let rows = [
        ("rate limit", error(429, "slow down"), "error rate_limited"),
        (
            "rate limit without a body",
            vec![Step::Send(response(429, "", ""))],
            "error rate_limited",
        ),
        ("server error", error(500, "boom"), "error overloaded"),
        (
            "page from a proxy",
            vec![Step::Send(response(502, "", "<html>bad</html>"))],
            "error overloaded",
        ),
        ("busy", error(503, "busy"), "error overloaded"),
        ("overloaded", error(529, "overloaded"), "error overloaded"),
        ("conflict", error(409, "again"), "error overloaded"),
        (
            "busy inside 200",
            json(200, r#"{"error":{"message":"x","code":503}}"#),
            "error overloaded",
        ),
        (
            "busy in an event",
            stream(&[r#"{"error":{"message":"x","code":429}}"#]),
            "error rate_limited",
        ),
        (
            "vendor gives up",
            stream(&[finish("insufficient_system_resource")]),
            "error overloaded",
        ),
        ("closed", no_answer(), "error network"),
        ("reset", reset(), "error network"),
        ("broken head", broken_head(), "error network"),
        ("reset in the stream", reset_in_stream(), "error network"),
        ("short body", short_body(), "error network"),
        (
            "empty body",
            vec![Step::Send(response(200, "", ""))],
            "error network",
        ),
        (
            "nothing but blank lines",
            vec![Step::Send(response(200, "", "\n\n \n"))],
            "error network",
        ),
        (
            "only comments",
            vec![Step::Send(response(200, "", ": hi\n\n: there\n\n"))],
            "error network",
        ),
        (
            "only reasoning, then the end",
            stream(&[piece(r#"{"reasoning_content":"hm"}"#)]),
            "error network",
        ),
        ("half a call, then the end", half_call(), "error network"),
    ];
    for (name, script, expected) in rows {
        let fine = |streaming: bool| {
            if streaming {
                fine_stream()
            } else {
                fine_plain()
            }
        };
        for streaming in [true, false] {
            let (outcome, _) = situation(streaming, vec![script.clone(), fine(streaming)]);
            assert_eq!(outcome.line(), "complete \"fine\" [] x2", "{name}");
        }
        check(name, vec![script; 4], expected, 4);
    }
}

#[test]
fn a_connection_the_server_closed_meanwhile_costs_no_try() {
    let mut scripts = vec![fine_stream(), vec![Step::Close]];
    scripts.extend(vec![error(500, "boom"); 3]);
    scripts.push(fine_stream());
    let server = Server::start(scripts);
    let provider = adapter(settings(&server));
    ask(&provider, &CancelToken::new());
    let outcome = ask(&provider, &CancelToken::new());
    assert_eq!(outcome.line(), "complete \"fine\" [] x5");
}

#[test]
fn wanted_pauses_are_kept_or_reported() {
    let limited = |headers: &str| vec![Step::Send(response(429, headers, ""))];
    let (outcome, _) = situation(
        true,
        vec![
            limited("retry-after-ms: 5\r\nretry-after: 100\r\n"),
            fine_stream(),
        ],
    );
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    let (outcome, server) = situation(true, vec![limited("retry-after: 61\r\n")]);
    assert_eq!(
        outcome.result,
        Err(ProviderError::RateLimited {
            retry_after: Some(Duration::from_secs(61)),
            detail: "HTTP 429".to_owned()
        })
    );
    assert_eq!(server.received().len(), 2);
    let (outcome, _) = situation(true, vec![limited("x-should-retry: false\r\n")]);
    assert_eq!(outcome.line(), "error rate_limited");
    let odd = vec![Step::Send(response(400, "x-should-retry: true\r\n", ""))];
    let (outcome, _) = situation(true, vec![odd, fine_stream()]);
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
}

#[test]
fn timeouts_are_reported_not_repeated() {
    let starts: [(&[Step], &str); 3] = [
        (&[], "error timeout"),
        (&[Step::Send(SSE_HEAD.to_vec())], "error timeout"),
        (
            &[
                Step::Send(SSE_HEAD.to_vec()),
                Step::Send(chunk(&events(&[text("half")]))),
            ],
            "truncated \"half\" [] x1",
        ),
    ];
    for (start, expected) in starts {
        let server = Server::start(vec![[start, &[Step::Hold]].concat()]);
        let mut settings = settings(&server);
        settings.limits.first_byte = Duration::from_millis(50);
        settings.limits.idle = Duration::from_millis(50);
        let outcome = ask(&adapter(settings), &CancelToken::new());
        assert_eq!(outcome.line(), expected);
        server.gone.recv_timeout(CEILING).unwrap();
        assert_eq!(server.received().len(), 1);
    }
}

#[test]
fn the_person_hears_about_waiting() {
    let server = Server::start(vec![vec![Step::Hold]]);
    let mut settings = settings(&server);
    settings.pace.remind_after = Duration::from_millis(5);
    settings.pace.remind_every = Duration::from_millis(5);
    let provider = adapter(settings);
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

#[test]
fn keys_never_appear_in_errors() {
    let message = format!("your key {KEY} is wrong");
    let inside = serde_json::json!({"error": {"message": message, "code": 401}}).to_string();
    for script in [error(401, &message), json(200, &inside), stream(&[inside])] {
        let (outcome, _) = situation(true, vec![script]);
        let error = outcome.result.unwrap_err().to_string();
        assert!(error.contains("your key *** is wrong"), "{error}");
    }
}

#[test]
fn refusals_that_name_a_parameter_teach_at_once() {
    let model = ModelSpec {
        temperature: Some(0.7),
        max_tokens: Some(5000),
        ..model()
    };
    let server = Server::start(vec![
        error(
            400,
            "Unsupported value: 'temperature' does not support 0.7 with this model",
        ),
        error(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
        error(
            400,
            "max_completion_tokens: this model supports at most 4096 completion tokens",
        ),
        error(
            400,
            "Unrecognized request argument supplied: stream_options",
        ),
        fine_stream(),
        fine_stream(),
        fine_stream(),
    ]);
    let provider = adapter(settings(&server));
    let messages = [Message::text(Role::User, "hi")];
    let cancel = CancelToken::new();
    let outcome = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(outcome.line(), "complete \"fine\" [] x5");
    assert!(outcome.notices.is_empty());
    let again = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(again.line(), "complete \"fine\" [] x1");
    let other = ModelSpec {
        model_id: "m-2".to_owned(),
        ..model
    };
    ask_with(&provider, &other, &messages, &cancel);
    let bodies: Vec<_> = server.received().iter().map(|r| r.json()).collect();
    assert_eq!(bodies[0]["max_tokens"], 5000);
    for body in &bodies[4..6] {
        assert_eq!(body["max_completion_tokens"], 4096);
        for absent in ["temperature", "max_tokens", "stream_options"] {
            assert!(body.get(absent).is_none(), "{absent}");
        }
    }
    assert_eq!(
        bodies[6]["temperature"], 0.7,
        "lessons belong to their model"
    );
}

#[test]
fn a_service_that_only_streams_or_never_does_is_obeyed() {
    let server = Server::start(vec![
        error(
            400,
            "This model only support stream mode, please enable the stream parameter",
        ),
        fine_stream(),
    ]);
    let mut plain = settings(&server);
    plain.stream = false;
    assert!(ask(&adapter(plain), &CancelToken::new()).result.is_ok());
    assert_eq!(server.received()[1].json()["stream"], true);
    let server = Server::start(vec![error(400, "streaming is not supported"), fine_plain()]);
    assert!(
        ask(&adapter(settings(&server)), &CancelToken::new())
            .result
            .is_ok()
    );
    assert_eq!(server.received()[1].json()["stream"], false);
}

#[test]
fn a_service_that_keeps_failing_is_left_alone() {
    let server = Server::start(vec![error(500, "boom"); 100]);
    let provider = adapter(settings(&server));
    let cancel = CancelToken::new();
    for _ in 0..3 {
        assert_eq!(ask(&provider, &cancel).line(), "error overloaded");
    }
    assert_eq!(server.received().len(), 8);
}

#[test]
fn a_service_that_is_not_there_is_a_network_error() {
    let server = Server::start(Vec::new());
    let mut settings = settings(&server);
    drop(server);
    settings.base_url = "http://127.0.0.1:1/v1".to_owned();
    let outcome = ask(&adapter(settings), &CancelToken::new());
    assert_eq!(outcome.line(), "error network");
}
