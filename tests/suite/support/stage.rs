//! What most tests stand on: a scripted model, a home that uses it, and the gateway.

use serde_json::Value;

use super::gateway::Gateway;
use super::home::Home;
use super::legal::{assert_legal, assert_legal_messages};
use super::model::{Format, ModelServer, Received};
use super::script::Answer;
use super::ws::Client;
use crate::sdk;

/// A home, a scripted model and a gateway that uses them.
pub(crate) struct Stage {
    // First, so that it is dropped before what it uses.
    pub(crate) gateway: Gateway,
    pub(crate) model: ModelServer,
    pub(crate) home: Home,
}

impl Stage {
    /// Starts all three; the model gives these answers in order.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with_model(ModelServer::queue(answers))
    }

    /// Starts a gateway for this model.
    pub(crate) fn with_model(model: ModelServer) -> Self {
        Self::with(model, Value::Null)
    }

    /// The same, with further top-level keys of the configuration.
    pub(crate) fn with(model: ModelServer, config: Value) -> Self {
        let home = Home::with_model_and(&model, config);
        let gateway = Gateway::start(&home);
        Self {
            gateway,
            model,
            home,
        }
    }

    /// Connects a client that asks for nothing additive.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.gateway.port())
    }

    /// Kills the gateway without warning and starts it again.
    pub(crate) fn crash(self) -> Self {
        let Self {
            gateway,
            model,
            home,
        } = self;
        let gateway = gateway.restart(&home);
        Self {
            gateway,
            model,
            home,
        }
    }

    /// Checks that the model saw so many requests, all of them legal, and returns them.
    #[track_caller]
    pub(crate) fn requests(&self, n: usize) -> Vec<Received> {
        let received = self.model.received();
        assert_eq!(received.len(), n, "requests seen by the model");
        received.iter().for_each(check_rules);
        received
    }

    /// The same, with the official SDK's types as a second judge, which takes a second.
    #[track_caller]
    pub(crate) fn judged_requests(&self, n: usize) -> Vec<Received> {
        let received = self.requests(n);
        check_all(&received);
        received
    }
}

/// Checks a request by the rules of its format.
#[track_caller]
fn check_rules(received: &Received) {
    let body = without_reasoning(&received.body);
    match received.format() {
        Format::Chat => assert_legal(&body),
        Format::Messages => assert_legal_messages(&body),
    }
}

/// Checks requests by the rules of their formats, and by the official SDKs.
#[track_caller]
pub(crate) fn check_all(received: &[Received]) {
    received.iter().for_each(check_rules);
    for format in [Format::Chat, Format::Messages] {
        let ours = received.iter().filter(|one| one.format() == format);
        let bodies: Vec<Value> = ours.map(|one| without_reasoning(&one.body)).collect();
        if !bodies.is_empty() {
            sdk::assert_valid(format, &bodies);
        }
    }
}

/// Takes out what vendors added to chat completions and the SDK's own types do not know.
fn without_reasoning(body: &Value) -> Value {
    let mut body = body.clone();
    let messages = body["messages"].as_array_mut().into_iter().flatten();
    for message in messages.filter_map(Value::as_object_mut) {
        message.remove("reasoning_content");
    }
    body
}
