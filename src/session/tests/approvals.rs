//! Questions about tool calls: asked, answered, remembered, run out, stopped, and found again after a restart.

use super::*;
use crate::agent::{Decision, Rule};
use crate::bus::{ApprovalAnswer, ApprovalOutcome, ApprovalRequest};

/// A session in which `count` needs a yes.
fn asking(plays: Vec<Play>) -> Rig {
    let mut rig = Rig::unbooted();
    rig.policy = ApprovalPolicy::new(vec![Rule::new("count", Decision::Ask)]);
    rig.boot(plays);
    rig
}

/// A caller that may answer.
fn trusted(request_id: &str) -> Caller {
    let mut caller = caller(request_id);
    caller.wants.approvals = true;
    caller
}

fn say_trusted(rig: &Rig, request_id: &str, text: &str) {
    rig.send(trusted(request_id), input(None, text));
}

fn request(rig: &Rig, request_id: &str) -> Arc<ApprovalRequest> {
    match rig.reply(request_id) {
        Body::ApprovalRequest(request) => request,
        other => panic!("{other:?}"),
    }
}

fn answer(rig: &Rig, request_id: &str, id: &str, answer: ApprovalAnswer) {
    let op = Op::Approve {
        id: id.to_owned(),
        answer,
    };
    let caller = trusted(request_id);
    let control = &rig.queue.as_ref().unwrap().control;
    control.send(Control { caller, op }).unwrap();
}

fn resolved(rig: &Rig, request_id: &str) -> ApprovalOutcome {
    match rig.reply(request_id) {
        Body::ApprovalResolved { outcome, .. } => outcome,
        other => panic!("{other:?}"),
    }
}

fn last_result(rig: &Rig) -> String {
    let request = rig.last_request();
    let results = request.iter().flat_map(Message::tool_results);
    results.last().unwrap().content.clone()
}

#[test]
fn a_yes_lets_one_call_run() {
    let rig = asking(vec![
        Play::Call(vec![count("a")]),
        Play::Call(vec![count("b")]),
        Play::Say("done"),
    ]);
    say_trusted(&rig, "1", "count twice");
    let first = request(&rig, "1");
    assert_eq!(
        (first.name.as_str(), first.arguments.as_str()),
        ("count", "{}")
    );
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0, "it waits");
    answer(&rig, "2", &first.id, ApprovalAnswer::Allow);
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Allowed);
    let second = request(&rig, "1");
    assert_ne!(second.id, first.id, "a yes serves one call");
    answer(&rig, "3", &first.id, ApprovalAnswer::Allow);
    assert_eq!(rig.error("3"), ErrorCode::NotFound);
    answer(&rig, "4", &second.id, ApprovalAnswer::Deny);
    assert_eq!(resolved(&rig, "4"), ApprovalOutcome::Denied);
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Denied);
    assert_eq!(rig.answer("1"), "done");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1);
    assert!(last_result(&rig).contains("approval was denied"));
}

#[test]
fn nobody_to_ask_is_a_no() {
    let rig = asking(vec![Play::Call(vec![count("a")]), Play::Say("I see")]);
    rig.say("1", "count");
    assert_eq!(rig.answer("1"), "I see");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
    assert!(last_result(&rig).contains("approvals.rules"));
}

#[test]
fn silence_is_a_no() {
    let mut rig = Rig::unbooted();
    rig.policy = ApprovalPolicy::new(vec![Rule::new("count", Decision::Ask)]);
    rig.approval_time = Duration::from_millis(1);
    rig.boot(vec![Play::Call(vec![count("a")]), Play::Say("I see")]);
    say_trusted(&rig, "1", "count");
    let question = request(&rig, "1");
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Expired);
    assert_eq!(rig.answer("1"), "I see");
    answer(&rig, "2", &question.id, ApprovalAnswer::Allow);
    assert_eq!(rig.error("2"), ErrorCode::NotFound);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
    assert!(last_result(&rig).contains("nobody answered"));
}

#[test]
fn a_stop_ends_the_waiting() {
    let rig = asking(vec![Play::Call(vec![count("a")])]);
    say_trusted(&rig, "1", "count");
    let question = request(&rig, "1");
    rig.control("2", "stop");
    // The turn tells of its end on its own thread, before or after the command is answered.
    let seen: Vec<Body> = (0..3)
        .map(|_| rig.out.recv_timeout(CEILING).unwrap().body)
        .collect();
    let command = |body: &Body| matches!(body, Body::Command { content, .. } if content.contains("Stopped the running turn"));
    assert!(seen.iter().any(command), "{seen:?}");
    let stopped = seen.iter().skip_while(|body| {
        !matches!(body, Body::ApprovalResolved { outcome, .. } if *outcome == ApprovalOutcome::Expired)
    });
    let is_stopped =
        |body: &Body| matches!(body, Body::Error { code, .. } if *code == ErrorCode::Stopped);
    assert!(stopped.skip(1).any(is_stopped), "{seen:?}");
    answer(&rig, "3", &question.id, ApprovalAnswer::Allow);
    assert_eq!(rig.error("3"), ErrorCode::NotFound);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn a_question_survives_a_restart() {
    let mut rig = asking(vec![Play::Call(vec![count("a")])]);
    say_trusted(&rig, "1", "count");
    let question = request(&rig, "1");
    rig.stop();
    // The next process takes the turn up and waits under the same id; a client that repeats its input sees it.
    rig.boot(vec![Play::Say("done")]);
    say_trusted(&rig, "1", "count");
    assert_eq!(request(&rig, "1").id, question.id);
    answer(&rig, "2", &question.id, ApprovalAnswer::Allow);
    assert_eq!(resolved(&rig, "2"), ApprovalOutcome::Allowed);
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Allowed);
    assert_eq!(rig.answer("1"), "done");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1);
    assert_eq!(
        rig.n_asked(),
        2,
        "the model was not asked for the call again"
    );
}

#[test]
fn a_denied_call_beside_others_leaves_them_alone() {
    let rig = asking(vec![
        Play::Call(vec![count("a"), count("b")]),
        Play::Say("done"),
    ]);
    say_trusted(&rig, "1", "count");
    let first = request(&rig, "1");
    answer(&rig, "2", &first.id, ApprovalAnswer::Deny);
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Denied);
    let second = request(&rig, "1");
    answer(&rig, "3", &second.id, ApprovalAnswer::Always);
    assert_eq!(resolved(&rig, "1"), ApprovalOutcome::Always);
    assert_eq!(rig.answer("1"), "done");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1);
    let grants = rig.db.read(|tx| tx.grants()).unwrap();
    assert_eq!(grants, [], "an action without a subject is not remembered");
}
