//! Tables of slips that models make, and random schemas and arguments.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::check_arguments;
use crate::chat::ToolCall;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 10},
            "ratio": {"type": "number"},
            "deep": {"type": "boolean"},
            "mode": {"type": "string", "enum": ["fast", "slow"]},
            "names": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "edits": {"type": "array", "items": {
                "type": "object",
                "properties": {"old": {"type": "string"}, "count": {"type": "integer"}},
                "required": ["old"]
            }},
            "options": {"type": "object", "properties": {"depth": {"type": "integer"}}},
            "any": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
        },
        "required": ["path"]
    })
}

fn check(arguments: &str, expected: Value) {
    assert_eq!(
        check_arguments(&schema(), arguments),
        Ok(expected),
        "{arguments}"
    );
}

fn fault(arguments: &str, expected: &str) {
    let error = check_arguments(&schema(), arguments).unwrap_err();
    assert!(error.contains(expected), "{arguments}: {error}");
}

#[test]
fn right_arguments_pass_unchanged() {
    let all = json!({
        "path": "a", "limit": 3, "ratio": 0.5, "deep": false, "mode": "slow", "names": ["x"],
        "edits": [{"old": "y", "count": 1}], "options": {"depth": 2}, "any": [1, 2], "unknown": {"kept": true}
    });
    check(&all.to_string(), all.clone());
}

#[test]
fn what_may_be_null_may_be_left_out() {
    let schema = json!({
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"]},
            "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "c": {"type": "string"}
        },
        "required": ["a", "b", "c"]
    });
    assert_eq!(
        check_arguments(&schema, r#"{"c": "x"}"#),
        Ok(json!({"c": "x", "a": null, "b": null}))
    );
    let error = check_arguments(&schema, "{}").unwrap_err();
    assert!(
        error.contains("c is missing") && !error.contains("a is"),
        "{error}"
    );
}

#[test]
fn slips_with_one_meaning_are_put_right() {
    check(r#"{"path": 5}"#, json!({"path": "5"}));
    check(r#"{"path": true}"#, json!({"path": "true"}));
    check(
        r#"{"path": "a", "limit": "5"}"#,
        json!({"path": "a", "limit": 5}),
    );
    check(
        r#"{"path": "a", "limit": 5.0}"#,
        json!({"path": "a", "limit": 5}),
    );
    check(
        r#"{"path": "a", "limit": " 5.0 "}"#,
        json!({"path": "a", "limit": 5}),
    );
    check(
        r#"{"path": "a", "ratio": "-1.5e3"}"#,
        json!({"path": "a", "ratio": -1500.0}),
    );
    check(
        r#"{"path": "a", "deep": "True"}"#,
        json!({"path": "a", "deep": true}),
    );
    check(
        r#"{"path": "a", "mode": " FAST"}"#,
        json!({"path": "a", "mode": "fast"}),
    );
    check(
        r#"{"path": "a", "names": "x"}"#,
        json!({"path": "a", "names": ["x"]}),
    );
    check(
        r#"{"path": "a", "names": "[\"x\", 2]"}"#,
        json!({"path": "a", "names": ["x", "2"]}),
    );
    check(
        r#"{"path": "a", "edits": {"old": 1}}"#,
        json!({"path": "a", "edits": [{"old": "1"}]}),
    );
    check(
        r#"{"path": "a", "options": "{\"depth\": \"3\"}"}"#,
        json!({"path": "a", "options": {"depth": 3}}),
    );
    check(r#"{"path": "a", "limit": null}"#, json!({"path": "a"}));
    check(
        r#"{"path": "a", "any": "7"}"#,
        json!({"path": "a", "any": 7}),
    );
    check(r#""{\"path\": \"a\"}""#, json!({"path": "a"}));
}

#[test]
fn no_arguments_are_an_empty_object() {
    let schema = json!({"type": "object", "properties": {}});
    for raw in ["", "  \n", "{}", "null"] {
        assert_eq!(check_arguments(&schema, raw), Ok(json!({})), "{raw:?}");
    }
}

#[test]
fn faults_are_named_with_what_is_expected() {
    fault("{}", "path is missing (a string)");
    fault(r#"{"path": null}"#, "path must be a string, not null");
    fault(r#"{"path": ["a"]}"#, "path must be a string, not a list");
    fault(
        r#"{"path": "a", "limit": "many"}"#,
        r#"limit must be a whole number from 1 to 10, not "many""#,
    );
    fault(
        r#"{"path": "a", "limit": 5.5}"#,
        "limit must be a whole number from 1 to 10, not 5.5",
    );
    fault(
        r#"{"path": "a", "limit": 11}"#,
        "limit must be a whole number from 1 to 10, not 11",
    );
    fault(
        r#"{"path": "a", "deep": 1}"#,
        "deep must be true or false, not 1",
    );
    fault(
        r#"{"path": "a", "mode": "quick"}"#,
        r#"mode must be one of "fast", "slow", not "quick""#,
    );
    fault(
        r#"{"path": "a", "names": [1, 2, 3, 4]}"#,
        "names must be a list of at most 3 long, not 4",
    );
    fault(
        r#"{"path": "a", "names": [{}]}"#,
        "names[0] must be a string, not an object",
    );
    fault(
        r#"{"path": "a", "edits": [{"old": "x"}, {"count": "y"}]}"#,
        r#"edits[1].count must be a whole number, not "y""#,
    );
    fault(
        r#"{"path": "a", "edits": [{"count": 1}]}"#,
        "edits[0].old is missing (a string)",
    );
    fault(
        r#"{"path": "a", "any": "x"}"#,
        r#"any must be a whole number or a list, not "x""#,
    );
    fault(r#"{"limit": 0, "deep": "no"}"#, "limit must be");
    fault(r#"{"limit": 0, "deep": "no"}"#, "deep must be");
    fault(r#"{"limit": 0, "deep": "no"}"#, "path is missing");
    fault("{}", r#"Expected {"path": string, "limit"?: integer"#);
}

#[test]
fn a_mistyped_name_is_recognised_when_one_is_missing() {
    fault(
        r#"{"file_path": "a"}"#,
        r#"path is missing (a string; you gave "file_path", which is not known)"#,
    );
    fault(r#"{"Path": "a"}"#, r#"you gave "Path""#);
    check(
        r#"{"path": "a", "pth": "b"}"#,
        json!({"path": "a", "pth": "b"}),
    );
}

#[test]
fn text_that_is_no_object_is_refused_in_words() {
    fault("[1]", "must be one JSON object, not a list");
    fault("5", "not a number");
    fault("\"text\"", "not a string");
    fault("{\"path\": \"a", "not complete JSON");
    fault("{path: a}", "not valid JSON");
    fault(
        &format!(
            "{{\"path\": {}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        "not valid JSON",
    );
    fault(
        &format!("{{\"path\": \"{}\"}}", "x".repeat(2_000_000)),
        "several smaller calls",
    );
}

#[test]
fn long_wrong_values_are_quoted_short() {
    let error = check_arguments(
        &schema(),
        &json!({"path": "a", "limit": "x".repeat(10_000)}).to_string(),
    )
    .unwrap_err();
    assert!(error.chars().count() < 1_000, "{error}");
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let schema = json!({
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/loop"}, "y": {"$ref": "#/$defs/self"}, "z": {"$ref": "#/$defs/tree"}},
        "$defs": {
            "loop": {"anyOf": [{"$ref": "#/$defs/loop"}, {"$ref": "#/$defs/loop"}, {"type": "null"}]},
            "self": {"$ref": "#/$defs/self"},
            "tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "n": {"type": "integer"}}, "required": ["n"]}
        }
    });
    assert!(check_arguments(&schema, r#"{"x": 1, "y": 2}"#).is_ok());
    let good = json!({"z": {"left": {"left": {"n": 1}, "n": 2}, "n": 3}});
    assert_eq!(check_arguments(&schema, &good.to_string()), Ok(good));
    let error = check_arguments(&schema, r#"{"z": {"left": {}, "n": 3}}"#).unwrap_err();
    assert!(error.contains("z.left.n is missing"), "{error}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6f64..1e6).prop_map(|x| Value::from((x * 64.0).round() / 64.0)),
        "\\PC{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["5", "true", "[1]", "{}", "string", "object", "#/x"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "anyOf",
        "allOf",
        "$ref",
        "minimum",
        "maxItems",
        "a",
        "b",
    ])
    .prop_map(str::to_owned)
}

/// A sensible schema and a value that fits it.
fn fitting() -> impl Strategy<Value = (Value, Value)> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| (json!({"type": "integer"}), json!(n))),
        any::<bool>().prop_map(|b| (json!({"type": "boolean"}), json!(b))),
        "\\PC{0,8}".prop_map(|s| (json!({"type": "string"}), json!(s))),
        (-1_000_000i32..1_000_000)
            .prop_map(|x| (json!({"type": "number"}), json!(f64::from(x) / 64.0))),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0usize..4).prop_map(|((schema, value), count)| (
                json!({"type": "array", "items": schema}),
                json!(vec![value; count])
            )),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|members| {
                let names: Vec<_> = members.keys().cloned().collect();
                let (schemas, values): (Vec<_>, Vec<_>) = members
                    .into_iter()
                    .map(|(name, (schema, value))| ((name.clone(), schema), (name, value)))
                    .unzip();
                let schemas = Value::Object(schemas.into_iter().collect());
                (
                    json!({"type": "object", "properties": schemas, "required": names}),
                    Value::Object(values.into_iter().collect()),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(schema in any_json(), arguments in any_json(), raw in "\\PC{0,20}") {
        let _ = check_arguments(&schema, &arguments.to_string());
        let _ = check_arguments(&schema, &raw);
    }

    #[test]
    fn fitting_arguments_pass_unchanged((schema, value) in fitting()) {
        let outer = json!({"type": "object", "properties": {"v": schema}, "required": ["v"]});
        let arguments = json!({"v": value});
        prop_assert_eq!(check_arguments(&outer, &arguments.to_string()), Ok(arguments));
    }

    #[test]
    fn what_passed_once_passes_again_unchanged(arguments in any_json()) {
        let arguments = json!({"path": "a", "edits": arguments.clone(), "names": arguments});
        if let Ok(fitted) = check_arguments(&schema(), &arguments.to_string()) {
            prop_assert_eq!(check_arguments(&schema(), &fitted.to_string()), Ok(fitted));
        }
    }
}

#[test]
fn calls_without_their_arguments_are_told_why_they_did_not_run() {
    for (stands_for_them, told) in [
        (ToolCall::TOO_LONG, "longer than 256 KiB"),
        (ToolCall::CUT_OFF, "your output limit cut the call off"),
    ] {
        let fault = check_arguments(&json!({"type": "object"}), stands_for_them).unwrap_err();
        assert!(fault.starts_with("not run: "), "{fault}");
        assert!(fault.contains(told), "{fault}");
    }
}
