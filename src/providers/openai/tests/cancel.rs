//! Stopping a call in every state: it ends as cancelled and its socket is closed.

use super::super::super::testing::{CEILING, SSE_HEAD, chunk, response};
use super::*;
use crate::threads;

/// Cancels once the server has the request.
fn check(script: Vec<Step>, closes: bool) {
    for streaming in [true, false] {
        let server = Server::start(vec![script.clone(), fine_stream()]);
        let provider = adapter(OpenAiSettings {
            stream: streaming,
            ..settings(&server)
        });
        let cancel = CancelToken::new();
        let canceller = {
            let (cancel, asked) = (cancel.clone(), server.asked.clone());
            threads::spawn("canceller", 128 * 1024, move || {
                asked.recv_timeout(CEILING).unwrap();
                cancel.cancel();
            })
            .unwrap()
        };
        let outcome = ask(&provider, &cancel);
        assert_eq!(outcome.result, Err(ProviderError::Cancelled));
        canceller.join_within(CEILING).unwrap();
        if closes {
            server.gone.recv_timeout(CEILING).unwrap();
        }
        let next = ask(&provider, &CancelToken::new());
        assert_eq!(next.line(), "complete \"fine\" [] x1");
    }
}

#[test]
fn while_waiting_for_the_head() {
    check(vec![Step::Hold], true);
}

#[test]
fn in_a_silent_stream_after_text() {
    check(
        vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Send(chunk(&events(&[text("half")]))),
            Step::Hold,
        ],
        true,
    );
}

#[test]
fn in_a_stream_busy_with_comments() {
    check(
        vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Endless(chunk(b": processing\n\n")),
        ],
        true,
    );
}

#[test]
fn in_a_stream_busy_with_reasoning() {
    let data = piece(r#"{"reasoning_content":""}"#);
    check(
        vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Endless(chunk(&events(&[data]))),
        ],
        true,
    );
}

#[test]
fn in_a_half_plain_body() {
    check(
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\"".to_vec()),
            Step::Hold,
        ],
        true,
    );
}

#[test]
fn in_a_slow_error_body() {
    check(
        vec![
            Step::Send(b"HTTP/1.1 500 X\r\ncontent-length: 900\r\n\r\n{\"err".to_vec()),
            Step::Hold,
        ],
        true,
    );
}

#[test]
fn in_the_pause_before_another_try() {
    check(
        vec![Step::Send(response(429, "retry-after: 50\r\n", ""))],
        false,
    );
}
