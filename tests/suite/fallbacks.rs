//! Several services, keys and prices through the real gateway: who answers, what the person hears, what the ledger holds.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::{Format, ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::check_all;
use crate::support::ws::Client;

/// A gateway whose first choice speaks chat completions and whose second speaks the Messages API.
struct Pair {
    gateway: Gateway,
    first: ModelServer,
    second: ModelServer,
    home: Home,
}

impl Pair {
    fn new(
        first: impl IntoIterator<Item = Answer>,
        second: impl IntoIterator<Item = Answer>,
    ) -> Self {
        Self::with(first, second, |_| {})
    }

    fn with(
        first: impl IntoIterator<Item = Answer>,
        second: impl IntoIterator<Item = Answer>,
        edit: impl FnOnce(&mut Value),
    ) -> Self {
        let (first, second) = (ModelServer::queue(first), ModelServer::queue(second));
        let home = Home::empty();
        let mut config = json!({
            "providers": {
                "one": {"type": "openai", "base_url": first.base_url(), "api_key": "key-1"},
                "two": {"type": "anthropic", "base_url": second.origin(), "api_key": "key-2"},
            },
            "models": {
                "big": {"model_id": "big-1", "max_tokens": 1024},
                "small": {"model_id": "small-1", "max_tokens": 1024},
            },
            "agents": {"default": {
                "provider": "one", "model": "big", "max_tool_iterations": 5,
                "fallbacks": [{"provider": "two", "model": "small"}],
            }},
            "workspace_dir": home.workspace(),
        });
        edit(&mut config);
        home.write_config(&config);
        Self {
            gateway: Gateway::start(&home),
            first,
            second,
            home,
        }
    }

    fn client(&self) -> Client {
        Client::hello(
            self.gateway.port(),
            &["turn_finished", "system_notification"],
        )
    }

    fn check(&self, n_first: usize, n_second: usize) -> (Vec<Received>, Vec<Received>) {
        let (first, second) = (self.first.received(), self.second.received());
        assert_eq!((first.len(), second.len()), (n_first, n_second));
        check_all(&first);
        check_all(&second);
        assert!(first.iter().all(|one| one.format() == Format::Chat));
        assert!(second.iter().all(|one| one.format() == Format::Messages));
        (first, second)
    }
}

/// Asks and returns the answer, the model that gave it, and what was said meanwhile.
fn ask(client: &mut Client, text: &str) -> (String, String, Vec<String>) {
    client.say(text);
    let seen = client.until(&["assistant_response", "error"]);
    let last = seen.last().unwrap();
    let said = last["content"]
        .as_str()
        .or(last["message"].as_str())
        .unwrap();
    let finished = seen
        .iter()
        .find(|message| message["type"] == "turn_finished");
    let model = finished.and_then(|message| message["model"].as_str());
    let notices = seen
        .iter()
        .filter(|message| message["type"] == "system_notification");
    let notices = notices.map(|message| message["content"].as_str().unwrap().to_owned());
    (
        said.to_owned(),
        model.unwrap_or_default().to_owned(),
        notices.collect(),
    )
}

fn calculator(id: &str) -> Call {
    Call::new(id, "calculator", json!({"expression": "6*7"}))
}

/// A service that is busy for as long as anybody tries.
fn busy() -> Vec<Answer> {
    vec![Answer::error(503, "busy").header("retry-after-ms", "1"); 4]
}

#[test]
fn the_next_model_answers_and_the_person_hears_which() {
    let pair = Pair::new(
        busy(),
        [Answer::text("I stand in."), Answer::text("Still me.")],
    );
    let mut client = pair.client();
    let (said, model, notices) = ask(&mut client, "hello 你好");
    assert_eq!((said.as_str(), model.as_str()), ("I stand in.", "small-1"));
    let takeover = "big-1 (one) is not available now; small-1 (two) answers.";
    assert!(
        notices.iter().any(|notice| notice == takeover),
        "{notices:?}"
    );
    // The first one rests: it is not asked again at once.
    let (said, model, _) = ask(&mut client, "and now?");
    assert_eq!((said.as_str(), model.as_str()), ("Still me.", "small-1"));
    let (_, second) = pair.check(4, 2);
    assert!(
        second[1]
            .texts("assistant")
            .concat()
            .contains("I stand in.")
    );
}

#[test]
fn a_dialog_with_tools_moves_to_the_other_format() {
    let pair = Pair::new(
        [
            Answer::calls([calculator("functions.calculator:0")]).thinking("hm", ""),
            Answer::text("It is 42."),
        ]
        .into_iter()
        .chain(busy()),
        [
            Answer::calls([calculator("toolu_1")]).thinking("hm", "sig"),
            Answer::text("It is 42 again."),
        ],
    );
    let mut client = pair.client();
    assert_eq!(ask(&mut client, "what is 6*7?").0, "It is 42.");
    let (said, model, _) = ask(&mut client, "once more");
    assert_eq!(
        (said.as_str(), model.as_str()),
        ("It is 42 again.", "small-1")
    );
    let (_, second) = pair.check(6, 2);
    assert!(!second[0].body.to_string().contains("\"thinking\""));
}

#[test]
fn nobody_else_is_asked_between_a_call_and_its_result() {
    let first = std::iter::once(Answer::calls([calculator("c1")])).chain(busy());
    let pair = Pair::new(first, [Answer::text("never said")]);
    let mut client = pair.client();
    let (said, _, _) = ask(&mut client, "what is 6*7?");
    assert!(said.contains("one is overloaded or failing"), "{said}");
    pair.check(5, 0);
}

#[test]
fn another_key_takes_over_even_there() {
    let first = [
        Answer::calls([calculator("c1")]),
        Answer::error(401, "key-1 is revoked"),
        Answer::text("It is 42."),
        Answer::text("Still here."),
    ];
    let pair = Pair::with(first, [], |config| {
        config["providers"]["one"]["api_key"] = json!(["key-1", "key-3"]);
    });
    let mut client = pair.client();
    let (said, model, notices) = ask(&mut client, "what is 6*7?");
    assert_eq!((said.as_str(), model.as_str()), ("It is 42.", "big-1"));
    assert!(notices.is_empty(), "the model is the same: {notices:?}");
    assert_eq!(ask(&mut client, "and now?").0, "Still here.");
    let (first, _) = pair.check(4, 0);
    let keys: Vec<_> = first
        .iter()
        .map(|request| request.http.header("authorization").unwrap())
        .collect();
    let (old, new) = ("Bearer key-1", "Bearer key-3");
    assert_eq!(keys, [old, old, new, new], "a refused key rests");
}

#[test]
fn all_failing_is_told_once() {
    let pair = Pair::new([Answer::error(401, "no")], [Answer::error(401, "no")]);
    let (said, _, _) = ask(&mut pair.client(), "hello");
    assert!(said.contains("two refused the key"), "{said}");
    pair.check(1, 1);
}

/// A row of the ledger.
#[derive(Debug)]
struct Row {
    text: String,
    cost: Option<f64>,
    input: Option<i64>,
    first_token: Option<i64>,
    latency: i64,
}

fn ledger(home: &Home) -> Vec<Row> {
    let db = Connection::open(home.database()).unwrap();
    let sql = "SELECT provider || ' ' || model || ' ' || purpose || ' ' || outcome || ' x' || attempts, \
               cost, input_tokens, first_token_ms, latency_ms FROM model_calls ORDER BY id";
    let mut rows = db.prepare(sql).unwrap();
    let read = rows.query_map([], |row| {
        Ok(Row {
            text: row.get(0)?,
            cost: row.get(1)?,
            input: row.get(2)?,
            first_token: row.get(3)?,
            latency: row.get(4)?,
        })
    });
    read.unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_call_is_in_the_ledger() {
    let first = [
        Answer::error(400, "temperature is not supported"),
        Answer::text("Cheap."),
    ]
    .into_iter()
    .chain(busy());
    let pair = Pair::with(first, [Answer::text("Free?")], |config| {
        config["models"]["big"]["temperature"] = json!(0.5);
        config["models"]["big"]["price"] =
            json!({"input": 1_000_000, "output": 0, "currency": "CNY"});
    });
    let mut client = pair.client();
    ask(&mut client, "hello");
    ask(&mut client, "and now?");
    pair.check(6, 1);
    let rows = ledger(&pair.home);
    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "one big-1 turn ok x2",
            "one big-1 turn overloaded x1",
            "two small-1 turn ok x1",
        ]
    );
    // One CNY a token: the cost is the count. Unknown is unknown, not nothing.
    let input = rows[0].input.unwrap();
    assert!(
        input > 100 && rows[0].cost == Some(input as f64),
        "{rows:?}"
    );
    assert!(rows[0].first_token.is_some_and(|ms| ms <= rows[0].latency));
    assert_eq!(
        (rows[1].cost, rows[1].input, rows[1].first_token),
        (None, None, None)
    );
    assert_eq!((rows[2].cost, rows[2].input.is_some()), (None, true));
}

#[test]
fn a_budget_that_is_used_up_stops_calls_before_they_are_made() {
    for limit in ["per_day", "per_month"] {
        let pair = Pair::with(
            [Answer::text("Dear."), Answer::text("never said")],
            [],
            |config| {
                config["models"]["big"]["price"] = json!({"input": 1_000_000, "output": 0});
                config["budget"] = json!({limit: 50});
            },
        );
        let mut client = pair.client();
        assert_eq!(ask(&mut client, "hello").0, "Dear.");
        let reply = {
            client.say("and now?");
            client
                .until(&["assistant_response", "error"])
                .pop()
                .unwrap()
        };
        assert_eq!(reply["code"], "budget", "{reply}");
        assert!(reply["message"].as_str().unwrap().contains("50"), "{reply}");
        pair.check(1, 0);
    }
}
