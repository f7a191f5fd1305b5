//! What most tests stand on: a scripted model, a home that uses it, and the gateway.

use serde_json::Value;

use super::gateway::Gateway;
use super::home::Home;
use super::legal::assert_legal;
use super::model::{ModelServer, Received};
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
        received.iter().for_each(|one| assert_legal(&one.body));
        received
    }

    /// The same, with the official SDK's types as a second judge, which takes a second.
    #[track_caller]
    pub(crate) fn judged_requests(&self, n: usize) -> Vec<Received> {
        let received = self.requests(n);
        let bodies: Vec<Value> = received.iter().map(|one| one.body.clone()).collect();
        sdk::assert_valid(&bodies);
        received
    }
}
