//! The connection, texts in and out, acknowledgement, repeats, crashes.

use serde_json::json;

use super::Office;
use super::service::{Service, group_text, message, text};
use crate::support::gateway::Gateway;
use crate::support::model::ModelServer;
use crate::support::script::Answer;

#[test]
fn the_official_sdk_can_drive_the_scripted_service() {
    let Some(service) = Service::start() else {
        return;
    };
    let python = crate::sdk::python().unwrap();
    let (succeeded, said) = crate::sdk::run(&python, "drive_feishu.py", &[service.base()]);
    assert!(succeeded, "{said}");
}

#[test]
fn a_text_is_answered_once_however_often_it_is_delivered() {
    let model = ModelServer::queue([Answer::text("你好！"), Answer::text("again")]);
    let Some(office) = Office::new(model) else {
        return;
    };
    let event = text("om_1", "hello");
    assert_eq!(office.service.deliver(&event), 200);
    assert_eq!(office.service.wait_sent(1), ["你好！"]);
    for _ in 0..3 {
        assert_eq!(office.service.deliver(&event), 200);
    }
    assert_eq!(office.service.deliver(&text("om_2", "more")), 200);
    assert_eq!(office.service.wait_sent(2), ["你好！", "again"]);
    let health = office.health();
    assert_eq!(health["state"], "connected");
    assert_eq!(
        (&health["messages"], &health["repeats"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(office.model.received().len(), 2);
    let log = office.service.log();
    assert_eq!(log["counts"]["bad_frames"], 0, "{log}");
    let calls = log["calls"].as_array().unwrap();
    let count = |what: &str| {
        calls
            .iter()
            .filter(|call| call.as_str().unwrap().contains(what))
            .count()
    };
    // Put on and taken away again.
    assert!(
        count("POST /open-apis/im/v1/messages/om_1/reactions") == 1,
        "{calls:?}"
    );
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_2/reactions/"}));
    // A private answer stands in the chat, not under the message.
    assert_eq!(log["sent"][0]["chat_id"], "oc_1");
    assert!(log["sent"][0]["parent"].is_null());
}

#[test]
fn split_events_are_put_together() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("ok")])) else {
        return;
    };
    let long = "好".repeat(5000);
    let body = json!({"event": text("om_1", &long), "pieces": 7, "wait": 30});
    let answer = office.service.control("event", &body);
    assert_eq!(answer["answers"], json!([{"code": 200}]));
    office.service.wait_sent(1);
    let asked = office.model.received()[0].body.to_string();
    assert!(asked.contains(&long));
}

#[test]
fn what_is_acknowledged_survives_a_crash_and_is_answered_once() {
    let answers = (0..20).map(|n| Answer::text(&format!("answer {n}")));
    let Some(mut office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    for n in 0..6 {
        let id = format!("om_{n}");
        assert_eq!(office.service.deliver(&text(&id, "hi")), 200);
        office = office.crash();
        assert_eq!(office.service.deliver(&text(&id, "hi")), 200);
    }
    let sent = office.service.wait_sent(6);
    office.service.wait(&json!({"idle": true}));
    assert_eq!(sent.len(), 6, "{sent:?}");
}

#[test]
fn a_lost_answer_to_a_send_sends_nothing_twice() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("once")])) else {
        return;
    };
    let lost =
        json!({"path": "POST /open-apis/im/v1/messages$", "times": 2, "after": true, "cut": true});
    office.service.control("fault", &lost);
    office.service.deliver(&text("om_1", "hi"));
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    assert_eq!(office.service.wait_sent(1), ["once"]);
}

#[test]
fn an_expired_token_and_a_busy_service_are_nothing_to_notice() {
    let answers = [Answer::text("one"), Answer::text("two")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    office.service.deliver(&text("om_1", "hi"));
    office.service.wait_sent(1);
    office.service.control("expire", &json!({}));
    let busy = json!({"path": "POST /open-apis/im/v1/messages$", "times": 2, "code": 99991400, "status": 429,
                      "headers": {"x-ogw-ratelimit-reset": "0.2"}});
    office.service.control("fault", &busy);
    office.service.deliver(&text("om_2", "hi"));
    assert_eq!(office.service.wait_sent(2), ["one", "two"]);
}

/// The first answer has to wait for another try; the second is not sent before it.
#[test]
fn nothing_overtakes_an_answer_that_is_tried_again() {
    let answers = [Answer::text("one"), Answer::text("two")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let failing =
        json!({"path": "POST /open-apis/im/v1/messages$", "times": 4, "code": 1, "status": 500});
    office.service.control("fault", &failing);
    office.service.deliver(&text("om_1", "hi"));
    assert!(
        office
            .gateway
            .process()
            .stderr()
            .has("did not arrive, trying again")
    );
    office.service.deliver(&text("om_2", "hi"));
    assert_eq!(office.service.wait_sent(2), ["one", "two"]);
}

#[test]
fn a_dropped_connection_comes_back_with_a_fresh_address() {
    let answers = [Answer::text("one"), Answer::text("two")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    for (n, id) in [(2, "om_1"), (3, "om_2")] {
        office.service.control("drop", &json!({}));
        office.service.wait(&json!({"connects": n}));
        assert_eq!(office.service.deliver(&text(id, "hi")), 200);
    }
    office.service.wait_sent(2);
    assert_eq!(office.health()["reconnects"], 2);
}

#[test]
fn a_silent_connection_is_found_out() {
    let Some(service) = Service::start() else {
        return;
    };
    service.control(
        "config",
        &json!({"ping_interval": 1, "redeliver_after": 1.0}),
    );
    let model = ModelServer::queue([Answer::text("found")]);
    let bot = super::bot_config(&service, json!({"allow_from": ["ou_1"]}));
    let home =
        crate::support::home::Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let _gateway = Gateway::start(&home);
    service.wait(&json!({"connects": 1, "pings": 2}));
    service.control("silence", &json!({}));
    service.control("event", &json!({"event": text("om_1", "hi")}));
    service.wait(&json!({"connects": 2}));
    assert_eq!(service.wait_sent(1), ["found"]);
}

#[test]
fn wrong_credentials_are_said_and_shown() {
    let Some(service) = Service::start() else {
        return;
    };
    let model = ModelServer::queue([]);
    let mut bot = super::bot_config(&service, json!({"allow_from": ["ou_1"]}));
    bot["app_secret"] = json!("wrong-secret");
    let home =
        crate::support::home::Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    assert!(
        gateway
            .process()
            .stderr()
            .has("the service refuses this app: code 514: auth failed")
    );
    assert_eq!(gateway.health()["channels"]["feishu"]["state"], "refused");
    assert!(!gateway.log().contains("wrong-secret"));
    assert!(gateway.term().success());
}

#[test]
fn frames_and_events_that_are_none_are_survived_and_acknowledged() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("alive")])) else {
        return;
    };
    use base64::Engine;
    let raw = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for bytes in [
        b"{".as_slice(),
        b"",
        b"[]",
        b"\xff\xfe",
        b"null",
        b"{\"header\":5}",
    ] {
        let answer = office
            .service
            .control("event", &json!({"raw": raw(bytes), "wait": 30}));
        assert_eq!(answer["answers"], json!([{"code": 200}]), "{bytes:?}");
    }
    let unknown = super::service::envelope("im.chat.brand_new_v9", &json!({"x": 1}));
    assert_eq!(office.service.deliver(&unknown), 200);
    let stale = message("om_old", "text", &json!({"text": "old"}), |event| {
        event["message"]["create_time"] = json!("1600000000000");
    });
    assert_eq!(office.service.deliver(&stale), 200);
    let own = message("om_own", "text", &json!({"text": "me"}), |event| {
        event["sender"]["sender_type"] = json!("app");
    });
    assert_eq!(office.service.deliver(&own), 200);
    assert_eq!(office.service.deliver(&text("om_1", "hi")), 200);
    assert_eq!(office.service.wait_sent(1), ["alive"]);
}

#[test]
fn strangers_reach_no_model() {
    let Some(office) = Office::new(ModelServer::queue([Answer::text("for the owner")])) else {
        return;
    };
    for n in 0..50 {
        let event = message(
            &format!("om_{n}"),
            "text",
            &json!({"text": "let me in"}),
            |event| {
                event["sender"]["sender_id"]["open_id"] = json!(format!("ou_stranger{n}"));
            },
        );
        office.service.control("event", &json!({"event": event}));
    }
    office.service.wait(&json!({"acks": 50}));
    office.service.deliver(&group_text("om_g", "ou_1", "hi"));
    assert_eq!(office.health()["strangers"], 51);
    // Some are named, for whoever looks for an id; not all.
    let log = office.gateway.process().stderr();
    assert!(log.has("ou_stranger0 in oc_1 was not heard: neither is on a list"));
    let named = office.gateway.log().matches("was not heard").count();
    assert_eq!(named, 10);
    office.service.deliver(&text("om_last", "hi"));
    assert_eq!(office.service.wait_sent(1), ["for the owner"]);
    assert_eq!(office.model.received().len(), 1);
}

#[test]
fn slash_commands_are_answered_and_repeats_of_them_too() {
    let Some(office) = Office::new(ModelServer::queue([])) else {
        return;
    };
    for (id, command) in [
        ("om_1", "/new 整理"),
        ("om_2", "/help"),
        ("om_3", "/nosuch"),
    ] {
        assert_eq!(office.service.deliver(&text(id, command)), 200);
        assert_eq!(office.service.deliver(&text(id, command)), 200);
    }
    let sent = office.service.wait_sent(3);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().any(|text| text.contains("整理")), "{sent:?}");
    assert!(sent.iter().any(|text| text.contains("/stop")), "{sent:?}");
    assert!(
        sent.iter().any(|text| text.contains("There is no command")),
        "{sent:?}"
    );
    assert!(office.model.received().is_empty());
}

#[test]
fn the_service_changes_how_often_it_wants_pings() {
    let Some(service) = Service::start() else {
        return;
    };
    // At first seldom; the answer to the first ping asks for more.
    service.control("config", &json!({"ping_interval": 120, "pong_interval": 1}));
    let model = ModelServer::queue([]);
    let bot = super::bot_config(&service, json!({"allow_from": ["ou_1"]}));
    let home =
        crate::support::home::Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let _gateway = Gateway::start(&home);
    let log = service.wait(&json!({"pings": 4}));
    assert_eq!(log["counts"]["connects"], 1);
    assert!(log["counts"]["pings"].as_u64().unwrap() >= 4, "{log}");
}

#[test]
fn refused_handshakes_are_tried_again_or_said() {
    let Some(service) = Service::start() else {
        return;
    };
    let refuse = |headers: serde_json::Value| {
        let fault = json!({"handshake": true, "times": 1, "headers": headers});
        service.control("fault", &fault);
    };
    refuse(json!({"Handshake-Status": "514", "Handshake-Msg": "busy"}));
    let model = ModelServer::queue([]);
    let bot = super::bot_config(&service, json!({"allow_from": ["ou_1"]}));
    let home =
        crate::support::home::Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    // A passing refusal: again, with a fresh address.
    let log = service.wait(&json!({"connects": 1}));
    let calls = log["calls"].to_string();
    assert_eq!(calls.matches("POST /callback/ws/endpoint").count(), 2);
    // A lasting one: said, and not tried again soon.
    refuse(
        json!({"Handshake-Status": "514", "Handshake-Autherrcode": "1000040350", "Handshake-Msg": "too many"}),
    );
    service.control("drop", &json!({}));
    let stderr = gateway.process().stderr();
    assert!(stderr.has("the service refuses this app"));
    assert_eq!(gateway.health()["channels"]["feishu"]["state"], "refused");
    assert_eq!(service.log()["counts"]["connects"], 1);
    assert!(!gateway.log().contains("ticket="));
    assert!(gateway.term().success());
}
