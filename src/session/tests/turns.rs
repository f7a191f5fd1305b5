//! Turns from their input to their answer: order, repeats, tools, stopping, failures, and many at once.

use super::*;

#[test]
fn a_plain_turn_is_stored_and_answered() {
    let rig = Rig::start(vec![Play::Say("hello back")]);
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "hello back");
    let request = rig.last_request();
    assert!(matches!(&request[0].parts[0], Part::Context(block) if block.contains("Time: ")));
    assert_eq!(text_of(&request[0]), "hello");
    assert_eq!(
        rig.shown(),
        [
            (Role::User, "hello".into(), ItemState::Done),
            (Role::Assistant, "hello back".into(), ItemState::Done),
        ]
    );
}

#[test]
fn one_dialog_in_order_others_beside_it() {
    let (held, begun, release) = hold("first");
    let rig = Rig::start(vec![held, Play::Say("other"), Play::Say("second")]);
    rig.say("1", "one");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "two");
    rig.send(caller("3"), input(Some("elsewhere"), "three"));
    assert_eq!(rig.answer("3"), "other");
    assert_eq!(rig.n_asked(), 2, "the second of the first dialog waits");
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "first");
    assert_eq!(rig.answer("2"), "second");
    let texts: Vec<_> = rig.last_request().iter().map(text_of).collect();
    assert_eq!(texts, ["one", "first", "two"]);
}

#[test]
fn a_repeat_gets_the_same_answer_and_no_second_turn() {
    let (held, begun, release) = hold("only once");
    let rig = Rig::start(vec![held]);
    rig.say("1", "hello");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("1", "hello");
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "only once");
    assert_eq!(rig.answer("1"), "only once");
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "only once");
    assert_eq!(rig.n_asked(), 1);
}

#[test]
fn tools_run_and_their_rounds_are_limited() {
    let rounds = (0..3).map(|_| Play::Call(vec![count("same"), count("same")]));
    let rig = Rig::start(rounds.chain([Play::Say("that was it")]).collect());
    rig.say("1", "count");
    assert_eq!(
        rig.answer("1"),
        "that was it\n\nStopped after 3 tool rounds."
    );
    assert_eq!(rig.runs.load(Ordering::SeqCst), 6);
    let request = rig.last_request();
    let ids: std::collections::HashSet<_> = request
        .iter()
        .flat_map(Message::tool_calls)
        .map(|call| call.id.clone())
        .collect();
    assert_eq!(ids.len(), 6, "repeated ids were made unique");
    assert!(text_of(request.last().unwrap()).contains("without tools"));
}

#[test]
fn stop_ends_the_turn_and_drops_what_waits() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held, Play::Say("alive")]);
    rig.say("1", "work hard");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "and then this");
    rig.control("stop", "stop");
    let mut seen: Vec<(String, Body)> = (0..3)
        .map(|_| {
            let outbound = rig.out.recv_timeout(CEILING).unwrap();
            (outbound.request_id.unwrap(), outbound.body)
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(
        matches!(&seen[0].1, Body::Error { code: ErrorCode::Stopped, message } if message == "Stopped.")
    );
    assert!(
        matches!(&seen[1].1, Body::Error { code: ErrorCode::Stopped, message } if message.contains("before it began"))
    );
    assert!(
        matches!(&seen[2].1, Body::Command { content, .. } if content == "Stopped the running turn.\nDropped 1 waiting message:\n- and then this")
    );
    rig.say("3", "still there?");
    assert_eq!(rig.answer("3"), "alive");
    assert_eq!(rig.shown()[0].2, ItemState::Stopped);
    rig.control("idle", "stop");
    assert_eq!(rig.command("idle"), "Nothing is running or waiting here.");
}

#[test]
fn a_turn_deaf_to_stop_is_left_behind() {
    let (begun, has_begun) = bounded(1);
    let (release, released) = bounded::<()>(1);
    let rig = Rig::start(vec![Play::Deaf(begun, released), Play::Say("alive")]);
    rig.say("1", "hang");
    has_begun.recv_timeout(CEILING).unwrap();
    rig.control("stop", "stop");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    rig.say("2", "next");
    assert_eq!(rig.answer("2"), "alive");
    release.send(()).unwrap();
    let shown = rig.shown();
    assert_eq!(shown.len(), 4, "the late answer was dropped: {shown:?}");
}

#[test]
fn failures_are_told_and_the_dialog_goes_on() {
    let rig = Rig::start(vec![
        Play::Fail(ProviderError::Auth("invalid key".into())),
        Play::Panic,
        Play::Say("better now"),
    ]);
    rig.say("1", "one");
    assert_eq!(rig.error("1"), ErrorCode::Auth);
    rig.say("2", "two");
    assert_eq!(rig.error("2"), ErrorCode::Internal);
    rig.say("3", "three");
    assert_eq!(rig.answer("3"), "better now");
    assert_eq!(rig.shown()[0].2, ItemState::Failed);
}

#[test]
fn clearing_a_busy_dialog_stops_it_first() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held, Play::Say("fresh")]);
    rig.say("1", "secret");
    begun.recv_timeout(CEILING).unwrap();
    let clear = |name| {
        rig.send(
            caller(name),
            InboundBody::Clear {
                session: None,
                route: None,
            },
        );
    };
    clear("clear");
    rig.say("2", "hello");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    assert_eq!(rig.reply("clear"), Body::Cleared);
    assert_eq!(rig.answer("2"), "fresh");
    let request = rig.last_request();
    assert_eq!(request.len(), 1, "nothing of before is sent");
    assert_eq!(
        text_of(&request[0]),
        "hello",
        "what came behind the wish is kept"
    );
    rig.say("2", "hello");
    assert_eq!(rig.answer("2"), "fresh");
}

#[test]
fn a_full_queue_says_so() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held]);
    rig.say("0", "first");
    begun.recv_timeout(CEILING).unwrap();
    for n in 1..=101 {
        rig.say(&format!("{n}"), "more");
    }
    assert_eq!(rig.error("101"), ErrorCode::QueueFull);
}

#[test]
fn one_input_can_be_stopped_among_others() {
    let (held, begun, release) = hold("finished");
    let rig = Rig::start(vec![held]);
    rig.say("1", "work");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "drop me");
    rig.say("3", "keep me");
    rig.control_with("stop", "stop", "2");
    assert_eq!(rig.error("2"), ErrorCode::Stopped);
    assert_eq!(rig.command("stop"), "Dropped 1 waiting message:\n- drop me");
    rig.control_with("none", "stop", "unknown");
    assert_eq!(rig.command("none"), "Nothing is running or waiting here.");
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "finished");
    assert_eq!(rig.answer("3"), "nothing more to say");
}

#[test]
fn a_flood_is_taken_in_and_everything_joins() {
    let mut rig = Rig::start(vec![]);
    for n in 0..500 {
        rig.send(
            caller(&format!("{n}")),
            input(Some(&format!("chat{}", n % 20)), "hello"),
        );
    }
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    rig.stop();
    let open = rig.db.read(|tx| tx.open_inputs()).unwrap().len();
    assert!(open <= 500);
}
