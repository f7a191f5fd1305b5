//! A gateway elsewhere, behind TLS and a token: what `picobot chat` and `picobot send` show it, and whom they believe.

use serde_json::{Value, json};

use super::{chat, home, tmux};
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::process::{Finished, run};
use crate::support::tls::{TlsFront, certificate};

/// A gateway that wants its token from everybody, with TLS in front; and a person's own machine.
struct Elsewhere {
    there: Home,
    _gateway: Gateway,
    url: String,
    here: Home,
}

impl Elsewhere {
    fn start() -> Self {
        let there = home();
        with(
            &there,
            "gateway",
            json!({"auth": "token", "allowed_hosts": ["127.0.0.1"]}),
        );
        let gateway = Gateway::start(&there);
        let front = TlsFront::start(gateway.port());
        let url = format!("{}/ws", front.origin().replace("https://", "wss://"));
        let here = home();
        Self {
            there,
            _gateway: gateway,
            url,
            here,
        }
    }

    fn client(&self, token: Option<&str>, trusts: bool) {
        let mut client = json!({"gateway_url": self.url});
        if let Some(token) = token {
            client["token"] = json!(token);
        }
        if trusts {
            client["ca_file"] = json!(certificate());
        }
        with(&self.here, "client", client);
    }

    fn send(&self) -> Finished {
        run(command(&self.here, "send").args(["--gateway-url", &self.url, "3 加 4 等于多少"]))
    }
}

fn with(home: &Home, section: &str, value: Value) {
    let text = std::fs::read_to_string(home.config()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config[section] = value;
    home.write_config(&config);
}

#[test]
fn a_gateway_behind_tls_is_believed_by_its_certificate_and_shown_the_named_token() {
    let elsewhere = Elsewhere::start();
    let token = elsewhere.there.token();
    let check = |token: Option<&str>, trusts: bool, code: i32, said: &str| {
        elsewhere.client(token, trusts);
        let finished = elsewhere.send();
        assert_eq!(finished.code, Some(code), "{finished:?}");
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(all.contains(said), "{finished:?}");
    };
    check(Some(&token), true, 0, "= 7");
    check(Some(&token), false, 4, "see client.ca_file");
    check(None, true, 5, "set client.token");
    check(Some("wrong"), true, 5, "refused the token");
}

#[test]
fn chat_talks_to_a_gateway_behind_tls() {
    if !tmux::is_here() {
        return;
    }
    let elsewhere = Elsewhere::start();
    elsewhere.client(None, true);
    let terminal = chat(&elsewhere.here, "--no-autostart", 100, 30);
    terminal.wait_for("the gateway refused the token, see client.token");
    terminal.keys(&["C-d"]);
    terminal.wait_for("exit=0");
    let token = elsewhere.there.token();
    elsewhere.client(Some(&token), true);
    let terminal = chat(&elsewhere.here, "", 100, 30);
    terminal.wait_for("● online");
    terminal.say("模拟长文");
    terminal.wait_until("the long answer", |screen| {
        screen.contains("A quotation") && !screen.contains("stops")
    });
    terminal.say("执行 `echo 好`");
    terminal.wait_for("asks for approval");
    std::thread::park_timeout(super::QUIET);
    terminal.keys(&["y"]);
    terminal.wait_until("the end of the turn", |screen| {
        screen.contains("✓ exit 0") && !screen.contains("stops")
    });
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    if !tmux::is_here() {
        return;
    }
    let here = home();
    for url in ["http://127.0.0.1:1/ws", "哈哈"] {
        let terminal = chat(&here, &format!("--gateway-url {url}"), 100, 30);
        terminal.wait_for("is not a gateway URL");
        terminal.wait_for("hint: it looks like ws://127.0.0.1:19876/ws");
        terminal.wait_for("exit=2");
    }
}
