//! Live suite: plain answers, history and languages from real services. Ignored by default; needs `tests/test.env`.
//!
//! Tools are in `test_tool_calling`, unusual requests in `test_request_format`.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are test code.

#[path = "live/mod.rs"]
mod live;

use live::{Live, services};

#[test]
#[ignore = "needs keys in tests/test.env"]
fn answers_a_plain_question() {
    for service in services() {
        let answer = Live::new(&service).ask("Answer with the single word: pong");
        assert!(answer.to_lowercase().contains("pong"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn answers_in_chinese() {
    for service in services() {
        let answer = Live::new(&service).ask("请只用中文回答：中国的首都是哪座城市？");
        assert!(answer.contains("北京"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn remembers_the_dialog_across_processes() {
    for service in services() {
        let live = Live::new(&service);
        live.ask("My parrot is called Zephyrine. Answer with: noted");
        let answer = live.ask("What is my parrot called? Answer with the name only.");
        assert!(answer.contains("Zephyrine"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn reports_token_counts() {
    for service in services() {
        let reply = Live::new(&service).send("Say hello.");
        let usage = reply["usage"].to_string();
        assert!(usage.contains(|c: char| c.is_ascii_digit()), "{reply}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn a_wrong_key_is_told_in_a_sentence() {
    for service in services() {
        let said = Live::new(&service.with_key("wrong-key-0123456789")).fail("Say hello.");
        assert!(said.contains("refused the key or the account"), "{said}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn an_unknown_model_is_told_in_a_sentence() {
    for service in services() {
        let said = Live::new(&service.with_model("no-such-model-0")).fail("Say hello.");
        assert!(said.contains("The model service"), "{said}");
        assert!(
            said.contains("no-such-model-0") || said.contains("model"),
            "{said}"
        );
    }
}
