//! What a process left that was killed or ended: what goes on, what is given up, and what is mended.

use super::*;

#[test]
fn a_turn_cut_off_by_the_end_goes_on_in_the_next_process() {
    let (held, begun, _release) = hold("never");
    let mut rig = Rig::start(vec![held]);
    rig.say("1", "hello");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "later");
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    rig.stop();
    assert_eq!(rig.error("1"), ErrorCode::ShuttingDown);
    rig.boot(vec![Play::Say("one"), Play::Say("two")]);
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "one");
    rig.say("2", "later");
    assert_eq!(rig.answer("2"), "two");
    assert_eq!(rig.shown().len(), 4);
}

/// Leaves what a process killed in the middle of a tool round leaves.
fn crashed(db: &Db, attempts: u32, overtaken: bool) {
    db.write(|tx| {
        let now = SystemTime::now();
        let row = tx.current_dialog(&route("local"), now)?;
        let input = tx.insert_input(&NewInput {
            source: "cli_chat",
            external_id: Some("1"),
            dialog: Some(row.key),
            sender: None,
            content: "count twice",
            files: &[],
            received_at: now,
        })?;
        let turn = tx.begin_turn(row.key, now)?;
        tx.take_input(input, turn)?;
        for _ in 1..attempts {
            tx.resume_turn(turn)?;
        }
        let calls = Message {
            role: Role::Assistant,
            parts: vec![Part::ToolCall(count("a")), Part::ToolCall(count("b"))],
            native: None,
        };
        tx.append_messages(
            row.key,
            turn,
            &[Message::text(Role::User, "count twice"), calls],
            now,
        )?;
        tx.start_call(turn, "a", "count", now)?;
        if overtaken {
            let later = tx.begin_turn(row.key, now)?;
            let messages = [
                Message::text(Role::User, "meanwhile"),
                Message::text(Role::Assistant, "done"),
            ];
            tx.append_messages(row.key, later, &messages, now)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_call_that_had_begun_is_not_run_again() {
    let rig = Rig::start_with(vec![Play::Say("went on")], |db| crashed(db, 1, false));
    rig.say("1", "count twice");
    assert_eq!(rig.answer("1"), "went on");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1, "only the second call");
    let request = rig.last_request();
    let results: Vec<_> = request.iter().flat_map(Message::tool_results).collect();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0].content, crate::agent::INTERRUPTED);
    assert_eq!(results[1].content, "run 1");
}

#[test]
fn a_turn_that_ends_processes_is_given_up() {
    let rig = Rig::start_with(vec![], |db| crashed(db, 3, false));
    rig.say("1", "count twice");
    assert!(
        matches!(rig.reply("1"), Body::Error { code: ErrorCode::Internal, message } if message.contains("three times"))
    );
    assert_eq!(rig.n_asked(), 0);
    assert_eq!(rig.shown().last().unwrap().0, Role::Assistant);
}

#[test]
fn a_turn_overtaken_by_others_is_told_as_lost() {
    let rig = Rig::start_with(vec![Play::Say("fine")], |db| crashed(db, 1, true));
    rig.say("1", "count twice");
    assert_eq!(rig.error("1"), ErrorCode::Internal);
    rig.say("2", "and now?");
    assert_eq!(rig.answer("2"), "fine");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
}

/// An input that took the place of others was begun before them: after a crash it goes on first, and they come behind it.
#[test]
fn what_was_begun_goes_on_before_what_came_earlier() {
    let plays = ["went on", "first", "second"].map(Play::Say).into();
    let rig = Rig::start_with(plays, |db| {
        let waits = |id: &str| {
            db.write(|tx| {
                let now = SystemTime::now();
                let row = tx.current_dialog(&route("local"), now)?;
                tx.insert_input(&NewInput {
                    source: "cli_chat",
                    external_id: Some(id),
                    dialog: Some(row.key),
                    sender: None,
                    content: id,
                    files: &[],
                    received_at: now,
                })
            })
        };
        waits("early 1").unwrap();
        waits("early 2").unwrap();
        crashed(db, 1, false);
    });
    rig.say("1", "count twice");
    rig.say("early 2", "early 2");
    assert_eq!(rig.answer("1"), "went on");
    assert_eq!(rig.answer("early 2"), "second");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1, "only the second call");
    let said: Vec<String> = rig.shown().into_iter().map(|(_, text, _)| text).collect();
    let spoken = [
        "count twice",
        "went on",
        "early 1",
        "first",
        "early 2",
        "second",
    ];
    assert_eq!(said, spoken);
}

/// Somebody else wrote in the dialog and had it compressed before the turn could go on: nothing of it is done again.
#[test]
fn a_turn_whose_steps_were_compressed_is_not_begun_anew() {
    let rig = Rig::start_with(vec![Play::Call(vec![count("again")])], |db| {
        crashed(db, 1, true);
        let summary = Context {
            upto: i64::MAX,
            summary: "<summary>all</summary>".to_owned(),
            ..Context::default()
        };
        db.write(|tx| {
            let row = tx.current_dialog(&route("local"), SystemTime::now())?;
            tx.set_context(row.key, &summary)
        })
        .unwrap();
    });
    rig.say("1", "count twice");
    assert_eq!(rig.error("1"), ErrorCode::Internal);
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
    assert_eq!(rig.n_asked(), 0);
}

#[test]
fn a_damaged_history_is_mended_in_the_database() {
    let rig = Rig::start_with(vec![Play::Say("fine"), Play::Say("again")], |db| {
        db.write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            let turn = tx.begin_turn(row.key, now)?;
            tx.end_turn(turn, crate::storage::TurnState::Done, now)?;
            let messages = [
                Message::text(Role::User, "before"),
                Message::results([crate::chat::ToolResult {
                    call_id: "orphan".into(),
                    content: "x".into(),
                    is_error: false,
                    images: Vec::new(),
                }]),
                Message::text(Role::Assistant, "after"),
            ];
            tx.append_messages(row.key, turn, &messages, now)
        })
        .unwrap();
    });
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "fine");
    let history = rig
        .db
        .read(|tx| tx.history(DialogKey(1), &Context::default()))
        .unwrap();
    let roles: Vec<_> = history.iter().map(|stored| stored.message.role).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::User, Role::Assistant]
    );
    assert_eq!(history[0].turn, TurnId(1));
}

#[test]
fn a_repeat_of_what_nobody_works_on_is_taken_up() {
    let rig = Rig::start(vec![Play::Say("at last")]);
    rig.send(
        caller("sync"),
        InboundBody::List {
            archived: false,
            all: false,
            offset: None,
        },
    );
    rig.reply("sync");
    rig.db
        .write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            tx.insert_input(&NewInput {
                source: "cli_chat",
                external_id: Some("lost"),
                dialog: Some(row.key),
                sender: None,
                content: "hello?",
                files: &[],
                received_at: now,
            })
        })
        .unwrap();
    rig.say("lost", "hello?");
    assert_eq!(rig.answer("lost"), "at last");
    rig.say("lost", "something else");
    assert_eq!(rig.error("lost"), ErrorCode::BadRequest);
}

#[test]
fn ending_in_order_is_no_crash() {
    let (held, begun, _release) = hold("never");
    let mut rig = Rig::start(vec![held]);
    rig.say("1", "long work");
    begun.recv_timeout(CEILING).unwrap();
    for _ in 0..4 {
        rig.stop();
        let (held, begun, release) = hold("never");
        std::mem::forget(release);
        rig.boot(vec![held]);
        begun.recv_timeout(CEILING).unwrap();
    }
    rig.stop();
    rig.boot(vec![Play::Say("done")]);
    rig.say("1", "long work");
    assert_eq!(rig.answer("1"), "done");
}
