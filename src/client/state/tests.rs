//! What a person does and the gateway says, and what becomes of it.

use proptest::prelude::*;

use super::*;
use crate::client::keys::TABLE;
use crate::client::net::NetEvent;
use crate::client::play::{Play, SESSION};
use crate::client::text::Widths;
use crate::wire::{ClientBody, Decision};

fn down() -> Event {
    Event::Net(NetEvent::Down {
        why: "gone".to_owned(),
        retry_ms: 500,
        is_refused: false,
    })
}

fn texts(play: &Play) -> Vec<String> {
    play.state
        .transcript
        .iter()
        .map(|entry| entry.text().to_owned())
        .collect()
}

#[test]
fn a_turn_from_key_to_answer() {
    let mut play = Play::online();
    play.say("你好");
    assert_eq!(play.inputs(), [(Some("t-1".to_owned()), "你好".to_owned())]);
    assert!(play.state.composer.is_empty() && play.state.is_busy());
    play.about("t-1", "turn_started", r#""turn":1"#);
    play.about("t-1", "assistant_delta", r#""content":"好""#);
    play.about("t-1", "turn_finished", r#""turn":1,"usage":{"input_tokens":10,"output_tokens":5},"model":"m","took_ms":1,"context_tokens":15,"token_limit":100,"cost":0.004,"currency":"USD""#);
    play.about("t-1", "assistant_response", r#""content":"好的。""#);
    assert_eq!(texts(&play), ["你好", "好的。"]);
    assert!(!play.state.is_busy());
    let usage = &play.state.usage;
    assert_eq!(
        (usage.context, usage.limit, usage.input, usage.output),
        (Some(15), Some(100), 10, 5)
    );
    assert_eq!(usage.cost["USD"], 0.004);
    assert_eq!(
        play.state.next_due(250),
        None.or(play.state.draft_due),
        "nothing moves by itself"
    );
}

#[test]
fn what_is_sent_while_a_turn_runs_waits_and_can_be_taken_back() {
    let mut play = Play::online();
    play.say("one");
    play.about("t-1", "turn_started", r#""turn":1"#);
    play.about("t-1", "assistant_delta", r#""content":"1,""#);
    play.say("two");
    play.say("three");
    play.effects.clear();
    assert_eq!(texts(&play), ["one", "1,"]);
    play.type_text("draft");
    play.key("alt+up");
    let sent = play.sent();
    assert!(
        matches!(&sent[..], [one] if one.body == ClientBody::TakeBack { input: Some("t-3".to_owned()) }),
        "{sent:?}"
    );
    play.about(
        "t-3",
        "error",
        r#""code":"stopped","message":"Taken back.""#,
    );
    play.about(
        "x",
        "input_taken_back",
        r#""content":"three","input":"t-3""#,
    );
    assert_eq!(play.state.composer.expanded(), "three\ndraft");
    assert!(play.state.turn.is_some(), "the turn goes on");
    play.about("t-1", "assistant_delta", r#""content":" 2""#);
    play.about("t-1", "assistant_response", r#""content":"1, 2""#);
    play.about("t-2", "turn_started", r#""turn":2"#);
    assert_eq!(texts(&play), ["one", "1, 2", "two"]);
    play.key("esc");
    assert_eq!(play.inputs(), [(None, "/stop t-2".to_owned())]);
    play.about("t-2", "error", r#""code":"stopped","message":"Stopped.""#);
    assert!(!play.state.is_busy());
    play.key("ctrl+c");
    play.key("alt+up");
    assert!(play.state.composer.is_empty());
}

#[test]
fn a_call_that_a_restarted_gateway_begins_again_is_shown_once() {
    let mut play = Play::online();
    play.load(r#"{"role":"user","content":"run","created_at":"","state":"running","id":1},{"role":"assistant","content":"","created_at":"","state":"done","id":2,"tool_calls":[{"call_id":"c1","name":"bash","arguments":"{}","content":"","state":"running"}]}"#);
    play.about("t-1", "turn_started", r#""turn":1"#);
    play.about(
        "t-1",
        "tool_started",
        r#""call_id":"c1","name":"bash","arguments":"{}""#,
    );
    play.about(
        "t-1",
        "tool_finished",
        r#""call_id":"c1","name":"bash","is_error":false,"content":"out","took_ms":5"#,
    );
    let screen = play.screen(80, 24);
    assert_eq!(screen.matches("bash").count(), 1, "{screen}");
    assert!(screen.contains("done"), "{screen}");
}

#[test]
fn a_lost_connection_doubles_nothing_and_loses_nothing() {
    let mut play = Play::online();
    play.say("整理");
    play.about("t-1", "turn_started", r#""turn":1"#);
    play.about("t-1", "assistant_delta", r#""content":"部分""#);
    play.type_text("草稿");
    play.event(down());
    play.say(" 二");
    assert!(play.sent().is_empty() || play.state.link != Link::Online);
    play.effects.clear();
    play.connect();
    assert!(
        play.inputs().is_empty(),
        "nothing goes out before the dialog is known"
    );
    play.load(r#"{"role":"user","content":"整理","created_at":"2026-03-01T14:02:00.000Z","state":"done","id":1},{"role":"assistant","content":"好了。","created_at":"2026-03-01T14:02:00.000Z","state":"done","id":2}"#);
    let ids: Vec<_> = play.inputs();
    assert_eq!(
        ids,
        [
            (Some("t-1".to_owned()), "整理".to_owned()),
            (Some("t-2".to_owned()), "草稿 二".to_owned())
        ]
    );
    play.about("t-1", "assistant_response", r#""content":"好了。""#);
    play.about("t-2", "turn_started", r#""turn":2"#);
    play.about("t-2", "assistant_response", r#""content":"二好了。""#);
    assert_eq!(texts(&play), ["整理", "好了。", "草稿 二", "二好了。"]);
}

#[test]
fn a_gateway_that_ends_keeps_what_it_took() {
    let mut play = Play::online();
    play.say("one");
    play.effects.clear();
    play.about(
        "t-1",
        "error",
        r#""code":"shutting_down","message":"The message is kept.""#,
    );
    play.event(down());
    play.connect();
    play.load("");
    assert_eq!(play.inputs(), [(Some("t-1".to_owned()), "one".to_owned())]);
    assert_eq!(texts(&play), ["one"], "shown again once");
}

#[test]
fn an_approval_waits_for_quiet() {
    let ask = |play: &mut Play| {
        play.frame(&format!(
            r#"{{"type":"approval_request","approval_id":"p","name":"bash","arguments":"{{\"command\":\"ls\"}}","expires_at":"2026-03-01T14:10:00.000Z","session_id":"{SESSION}","summary":"ls","reason":"r","in_workspace":true,"can_always":true}}"#
        ));
    };
    let mut play = Play::online();
    play.type_text("ma");
    ask(&mut play);
    play.type_text("yany");
    assert_eq!(play.state.composer.text(), "mayany", "typing goes on");
    assert_eq!(play.state.approvals.len(), 1);
    play.key("y");
    let sent = play.sent();
    assert!(
        matches!(&sent[..], [message] if matches!(&message.body, ClientBody::ApprovalReply { decision: Decision::Allow, .. })),
        "{sent:?}"
    );
    assert_eq!(
        (play.state.composer.text(), play.state.approvals.len()),
        ("mayany", 0)
    );
    ask(&mut play);
    play.about(
        "x",
        "approval_resolved",
        r#""approval_id":"p","decision":"deny""#,
    );
    assert!(play.state.approvals.is_empty());
    ask(&mut play);
    play.event(down());
    play.effects.clear();
    play.key("y");
    assert!(play.sent().is_empty() && play.state.approvals.len() == 1);
    assert!(
        play.screen(80, 24)
            .contains("not now: there is no connection")
    );
    play.connect();
    play.load("");
    play.effects.clear();
    ask(&mut play);
    play.key("a");
    play.key("esc");
    assert_eq!(play.sent().len(), 1, "esc stops no turn that is not there");
}

#[test]
fn commands_popup_and_local_commands() {
    let mut play = Play::online();
    play.type_text("/re");
    play.key("tab");
    assert_eq!(play.state.composer.text(), "/rename ");
    play.key("ctrl+u");
    play.say("/keys");
    assert!(matches!(play.state.overlay, Overlay::Help { .. }));
    assert!(play.inputs().is_empty());
    play.key("esc");
    play.say("/new");
    assert_eq!(play.inputs(), [(Some("t-1".to_owned()), "/new".to_owned())]);
    assert!(!play.state.is_busy(), "a command is no turn");
    play.frame(r#"{"type":"command_executed","command":"/new","content":"New dialog 4.","session_id":"cli_chat:local:4","request_id":"t-1"}"#);
    let sent = play.sent();
    assert!(sent.iter().any(|message| matches!(&message.body, ClientBody::LoadSession { session_id, .. } if session_id.ends_with(":4"))));
    play.say("/theme mono");
    assert_eq!(play.state.theme, crate::client::theme::Theme::Mono);
    play.type_text("/");
    play.key("esc");
    assert!(play.state.popup.is_none());
    play.type_text("n");
    assert!(play.state.popup.is_none(), "closed is closed for this word");
}

#[test]
fn the_answer_to_a_command_outlives_the_loading_that_follows() {
    let mut play = Play::online();
    play.say("/switch 九");
    play.frame(&format!(
        r#"{{"type":"command_executed","command":"/switch","content":"There is no dialog “九” here.","session_id":"{SESSION}","request_id":"t-1"}}"#
    ));
    let loaded = format!(
        r#"{{"type":"session_loaded","session_id":"{SESSION}","messages":[],"has_more":false}}"#
    );
    play.frame(&loaded);
    assert_eq!(texts(&play), ["/switch 九\nThere is no dialog “九” here."]);
    // Once: what is loaded later has nothing to do with it.
    play.frame(&loaded);
    assert_eq!(texts(&play), [""; 0]);
}

#[test]
fn enter_in_a_burst_is_a_line_break() {
    let mut play = Play::online();
    for (at, c) in "ab\ncd".chars().enumerate() {
        let name = if c == '\n' {
            "enter".to_owned()
        } else {
            c.to_string()
        };
        play.ms += 1;
        play.event(Event::Key {
            key: crate::client::keys::Key::parse(&name).unwrap(),
            text: Some(c).filter(|c| *c != '\n'),
            quick: at > 0,
        });
    }
    assert_eq!(
        play.state.composer.text(),
        "cd",
        "two quick keys are a fast typist: it was sent"
    );
    let mut play = Play::online();
    for (at, c) in "abcd\nef".chars().enumerate() {
        let name = if c == '\n' {
            "enter".to_owned()
        } else {
            c.to_string()
        };
        play.event(Event::Key {
            key: crate::client::keys::Key::parse(&name).unwrap(),
            text: Some(c).filter(|c| *c != '\n'),
            quick: at > 0,
        });
    }
    assert_eq!(play.state.composer.text(), "abcd\nef");
    assert!(play.inputs().is_empty());
}

#[test]
fn drafts_belong_to_their_dialogs() {
    let mut play = Play::online();
    play.type_text("草稿甲");
    play.frame(r#"{"type":"session_created","session_id":"cli_chat:local:4","title":""}"#);
    play.frame(r#"{"type":"session_loaded","session_id":"cli_chat:local:4","messages":[],"has_more":false}"#);
    assert!(play.state.composer.is_empty());
    assert!(play.effects.contains(&Effect::SaveDraft {
        session: SESSION.to_owned(),
        text: "草稿甲".to_owned()
    }));
    play.type_text("乙");
    play.key("ctrl+s");
    play.frame(&format!(r#"{{"type":"session_list","sessions":[{{"session_id":"{SESSION}","title":"x","archived":false,"updated_at":"","message_count":0}}]}}"#));
    play.key("enter");
    play.load("");
    assert_eq!(play.state.composer.expanded(), "草稿甲");
}

/// Another client deletes or archives the dialog in which a person is writing, or the command for it is their own.
#[test]
fn a_draft_goes_along_when_its_dialog_goes() {
    let kinds = [
        format!(r#"{{"type":"session_deleted","session_id":"{SESSION}"}}"#),
        format!(r#"{{"type":"session_archived","session_id":"{SESSION}"}}"#),
        r#"{"type":"command_executed","command":"/delete","content":"Deleted.","session_id":"cli_chat:local:8"}"#.to_owned(),
    ];
    for kind in kinds {
        let mut play = Play::online();
        play.type_text("没写完的话");
        play.frame(&kind);
        if !kind.contains("command_executed") {
            dialog_list(&mut play, [8, 7]);
        }
        play.frame(r#"{"type":"session_loaded","session_id":"cli_chat:local:8","messages":[],"has_more":false}"#);
        assert_eq!(play.state.session(), Some("cli_chat:local:8"), "{kind}");
        assert_eq!(play.state.composer.expanded(), "没写完的话", "{kind}");
        let mut kept = std::collections::BTreeMap::new();
        for effect in &play.effects {
            if let Effect::SaveDraft { session, text } = effect {
                kept.insert(session.as_str(), text.as_str());
            }
        }
        kept.retain(|_, text| !text.is_empty());
        assert_eq!(
            kept.into_iter().collect::<Vec<_>>(),
            [("cli_chat:local:8", "没写完的话")],
            "{kind}"
        );
    }
    let mut play = Play::online();
    play.type_text("草稿");
    play.frame(&format!(
        r#"{{"type":"command_executed","command":"/delete","content":"Deleted T7.","session_id":"{SESSION}"}}"#
    ));
    play.load("");
    assert_eq!(
        play.state.composer.expanded(),
        "草稿",
        "another one was deleted"
    );
}

/// A command that ended with another code than 0 is shown as that, and what it said stays open.
#[test]
fn a_failed_command_stays_open_with_its_code() {
    let mut play = Play::online();
    play.say("run");
    for (id, output) in [
        ("c1", "fine\\n[exit 0]"),
        ("c2", "no such thing\\n[exit 3]"),
    ] {
        play.about(
            "t-1",
            "tool_started",
            &format!(r#""call_id":"{id}","name":"bash","arguments":"{{\"command\":\"x\"}}""#),
        );
        play.about(
            "t-1",
            "tool_finished",
            &format!(r#""call_id":"{id}","name":"bash","is_error":false,"content":"{output}","took_ms":5"#),
        );
    }
    let screen = play.screen(80, 24);
    assert!(
        screen.contains("✓ exit 0") && !screen.contains("fine"),
        "{screen}"
    );
    assert!(
        screen.contains("✗ exit 3") && screen.contains("no such thing"),
        "{screen}"
    );
}

/// A gateway that knows only the public contract answers each input once and repeats no ids.
#[test]
fn a_gateway_that_repeats_no_ids_is_understood() {
    let mut play = Play::online();
    play.frame(r#"{"type":"error","code":"unknown_type","message":"unknown type hello"}"#);
    for text in ["一", "二", "/info"] {
        play.say(text);
    }
    assert!(play.state.is_busy());
    for answer in ["甲", "乙"] {
        play.frame(&format!(
            r#"{{"type":"assistant_response","content":"{answer}","session_id":"{SESSION}"}}"#
        ));
    }
    play.frame(r#"{"type":"command_executed","command":"/info","content":"model m"}"#);
    assert_eq!(
        texts(&play)[1..],
        ["一", "甲", "二", "乙", "/info\nmodel m"]
    );
    assert!(!play.state.is_busy() && play.state.pending.is_empty());
    assert!(!play.screen(80, 24).contains("sending"));
}

/// Whoever repeats ids may also say something that nobody here asked for: it answers nothing.
#[test]
fn an_answer_without_an_id_is_no_answer_to_ours() {
    let mut play = Play::online();
    play.say("一");
    play.about("t-1", "input_accepted", "");
    play.frame(&format!(
        r#"{{"type":"assistant_response","content":"another's","session_id":"{SESSION}"}}"#
    ));
    assert!(play.state.is_busy() && play.state.pending.len() == 1);
}

#[test]
fn a_list_that_is_not_all_says_so() {
    let mut play = Play::online();
    play.key("ctrl+s");
    play.frame(r#"{"type":"session_list","sessions":[{"session_id":"cli_chat:local:7","title":"T7","archived":false,"updated_at":"","message_count":0}],"has_more":true}"#);
    assert!(
        play.screen(80, 24)
            .contains("the newest 1 (/sessions WORDS finds others)")
    );
    assert!(play.screen(40, 12).contains("Newest 1 dialogs"));
    dialog_list(&mut play, [7, 8]);
    assert!(!play.screen(80, 24).contains("newest"));
}

/// Another width makes other rows of the same text: none of them is new.
#[test]
fn resizing_brings_no_new_lines() {
    let mut play = Play::online();
    let long = "很长的一段话，说了又说。".repeat(200);
    play.load(&format!(
        r#"{{"role":"assistant","content":"{long}","created_at":"","state":"done","id":1}}"#
    ));
    play.screen(80, 24);
    play.key("pageup");
    for (columns, rows) in [(80, 24), (40, 12), (30, 20), (120, 40), (80, 24), (33, 12)] {
        let screen = play.screen(columns, rows);
        assert!(screen.contains("↓ ctrl+end"), "{columns}x{rows}\n{screen}");
    }
    play.frame(r#"{"type":"system_notification","content":"one more"}"#);
    let screen = play.screen(33, 12);
    assert!(screen.contains("↓ 2 new lines"), "{screen}");
}

#[test]
fn a_reason_without_room_stands_without_the_time_of_the_next_try() {
    let mut play = Play::online();
    let why = "no gateway: its certificate is not accepted (UnknownIssuer), see client.ca_file";
    play.event(Event::Net(NetEvent::Down {
        why: why.to_owned(),
        retry_ms: 4_100,
        is_refused: false,
    }));
    assert!(
        play.screen(120, 40)
            .contains(&format!("offline, next try in 4.1 s: {why}"))
    );
    let screen = play.screen(80, 24);
    assert!(
        screen.contains("offline: no gateway: its certificate"),
        "{screen}"
    );
    assert!(play.screen(100, 24).contains(why));
}

#[test]
fn the_command_that_starts_a_gateway_is_shown_also_where_it_is_not_on_offer() {
    let refused = || {
        Event::Net(NetEvent::Down {
            why: "no gateway runs there".to_owned(),
            retry_ms: 500,
            is_refused: true,
        })
    };
    let mut play = Play::new();
    play.state.settings.may_start = false;
    play.event(refused());
    let screen = play.screen(80, 24);
    assert!(
        screen.contains("Start one with: picobot gateway"),
        "{screen}"
    );
    assert!(!screen.contains("in the background"), "{screen}");
    play.key("f2");
    assert!(!play.effects.contains(&Effect::StartGateway));
    play.state.settings.start_command = None;
    assert!(!play.screen(80, 24).contains("Start one with"));
}

fn dialog_list(play: &mut Play, ids: [u8; 2]) {
    let infos = ids.map(|id| {
        format!(r#"{{"session_id":"cli_chat:local:{id}","title":"T{id}","archived":false,"updated_at":"","message_count":0}}"#)
    });
    let json = format!(
        r#"{{"type":"session_list","sessions":[{}]}}"#,
        infos.join(",")
    );
    play.frame(&json);
}

/// A dialog list whose first line is to be changed while a refresh puts another there.
#[test]
fn a_list_that_moves_changes_no_other_dialog() {
    let changed = |keys: [&str; 2]| {
        let mut play = Play::online();
        play.key("ctrl+s");
        dialog_list(&mut play, [7, 8]);
        play.effects.clear();
        play.key(keys[0]);
        dialog_list(&mut play, [8, 7]);
        play.key(keys[1]);
        let sent = play.sent().into_iter();
        sent.map(|message| match message.body {
            ClientBody::DeleteSession { session_id }
            | ClientBody::RenameSession { session_id, .. } => session_id,
            ClientBody::ArchiveSession { session_id } => session_id,
            ClientBody::LoadSession { session_id, .. } => Some(session_id),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    let seven = [Some("cli_chat:local:7".to_owned())];
    assert_eq!(changed(["ctrl+x", "y"]), seven);
    assert_eq!(changed(["ctrl+r", "enter"]), seven);
    assert_eq!(changed(["up", "ctrl+e"]), seven, "the choice moves along");
    assert_eq!(changed(["up", "enter"]), seven);
    assert!(changed(["ctrl+x", "n"]).is_empty());
}

#[test]
fn what_replaces_a_shown_prompt_loses_no_draft() {
    let walk = || {
        let mut play = Play::online();
        play.type_text("重要");
        play.key("up");
        assert_eq!(play.state.composer.expanded(), "早先的问题");
        play
    };
    let mut play = walk();
    play.event(Event::Edited(Ok("edited\n".to_owned())));
    assert_eq!(play.state.draft(), "edited");
    play.key("up");
    assert_eq!(play.state.composer.expanded(), "重要");

    let mut play = walk();
    play.about("x", "input_taken_back", r#""content":"back","input":"t-9""#);
    assert_eq!(play.state.draft(), "back\n早先的问题");
    assert!(is_kept(&play.state, "重要"));

    let mut play = walk();
    play.frame(r#"{"type":"session_created","session_id":"cli_chat:local:4","title":""}"#);
    play.frame(r#"{"type":"session_loaded","session_id":"cli_chat:local:4","messages":[],"has_more":false}"#);
    assert_eq!(
        play.state.draft(),
        "",
        "the other dialog has a draft of its own"
    );
    assert_eq!(play.state.drafts[SESSION], "重要");
}

#[test]
fn a_draft_from_before_any_dialog_comes_back() {
    let mut play = Play::new();
    play.type_text("草稿");
    play.ms += 2_000;
    play.event(Event::Tick);
    let kept = |session: &str, text: &str| Effect::SaveDraft {
        session: session.to_owned(),
        text: text.to_owned(),
    };
    assert!(play.effects.contains(&kept("", "草稿")));
    let mut drafts = std::mem::take(&mut play.state.drafts);
    drafts.insert(SESSION.to_owned(), "older".to_owned());

    let mut play = Play::new();
    play.state = play.state.with_memory(Vec::new(), drafts);
    assert_eq!(play.state.composer.expanded(), "草稿");
    play.connect();
    play.load("");
    assert_eq!(play.state.composer.expanded(), "草稿");
    let effects = &play.effects;
    let at = |wanted: Effect| effects.iter().position(|effect| *effect == wanted).unwrap();
    assert!(
        at(kept(SESSION, "草稿")) < at(kept("", "")),
        "never in no place"
    );
    assert_eq!(play.state.history.find(""), ["older"]);
    assert!(effects.contains(&Effect::Remember("older".to_owned())));
}

#[test]
fn starting_places() {
    let list = |play: &mut Play| {
        play.frame(r#"{"type":"session_list","sessions":[{"session_id":"cli_chat:local:9","title":"Trip","archived":false,"updated_at":"","message_count":1},{"session_id":"cli_chat:local:8","title":"整理","archived":true,"updated_at":"","message_count":1}]}"#);
    };
    let check = |start: Start, wanted: &str| {
        let mut play = Play::with(start, Some("hi"), Widths::default());
        play.connect();
        list(&mut play);
        let asked = play
            .sent()
            .into_iter()
            .find_map(|message| match message.body {
                ClientBody::LoadSession { session_id, .. } => Some(session_id),
                ClientBody::CreateSession { .. } => Some("new".to_owned()),
                _ => None,
            });
        assert_eq!(asked.as_deref(), Some(wanted));
        if wanted != "new" {
            play.frame(&format!(r#"{{"type":"session_loaded","session_id":"{wanted}","messages":[],"has_more":false}}"#));
            assert_eq!(play.inputs(), [(Some("t-1".to_owned()), "hi".to_owned())]);
        }
    };
    check(Start::Current, SESSION);
    check(Start::New, "new");
    check(Start::Newest, "cli_chat:local:9");
    check(Start::Pick("整".to_owned()), "cli_chat:local:8");
    check(Start::Pick("feishu:oc_1:2".to_owned()), "feishu:oc_1:2");
    check(Start::Pick("none".to_owned()), SESSION);
}

#[test]
fn older_messages_come_page_by_page() {
    let mut play = Play::online();
    let message = |id: usize| {
        format!(r#"{{"role":"user","content":"m{id}","created_at":"","state":"done","id":{id}}}"#)
    };
    play.frame(&format!(r#"{{"type":"session_loaded","session_id":"{SESSION}","messages":[{},{}],"has_more":true}}"#, message(8), message(9)));
    play.sent();
    play.key("ctrl+home");
    play.key("ctrl+home");
    let sent = play.sent();
    assert!(
        matches!(&sent[..], [one] if matches!(one.body, ClientBody::LoadSession { before: Some(8), .. })),
        "{sent:?}"
    );
    play.frame(&format!(r#"{{"type":"session_loaded","session_id":"{SESSION}","messages":[{},{}],"has_more":false,"before":8}}"#, message(6), message(7)));
    assert_eq!(texts(&play), ["m6", "m7", "m8", "m9"]);
    play.key("ctrl+home");
    assert!(play.sent().is_empty());
}

#[test]
fn only_what_others_did_is_loaded_anew() {
    let mut play = Play::online();
    let updated = |play: &mut Play, count: u64, state: &str| {
        play.frame(&format!(
            r#"{{"type":"session_updated","session_id":"{SESSION}","title":"新标题","archived":false,"updated_at":"","message_count":{count},"state":"{state}"}}"#
        ));
        play.sent().len()
    };
    play.say("one");
    play.sent();
    assert_eq!(updated(&mut play, 1, "running"), 0);
    play.about("t-1", "assistant_response", r#""content":"1""#);
    assert_eq!(updated(&mut play, 2, "idle"), 0, "our own turn has ended");
    assert_eq!(play.state.dialog.as_ref().unwrap().title, "新标题");
    assert_eq!(updated(&mut play, 2, "idle"), 0);
    assert_eq!(updated(&mut play, 4, "idle"), 1, "somebody else wrote");
    play.load("");
    assert_eq!(updated(&mut play, 4, "running"), 1, "somebody else's turn");
}

#[test]
fn keys_that_leave() {
    let mut play = Play::online();
    play.type_text("x");
    play.key("ctrl+c");
    assert!(play.state.composer.is_empty());
    assert!(!play.effects.contains(&Effect::Quit));
    play.key("up");
    assert_eq!(play.state.composer.text(), "x", "cleared is not lost");
    play.key("ctrl+c");
    assert!(play.effects.contains(&Effect::Quit));
    let mut play = Play::online();
    play.type_text("x");
    play.key("home");
    play.key("ctrl+d");
    assert!(play.state.composer.is_empty() && !play.effects.contains(&Effect::Quit));
    play.key("ctrl+d");
    assert!(play.effects.contains(&Effect::Quit));
}

#[test]
fn a_dialog_that_is_put_away_gives_way_to_the_newest() {
    let mut play = Play::online();
    play.frame(&format!(
        r#"{{"type":"session_deleted","session_id":"{SESSION}"}}"#
    ));
    play.frame(r#"{"type":"session_list","sessions":[{"session_id":"cli_chat:local:9","title":"Trip","archived":false,"updated_at":"","message_count":1}]}"#);
    play.frame(r#"{"type":"session_loaded","session_id":"cli_chat:local:9","messages":[],"has_more":false}"#);
    assert_eq!(play.state.session(), Some("cli_chat:local:9"));
    play.frame(r#"{"type":"session_deleted","session_id":"cli_chat:local:9"}"#);
    play.sent();
    play.frame(r#"{"type":"session_list","sessions":[]}"#);
    assert!(
        play.sent()
            .iter()
            .any(|message| matches!(message.body, ClientBody::CreateSession { .. }))
    );
}

#[test]
fn browse_copies_and_finds() {
    let mut play = crate::client::screens::full();
    play.screen(80, 24);
    play.key("tab");
    play.key("y");
    assert!(
        play.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Copy(text) if text.starts_with("# 计划")))
    );
    play.key("c");
    assert!(
        play.effects
            .contains(&Effect::Copy("mkdir -p 2023 2024 # 目录\n".to_owned()))
    );
    play.key("o");
    assert!(
        play.effects
            .contains(&Effect::OpenLink("https://example.org/docs".to_owned()))
    );
    play.key("/");
    play.type_text("cannot stat");
    play.key("enter");
    play.key("e");
    let folded = play
        .state
        .transcript
        .iter()
        .filter(|entry| entry.fold == Fold::Folded)
        .count();
    assert_eq!(folded, 1, "a failed call was open");
    play.key("i");
    assert!(play.state.browse.is_none());
}

/// Anything that may happen.
fn any_event() -> impl Strategy<Value = (Event, u64)> {
    let keys: Vec<&'static str> = TABLE
        .iter()
        .flat_map(|row| row.keys.iter().copied())
        .chain(["x", "中", "/", "@", "?", " ", "1"])
        .collect();
    let key = (proptest::sample::select(keys), any::<bool>()).prop_map(|(name, quick)| {
        let mut chars = name.chars();
        let text = chars.next().filter(|_| chars.next().is_none());
        let key =
            crate::client::keys::Key::parse(if name == " " { "space" } else { name }).unwrap();
        Event::Key { key, text, quick }
    });
    let id = "(t-[1-4]|x)";
    let session = proptest::sample::select(vec![SESSION, "cli_chat:local:9"]);
    let frame = (0usize..24, id, session, "[a中👍\n]{0,8}").prop_map(|(kind, id, session, text)| {
        let text = serde_json::to_string(&text).unwrap();
        let fields = match kind {
            0 => r#""type":"session_established","title":"t""#.to_owned(),
            1 => r#""type":"session_created","title":"t""#.to_owned(),
            2 => r#""type":"session_list","sessions":[{"session_id":"cli_chat:local:9","title":"T","archived":false,"updated_at":"","message_count":1}]"#.to_owned(),
            3 => format!(r#""type":"session_loaded","has_more":true,"messages":[{{"role":"user","content":{text},"created_at":"","state":"running","id":5}},{{"role":"assistant","content":{text},"created_at":"","state":"done","id":6,"tool_calls":[{{"call_id":"c","name":"b","arguments":"","content":{text},"state":"running"}}]}},{{"role":"user","content":"q","created_at":"","state":"queued"}}]"#),
            4 => format!(r#""type":"session_loaded","has_more":false,"before":5,"messages":[{{"role":"tool","content":{text},"created_at":"","state":"done","id":1}}]"#),
            5 => r#""type":"session_deleted""#.to_owned(),
            6 => r#""type":"history_cleared""#.to_owned(),
            7 => format!(r#""type":"command_executed","command":"/new","content":{text}"#),
            8 => format!(r#""type":"system_notification","content":{text}"#),
            9 => r#""type":"input_accepted""#.to_owned(),
            10 | 11 => r#""type":"turn_started","turn":1"#.to_owned(),
            12 | 13 => format!(r#""type":"assistant_delta","content":{text}"#),
            14 => format!(r#""type":"assistant_delta","reasoning":true,"content":{text}"#),
            15 => format!(r#""type":"tool_started","call_id":"c","name":"b","arguments":{text}"#),
            16 => format!(r#""type":"tool_output","call_id":"c","content":{text}"#),
            17 => format!(r#""type":"tool_finished","call_id":"c","name":"b","is_error":true,"content":{text},"took_ms":1"#),
            18 => r#""type":"turn_finished","turn":1,"usage":{},"model":"m","took_ms":1"#.to_owned(),
            19 => format!(r#""type":"assistant_response","content":{text}"#),
            20 => format!(r#""type":"assistant_response","merged":true,"content":{text}"#),
            21 => format!(r#""type":"error","code":"not_found","message":{text}"#),
            22 => format!(r#""type":"approval_request","approval_id":"p","name":"b","arguments":{text},"expires_at":"","summary":"","reason":"","in_workspace":true,"can_always":true"#),
            _ => format!(r#""type":"error","code":"stopped","message":{text}"#),
        };
        let json = format!(r#"{{{fields},"session_id":"{session}","request_id":"{id}"}}"#);
        let message = crate::wire::ServerMessage::parse(&json).unwrap();
        Event::Net(NetEvent::Frame(Box::new(message)))
    });
    let other = (0u8..8, 1u16..90, 1u16..30).prop_map(|(kind, columns, rows)| match kind {
        0 => Event::Resize(columns, rows),
        1 => Event::Wheel(-2),
        2 => Event::Wheel(1),
        3 => Event::Click { row: rows },
        4 => Event::Paste("粘贴\n".repeat(usize::from(rows))),
        5 => down(),
        6 => Event::Net(NetEvent::Up("ws://x/ws".to_owned())),
        _ => Event::Tick,
    });
    (prop_oneof![4 => key, 4 => frame, 1 => other], 0u64..700)
}

/// What a person wrote that is not sent: in the draft, kept for a dialog, or in the history.
fn is_kept(state: &State, text: &str) -> bool {
    let held = |candidate: &str| candidate.contains(text);
    held(&state.composer.expanded())
        || held(&state.draft())
        || state.drafts.values().any(|draft| held(draft))
        || state.history.find("").into_iter().any(held)
        || state.pending.iter().any(|pending| held(&pending.text))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn anything_may_happen(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut play = Play::online();
        for (event, pause) in events {
            play.ms += pause;
            play.event(event);
            let (columns, rows) = (play.state.columns, play.state.rows);
            play.draw(columns, rows);
        }
    }

    #[test]
    fn what_the_gateway_does_keeps_the_draft(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut play = Play::online();
        play.type_text("重要的草稿");
        for (event, pause) in events {
            if matches!(event, Event::Key { .. } | Event::Paste(_)) {
                continue;
            }
            play.ms += pause;
            play.event(event);
            prop_assert!(is_kept(&play.state, "重要的草稿"));
        }
    }

    #[test]
    fn overlays_keep_the_draft(keys in proptest::collection::vec(proptest::sample::select(vec!["ctrl+p", "ctrl+s", "f1", "esc", "down", "up", "enter", "pageup", "ctrl+r", "ctrl+o", "ctrl+t", "alt+up"]), 1..40)) {
        let mut play = Play::online();
        play.type_text("重要的草稿");
        for key in keys {
            play.key(key);
            prop_assert!(is_kept(&play.state, "重要的草稿"), "{key}");
        }
    }
}
