//! The schemas that models see, judged by a JSON Schema implementation: all are valid under draft 2020-12, which services check.

use picobot::providers::clean_schema;
use picobot::tools::{WebSettings, builtin};
use serde_json::{Value, json};

use crate::sdk::{python, run};

const SERVERS: [&str; 4] = [
    include_str!("../fixtures/schemas/filesystem.json"),
    include_str!("../fixtures/schemas/github.json"),
    include_str!("../fixtures/schemas/notion.json"),
    include_str!("../fixtures/schemas/playwright.json"),
];

/// Schemas that are wrong or cruel in every way that servers have shown, and some more.
fn hostile() -> Vec<Value> {
    vec![
        json!(true),
        json!(null),
        json!({"type": "banana", "properties": [], "required": {}, "enum": 5}),
        json!({"properties": {"": {}, "a b": {"type": ["string", "integer"]}, "p": {"enum": [1, null, {}, "x"]}}}),
        json!({"properties": {"n": {"minimum": "1", "exclusiveMinimum": true, "multipleOf": 0, "maxItems": -1}}}),
        json!({"properties": {"l": {"type": "array", "items": [{}, false], "minItems": 1.5}}, "required": ["l", "l", 1]}),
        json!({"$ref": "#", "anyOf": [{"$ref": "#"}, {"pattern": "["}]}),
        json!({"properties": {"s": {"pattern": "(", "$ref": "#/nowhere", "$id": "::", "$anchor": "1"}}}),
    ]
}

#[test]
fn cleaned_schemas_are_valid() {
    let Some(python) = python() else { return };
    let servers = SERVERS.into_iter().flat_map(|text| {
        let tools: Vec<Value> = serde_json::from_str(text).unwrap();
        tools.into_iter().map(|tool| tool["inputSchema"].clone())
    });
    let own = builtin(None, WebSettings::default())
        .into_iter()
        .map(|tool| tool.parameters());
    let schemas: Vec<Value> = servers.chain(own).chain(hostile()).collect();
    let lines: String = schemas
        .iter()
        .map(|schema| format!("{}\n", clean_schema(schema).schema))
        .collect();
    let (valid, text) = judge(&python, &lines);
    let all = format!("{} schemas checked, 0 refused", schemas.len());
    assert!(valid && text.contains(&all), "{text}");
}

#[test]
fn the_judge_refuses_what_is_wrong() {
    let Some(python) = python() else { return };
    let wrong = [
        json!({"type": "banana"}),
        json!({"type": "object", "properties": {"p": {"required": true}}}),
        json!({"type": "array", "items": [{"type": "string"}]}),
    ];
    let lines: String = wrong.iter().map(|schema| format!("{schema}\n")).collect();
    let (valid, text) = judge(&python, &lines);
    assert!(
        !valid && text.contains("3 schemas checked, 3 refused"),
        "{text}"
    );
}

fn judge(python: &str, lines: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schemas.jsonl");
    std::fs::write(&file, lines).unwrap();
    run(python, "check_schemas.py", &[file.to_str().unwrap()])
}
