//! Measures frames of the terminal client, drawn in memory: `make bench`, or `cargo bench --bench frames -- [--quick]`.
//!
//! A program of its own because drawing happens in it: it is built with the release profile. Prints rows like `tests/bench/main.rs` does.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A program for developers.

#[path = "../long_dialog.rs"]
mod long_dialog;
#[path = "../row.rs"]
#[allow(dead_code)] // Shared with `tests/bench/main.rs`, which needs all of it.
mod row;

use std::time::Instant;

use long_dialog::{SESSION, dialog, established};
use picobot::client::stage::Stage;
use row::{Row, quantile};

const MESSAGES: usize = 10_000;
const COLUMNS: u16 = 120;
const ROWS: u16 = 40;

fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    println!("{}", row::HEAD);
    for row in frames(quick) {
        println!("{row}");
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// The time of frames.
fn frames(quick: bool) -> Vec<Row> {
    let loaded = dialog(MESSAGES);
    let began = Instant::now();
    let mut stage = Stage::new(COLUMNS, ROWS);
    stage.draw();
    let first = ms(began);
    stage.frame(&established());
    let began = Instant::now();
    stage.frame(&loaded);
    stage.draw();
    let opened = ms(began);
    assert!(stage.screen().contains("mkdir"), "{}", stage.screen());

    let n = if quick { 1_000 } else { 4_000 };
    let mut scrolls: Vec<f64> = (0..n)
        .map(|at| {
            let began = Instant::now();
            if at % 10 == 0 {
                stage.page_up();
            } else {
                stage.wheel(if at % 100 < 90 { -1 } else { 1 });
            }
            stage.draw();
            ms(began)
        })
        .collect();
    let (scroll_median, scroll_late) = (quantile(&mut scrolls, 0.5), quantile(&mut scrolls, 0.99));

    let mut resizes: Vec<f64> = (0..if quick { 10 } else { 40 })
        .map(|at| {
            let began = Instant::now();
            stage.resize(if at % 2 == 0 { 80 } else { COLUMNS }, ROWS);
            stage.draw();
            ms(began)
        })
        .collect();
    let resize = quantile(&mut resizes, 1.0);

    vec![
        Row::at_most("chat: first frame", first, "ms", 50.0),
        Row::at_most("chat: open 10,000 messages at the end", opened, "ms", 100.0),
        Row::at_most("chat: scrolling frame, median", scroll_median, "ms", 1.0),
        Row::at_most("chat: scrolling frame, p99", scroll_late, "ms", 8.0),
        Row::at_most(
            "chat: frame while 20,000 characters stream, p99",
            streaming(MIXED),
            "ms",
            8.0,
        ),
        Row::at_most("chat: the same, one list, p99", streaming(LIST), "ms", 8.0),
        Row::at_most(
            "chat: the same, one paragraph, p99",
            streaming(PARAGRAPH),
            "ms",
            8.0,
        ),
        Row::at_most("chat: resize, longest", resize, "ms", 50.0),
    ]
}

/// What answers are made of, as in JSON: blocks of all kinds, a list that never ends, a line that never ends.
const MIXED: &str = "## 计划\\n\\n先看一下目录里有什么,再按 **年份** 移动 all the files, one by one。\\n\\n1. 新建 `2023/`\\n2. 移动\\n\\n```sh\\nmkdir -p 2023 # 目录\\n```\\n\\n";
const LIST: &str =
    "- 先看一下目录里有什么,再按 **年份** 移动 all the files\\n  - one by one,`ls -l`\\n";
const PARAGRAPH: &str = "先看一下目录里有什么,再按年份移动 all the files, one by one。";

/// 200 tokens a second are 3.2 tokens a frame: every frame is drawn after so many, until the answer has 20,000 characters.
fn streaming(answer: &str) -> f64 {
    let mut stage = Stage::new(COLUMNS, ROWS);
    stage.frame(&established());
    stage.frame(&dialog(200));
    stage.frame(&format!(
        r#"{{"type":"turn_started","session_id":"{SESSION}","turn":1}}"#
    ));
    let mut times = Vec::new();
    let mut chars = 0;
    // Escapes of JSON stay whole.
    let letters: Vec<String> = answer
        .replace("\\n", "\n")
        .chars()
        .map(|c| {
            if c == '\n' {
                "\\n".to_owned()
            } else {
                c.to_string()
            }
        })
        .collect();
    for (at, token) in letters.chunks(3).cycle().enumerate() {
        chars += token.len();
        let began = Instant::now();
        let token = token.concat();
        stage.frame(&format!(
            r#"{{"type":"assistant_delta","session_id":"{SESSION}","content":"{token}"}}"#
        ));
        if at % 3 == 0 {
            stage.draw();
            times.push(ms(began));
        }
        if chars > 20_000 {
            break;
        }
    }
    quantile(&mut times, 0.99)
}
