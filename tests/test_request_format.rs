//! Live suite: histories of unusual shape are accepted by real services. Ignored by default; needs `tests/test.env`.
//!
//! Each check ends with a further turn: a service refuses a history it finds malformed only when it is sent again.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // Helpers of tests are test code.

#[path = "live/mod.rs"]
mod live;

use std::fs;

use live::{Live, services};

/// Runs the prompts in one dialog, then asks for a word to prove that the whole history was accepted.
fn check(prepare: impl Fn(&Live), prompts: &[&str]) {
    for service in services() {
        let live = Live::new(&service);
        prepare(&live);
        for prompt in prompts {
            live.ask(prompt);
        }
        let answer = live.ask("Answer with the single word: accepted");
        assert!(answer.to_lowercase().contains("accepted"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn empty_and_odd_tool_results() {
    check(
        |live| {
            fs::write(live.file("empty.txt"), "").unwrap();
            fs::write(
                live.file("odd.txt"),
                "tab\t\"quote\" \\ \u{1b}[31m 零宽\u{200b} 🦀 \u{feff}\r\n",
            )
            .unwrap();
        },
        &["Read empty.txt, then odd.txt, and describe both in a sentence."],
    );
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn failing_and_parallel_calls_in_history() {
    check(
        |_| {},
        &[
            "In one step, read missing-1.txt, read missing-2.txt and compute 2+2. Then say which of them worked.",
        ],
    );
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn white_space_and_wide_text() {
    check(
        |_| {},
        &[
            "  \n\tAnswer with one dot.\n\n   ",
            "只回一个句号。　　",
            "Answer with one emoji only.",
        ],
    );
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn several_rounds_of_tools() {
    check(
        |_| {},
        &[
            "Compute 3*7 with the calculator, then multiply that result by 11 in a second call, then that by 13 in a third.",
            "Write the last result to result.txt, then read the file back.",
        ],
    );
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn a_dialog_moves_between_the_services() {
    let services = services();
    let mut live = Live::new(&services[0]);
    // There and back, twice: each service gets histories that the other one made, and then its own again.
    for round in 0..2 {
        for service in &services {
            live.use_service(service);
            live.ask("Use the calculator tool to compute 417 * 23.");
            let answer = live.ask("Answer with the single word: accepted");
            assert!(
                answer.to_lowercase().contains("accepted"),
                "{round}: {answer:?}"
            );
        }
    }
}

/// Writes a picture of one colour.
fn paint(live: &Live, name: &str, colour: [u8; 3]) -> String {
    let path = live.file(name);
    let picture = image::RgbImage::from_pixel(64, 64, image::Rgb(colour));
    picture.save(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn images_of_a_person_and_of_a_tool() {
    for service in services() {
        if !service.images {
            eprintln!("left out: the model takes no images");
            continue;
        }
        let live = Live::new(&service);
        let red = paint(&live, "first.png", [230, 10, 10]);
        let answer = live.ask_with(
            &["--file", &red],
            "Which colour is this picture? Answer with one English word.",
        );
        assert!(answer.to_lowercase().contains("red"), "{answer:?}");
        paint(&live, "second.png", [10, 10, 230]);
        let answer = live.ask(
            "Read second.png with file_read. Which colour is that one? Answer with one English word.",
        );
        assert!(answer.to_lowercase().contains("blue"), "{answer:?}");
        // Both are in the history now.
        let answer = live.ask("Answer with the single word: accepted");
        assert!(answer.to_lowercase().contains("accepted"), "{answer:?}");
    }
}

#[test]
#[ignore = "needs keys in tests/test.env"]
fn calls_that_the_tool_refuses() {
    check(
        |_| {},
        &[
            "Call the calculator with the argument expression set to the empty text, then with 1/0. Say what came of it.",
        ],
    );
}
