//! The service over https and wss, with a certificate of its own: trusted by `ca_file`, refused and said without it. The
//! official SDK goes the same way first.

use std::fs;

use serde_json::{Value, json};

use super::bot_config;
use super::service::{Service, message, text};
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::Process;
use crate::support::script::Answer;
use crate::support::tls::{TlsFront, certificate};

/// A service behind TLS: its API and its long connection.
struct Secured {
    service: Service,
    api: TlsFront,
    socket: TlsFront,
}

impl Secured {
    fn start() -> Option<Self> {
        let service = Service::start()?;
        let ws_port = service.log()["ws_port"].as_u64().unwrap();
        let api = TlsFront::start(service.port());
        let socket = TlsFront::start(u16::try_from(ws_port).unwrap());
        let base = socket.origin().replace("https", "wss");
        service.control("config", &json!({"ws_base": base}));
        Some(Self {
            service,
            api,
            socket,
        })
    }

    fn bot(&self, more: Value) -> Value {
        let mut bot = bot_config(&self.service, more);
        bot["base_url"] = json!(self.api.origin());
        bot
    }
}

#[test]
fn the_official_sdk_can_drive_it_over_tls() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let python = crate::sdk::python().unwrap();
    let origin = secured.api.origin();
    let trusted = certificate();
    let arguments = [origin.as_str(), trusted.to_str().unwrap()];
    let (succeeded, said) = crate::sdk::run(&python, "drive_feishu.py", &arguments);
    assert!(succeeded, "{said}");
    assert!(secured.socket.connections() > 0);
}

#[test]
fn everything_goes_over_tls_with_a_certificate_of_its_own() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let service = &secured.service;
    let model = ModelServer::queue([Answer::text("see [it](it.txt)"), Answer::text("and again")]);
    let bot = secured.bot(json!({"allow_from": ["ou_1"], "ca_file": certificate()}));
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    fs::write(home.workspace().join("it.txt"), "it").unwrap();
    service.wait(&json!({"connects": 1}));
    assert_eq!(secured.socket.connections(), 1);
    // A large file down, a small one up, an event that fills more than one record.
    let big = json!({"message_id": "om_1", "key": "file_1", "size": 3 << 20});
    service.control("big_resource", &big);
    let file = json!({"file_key": "file_1", "file_name": "big.bin"});
    assert_eq!(
        service.deliver(&message("om_1", "file", &file, |_| {})),
        200
    );
    let long = "好".repeat(30_000);
    let body = json!({"event": text("om_2", &long), "pieces": 3, "wait": 30});
    let answer = service.control("event", &body);
    assert_eq!(answer["answers"], json!([{"code": 200}]));
    service.wait(&json!({"sent": 2}));
    let asked = model.received()[0].texts("user").concat();
    assert!(asked.contains(&long) && asked.contains("big.bin: saved as"));
    assert_eq!(service.log()["sent"][1]["msg_type"], "file");
    // And after a drop again.
    service.control("drop", &json!({}));
    service.wait(&json!({"connects": 2}));
    assert_eq!(service.deliver(&text("om_3", "hi")), 200);
    assert_eq!(service.wait_sent(3)[2], "and again");
    assert_eq!(secured.socket.connections(), 2);
    let mut check = command(&home, "feishu");
    let check = Process::start(check.arg("check")).finish();
    assert!(check.stdout.contains("ok   long connection"), "{check:?}");
    assert!(gateway.term().success());
}

#[test]
fn an_unknown_certificate_is_refused_and_said() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let model = ModelServer::queue([]);
    let bot = secured.bot(json!({"allow_from": ["ou_1"]}));
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let mut check = command(&home, "feishu");
    let check = Process::start(check.arg("check")).finish();
    let said = "its certificate is not accepted; ca_file names certificates of your own (nobody that is trusted";
    assert!(check.stdout.contains(said), "{check:?}");
    let gateway = Gateway::start(&home);
    assert!(gateway.process().stderr().has(said));
    assert_eq!(secured.service.log()["calls"], json!([]));
    assert_eq!(
        gateway.health()["channels"]["feishu"]["state"],
        "connecting"
    );
    assert!(gateway.term().success());
}

#[test]
fn the_long_connection_s_certificate_is_checked_too() {
    let Some(secured) = Secured::start() else {
        return;
    };
    // The API in clear, so that only the socket has a certificate.
    let bot = bot_config(&secured.service, json!({"allow_from": ["ou_1"]}));
    let model = ModelServer::queue([]);
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    let gateway = Gateway::start(&home);
    let said = "no connection: its certificate is not accepted";
    assert!(gateway.process().stderr().has(said));
    assert_eq!(secured.service.log()["counts"]["connects"], 0);
    // The address is a secret.
    assert!(!gateway.log().contains("ticket"));
}

#[test]
fn a_file_that_is_no_certificate_ends_the_start() {
    let Some(service) = Service::start() else {
        return;
    };
    let model = ModelServer::queue([]);
    let bot = bot_config(&service, json!({"ca_file": "ca.pem"}));
    let home = Home::with_model_and(&model, json!({"channels": {"feishu": bot}}));
    for (content, complaint) in [
        (None, "it cannot be read"),
        (Some("no PEM at all"), "it holds no certificate in PEM form"),
    ] {
        if let Some(content) = content {
            fs::write(home.path().join("ca.pem"), content).unwrap();
        }
        let ended = Gateway::launch(&home, |_| {}).finish();
        assert!(!ended.status.success());
        let said = &ended.stderr;
        assert!(
            said.contains("channels.feishu.ca_file") && said.contains(complaint),
            "{said}"
        );
        let mut check = command(&home, "feishu");
        let check = Process::start(check.arg("check")).finish();
        assert_eq!(check.code, Some(3), "{check:?}");
        assert!(check.stderr.contains(complaint), "{check:?}");
    }
}
