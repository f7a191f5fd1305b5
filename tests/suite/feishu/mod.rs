//! Feishu and Lark: the real binary against the scripted service, which the official SDK has judged.

mod access;
mod basics;
mod cards;
mod media;
mod sending;
mod service;
mod soak;
mod tls;
mod webhook;

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use service::{APP_ID, APP_SECRET, Service};

/// A service, a scripted model and a gateway with one bot.
struct Office {
    // First, so that it is dropped before what it uses.
    gateway: Gateway,
    service: Service,
    model: ModelServer,
    home: Home,
}

impl Office {
    /// Starts all three; `None` without the SDK.
    fn new(model: ModelServer) -> Option<Self> {
        Self::with(model, json!({"allow_from": ["ou_1"], "owners": ["ou_1"]}))
    }

    /// The same, with further keys of the bot's configuration.
    fn with(model: ModelServer, bot: Value) -> Option<Self> {
        let service = Service::start()?;
        let home = Home::with_model_and(
            &model,
            json!({"channels": {"feishu": bot_config(&service, bot)}}),
        );
        let gateway = Gateway::start(&home);
        service.wait(&json!({"connects": 1}));
        Some(Self {
            gateway,
            service,
            model,
            home,
        })
    }

    /// Kills the gateway without warning and starts it again.
    fn crash(mut self) -> Self {
        let counted = json!({"from": u32::MAX, "calls": false, "cards": false});
        let log = self.service.control("log", &counted);
        let connects = log["counts"]["connects"].as_u64().unwrap();
        self.gateway = self.gateway.restart(&self.home);
        let mut again = counted;
        again["connects"] = json!(connects + 1);
        self.service.wait(&again);
        self
    }

    /// What `/health` says of the bot.
    fn health(&self) -> Value {
        self.gateway.health()["channels"]["feishu"].clone()
    }
}

/// A bot of the scripted service.
fn bot_config(service: &Service, more: Value) -> Value {
    let mut bot = json!({
        "app_id": APP_ID, "app_secret": APP_SECRET, "base_url": service.base(),
    });
    for (key, value) in more.as_object().unwrap() {
        bot[key] = value.clone();
    }
    bot
}
