//! Webhook mode: events posted to the gateway's port.

use aes::Aes256;
use base64::Engine;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bot_config;
use super::service::{Service, group_text, post, text};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::Answer;

const PATH: &str = "/channels/feishu";

fn seal(key: &str, text: &str) -> String {
    let iv = [9; 16];
    let sealer = cbc::Encryptor::<Aes256>::new_from_slices(&Sha256::digest(key), &iv).unwrap();
    let mut padded = text.as_bytes().to_vec();
    padded.resize(text.len() + 16, 0);
    let sealed = sealer
        .encrypt_padded::<Pkcs7>(&mut padded, text.len())
        .unwrap();
    base64::engine::general_purpose::STANDARD.encode([&iv, sealed].concat())
}

/// Posts an event as the service does with an encrypt key; `at` is the time in its signature.
fn post_sealed(gateway: &Gateway, event: &Value, at: u64) -> (u16, Value) {
    let body = json!({"encrypt": seal("key", &event.to_string())}).to_string();
    let digest = Sha256::digest(format!("{at}nonce-1key{body}"));
    let signature: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let at = at.to_string();
    let headers = [
        ("X-Lark-Request-Timestamp", at.as_str()),
        ("X-Lark-Request-Nonce", "nonce-1"),
        ("X-Lark-Signature", &signature),
        ("Content-Type", "application/json;charset=utf-8"),
    ];
    post(&base(gateway), PATH, &headers, &body)
}

fn base(gateway: &Gateway) -> String {
    format!("http://127.0.0.1:{}", gateway.port())
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[test]
fn posted_events_are_checked_opened_and_answered_once() {
    let Some(service) = Service::start() else {
        return;
    };
    let model = ModelServer::queue([Answer::text("by post"), Answer::text("again")]);
    let bot = bot_config(
        &service,
        json!({"allow_from": ["ou_1"], "mode": "webhook", "verification_token": "tok", "encrypt_key": "key"}),
    );
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    let challenge = json!({"type": "url_verification", "token": "tok", "challenge": "c-1"});
    let body = json!({"encrypt": seal("key", &challenge.to_string())}).to_string();
    let answer = post(&base(&gateway), PATH, &[], &body);
    assert_eq!(answer, (200, json!({"challenge": "c-1"})));
    let event = text("om_1", "hello");
    for _ in 0..3 {
        assert_eq!(post_sealed(&gateway, &event, now()), (200, json!({})));
    }
    assert_eq!(service.wait_sent(1), ["by post"]);
    assert_eq!(gateway.health()["channels"]["feishu"]["state"], "webhook");
    // Refused: in clear, unsigned, replayed from an hour ago, for nobody, too long, to another place.
    assert_eq!(post(&base(&gateway), PATH, &[], &event.to_string()).0, 403);
    let unsigned = json!({"encrypt": seal("key", &event.to_string())}).to_string();
    assert_eq!(post(&base(&gateway), PATH, &[], &unsigned).0, 403);
    assert_eq!(
        post_sealed(&gateway, &text("om_2", "old"), now() - 3600).0,
        403
    );
    let mut foreign = text("om_3", "hi");
    foreign["header"]["token"] = json!("toc");
    assert_eq!(post_sealed(&gateway, &foreign, now()).0, 403);
    assert_eq!(post(&base(&gateway), PATH, &[], "no json").0, 400);
    assert_eq!(post(&base(&gateway), PATH, &[], "").0, 400);
    assert_eq!(post(&base(&gateway), "/channels/other", &[], "{}").0, 400);
    // As deep as it may be, and deeper; whoever sends it needs no secret.
    for depth in [126, 60_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let status = post(&base(&gateway), PATH, &[], &deep).0;
            assert!(status == 400 || status == 403, "{status}");
        }
    }
    assert_eq!(
        post_sealed(&gateway, &text("om_4", "still there?"), now()).0,
        200
    );
    assert_eq!(service.wait_sent(2), ["by post", "again"]);
    assert_eq!(model.received().len(), 2);
    assert!(gateway.term().success());
}

#[test]
fn a_bot_that_does_not_know_itself_holds_nothing_up() {
    let Some(service) = Service::start() else {
        return;
    };
    // For ever, as far as this test goes.
    let fault = json!({"path": "GET /open-apis/bot/v3/info", "times": 1000, "status": 503});
    service.control("fault", &fault);
    let model = ModelServer::queue([Answer::text("private")]);
    let bot = bot_config(
        &service,
        json!({"allow_from": ["*"], "mode": "webhook", "encrypt_key": "key"}),
    );
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    service.wait(&json!({"call": "GET /open-apis/bot/v3/info"}));
    // Whether it is meant cannot be told: to be sent again. Everything else goes its way meanwhile.
    let group = group_text("om_1", "ou_1", "hi");
    assert_eq!(post_sealed(&gateway, &group, now()).0, 500);
    assert_eq!(post_sealed(&gateway, &text("om_2", "hi"), now()).0, 200);
    assert_eq!(service.wait_sent(1), ["private"]);
}

#[test]
fn webhook_mode_needs_a_secret() {
    let Some(service) = Service::start() else {
        return;
    };
    let model = ModelServer::queue([]);
    let bot = bot_config(&service, json!({"mode": "webhook"}));
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let ended = Gateway::launch(&home, |_| {}).finish();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("verification_token"), "{ended:?}");
}
