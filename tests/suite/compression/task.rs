//! One task of 40 steps whose context is refused before every step: what matters must be in every next request, however bad
//! the summaries are.

use serde_json::{Value, json};

use super::{all_text, home, results_of, system_of, too_long, wants_summary};
use crate::support::gateway::Gateway;
use crate::support::model::{ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::check_all;
use crate::support::ws::Client;

const STEPS: usize = 40;
const REQUEST: &str =
    "Bring the report for 客户 Anna into shape, in reports/final.md. Never mail it yourself.";
/// What the model says with its first step; a bad summary forgets all of it. Each thing stands in a line of its own kind, so
/// that no other kind keeps it.
const PLAN: &str = "Decision: only figures of 2026 count.\n\
                    The figures are in data/figures.csv.\n\
                    The ticket is PROJ-1234.\n\
                    Rates stand at https://example.com/rates?day=7 every day.\n\
                    - [ ] write the appendix\n\
                    The export task-77 is running in the background.\n";
const KEPT: [&str; 9] = [
    "Bring the report for 客户 Anna into shape",
    "Never mail it yourself",
    "reports/final.md",
    "data/figures.csv",
    "PROJ-1234",
    "write the appendix",
    "https://example.com/rates?day=7",
    "export task-77 is running in the background",
    "only figures of 2026 count",
];

/// The number of the step that was done last, read from the ledger file's own words in the newest result.
fn done(received: &Received) -> usize {
    results_of(received)
        .last()
        .and_then(|text| {
            let (_, rest) = text.rsplit_once("step ")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .unwrap_or(0)
}

#[test]
fn forty_steps_with_a_compression_before_each() {
    forty_steps("openai");
}

#[test]
fn the_same_for_the_messages_api() {
    forty_steps("anthropic");
}

fn forty_steps(kind: &str) {
    let refused = std::sync::Mutex::new(std::collections::HashSet::new());
    let model = ModelServer::start(move |received| {
        if wants_summary(received) {
            // As bad as a summary can be.
            return Answer::text("ok");
        }
        let done = done(received);
        // From the third step on there is something to cut before each.
        if done >= 2 && refused.lock().unwrap().insert(done) {
            return too_long();
        }
        if done == STEPS {
            return Answer::text("The report is in shape.");
        }
        let n = done + 1;
        let command = format!("echo step {n}");
        let call = Call::new(&format!("s{n}"), "bash", json!({"command": command}));
        let answer = Answer::calls([call]);
        if n == 1 { answer.saying(PLAN) } else { answer }
    });
    let home = home(&model, 128_000);
    let mut config: Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
    config["providers"]["scripted"]["type"] = json!(kind);
    home.write_config(&config);
    std::fs::write(
        home.workspace().join("AGENTS.md"),
        "House rule: metric units.",
    )
    .unwrap();
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    assert_eq!(client.ask(REQUEST), "The report is in shape.");
    let received = model.received();
    check_all(&received);
    let turns: Vec<&Received> = received.iter().filter(|one| !wants_summary(one)).collect();
    // Each step from the third on: refused, then asked again with what was compressed.
    assert_eq!(turns.len(), 2 + 2 * (STEPS - 1));
    assert_eq!(received.len() - turns.len(), STEPS - 1, "summaries");
    for (n, request) in turns.iter().enumerate().skip(4) {
        let text = all_text(request);
        for kept in KEPT {
            assert!(text.contains(kept), "request {n} lost {kept}: {text}");
        }
        let said = request.texts("user").concat();
        assert!(said.contains(REQUEST), "word for word");
        assert!(system_of(request).contains("metric units"));
        assert!(results_of(request).len() <= 4, "it does not grow");
    }
    // The next turn knows them too, and a summary of the whole does.
    client.ask("thanks");
    client.request("/compact");
    client.ask("and what was it?");
    let last = model.received().pop().unwrap();
    for kept in KEPT {
        assert!(
            all_text(&last).contains(kept),
            "lost {kept}: {}",
            all_text(&last)
        );
    }
    check_all(&model.received()[received.len()..]);
}
