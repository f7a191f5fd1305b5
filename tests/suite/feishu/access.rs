//! Who may talk and press buttons: groups, owners, pairing, lists of dialogs, approvals.

use serde_json::{Value, json};

use super::service::{group_text, message, text};
use super::{Office, bot_config};
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::Process;
use crate::support::script::{Answer, Call};

fn group_bot() -> Value {
    json!({
        "allow_from": ["ou_1", "ou_2", "oc_g"], "owners": ["ou_1"],
    })
}

#[test]
fn a_group_is_answered_under_the_message_when_the_bot_is_meant() {
    let answers = [Answer::text("in the group"), Answer::text("in the topic")];
    let Some(office) = Office::with(ModelServer::queue(answers), group_bot()) else {
        return;
    };
    office
        .service
        .control("user", &json!({"open_id": "ou_2", "name": "李四"}));
    let mut not_meant = group_text("om_1", "ou_2", "hi all");
    not_meant["event"]["message"]["mentions"][0]["id"]["open_id"] = json!("ou_somebody");
    assert_eq!(office.service.deliver(&not_meant), 200);
    assert_eq!(
        office
            .service
            .deliver(&group_text("om_2", "ou_2", "what now?")),
        200
    );
    assert_eq!(office.service.wait_sent(1), ["in the group"]);
    let asked = office.model.received()[0].texts("user").concat();
    assert!(asked.contains("李四 (ou_2)"), "{asked}");
    // Not an owner: what they say is marked.
    assert!(
        asked.contains("not an owner]\nwhat now?\n[end untrusted"),
        "{asked}"
    );
    let mut in_topic = group_text("om_3", "ou_1", "and here?");
    in_topic["event"]["message"]["thread_id"] = json!("omt_1");
    assert_eq!(office.service.deliver(&in_topic), 200);
    office.service.wait_sent(2);
    let log = office.service.log();
    assert_eq!(log["sent"][0]["parent"], "om_2");
    assert_eq!(log["sent"][1]["parent"], "om_3");
    // A topic is a dialog of its own.
    let asked = office.model.received()[1].texts("user").concat();
    assert!(!asked.contains("what now?"), "{asked}");
    assert!(!asked.contains("untrusted"), "{asked}");
}

#[test]
fn only_owners_change_state_in_groups() {
    let Some(office) = Office::with(ModelServer::queue([]), group_bot()) else {
        return;
    };
    for (id, person, said) in [
        ("om_1", "ou_2", "/new"),
        ("om_2", "ou_1", "/new"),
        ("om_3", "ou_2", "/help"),
    ] {
        assert_eq!(office.service.deliver(&group_text(id, person, said)), 200);
    }
    let sent = office.service.wait_sent(3);
    let count = |what: &str| sent.iter().filter(|text| text.contains(what)).count();
    assert_eq!(count("Only the bot's owners"), 1, "{sent:?}");
    assert_eq!(count("New dialog"), 1, "{sent:?}");
    assert_eq!(count("/stop"), 1, "{sent:?}");
}

#[test]
fn only_owners_have_the_machine_changed_in_groups() {
    let write = |id: &str| {
        Answer::calls([Call::new(
            id,
            "file_write",
            json!({"path": format!("{id}.txt"), "content": "x"}),
        )])
    };
    let answers = [
        write("guest"),
        Answer::text("I may not."),
        write("owner"),
        Answer::text("Written."),
    ];
    let Some(office) = Office::with(ModelServer::queue(answers), group_bot()) else {
        return;
    };
    office
        .service
        .deliver(&group_text("om_1", "ou_2", "write it"));
    assert_eq!(office.service.wait_sent(1), ["I may not."]);
    let result = office.model.received()[1].texts("tool").concat();
    assert!(result.contains("only the bot's owners"), "{result}");
    office
        .service
        .deliver(&group_text("om_2", "ou_1", "write it"));
    office.service.wait_sent(2);
    assert!(!office.home.workspace().join("guest.txt").exists());
    assert!(office.home.workspace().join("owner.txt").exists());
}

#[test]
fn a_code_lets_one_person_in_once() {
    let model = ModelServer::queue([Answer::text("welcome")]);
    let Some(office) = Office::with(model, json!({})) else {
        return;
    };
    let mut pair = command(&office.home, "feishu");
    pair.args(["pair", "--owner"]);
    let pair = Process::start(&mut pair).finish();
    assert_eq!(pair.code, Some(0), "{pair:?}");
    let code = pair.stdout.lines().next().unwrap().to_owned();
    let from = |id: &str, person: &str, said: &str| {
        message(id, "text", &json!({"text": said}), |event| {
            event["sender"]["sender_id"]["open_id"] = json!(person);
            event["message"]["chat_id"] = json!(format!("oc_{person}"));
        })
    };
    office.service.deliver(&from("om_1", "ou_new", "hello"));
    office.service.deliver(&from("om_2", "ou_new", "AAAA-BBBB"));
    office.service.deliver(&from("om_3", "ou_new", &code));
    let sent = office.service.wait_sent(1);
    assert!(sent[0].starts_with("Paired as an owner"), "{sent:?}");
    office.service.deliver(&from("om_4", "ou_other", &code));
    assert_eq!(office.health()["strangers"], 4);
    // It holds over a restart.
    let office = office.crash();
    office.service.deliver(&from("om_5", "ou_new", "hello"));
    assert_eq!(office.service.wait_sent(2)[1], "welcome");
    assert_eq!(office.model.received().len(), 1);
}

#[test]
fn dialogs_are_listed_with_buttons_that_work_once() {
    let answers = [
        Answer::text("one"),
        Answer::text("two"),
        Answer::text("three"),
    ];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    office.service.deliver(&text("om_1", "the first topic"));
    office.service.wait_sent(1);
    office.service.deliver(&text("om_2", "/new second"));
    office.service.wait_sent(2);
    office.service.deliver(&text("om_3", "/sessions"));
    office.service.wait_sent(3);
    let log = office.service.log();
    let card: Value = serde_json::from_str(log["sent"][2]["content"].as_str().unwrap()).unwrap();
    let shown = log["sent"][2]["message_id"].as_str().unwrap();
    let elements = card["body"]["elements"].as_array().unwrap();
    let button = elements
        .iter()
        .find(|one| {
            one["text"]["content"]
                .as_str()
                .is_some_and(|label| label.contains("the first topic"))
        })
        .unwrap();
    let value = &button["behaviors"][0]["value"];
    let refused = office.service.press("ou_stranger", shown, "oc_1", value);
    assert_eq!(refused["toast"]["type"], "warning");
    let pressed = office.service.press("ou_1", shown, "oc_1", value);
    assert_eq!(pressed["toast"]["type"], "success");
    let again = office.service.press("ou_1", shown, "oc_1", value);
    assert_eq!(again["toast"]["type"], "info");
    office
        .service
        .wait(&json!({"call": format!("PATCH .*/{shown}$")}));
    office.service.deliver(&text("om_4", "go on"));
    office.service.wait(&json!({"sent": 5}));
    let asked = office.model.received()[1].texts("user").concat();
    assert!(asked.contains("the first topic"), "{asked}");
}

#[test]
fn an_owner_allows_a_call_by_button() {
    let Some(service) = super::Service::start() else {
        return;
    };
    let model = ModelServer::queue([
        Answer::calls([Call::new(
            "c1",
            "file_write",
            json!({"path": "a.txt", "content": "x"}),
        )]),
        Answer::text("written"),
    ]);
    let bot = bot_config(
        &service,
        json!({"allow_from": ["ou_1", "ou_2"], "owners": ["ou_1"]}),
    );
    let home = Home::with_model_and(
        &model,
        json!({
            "channels": {"feishu": bot},
            "approvals": {"rules": [{"tool": "file_write", "decision": "ask"}]},
        }),
    );
    let _gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 1}));
    let event = message("om_1", "text", &json!({"text": "write it"}), |event| {
        event["sender"]["sender_id"]["open_id"] = json!("ou_2");
    });
    service.deliver(&event);
    service.wait_sent(1);
    assert!(!home.workspace().join("a.txt").exists());
    let log = service.log();
    let question = log["sent"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["content"].as_str().unwrap().contains("approve"))
        .unwrap();
    let card: Value = serde_json::from_str(question["content"].as_str().unwrap()).unwrap();
    let value = card["body"]["elements"][1]["behaviors"][0]["value"].clone();
    let shown = question["message_id"].as_str().unwrap();
    let refused = service.press("ou_2", shown, "oc_1", &value);
    assert_eq!(refused["toast"]["type"], "warning");
    let allowed = service.press("ou_1", shown, "oc_1", &value);
    assert_eq!(allowed["card"]["type"], "raw", "{allowed}");
    service.wait(&json!({"call": format!("PATCH .*/{shown}$")}));
    service.wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    assert!(home.workspace().join("a.txt").exists());
    let said: String = serde_json::to_string(&service.log()).unwrap();
    assert!(said.contains("written"), "{said}");
}

#[test]
fn a_button_of_a_question_that_is_open_no_more_says_so() {
    let Some(service) = super::Service::start() else {
        return;
    };
    let model = ModelServer::queue([Answer::calls([Call::new(
        "c1",
        "file_write",
        json!({"path": "a.txt", "content": "x"}),
    )])]);
    let bot = bot_config(
        &service,
        json!({"allow_from": ["ou_1"], "owners": ["ou_1"]}),
    );
    let home = Home::with_model_and(
        &model,
        json!({
            "channels": {"feishu": bot},
            "approvals": {"rules": [{"tool": "file_write", "decision": "ask"}]},
        }),
    );
    let _gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 1}));
    service.deliver(&text("om_1", "write it"));
    // The question, or the card that shows the call at work and then the question.
    let log = service.wait(&json!({"call": "POST .*/messages$"}));
    let asks = |one: &&Value| one["content"].as_str().unwrap().contains("approve");
    let mut question = log["sent"].as_array().unwrap().iter().find(asks).cloned();
    if question.is_none() {
        let log = service.wait(&json!({"call": "POST .*/messages$", "times": 2}));
        question = log["sent"].as_array().unwrap().iter().find(asks).cloned();
    }
    let question = question.unwrap();
    let shown = question["message_id"].as_str().unwrap();
    let card: Value = serde_json::from_str(question["content"].as_str().unwrap()).unwrap();
    let value = card["body"]["elements"][1]["behaviors"][0]["value"].clone();
    service.deliver(&text("om_2", "/stop"));
    service.wait(&json!({"call": format!("PATCH .*/{shown}$")}));
    let pressed = service.press("ou_1", shown, "oc_1", &value);
    assert_eq!(pressed["toast"]["type"], "info", "{pressed}");
    assert!(!home.workspace().join("a.txt").exists());
}

#[test]
fn titles_of_groups_are_what_was_said() {
    let Some(service) = super::Service::start() else {
        return;
    };
    let model = ModelServer::queue([Answer::text("soon")]);
    let bot = bot_config(
        &service,
        json!({"allow_from": ["ou_2", "oc_g"], "owners": ["ou_1"]}),
    );
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let _gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 1}));
    service.deliver(&group_text("om_1", "ou_2", "周报在哪里？"));
    service.wait_sent(1);
    service.deliver(&group_text("om_2", "ou_2", "/info"));
    let info = service.wait_sent(2)[1].clone();
    assert!(
        info.contains("周报在哪里") && !info.contains("untrusted"),
        "{info}"
    );
    // What goes to the model is marked all the same.
    let asked = model.received()[0].texts("user").concat();
    assert!(asked.contains("[begin untrusted "), "{asked}");
}

#[test]
fn settings_are_checked_at_the_service() {
    let Some(office) = Office::new(ModelServer::queue([])) else {
        return;
    };
    let mut check = command(&office.home, "feishu");
    check.arg("check");
    let check = Process::start(&mut check).finish();
    let shown = &check.stdout;
    assert!(shown.contains("ok   credentials: accepted"), "{check:?}");
    assert!(shown.contains("bot: PicoBot (ou_bot)"), "{shown}");
    assert!(
        shown.contains("?    permission cardkit:card:write"),
        "{shown}"
    );
    assert!(
        shown.contains("callback card.action.trigger: not seen"),
        "{shown}"
    );
    assert!(
        shown.contains("ok   event im.message.receive_v1")
            && shown.contains("?    event im.message.recalled_v1: not seen"),
        "{shown}"
    );
    assert_eq!(check.code, Some(0));
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(office.home.config()).unwrap()).unwrap();
    config["channels"]["feishu"]["app_secret"] = json!("wrong-secret");
    office.home.write_config(&config);
    let mut check = command(&office.home, "feishu");
    check.arg("check");
    let check = Process::start(&mut check).finish();
    assert_eq!(check.code, Some(5), "{check:?}");
    assert!(
        check.stdout.contains("BAD  credentials: code 10014"),
        "{check:?}"
    );
    assert!(!check.stdout.contains("wrong-secret") && !check.stderr.contains("wrong-secret"));
}

#[test]
fn two_bots_live_in_one_gateway() {
    let Some(service) = super::Service::start() else {
        return;
    };
    let model = ModelServer::queue([Answer::text("one"), Answer::text("two")]);
    let bot = bot_config(&service, json!({"allow_from": ["ou_1"]}));
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": [bot.clone(), bot]}}));
    let gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 2}));
    service.deliver(&text("om_1", "hi"));
    service.wait_sent(1);
    let channels = gateway.health()["channels"].clone();
    assert_eq!(channels["feishu"]["state"], "connected");
    assert_eq!(channels["feishu-2"]["state"], "connected");
}
