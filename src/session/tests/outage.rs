//! What cannot be stored or read, and what ended meanwhile.

use super::super::active::TurnControl;
use super::super::actor::Actor;
use super::super::replies::{Replies, error_reply};
use super::super::worker::{self, TurnJob};
use super::*;
use crate::storage::Outcome;

#[test]
fn a_repeat_of_what_was_stopped_is_not_run_though_the_stop_cannot_be_stored() {
    let (held, begun, _release) = hold("too late");
    let rig = Rig::start(vec![held, Play::Say("run again")]);
    rig.say("1", "one");
    begun.recv_timeout(CEILING).unwrap();
    rig.db.spoil(
        "CREATE TRIGGER no_end BEFORE UPDATE OF state ON turns BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    rig.control("s", "stop");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    // The first repeat may come before the turn's end, the second comes after it.
    for _ in 0..2 {
        rig.say("1", "one");
        assert_eq!(rig.error("1"), ErrorCode::Stopped);
    }
    assert_eq!(rig.n_asked(), 1);
    rig.db.spoil("DROP TRIGGER no_end");
    rig.say("1", "one");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    rig.say("2", "two");
    assert_eq!(rig.answer("2"), "run again");
}

#[test]
fn a_stop_needs_no_disk() {
    let (held, begun, _release) = hold("too late");
    let rig = Rig::start(vec![held]);
    rig.say("1", "one");
    begun.recv_timeout(CEILING).unwrap();
    rig.db.spoil("PRAGMA query_only=ON");
    rig.control("i", "info");
    assert!(rig.command("i").contains("a turn runs"));
    rig.control("s", "stop");
    assert_eq!(rig.command("s"), "Stopped the running turn.");
    rig.say("2", "two");
    assert_eq!(rig.error("2"), ErrorCode::Storage);
}

#[test]
fn an_inbox_that_cannot_be_read_at_the_start_is_tried_again_by_itself() {
    let rig = Rig::unbooted();
    let (sink, _out) = bounded(10);
    let (_queue, inbox) = session_queue();
    let mut actor = Actor::new(rig.deps(sink), inbox, bounded(1).0, bounded(1).1);
    rig.db.spoil("ALTER TABLE inbox RENAME TO away");
    actor.recover();
    assert!(actor.recover_later);
    assert!(actor.probe.is_some(), "nothing wakes it");
}

#[test]
fn what_ended_while_it_waited_is_answered_and_not_run() {
    let rig = Rig::unbooted();
    let (dialog, input) = rig
        .db
        .write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            let input = tx.insert_input(&NewInput {
                source: "cli_chat",
                external_id: Some("1"),
                dialog: Some(row.key),
                sender: None,
                content: "hello?",
                files: &[],
                received_at: now,
            })?;
            let reply = error_reply(ErrorCode::Stopped, "Stopped.");
            tx.close_input(input, Outcome::Stopped, &reply)?;
            Ok((row, input))
        })
        .unwrap();
    let (sink, out) = bounded(10);
    let deps = rig.deps(sink);
    let job = TurnJob {
        dialog: dialog.key,
        session: dialog.session.clone(),
        input,
        resume: None,
        control: Arc::new(TurnControl::default()),
        replies: Arc::new(Replies::new(
            dialog.session,
            deps.sink.clone(),
            vec![caller("1")],
            Vec::new(),
        )),
    };
    worker::run(&deps, &job);
    let reply = out.try_recv().unwrap();
    assert!(
        matches!(
            &reply.body,
            Body::Error {
                code: ErrorCode::Stopped,
                ..
            }
        ),
        "{reply:?}"
    );
    assert_eq!(rig.n_asked(), 0);
}

#[test]
fn a_turn_that_ended_is_not_taken_up() {
    let rig = Rig::unbooted();
    rig.db
        .write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            let turn = tx.begin_turn(row.key, now)?;
            assert_eq!(tx.resume_turn(turn)?, Some(2));
            tx.end_turn(turn, crate::storage::TurnState::Stopped, now)?;
            assert_eq!(tx.resume_turn(turn)?, None);
            Ok(())
        })
        .unwrap();
}
