//! Stopping a call in every state: it ends as cancelled and its socket is closed.

use super::super::testing::{CEILING, SSE_HEAD, chunk, response};
use super::*;
use crate::threads;

/// Cancels once the server has the request.
fn check(script: impl Fn(&Kit) -> Vec<Step>, closes: bool) {
    for kit in KITS {
        for streaming in [true, false] {
            let server = Server::start(vec![script(kit), kit.fine(streaming)]);
            let provider = (kit.make)(ServiceSettings {
                stream: streaming,
                ..kit.settings(&server)
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
            let outcome = ask(&*provider, &cancel);
            assert_eq!(outcome.result, Err(ProviderError::Cancelled));
            canceller.join_within(CEILING).unwrap();
            if closes {
                server.gone.recv_timeout(CEILING).unwrap();
            }
            let next = ask(&*provider, &CancelToken::new());
            assert_eq!(next.line(), "complete \"fine\" [] x1");
        }
    }
}

/// The same within a stream that has begun.
fn check_stream(events: impl Fn(&Kit) -> Vec<u8>, then: impl Fn(&Kit) -> Step) {
    check(
        |kit| {
            vec![
                Step::Send(SSE_HEAD.to_vec()),
                Step::Send(chunk(&events(kit))),
                then(kit),
            ]
        },
        true,
    );
}

#[test]
fn while_waiting_for_the_head() {
    check(|_| vec![Step::Hold], true);
}

#[test]
fn in_a_silent_stream_after_text() {
    check_stream(|kit| kit.cut_off(&["half"]), |_| Step::Hold);
}

#[test]
fn in_a_stream_busy_with_comments() {
    let comment = || chunk(b": processing\n\n");
    check_stream(|kit| kit.cut_off(&[]), |_| Step::Endless(comment()));
}

#[test]
fn in_a_stream_busy_with_reasoning() {
    check_stream(
        |kit| kit.cut_off(&[]),
        |kit| Step::Endless(chunk(&(kit.reasoning)(""))),
    );
}

#[test]
fn in_a_half_plain_body() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\"";
    check(|_| vec![Step::Send(half.to_vec()), Step::Hold], true);
}

#[test]
fn in_a_slow_error_body() {
    let half = b"HTTP/1.1 500 X\r\ncontent-length: 900\r\n\r\n{\"err";
    check(|_| vec![Step::Send(half.to_vec()), Step::Hold], true);
}

#[test]
fn in_the_pause_before_another_try() {
    let busy = response(429, "retry-after: 50\r\n", "");
    check(|_| vec![Step::Send(busy.clone())], false);
}
