//! Checks the rules on a finished schema, written without the code that makes it.

use serde_json::{Map, Value};

/// Keys that may stand beside each type.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("string", &["type", "description", "enum"]),
    ("integer", &["type", "description", "minimum", "maximum"]),
    ("number", &["type", "description", "minimum", "maximum"]),
    ("boolean", &["type", "description"]),
    (
        "array",
        &["type", "description", "items", "minItems", "maxItems"],
    ),
    ("object", &["type", "description", "properties", "required"]),
];

/// Lists every rule that a cleaned schema breaks.
pub(super) fn violations(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if schema["type"] != "object" {
        found.push("the root is no object".to_owned());
    }
    if !schema["properties"].is_object() {
        found.push("the root has no properties".to_owned());
    }
    let size = schema.to_string().len();
    if size > 300_000 {
        found.push(format!("{size} bytes"));
    }
    check(schema, "", 0, &mut found);
    found
}

fn check(schema: &Value, at: &str, level: usize, found: &mut Vec<String>) {
    let Some(object) = schema.as_object() else {
        return found.push(format!("{at}: no object"));
    };
    let kind = object.get("type").and_then(Value::as_str);
    let Some((kind, allowed)) = ALLOWED.iter().find(|(name, _)| Some(*name) == kind) else {
        return found.push(format!("{at}: type {kind:?}"));
    };
    for key in object.keys() {
        if !allowed.contains(&key.as_str()) {
            found.push(format!("{at}: {key} beside {kind}"));
        }
    }
    if let Some(description) = object.get("description") {
        let n_chars = description.as_str().map_or(0, |text| text.chars().count());
        if !(1..=1024).contains(&n_chars) {
            found.push(format!("{at}: description of {n_chars} characters"));
        }
    }
    if let Some(choices) = object.get("enum") {
        check_enum(choices, at, found);
    }
    check_bounds(object, at, found);
    let has_inner = object.contains_key("items") || object.contains_key("properties");
    if has_inner && level > 10 {
        found.push(format!("{at}: level {level}"));
    }
    if *kind == "array" {
        check(&schema["items"], &format!("{at}/items"), level + 1, found);
    }
    if let Some(properties) = object.get("properties") {
        check_members(properties, object.get("required"), at, level, found);
    } else if object.contains_key("required") {
        found.push(format!("{at}: required without properties"));
    }
}

fn check_enum(choices: &Value, at: &str, found: &mut Vec<String>) {
    let choices = choices.as_array().cloned().unwrap_or_default();
    let texts: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
    let mut unique = texts.clone();
    unique.sort_unstable();
    unique.dedup();
    if choices.is_empty()
        || texts.len() < choices.len()
        || unique.len() < texts.len()
        || texts.contains(&"")
    {
        found.push(format!("{at}: enum {choices:?}"));
    }
}

fn check_bounds(object: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (least, most) in [("minimum", "maximum"), ("minItems", "maxItems")] {
        let bound = |key: &str| object.get(key).map(|value| value.as_f64());
        for key in [least, most] {
            if bound(key) == Some(None) {
                found.push(format!("{at}: {key} is no number"));
            }
        }
        if let (Some(Some(least)), Some(Some(most))) = (bound(least), bound(most))
            && least > most
        {
            found.push(format!("{at}: {least} > {most}"));
        }
    }
}

fn check_members(
    properties: &Value,
    required: Option<&Value>,
    at: &str,
    level: usize,
    found: &mut Vec<String>,
) {
    let Some(properties) = properties.as_object() else {
        return found.push(format!("{at}: properties are no object"));
    };
    for (name, schema) in properties {
        let is_fine = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !is_fine {
            found.push(format!("{at}: name {name:?}"));
        }
        let at = format!("{at}/properties/{name}");
        check(schema, &at, level + 1, found);
    }
    let Some(required) = required else { return };
    let names: Vec<&str> = required
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    if names.is_empty() || unique.len() < names.len() {
        found.push(format!("{at}: required {required}"));
    }
    for name in names {
        if !properties.contains_key(name) {
            found.push(format!("{at}: required {name} is unknown"));
        }
    }
}

#[test]
fn the_checker_finds_every_kind_of_fault() {
    use serde_json::json;
    let inside = |schema: Value| json!({"type": "object", "properties": {"p": schema}});
    let mut deep = json!({"type": "string"});
    for _ in 0..12 {
        deep = json!({"type": "array", "items": deep});
    }
    for bad in [
        json!({"type": "object"}),
        json!({"type": "string", "properties": {}}),
        json!({"type": "object", "properties": {}, "required": []}),
        json!({"type": "object", "properties": {}, "required": ["x"]}),
        json!({"type": "object", "properties": {"a b": {"type": "string"}}}),
        json!({"type": "object", "properties": {"": {"type": "string"}}}),
        inside(json!({})),
        inside(json!(true)),
        inside(json!({"type": ["string", "null"]})),
        inside(json!({"type": "array"})),
        inside(json!({"type": "array", "items": []})),
        inside(json!({"type": "string", "format": "uri"})),
        inside(json!({"type": "string", "enum": []})),
        inside(json!({"type": "string", "enum": ["a", "a"]})),
        inside(json!({"type": "string", "enum": [1]})),
        inside(json!({"type": "integer", "enum": [1]})),
        inside(json!({"type": "integer", "minimum": true})),
        inside(json!({"type": "integer", "minimum": 2, "maximum": 1})),
        inside(json!({"type": "string", "description": ""})),
        inside(json!({"type": "string", "description": "x".repeat(1025)})),
        inside(deep),
    ] {
        assert!(!violations(&bad).is_empty(), "{bad}");
    }
    let good = inside(json!({"type": "array", "items": {"type": "integer", "minimum": 1}}));
    assert_eq!(violations(&good), [""; 0]);
}
