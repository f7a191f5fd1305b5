//! The whole channel against real queues: what each text becomes, what flows back, and that nothing is lost when full.

use super::*;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use proptest::prelude::*;

use crate::bus::{
    ApprovalAnswer, Body, DialogInfo, HistoryCall, HistoryItem, ItemState, LoadedDetail, Meter,
    SessionInbox, session_queue,
};
use crate::chat::{Attachment, Command, Role, SessionId, StopReason, Usage};

const CLIENT: ClientId = ClientId(7);

/// A channel with one connected client whose `Connected` has been taken from the queue.
fn connected(trusted: bool) -> (CliChat, SessionInbox) {
    let (queue, inbox) = session_queue();
    let mut chat = CliChat::new(queue);
    assert_eq!(chat.connected(CLIENT, trusted), Flow::Taken);
    let first = inbox.inbound.try_recv().unwrap();
    assert_eq!(first.caller, caller(CLIENT));
    assert_eq!(
        first.body,
        InboundBody::Connected {
            route: local_route()
        }
    );
    (chat, inbox)
}

fn session(id: &str) -> SessionId {
    id.parse().unwrap()
}

fn route(channel: &str, chat: &str) -> Route {
    Route {
        channel: ChannelId::new(channel).unwrap(),
        chat: ChatId::new(chat).unwrap(),
    }
}

/// Sends a text as a trusted client and returns the inbound body it became.
fn inbound(text: &str) -> InboundBody {
    let (mut chat, inbox) = connected(true);
    assert_eq!(chat.text(CLIENT, text), Flow::Taken);
    assert_eq!(chat.take_replies(), vec![], "{text}");
    assert!(inbox.control.is_empty(), "{text}");
    inbox.inbound.try_recv().unwrap().body
}

/// Sends a text and returns the one frame that answers it at once.
fn refusal(trusted: bool, text: &str) -> String {
    let (mut chat, inbox) = connected(trusted);
    assert_eq!(chat.text(CLIENT, text), Flow::Taken);
    assert!(
        inbox.inbound.is_empty() && inbox.control.is_empty(),
        "{text}"
    );
    let mut replies = chat.take_replies();
    assert_eq!(replies.len(), 1, "{text}");
    assert_eq!(chat.take_replies(), vec![]);
    let (client, frame) = replies.remove(0);
    assert_eq!(client, CLIENT);
    frame
}

#[test]
fn user_input_finds_its_dialog() {
    let check = |fields: &str, route, session| {
        let text = format!(r#"{{"type":"user_input","content":" hi "{fields}}}"#);
        let expected = InboundBody::Input {
            route,
            session,
            sender: None,
            text: " hi ".into(),
            files: Vec::new(),
            guest: false,
        };
        assert_eq!(inbound(&text), expected, "{text}");
    };
    check("", None, None);
    check(
        r#","channel":"cli_chat""#,
        Some(route("cli_chat", "local")),
        None,
    );
    check(r#","chat_id":"a:b""#, Some(route("cli_chat", "a:b")), None);
    check(
        r#","channel":"feishu","chat_id":"oc_1""#,
        Some(route("feishu", "oc_1")),
        None,
    );
    check(
        r#","session_id":"feishu:oc_1:d""#,
        None,
        Some(session("feishu:oc_1:d")),
    );
}

#[test]
fn images_become_files_with_plain_names() {
    let text = r#"{"type":"user_input","images":[{"name":"../x/图\n.png","data":"AQID"},{"data":"AA=="}]}"#;
    assert_eq!(
        inbound(text),
        InboundBody::Input {
            route: None,
            session: None,
            sender: None,
            text: String::new(),
            files: vec![
                Attachment::new("图.png", vec![1, 2, 3]),
                Attachment::new("image", vec![0]),
            ],
            guest: false,
        }
    );
}

#[test]
fn each_request_becomes_its_bus_message() {
    let check = |text: &str, expected| assert_eq!(inbound(text), expected, "{text}");
    let d = || Some(session("cli_chat:local:d"));
    check(
        r#"{"type":"user_input","content":"x","sender_id":"ana"}"#,
        InboundBody::Input {
            route: None,
            session: None,
            sender: Some("ana".into()),
            text: "x".into(),
            files: Vec::new(),
            guest: false,
        },
    );
    check(
        r#"{"type":"clear_history","chat_id":"c"}"#,
        InboundBody::Clear {
            session: None,
            route: Some(route("cli_chat", "c")),
        },
    );
    check(
        r#"{"type":"clear_history","session_id":"cli_chat:local:d"}"#,
        InboundBody::Clear {
            session: d(),
            route: None,
        },
    );
    check(
        r#"{"type":"create_session","title":"Trip"}"#,
        InboundBody::Create {
            title: Some("Trip".into()),
        },
    );
    check(
        r#"{"type":"list_sessions","include_archived":true}"#,
        InboundBody::List {
            archived: true,
            all: false,
            offset: None,
        },
    );
    check(
        r#"{"type":"load_session","session_id":"cli_chat:local:d"}"#,
        InboundBody::Load {
            session: session("cli_chat:local:d"),
            detail: false,
            before: None,
        },
    );
    check(
        r#"{"type":"load_session","session_id":"cli_chat:local:d","detail":true,"before":12}"#,
        InboundBody::Load {
            session: session("cli_chat:local:d"),
            detail: true,
            before: Some(12),
        },
    );
    check(
        r#"{"type":"rename_session","title":"Trip"}"#,
        InboundBody::Rename {
            session: None,
            title: "Trip".into(),
        },
    );
    check(
        r#"{"type":"archive_session","session_id":"cli_chat:local:d"}"#,
        InboundBody::Archive { session: d() },
    );
    check(
        r#"{"type":"delete_session"}"#,
        InboundBody::Delete { session: None },
    );
    check(r#"{"type":"get_slash_commands"}"#, InboundBody::Commands);
    check(r#"{"type":"ping"}"#, InboundBody::Ping);
}

#[test]
fn only_overtaking_commands_take_the_control_lane() {
    let (mut chat, inbox) = connected(false);
    let text = r#"{"type":"user_input","content":" /stop now","chat_id":"c","request_id":1}"#;
    assert_eq!(chat.text(CLIENT, text), Flow::Taken);
    let control = inbox.control.try_recv().unwrap();
    assert_eq!(control.caller.client, CLIENT);
    assert_eq!(control.caller.request_id.as_deref(), Some("1"));
    let expected = Op::Command {
        route: Some(route("cli_chat", "c")),
        session: None,
        command: Command {
            name: "stop".into(),
            argument: "now".into(),
        },
    };
    assert_eq!(control.op, expected);
    assert!(inbox.inbound.is_empty());

    for content in ["/new", "/nosuch", "stop", "/etc/passwd"] {
        let text = format!(r#"{{"type":"user_input","content":"{content}"}}"#);
        assert_eq!(chat.text(CLIENT, &text), Flow::Taken);
        assert!(inbox.control.is_empty(), "{content}");
        assert!(
            matches!(inbox.inbound.try_recv().unwrap().body, InboundBody::Input { text, .. } if text == content)
        );
    }
}

#[test]
fn other_channels_need_the_token() {
    let token = r#"{"type":"error","code":"forbidden","message":"Another channel than cli_chat needs the gateway's token: connect with `Authorization: Bearer TOKEN`.","request_id":"r"}"#;
    for text in [
        r#"{"type":"user_input","content":"x","channel":"feishu","request_id":"r"}"#,
        r#"{"type":"user_input","content":"/stop","channel":"feishu","request_id":"r"}"#,
        r#"{"type":"user_input","content":"x","session_id":"feishu:c:d","request_id":"r"}"#,
        r#"{"type":"clear_history","session_id":"feishu:c:d","request_id":"r"}"#,
        r#"{"type":"load_session","session_id":"feishu:c:d","request_id":"r"}"#,
        r#"{"type":"rename_session","session_id":"feishu:c:d","title":"t","request_id":"r"}"#,
        r#"{"type":"archive_session","session_id":"CLI_CHAT:c:d","request_id":"r"}"#,
        r#"{"type":"delete_session","session_id":"feishu:c:d","request_id":"r"}"#,
    ] {
        assert_eq!(refusal(false, text), token, "{text}");
        let (mut chat, inbox) = connected(true);
        assert_eq!(chat.text(CLIENT, text), Flow::Taken);
        assert_eq!(inbox.inbound.len() + inbox.control.len(), 1, "{text}");
    }
}

#[test]
fn approvals_need_the_token() {
    let text =
        r#"{"type":"approval_reply","approval_id":"p","decision":"always","request_id":"r"}"#;
    assert_eq!(
        refusal(false, text),
        r#"{"type":"error","code":"forbidden","message":"An approval needs the gateway's token: connect with `Authorization: Bearer TOKEN`.","request_id":"r"}"#
    );
    let answer = Op::Approve {
        id: "p".to_owned(),
        answer: ApprovalAnswer::Always,
    };
    let (mut chat, inbox) = connected(true);
    assert_eq!(chat.text(CLIENT, text), Flow::Taken);
    assert_eq!(inbox.control.try_recv().unwrap().op, answer);
}

#[test]
fn bad_texts_and_ids_are_answered_at_once() {
    assert_eq!(
        refusal(true, r#"{"type":"pung","request_id":5}"#),
        r#"{"type":"error","code":"unknown_type","message":"There is no message type `pung`; did you mean `ping`?","request_id":"5"}"#
    );
    assert_eq!(
        refusal(
            true,
            r#"{"type":"load_session","session_id":"abc","request_id":"r"}"#
        ),
        r#"{"type":"error","code":"bad_request","message":"The field `session_id` is not valid: a session id has the form channel:chat:dialog.","request_id":"r"}"#
    );
    let long = "c".repeat(257);
    for fields in [
        r#""channel":"a:b""#.to_owned(),
        r#""channel":"""#.to_owned(),
        r#""chat_id":"a\nb""#.to_owned(),
        format!(r#""chat_id":"{long}""#),
        r#""session_id":"a::b""#.to_owned(),
    ] {
        let text = format!(r#"{{"type":"user_input","content":"x",{fields}}}"#);
        let frame = refusal(true, &text);
        assert!(
            frame.starts_with(r#"{"type":"error","code":"bad_request""#),
            "{frame}"
        );
    }
}

#[test]
fn binary_frames_get_an_error() {
    let (mut chat, _inbox) = connected(false);
    assert_eq!(
        chat.binary(CLIENT).as_deref(),
        Some(
            r#"{"type":"error","code":"bad_request","message":"Binary frames are not understood; send JSON in text frames."}"#
        )
    );
    assert_eq!(chat.binary(ClientId(8)), None);
}

#[test]
fn hello_has_no_reply_and_the_last_one_counts() {
    let (mut chat, inbox) = connected(false);
    let mut wants_after = |capabilities: &str| {
        let hello = format!(r#"{{"type":"hello","capabilities":{capabilities},"request_id":"r"}}"#);
        assert_eq!(chat.text(CLIENT, &hello), Flow::Taken);
        assert_eq!(chat.take_replies(), vec![]);
        assert!(inbox.inbound.is_empty());
        assert_eq!(chat.text(CLIENT, r#"{"type":"ping"}"#), Flow::Taken);
        inbox.inbound.try_recv().unwrap().caller.wants
    };
    let all_of_a_turn = Wants {
        accepted: true,
        turns: true,
        deltas: true,
        tools: true,
        ..Wants::default()
    };
    assert_eq!(wants_after(r#"["stream","future"]"#), all_of_a_turn);
    let turns = Wants {
        turns: true,
        ..Wants::default()
    };
    assert_eq!(wants_after(r#"["turn_finished"]"#), turns);
    assert_eq!(wants_after("[]"), Wants::default());
}

#[test]
fn a_full_lane_changes_nothing_and_loses_nothing() {
    let (inbound_tx, inbound_rx) = bounded(1);
    let (control_tx, control_rx) = bounded(1);
    let mut chat = CliChat::new(SessionQueue {
        inbound: inbound_tx,
        control: control_tx,
    });
    assert_eq!(chat.connected(CLIENT, true), Flow::Taken);
    assert_eq!(chat.connected(ClientId(8), true), Flow::Full);
    assert_eq!(chat.binary(ClientId(8)), None, "not connected yet");

    let ping = r#"{"type":"ping"}"#;
    assert_eq!(chat.text(CLIENT, ping), Flow::Full);
    assert_eq!(chat.closed(CLIENT), Flow::Full);
    assert!(chat.binary(CLIENT).is_some(), "still known");
    assert_eq!(chat.take_replies(), vec![]);

    let stop = r#"{"type":"user_input","content":"/stop","request_id":"r"}"#;
    assert_eq!(chat.text(CLIENT, stop), Flow::Taken, "the other lane");
    assert_eq!(chat.text(CLIENT, stop), Flow::Taken);
    assert_eq!(
        chat.take_replies(),
        vec![(
            CLIENT,
            r#"{"type":"error","code":"queue_full","message":"Too many requests are waiting; try again in a moment.","request_id":"r"}"#
                .to_owned()
        )]
    );
    assert_eq!(control_rx.len(), 1);

    let next = || inbound_rx.try_recv().unwrap().body;
    assert!(matches!(next(), InboundBody::Connected { .. }));
    assert_eq!(chat.text(CLIENT, ping), Flow::Taken);
    assert_eq!(next(), InboundBody::Ping);
    assert_eq!(chat.closed(CLIENT), Flow::Taken);
    assert_eq!(next(), InboundBody::Disconnected);
    assert_eq!(chat.closed(CLIENT), Flow::Taken, "told once");
    assert!(inbound_rx.is_empty());
    assert_eq!(chat.text(CLIENT, ping), Flow::Taken, "dropped");
    assert!(inbound_rx.is_empty());
}

#[test]
fn a_session_that_has_ended_is_said() {
    let (mut chat, inbox) = connected(false);
    drop(inbox);
    for content in ["hi", "/stop"] {
        let text = format!(r#"{{"type":"user_input","content":"{content}","request_id":"r"}}"#);
        assert_eq!(chat.text(CLIENT, &text), Flow::Taken);
        let replies = chat.take_replies();
        assert_eq!(replies.len(), 1);
        assert!(replies[0].1.contains(r#""code":"shutting_down""#));
    }
    assert_eq!(chat.closed(CLIENT), Flow::Taken);
    assert_eq!(chat.take_replies(), vec![], "nobody is left to read it");
}

fn outbound(body: Body) -> Outbound {
    Outbound {
        client: CLIENT,
        request_id: Some("r".into()),
        session: Some(session("cli_chat:local:d")),
        body,
    }
}

#[test]
fn old_messages_go_to_every_client() {
    let (chat, _inbox) = connected(false);
    let check = |body, expected: &str| {
        let frame = chat.encode(&outbound(body)).unwrap();
        let tail = r#","request_id":"r"}"#;
        assert_eq!(frame, format!("{}{tail}", &expected[..expected.len() - 1]));
    };
    let title = || "Trip".to_owned();
    check(
        Body::Established { title: title() },
        r#"{"type":"session_established","session_id":"cli_chat:local:d","title":"Trip"}"#,
    );
    check(
        Body::Answer {
            content: Arc::from("你好"),
            merged: false,
        },
        r#"{"type":"assistant_response","content":"你好","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Answer {
            content: Arc::from("ok"),
            merged: true,
        },
        r#"{"type":"assistant_response","content":"ok","session_id":"cli_chat:local:d","merged":true}"#,
    );
    check(
        Body::Command {
            command: "new".into(),
            content: "Done.".into(),
        },
        r#"{"type":"command_executed","command":"/new","content":"Done.","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Error {
            code: ErrorCode::Stopped,
            message: "Stopped.".into(),
        },
        r#"{"type":"error","code":"stopped","message":"Stopped.","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Created { title: title() },
        r#"{"type":"session_created","session_id":"cli_chat:local:d","title":"Trip"}"#,
    );
    check(
        Body::Renamed { title: title() },
        r#"{"type":"session_renamed","session_id":"cli_chat:local:d","title":"Trip"}"#,
    );
    check(
        Body::Archived,
        r#"{"type":"session_archived","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Deleted,
        r#"{"type":"session_deleted","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Cleared,
        r#"{"type":"history_cleared","session_id":"cli_chat:local:d"}"#,
    );
    check(
        Body::Commands {
            commands: vec![("rename", "/rename <title>", "Names the dialog.")],
        },
        r#"{"type":"slash_commands_list","commands":[{"name":"/rename","usage":"/rename <title>","description":"Names the dialog."}]}"#,
    );
    check(Body::Pong, r#"{"type":"pong"}"#);
    check(
        Body::Notification {
            content: "Still waiting.".into(),
        },
        r#"{"type":"system_notification","content":"Still waiting.","session_id":"cli_chat:local:d"}"#,
    );
}

#[test]
fn lists_and_histories_are_spelled_out() {
    let (chat, _inbox) = connected(false);
    let dialog = DialogInfo {
        session: session("cli_chat:local:d"),
        title: "Trip".into(),
        archived: true,
        updated_at: SystemTime::UNIX_EPOCH,
        n_messages: 3,
    };
    let frame = chat.encode(&outbound(Body::List {
        has_more: None,
        dialogs: vec![dialog],
    }));
    assert_eq!(
        frame.unwrap(),
        r#"{"type":"session_list","sessions":[{"session_id":"cli_chat:local:d","title":"Trip","archived":true,"updated_at":"1970-01-01T00:00:00.000Z","message_count":3}],"request_id":"r"}"#
    );
    let item = |role, state| HistoryItem {
        role,
        content: "x".into(),
        created_at: SystemTime::UNIX_EPOCH,
        state,
        id: Some(7),
        reasoning: None,
        calls: Vec::new(),
    };
    let frame = chat.encode(&outbound(Body::Loaded {
        messages: vec![
            item(Role::Tool, ItemState::Done),
            item(Role::User, ItemState::Queued),
        ],
        has_more: true,
        detail: None,
    }));
    assert_eq!(
        frame.unwrap(),
        r#"{"type":"session_loaded","session_id":"cli_chat:local:d","messages":[{"role":"tool","content":"x","created_at":"1970-01-01T00:00:00.000Z","state":"done"},{"role":"user","content":"x","created_at":"1970-01-01T00:00:00.000Z","state":"queued"}],"has_more":true,"request_id":"r"}"#
    );
    let mut with_calls = item(Role::Assistant, ItemState::Done);
    with_calls.reasoning = Some("hm".into());
    with_calls.calls.push(HistoryCall {
        call_id: "c".into(),
        name: "bash".into(),
        arguments: "{}".into(),
        content: "out".into(),
        state: "done".into(),
        took: Some(Duration::from_millis(12)),
    });
    let frame = chat.encode(&outbound(Body::Loaded {
        messages: vec![with_calls],
        has_more: false,
        detail: Some(LoadedDetail {
            before: Some(9),
            title: "Trip".into(),
            model: "m".into(),
            meter: Meter {
                context: Some(5),
                limit: Some(100),
                cost: None,
            },
        }),
    }));
    assert_eq!(
        frame.unwrap(),
        r#"{"type":"session_loaded","session_id":"cli_chat:local:d","messages":[{"role":"assistant","content":"x","created_at":"1970-01-01T00:00:00.000Z","state":"done","id":7,"reasoning":"hm","tool_calls":[{"call_id":"c","name":"bash","arguments":"{}","content":"out","state":"done","took_ms":12}]}],"has_more":false,"before":9,"title":"Trip","model":"m","token_limit":100,"context_tokens":5,"request_id":"r"}"#
    );
}

/// Every additive body with its frame, without the tail they share.
fn additive_frames() -> Vec<(Body, &'static str)> {
    vec![
        (Body::Accepted, r#"{"type":"input_accepted""#),
        (
            Body::TurnStarted { turn: 4 },
            r#"{"type":"turn_started","session_id":"cli_chat:local:d","turn":4"#,
        ),
        (
            Body::Delta {
                text: Arc::from("he"),
                reasoning: true,
            },
            r#"{"type":"assistant_delta","content":"he","session_id":"cli_chat:local:d","reasoning":true"#,
        ),
        (
            Body::ToolStarted {
                call_id: "c".into(),
                name: "bash".into(),
                arguments: "{}".into(),
            },
            r#"{"type":"tool_started","call_id":"c","name":"bash","arguments":"{}""#,
        ),
        (
            Body::ToolOutput {
                call_id: "c".into(),
                text: "out".into(),
            },
            r#"{"type":"tool_output","call_id":"c","content":"out""#,
        ),
        (
            Body::ToolFinished {
                call_id: "c".into(),
                name: "bash".into(),
                is_error: true,
                took: Duration::from_micros(12_900),
                content: "out".into(),
            },
            r#"{"type":"tool_finished","call_id":"c","name":"bash","is_error":true,"content":"out","took_ms":12"#,
        ),
        (
            Body::TurnFinished {
                turn: 4,
                usage: Usage {
                    input: Some(5),
                    ..Usage::default()
                },
                model: "m".into(),
                stop: Some(StopReason::Complete),
                took: Duration::MAX,
                meter: Meter {
                    context: Some(5),
                    limit: Some(100),
                    cost: Some((0.25, "USD".into())),
                },
            },
            r#"{"type":"turn_finished","session_id":"cli_chat:local:d","turn":4,"usage":{"input_tokens":5},"model":"m","stop_reason":"complete","took_ms":18446744073709551615,"context_tokens":5,"token_limit":100,"cost":0.25,"currency":"USD"#,
        ),
    ]
}

#[test]
fn additive_messages_go_only_where_they_were_asked_for() {
    let (mut chat, _inbox) = connected(false);
    for (body, start) in additive_frames() {
        let out = outbound(body);
        assert_eq!(chat.encode(&out), None, "{start}");
        for name in ["stream", start.split('"').nth(3).unwrap()] {
            let hello = format!(r#"{{"type":"hello","capabilities":["{name}"]}}"#);
            assert_eq!(chat.text(CLIENT, &hello), Flow::Taken);
            let frame = chat.encode(&out).unwrap();
            assert!(frame.starts_with(start), "{frame}");
            assert!(frame.ends_with(r#""request_id":"r"}"#), "{frame}");
        }
        let sent = additive_frames()
            .into_iter()
            .filter(|(other, _)| chat.encode(&outbound(other.clone())).is_some())
            .count();
        assert_eq!(sent, 1, "{start} selects itself alone");
        assert_eq!(
            chat.text(CLIENT, r#"{"type":"hello","capabilities":[]}"#),
            Flow::Taken
        );
    }
}

#[test]
fn strangers_get_nothing_and_lost_dialogs_are_admitted() {
    let (mut chat, _inbox) = connected(false);
    let mut lost = outbound(Body::Archived);
    lost.session = None;
    let frame = chat.encode(&lost).unwrap();
    assert!(
        frame.starts_with(r#"{"type":"error","code":"internal""#)
            && frame.ends_with(r#""request_id":"r"}"#),
        "{frame}"
    );
    let hello = r#"{"type":"hello","capabilities":["stream"]}"#;
    assert_eq!(chat.text(CLIENT, hello), Flow::Taken);
    lost.body = Body::Accepted;
    assert_eq!(chat.encode(&lost), None);
    lost.body = Body::Pong;
    lost.request_id = None;
    assert_eq!(chat.encode(&lost).as_deref(), Some(r#"{"type":"pong"}"#));
    lost.client = ClientId(99);
    assert_eq!(chat.encode(&lost), None);
}

/// Requests of all kinds, good and bad, and arbitrary texts.
fn any_text() -> impl Strategy<Value = String> {
    let content = prop_oneof![
        Just("/stop".to_owned()),
        Just("/help".to_owned()),
        Just("/new x".to_owned()),
        ".{0,20}"
    ];
    let id = prop_oneof![
        Just("cli_chat:local:d".to_owned()),
        Just("feishu:c:d".to_owned()),
        ".{0,10}"
    ];
    let kind = prop_oneof![
        Just("user_input"),
        Just("clear_history"),
        Just("create_session"),
        Just("list_sessions"),
        Just("load_session"),
        Just("rename_session"),
        Just("archive_session"),
        Just("delete_session"),
        Just("get_slash_commands"),
        Just("ping"),
        Just("approval_reply"),
        Just("nonsense"),
    ];
    let request = (kind, content, id, any::<bool>()).prop_map(|(kind, content, id, named)| {
        let mut object = serde_json::json!({"type": kind, "content": content, "title": content});
        if named {
            object["session_id"] = id.into();
        }
        object.to_string()
    });
    prop_oneof![request, any::<String>()]
}

proptest! {
    #[test]
    fn any_text_has_exactly_one_effect(text in any_text(), trusted: bool, full: bool) {
        let (queue, inbox) = session_queue();
        let (inbound, inbound_rx) = bounded(1);
        let mut chat = CliChat::new(SessionQueue { inbound, ..queue });
        prop_assert_eq!(chat.connected(CLIENT, trusted), Flow::Taken);
        if !full {
            inbound_rx.try_recv().unwrap();
        }
        let before = inbound_rx.len();
        let flow = chat.text(CLIENT, &text);
        let effects = inbound_rx.len() - before + inbox.control.len() + chat.take_replies().len();
        prop_assert_eq!(effects, usize::from(flow == Flow::Taken));
        prop_assert!(full || flow == Flow::Taken);

        if flow == Flow::Full {
            inbound_rx.try_recv().unwrap();
            prop_assert_eq!(chat.text(CLIENT, &text), Flow::Taken);
            prop_assert_eq!(inbound_rx.len(), 1);
        }
    }
}
