//! Every rule in tables: what stands in a schema, what becomes of it, what is reported.

use serde_json::{Value, json};

use super::super::clean_description;
use super::{clean, clean_property};

/// Checks what becomes of a required property, and the end of every reported loss.
#[track_caller]
fn check(schema: Value, expected: Value, losses: &[&str]) {
    check_with(schema, json!({}), expected, losses);
}

#[track_caller]
fn check_with(schema: Value, definitions: Value, expected: Value, losses: &[&str]) {
    let (property, is_required, found) = clean_property(schema.clone(), definitions);
    assert_eq!(property, Some(expected), "{schema}");
    assert!(is_required, "{schema}");
    check_losses(&schema, &found, losses);
}

/// The same for one that `null` or nothing may stand for.
#[track_caller]
fn check_optional(schema: Value, expected: Value, losses: &[&str]) {
    let (property, is_required, found) = clean_property(schema.clone(), json!({}));
    assert_eq!(property, Some(expected), "{schema}");
    assert!(!is_required, "{schema}");
    check_losses(&schema, &found, losses);
}

#[track_caller]
fn check_losses(schema: &Value, found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{schema}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

#[test]
fn references_are_put_in_place() {
    let defs = json!({
        "Size": {"type": "integer", "minimum": 1, "description": "inner"},
        "Deep": {"$ref": "#/$defs/Size"},
        "a/b c": {"type": "boolean"},
        "Named": {"$anchor": "named", "type": "number"},
        "Base": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
    });
    let size = json!({"type": "integer", "description": "inner", "minimum": 1});
    check_with(json!({"$ref": "#/$defs/Deep"}), defs.clone(), size, &[]);
    check_with(
        json!({"$ref": "#/$defs/Size", "description": "outer", "maximum": 9}),
        defs.clone(),
        json!({"type": "integer", "description": "outer", "minimum": 1, "maximum": 9}),
        &[],
    );
    check_with(
        json!({"$ref": "#/%24defs/a~1b%20c"}),
        defs.clone(),
        json!({"type": "boolean"}),
        &[],
    );
    check_with(
        json!({"$ref": "#named"}),
        defs.clone(),
        json!({"type": "number"}),
        &[],
    );
    check_with(
        json!({"$ref": "#/$defs/Base", "properties": {"y": {"type": "string"}}, "required": ["y"]}),
        defs,
        json!({"type": "object", "properties": {"y": {"type": "string"}, "x": {"type": "string"}}, "required": ["y", "x"]}),
        &[],
    );
    for nowhere in [
        json!("#/$defs/None"),
        json!("https://example.com/x.json"),
        json!("#/"),
        json!("%"),
        json!(7),
    ] {
        check(
            json!({"$ref": nowhere, "description": "d"}),
            json!({"type": "object", "description": "d"}),
            &["/properties/p/$ref: reference leads nowhere"],
        );
    }
}

#[test]
fn definitions_of_older_drafts_are_found() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "http://example.com/tool",
        "definitions": {"Id": {"type": "string"}},
        "properties": {
            "id": {"$ref": "#/definitions/Id"},
            "age": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
            "old": {"type": "string", "required": true}
        }
    });
    let cleaned = clean(&schema);
    assert_eq!(
        cleaned.schema,
        json!({
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "age": {"type": "number", "description": "exclusiveMinimum: true", "minimum": 0},
                "old": {"type": "string"}
            },
            "required": ["old"]
        })
    );
    assert_eq!(cleaned.losses.len(), 1);
}

#[test]
fn recursion_is_cut() {
    let tree = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}
    });
    let (property, _, losses) = clean_property(
        json!({"$ref": "#/$defs/Tree"}),
        json!({"Tree": tree, "Loop": {"$ref": "#/$defs/Loop"}}),
    );
    let text = property.unwrap().to_string();
    assert_eq!(text.matches("children").count(), 3, "{text}");
    assert!(text.contains(r#""items":{"type":"object"}"#), "{text}");
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(losses[0].starts_with("/$defs/Tree/properties/children/items/$ref: refers to itself"));

    let looped = json!({"Loop": {"$ref": "#/$defs/Loop"}});
    let open = json!({"type": "object"});
    check_with(json!({"$ref": "#/$defs/Loop"}), looped, open, &["itself"]);

    let root = clean(&json!({"properties": {"next": {"$ref": "#"}}}));
    assert_eq!(root.schema.to_string().matches("next").count(), 3);
}

#[test]
fn alternatives_become_one() {
    check_optional(json!({"anyOf": [text(), {"type": "null"}]}), text(), &[]);
    check_optional(
        json!({"oneOf": [{"type": "null"}, {"type": "integer"}], "default": null, "title": "P"}),
        json!({"type": "integer"}),
        &[],
    );
    check(
        json!({"anyOf": [{"const": "a"}, {"enum": ["b", "a"]}], "description": "d"}),
        json!({"type": "string", "description": "d", "enum": ["a", "b"]}),
        &[],
    );
    check(
        json!({"oneOf": [{"const": "a", "description": "first"}, {"const": "b", "description": "second"}]}),
        json!({"type": "string", "description": "\"a\": first; \"b\": second", "enum": ["a", "b"]}),
        &[],
    );
    check(
        json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "url"}, "url": text()}, "required": ["kind", "url"]},
            {"type": "object", "properties": {"kind": {"const": "id"}, "id": {"type": "integer"}}, "required": ["kind", "id"]},
        ]}),
        json!({
            "type": "object",
            "description": "needs kind, url or kind, id",
            "properties": {
                "kind": {"type": "string", "enum": ["url", "id"]},
                "url": text(),
                "id": {"type": "integer"}
            },
            "required": ["kind"]
        }),
        &["/properties/p/oneOf: alternatives"],
    );
    check(
        json!({"anyOf": [text(), {"type": "array", "items": text()}, {"type": "boolean"}]}),
        json!({"type": "string", "description": "or array of string, boolean"}),
        &["/properties/p/anyOf: alternatives"],
    );
    check(
        json!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"type": "number", "minimum": 0}]}),
        json!({"type": "number", "minimum": 0}),
        &["alternatives"],
    );
    check(
        json!({"type": "string", "anyOf": [{"format": "uri"}, {"format": "email"}]}),
        text(),
        &["`format`", "`format`", "alternatives"],
    );
    check(
        json!({"anyOf": [false, {"type": "boolean"}]}),
        json!({"type": "boolean"}),
        &[],
    );
    check(
        json!({"anyOf": [], "type": "string"}),
        text(),
        &["`anyOf` dropped"],
    );
    check(
        json!({"type": "integer", "anyOf": [text()]}),
        json!({"type": "integer"}),
        &["contradicts"],
    );
}

#[test]
fn parts_are_merged() {
    check(
        json!({"allOf": [
            {"type": "object", "properties": {"a": text()}, "required": ["a"]},
            {"properties": {"b": {"type": "integer", "minimum": 0}, "a": {"description": "A"}}, "required": ["b", "a"]},
            {"description": "both"},
        ]}),
        json!({
            "type": "object",
            "description": "both",
            "properties": {"a": {"type": "string", "description": "A"}, "b": {"type": "integer", "minimum": 0}},
            "required": ["a", "b"]
        }),
        &[],
    );
    check(
        json!({"type": "integer", "minimum": 1, "allOf": [{"minimum": 3}, {"type": "number", "maximum": 9}]}),
        json!({"type": "integer", "minimum": 3, "maximum": 9}),
        &[],
    );
    check(
        json!({"enum": ["a", "b"], "allOf": [{"enum": ["b", "c"]}]}),
        json!({"type": "string", "enum": ["b"]}),
        &[],
    );
    check(
        json!({"type": "array", "allOf": [{"type": "string"}], "items": text()}),
        json!({"type": "array", "items": text()}),
        &["allOf/0: contradicts"],
    );
}

#[test]
fn one_type_is_kept_or_found() {
    check_optional(json!({"type": ["string", "null"]}), text(), &[]);
    check_optional(json!({"type": "string", "nullable": true}), text(), &[]);
    check(
        json!({"type": ["integer", "number"]}),
        json!({"type": "number"}),
        &[],
    );
    check(
        json!({"type": ["integer", "string"]}),
        json!({"type": "integer", "description": "or string"}),
        &["only the first of several types"],
    );
    for (schema, kind, n_losses) in [
        (json!({"enum": ["x"]}), "string", 0),
        (json!({"enum": [true, false]}), "boolean", 0),
        (json!({"minimum": 0}), "number", 0),
        (json!({"default": 5}), "integer", 0),
        (json!({"default": 0.5}), "number", 0),
        (json!({"properties": {}}), "object", 0),
        (json!({"type": "int"}), "integer", 0),
        (json!({"type": "any"}), "string", 2),
        (json!({"type": 7}), "string", 2),
        (json!({"description": "d"}), "string", 1),
        (json!({}), "string", 1),
    ] {
        let (property, _, losses) = clean_property(schema.clone(), json!({}));
        assert_eq!(property.unwrap()["type"], kind, "{schema}");
        assert_eq!(losses.len(), n_losses, "{schema}: {losses:?}");
    }
    check(
        json!({"properties": {"x": text()}}),
        json!({"type": "object", "properties": {"x": text()}}),
        &[],
    );
    check(
        json!({"items": text()}),
        json!({"type": "array", "items": text()}),
        &[],
    );
    check_optional(
        json!({"type": "null"}),
        json!({"type": "string", "description": "always null"}),
        &["`null` has no type"],
    );
}

#[test]
fn choices_are_texts() {
    check(
        json!({"const": "v1"}),
        json!({"type": "string", "enum": ["v1"]}),
        &[],
    );
    check(
        json!({"enum": ["a", "", "a", "b"]}),
        json!({"type": "string", "enum": ["a", "b"]}),
        &["dropped"],
    );
    check(
        json!({"enum": [1, "a", true]}),
        json!({"type": "string", "enum": ["1", "a", "true"]}),
        &["turned into text"],
    );
    check(
        json!({"type": "integer", "enum": [10, 50, 20]}),
        json!({"type": "integer", "description": "one of 10, 50, 20", "minimum": 10, "maximum": 50}),
        &["numbers as choices"],
    );
    check(
        json!({"const": 2.0}),
        json!({"type": "integer", "description": "always 2.0", "minimum": 2, "maximum": 2}),
        &["numbers as choices"],
    );
    check_optional(
        json!({"enum": ["a", null]}),
        json!({"type": "string", "enum": ["a"]}),
        &[],
    );
    check(
        json!({"const": true}),
        json!({"type": "boolean", "description": "always true"}),
        &["the only choice"],
    );
    check(
        json!({"enum": [{"a": 1}, [2]]}),
        json!({"type": "object", "description": "one of {\"a\":1}, [2]"}),
        &["lists and objects as choices"],
    );
    check(json!({"enum": [""]}), text(), &["dropped"]);
    check(
        json!({"enum": [], "type": "string"}),
        text(),
        &["`enum` dropped"],
    );
    let many: Vec<String> = (0..600).map(|n| format!("v{n}")).collect();
    let (property, ..) = clean_property(json!({"enum": many, "type": "string"}), json!({}));
    let property = property.unwrap();
    assert_eq!(property.get("enum"), None);
    let words = property["description"].as_str().unwrap();
    assert!(
        words.starts_with("one of \"v0\", ") && words.ends_with('…'),
        "{words}"
    );
}

#[test]
fn lists_have_one_kind_of_items() {
    check(
        json!({"type": "array"}),
        json!({"type": "array", "items": text()}),
        &["no `items`"],
    );
    check(
        json!({"type": "array", "items": {}}),
        json!({"type": "array", "items": text()}),
        &["no type"],
    );
    check(
        json!({"type": "array", "items": [{"type": "integer"}, {"type": "number"}]}),
        json!({"type": "array", "description": "in order: integer, number", "items": {"type": "number"}}),
        &["tuple"],
    );
    check(
        json!({"type": "array", "prefixItems": [text(), {"type": "integer"}], "items": false, "minItems": 2}),
        json!({
            "type": "array",
            "description": "in order: string, integer",
            "items": {"type": "string", "description": "or integer"},
            "minItems": 2
        }),
        &["tuple"],
    );
    check(
        json!({"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 3.0}),
        json!({"type": "array", "items": text(), "maxItems": 3}),
        &["`null` is left out"],
    );
    check(
        json!({"type": "array", "items": text(), "minItems": 100_000, "maxItems": -1}),
        json!({"type": "array", "description": "minItems: 100000", "items": text()}),
        &["`minItems`", "`maxItems` dropped"],
    );
}

#[test]
fn words_for_tools_are_dropped_and_defaults_told() {
    check(
        json!({
            "type": "string", "$comment": "c", "title": "T", "readOnly": true, "writeOnly": true,
            "x-order": 1, "$id": "i", "description": " Where to. ", "default": "here", "deprecated": true
        }),
        json!({"type": "string", "description": "Where to. (default: \"here\"; deprecated)"}),
        &[],
    );
    check(
        json!({"type": "string", "examples": ["a"], "example": "b", "odd": 1}),
        text(),
        &["`examples` dropped", "`example` dropped", "`odd` dropped"],
    );
    for closed in [json!(false), json!(true), json!({})] {
        check(
            json!({"type": "object", "additionalProperties": closed}),
            json!({"type": "object"}),
            &[],
        );
    }
    check(
        json!({"additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "description": "free keys, each with integer"}),
        &["`additionalProperties`"],
    );
}

#[test]
fn limits_are_kept_or_told() {
    check(
        json!({"type": "string", "format": "uri", "pattern": "^\\w+$", "minLength": 1, "maxLength": 9}),
        json!({"type": "string", "description": "format: uri; pattern: ^\\w+$; minLength: 1; maxLength: 9"}),
        &["`format`", "`pattern`", "`minLength`", "`maxLength`"],
    );
    check(
        json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}),
        json!({"type": "integer", "minimum": 1, "maximum": 9}),
        &[],
    );
    // The next whole number is one that floats cannot tell from this.
    check(
        json!({"type": "integer", "exclusiveMinimum": 9_007_199_254_740_992_i64}),
        json!({"type": "integer", "description": "exclusiveMinimum: 9007199254740992"}),
        &["`exclusiveMinimum`"],
    );
    check(
        json!({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}),
        json!({"type": "number", "description": "exclusiveMinimum: 0; multipleOf: 0.5"}),
        &["`exclusiveMinimum`", "`multipleOf`"],
    );
    check(
        json!({"type": "integer", "minimum": 1.0, "maximum": 1e300}),
        json!({"type": "integer", "minimum": 1}),
        &["`maximum` dropped"],
    );
    check(
        json!({"type": "integer", "minimum": 5, "maximum": 1}),
        json!({"type": "integer"}),
        &["a range that holds nothing"],
    );
    check(
        json!({"type": "array", "items": text(), "uniqueItems": true, "minItems": 1}),
        json!({"type": "array", "description": "uniqueItems: true", "items": text(), "minItems": 1}),
        &["`uniqueItems`"],
    );
    check(
        json!({"type": "string", "minimum": 1, "uniqueItems": false, "exclusiveMinimum": false}),
        text(),
        &[],
    );
}

#[test]
fn conditions_are_dropped() {
    for key in [
        "if",
        "then",
        "else",
        "not",
        "patternProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedProperties",
        "propertyNames",
        "contains",
    ] {
        check(
            json!({"type": "object", "properties": {"a": text()}, key: {"a": {"type": "string"}}}),
            json!({"type": "object", "properties": {"a": text()}}),
            &[&format!("/properties/p: `{key}` dropped")],
        );
    }
}

#[test]
fn boolean_schemas_become_types() {
    check(json!(true), text(), &["no type"]);
    let (property, is_required, losses) = clean_property(json!(false), json!({}));
    assert_eq!((property, is_required), (None, false));
    assert_eq!(losses.len(), 2, "{losses:?}");
    for garbage in [json!(null), json!("string"), json!([1]), json!(7)] {
        check(garbage, text(), &["not a schema", "no type"]);
    }
}

#[test]
fn required_names_known_properties_once() {
    let cleaned = clean(&json!({
        "type": "object",
        "properties": {"a": text(), "b": text()},
        "required": ["b", "gone", "a", "b", 7]
    }));
    assert_eq!(cleaned.schema["required"], json!(["b", "a"]));
    assert_eq!(cleaned.losses.len(), 1);
    let odd = clean(&json!({"type": "object", "properties": {"a": text()}, "required": "a"}));
    assert_eq!(odd.schema.get("required"), None);
}

#[test]
fn names_are_changed_and_given_back() {
    let cleaned = clean(&json!({
        "type": "object",
        "properties": {
            "名字": text(),
            "a b": text(),
            "a_b": text(),
            "list": {"type": "array", "items": {"type": "object", "properties": {"$x": text()}, "required": ["$x"]}},
            "": text()
        },
        "required": ["a b", "名字"]
    }));
    let names: Vec<&String> = cleaned.schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert!(
        names[0].starts_with("x____") && names[1].starts_with("a_b_"),
        "{names:?}"
    );
    assert_eq!(&names[2..4], ["a_b", "list"]);
    assert_eq!(cleaned.schema["required"], json!([names[1], names[0]]));
    assert_eq!(cleaned.losses, []);
    let given = json!({
        names[0]: "小明", "a_b": 1, names[1]: 2, "other": {"_x": 1},
        "list": [{"_x": "y"}, {"free": 1}, 3]
    });
    assert_eq!(
        cleaned.restore(given),
        json!({
            "名字": "小明", "a_b": 1, "a b": 2, "other": {"_x": 1},
            "list": [{"$x": "y"}, {"free": 1}, 3]
        })
    );
    let twice = cleaned.restore(json!({"list": [{"$x": 1, "_x": 2}]}));
    assert_eq!(twice, json!({"list": [{"$x": 1}]}));
}

#[test]
fn nesting_ends_after_ten_levels() {
    let mut schema = json!({"type": "object", "properties": {"end": text()}});
    for _ in 0..30 {
        schema = json!({"type": "object", "properties": {"in": schema}, "required": ["in"]});
    }
    let cleaned = clean(&schema);
    assert_eq!(cleaned.schema.to_string().matches("\"in\":").count(), 10);
    assert_eq!(cleaned.losses.len(), 2, "{:?}", cleaned.losses);
    let mut list = text();
    for _ in 0..30 {
        list = json!({"type": "array", "items": list});
    }
    let cleaned = clean(&json!({"properties": {"l": list}}));
    assert_eq!(cleaned.schema.to_string().matches("items").count(), 10);
}

#[test]
fn the_root_is_always_an_object() {
    let empty = json!({"type": "object", "properties": {}});
    for (root, n_losses) in [
        (json!({}), 0),
        (json!(true), 1),
        (json!(false), 1),
        (json!(null), 2),
        (json!([]), 2),
        (json!({"type": "string"}), 1),
        (json!({"type": "object", "enum": [{}]}), 1),
        (json!({"type": ["object", "null"]}), 0),
        (json!({"not": {}}), 1),
    ] {
        let mut cleaned = clean(&root);
        cleaned
            .schema
            .as_object_mut()
            .unwrap()
            .shift_remove("description");
        assert_eq!(cleaned.schema, empty, "{root}");
        assert_eq!(
            cleaned.losses.len(),
            n_losses,
            "{root}: {:?}",
            cleaned.losses
        );
    }
    let cleaned = clean(&json!({
        "type": "object",
        "properties": {"a": text(), "b": text(), "c": text()},
        "required": ["c"],
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}]
    }));
    assert_eq!(
        cleaned.schema,
        json!({
            "type": "object",
            "description": "needs a or b",
            "properties": {"a": text(), "b": text(), "c": text()},
            "required": ["c"]
        })
    );
}

#[test]
fn property_order_is_kept() {
    let names = ["z", "a", "m", "b", "y"];
    let properties: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| (name.to_string(), text()))
        .collect();
    let cleaned = clean(&json!({"properties": properties}));
    let kept: Vec<&String> = cleaned.schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(kept, names);
}

#[test]
fn long_descriptions_are_cut_and_keep_their_remarks() {
    let long = "字".repeat(2_000);
    let (property, _, losses) = clean_property(
        json!({"type": "string", "description": long, "default": "x"}),
        json!({}),
    );
    let property = property.unwrap();
    let description = property["description"].as_str().unwrap();
    assert_eq!(description.chars().count(), 1024);
    assert!(
        description.ends_with("字… (default: \"x\")"),
        "{description}"
    );
    assert_eq!(losses.len(), 1);
    assert_eq!(clean_description(&long).chars().count(), 1024);
    let exact = "字".repeat(1024);
    assert_eq!(clean_description(&exact), exact);
    check(
        json!({"type": "string", "pattern": "a ", "description": "\n"}),
        json!({"type": "string", "description": "pattern: a"}),
        &["`pattern`"],
    );
}
