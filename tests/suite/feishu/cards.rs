//! Cards: answers while they are written, the forms below them, long answers.

use serde_json::{Value, json};

use super::Office;
use super::service::text;
use crate::support::gate::Gate;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};

fn card_texts(log: &Value) -> Vec<String> {
    let cards = log["cards"].as_object().unwrap().values();
    let text = |card: &Value| {
        let elements = card["json"]["body"]["elements"].as_array().unwrap();
        let texts = elements.iter().filter_map(|one| one["content"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    };
    cards.map(text).collect()
}

#[test]
fn a_long_answer_grows_in_one_card_and_ends_there() {
    let words: String = (0..30).map(|n| format!("word{n} ")).collect();
    let gate = Gate::new();
    let slow = Answer::text(words.trim_end()).held_after(10, &gate);
    let Some(office) = Office::new(ModelServer::queue([slow])) else {
        return;
    };
    office.service.deliver(&text("om_1", "tell me"));
    office.service.wait_sent(1);
    let shown = card_texts(&office.service.log()).concat();
    assert!(
        shown.contains("word5") && !shown.contains("word29"),
        "{shown}"
    );
    gate.release();
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    let log = office.service.log();
    // Only the card was sent, nothing beside it.
    assert_eq!(log["sent"].as_array().unwrap().len(), 1, "{}", log["sent"]);
    assert_eq!(card_texts(&log), [words.trim_end()]);
    let card = log["cards"].as_object().unwrap().values().next().unwrap();
    assert_eq!(card["streaming"], false);
    assert_eq!(card["shown"], true);
}

#[test]
fn tools_at_work_are_named_and_a_crash_ends_in_the_same_card() {
    let gate = Gate::new();
    let ask = || Answer::calls([Call::new("c1", "calculator", json!({"expression": "1+1"}))]);
    let model = ModelServer::queue([
        ask(),
        Answer::text("never seen").held(&gate),
        Answer::text("It is 2."),
    ]);
    let Some(office) = Office::new(model) else {
        return;
    };
    office.service.deliver(&text("om_1", "1+1?"));
    office
        .service
        .wait(&json!({"call": "PUT .*elements|POST .*/messages$"}));
    let shown = card_texts(&office.service.log()).concat();
    assert!(shown.contains("calculator"), "{shown}");
    let office = office.crash();
    office.service.wait(&json!({"call": "PATCH .*/settings"}));
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    let log = office.service.log();
    assert_eq!(log["sent"].as_array().unwrap().len(), 1, "{}", log["sent"]);
    assert_eq!(card_texts(&log), ["It is 2."]);
}

/// Starts an answer that is half shown in its card; the gate lets the rest come.
fn half_shown(words: &str) -> Option<(Office, Gate)> {
    let gate = Gate::new();
    let slow = Answer::text(words).held_after(10, &gate);
    let office = Office::new(ModelServer::queue([slow]))?;
    office.service.deliver(&text("om_1", "tell me"));
    office.service.wait_sent(1);
    Some((office, gate))
}

#[test]
fn a_crash_between_the_finished_card_and_its_mark_repeats_nothing() {
    let words: Vec<String> = (0..30).map(|n| format!("word{n}")).collect();
    let words = words.join(" ");
    let Some((office, gate)) = half_shown(&words) else {
        return;
    };
    // The card is finished, taking the reaction away hangs, and the process dies before the delivery is marked.
    let unreact = "DELETE .*/om_1/reactions/";
    let hang = json!({"path": unreact, "times": 1, "hold": true});
    office.service.control("fault", &hang);
    gate.release();
    office.service.wait(&json!({"call": unreact}));
    let office = office.crash();
    office.service.wait(&json!({"call": unreact, "times": 2}));
    let log = office.service.log();
    assert_eq!(log["sent"].as_array().unwrap().len(), 1, "{}", log["sent"]);
    assert_eq!(card_texts(&log), [words]);
}

#[test]
fn an_answer_leaves_a_card_that_cannot_be_finished() {
    let words: Vec<String> = (0..30).map(|n| format!("word{n}")).collect();
    let words = words.join(" ");
    let Some((office, gate)) = half_shown(&words) else {
        return;
    };
    // For ever, as far as this test goes; messages go through.
    let down = json!({"path": "/cardkit/", "times": 1_000_000, "code": 1, "status": 503});
    office.service.control("fault", &down);
    gate.release();
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    let log = office.service.log();
    // One message, which shows the whole answer in the end.
    let sent = log["sent"].as_array().unwrap();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[1]["patched"], true);
    assert_eq!(sent[1]["message_id"], sent[0]["message_id"]);
    assert!(sent[1]["content"].as_str().unwrap().contains(&words));
}

#[test]
fn refused_cards_become_posts_and_refused_posts_texts() {
    let answers = [Answer::text("**one**"), Answer::text("**two**")];
    let Some(office) = Office::new(ModelServer::queue(answers)) else {
        return;
    };
    let refuse = |times: u32, code: u32| {
        let fault = json!({"path": "POST /open-apis/im/v1/messages$", "times": times, "code": code, "msg": "ErrCode: 11310"});
        office.service.control("fault", &fault);
    };
    refuse(1, 230_099);
    office.service.deliver(&text("om_1", "hi"));
    office.service.wait_sent(1);
    refuse(2, 230_099);
    office.service.deliver(&text("om_2", "hi"));
    assert_eq!(office.service.wait_sent(2), ["**one**", "**two**"]);
    let log = office.service.log();
    assert_eq!(log["sent"][0]["msg_type"], "post");
    assert_eq!(log["sent"][1]["msg_type"], "text");
}

#[test]
fn an_answer_that_is_not_shown_is_said_in_plain_words() {
    let n = 5;
    let answers = (0..n).map(|n| Answer::text(&format!("answer {n}")));
    let bot = json!({"allow_from": ["ou_1"], "done_emoji": "DONE"});
    let Some(office) = Office::with(ModelServer::queue(answers), bot) else {
        return;
    };
    // The code, how often it comes, and what people then read.
    let refusals = [
        (230_022, 1, "敏感词"),
        (230_028, 1, "数据防泄漏"),
        (230_001, 1, "错误码 230001"),
        (230_999, 1, "code 230999"),
    ];
    for (k, (code, times, _)) in refusals.iter().enumerate() {
        let fault = json!({"path": "POST /open-apis/im/v1/messages$", "times": times, "code": code, "msg": "no"});
        office.service.control("fault", &fault);
        let id = format!("om_{k}");
        office.service.deliver(&text(&id, "hi"));
        office
            .service
            .wait(&json!({"call": format!("DELETE .*/{id}/reactions/")}));
    }
    let said = office.service.wait_sent(refusals.len());
    for (said, (code, _, plain)) in said.iter().zip(refusals) {
        assert!(
            said.contains(plain) && said.contains("not show"),
            "{code}: {said}"
        );
        let log = office.gateway.process().stderr();
        assert!(log.has(&format!("failed: code {code}: no")));
    }
    // Where nothing can be said, nothing is tried, and the log tells what to do.
    let fault = json!({"path": "POST /open-apis/im/v1/messages$", "times": 1, "code": 230_002, "msg": "no"});
    office.service.control("fault", &fault);
    office.service.deliver(&text("om_last", "hi"));
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_last/reactions/"}));
    let end = office.service.log();
    assert_eq!(end["n_sent"], refusals.len());
    // Only that it was received was shown, not that it was done.
    let reactions = end["calls"].to_string();
    assert_eq!(
        reactions
            .matches("POST /open-apis/im/v1/messages/om_last/reactions")
            .count(),
        1
    );
    let log = office.gateway.process().stderr();
    assert!(log.has("failed: code 230002: no (the bot is not in this group: add it)"));
}

#[test]
fn tables_pictures_and_length_never_get_an_answer_refused() {
    let tables = "| a | b |\n|---|---|\n| 1 | 2 |\n\n".repeat(12);
    let code: String = (0..2500)
        .map(|n| format!("let value_{n} = \"{n}\"; // 注释\n"))
        .collect();
    let said = format!(
        "![x](https://x.example/y.png)\n\n{tables}\n```rust\n{code}```\n\nEnde <b>gut</b>."
    );
    let Some(office) = Office::new(ModelServer::queue([Answer::text(&said)])) else {
        return;
    };
    office.service.deliver(&text("om_1", "everything"));
    office
        .service
        .wait(&json!({"call": "DELETE .*/om_1/reactions/"}));
    let log = office.service.log();
    let sent = log["sent"].as_array().unwrap();
    assert!(sent.len() > 5, "{}", sent.len());
    let whole: String =
        office.service.wait_sent(sent.len()).join("\n") + &card_texts(&log).concat();
    for n in [0, 1250, 2499] {
        assert!(whole.contains(&format!("let value_{n} = ")), "{n}");
    }
    let forms: Vec<_> = sent
        .iter()
        .map(|one| one["msg_type"].as_str().unwrap())
        .collect();
    assert!(forms.iter().all(|form| *form == "interactive"), "{forms:?}");
    let keys: std::collections::HashSet<_> = sent
        .iter()
        .map(|one| one["uuid"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), sent.len(), "each piece has its own key");
}

#[test]
fn without_the_permission_for_cards_answers_come_whole() {
    let words: String = (0..20).map(|n| format!("**word{n}** ")).collect();
    let gate = Gate::new();
    let slow = Answer::text(words.trim_end()).held_after(5, &gate);
    let Some(office) = Office::new(ModelServer::queue([slow])) else {
        return;
    };
    office.service.control(
        "fault",
        &json!({"path": "POST .*/cardkit/", "times": 9, "code": 99991672, "msg": "no scope"}),
    );
    office.service.deliver(&text("om_1", "tell me"));
    office.service.wait(&json!({"call": "cardkit"}));
    gate.release();
    let sent = office.service.wait_sent(1);
    assert_eq!(sent, [words.trim_end()]);
    let calls = office.service.log()["calls"].to_string();
    assert_eq!(calls.matches("cardkit").count(), 1, "not asked again");
}

#[test]
fn the_chat_s_own_pace_is_kept_and_nothing_is_lost() {
    let n = 12;
    let Some(office) = Office::new(ModelServer::queue(
        (0..n).map(|n| Answer::text(&format!("a{n}"))),
    )) else {
        return;
    };
    office.service.control("config", &json!({"chat_qps": 5}));
    for k in 0..n {
        office.service.deliver(&text(&format!("om_{k}"), "hi"));
    }
    let sent = office.service.wait_sent(n);
    let expected: Vec<_> = (0..n).map(|n| format!("a{n}")).collect();
    assert_eq!(sent, expected);
}
