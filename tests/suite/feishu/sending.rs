//! `send_message`: to the chat the dialog is in, to others, and who may.

use std::fs;

use serde_json::{Value, json};

use super::service::{Service, message, text, text_of};
use super::{Office, bot_config};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};

fn send(id: &str, arguments: Value) -> Answer {
    Answer::calls([Call::new(id, "send_message", arguments)])
}

/// What the model was told of its newest call.
fn result(office: &Office, request: usize) -> String {
    let body = &office.model.received()[request].body;
    let last = body["messages"].as_array().unwrap().last().unwrap();
    last["content"].as_str().unwrap().to_owned()
}

#[test]
fn files_go_to_the_chat_of_the_dialog() {
    let arguments = json!({"text": "看图", "files": ["out/图 1.png", "r.pdf"]});
    let answers = [send("c1", arguments), Answer::text("All sent.")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let workspace = office.home.workspace();
    fs::create_dir(workspace.join("out")).unwrap();
    fs::write(workspace.join("out/图 1.png"), b"\x89PNG--").unwrap();
    fs::write(workspace.join("r.pdf"), b"%PDF").unwrap();
    office.service.deliver(&text("om_1", "send me the files"));
    office.service.wait(&json!({"sent": 3}));
    let log = office.service.log();
    let sent = log["sent"].as_array().unwrap();
    let said: Vec<String> = sent.iter().map(text_of).collect();
    let with_image = said.iter().find(|text| text.contains("看图")).unwrap();
    assert!(with_image.contains("![图 1.png](img_"), "{with_image}");
    assert!(sent.iter().any(|one| one["msg_type"] == "file"), "{sent:?}");
    assert!(said.iter().any(|text| text == "All sent."), "{said:?}");
    let told = result(&office, 1);
    assert_eq!(told, "On its way to feishu:oc_1, with 2 files.");
}

#[test]
fn another_chat_must_be_known_and_allowed() {
    let Some(service) = Service::start() else {
        return;
    };
    let answers = [
        Answer::text("hello"),
        send("c1", json!({"text": "hi", "to": "feishu:oc_9"})),
        send("c2", json!({"text": "大家好", "to": "feishu:oc_2"})),
        Answer::text("done"),
    ];
    let model = ModelServer::queue(answers);
    let bot = json!({"allow_from": ["ou_1"], "owners": ["ou_1"]});
    let config = json!({
        "channels": {"feishu": bot_config(&service, bot)},
        "approvals": {"rules": [{"tool": "send_message", "decision": "allow"}]},
    });
    let home = Home::with_model_and(&model, config);
    let gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 1}));
    let office = Office {
        gateway,
        service,
        model,
        home,
    };
    let hi = json!({"text": "hi"});
    let elsewhere = message("om_1", "text", &hi, |event| {
        event["message"]["chat_id"] = json!("oc_2");
    });
    office.service.deliver(&elsewhere);
    office.service.wait_sent(1);
    office.service.deliver(&text("om_2", "tell the others"));
    office.service.wait(&json!({"sent": 3}));
    let known = result(&office, 2);
    assert!(
        known.contains("no chat \"feishu:oc_9\"") && known.contains("feishu:oc_2"),
        "{known}"
    );
    assert_eq!(result(&office, 3), "On its way to feishu:oc_2.");
    let log = office.service.log();
    let sent = log["sent"].as_array().unwrap();
    let greeting = sent.iter().find(|one| text_of(one) == "大家好").unwrap();
    assert_eq!(greeting["chat_id"], "oc_2", "{greeting}");
}

#[test]
fn another_chat_is_asked_about() {
    let answers = [
        send("c1", json!({"text": "秘密", "to": "feishu:oc_2"})),
        Answer::text("then not"),
    ];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    office.service.deliver(&text("om_1", "tell them"));
    office.service.wait(&json!({"sent": 1}));
    let log = office.service.log();
    let card = log["sent"][0]["content"].as_str().unwrap();
    assert!(card.contains("send to feishu:oc_2"), "{card}");
    assert!(card.contains("another chat"), "{card}");
    assert_eq!(office.model.received().len(), 1);
}
