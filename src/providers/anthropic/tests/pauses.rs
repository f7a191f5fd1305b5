//! Answers that the service makes in several responses.

use super::*;
use crate::chat::Usage;

fn search(id: &str) -> (Value, Vec<Value>) {
    let block = json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {}});
    (block, vec![input(0, r#"{"query": "x"}"#)])
}

fn pause() -> Vec<Step> {
    stream(
        &[
            thinking_block("hm", "s"),
            text_block("One "),
            search("srv_1"),
        ],
        "pause_turn",
    )
}

#[test]
fn a_paused_answer_goes_back_as_it_is() {
    let server = Server::start(vec![pause(), stream(&[text_block("two.")], "end_turn")]);
    let outcome = ask(&adapter(KIT.settings(&server)), &CancelToken::new());
    assert_eq!(outcome.line(), r#"complete "One two." [] x2"#);
    assert_eq!(outcome.shown, "One two.");
    let sent = server.received()[1].json()["messages"].clone();
    let search = json!({"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}});
    let paused = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "One "}, search]);
    assert_eq!(sent[1], json!({"role": "assistant", "content": paused}));
    assert_eq!(sent.as_array().unwrap().len(), 2);
    let reply = outcome.result.unwrap();
    let content = content(&reply).unwrap();
    assert_eq!(
        content.as_array().unwrap()[..3],
        paused.as_array().unwrap()[..]
    );
    assert_eq!(content[3]["text"], "two.");
    let both = Usage {
        input: Some(14),
        output: Some(4),
        ..Usage::default()
    };
    assert_eq!(reply.usage, both);
}

#[test]
fn a_plain_answer_may_pause_too() {
    let paused = plain(&json!([{"type": "text", "text": "One "}]), "pause_turn").to_string();
    let done = plain(&json!([{"type": "text", "text": "two."}]), "end_turn").to_string();
    let scripts = vec![testing::json(200, &paused), testing::json(200, &done)];
    let (outcome, _) = KIT.situation(false, scripts);
    assert_eq!(outcome.line(), r#"complete "One two." [] x2"#);
}

#[test]
fn pauses_are_bounded() {
    let server = Server::start(vec![pause(); 100]);
    let outcome = ask(&adapter(KIT.settings(&server)), &CancelToken::new());
    assert!(
        outcome.line().starts_with("truncated \"One One"),
        "{}",
        outcome.line()
    );
    assert_eq!(server.received().len(), 9);
    let server = Server::start(vec![stream(&[], "pause_turn"); 100]);
    let outcome = ask(&adapter(KIT.settings(&server)), &CancelToken::new());
    assert_eq!(outcome.line(), "truncated \"\" [] x1");
    assert_eq!(server.received().len(), 1, "there is nothing to send back");
}

#[test]
fn a_failure_behind_a_pause_keeps_the_text() {
    let (outcome, _) = KIT.situation(true, vec![pause(), KIT.error(400, "no")]);
    assert_eq!(outcome.line(), r#"truncated "One " [] x2"#);
    // Nothing was shown yet: the same response is asked for again, not the whole answer.
    let silent = || stream(&[search("srv_1")], "pause_turn");
    let server = Server::start(vec![silent(), KIT.error(500, "boom"), KIT.fine(true)]);
    let outcome = ask(&adapter(KIT.settings(&server)), &CancelToken::new());
    assert_eq!(outcome.line(), r#"complete "fine" [] x3"#);
    let bodies: Vec<Value> = server.received().iter().map(|r| r.json()).collect();
    assert_eq!(bodies[1], bodies[2]);
    assert_eq!(bodies[2]["messages"][1]["role"], "assistant");
}

#[test]
fn calls_want_results_before_a_pause_ends() {
    let blocks = [search("srv_1"), call_block("a", "f", "{}")];
    let (outcome, server) = KIT.situation(true, vec![stream(&blocks, "pause_turn")]);
    assert_eq!(outcome.line(), r#"tool_calls "" [f {}] x1"#);
    assert_eq!(server.received().len(), 2);
}
