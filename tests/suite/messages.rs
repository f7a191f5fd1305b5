//! Turns over the Messages API through the real gateway, and dialogs that move between the wire formats.
//!
//! Every request that the model saw is checked for the legality of its own format, and by that format's official SDK.

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::model::{Format, ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::{Stage, check_all};
use crate::support::ws::Client;

/// Two providers at the same service, one a format.
fn providers(model: &ModelServer) -> Value {
    json!({
        "chat": {"type": "openai", "base_url": model.base_url(), "api_key": "test-key"},
        "messages": {"type": "anthropic", "base_url": model.origin(), "api_key": "test-key"},
    })
}

fn agents(provider: &str) -> Value {
    json!({"default": {"provider": provider, "model": "scripted", "max_tool_iterations": 2}})
}

/// A stage whose gateway uses one of the two.
fn stage_with(provider: &str, answers: impl IntoIterator<Item = Answer>) -> Stage {
    let model = ModelServer::queue(answers);
    let config = json!({"providers": providers(&model), "agents": agents(provider)});
    Stage::with(model, config)
}

fn messages(answers: impl IntoIterator<Item = Answer>) -> Stage {
    stage_with("messages", answers)
}

/// Kills the gateway and starts it again with another configuration.
fn change(stage: Stage, edit: impl FnOnce(&mut Value)) -> Stage {
    let text = std::fs::read_to_string(stage.home.config()).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    stage.home.write_config(&config);
    stage.crash()
}

fn use_provider(stage: Stage, provider: &str) -> Stage {
    change(stage, |config| config["agents"] = agents(provider))
}

fn calculator(id: &str, expression: &str) -> Call {
    Call::new(id, "calculator", json!({"expression": expression}))
}

/// The messages of a request without cache marks.
fn lines(request: &Received) -> Vec<Value> {
    let mut messages = request.body["messages"].clone();
    for message in messages.as_array_mut().unwrap() {
        for block in message["content"].as_array_mut().unwrap() {
            block.as_object_mut().unwrap().remove("cache_control");
        }
    }
    messages.as_array().unwrap().clone()
}

/// The blocks of a kind in a request, in order.
fn blocks(request: &Received, kind: &str) -> Vec<Value> {
    let lines = lines(request);
    let blocks = lines
        .iter()
        .flat_map(|line| line["content"].as_array().unwrap());
    blocks
        .filter(|block| block["type"] == kind)
        .cloned()
        .collect()
}

#[test]
fn a_plain_question() {
    let stage = messages([Answer::text("Hello to you.")]);
    let mut client = Client::hello(stage.gateway.port(), &["turn_finished"]);
    client.say("hello 你好");
    let seen = client.until(&["assistant_response", "error"]);
    assert_eq!(seen.last().unwrap()["content"], "Hello to you.", "{seen:?}");
    let requests = stage.requests(1);
    let (body, http) = (&requests[0].body, &requests[0].http);
    assert_eq!(http.path, "/v1/messages");
    assert_eq!(http.header("x-api-key"), Some("test-key"));
    assert_eq!(http.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&json!("scripted-1"), &json!(1024))
    );
    assert!(
        body["system"][0]["text"]
            .as_str()
            .unwrap()
            .contains("PicoBot")
    );
    assert!(
        requests[0].texts("user")[0].contains("hello 你好"),
        "{body:#}"
    );
    // What the cache served is part of the prompt.
    let usage = &seen[0]["usage"];
    let prompt = http.body.len().div_ceil(4);
    assert_eq!(usage["input_tokens"], prompt, "{seen:?}");
    assert_eq!(usage["cached_tokens"], prompt / 2, "{seen:?}");
}

#[test]
fn tool_rounds_keep_the_prefix() {
    let stage = messages([
        Answer::calls([calculator("toolu_1", "17.5% of 2340")]).saying("Let me see."),
        Answer::calls([calculator("toolu_2", "2+2"), calculator("toolu_3", "1/0")]),
        Answer::text("It is 409.5."),
    ]);
    // Two rounds are all that is allowed: the third request offers no tools.
    assert_eq!(
        stage.client().ask("what is 17.5% of 2340?"),
        "It is 409.5.\n\nStopped after 2 tool rounds."
    );
    let requests = stage.requests(3);
    let (first, second) = (lines(&requests[0]), lines(&requests[1]));
    assert_eq!(second[..first.len()], first[..], "the prefix changed");
    let result = &blocks(&requests[1], "tool_result")[0];
    assert!(
        result["content"].as_str().unwrap().contains("409.5"),
        "{result}"
    );
    assert!(requests[2].body.get("tools").is_none());
    let told = requests[2].texts("user").concat();
    assert!(told.contains("[Result of calculator]\n4"), "{told}");
    assert!(told.contains("[Error of calculator]"), "{told}");
}

#[test]
fn parallel_calls_are_answered_together() {
    let stage = messages([
        Answer::calls([calculator("toolu_1", "2+2"), calculator("toolu_2", "3*3")]),
        Answer::text("4 and 9."),
        Answer::text("Bye."),
    ]);
    assert_eq!(stage.client().ask("2+2 and 3*3"), "4 and 9.");
    assert_eq!(stage.client().ask("thanks"), "Bye.");
    let requests = stage.requests(3);
    let last = lines(&requests[1]).pop().unwrap();
    let ids: Vec<&Value> = last["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["tool_use_id"])
        .collect();
    assert_eq!(ids, ["toolu_1", "toolu_2"]);
    let before = lines(&requests[1]);
    assert_eq!(
        lines(&requests[2])[..before.len()],
        before[..],
        "the prefix changed"
    );
}

#[test]
fn thinking_goes_back_across_a_tool_loop_and_a_restart() {
    let stage = messages([
        Answer::calls([calculator("toolu_1", "6*7")])
            .saying("Let me see.")
            .thinking("", "sig/one+="),
        Answer::text("It is 42.").thinking("6*7 \"is\" 42\n", "sig-two"),
        Answer::text("You asked about 6*7."),
    ]);
    assert_eq!(stage.client().ask("what is 6*7?"), "It is 42.");
    let stage = use_provider(stage, "messages");
    assert_eq!(
        stage.client().ask("what did I ask?"),
        "You asked about 6*7."
    );
    let requests = stage.requests(3);
    let one = json!({"type": "thinking", "thinking": "", "signature": "sig/one+="});
    let two = json!({"type": "thinking", "thinking": "6*7 \"is\" 42\n", "signature": "sig-two"});
    let both = [one, two];
    assert_eq!(blocks(&requests[1], "thinking"), both[..1]);
    assert_eq!(blocks(&requests[2], "thinking"), both);
    let kinds: Vec<Value> = lines(&requests[2])[1]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].clone())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    let before = lines(&requests[1]);
    assert_eq!(
        lines(&requests[2])[..before.len()],
        before[..],
        "the prefix changed"
    );
    assert_eq!(requests[1].body["tools"], requests[2].body["tools"]);
    assert_eq!(requests[1].body["system"], requests[2].body["system"]);
}

#[test]
fn refused_thinking_does_not_end_the_dialog() {
    let stage = messages([
        Answer::calls([calculator("toolu_1", "6*7")]).thinking("hm", "sig-one"),
        Answer::error(
            400,
            "messages.1.content.0: The block is bound to a different conversation",
        ),
        Answer::text("It is 42."),
    ]);
    assert_eq!(stage.client().ask("what is 6*7?"), "It is 42.");
    let requests = stage.requests(3);
    assert_eq!(blocks(&requests[1], "thinking").len(), 1);
    assert_eq!(blocks(&requests[2], "thinking").len(), 0);
    assert_eq!(
        blocks(&requests[2], "tool_use"),
        blocks(&requests[1], "tool_use")
    );
}

#[test]
fn failures_are_said_and_the_next_turn_works() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n<html>no</html>";
    let rows = [
        (Answer::error(401, "invalid x-api-key: test-key"), "auth"),
        (Answer::error(400, "Your credit balance is too low"), "auth"),
        (Answer::error(404, "model: scripted-1"), "provider"),
        (Answer::error(400, "messages: no good"), "provider"),
        (
            Answer::error(429, "slow down").header("retry-after", "3600"),
            "provider",
        ),
        (Answer::raw(page), "provider"),
    ];
    let mut all = Vec::new();
    for (answer, code) in rows {
        let stage = messages([answer, Answer::text("Better now.")]);
        let mut client = stage.client();
        let reply = client.request("hello");
        assert_eq!(reply["type"], "error", "{reply}");
        assert_eq!(reply["code"], code, "{reply}");
        assert!(!reply.to_string().contains("test-key"), "{reply}");
        assert!(!stage.gateway.log().contains("test-key"));
        // A service that refused the key rests for a while; a new process asks it at once.
        let stage = use_provider(stage, "messages");
        assert_eq!(stage.client().ask("and now?"), "Better now.");
        let received = stage.model.received();
        assert_eq!(received.len(), 2, "{reply}");
        all.extend(received);
    }
    check_all(&all);
}

#[test]
fn busy_services_are_asked_again() {
    let stage = messages([
        Answer::error(529, "Overloaded").header("retry-after-ms", "1"),
        Answer::error(500, "Internal server error").header("retry-after", "0"),
        Answer::text("Here I am."),
    ]);
    assert_eq!(stage.client().ask("hello"), "Here I am.");
    let requests = stage.requests(3);
    assert_eq!(requests[0].body, requests[2].body);
}

#[test]
fn a_stream_that_breaks_off_is_marked_and_stays_legal() {
    let gate = Gate::new();
    let stage = messages([
        Answer::calls([calculator("toolu_1", "6*7")])
            .saying("Let me ")
            .thinking("hm", "sig")
            .held_after(10, &gate),
        Answer::text("Fine."),
    ]);
    let mut client = Client::hello(stage.gateway.port(), &["assistant_delta"]);
    client.say("what is 6*7?");
    gate.wait_reached();
    client.say("/stop");
    client.until(&["command_executed"]);
    gate.wait_hung_up();
    assert_eq!(stage.client().ask("are you there?"), "Fine.");
    let requests = stage.requests(2);
    assert_eq!(
        blocks(&requests[1], "tool_use").len(),
        0,
        "a half call was kept"
    );
    let cut = [
        Answer::text("one two three four").cut_after(900),
        Answer::text("Fine."),
    ];
    let stage = messages(cut);
    let said = stage.client().ask("count");
    assert!(
        said.starts_with("one") && said.ends_with("[cut off]"),
        "{said}"
    );
    assert_eq!(stage.client().ask("go on"), "Fine.");
    let requests = stage.requests(2);
    assert!(!requests[1].body.to_string().contains("[cut off]"));
}

#[test]
fn odd_endings() {
    let stage = messages([
        Answer::text("I would rather").finish("refusal"),
        Answer::calls([calculator("toolu_1", "6*7")])
            .saying("Let me see.")
            .finish("length"),
        Answer::text("It is 42."),
        Answer::text("One").finish("pause_turn"),
        Answer::text(" and two."),
        Answer::calls([]).finish("stop"),
        Answer::text("Bye."),
    ]);
    let refused = stage.client().ask("do harm");
    assert_eq!(
        refused,
        "I would rather\n\nThe model declined to answer this. None of it is sent to the model again."
    );
    let again = stage.client().ask("what is 6*7?");
    assert!(again.ends_with("It is 42."), "{again}");
    assert_eq!(stage.client().ask("count"), "One and two.");
    assert!(stage.client().ask("hm").contains("empty answer"));
    assert_eq!(stage.client().ask("bye"), "Bye.");
    // The continuation of a paused answer ends with that answer: the rules for new questions do not fit it.
    let received = stage.model.received();
    let paused = received[4].body["messages"].as_array().unwrap().last();
    assert_eq!(
        paused.unwrap()["content"],
        json!([{"type": "text", "text": "One"}])
    );
    assert_eq!(received.len(), 7);
    let last = &received[6];
    check_all(&received[6..]);
    let sent = last.body.to_string();
    assert!(!sent.contains("I would rather"), "{sent}");
    assert!(!sent.contains("do harm"), "{sent}");
    // The call that the limit cut off did not run, and the model was told why.
    assert_eq!(blocks(last, "tool_use")[0]["input"], json!({}));
    let told = blocks(last, "tool_result")[0].to_string();
    assert!(
        told.contains("your output limit cut the call off"),
        "{told}"
    );
}

/// One turn with a tool round in which the model thinks, as each format spells it.
fn thoughtful_round(id: &str, said: &str) -> [Answer; 2] {
    [
        Answer::calls([calculator(id, "6*7")]).thinking("I compute.", "sig-call"),
        Answer::text(said).thinking("Now I know.", "sig-said"),
    ]
}

#[test]
fn a_dialog_moves_between_the_formats() {
    let rounds = [
        "functions.calculator:0",
        "toolu_1",
        "functions.calculator:0",
        "toolu_2",
    ];
    let answers = rounds
        .iter()
        .flat_map(|id| thoughtful_round(id, "It is 42."));
    let mut stage = stage_with("chat", answers);
    for provider in ["chat", "messages", "chat", "messages"] {
        stage = use_provider(stage, provider);
        assert_eq!(stage.client().ask("what is 6*7?"), "It is 42.");
    }
    let requests = stage.requests(8);
    let formats: Vec<Format> = requests.iter().map(Received::format).collect();
    let (chat, messages) = (Format::Chat, Format::Messages);
    assert_eq!(
        formats,
        [
            chat, chat, messages, messages, chat, chat, messages, messages
        ]
    );
    // Each format gets back its own thinking and nobody else's.
    let thought = |n: usize| blocks(&requests[n], "thinking").len();
    assert_eq!(
        (thought(2), thought(3), thought(6), thought(7)),
        (0, 1, 2, 3)
    );
    for n in [4, 5] {
        let sent = requests[n].body.to_string();
        assert!(
            !sent.contains("sig-call") && !sent.contains("\"thinking\""),
            "{sent}"
        );
    }
    let last = &requests[7];
    assert_eq!(blocks(last, "tool_use").len(), 4);
    assert_eq!(blocks(last, "tool_result").len(), 4);
    assert_eq!(requests[5].texts("tool").len(), 3);
}

#[test]
fn a_provider_that_changes_its_format_keeps_its_dialogs() {
    let answers = ["call_1", "toolu_1", "call_2"]
        .iter()
        .flat_map(|id| thoughtful_round(id, "It is 42."));
    let mut stage = stage_with("chat", answers);
    // One name and one model all along, so that only the stored form tells whose thinking it is.
    for (kind, at_root) in [("openai", false), ("anthropic", true), ("openai", false)] {
        let base_url = if at_root {
            stage.model.origin()
        } else {
            stage.model.base_url()
        };
        stage = change(stage, |config| {
            config["providers"]["chat"]["type"] = json!(kind);
            config["providers"]["chat"]["base_url"] = json!(base_url);
        });
        assert_eq!(stage.client().ask("what is 6*7?"), "It is 42.");
    }
    let requests = stage.requests(6);
    assert_eq!(blocks(&requests[2], "thinking").len(), 0);
    assert_eq!(blocks(&requests[3], "thinking").len(), 1);
    let messages = requests[4].body["messages"].as_array().unwrap();
    let reasoning = messages
        .iter()
        .filter_map(|line| line.get("reasoning_content"));
    assert_eq!(reasoning.collect::<Vec<_>>(), ["I compute."]);
}
