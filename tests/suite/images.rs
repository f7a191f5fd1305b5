//! Images through the real binary: sent, read from the workspace, refused, kept across restarts, and gone when cleared.
//!
//! Every request that the model saw is checked for legality, and by the official SDK's types.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::{ModelServer, Received};
use crate::support::process::run;
use crate::support::python::sqlite;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

const RED: Rgb<u8> = Rgb([220, 20, 30]);

fn seeing(answers: impl IntoIterator<Item = Answer>) -> Stage {
    Stage::with(ModelServer::queue(answers), sees())
}

/// Configures a model that takes images.
fn sees() -> Value {
    json!({"models": {
        "scripted": {"model_id": "scripted-1", "max_tokens": 1024, "input_type": ["text", "image"]},
    }})
}

fn file(picture: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

fn red(width: u32, height: u32) -> Vec<u8> {
    file(RgbImage::from_pixel(width, height, RED), ImageFormat::Png)
}

/// Writes a file into the home, which is where commands run.
fn put(home: &Home, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Returns the images of a request, decoded, each with the role of its message.
fn images(request: &Received) -> Vec<(String, DynamicImage)> {
    let mut found = Vec::new();
    for message in request.body["messages"].as_array().unwrap() {
        for part in message["content"].as_array().into_iter().flatten() {
            if part["type"] == "image_url" {
                let url = part["image_url"]["url"].as_str().unwrap();
                let (kind, data) = url
                    .strip_prefix("data:image/")
                    .and_then(|rest| rest.split_once(";base64,"))
                    .unwrap();
                let bytes = STANDARD.decode(data).unwrap();
                assert!(bytes.len() <= 3_500_000);
                let format = image::guess_format(&bytes).unwrap();
                assert_eq!(format.to_mime_type(), format!("image/{kind}"));
                let picture = image::load_from_memory(&bytes).unwrap();
                assert!(picture.width().max(picture.height()) <= 1_568);
                found.push((message["role"].as_str().unwrap().to_owned(), picture));
            }
        }
    }
    found
}

/// The daily upkeep takes bytes away; the dialog goes on with the image's name.
#[cfg(debug_assertions)]
#[test]
fn old_images_are_forgotten() {
    let stage = seeing([Answer::text("Red."), Answer::text("It was red.")]);
    let mut client = stage.client();
    client.send_json(&input("what is it?", &[("dot.png", &red(8, 8))]));
    client.until(&["assistant_response"]);
    let Stage {
        gateway,
        model,
        home,
        ..
    } = stage;
    assert!(gateway.term().success());
    let aged = "UPDATE messages SET created_at = created_at - 91 * 86400000";
    sqlite(&home.database(), &[aged]);
    let gateway = Gateway::start_with(&home, |command| {
        command.env("PICOBOT_UPKEEP_AFTER_MS", "0");
    });
    let log = gateway.process().stderr();
    assert!(log.has("deleted 1 old images"), "{}", gateway.log());
    let mut client = Client::connect(gateway.port());
    assert_eq!(client.ask("and what was it?"), "It was red.");
    let request = model.received().pop().unwrap();
    assert!(images(&request).is_empty());
    assert!(request.texts("user").concat().contains("dot.png"));
    crate::support::stage::check_all(&model.received());
}

fn newest_user_text(request: &Received) -> String {
    request.texts("user").pop().unwrap()
}

fn input(content: &str, files: &[(&str, &[u8])]) -> Value {
    let images: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| json!({"name": name, "data": STANDARD.encode(bytes)}))
        .collect();
    json!({"type": "user_input", "content": content, "images": images})
}

#[test]
fn send_shows_an_image_to_the_model() {
    let stage = seeing([Answer::text("A red square."), Answer::text("Still red.")]);
    put(&stage.home, "图.png", &red(40, 30));
    let mut send = command(&stage.home, "send");
    let ended = run(send.args(["what is this?", "-f", "图.png", "--no-stdin"]));
    assert_eq!(ended.stdout, "A red square.\n", "{ended:?}");
    let mut only = command(&stage.home, "send");
    let ended = run(only.args(["--file", "图.png", "--no-stdin"]));
    assert_eq!(ended.stdout, "Still red.\n", "{ended:?}");
    let requests = stage.judged_requests(2);
    let asked = newest_user_text(&requests[0]);
    assert!(asked.contains("[image: 图.png, 40x30]"), "{asked}");
    assert!(asked.ends_with("what is this?"), "{asked}");
    let shown = images(&requests[0]);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].0, "user");
    assert_eq!(shown[0].1.dimensions(), (40, 30));
    assert_eq!(shown[0].1.get_pixel(20, 15).0[..3], RED.0);
    assert_eq!(images(&requests[1]).len(), 2, "the history keeps its image");
}

#[test]
fn send_scales_what_does_not_fit() {
    let model = ModelServer::queue([Answer::text("Noise.")]);
    let home = Home::with_model_and(&model, sees());
    let mut state = 1_u32;
    let noise = RgbImage::from_fn(900, 900, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, red, green, blue] = state.to_le_bytes();
        Rgb([red, green, blue])
    });
    let bytes = file(noise, ImageFormat::Png);
    assert!(bytes.len() > 2 * 1024 * 1024);
    put(&home, "noise.png", &bytes);
    let mut send = command(&home, "send");
    let ended = run(send.args(["what is this?", "-f", "noise.png", "--no-stdin"]));
    assert_eq!(ended.stdout, "Noise.\n", "{ended:?}");
    let received = model.received();
    assert_eq!(images(&received[0]).len(), 1);
}

#[test]
fn send_says_what_cannot_be_sent() {
    let home = Home::empty();
    let mut cut = red(64, 64);
    cut.truncate(60);
    cut.resize(900_000, 0);
    put(&home, "cut.png", &cut);
    put(&home, "a.png", &red(4, 4));
    let mut send = command(&home, "send");
    let ended = run(send.args(["look", "-f", "cut.png", "--no-stdin"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("cut.png: the image is broken"),
        "{ended:?}"
    );
    let mut send = command(&home, "send");
    let nine = ["-f", "a.png"].repeat(9);
    let ended = run(send.args(["look", "--no-stdin"]).args(nine));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("at most 8 images"), "{ended:?}");
}

#[test]
fn a_model_without_eyes_reads_the_name() {
    let stage = Stage::new([Answer::text("I cannot see it.")]);
    let mut client = stage.client();
    client.send_json(&input("what is this?", &[("照片.png", &red(40, 30))]));
    assert_eq!(client.next()["content"], "I cannot see it.");
    let requests = stage.judged_requests(1);
    let body = requests[0].body.to_string();
    assert!(
        !body.contains("image_url") && !body.contains("base64"),
        "{body}"
    );
    let asked = newest_user_text(&requests[0]);
    assert!(asked.contains("[image: 照片.png, 40x30]"), "{asked}");
}

#[test]
fn an_image_of_the_workspace_is_shown_behind_the_results() {
    let read = |id: &str, path: &str| Call::new(id, "file_read", json!({"path": path}));
    let stage = seeing([
        Answer::calls([read("c1", "red.png"), read("c2", "note.txt")]),
        Answer::text("Red, says the note."),
        Answer::text("As I said."),
    ]);
    fs::write(stage.home.workspace().join("red.png"), red(50, 20)).unwrap();
    fs::write(stage.home.workspace().join("note.txt"), "it is red").unwrap();
    let mut client = stage.client();
    assert_eq!(client.ask("which colour?"), "Red, says the note.");
    assert_eq!(client.ask("sure?"), "As I said.");
    let requests = stage.judged_requests(3);
    let roles = |request: &Received| -> Vec<String> {
        let messages = request.body["messages"].as_array().unwrap();
        let roles = messages
            .iter()
            .map(|message| message["role"].as_str().unwrap());
        roles.map(str::to_owned).collect()
    };
    let round = ["system", "user", "assistant", "tool", "tool", "user"];
    assert_eq!(roles(&requests[1]), round);
    let result = &requests[1].body["messages"][3]["content"];
    let result = result.as_str().unwrap();
    assert!(result.contains("red.png · image") && result.contains("[image: red.png, 50x20]"));
    let shown = images(&requests[1]);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].1.dimensions(), (50, 20));
    let (before, after) = (&requests[1].body["messages"], &requests[2].body["messages"]);
    let before = before.as_array().unwrap();
    assert_eq!(
        after.as_array().unwrap()[..before.len()],
        before[..],
        "the prefix changed"
    );
}

#[test]
fn the_messages_format_shows_images_inside_results() {
    let model = ModelServer::queue([
        Answer::calls([Call::new("c1", "file_read", json!({"path": "red.png"}))]),
        Answer::text("Both red."),
        Answer::text("Still red."),
    ]);
    let mut config = sees();
    config["providers"] = json!({
        "scripted": {"type": "anthropic", "base_url": model.origin(), "api_key": "test-key"},
    });
    let stage = Stage::with(model, config);
    let png = red(50, 20);
    fs::write(stage.home.workspace().join("red.png"), &png).unwrap();
    let mut client = stage.client();
    client.send_json(&input("compare", &[("mine.png", &red(6, 5))]));
    assert_eq!(client.next()["content"], "Both red.");
    // The same dialog with the other format.
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(stage.home.config()).unwrap()).unwrap();
    config["providers"]["scripted"] =
        json!({"type": "openai", "base_url": stage.model.base_url(), "api_key": "test-key"});
    stage.home.write_config(&config);
    let stage = stage.crash();
    assert_eq!(stage.client().ask("and now?"), "Still red.");
    let requests = stage.judged_requests(3);
    let messages = requests[1].body["messages"].as_array().unwrap();
    let size_of = |block: &Value| {
        assert_eq!(block["type"], "image", "{block}");
        assert_eq!(block["source"]["media_type"], "image/png");
        let data = block["source"]["data"].as_str().unwrap();
        let bytes = STANDARD.decode(data).unwrap();
        image::load_from_memory(&bytes).unwrap().dimensions()
    };
    let said = messages[0]["content"].as_array().unwrap();
    assert_eq!(said[1]["text"], "[image: mine.png, 6x5]");
    assert_eq!(size_of(&said[2]), (6, 5));
    let result = &messages[2]["content"][0];
    assert_eq!(result["type"], "tool_result");
    assert_eq!(size_of(&result["content"][1]), (50, 20));
    let sizes: Vec<_> = images(&requests[2])
        .iter()
        .map(|(_, picture)| picture.dimensions())
        .collect();
    assert_eq!(sizes, [(6, 5), (50, 20)]);
}

#[test]
fn a_refused_image_does_not_lock_the_dialog() {
    let stage = seeing([
        Answer::error(400, "Could not process image"),
        Answer::text("I go on without it."),
        Answer::text("Yes."),
    ]);
    let mut client = stage.client();
    client.send_json(&input("what is this?", &[("x.png", &red(9, 9))]));
    let seen = client.until(&["assistant_response", "error"]);
    assert_eq!(seen.last().unwrap()["content"], "I go on without it.");
    let told = |message: &Value| {
        message["type"] == "system_notification"
            && message["content"].to_string().contains("refused an image")
    };
    assert!(seen.iter().any(told), "{seen:?}");
    assert_eq!(client.ask("still there?"), "Yes.");
    let requests = stage.judged_requests(3);
    assert_eq!(images(&requests[0]).len(), 1);
    for request in &requests[1..] {
        assert!(images(request).is_empty());
        let first = &request.texts("user")[0];
        assert!(
            first.contains("[image: x.png — refused by the model service]"),
            "{first}"
        );
    }
}

#[test]
fn an_image_refused_later_is_taken_out_of_the_stored_history() {
    let stage = seeing([
        Answer::text("Seen."),
        Answer::error(400, "image exceeds 5 MB maximum"),
        Answer::text("Without."),
        Answer::text("After the restart."),
    ]);
    let mut client = stage.client();
    client.send_json(&input("look", &[("x.png", &red(9, 9))]));
    assert_eq!(client.next()["content"], "Seen.");
    assert_eq!(client.ask("and?"), "Without.");
    let stage = stage.crash();
    assert_eq!(stage.client().ask("now?"), "After the restart.");
    let counts: Vec<usize> = stage
        .judged_requests(4)
        .iter()
        .map(|request| images(request).len())
        .collect();
    assert_eq!(counts, [1, 1, 0, 0]);
}

#[test]
fn images_survive_kill_9_before_and_after_the_answer() {
    let gate = Gate::new();
    let stage = seeing([
        Answer::text("lost").held(&gate),
        Answer::text("Red."),
        Answer::text("Red again."),
    ]);
    let mut client = stage.client();
    client.send_json(&input("which colour?", &[("x.png", &red(12, 10))]));
    gate.wait_reached();
    let stage = stage.crash();
    // Waits behind the turn that goes on.
    let mut client = stage.client();
    assert_eq!(client.ask("again?"), "Red again.");
    let stage = stage.crash();
    let requests = stage.judged_requests(3);
    for request in &requests {
        let shown = images(request);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].1.dimensions(), (12, 10));
    }
    let Stage { gateway, home, .. } = stage;
    gateway.kill9();
    let counts = sqlite(
        &home.database(),
        &[
            "SELECT count(*) FROM media",
            "SELECT count(*) FROM attachments",
        ],
    );
    assert_eq!(counts, "[(1,)]\n[(0,)]\n");
}

#[test]
fn a_broken_image_is_told_to_the_model() {
    let stage = seeing([Answer::text("I cannot read it.")]);
    let mut client = stage.client();
    let mut cut = red(64, 64);
    cut.truncate(50);
    let files: [(&str, &[u8]); 3] = [
        ("cut.png", &cut),
        ("good.png", &red(5, 5)),
        ("page.png", b"<html>"),
    ];
    client.send_json(&input("look", &files));
    assert_eq!(client.next()["content"], "I cannot read it.");
    let requests = stage.judged_requests(1);
    assert_eq!(images(&requests[0]).len(), 1);
    let asked = newest_user_text(&requests[0]);
    for note in [
        "[image: cut.png — not shown: the image is broken or cut off]",
        "[image: good.png, 5x5]",
        "[image: page.png — not shown: it is not a PNG, JPEG, WebP or GIF image]",
    ] {
        assert!(asked.contains(note), "{asked}");
    }
}

#[test]
fn wrong_images_are_refused_and_the_connection_goes_on() {
    let stage = seeing([Answer::text("Hello.")]);
    let mut client = stage.client();
    client.send_json(&json!({"type": "user_input", "content": "x", "images": [{"data": "%"}]}));
    let reply = client.next();
    assert_eq!(reply["code"], "bad_request", "{reply}");
    let tiny = red(1, 1);
    let nine: Vec<(&str, &[u8])> = vec![("a.png", &tiny); 9];
    client.send_json(&input("x", &nine));
    assert_eq!(client.next()["code"], "bad_request");
    assert_eq!(client.ask("hello"), "Hello.");
    stage.judged_requests(1);
}

#[test]
fn cleared_dialogs_leave_no_images() {
    let stage = seeing([Answer::text("Seen.")]);
    let mut client = stage.client();
    client.send_json(&input("", &[("x.png", &red(9, 9))]));
    assert_eq!(client.next()["content"], "Seen.");
    let session_id = client.session_id.clone();
    let shown = client.load(&session_id);
    assert_eq!(shown[0]["content"], "[image: x.png, 9x9]", "{shown:?}");
    client.send_json(&json!({"type": "clear_history"}));
    client.until(&["history_cleared"]);
    let Stage { gateway, home, .. } = stage;
    gateway.kill9();
    let left = sqlite(&home.database(), &["SELECT count(*) FROM media"]);
    assert_eq!(left, "[(0,)]\n");
}
