//! Questions about tool calls, through the real gateway and the real `send`.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{Finished, PATIENCE, run};
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

/// `bash` asks, unless it is `git`; notes may be written, skills may not.
fn rules() -> Value {
    json!({"approvals": {"rules": [
        {"tool": "bash", "program": "git", "decision": "allow"},
        {"tool": "bash", "decision": "ask"},
        {"tool": "file_write", "path": "secret/**", "decision": "deny"},
    ]}})
}

fn shell(id: &str, line: &str) -> Answer {
    Answer::calls([Call::new(id, "bash", json!({"command": line}))])
}

fn stage(answers: impl IntoIterator<Item = Answer>) -> Stage {
    Stage::with(ModelServer::queue(answers), rules())
}

/// Connects a client that may answer questions.
fn approver(stage: &Stage) -> Client {
    let mut client = Client::with_token(stage.gateway.port(), &stage.home.token());
    client.send_json(&json!({"type": "hello", "capabilities": ["approval_request", "stream"]}));
    client
}

#[track_caller]
fn question(client: &mut Client) -> Value {
    client.until(&["approval_request"]).pop().unwrap()
}

fn reply(client: &mut Client, question: &Value, decision: &str) {
    let id = &question["approval_id"];
    client.send_json(
        &json!({"type": "approval_reply", "approval_id": id, "decision": decision, "request_id": "reply"}),
    );
}

/// Returns the result of the last tool call that the model was told.
fn last_result(stage: &Stage) -> String {
    let received = stage.model.received();
    let messages = received.last().unwrap().body["messages"]
        .as_array()
        .unwrap();
    let result = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "tool");
    result.unwrap()["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_person_allows_once_and_denies_once() {
    let stage = stage([
        shell("c1", "echo 一 > a.txt"),
        shell("c2", "echo two > b.txt"),
        Answer::text("One of two."),
    ]);
    let mut client = approver(&stage);
    client.send_json(&json!({"type": "user_input", "content": "go", "request_id": "r1"}));
    let first = question(&mut client);
    assert_eq!(first["name"], "bash");
    assert_eq!(first["arguments"], r#"{"command":"echo 一 > a.txt"}"#);
    assert_eq!(first["summary"], "echo 一 > a.txt");
    assert_eq!(
        first["can_always"], false,
        "a redirection is no simple command"
    );
    assert!(!stage.home.workspace().join("a.txt").exists(), "it waits");
    reply(&mut client, &first, "allow");
    let resolved = client.until(&["approval_resolved"]).pop().unwrap();
    assert_eq!(resolved["decision"], "allow");
    let second = question(&mut client);
    reply(&mut client, &second, "deny");
    let end = client.until(&["assistant_response"]).pop().unwrap();
    assert_eq!(end["content"], "One of two.");
    assert!(stage.home.workspace().join("a.txt").exists());
    assert!(!stage.home.workspace().join("b.txt").exists());
    assert!(last_result(&stage).contains("approval was denied"));
    stage.requests(3);
}

#[test]
fn always_holds_for_the_same_words_only() {
    let stage = stage([
        shell("c1", "touch x"),
        shell("c2", "touch x"),
        shell("c3", "touch y"),
        shell("c4", "git --version"),
        Answer::text("Done."),
    ]);
    let mut client = approver(&stage);
    client.say("go");
    let first = question(&mut client);
    assert_eq!(first["can_always"], true);
    reply(&mut client, &first, "always");
    // c2 runs unasked; the next question is about c3.
    let next = question(&mut client);
    assert_eq!(next["summary"], "touch y");
    reply(&mut client, &next, "allow");
    assert_eq!(
        client.until(&["assistant_response"]).pop().unwrap()["content"],
        "Done."
    );
    assert!(last_result(&stage).contains("git version") || last_result(&stage).contains("[exit"));
}

#[test]
fn a_client_without_the_token_is_not_asked() {
    let stage = stage([shell("c1", "ls"), Answer::text("I may not.")]);
    let mut client = Client::hello(stage.gateway.port(), &["approval_request", "stream"]);
    client.say("go");
    let seen = client.until(&["assistant_response"]);
    assert!(
        seen.iter()
            .all(|message| message["type"] != "approval_request")
    );
    assert!(last_result(&stage).contains("approvals.rules"));
    client.send_json(&json!({"type": "approval_reply", "approval_id": "x", "decision": "allow"}));
    assert_eq!(client.until(&["error"]).pop().unwrap()["code"], "forbidden");
}

#[test]
fn another_client_of_the_chat_may_answer() {
    let stage = stage([
        shell("c1", "touch a"),
        shell("c2", "touch b"),
        Answer::text("Both."),
    ]);
    let mut watcher = approver(&stage);
    watcher.ping();
    let mut asker = stage.client();
    asker.say("go");
    let first = question(&mut watcher);
    assert!(first.get("request_id").is_none());
    reply(&mut watcher, &first, "allow");
    let second = question(&mut watcher);
    drop(watcher);
    // Who comes later is asked what still waits.
    let mut late = approver(&stage);
    let again = question(&mut late);
    assert_eq!(again["approval_id"], second["approval_id"]);
    reply(&mut late, &again, "allow");
    let end = asker.until(&["assistant_response"]).pop().unwrap();
    assert_eq!(end["content"], "Both.");
}

#[test]
fn rules_and_the_block_list_deny() {
    let stage = stage([
        Answer::calls([
            Call::new(
                "c1",
                "file_write",
                json!({"path": "secret/a", "content": "x"}),
            ),
            Call::new("c2", "bash", json!({"command": "git status; sudo reboot"})),
        ]),
        Answer::text("No."),
    ]);
    let mut client = approver(&stage);
    client.say("go");
    client.until(&["assistant_response"]);
    let received = stage.requests(2);
    let text = received[1].body.to_string();
    assert!(text.contains("denies this"), "{text}");
    assert!(text.contains("fixed block list"), "{text}");
    assert!(!stage.home.workspace().join("secret").exists());
}

#[test]
fn a_skill_is_written_only_with_a_yes() {
    let write = json!({"path": "skills/x/SKILL.md", "content": "obey"});
    let stage = stage([
        Answer::calls([Call::new("c1", "file_write", write)]),
        Answer::text("ok"),
    ]);
    let mut client = approver(&stage);
    client.say("go");
    let question = question(&mut client);
    assert_eq!(question["in_workspace"], true);
    reply(&mut client, &question, "deny");
    client.until(&["assistant_response"]);
    assert!(!stage.home.workspace().join("skills").exists());
}

#[test]
fn a_question_survives_kill_9() {
    let stage = stage([shell("c1", "echo x >> a.txt"), Answer::text("Done.")]);
    let mut client = approver(&stage);
    let input = json!({"type": "user_input", "content": "go", "request_id": "r1"});
    client.send_json(&input);
    let asked = question(&mut client);
    let stage = stage.crash();
    let mut client = approver(&stage);
    client.send_json(&input);
    let again = question(&mut client);
    assert_eq!(again["approval_id"], asked["approval_id"]);
    reply(&mut client, &again, "allow");
    assert_eq!(
        client.until(&["assistant_response"]).pop().unwrap()["content"],
        "Done."
    );
    let text = std::fs::read_to_string(stage.home.workspace().join("a.txt")).unwrap();
    assert_eq!(text, "x\n", "it ran once");
    stage.requests(2);
}

fn send(home: &Home, arguments: &[&str]) -> Finished {
    run(command(home, "send").args(arguments))
}

#[test]
fn send_says_beforehand_what_is_allowed() {
    for with_gateway in [false, true] {
        let model = ModelServer::queue([
            shell("c1", "touch a"),
            Answer::text("I was not allowed to."),
            shell("c2", "touch b"),
            Answer::text("Done."),
        ]);
        let home = Home::with_model_and(&model, rules());
        let _gateway = with_gateway.then(|| Gateway::start(&home));
        let ended = send(&home, &["touch it"]);
        assert_eq!(ended.code, Some(11), "{ended:?}");
        assert_eq!(ended.stdout, "I was not allowed to.\n");
        assert!(
            ended.stderr.contains("not approved: bash: touch a"),
            "{ended:?}"
        );
        assert!(!home.workspace().join("a").exists());
        let ended = send(&home, &["touch it", "--approve", "safe"]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "Done.\n"),
            "{ended:?}"
        );
        assert!(home.workspace().join("b").exists());
    }
}

#[test]
fn without_a_sandbox_every_command_asks() {
    let model = ModelServer::queue([
        shell("c1", "touch a"),
        Answer::text("No."),
        shell("c2", "touch b"),
        Answer::text("Done."),
    ]);
    let home = Home::with_model_and(&model, json!({"sandbox": {"level": "full"}}));
    let ended = send(&home, &["touch it", "--approve", "safe"]);
    assert_eq!(
        ended.code,
        Some(11),
        "what runs without a sandbox is not safe: {ended:?}"
    );
    let ended = send(&home, &["touch it", "--approve", "all"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!home.workspace().join("a").exists());
    assert!(home.workspace().join("b").exists());
}

#[test]
fn what_is_remembered_is_listed_and_taken_back() {
    let touch = || shell("c1", "touch x");
    let stage = stage([touch(), Answer::text("One."), touch(), Answer::text("Two.")]);
    let mut client = approver(&stage);
    client.say("go");
    let asked = question(&mut client);
    reply(&mut client, &asked, "always");
    client.until(&["assistant_response"]);
    let approvals = |arguments: &[&str]| {
        let mut command = command(&stage.home, "approvals");
        run(command.args(arguments))
    };
    let listed = approvals(&[]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(
        listed.stdout.contains("bash") && listed.stdout.contains("touch x"),
        "{listed:?}"
    );
    let listed: Value = serde_json::from_str(&approvals(&["list", "--json"]).stdout).unwrap();
    let id = listed["grants"][0]["id"].to_string();
    assert_eq!(listed["grants"][0]["n_used"], 0);

    let missed = approvals(&["revoke", "99", "-y"]);
    assert_eq!(missed.code, Some(1), "{missed:?}");
    assert_eq!(
        approvals(&["revoke", &id]).code,
        Some(2),
        "no terminal and no -y"
    );
    let revoked = approvals(&["revoke", &id, "-y"]);
    assert_eq!(revoked.stdout, "1 revoked\n", "{revoked:?}");
    client.say("again");
    let asked = question(&mut client);
    assert_eq!(asked["summary"], "touch x", "it is asked again");
    reply(&mut client, &asked, "deny");
    client.until(&["assistant_response"]);
}

#[test]
fn a_link_made_by_an_earlier_call_of_the_same_message_counts() {
    let write = json!({"path": "notes/todo.md", "content": "obey"});
    let calls = [
        Call::new(
            "c1",
            "bash",
            json!({"command": "mkdir skills; ln -s skills notes"}),
        ),
        Call::new("c2", "file_write", write),
    ];
    let stage = Stage::new([Answer::calls(calls), Answer::text("done")]);
    assert_eq!(stage.client().ask("go"), "done");
    let told = last_result(&stage);
    assert!(
        told.starts_with("Not allowed: this needs a person's yes"),
        "{told}"
    );
    assert!(!stage.home.workspace().join("skills/todo.md").exists());
}

#[test]
fn what_changed_while_a_person_was_asked_is_not_done() {
    let swap = json!({"command": "mkdir -p notes skills/a; until [ -e go ]; do sleep 0.05; done; mv notes old; ln -s skills/a notes; touch swapped", "background": true});
    let stage = Stage::with(
        ModelServer::queue([
            Answer::calls([Call::new("c1", "bash", swap)]),
            Answer::calls([Call::new(
                "c2",
                "file_write",
                json!({"path": "notes/b.md", "content": "x"}),
            )]),
            Answer::text("done"),
        ]),
        json!({"approvals": {"rules": [{"tool": "file_write", "decision": "ask"}]}}),
    );
    let mut client = approver(&stage);
    client.send_json(&json!({"type": "user_input", "content": "go"}));
    let asked = question(&mut client);
    let workspace = stage.home.workspace();
    std::fs::write(workspace.join("go"), "").unwrap();
    let end = Instant::now() + PATIENCE;
    while !workspace.join("swapped").exists() {
        assert!(Instant::now() < end, "nothing was swapped");
        std::thread::yield_now();
    }
    reply(&mut client, &asked, "allow");
    client.until(&["assistant_response"]);
    let told = last_result(&stage);
    assert!(told.contains("would do changed"), "{told}");
    assert!(!workspace.join("skills/a/b.md").exists());
}

#[test]
fn reading_is_judged_by_path_too() {
    let read = |id: &str, path: &str| Call::new(id, "file_read", json!({"path": path}));
    let stage = Stage::with(
        ModelServer::queue([
            Answer::calls([read("c1", "open.txt"), read("c2", "diary/../link/x.md")]),
            Answer::text("done"),
        ]),
        json!({"approvals": {"rules": [{"tool": "file_read", "path": "diary/**", "decision": "deny"}]}}),
    );
    let workspace = stage.home.workspace();
    std::fs::create_dir(workspace.join("diary")).unwrap();
    std::fs::write(workspace.join("diary/x.md"), "dear diary").unwrap();
    std::fs::write(workspace.join("open.txt"), "open").unwrap();
    std::os::unix::fs::symlink("diary", workspace.join("link")).unwrap();
    assert_eq!(stage.client().ask("go"), "done");
    let body = stage.requests(2)[1].body["messages"].to_string();
    assert!(
        body.contains("open") && !body.contains("dear diary"),
        "{body}"
    );
    assert!(last_result(&stage).contains("denies this"), "{body}");
}
