//! Canaries: secrets of every kind in the configuration, made to come by on every way there is, and found nowhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::ws::Client;

/// Texts of the kinds that keys have: plain, with signs that encodings change, in other scripts.
fn canary(number: usize) -> String {
    match number % 5 {
        0 => format!("canary-{number:02}-qwertzuiop"),
        1 => format!("canary/{number:02}+abc=def&x"),
        2 => format!("canary\"{number:02}\\back<slash>"),
        3 => format!("canary{number:02}-密钥-schlüssel"),
        _ => format!("canary_{number:02} with a space"),
    }
}

/// Header values and tokens cannot hold everything.
fn plain_canary(number: usize) -> String {
    format!("canary-{number:02}-asdfghjkl")
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// How a secret may look.
fn forms(secret: &str) -> Vec<String> {
    let quoted = Value::from(secret).to_string();
    vec![
        secret.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        percent_encoded(secret),
        STANDARD.encode(secret),
        URL_SAFE.encode(secret),
    ]
}

/// The configuration with its canaries, and all of these.
fn plant(home: &Home, model: &ModelServer) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = |plain: bool| {
        let n = all.len();
        all.push(if plain { plain_canary(n) } else { canary(n) });
        all[n].clone()
    };
    let mut config = home.config_for(model);
    config["providers"]["scripted"]["api_key"] = json!([next(true), next(true)]);
    config["providers"]["scripted"]["extra_headers"] = json!({
        "X-Api-Key": next(true), "X-Auth-Token": next(true),
    });
    config["providers"]["other"] = json!({
        "type": "anthropic", "base_url": model.base_url(), "api_key": [next(false), next(false), next(false)],
    });
    config["providers"]["third"] = json!({
        "type": "openai", "base_url": model.base_url(), "api_key": [next(false), next(false)],
    });
    config["mcp"] = json!({"servers": {
        "a": {"enabled": false, "command": "none", "env": {
            "A_KEY": next(false), "A_TOKEN": next(false), "A_SECRET": next(false), "A_PASSWORD": next(false), "A_COOKIE": next(false),
        }},
        "b": {"enabled": false, "url": "http://127.0.0.1:9/", "headers": {
            "Authorization": next(true), "X-Key": next(true), "X-Token": next(true), "Cookie": next(true),
        }},
    }});
    config["channels"] = json!({"feishu": [
        {"enabled": false, "app_id": "a", "app_secret": next(false)},
        {"enabled": false, "app_id": "b", "app_secret": next(false)},
        {"enabled": false, "app_id": "c", "app_secret": next(false)},
    ]});
    // Named for commands: they may have it, the model may not.
    config["sandbox"] = json!({"env": ["CANARY_TOKEN", "CANARY_SECRET", "CANARY_PASSWORD"]});
    for _ in 0..3 {
        next(false);
    }
    home.write_config(&config);
    all
}

/// Fails if a secret stands in a text.
#[track_caller]
fn assert_clean(place: &str, bytes: &[u8], secrets: &[String]) {
    for secret in secrets {
        for form in forms(secret) {
            let found = bytes
                .windows(form.len())
                .any(|window| window == form.as_bytes());
            assert!(!found, "{form} in {place}");
        }
    }
}

/// Looks at every file below a folder.
fn assert_clean_tree(folder: &Path, except: &[&Path], secrets: &[String]) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if except.contains(&path.as_path()) {
            continue;
        }
        if path.is_dir() {
            seen += assert_clean_tree(&path, except, secrets);
        } else if let Ok(bytes) = fs::read(&path) {
            assert_clean(&path.display().to_string(), &bytes, secrets);
            seen += 1;
        }
    }
    seen
}

fn bash(id: &str, command: &str) -> Call {
    Call::new(id, "bash", json!({"command": command}))
}

#[test]
fn no_secret_is_found_anywhere() {
    let planted: Vec<String> = (0..21)
        .map(|n| {
            if is_plain(n) {
                plain_canary(n)
            } else {
                canary(n)
            }
        })
        .collect();
    let leak = planted
        .iter()
        .flat_map(|secret| forms(secret))
        .collect::<Vec<_>>()
        .join("\n");
    let quoting = leak.clone();
    let (key, other) = (plain_canary(0), canary(20));
    let model = ModelServer::queue([
        Answer::calls([
            bash("c1", "cat leak.txt; env; base64 -w0 leak.txt >/dev/null; exit 3"),
            Call::new("c2", "file_read", json!({"path": "leak.txt"})),
            bash("c3", "for i in $(seq 300); do cat leak.txt; done"),
            bash("c4", &format!("printf '%s' '{}'; sleep 0.2; printf '%s\\n' '{}'", &key[..9], &key[9..])),
            bash("c5", "printf '%s\\n' \"$CANARY_TOKEN\" \"$CANARY_SECRET\" \"$CANARY_PASSWORD\"; cat leak.txt >&2; kill -9 $$"),
            Call::new("c6", "file_write", json!({"path": "written.txt", "content": quoting})),
            Call::new("c7", "file_read", json!({"path": format!("missing-{other}")})),
            Call::new("c8", "calculator", json!({"expression": key})),
            Call::with_text("c9", "file_edit", &format!("not json {key}")),
            Call::new("ca", "no_such_tool", json!({"key": key})),
        ])
        .saying(&format!("I use {key} and {other}.")),
        Answer::text(&format!("The key is {key} , in base64 {}. {other}", STANDARD.encode(&key))),
        Answer::error(400, &format!("Incorrect API key provided: {key}. {other}")),
        Answer::error(401, &format!("bad key {key}")),
        Answer::error(401, &format!("bad key {}", plain_canary(1))),
        Answer::text("done"),
    ]);
    let home = Home::empty();
    let mut secrets = plant(&home, &model);
    assert_eq!(secrets[..21], planted[..]);
    fs::write(home.workspace().join("leak.txt"), &leak).unwrap();
    fs::write(
        home.workspace().join("AGENTS.md"),
        format!("Use the key {key}.\n"),
    )
    .unwrap();
    let env: BTreeMap<&str, String> = ["CANARY_TOKEN", "CANARY_SECRET", "CANARY_PASSWORD"]
        .into_iter()
        .zip(secrets[21..].iter().cloned())
        .collect();
    let gateway = Gateway::start_with(&home, |command| {
        command.arg("-vv").envs(&env);
    });
    secrets.push(home.token());
    assert_eq!(secrets.len(), 25);

    let capabilities = ["stream", "tools", "turns", "accepted"];
    let mut client = Client::hello(gateway.port(), &capabilities);
    let mut frames = String::new();
    for content in [
        format!("my key is {key}, {other}"),
        "again".to_owned(),
        "and again".to_owned(),
        "last".to_owned(),
    ] {
        client.send_json(&json!({"type": "user_input", "content": content}));
        for frame in client.until(&["assistant_response", "error"]) {
            frames.push_str(&format!("{frame}\n"));
        }
    }
    for command in ["/info", "/dump", "/sessions", &format!("/rename {key}")] {
        frames.push_str(&format!("{}\n", client.request(command)));
    }
    client.send_json(&json!({"type": "list_sessions"}));
    frames.push_str(&format!("{}\n", client.next()));
    // The masks are there, so the tools did print them.
    assert!(frames.matches("***").count() > 100, "{frames}");
    assert_clean("frames", frames.as_bytes(), &secrets);

    let log = gateway.log();
    assert!(gateway.term().success());
    assert_clean("the log", log.as_bytes(), &secrets);
    let received = model.received();
    assert!(received.len() >= 4, "{}", received.len());
    for request in &received {
        assert_clean("a request", request.body.to_string().as_bytes(), &secrets);
        let texts = request.texts("tool").join("\n")
            + &request.texts("user").join("\n")
            + &request.texts("system").join("\n");
        assert_clean("a request's texts", texts.as_bytes(), &secrets);
    }
    let except = [
        home.workspace().join("leak.txt"),
        home.workspace().join("AGENTS.md"),
        home.config(),
        home.path().join(".picobot/gateway.token"),
    ];
    let except: Vec<&Path> = except.iter().map(|path| path.as_path()).collect();
    let seen = assert_clean_tree(home.path(), &except, &secrets);
    assert!(seen >= 4, "{seen} files looked at");
    let results = home.workspace().join(".picobot/results");
    assert!(
        fs::read_dir(results).unwrap().count() > 0,
        "a result was spilled"
    );
}

#[test]
fn a_panic_in_a_tool_tells_no_secret_and_ends_only_its_call() {
    let model = ModelServer::queue([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "1+1"}))]),
        Answer::text("went on"),
    ]);
    let home = Home::empty();
    let secrets = plant(&home, &model);
    let words = forms(&secrets[0]).join(" ") + &forms(&secrets[20]).join("\n");
    let gateway = Gateway::start_with(&home, |command| {
        command
            .args(["-vv"])
            .env("CANARY_TOKEN", &secrets[21])
            .env("CANARY_SECRET", &secrets[22])
            .env("CANARY_PASSWORD", &secrets[23])
            .env("PICOBOT_PANIC_AT", "tool:1")
            .env("PICOBOT_PANIC_WORDS", &words);
    });
    assert_eq!(Client::connect(gateway.port()).ask("compute"), "went on");
    let told = model.received()[1].texts("tool").join("");
    assert!(told.starts_with("Internal error in this tool"), "{told}");
    let log = gateway.process().stderr();
    assert!(
        log.has("a test wants a panic at tool ***"),
        "the panic is told: {}",
        log.text()
    );
    assert_clean("the log", log.text().as_bytes(), &secrets);
    assert_clean_tree(home.path(), &[home.config().as_path()], &secrets);
}

/// Which numbers `plant` gives to places that take plain texts only.
fn is_plain(number: usize) -> bool {
    matches!(number, 0..=3 | 14..=17)
}
