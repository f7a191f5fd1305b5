//! Several clients: which dialog each speaks in, and what commands answer.

use super::*;

#[test]
fn each_client_has_its_own_dialog() {
    let rig = Rig::start(vec![]);
    let other = |request_id: &str| Caller {
        client: ClientId(2),
        ..caller(request_id)
    };
    for client in [caller("c1"), other("c2")] {
        let id = client.request_id.clone().unwrap();
        rig.send(
            client,
            InboundBody::Connected {
                route: route("local"),
            },
        );
        assert!(matches!(rig.reply(&id), Body::Established { .. }));
    }
    rig.send(
        caller("new"),
        InboundBody::Create {
            title: Some("mine".into()),
        },
    );
    let created = rig.reply_about("new").session.unwrap();
    rig.say("a", "in mine");
    assert_eq!(rig.reply_about("a").session.unwrap(), created);
    rig.send(other("b"), input(None, "in the first"));
    let first = rig.reply_about("b").session.unwrap();
    assert_ne!(first, created);
    // `/new` also moves the chat: a client that comes later begins there, one that was there stays where it is.
    rig.say("n", "/new for all");
    assert!(rig.command("n").ends_with("for all"));
    rig.say("c", "here");
    let third = rig.reply_about("c").session.unwrap();
    rig.send(other("still"), input(None, "still in the first"));
    assert_eq!(rig.reply_about("still").session.unwrap(), first);
    rig.send(
        Caller {
            client: ClientId(3),
            ..caller("c3")
        },
        InboundBody::Connected {
            route: route("local"),
        },
    );
    assert_eq!(rig.reply_about("c3").session.unwrap(), third);
    rig.send(caller("del"), InboundBody::Delete { session: None });
    assert_eq!(rig.reply("del"), Body::Deleted);
    rig.send(
        caller("load"),
        InboundBody::Load {
            session: third.clone(),
            detail: false,
            before: None,
        },
    );
    assert_eq!(rig.error("load"), ErrorCode::NotFound);
    rig.send(
        caller("list"),
        InboundBody::List {
            archived: false,
            all: false,
            offset: None,
        },
    );
    match rig.reply("list") {
        Body::List { dialogs, .. } => {
            assert!(dialogs.iter().all(|dialog| dialog.session != third));
            assert_eq!(dialogs.len(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_answer_once_and_suggest() {
    let rig = Rig::start(vec![]);
    rig.say("1", "/nwe");
    assert_eq!(
        rig.command("1"),
        "There is no command /nwe. Did you mean /new?"
    );
    rig.say("2", "/new");
    let first = rig.command("2");
    rig.say("2", "/new");
    assert_eq!(rig.command("2"), first, "a repeat makes no second dialog");
    rig.control("3", "?");
    assert!(rig.command("3").contains("/stop [request_id] — "));
}

/// A dialog that was made for a client and not kept is not its own: its number may become that of another chat's dialog.
#[test]
fn a_dialog_that_could_not_be_stored_is_nobodys() {
    let rig = Rig::start(vec![]);
    let connected = InboundBody::Connected {
        route: route("local"),
    };
    rig.send(caller("c"), connected);
    rig.reply("c");
    rig.send(caller("del"), InboundBody::Delete { session: None });
    assert_eq!(rig.reply("del"), Body::Deleted);
    rig.db.spoil("ALTER TABLE model_calls RENAME TO gone");
    rig.control("info", "info");
    assert_eq!(rig.error("info"), ErrorCode::Storage);
    rig.db.spoil("ALTER TABLE gone RENAME TO model_calls");
    rig.send(caller("bob"), input(Some("bob"), "for bob"));
    rig.reply("bob");
    rig.say("own", "for me");
    let own = rig.reply_about("own").session.unwrap();
    assert_eq!(own.chat.as_str(), "local");
}

#[test]
fn naming_a_chat_moves_nobody() {
    let rig = Rig::start(vec![]);
    rig.send(caller("bob"), input(Some("bob"), "for bob"));
    assert_eq!(rig.reply_about("bob").session.unwrap().chat.as_str(), "bob");
    rig.say("own", "for me");
    assert_eq!(
        rig.reply_about("own").session.unwrap().chat.as_str(),
        "local"
    );
}
