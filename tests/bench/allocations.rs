//! Counts the allocations of reading an answer, in this process: the adapters of the library against the scripted model.
//!
//! Only this thread's are counted, on which the adapter runs. The count does not depend on how the code is optimised.

use picobot::chat::{Message, Role};
use picobot::config::Secret;
use picobot::net::Http;
use picobot::providers::{
    Anthropic, Delta, LearnedQuirks, ModelSpec, OpenAi, Provider, Request, ServiceSettings,
};
use picobot::threads::CancelToken;

use crate::Setup;
use crate::model::{LONG, Model, PLAIN};
use crate::row::Row;
use crate::stream::LONG_PIECES;

/// Allocations for each piece of a long answer, beyond those of a short one.
pub(crate) fn per_piece(_setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let settings = || ServiceSettings::new("bench", model.base_url(), Secret::new("bench"));
    let adapters: [(&str, Box<dyn Provider>); 2] = [
        (
            "openai",
            Box::new(OpenAi::new(settings(), Http::new(), LearnedQuirks::new())),
        ),
        (
            "anthropic",
            Box::new(Anthropic::new(
                settings(),
                Http::new(),
                LearnedQuirks::new(),
            )),
        ),
    ];
    adapters
        .iter()
        .map(|(kind, adapter)| {
            // What the first call sets up belongs to no answer.
            ask(&**adapter, PLAIN);
            let short = ask(&**adapter, PLAIN);
            let long = ask(&**adapter, LONG);
            let each = (long - short) as f64 / LONG_PIECES as f64;
            Row::at_most(
                &format!("allocations for each piece of an answer, {kind}"),
                each,
                "",
                1.0,
            )
        })
        .collect()
}

/// Asks, checks that the whole answer was passed on, and returns the allocations.
fn ask(adapter: &dyn Provider, text: &str) -> u64 {
    let model = ModelSpec {
        model_id: "bench".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    };
    let request = Request {
        model: &model,
        system: "",
        tools: &[],
        messages: &[Message::text(Role::User, text)],
    };
    let mut passed = 0;
    let mut on_delta = |delta: Delta<'_>| {
        if let Delta::Text(text) = delta {
            passed += text.len();
        }
    };
    let cancel = CancelToken::new();
    let mut answer = String::new();
    let counted = allocation_counter::measure(|| {
        let reply = adapter.stream(&request, &mut on_delta, &cancel).unwrap();
        answer = reply.message.visible_text();
    });
    assert_eq!(passed, answer.len());
    counted.count_total
}
