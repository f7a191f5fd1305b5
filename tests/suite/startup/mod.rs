//! The gateway's first moments and bad surroundings: a fresh home, a broken configuration, a foreign or damaged database,
//! services that misbehave, and what it does when there is nothing to do.

mod database;
mod idle;
mod services;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{Finished, Process, run};
use crate::support::script::Answer;
use crate::support::ws::Client;

fn mode(path: impl AsRef<Path>) -> u32 {
    let path = path.as_ref();
    let info = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    info.permissions().mode() & 0o777
}

/// Starts a gateway that cannot start and returns how it ended.
#[track_caller]
fn refused(home: &Home) -> Finished {
    Gateway::launch(home, |_| {}).finish()
}

#[test]
fn a_fresh_home_works() {
    let home = Home::fresh();
    let gateway = Gateway::start(&home);
    let answer = Client::connect(gateway.port()).ask("what is 17.5% of 2340?");
    assert!(answer.contains("409.5"), "{answer}");
    let log = gateway.log();
    let first = log.lines().next().unwrap();
    assert!(first.contains("the built-in demo") && first.contains("config.json"));
    assert!(gateway.term().success());

    let state = home.path().join(".picobot");
    for folder in [&state, &home.workspace()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for file in ["gateway.token", "config.example.json"] {
        assert_eq!(mode(state.join(file)), 0o600, "{file}");
    }
    for file in ["picobot.db", "picobot.lock", "AGENTS.md", "USER.md"] {
        assert_eq!(mode(home.workspace().join(file)), 0o600, "{file}");
    }
    let example = fs::read_to_string(state.join("config.example.json")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.json");
    assert_eq!(example, fs::read_to_string(shipped).unwrap());
    let mut all: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(all.pop().unwrap().unwrap().file_name(), ".picobot");
    assert!(all.is_empty(), "files elsewhere: {all:?}");
}

#[test]
fn it_ends_in_order_from_the_moment_it_listens() {
    let home = Home::fresh();
    for _ in 0..5 {
        let process = Gateway::launch(&home, |_| {});
        assert!(process.stderr().has("listening on "));
        process.signal(Signal::TERM);
        let ended = process.finish();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.ends_with(": stopped\n"), "{ended:?}");
    }
}

#[test]
fn the_example_configuration_can_be_used_as_it_is() {
    let home = Home::fresh();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.json");
    fs::copy(shipped, home.config()).unwrap();
    fs::set_permissions(home.config(), Permissions::from_mode(0o600)).unwrap();
    let ended = refused(&home);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("OPENAI_API_KEY"), "{ended:?}");
    let gateway = Gateway::start_with(&home, |command| {
        command.env("OPENAI_API_KEY", "sk-test-1234");
    });
    assert!(!gateway.log().contains("warning"), "{}", gateway.log());
}

#[test]
fn the_users_own_files_are_left_alone() {
    let model = ModelServer::queue([Answer::text("Aye.")]);
    let home = Home::with_model(&model);
    let own = home.workspace().join("AGENTS.md");
    fs::write(&own, "Speak like a pirate.\n").unwrap();
    let gateway = Gateway::start(&home);
    assert_eq!(Client::connect(gateway.port()).ask("hello"), "Aye.");
    let system = model.received()[0].texts("system").pop().unwrap();
    assert!(system.contains("Speak like a pirate."), "{system}");
    let gateway = gateway.restart(&home);
    gateway.kill9();
    assert_eq!(fs::read_to_string(own).unwrap(), "Speak like a pirate.\n");
    assert!(home.workspace().join("USER.md").exists());
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once() {
    let home = Home::fresh();
    let text = r#"{
  "providers": {
    "openai": {"type": "opnai", "api_key": "sk-very-secret"},
  },
  "models": {"m": {"model_id": "m", "temperature": "hot"}},
  "agents": {"default": {"provider": "openia", "model": "m"}},
  "gateway": {"port": 99999, "auth": "none"},
}"#;
    fs::write(home.config(), text).unwrap();
    for arguments in [&["gateway"][..], &["send", "hello"]] {
        let ended = run(command(&home, arguments[0]).args(&arguments[1..]));
        assert_eq!((ended.code, &*ended.stdout), (Some(3), ""), "{ended:?}");
        for (path, value) in [
            ("providers.openai.type", "\"opnai\""),
            ("models.m.temperature", "\"hot\""),
            ("agents.default.provider", "\"openia\""),
            ("gateway.port", "99999"),
            ("gateway.auth", "\"none\""),
        ] {
            let before = &text[..text.find(value).unwrap()];
            let line = before.matches('\n').count() + 1;
            let column = before.len() - before.rfind('\n').unwrap();
            let place = format!("config.json:{line}:{column}: {path}: ");
            assert!(ended.stderr.contains(&place), "{place} in {}", ended.stderr);
        }
        assert!(ended.stderr.contains("did you mean `openai`?"));
        assert!(!ended.stderr.contains("sk-very-secret"), "{}", ended.stderr);
    }
    assert!(!home.database().exists(), "it began with a broken file");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest() {
    let home = Home::fresh();
    fs::write(home.config(), "{\"gatewya\": {}}").unwrap();
    let gateway = Gateway::start(&home);
    let log = gateway.log();
    assert!(log.contains("config.json:1:2: warning: gatewya"), "{log}");
    assert!(log.contains("gateway"), "{log}");
}

#[test]
fn the_environment_beats_the_env_file() {
    let model = ModelServer::queue([Answer::text("One."), Answer::text("Two.")]);
    let home = Home::empty();
    let mut config = home.config_for(&model);
    config["providers"]["scripted"]["api_key"] = json!("<THE_KEY>");
    home.write_config(&config);
    let ended = refused(&home);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("THE_KEY"), "{ended:?}");
    assert!(
        ended.stderr.contains("providers.scripted.api_key"),
        "{ended:?}"
    );

    let dotenv = home.path().join(".env");
    fs::write(&dotenv, "# mine\nexport THE_KEY=\"from the file\"\n").unwrap();
    fs::set_permissions(&dotenv, Permissions::from_mode(0o600)).unwrap();
    let send = |command: &mut std::process::Command| Process::start(command).finish();
    let one = send(command(&home, "send").arg("hello"));
    assert_eq!((one.code, &*one.stdout), (Some(0), "One.\n"), "{one:?}");
    let two = send(
        command(&home, "send")
            .arg("hello")
            .env("THE_KEY", "from outside"),
    );
    assert_eq!((two.code, &*two.stdout), (Some(0), "Two.\n"), "{two:?}");
    let keys: Vec<_> = model
        .received()
        .iter()
        .map(|received| received.http.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["Bearer from the file", "Bearer from outside"]);
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let home = Home::empty();
    let in_the_way = home.path().join("a-file");
    fs::write(&in_the_way, "x").unwrap();
    for (config, named) in [
        (
            json!({"workspace_dir": in_the_way.join("workspace")}),
            "a-file",
        ),
        (json!({"workspace_dir": in_the_way}), "a-file"),
        (
            json!({"workspace_dir": home.workspace(), "gateway": {"session_db_path": home.path()}}),
            home.path().file_name().unwrap().to_str().unwrap(),
        ),
    ] {
        home.write_config(&config);
        let ended = refused(&home);
        assert!(
            matches!(ended.code, Some(1 | 3 | 12)),
            "{config}: {ended:?}"
        );
        assert!(ended.stderr.contains(named), "{config}: {ended:?}");
        assert!(ended.stderr.contains("\npicobot: "), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: "), "{config}: {ended:?}");
    }
    // The superuser may do everything.
    if !rustix::process::geteuid().is_root() {
        home.write_config(&json!({"workspace_dir": home.workspace()}));
        fs::set_permissions(home.workspace(), Permissions::from_mode(0o000)).unwrap();
        let ended = refused(&home);
        fs::set_permissions(home.workspace(), Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(ended.code, Some(1 | 12)), "{ended:?}");
        assert!(ended.stderr.contains("workspace"), "{ended:?}");
    }
}

#[test]
fn without_a_home_it_says_so() {
    let home = Home::empty();
    let ended = run(command(&home, "gateway").env_remove("HOME"));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("HOME"), "{ended:?}");
    let elsewhere = Home::fresh();
    let ended = run(command(&home, "send")
        .env_remove("HOME")
        .args(["what is 6*7?", "--home"])
        .arg(elsewhere.path()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(elsewhere.database().exists());
}
