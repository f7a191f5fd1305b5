//! Texts of odd sizes and kinds: stored and given back unharmed, or refused in plain words; and the modes of files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use tungstenite::Message;

use crate::support::model::{ModelServer, Received};
use crate::support::script::Answer;
use crate::support::stage::Stage;

/// Answers with the length of what was said, so that the model's copy can be compared too.
fn measured(received: &Received) -> Answer {
    let said = received.texts("user").pop().unwrap();
    Answer::text(&format!("{} characters", said.chars().count()))
}

#[test]
fn large_and_odd_texts_come_back_unharmed() {
    let stage = Stage::with_model(ModelServer::start(measured));
    let texts = [
        "x".repeat(64 * 1024 + 1),
        // Nearly a frame of a million bytes.
        "很长的一段中文,".repeat(41_000),
        "emoji 👩‍👩‍👧‍👦 and e\u{301} and \u{202e}backwards".repeat(1_000),
        "a NUL \u{0} in the middle, and ESC \u{1b}[31m".to_owned(),
        "'; DROP TABLE messages; -- %s ?1 \\u0000 \"".to_owned(),
        "line\r\nline\u{2028}line\u{feff}".to_owned(),
    ];
    let mut sessions = Vec::new();
    for text in &texts {
        let mut client = stage.client();
        client.send_json(&json!({"type": "create_session"}));
        let made = client.next();
        sessions.push(made["session_id"].as_str().unwrap().to_owned());
        let answer = client.ask(text);
        assert!(answer.ends_with(" characters"), "{answer}");
    }
    let stage = stage.crash();
    for (text, session) in texts.iter().zip(&sessions) {
        let messages = stage.client().load(session);
        assert_eq!(messages.len(), 2);
        let same = messages[0]["content"] == text.as_str();
        assert!(same, "{:?}…", text.chars().take(40).collect::<String>());
    }
    let received = stage.model.received();
    assert_eq!(received.len(), texts.len());
    for (text, received) in texts.iter().zip(received) {
        let said = received.texts("user").pop().unwrap();
        // Services get a sign in the place of a NUL, and none takes a text longer than its context.
        let shown = text.replace('\0', "\u{fffd}");
        let same = said.ends_with(&shown) || text.len() > 500_000;
        assert!(same, "{:?}", said.chars().take(400).collect::<String>());
    }
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let stage = Stage::with_model(ModelServer::start(measured));
    let mut client = stage.client();
    for half in [r#""\ud800""#, r#""\udc00 end""#, r#""x\ud83dy""#] {
        let text = format!(r#"{{"type":"user_input","content":{half}}}"#);
        client.send_frame(Message::text(text));
        let reply = client.next();
        assert_eq!(reply["code"], "bad_request", "{half}: {reply}");
    }
    client.ask("still there?");
    // A frame of more than a MiB closes the connection and nothing else.
    client.send_frame(Message::text("x".repeat((1 << 20) + 1)));
    assert_eq!(client.close_code(), 1009);
    stage.client().ask("and you?");
    assert_eq!(stage.model.received().len(), 2);
}

#[test]
fn everything_of_ours_is_private() {
    let stage = Stage::with_model(ModelServer::start(measured));
    stage.client().ask("hello");
    let made = super::picobot(&stage.home, "backup", &[]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let ours = stage.home.path().join(".picobot");
    for path in [&ours, &ours.join("backups")] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    let backups = fs::read_dir(ours.join("backups")).unwrap();
    let mut files: Vec<_> = backups.map(|entry| entry.unwrap().path()).collect();
    files.push(ours.join("gateway.token"));
    for suffix in ["", "-wal", "-shm"] {
        files.push(stage.home.workspace().join(format!("picobot.db{suffix}")));
    }
    files.push(stage.home.lock_file());
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
