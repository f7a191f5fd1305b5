//! Files in and out, quoted and forwarded messages, other kinds of messages.

use std::fs;

use base64::Engine;
use serde_json::{Value, json};

use super::Office;
use super::service::{message, text};
use crate::support::model::ModelServer;
use crate::support::script::Answer;

/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn give(office: &Office, message: &str, key: &str, kind: &str, bytes: &[u8]) {
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    let body = json!({"message_id": message, "key": key, "type": kind, "data": data});
    office.service.control("resource", &body);
}

fn recall(office: &Office, message: &str) {
    let event = super::service::envelope(
        "im.message.recalled_v1",
        &json!({"message_id": message, "chat_id": "oc_1", "recall_type": "message_owner"}),
    );
    assert_eq!(office.service.deliver(&event), 200);
}

fn deliver_file(office: &Office, id: &str, key: &str) {
    give(office, id, key, "file", b"some bytes");
    let file = json!({"file_key": key, "file_name": format!("{key}.txt")});
    let event = message(id, "file", &file, |_| {});
    assert_eq!(office.service.deliver(&event), 200);
}

fn asked(office: &Office, n: usize) -> String {
    office.model.received()[n].texts("user").concat()
}

#[test]
fn a_file_is_kept_under_a_safe_name_and_named_in_the_prompt() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("read")])) else {
        return;
    };
    give(&office, "om_1", "file_1", "file", b"secret plans");
    let file = json!({"file_key": "file_1", "file_name": "../../.ssh/计划 1.txt"});
    assert_eq!(
        office
            .service
            .deliver(&message("om_1", "file", &file, |_| {})),
        200
    );
    office.service.wait_sent(1);
    let asked = asked(&office, 0);
    let path = asked
        .split("saved as ")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    assert!(path.starts_with("media/feishu/"), "{asked}");
    assert!(path.ends_with("om_1-0-计划_1.txt"), "{asked}");
    let kept = fs::read(office.home.workspace().join(path)).unwrap();
    assert_eq!(kept, b"secret plans");
}

#[test]
fn a_picture_waits_a_moment_for_its_question() {
    let answers = [Answer::text("a pixel")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let picture = base64::engine::general_purpose::STANDARD
        .decode(PIXEL)
        .unwrap();
    give(&office, "om_1", "img_1", "image", &picture);
    office.service.deliver(&message(
        "om_1",
        "image",
        &json!({"image_key": "img_1"}),
        |_| {},
    ));
    office.service.deliver(&text("om_2", "what is this?"));
    assert_eq!(office.service.wait_sent(1), ["a pixel"]);
    let asked = asked(&office, 0);
    assert!(
        asked.contains("what is this?") && asked.contains("om_1-0-image.png"),
        "{asked}"
    );
    assert_eq!(office.model.received().len(), 1);
}

#[test]
fn what_cannot_be_fetched_is_said() {
    let answers = [Answer::text("one"), Answer::text("two")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let huge = json!({"message_id": "om_1", "key": "file_1", "size": (20 << 20) + 1});
    office.service.control("big_resource", &huge);
    let file = json!({"file_key": "file_1", "file_name": "huge.bin"});
    office
        .service
        .deliver(&message("om_1", "file", &file, |_| {}));
    office.service.wait_sent(1);
    assert!(asked(&office, 0).contains("[file huge.bin: not fetched, it is larger than 20 MiB]"));
    let gone = json!({"file_key": "file_gone", "file_name": "gone.bin"});
    office
        .service
        .deliver(&message("om_2", "file", &gone, |_| {}));
    office.service.wait_sent(2);
    assert!(asked(&office, 1).contains("[file gone.bin: not fetched, code 234003"));
}

#[test]
fn quoted_and_forwarded_messages_are_shown_with_marks() {
    let answers = [Answer::text("one"), Answer::text("two")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let kept = |id: &str, said: &str, more: Value| {
        let mut body = json!({"message_id": id, "msg_type": "text", "chat_id": "oc_1",
            "sender": {"id": "ou_9", "sender_type": "user"}, "body": {"content": json!({"text": said}).to_string()}});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        office.service.control("message", &body);
    };
    kept("om_q", "the quoted words", json!({}));
    let reply = message("om_1", "text", &json!({"text": "why?"}), |event| {
        event["message"]["parent_id"] = json!("om_q");
    });
    office.service.deliver(&reply);
    office.service.wait_sent(1);
    let first = asked(&office, 0);
    assert!(
        first.contains("quoted Feishu message of a person]\nthe quoted words\n"),
        "{first}"
    );
    office
        .service
        .control("user", &json!({"open_id": "ou_9", "name": "小明"}));
    kept("om_c1", "child one", json!({"upper_message_id": "om_2"}));
    let by_bot =
        json!({"upper_message_id": "om_2", "sender": {"id": "cli_x", "sender_type": "app"}});
    kept("om_c2", "child two", by_bot);
    let forward = json!({"content": "Merged and Forwarded Message"});
    office
        .service
        .deliver(&message("om_2", "merge_forward", &forward, |_| {}));
    office.service.wait_sent(2);
    let second = asked(&office, 1);
    let said = "- 小明 (ou_9): child one\n- child two";
    assert!(second.contains(said), "{second}");
}

#[test]
fn every_kind_of_message_is_answered() {
    // The voice message and the video wait for their text, and the sticker becomes it.
    let n = 9;
    let answers = (0..n).map(|n| Answer::text(&format!("answer {n}")));
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    for key in ["file_a", "file_v"] {
        give(&office, "om_audio", key, "file", b"sound");
        give(&office, "om_media", key, "file", b"film");
    }
    let kinds = [
        ("audio", json!({"file_key": "file_a", "duration": 1000})),
        (
            "media",
            json!({"file_key": "file_v", "file_name": "v.mp4", "image_key": "img_x", "duration": 1}),
        ),
        ("sticker", json!({"file_key": "s"})),
        (
            "location",
            json!({"name": "上海", "longitude": "1", "latitude": "2"}),
        ),
        ("share_chat", json!({"chat_id": "oc_x"})),
        ("share_user", json!({"user_id": "ou_x"})),
        (
            "interactive",
            json!({"title": "T", "elements": [[{"tag": "text", "text": "card text"}]]}),
        ),
        ("system", json!({"template": "x"})),
        ("hologram", json!({})),
        (
            "post",
            json!({"title": "", "content": [[{"tag": "text", "text": "posted"}]]}),
        ),
        ("vote", json!({"topic": "lunch"})),
    ];
    for (kind, content) in &kinds {
        let id = format!("om_{kind}");
        assert_eq!(
            office.service.deliver(&message(&id, kind, content, |_| {})),
            200,
            "{kind}"
        );
    }
    office.service.wait_sent(n);
    let all: String = office
        .model
        .received()
        .iter()
        .map(|one| one.texts("user").concat())
        .collect();
    for said in [
        "[voice message voice.opus: saved",
        "[video v.mp4: saved",
        "[sticker]",
        "上海",
        "card text",
        "hologram",
        "posted",
        "lunch",
    ] {
        assert!(all.contains(said), "{said}");
    }
}

#[test]
fn an_empty_message_is_answered_in_plain_words() {
    let Some(office) = Office::new(ModelServer::queue([])) else {
        return;
    };
    let empty = json!({"title": "", "content": []});
    assert_eq!(
        office
            .service
            .deliver(&message("om_1", "post", &empty, |_| {})),
        200
    );
    let sent = office.service.wait_sent(1);
    assert!(sent[0].contains("no text"), "{sent:?}");
}

#[test]
fn a_recalled_message_is_not_answered() {
    let gate = crate::support::gate::Gate::new();
    let model = ModelServer::queue([Answer::text("too late").held(&gate), Answer::text("next")]);
    let Some(office) = Office::new(model) else {
        return;
    };
    office.service.deliver(&text("om_1", "oops"));
    gate.wait_reached();
    recall(&office, "om_1");
    gate.wait_hung_up();
    office.service.deliver(&text("om_2", "again"));
    assert_eq!(office.service.wait_sent(1), ["next"]);
}

#[test]
fn what_waits_for_a_download_is_recalled_whole_and_leaves_no_ghost() {
    let answers = [
        Answer::text("one"),
        Answer::text("two"),
        Answer::text("three"),
    ];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    office.service.control("hold", &json!({"key": "slow"}));
    deliver_file(&office, "om_1", "slow");
    office.service.deliver(&text("om_2", "first question"));
    deliver_file(&office, "om_3", "dropped");
    office.service.deliver(&text("om_4", "second question"));
    deliver_file(&office, "om_5", "withdrawn");
    office.service.deliver(&text("om_6", "third question"));
    recall(&office, "om_4");
    recall(&office, "om_5");
    office.service.control("let_go", &json!({"key": "slow"}));
    assert_eq!(office.service.wait_sent(2), ["one", "two"]);
    let third = asked(&office, 1);
    assert!(third.contains("third question"), "{third}");
    assert!(!third.contains("withdrawn.txt"), "{third}");
    // Nothing of the dropped bundle is taken up by the next process.
    let office = office.crash();
    office.service.deliver(&text("om_7", "fourth question"));
    assert_eq!(office.service.wait_sent(3), ["one", "two", "three"]);
    let fourth = asked(&office, 2);
    assert!(!fourth.contains("dropped.txt"), "{fourth}");
    assert!(!fourth.contains("second question"), "{fourth}");
}

#[test]
fn a_file_that_is_taken_back_while_it_is_fetched_goes_without_a_trace() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("one")])) else {
        return;
    };
    office.service.control("hold", &json!({"key": "secret"}));
    give(&office, "om_1", "plan", "file", b"a plan");
    let plan = json!({"file_key": "plan", "file_name": "plan.txt"});
    office
        .service
        .deliver(&message("om_1", "file", &plan, |_| {}));
    deliver_file(&office, "om_2", "secret");
    office.service.deliver(&text("om_3", "what is in it?"));
    office
        .service
        .wait(&json!({"call": "GET .*/resources/secret"}));
    recall(&office, "om_2");
    office.service.control("let_go", &json!({"key": "secret"}));
    assert_eq!(office.service.wait_sent(1), ["one"]);
    let asked = asked(&office, 0);
    assert!(asked.contains("what is in it?"), "{asked}");
    assert!(asked.contains("plan.txt: saved as"), "{asked}");
    assert!(!asked.contains("secret"), "{asked}");
    let folder = office.home.workspace().join("media/feishu");
    let kept = walk(&folder);
    assert!(kept.iter().any(|name| name.contains("plan")), "{kept:?}");
    assert!(!kept.iter().any(|name| name.contains("secret")), "{kept:?}");
}

/// The names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            names.extend(walk(&entry.path()));
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names
}

#[test]
fn commands_wait_for_no_download_and_stop_ends_what_does() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("next")])) else {
        return;
    };
    office.service.control("hold", &json!({"key": "slow"}));
    deliver_file(&office, "om_1", "slow");
    office.service.deliver(&text("om_2", "first question"));
    office.service.deliver(&text("om_3", "second question"));
    office.service.deliver(&text("om_4", "/help"));
    let sent = office.service.wait_sent(1);
    assert!(sent[0].contains("/stop"), "{sent:?}");
    // Answers: that of the command, and one for each question.
    office.service.deliver(&text("om_5", "/stop"));
    office.service.wait_sent(3);
    office.service.control("let_go", &json!({"key": "slow"}));
    let sent = office.service.wait_sent(4);
    let stopped = sent.iter().filter(|text| text.contains("before it began"));
    assert_eq!(stopped.count(), 2, "{sent:?}");
    office.service.deliver(&text("om_6", "third question"));
    assert_eq!(office.service.wait_sent(5)[4], "next");
    let asked = asked(&office, 0);
    assert!(!asked.contains("second question"), "{asked}");
}

#[test]
fn a_linked_folder_for_downloads_is_refused() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("read")])) else {
        return;
    };
    let workspace = office.home.workspace();
    let victim = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(victim.path(), workspace.join("media")).unwrap();
    deliver_file(&office, "om_1", "file_1");
    office.service.wait_sent(1);
    let asked = asked(&office, 0);
    assert!(asked.contains("is a link or no folder"), "{asked}");
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

#[test]
fn files_that_an_answer_names_are_sent_along() {
    let said =
        "Here: ![chart](out/chart.png) and [the report](out/report.pdf), not [this](picobot.db).";
    let Some(office) = Office::new(ModelServer::queue([Answer::text(said)])) else {
        return;
    };
    let folder = office.home.workspace().join("out");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("chart.png"), b"\x89PNG--").unwrap();
    fs::write(folder.join("report.pdf"), b"%PDF").unwrap();
    office.service.deliver(&text("om_1", "report please"));
    office.service.wait(&json!({"sent": 2}));
    let log = office.service.log();
    let card = log["sent"][0]["content"].as_str().unwrap();
    assert!(card.contains("![chart](img_"), "{card}");
    assert!(card.contains(" and the report, not "), "{card}");
    assert_eq!(log["sent"][1]["msg_type"], "file");
    let calls = log["calls"].as_array().unwrap();
    let uploads = calls
        .iter()
        .filter(|call| call.as_str().unwrap().ends_with("/im/v1/files"))
        .count();
    assert_eq!(uploads, 1, "the database is not a file to send");
}

#[test]
fn a_file_that_the_service_does_not_take_is_named() {
    let said = "Here is [the report](report.pdf).";
    let Some(office) = Office::new(ModelServer::queue([Answer::text(said)])) else {
        return;
    };
    fs::write(office.home.workspace().join("report.pdf"), b"%PDF").unwrap();
    let fault =
        json!({"path": "POST /open-apis/im/v1/files$", "times": 1, "code": 234006, "msg": "no"});
    office.service.control("fault", &fault);
    office.service.deliver(&text("om_1", "report please"));
    let sent = office.service.wait_sent(1);
    let plain = "report.pdf was not sent 文件未能发送: code 234006: no (the file is too large)";
    assert!(sent[0].contains(plain), "{sent:?}");
}
