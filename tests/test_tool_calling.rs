//! Live suite: real models run real tools. Ignored by default; needs `tests/test.env`.
//!
//! What a tool did is checked on disk, not by the model's words alone.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are test code.

#[path = "live/mod.rs"]
mod live;

use std::fs;

use live::{Live, services};

#[test]
#[ignore = "needs keys in tests/test.env"]
fn calculates() {
    for service in services() {
        let answer = Live::new(&service)
            .ask("Use the calculator tool to compute 48317 * 90211 and tell me the exact result.");
        let digits: String = answer.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.contains("4358724887"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn writes_then_edits_a_file() {
    for service in services() {
        let live = Live::new(&service);
        live.ask("Write a file colour.txt that holds exactly the word: crimson");
        let written = fs::read_to_string(live.file("colour.txt")).unwrap();
        assert_eq!(written.trim(), "crimson");
        live.ask("In colour.txt replace the word crimson with azure.");
        let edited = fs::read_to_string(live.file("colour.txt")).unwrap();
        assert_eq!(edited.trim(), "azure");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn reads_two_files_in_one_turn() {
    for service in services() {
        let live = Live::new(&service);
        fs::write(live.file("a.txt"), "the first word is obelisk\n").unwrap();
        fs::write(live.file("b.txt"), "第二个词是 麒麟\n").unwrap();
        let answer =
            live.ask("Read a.txt and b.txt (in parallel) and tell me the two words they name.");
        assert!(answer.to_lowercase().contains("obelisk"), "{answer:?}");
        assert!(answer.contains("麒麟"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn recovers_from_a_failing_tool() {
    for service in services() {
        let live = Live::new(&service);
        fs::write(live.file("right.txt"), "the code is 7319\n").unwrap();
        let answer = live.ask(
            "Read the file wrong.txt. If that fails, read right.txt instead. Tell me the code you found.",
        );
        assert!(answer.contains("7319"), "{answer:?}");
    }
}
