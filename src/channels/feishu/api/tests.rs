//! The client against a server that plays its part for a few answers.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tiny_http::{Response, Server};

use super::*;

/// A server that gives these answers in order, whatever is asked, and notes path, token and body.
struct Scripted {
    base: String,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    server: Arc<Server>,
}

type Answer = (u16, Vec<(&'static str, &'static str)>, String);

fn answer(value: serde_json::Value) -> Answer {
    (200, Vec::new(), value.to_string())
}

fn token(text: &str) -> Answer {
    answer(json!({"code": 0, "tenant_access_token": text, "expire": 7200}))
}

impl Scripted {
    fn new(answers: Vec<Answer>) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let base = format!("http://{}", server.server_addr());
        let (noted, serving) = (seen.clone(), server.clone());
        crate::threads::spawn("peer", 256 * 1024, move || {
            for (status, headers, body) in answers {
                let Ok(request) = serving.recv() else { return };
                let token = request
                    .headers()
                    .iter()
                    .find(|header| header.field.equiv("authorization"))
                    .map(|header| header.value.to_string())
                    .unwrap_or_default();
                noted
                    .lock()
                    .unwrap()
                    .push((request.url().to_owned(), token));
                let mut response = Response::from_string(body).with_status_code(status);
                for (name, value) in headers {
                    let header = tiny_http::Header::from_bytes(name, value).unwrap();
                    response.add_header(header);
                }
                let _ = request.respond(response);
            }
        })
        .unwrap();
        Self { base, seen, server }
    }

    fn api(&self) -> (Api, crossbeam_channel::Sender<()>) {
        let (hold, stop) = crossbeam_channel::bounded(1);
        let api = Api::new(
            &self.base,
            "cli_1",
            Secret::new("s"),
            &Trust::public(),
            stop,
        );
        (api, hold)
    }

    fn tokens(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, token)| token.clone()).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

#[test]
fn a_token_is_kept_and_renewed_once_when_it_is_refused() {
    let refused = (
        400,
        Vec::new(),
        json!({"code": 99991663, "msg": "expired"}).to_string(),
    );
    let peer = Scripted::new(vec![
        token("t-1"),
        answer(json!({"code": 0})),
        refused.clone(),
        token("t-2"),
        answer(json!({"code": 0})),
        refused.clone(),
        token("t-3"),
        refused,
    ]);
    let (api, _hold) = peer.api();
    for _ in 0..2 {
        api.call("GET", "/x", Body::None).unwrap();
    }
    let error = api.call("GET", "/x", Body::None).unwrap_err();
    assert_eq!(error.kind(), Kind::Passing, "{error}");
    let expected = [
        "",
        "Bearer t-1",
        "Bearer t-1",
        "",
        "Bearer t-2",
        "Bearer t-2",
        "",
        "Bearer t-3",
    ];
    assert_eq!(peer.tokens(), expected);
}

#[test]
fn too_fast_is_waited_for_as_asked() {
    let busy = (
        429,
        vec![("x-ogw-ratelimit-reset", "0.1")],
        json!({"code": 99991400, "msg": "slow down"}).to_string(),
    );
    let peer = Scripted::new(vec![
        token("t-1"),
        busy,
        answer(json!({"code": 0, "data": 5})),
    ]);
    let (api, _hold) = peer.api();
    assert_eq!(api.call("GET", "/x", Body::None).unwrap()["data"], 5);
}

#[test]
fn refusals_say_what_the_service_said() {
    let peer = Scripted::new(vec![
        token("t-1"),
        (
            400,
            Vec::new(),
            json!({"code": 230002, "msg": "not in\nthe chat"}).to_string(),
        ),
    ]);
    let (api, _hold) = peer.api();
    let error = api.call("POST", "/x", Body::Json(&json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "code 230002: not inthe chat (the bot is not in this group: add it)"
    );
    assert_eq!(error.kind(), Kind::ChatClosed);
}

#[test]
fn wrong_credentials_are_told_apart() {
    let peer = Scripted::new(vec![answer(
        json!({"code": 10014, "msg": "app secret invalid"}),
    )]);
    let (api, _hold) = peer.api();
    assert_eq!(
        api.check_credentials().unwrap_err().kind(),
        Kind::Credentials
    );
}

#[test]
fn a_stopping_channel_waits_for_nothing() {
    let peer = Scripted::new(vec![token("t-1"), (500, Vec::new(), "oops".to_owned())]);
    let (api, hold) = peer.api();
    drop(hold);
    let error = api.call("GET", "/x", Body::None).unwrap_err();
    assert_eq!(error, ApiError::Stopping);
}

#[test]
fn downloads_are_limited_and_errors_in_json_are_found() {
    let file = (
        200,
        vec![("content-type", "application/octet-stream")],
        "12345".to_owned(),
    );
    let refusal = (
        200,
        vec![("content-type", "application/json")],
        json!({"code": 234003, "msg": "not of this message"}).to_string(),
    );
    let peer = Scripted::new(vec![token("t-1"), file.clone(), file, refusal]);
    let (api, _hold) = peer.api();
    assert_eq!(api.download("/f", 5).unwrap(), b"12345");
    assert_eq!(api.download("/f", 4).unwrap_err(), ApiError::TooLarge(4));
    let error = api.download("/f", 5).unwrap_err();
    assert!(
        matches!(error, ApiError::Refused { code: 234_003, .. }),
        "{error}"
    );
}

#[test]
fn an_outage_passes_whatever_its_body_says() {
    let kind = |status, code| {
        let body = json!({"code": code, "msg": "internal error"});
        let exchange = Exchange {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into_bytes(),
        };
        parse(&exchange).unwrap_err().kind()
    };
    for status in [429, 500, 502, 503, 504] {
        assert_eq!(kind(status, 2200), Kind::Passing, "{status}");
        assert_eq!(kind(status, 230_099), Kind::CardRefused, "{status}");
        assert_eq!(kind(status, 10_014), Kind::Credentials, "{status}");
    }
    assert_eq!(kind(400, 230_022), Kind::Final);
    assert_eq!(kind(400, 2200), Kind::Final);
}
