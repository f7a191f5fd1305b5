//! Snapshots of every message both ways, tables of hostile input, and round trips.

use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;
use std::borrow::Cow;

fn client(body: ClientBody) -> String {
    let message = ClientMessage {
        body,
        request_id: None,
    };
    let json = message.to_json();
    assert_eq!(ClientMessage::parse(&json), Ok(message), "{json}");
    json
}

fn server(body: ServerBody<'static>) -> String {
    let message = ServerMessage {
        body,
        request_id: None,
    };
    let json = message.to_json();
    assert_eq!(ServerMessage::parse(&json).unwrap(), message, "{json}");
    assert!(json.starts_with(r#"{"type":""#), "{json}");
    json
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const SESSION: Cow<'static, str> = Cow::Borrowed("cli_chat:local:d1");

#[test]
fn client_messages_of_the_old_part() {
    let user_input = |channel, chat_id, sender_id, session_id| ClientBody::UserInput {
        content: "你好 \"x\"".into(),
        channel,
        chat_id,
        sender_id,
        session_id,
        images: Vec::new(),
    };
    assert_snapshot!(client(user_input(None, None, None, None)),
        @r#"{"type":"user_input","content":"你好 \"x\""}"#);
    assert_snapshot!(client(user_input(some("cli_chat"), some("local"), some("me"), some("a:b:c"))),
        @r#"{"type":"user_input","content":"你好 \"x\"","channel":"cli_chat","chat_id":"local","sender_id":"me","session_id":"a:b:c"}"#);
    assert_snapshot!(client(ClientBody::ClearHistory { chat_id: None, session_id: None }),
        @r#"{"type":"clear_history"}"#);
    assert_snapshot!(client(ClientBody::ClearHistory { chat_id: some("local"), session_id: some("a:b:c") }),
        @r#"{"type":"clear_history","chat_id":"local","session_id":"a:b:c"}"#);
    assert_snapshot!(client(ClientBody::CreateSession { title: None }),
        @r#"{"type":"create_session"}"#);
    assert_snapshot!(client(ClientBody::CreateSession { title: some("Trip") }),
        @r#"{"type":"create_session","title":"Trip"}"#);
    assert_snapshot!(client(ClientBody::ListSessions { include_archived: true, all_chats: false, offset: None }),
        @r#"{"type":"list_sessions","include_archived":true}"#);
    assert_snapshot!(client(ClientBody::ListSessions { include_archived: false, all_chats: true, offset: Some(1_000) }),
        @r#"{"type":"list_sessions","include_archived":false,"all_chats":true,"offset":1000}"#);
    assert_snapshot!(client(ClientBody::LoadSession { session_id: "a:b:c".into(), detail: false, before: None }),
        @r#"{"type":"load_session","session_id":"a:b:c"}"#);
    assert_snapshot!(client(ClientBody::LoadSession { session_id: "a:b:c".into(), detail: true, before: Some(12) }),
        @r#"{"type":"load_session","session_id":"a:b:c","detail":true,"before":12}"#);
    assert_snapshot!(client(ClientBody::RenameSession { session_id: None, title: "Trip".into() }),
        @r#"{"type":"rename_session","title":"Trip"}"#);
    assert_snapshot!(client(ClientBody::RenameSession { session_id: some("a:b:c"), title: "Trip".into() }),
        @r#"{"type":"rename_session","session_id":"a:b:c","title":"Trip"}"#);
    assert_snapshot!(client(ClientBody::ArchiveSession { session_id: None }),
        @r#"{"type":"archive_session"}"#);
    assert_snapshot!(client(ClientBody::DeleteSession { session_id: some("a:b:c") }),
        @r#"{"type":"delete_session","session_id":"a:b:c"}"#);
    assert_snapshot!(client(ClientBody::GetSlashCommands), @r#"{"type":"get_slash_commands"}"#);
    assert_snapshot!(client(ClientBody::Ping), @r#"{"type":"ping"}"#);
}

#[test]
fn client_messages_of_the_additive_part() {
    assert_snapshot!(client(ClientBody::Hello { capabilities: vec!["stream".into()] }),
        @r#"{"type":"hello","capabilities":["stream"]}"#);
    let reply = |decision| ClientBody::ApprovalReply {
        approval_id: "p1".into(),
        decision,
    };
    assert_snapshot!(client(reply(Decision::Allow)),
        @r#"{"type":"approval_reply","approval_id":"p1","decision":"allow"}"#);
    assert_snapshot!(client(reply(Decision::Always)),
        @r#"{"type":"approval_reply","approval_id":"p1","decision":"always"}"#);
    assert_snapshot!(client(reply(Decision::Deny)),
        @r#"{"type":"approval_reply","approval_id":"p1","decision":"deny"}"#);
    let with_id = ClientMessage {
        body: ClientBody::Ping,
        request_id: some("r1"),
    };
    assert_snapshot!(with_id.to_json(), @r#"{"type":"ping","request_id":"r1"}"#);
}

#[test]
fn server_messages_of_the_old_part() {
    let content: Cow<'static, str> = "你好 \"x\"".into();
    let title: Cow<'static, str> = "Trip".into();
    assert_snapshot!(server(ServerBody::AssistantResponse { content: content.clone(), session_id: SESSION, merged: false }),
        @r#"{"type":"assistant_response","content":"你好 \"x\"","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::AssistantResponse { content: content.clone(), session_id: SESSION, merged: true }),
        @r#"{"type":"assistant_response","content":"你好 \"x\"","session_id":"cli_chat:local:d1","merged":true}"#);
    assert_snapshot!(server(ServerBody::Error { code: "bad_request".into(), message: "No.".into(), session_id: None }),
        @r#"{"type":"error","code":"bad_request","message":"No."}"#);
    assert_snapshot!(server(ServerBody::Error { code: "stopped".into(), message: "Stopped.".into(), session_id: Some(SESSION) }),
        @r#"{"type":"error","code":"stopped","message":"Stopped.","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::SessionEstablished { session_id: SESSION, title: title.clone() }),
        @r#"{"type":"session_established","session_id":"cli_chat:local:d1","title":"Trip"}"#);
    assert_snapshot!(server(ServerBody::SessionCreated { session_id: SESSION, title: title.clone() }),
        @r#"{"type":"session_created","session_id":"cli_chat:local:d1","title":"Trip"}"#);
    assert_snapshot!(server(ServerBody::SessionList { sessions: vec![info()], has_more: None }),
        @r#"{"type":"session_list","sessions":[{"session_id":"cli_chat:local:d1","title":"Trip","archived":false,"updated_at":"2026-03-01T08:30:00.000Z","message_count":7}]}"#);
    let entry = HistoryEntry {
        role: "user".into(),
        content: content.clone(),
        created_at: "2026-03-01T08:30:00.000Z".into(),
        state: "queued".into(),
        id: None,
        reasoning: None,
        tool_calls: Vec::new(),
    };
    assert_snapshot!(server(ServerBody::SessionLoaded { session_id: SESSION, messages: vec![entry], has_more: false, before: None, title: None, model: None, token_limit: None, context_tokens: None }),
        @r#"{"type":"session_loaded","session_id":"cli_chat:local:d1","messages":[{"role":"user","content":"你好 \"x\"","created_at":"2026-03-01T08:30:00.000Z","state":"queued"}],"has_more":false}"#);
    assert_snapshot!(server(ServerBody::SessionRenamed { session_id: SESSION, title }),
        @r#"{"type":"session_renamed","session_id":"cli_chat:local:d1","title":"Trip"}"#);
    assert_snapshot!(server(ServerBody::SessionArchived { session_id: SESSION }),
        @r#"{"type":"session_archived","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::SessionDeleted { session_id: SESSION }),
        @r#"{"type":"session_deleted","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::HistoryCleared { session_id: SESSION }),
        @r#"{"type":"history_cleared","session_id":"cli_chat:local:d1"}"#);
    let rename = CommandInfo {
        name: "/rename".into(),
        usage: "/rename <title>".into(),
        description: "Names the dialog.".into(),
    };
    assert_snapshot!(server(ServerBody::SlashCommandsList { commands: vec![rename] }),
        @r#"{"type":"slash_commands_list","commands":[{"name":"/rename","usage":"/rename <title>","description":"Names the dialog."}]}"#);
    assert_snapshot!(server(ServerBody::Pong {}), @r#"{"type":"pong"}"#);
    assert_snapshot!(server(ServerBody::CommandExecuted { command: "/new".into(), content: content.clone(), session_id: Some(SESSION) }),
        @r#"{"type":"command_executed","command":"/new","content":"你好 \"x\"","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::SystemNotification { content: content.clone(), session_id: Some(SESSION) }),
        @r#"{"type":"system_notification","content":"你好 \"x\"","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::SystemNotification { content, session_id: None }),
        @r#"{"type":"system_notification","content":"你好 \"x\""}"#);
}

#[test]
fn server_messages_of_the_additive_part() {
    assert_snapshot!(server(ServerBody::InputAccepted { session_id: SESSION }),
        @r#"{"type":"input_accepted","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::TurnStarted { session_id: SESSION, turn: 9 }),
        @r#"{"type":"turn_started","session_id":"cli_chat:local:d1","turn":9}"#);
    let delta = |reasoning| ServerBody::AssistantDelta {
        content: "Hel".into(),
        session_id: SESSION,
        reasoning,
    };
    assert_snapshot!(server(delta(false)),
        @r#"{"type":"assistant_delta","content":"Hel","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(delta(true)),
        @r#"{"type":"assistant_delta","content":"Hel","session_id":"cli_chat:local:d1","reasoning":true}"#);
    assert_snapshot!(server(ServerBody::ToolStarted { call_id: "c1".into(), name: "bash".into(), arguments: r#"{"command":"ls"}"#.into(), session_id: SESSION }),
        @r#"{"type":"tool_started","call_id":"c1","name":"bash","arguments":"{\"command\":\"ls\"}","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::ToolOutput { call_id: "c1".into(), content: "a.txt\n".into(), session_id: SESSION }),
        @r#"{"type":"tool_output","call_id":"c1","content":"a.txt\n","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::ToolFinished { call_id: "c1".into(), name: "bash".into(), is_error: false, content: "a.txt\n".into(), took_ms: 12, session_id: SESSION }),
        @r#"{"type":"tool_finished","call_id":"c1","name":"bash","is_error":false,"content":"a.txt\n","took_ms":12,"session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(turn_finished(Some("complete".into()))),
        @r#"{"type":"turn_finished","session_id":"cli_chat:local:d1","turn":9,"usage":{"input_tokens":10,"output_tokens":2},"model":"gpt-4o","stop_reason":"complete","took_ms":800}"#);
    assert_snapshot!(server(turn_finished(None)),
        @r#"{"type":"turn_finished","session_id":"cli_chat:local:d1","turn":9,"usage":{"input_tokens":10,"output_tokens":2},"model":"gpt-4o","took_ms":800}"#);
    assert_snapshot!(server(ServerBody::ApprovalRequest { approval_id: "p1".into(), name: "bash".into(), arguments: "{}".into(), expires_at: "2026-03-01T08:30:00.000Z".into(), session_id: SESSION, summary: "make".into(), reason: "r".into(), in_workspace: true, can_always: false }),
        @r#"{"type":"approval_request","approval_id":"p1","name":"bash","arguments":"{}","expires_at":"2026-03-01T08:30:00.000Z","session_id":"cli_chat:local:d1","summary":"make","reason":"r","in_workspace":true,"can_always":false}"#);
    assert_snapshot!(server(ServerBody::ApprovalResolved { approval_id: "p1".into(), decision: "deny".into(), session_id: SESSION }),
        @r#"{"type":"approval_resolved","approval_id":"p1","decision":"deny","session_id":"cli_chat:local:d1"}"#);
    assert_snapshot!(server(ServerBody::SessionUpdated(info())),
        @r#"{"type":"session_updated","session_id":"cli_chat:local:d1","title":"Trip","archived":false,"updated_at":"2026-03-01T08:30:00.000Z","message_count":7}"#);
    let with_id = ServerMessage {
        body: ServerBody::Pong {},
        request_id: Some("r1".into()),
    };
    assert_snapshot!(with_id.to_json(), @r#"{"type":"pong","request_id":"r1"}"#);
    assert_eq!(ServerMessage::parse(&with_id.to_json()).unwrap(), with_id);
}

fn info() -> SessionInfo<'static> {
    SessionInfo {
        session_id: SESSION,
        title: "Trip".into(),
        archived: false,
        updated_at: "2026-03-01T08:30:00.000Z".into(),
        message_count: 7,
        state: None,
    }
}

fn turn_finished(stop_reason: Option<Cow<'static, str>>) -> ServerBody<'static> {
    ServerBody::TurnFinished {
        session_id: SESSION,
        turn: 9,
        usage: TokenUsage {
            input_tokens: Some(10),
            output_tokens: Some(2),
            ..TokenUsage::default()
        },
        model: "gpt-4o".into(),
        stop_reason,
        took_ms: 800,
        context_tokens: None,
        token_limit: None,
        cost: None,
        currency: None,
    }
}

fn fault(text: &str) -> ParseFault {
    match ClientMessage::parse(text) {
        Ok(message) => panic!("{text} read as {message:?}"),
        Err(fault) => fault,
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let check = |text: &str, message: &str| {
        let fault = fault(text);
        assert_eq!(fault.message, message, "{text}");
        assert_eq!(fault.code, FaultCode::BadRequest, "{text}");
    };
    let not_object = |shown: &str| {
        format!("A message must be a JSON object such as {{\"type\":\"ping\"}}, not `{shown}`.")
    };
    check("", &not_object(""));
    check("hello", &not_object("hello"));
    check("[\"ping\"]", &not_object("[\"ping\"]"));
    check("null", &not_object("null"));
    check("\u{feff}{}", &not_object("\\u{feff}{}"));
    check(
        &"x".repeat(900),
        &not_object(&format!("{}…", "x".repeat(64))),
    );
    check("{}", "The field `type` is missing.");
    check(r#"{"type":null}"#, "The field `type` is missing.");
    check(
        r#"{"type":5}"#,
        "The field `type` must be a string, not `5`.",
    );
    check(
        r#"{"type":"user_input"}"#,
        "The field `content` is missing.",
    );
    check(
        r#"{"type":"user_input","content":" \n\u3000"}"#,
        "The field `content` is empty.",
    );
    check(
        r#"{"type":"user_input","content":["a", "b"]}"#,
        r#"The field `content` must be a string, not `["a", "b"]`."#,
    );
    check(
        r#"{"type":"user_input","content":"\ud800"}"#,
        r#"The field `content` must be a string, not `"\ud800"`."#,
    );
    check(
        r#"{"type":"user_input","content":"x","chat_id":1}"#,
        "The field `chat_id` must be a string, not `1`.",
    );
    check(
        r#"{"type":"load_session"}"#,
        "The field `session_id` is missing.",
    );
    check(
        r#"{"type":"rename_session"}"#,
        "The field `title` is missing.",
    );
    check(
        r#"{"type":"rename_session","title":""}"#,
        "The field `title` is empty.",
    );
    check(
        r#"{"type":"load_session","session_id":"a:b:c","before":"x"}"#,
        r#"The field `before` must be the `id` of a message, not `"x"`."#,
    );
    check(
        r#"{"type":"load_session","session_id":"a:b:c","detail":1}"#,
        "The field `detail` must be true or false, not `1`.",
    );
    check(
        r#"{"type":"list_sessions","include_archived":"yes"}"#,
        r#"The field `include_archived` must be true or false, not `"yes"`."#,
    );
    check(
        r#"{"type":"hello","capabilities":"stream"}"#,
        r#"The field `capabilities` must be a list of strings, not `"stream"`."#,
    );
    check(
        r#"{"type":"approval_reply","approval_id":"p","decision":"yes"}"#,
        "The field `decision` must be `allow`, `always` or `deny`, not `yes`.",
    );
    check(
        r#"{"type":"ping","request_id":1.5}"#,
        "The field `request_id` must be a string or an integer, not `1.5`.",
    );
    check(
        r#"{"type":"ping","request_id":{}}"#,
        "The field `request_id` must be a string or an integer, not `{}`.",
    );
    check(
        r#"{"type":"ping","request_id":""}"#,
        "The field `request_id` must have 1 to 256 bytes.",
    );
}

#[test]
fn broken_json_is_a_fault_with_its_place() {
    for text in [
        "{",
        r#"{"type":"ping""#,
        r#"{"type":"ping"}}"#,
        r#"{"type":"ping",}"#,
        r#"{"type":"ping"} {"type":"ping"}"#,
        r#"{'type':'ping'}"#,
        r#"{"type":"ping","type":"ping"}"#,
        "{\"type\":\"pi\nng\"}",
        r#"{"type":"ping","x":NaN}"#,
    ] {
        let fault = fault(text);
        assert!(
            fault.message.starts_with("The message is not valid JSON: "),
            "{text}: {fault}"
        );
        assert!(fault.message.contains(" at line "), "{text}: {fault}");
    }
}

#[test]
fn unknown_types_are_suggested() {
    let check = |kind: &str, message: &str| {
        let fault = fault(&format!(r#"{{"type":"{kind}","request_id":"r"}}"#));
        assert_eq!(fault.code, FaultCode::UnknownType);
        assert_eq!(fault.message, message);
        assert_eq!(fault.request_id.as_deref(), Some("r"));
    };
    check(
        "userinput",
        "There is no message type `userinput`; did you mean `user_input`?",
    );
    check(
        "subscribe",
        "There is no message type `subscribe`; see the protocol page for the known types.",
    );
    check(
        &"y".repeat(100),
        &format!(
            "There is no message type `{}…`; see the protocol page for the known types.",
            "y".repeat(64)
        ),
    );
}

#[test]
fn request_ids_are_read_and_echoed() {
    let check = |id: &str, expected: &str| {
        let ok = format!(r#"{{"type":"ping","request_id":{id}}}"#);
        let message = ClientMessage::parse(&ok).unwrap();
        assert_eq!(message.request_id.as_deref(), Some(expected));
        let bad = format!(r#"{{"content":7,"request_id":{id},"type":"user_input"}}"#);
        assert_eq!(fault(&bad).request_id.as_deref(), Some(expected));
    };
    check(r#""abc""#, "abc");
    check(r#""请求\u0031""#, "请求1");
    check("17", "17");
    check("-3", "-3");
    check(
        "123456789012345678901234567890",
        "123456789012345678901234567890",
    );
    check(&format!("{:?}", "a".repeat(256)), &"a".repeat(256));

    let long = format!(r#"{{"type":"ping","request_id":{:?}}}"#, "a".repeat(257));
    assert_eq!(fault(&long).request_id, None);
    let null = ClientMessage::parse(r#"{"type":"ping","request_id":null}"#).unwrap();
    assert_eq!(null.request_id, None);
}

#[test]
fn null_empty_and_unknown_fields_are_absent() {
    let check = |text: &str, expected: ClientBody| {
        assert_eq!(ClientMessage::parse(text).unwrap().body, expected, "{text}");
    };
    check(
        " \r\n\t{\"v\":[1,{\"type\":2}],\"type\":\"ping\",\"content\":9}\n",
        ClientBody::Ping,
    );
    check(
        r#"{"type":"list_sessions","include_archived":null}"#,
        ClientBody::ListSessions {
            include_archived: false,
            all_chats: false,
            offset: None,
        },
    );
    check(
        r#"{"type":"create_session","title":" "}"#,
        ClientBody::CreateSession { title: None },
    );
    check(
        r#"{"type":"hello"}"#,
        ClientBody::Hello {
            capabilities: vec![],
        },
    );
    check(
        r#"{"type":"user_input","content":" hi ","channel":null,"chat_id":null,"sender_id":"","session_id":null}"#,
        ClientBody::UserInput {
            content: " hi ".into(),
            channel: None,
            chat_id: None,
            sender_id: None,
            session_id: None,
            images: Vec::new(),
        },
    );
}

fn input_image(name: &str, data: &[u8]) -> InputImage {
    InputImage {
        name: name.to_owned(),
        data: data.to_owned(),
    }
}

#[test]
fn images_are_read() {
    let check = |content: &str, list: &str, expected: Vec<InputImage>| {
        let text = format!(r#"{{"type":"user_input",{content}"images":{list}}}"#);
        match ClientMessage::parse(&text).unwrap().body {
            ClientBody::UserInput { images, .. } => assert_eq!(images, expected, "{text}"),
            other => panic!("{other:?}"),
        }
    };
    let words = r#""content":"x","#;
    check(words, "null", vec![]);
    check(words, "[]", vec![]);
    check(
        "",
        r#"[{"name":"图.png","data":"AQID"}]"#,
        vec![input_image("图.png", &[1, 2, 3])],
    );
    check(
        r#""content":" ","#,
        r#"[{"data":"AQ=="},{"data":"A\nQ\r\n==","name":null},{"data":"AQ","x":1}]"#,
        vec![input_image("", &[1]); 3],
    );
    assert_snapshot!(
        client(ClientBody::UserInput {
            content: "what is this?".into(),
            channel: None,
            chat_id: None,
            sender_id: None,
            session_id: None,
            images: vec![input_image("图.png", &[1, 2, 3, 4])],
        }),
        @r#"{"type":"user_input","content":"what is this?","images":[{"name":"图.png","data":"AQIDBA=="}]}"#
    );
}

#[test]
fn wrong_images_are_told() {
    let check = |list: &str, expected: &str| {
        let text = format!(r#"{{"type":"user_input","content":"x","images":{list}}}"#);
        assert_eq!(fault(&text).message, expected, "{text}");
    };
    let shape =
        "The field `images` must be a list of objects with the strings `name` and `data`, not";
    check("7", &format!("{shape} `7`."));
    check(r#"["AQID"]"#, &format!(r#"{shape} `["AQID"]`."#));
    check(
        r#"[{"name":"a"}]"#,
        &format!(r#"{shape} `[{{"name":"a"}}]`."#),
    );
    check(
        &format!("[{}]", [r#"{"data":"AQ=="}"#; 9].join(",")),
        "The field `images` has 9 entries; at most 8 can be sent at once.",
    );
    for data in ["", "A", "%%%%", "data:image/png;base64,AQID", "AQ_-"] {
        check(
            &format!(r#"[{{"name":"a.png","data":"{data}"}}]"#),
            "The field `images` has an entry `a.png` whose `data` is not base64 of a file.",
        );
    }
    check(
        &format!(r#"[{{"name":"{}","data":"AQ=="}}]"#, "n".repeat(257)),
        "The field `images` has a name longer than 256 bytes.",
    );
}

#[test]
fn limits_hold() {
    let ok = |text: String| assert!(ClientMessage::parse(&text).is_ok());
    let bad = |text: String| assert_eq!(fault(&text).code, FaultCode::BadRequest);
    let title = |n| {
        format!(
            r#"{{"type":"rename_session","title":"{}"}}"#,
            "题".repeat(n)
        )
    };
    ok(title(256));
    bad(title(257));
    let sender = |n| {
        format!(
            r#"{{"type":"user_input","content":"x","sender_id":"{}"}}"#,
            "s".repeat(n)
        )
    };
    ok(sender(256));
    bad(sender(257));
    let names = |n| format!(r#"{{"type":"hello","capabilities":["{}"]}}"#, "c".repeat(n));
    ok(names(4092));
    bad(names(4093));
}

#[test]
fn deep_nesting_neither_overflows_nor_disconnects() {
    let deep = "[".repeat(500_000);
    let closed = format!("{deep}{}", "]".repeat(500_000));
    fault(&deep);
    fault(&format!(r#"{{"type":"ping","x":{deep}"#));
    fault(&format!(r#"{{"type":"user_input","content":{closed}}}"#));
    fault(&format!(r#"{{"type":"hello","capabilities":{closed}}}"#));
    let ignored = ClientMessage::parse(&format!(r#"{{"type":"ping","x":{closed}}}"#));
    assert_eq!(ignored.unwrap().body, ClientBody::Ping);
}

#[test]
fn readers_of_frames_are_tolerant_of_the_new_only() {
    let newer = r#"{"seq":1,"type":"weather_report","request_id":"r","x":{"y":1}}"#;
    let message = ServerMessage::parse(newer).unwrap();
    assert_eq!(message.body, ServerBody::Unknown);
    assert_eq!(message.request_id.as_deref(), Some("r"));
    let more = r#"{"type":"pong","at":"now"}"#;
    assert_eq!(
        ServerMessage::parse(more).unwrap().body,
        ServerBody::Pong {}
    );
    for broken in [
        "",
        "x",
        "{}",
        "[]",
        r#"["pong"]"#,
        r#"{"type":7}"#,
        r#"{"type":"assistant_response","session_id":"a:b:c"}"#,
        r#"{"type":"assistant_response","content":5,"session_id":"a:b:c"}"#,
    ] {
        assert!(ServerMessage::parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_glance_reads_any_frame() {
    let text = r#"{"type":"weather_report","session_id":"a:b:c","x":[1]}"#;
    let expected = Glance {
        kind: "weather_report".into(),
        request_id: None,
        session_id: some("a:b:c"),
    };
    assert_eq!(Glance::of(text), Some(expected));
    for text in ["", "{}", r#"["pong",null,null]"#, r#"{"type":1}"#] {
        assert_eq!(Glance::of(text), None, "{text}");
    }
}

/// Every line of the `json` blocks of the protocol page.
fn documented_examples() -> impl Iterator<Item = &'static str> {
    include_str!("../../docs/protocol.md")
        .lines()
        .filter(|line| line.starts_with('{'))
}

#[test]
fn the_protocol_page_shows_true_messages() {
    let mut shown = std::collections::BTreeSet::new();
    for line in documented_examples() {
        shown.insert(Glance::of(line).unwrap().kind);
        let written_back = match ClientMessage::parse(line) {
            Ok(message) => message.to_json(),
            Err(_) => ServerMessage::parse(line).expect(line).to_json(),
        };
        assert_eq!(written_back, line);
    }
    assert!(!shown.contains("unknown"));
    assert_eq!(shown.len(), 17 + 29, "a type has no example: {shown:?}");
}

prop_compose! {
    fn optional_text()(text in proptest::option::of(".{1,40}")) -> Option<String> { text }
}

fn any_images() -> impl Strategy<Value = Vec<InputImage>> {
    let data = proptest::collection::vec(any::<u8>(), 1..9);
    let one = (".{0,9}", data).prop_map(|(name, data)| InputImage { name, data });
    proptest::collection::vec(one, 0..3)
}

fn any_client_body() -> impl Strategy<Value = ClientBody> {
    let text = "\\PC{0,20}[a-z你][^\\x00]{0,40}";
    let optional = optional_text;
    prop_oneof![
        (
            text,
            optional(),
            optional(),
            optional(),
            optional(),
            any_images()
        )
            .prop_map(
                |(content, channel, chat_id, sender_id, session_id, images)| {
                    ClientBody::UserInput {
                        content,
                        channel,
                        chat_id,
                        sender_id,
                        session_id,
                        images,
                    }
                }
            ),
        (optional(), optional()).prop_map(|(chat_id, session_id)| ClientBody::ClearHistory {
            chat_id,
            session_id
        }),
        proptest::option::of(text).prop_map(|title| ClientBody::CreateSession { title }),
        any::<bool>().prop_map(|include_archived| ClientBody::ListSessions {
            include_archived,
            all_chats: false,
            offset: None,
        }),
        ".{0,40}".prop_map(|session_id| ClientBody::LoadSession {
            session_id,
            detail: true,
            before: Some(7)
        }),
        (optional(), text)
            .prop_map(|(session_id, title)| ClientBody::RenameSession { session_id, title }),
        optional().prop_map(|session_id| ClientBody::ArchiveSession { session_id }),
        optional().prop_map(|session_id| ClientBody::DeleteSession { session_id }),
        Just(ClientBody::GetSlashCommands),
        Just(ClientBody::Ping),
        proptest::collection::vec(".{0,20}", 0..5)
            .prop_map(|capabilities| ClientBody::Hello { capabilities }),
        ".{1,40}".prop_map(|approval_id| ClientBody::ApprovalReply {
            approval_id,
            decision: Decision::Deny
        }),
    ]
}

/// JSON-like texts with the contract's words, so that many get past the first checks.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("\"type\":".to_owned()),
        Just("\"user_input\"".to_owned()),
        Just("\"load_session\"".to_owned()),
        Just("\"content\":".to_owned()),
        Just("\"request_id\":".to_owned()),
        Just("\"session_id\":".to_owned()),
        Just("null".to_owned()),
        Just(",".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
        ".{0,8}",
        "-?[0-9]{1,30}",
        "\"[^\"\\\\]{0,100}\"",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn every_server_body(text: &str) -> Vec<ServerBody<'_>> {
    let text: Cow<'_, str> = text.into();
    let session_id = text.clone();
    vec![
        ServerBody::AssistantResponse {
            content: text.clone(),
            session_id: session_id.clone(),
            merged: true,
        },
        ServerBody::Error {
            code: text.clone(),
            message: text.clone(),
            session_id: Some(session_id.clone()),
        },
        ServerBody::SessionLoaded {
            session_id: session_id.clone(),
            messages: vec![HistoryEntry {
                role: text.clone(),
                content: text.clone(),
                created_at: text.clone(),
                state: text.clone(),
                id: Some(5),
                reasoning: Some(text.clone()),
                tool_calls: vec![HistoryCall {
                    call_id: text.clone(),
                    name: text.clone(),
                    arguments: text.clone(),
                    content: text.clone(),
                    state: text.clone(),
                    took_ms: Some(1),
                }],
            }],
            has_more: true,
            before: Some(-1),
            title: Some(text.clone()),
            model: Some(text.clone()),
            token_limit: Some(1),
            context_tokens: Some(2),
        },
        ServerBody::AssistantDelta {
            content: text.clone(),
            session_id: session_id.clone(),
            reasoning: false,
        },
        ServerBody::ToolStarted {
            call_id: text.clone(),
            name: text.clone(),
            arguments: text.clone(),
            session_id,
        },
        ServerBody::SystemNotification {
            content: text,
            session_id: None,
        },
    ]
}

proptest! {
    #[test]
    fn client_messages_survive_the_trip(body in any_client_body(), request_id in optional_text()) {
        let message = ClientMessage { body, request_id };
        let json = message.to_json();
        let type_first = json.starts_with(r#"{"type":""#);
        prop_assert!(type_first, "{}", json);
        prop_assert_eq!(ClientMessage::parse(&json), Ok(message));
    }

    #[test]
    fn server_messages_survive_the_trip(text in any::<String>(), id in proptest::option::of(any::<String>())) {
        for body in every_server_body(&text) {
            let message = ServerMessage { body, request_id: id.as_deref().map(Cow::from) };
            let json = message.to_json();
            prop_assert_eq!(ServerMessage::parse(&json).unwrap(), message);
            prop_assert!(Glance::of(&json).is_some());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), near in near_json()) {
        for text in [text, near] {
            if let Err(fault) = ClientMessage::parse(&text) {
                prop_assert!(!fault.message.is_empty());
                prop_assert!(!fault.message.contains(char::is_control));
                prop_assert!(fault.message.chars().count() < 900);
            }
            let _ = ServerMessage::parse(&text);
            let _ = Glance::of(&text);
        }
    }
}
