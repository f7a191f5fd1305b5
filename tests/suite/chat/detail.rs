//! What the gateway tells clients that ask for detail: tool calls, pages, context and cost.

use serde_json::{Value, json};

use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

fn load(client: &mut Client, extra: Value) -> Value {
    let mut message = json!({"type": "load_session", "session_id": "cli_chat:local:d1"});
    for (key, value) in extra.as_object().unwrap() {
        message[key] = value.clone();
    }
    client.send_json(&message);
    client.until(&["session_loaded"]).pop().unwrap()
}

#[test]
fn a_dialog_is_loaded_with_its_calls_page_by_page() {
    let answers = [
        Answer::calls([
            Call::new("c1", "calculator", json!({"expression": "1+1"})),
            Call::new("c2", "file_read", json!({"path": "没有.txt"})),
        ])
        .saying("看一下。"),
        Answer::text("是 2。"),
        Answer::text("好。"),
    ];
    let stage = Stage::with_model(ModelServer::queue(answers));
    let mut client = stage.client();
    client.ask("一加一");
    client.ask("谢谢");

    let plain = load(&mut client, json!({}));
    assert_eq!(plain["messages"][1].get("tool_calls"), None, "{plain}");
    assert_eq!(plain.get("model"), None, "{plain}");

    let detail = load(&mut client, json!({"detail": true}));
    let messages = detail["messages"].as_array().unwrap();
    let contents: Vec<&str> = messages
        .iter()
        .map(|m| m["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        contents,
        ["一加一", "看一下。", "是 2。", "谢谢", "好。"],
        "{detail}"
    );
    let calls = messages[1]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["name"], "calculator");
    assert_eq!(calls[0]["state"], "done");
    assert!(
        calls[0]["content"].as_str().unwrap().contains('2'),
        "{detail}"
    );
    assert!(calls[0]["took_ms"].is_u64(), "{detail}");
    assert_eq!(calls[1]["state"], "failed");
    assert_eq!(detail["model"], "scripted-1");
    assert_eq!(detail["token_limit"], 128_000);
    assert!(
        detail["title"].is_string() && detail["has_more"] == false,
        "{detail}"
    );

    let before = messages[3]["id"].clone();
    let older = load(&mut client, json!({"detail": true, "before": before}));
    assert_eq!(older["before"], before);
    assert_eq!(older["messages"].as_array().unwrap().len(), 3, "{older}");
    let none = load(&mut client, json!({"detail": true, "before": 0}));
    assert_eq!(none["messages"], json!([]));
    client.send_json(
        &json!({"type": "load_session", "session_id": "cli_chat:local:d1", "before": "x"}),
    );
    assert_eq!(client.next()["code"], "bad_request");
}

#[test]
fn reasoning_is_loaded_by_who_asks_for_detail() {
    let stage = Stage::with_model(ModelServer::queue([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "1+1"}))])
            .thinking("先算一下。", "")
            .saying("看一下。"),
        Answer::text("是 2。").thinking("够了。", ""),
        Answer::text("不客气。"),
    ]));
    let mut client = stage.client();
    client.ask("一加一");
    client.ask("谢谢");
    let plain = load(&mut client, json!({}));
    assert!(!plain.to_string().contains("reasoning"), "{plain}");
    let detail = load(&mut client, json!({"detail": true}));
    let thoughts: Vec<&Value> = detail["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| &message["reasoning"])
        .collect();
    let none = &Value::Null;
    assert_eq!(
        thoughts,
        [none, &json!("先算一下。"), &json!("够了。"), none, none],
        "{detail}"
    );
}

#[test]
fn long_dialogs_come_in_pages_that_meet() {
    let stage = Stage::with_model(ModelServer::queue(
        (0..130).map(|n| Answer::text(&format!("a{n}"))),
    ));
    let mut client = stage.client();
    for n in 0..130 {
        client.ask(&format!("q{n}"));
    }
    let newest = load(&mut client, json!({"detail": true}));
    let first = newest["messages"].as_array().unwrap();
    assert_eq!((first.len(), &newest["has_more"]), (200, &json!(true)));
    let older = load(
        &mut client,
        json!({"detail": true, "before": first[0]["id"]}),
    );
    let second = older["messages"].as_array().unwrap();
    assert_eq!((second.len(), &older["has_more"]), (60, &json!(false)));
    assert_eq!(second[0]["content"], "q0");
    assert_eq!(
        (&second[59]["content"], &first[0]["content"]),
        (&json!("a29"), &json!("q30"))
    );
}

#[test]
fn a_turn_tells_its_context_and_its_cost() {
    let price = json!({"models": {"scripted": {
        "model_id": "scripted-1", "max_tokens": 1024,
        "price": {"input": 2.0, "output": 10.0, "currency": "USD"},
    }}});
    let stage = Stage::with(ModelServer::queue([Answer::text("hi")]), price);
    let mut client = Client::hello(stage.gateway.port(), &["turn_finished"]);
    client.send_json(&json!({"type": "user_input", "content": "hello"}));
    let finished = client.until(&["turn_finished"]).pop().unwrap();
    let tokens = |name: &str| finished["usage"][name].as_u64().unwrap();
    let (input, output) = (tokens("input_tokens"), tokens("output_tokens"));
    assert_eq!(finished["context_tokens"], input + output, "{finished}");
    assert_eq!(finished["token_limit"], 128_000);
    let cost = (input as f64 * 2.0 + output as f64 * 10.0) / 1e6;
    assert!(
        (finished["cost"].as_f64().unwrap() - cost).abs() < 1e-12,
        "{finished}"
    );
    assert_eq!(finished["currency"], "USD");
}
