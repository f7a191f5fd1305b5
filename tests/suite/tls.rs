//! Model services over https with a certificate of their own: trusted by `ca_file`, refused without it, stopped at once.

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::Answer;
use crate::support::stage::Stage;
use crate::support::tls::{TlsFront, certificate};
use crate::support::ws::Client;

/// One service for each wire format, both behind TLS.
fn providers(front: &TlsFront, ca_file: Option<Value>) -> Value {
    let with = |kind: &str, path: &str| {
        let mut provider = json!({
            "type": kind, "base_url": format!("{}{path}", front.origin()), "api_key": "test-key",
        });
        if let Some(ca_file) = &ca_file {
            provider["ca_file"] = ca_file.clone();
        }
        provider
    };
    json!({"openai": with("openai", "/v1"), "anthropic": with("anthropic", "")})
}

fn stage(kind: &str, ca_file: Option<Value>, answers: Vec<Answer>) -> (Stage, TlsFront) {
    let model = ModelServer::queue(answers);
    let front = TlsFront::start(model.port());
    let config = json!({
        "providers": providers(&front, ca_file),
        "agents": {"default": {"provider": kind, "model": "scripted"}},
    });
    (Stage::with(model, config), front)
}

#[test]
fn a_service_with_its_own_certificate_is_trusted_by_file() {
    for kind in ["openai", "anthropic"] {
        let answers = (0..5).map(|n| Answer::text(&format!("answer {n}")));
        let (stage, front) = stage(kind, Some(json!(certificate())), answers.collect());
        let mut client = stage.client();
        for n in 0..5 {
            assert_eq!(client.ask("hello 你好"), format!("answer {n}"));
        }
        stage.requests(5);
        assert_eq!(front.connections(), 1, "calls in a row use one connection");
    }
}

#[test]
fn an_unknown_certificate_is_refused_at_once() {
    for kind in ["openai", "anthropic"] {
        let (stage, front) = stage(kind, None, vec![]);
        let reply = stage.client().request("hello");
        assert_eq!(reply["type"], "error", "{reply}");
        let message = reply["message"].as_str().unwrap();
        assert!(
            message.contains("its certificate is not accepted (nobody that is trusted")
                && message.contains("ca_file"),
            "{message}"
        );
        stage.requests(0);
        assert_eq!(front.connections(), 1, "it was tried again");
    }
}

#[test]
fn stop_closes_the_socket() {
    for kind in ["openai", "anthropic"] {
        for pieces in [0, 3] {
            let gate = Gate::new();
            let answers = vec![
                Answer::text("one two three").held_after(pieces, &gate),
                Answer::text("Yes."),
            ];
            let (stage, _front) = stage(kind, Some(json!(certificate())), answers);
            let mut client = Client::hello(stage.gateway.port(), &[]);
            client.say("count slowly");
            gate.wait_reached();
            client.say("/stop");
            let mut replies = client.until(&["command_executed", "error"]);
            replies.extend(client.until(&["command_executed", "error"]));
            let stopped = replies.iter().any(|reply| reply["code"] == "stopped");
            assert!(stopped, "{replies:?}");
            gate.wait_hung_up();
            assert_eq!(client.ask("are you there?"), "Yes.");
            stage.requests(2);
        }
    }
}

#[test]
fn a_file_that_is_no_certificate_ends_the_start() {
    let model = ModelServer::queue([]);
    let front = TlsFront::start(model.port());
    let home = Home::empty();
    let file = home.path().join("ca.pem");
    for (content, complaint) in [
        (None, "it cannot be read"),
        (Some("no PEM at all"), "it holds no certificate in PEM form"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "one of its certificates cannot be read",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let mut config = home.config_for(&model);
        // A relative path counts from the configuration's folder.
        config["providers"] = providers(&front, Some(json!("ca.pem")));
        config["agents"]["default"]["provider"] = json!("openai");
        home.write_config(&config);
        let ended = Gateway::launch(&home, |_| {}).finish();
        assert!(!ended.status.success());
        let said = ended.stderr;
        assert!(
            said.contains("providers.openai.ca_file") && said.contains(complaint),
            "{said}"
        );
    }
}
