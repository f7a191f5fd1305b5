//! Estimates against counts of a real tokenizer, and the learning of ratios.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::{MediaType, Native, Role, ToolCall, ToolResult};
use crate::providers::ModelSpec;

/// Texts of `tests/fixtures/tokens`; the counts come from the tokenizer named in `counts.json`.
const TEXTS: [(&str, &str); 8] = [
    (
        "chinese.txt",
        include_str!("../../../tests/fixtures/tokens/texts/chinese.txt"),
    ),
    (
        "emoji.txt",
        include_str!("../../../tests/fixtures/tokens/texts/emoji.txt"),
    ),
    (
        "english.txt",
        include_str!("../../../tests/fixtures/tokens/texts/english.txt"),
    ),
    (
        "json.txt",
        include_str!("../../../tests/fixtures/tokens/texts/json.txt"),
    ),
    (
        "logs.txt",
        include_str!("../../../tests/fixtures/tokens/texts/logs.txt"),
    ),
    (
        "mixed.txt",
        include_str!("../../../tests/fixtures/tokens/texts/mixed.txt"),
    ),
    (
        "rust.txt",
        include_str!("../../../tests/fixtures/tokens/texts/rust.txt"),
    ),
    (
        "rust_parser.txt",
        include_str!("../../../tests/fixtures/tokens/texts/rust_parser.txt"),
    ),
];

#[test]
fn estimates_lie_within_ten_percent() {
    let file = include_str!("../../../tests/fixtures/tokens/counts.json");
    let file: Value = serde_json::from_str(file).unwrap();
    assert_eq!(file["counts"].as_object().unwrap().len(), TEXTS.len());
    for (name, text) in TEXTS {
        let count = file["counts"][name].as_f64().unwrap();
        let estimate = estimate_text(text);
        let error = (estimate / count - 1.0) * 100.0;
        assert!(
            error.abs() <= 10.0,
            "{name}: {estimate} of {count}, {error:+.1} %"
        );
    }
}

#[track_caller]
fn check(text: &str, expected: f64) {
    let estimate = estimate_text(text);
    assert!(
        (estimate - expected).abs() < 1e-6,
        "{text:?}: {estimate}, not {expected}"
    );
}

#[test]
fn runs_are_counted_by_kind() {
    check("", 0.0);
    check("a", 1.0);
    check("internationalization", 20.0 / 6.5);
    check("the cat", 2.0);
    check("1234567", 3.0);
    check("a  b", 2.7);
    check("a\tb", 2.7);
    check("a\r\n\nb", 2.4);
    check("(\"x\")", 2.0 * 1.1 + 1.0);
    check("a_b", 2.4);
    check("你好", 1.44);
    check("。「", 1.6);
    check("→", 1.3);
    check("🚀", 2.2);
    check("é", 0.7);
    check("да", 0.9);
    check(&"-".repeat(160), 11.0);
    check(&"─".repeat(160), 11.0);
    check("---|---", 0.55 * 7.0);
}

#[test]
fn data_is_told_from_words() {
    let base64 = "aGVsbG8gd29ybGQgMTIzNDU2Nzg5MCBBQkNERUZHSElKS0xNTk9Q";
    check(base64, base64.len() as f64 / 1.45);
    let words = "some-long-name-with-lower-case-words-only-in-it-and-no-digits";
    assert!(estimate_text(words) < 25.0);
    check(&"ab".repeat(101), 202.0 / 1.45);
    // Looked at once, not again at each of its words.
    let dashed = "ab-".repeat(60);
    check(&dashed, 60.0 * 1.8);
}

fn request<'a>(
    model: &'a ModelSpec,
    tools: &'a [ToolSpec],
    messages: &'a [Message],
) -> Request<'a> {
    Request {
        model,
        system: "system",
        tools,
        messages,
    }
}

fn model() -> ModelSpec {
    ModelSpec {
        model_id: "m".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    }
}

#[test]
fn a_request_is_the_sum_of_its_parts() {
    let model = model();
    assert_eq!(estimate_request(&request(&model, &[], &[])), 3 + 4 + 1);
    let call = ToolCall {
        id: "ignored".to_owned(),
        name: "tool".to_owned(),
        arguments: "{}".to_owned(),
    };
    let assistant = Message {
        role: Role::Assistant,
        parts: vec![
            Part::Text("你好".to_owned()),
            Part::Note("not sent".to_owned()),
            Part::ToolCall(call),
        ],
        native: Some(Native {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            data: "{}".to_owned(),
        }),
    };
    let result = ToolResult {
        call_id: "ignored".to_owned(),
        content: "done".to_owned(),
        is_error: false,
        images: Vec::new(),
    };
    let messages = [assistant, Message::results([result])];
    // 8 as above, then 4 + 1.44 + 8 + 1 + 1.1 and 4 + 8 + 1.
    assert_eq!(estimate_request(&request(&model, &[], &messages)), 37);
    let picture = Image {
        digest: "d".to_owned(),
        media_type: MediaType::Png,
        width: 750,
        height: 100,
        name: "a".to_owned(),
        data: [1].into(),
    };
    let mut showing = messages.clone();
    let Part::ToolResult(result) = &mut showing[1].parts[0] else {
        unreachable!()
    };
    result.images = vec![picture.clone(), picture];
    assert_eq!(estimate_request(&request(&model, &[], &showing)), 237);
    let tool = ToolSpec {
        name: "tool".to_owned(),
        description: "does".to_owned(),
        parameters: json!({"type": "object", "properties": {}}),
    };
    let with_tool = estimate_request(&request(&model, &[tool], &messages));
    assert!((48..60).contains(&with_tool), "{with_tool}");
}

#[test]
fn images_count_by_size_up_to_a_limit() {
    assert_eq!(estimate_image(750, 100), 100);
    assert_eq!(estimate_image(1, 1), 1);
    assert_eq!(estimate_image(u32::MAX, u32::MAX), 1_600);
}

const URL: &str = "https://example.org/v1";

fn sample(estimated: u32, reported: u64) -> Sample {
    Sample {
        estimated,
        reported,
        has_images: false,
    }
}

#[test]
fn ratios_are_learned_per_service_and_model() {
    let mut calibration = Calibration::new();
    assert_eq!(calibration.ratio(URL, "m"), 1.1);
    calibration.observe(URL, "m", sample(1_000, 1_500));
    assert!((calibration.ratio(URL, "m") - 1.22).abs() < 1e-9);
    assert_eq!(calibration.ratio(URL, "other"), 1.1);
    assert_eq!(calibration.ratio("https://example.com", "m"), 1.1);
    for _ in 0..40 {
        calibration.observe(URL, "m", sample(1_000, 1_500));
    }
    assert!((calibration.ratio(URL, "m") - 1.5).abs() < 1e-3);
    assert_eq!(calibration.predict(URL, "m", 100, None), 150);
}

#[test]
fn useless_samples_are_ignored_and_odd_ones_bounded() {
    let mut calibration = Calibration::new();
    for useless in [
        sample(299, 900),
        sample(900, 299),
        sample(0, 0),
        sample(900, 0),
        Sample {
            has_images: true,
            ..sample(1_000, 2_000)
        },
    ] {
        calibration.observe(URL, "m", useless);
        assert_eq!(calibration.ratio(URL, "m"), 1.1, "{useless:?}");
    }
    for _ in 0..60 {
        calibration.observe(URL, "high", sample(300, u64::MAX));
        calibration.observe(URL, "low", sample(u32::MAX, 300));
    }
    assert!((calibration.ratio(URL, "high") - 2.5).abs() < 1e-6);
    assert!((calibration.ratio(URL, "low") - 0.6).abs() < 1e-6);
}

#[test]
fn the_last_report_stands_for_the_old_part() {
    let calibration = Calibration::new();
    let last = Some(sample(1_000, 1_800));
    assert_eq!(calibration.predict(URL, "m", 1_100, last), 1_910);
    // History was cut: the report says nothing about what is left.
    assert_eq!(calibration.predict(URL, "m", 500, last), 550);
    assert_eq!(
        calibration.predict(URL, "m", 1_000, Some(sample(900, 0))),
        1_100
    );
    let huge = Some(sample(0, u64::MAX));
    assert_eq!(calibration.predict(URL, "m", u32::MAX, huge), u32::MAX);
}

proptest! {
    #[test]
    fn any_text_has_a_sensible_estimate(text in "(\\PC|[a-zA-Z0-9+/=_-]{0,60}|[ \n\t]){0,40}") {
        let estimate = estimate_text(&text);
        let n_chars = text.chars().count() as f64;
        prop_assert!(estimate >= 0.0 && estimate <= 2.2 * n_chars, "{estimate} of {n_chars}");
        // Two texts behind each other hardly count differently than alone.
        let twice = estimate_text(&format!("{text}\n{text}"));
        prop_assert!(twice <= 2.0 * estimate + 0.35 * n_chars + 5.0, "{twice} of {estimate}");
    }
}
