//! Images of messages and files of inputs: stored once, given back, and gone with what held them.

use std::time::SystemTime;

use super::*;
use crate::chat::{MediaType, Part, Role, Route, ToolResult};
use crate::storage::{Context, Db, NewInput, Outcome, StoredReply, TurnId};

struct Rig {
    db: Db,
    dialog: DialogKey,
    turn: TurnId,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let (dialog, turn) = db
            .write(|tx| {
                let dialog = tx.create_dialog(&route(), "", SystemTime::now())?.key;
                Ok((dialog, tx.begin_turn(dialog, SystemTime::now())?))
            })
            .unwrap();
        Self {
            db,
            dialog,
            turn,
            _dir: dir,
        }
    }

    fn append(&self, messages: &[Message]) {
        let now = SystemTime::now();
        self.db
            .write(|tx| tx.append_messages(self.dialog, self.turn, messages, now))
            .unwrap();
    }

    fn history(&self) -> Vec<Message> {
        let stored = self
            .db
            .read(|tx| tx.history(self.dialog, &Context::default()))
            .unwrap();
        stored.into_iter().map(|stored| stored.message).collect()
    }

    fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.db
            .read(|tx| Ok(tx.sql.query_row(&sql, [], |row| row.get(0))?))
            .unwrap()
    }
}

fn route() -> Route {
    "cli_chat:local:d1"
        .parse::<crate::chat::SessionId>()
        .unwrap()
        .route()
}

fn some_image(digest: &str, data: &[u8]) -> Image {
    Image {
        digest: digest.to_owned(),
        media_type: MediaType::Png,
        width: 8,
        height: 6,
        name: "图.png".to_owned(),
        data: data.into(),
    }
}

fn shows(images: impl IntoIterator<Item = Image>) -> Message {
    let mut message = Message::text(Role::User, "look");
    message.parts.extend(images.into_iter().map(Part::Image));
    message
}

fn result(images: Vec<Image>) -> Message {
    Message::results([ToolResult {
        call_id: "c".to_owned(),
        content: "done".to_owned(),
        is_error: false,
        images,
    }])
}

fn data_of(history: &[Message]) -> Vec<Vec<u8>> {
    let images = history.iter().flat_map(Message::images);
    images.map(|image| image.data.to_vec()).collect()
}

#[test]
fn images_come_back_with_their_bytes_and_are_stored_once() {
    let rig = Rig::new();
    let (a, b) = (some_image("a", b"aaa"), some_image("b", b"bb"));
    let said = [shows([a.clone(), b.clone(), a.clone()]), result(vec![b, a])];
    rig.append(&said);
    let history = rig.history();
    assert_eq!(history, said);
    assert_eq!(
        data_of(&history),
        [&b"aaa"[..], b"bb", b"aaa", b"bb", b"aaa"]
    );
    assert_eq!((rig.count("media"), rig.count("message_media")), (2, 4));
}

#[test]
fn only_the_newest_images_are_loaded() {
    let rig = Rig::new();
    for n in 0..25_u8 {
        rig.append(&[shows([some_image(&format!("d{n}"), &[n])])]);
    }
    let data = data_of(&rig.history());
    assert!(data[..5].iter().all(Vec::is_empty));
    assert_eq!(data[5..], (5..25_u8).map(|n| vec![n]).collect::<Vec<_>>());
    // Written again without their bytes, old images keep them.
    let stored = rig
        .db
        .read(|tx| tx.history(rig.dialog, &Context::default()))
        .unwrap();
    let again: Vec<_> = stored
        .iter()
        .map(|row| (row.turn, row.message.clone(), row.created_at))
        .collect();
    rig.db
        .write(|tx| tx.rewrite_from(rig.dialog, &Context::default(), stored[0].id, &again))
        .unwrap();
    assert_eq!((rig.count("media"), rig.count("message_media")), (25, 25));
}

#[test]
fn images_go_with_the_last_message_that_holds_them() {
    let rig = Rig::new();
    let (shared, own) = (some_image("s", b"s"), some_image("o", b"o"));
    rig.append(&[shows([shared.clone(), own])]);
    let now = SystemTime::now();
    let other = rig
        .db
        .write(|tx| {
            let other = tx.create_dialog(&route(), "", now)?.key;
            let turn = tx.begin_turn(other, now)?;
            tx.append_messages(other, turn, &[shows([shared])], now)?;
            Ok(other)
        })
        .unwrap();
    assert_eq!(rig.count("media"), 2);
    rig.db.write(|tx| tx.clear_dialog(rig.dialog, now)).unwrap();
    assert_eq!(rig.count("media"), 1);
    let left = rig
        .db
        .read(|tx| tx.history(other, &Context::default()))
        .unwrap();
    assert_eq!(*left[0].message.images().next().unwrap().data, *b"s");
    rig.db.write(|tx| tx.delete_dialog(other)).unwrap();
    assert_eq!((rig.count("media"), rig.count("message_media")), (0, 0));
}

#[test]
fn replaced_images_are_gone_for_good() {
    let rig = Rig::new();
    let picture = some_image("a", b"a");
    let before = Message::text(Role::User, "before");
    rig.append(&[
        before.clone(),
        shows([picture.clone()]),
        result(vec![picture]),
    ]);
    rig.db
        .write(|tx| tx.replace_images(rig.dialog, Image::refused_note))
        .unwrap();
    let history = rig.history();
    let note = "[image: 图.png — refused by the model service]";
    assert_eq!(history[0], before);
    assert_eq!(history[1].visible_text(), format!("look\n\n{note}"));
    let result = history[2].tool_results().next().unwrap();
    assert_eq!(result.content, format!("done\n{note}"));
    assert!(
        history
            .iter()
            .all(|message| message.images().next().is_none())
    );
    assert_eq!((rig.count("media"), rig.count("message_media")), (0, 0));
}

#[test]
fn an_image_whose_bytes_are_lost_is_still_named() {
    let rig = Rig::new();
    rig.append(&[shows([some_image("a", b"")])]);
    assert_eq!(data_of(&rig.history()), [b""]);
    assert_eq!(rig.history()[0].images().count(), 1);
}

#[test]
fn files_of_inputs_stay_until_the_input_has_ended() {
    let rig = Rig::new();
    let files = [
        Attachment::new("一.png", vec![1, 2]),
        Attachment::new("b", vec![]),
    ];
    let store = |key: &str| {
        let input = NewInput {
            source: "cli_chat",
            external_id: Some(key),
            dialog: Some(rig.dialog),
            sender: None,
            content: "hi",
            files: &files,
            received_at: SystemTime::now(),
        };
        rig.db.write(|tx| tx.insert_input(&input)).unwrap()
    };
    let (first, second) = (store("1"), store("2"));
    let found = rig.db.read(|tx| tx.attachments(first)).unwrap();
    assert_eq!(found, files);
    let names = rig.db.read(|tx| tx.attachment_names(first)).unwrap();
    assert_eq!(names, ["一.png", "b"]);
    let reply = StoredReply {
        kind: "answer".to_owned(),
        code: String::new(),
        text: "ok".to_owned(),
    };
    rig.db
        .write(|tx| tx.close_input(first, Outcome::Done, &reply))
        .unwrap();
    assert!(rig.db.read(|tx| tx.attachments(first)).unwrap().is_empty());
    assert_eq!(rig.db.read(|tx| tx.attachments(second)).unwrap(), files);
    rig.db.write(|tx| tx.delete_dialog(rig.dialog)).unwrap();
    assert_eq!(rig.count("attachments"), 0);
}

#[test]
fn old_images_are_forgotten_and_their_messages_stay() {
    let rig = Rig::new();
    let day = std::time::Duration::from_secs(86_400);
    let now = SystemTime::now();
    let say = |image: &Image, at| {
        let message = Message {
            role: Role::User,
            parts: vec![Part::Image(image.clone())],
            native: None,
        };
        rig.db
            .write(|tx| tx.append_messages(rig.dialog, rig.turn, &[message], at))
            .unwrap();
    };
    let (old, used_again) = (some_image("a", b"first"), some_image("b", b"second"));
    say(&old, now - 9 * day);
    say(&used_again, now - 9 * day);
    say(&used_again, now - day);
    let forget = |since| rig.db.write(|tx| tx.forget_images(since)).unwrap();
    assert_eq!(forget(now - 10 * day), 0);
    assert_eq!(forget(now - 2 * day), 1);
    assert_eq!(forget(now - 2 * day), 0);
    let bytes: Vec<usize> = rig
        .history()
        .iter()
        .flat_map(|message| {
            message
                .images()
                .map(|image| image.data.len())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(bytes, [0, 6, 6]);
    // Sent again, it is there again.
    say(&old, now);
    assert_eq!(rig.count("media"), 2);
}
