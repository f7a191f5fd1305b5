//! Schemas made to explode: each must end small, and soon enough for a test run.

use serde_json::{Map, Value, json};

use super::clean;

/// Definitions of which each uses the next one several times.
fn doubling(depth: usize, width: usize, around: fn(Vec<Value>) -> Value) -> Value {
    let mut defs = Map::new();
    for n in 0..depth {
        let next = json!({"$ref": format!("#/$defs/D{}", n + 1)});
        defs.insert(format!("D{n}"), around(vec![next; width]));
    }
    defs.insert(format!("D{depth}"), json!({"type": "string"}));
    json!({"type": "object", "properties": {"first": {"$ref": "#/$defs/D0"}, "last": {"type": "boolean"}}, "$defs": defs})
}

fn members(parts: Vec<Value>) -> Value {
    let properties: Map<String, Value> = parts
        .into_iter()
        .enumerate()
        .map(|(n, part)| (format!("m{n}"), part))
        .collect();
    json!({"type": "object", "properties": properties})
}

#[test]
fn references_that_double_are_cut_and_the_rest_stays() {
    let arounds: [fn(Vec<Value>) -> Value; 5] = [
        members,
        |parts| json!({"anyOf": parts}),
        |parts| json!({"allOf": parts}),
        |parts| json!({"type": "array", "prefixItems": parts}),
        |parts| json!({"type": "object", "oneOf": [{"properties": {"x": {"allOf": parts}}}]}),
    ];
    for around in arounds {
        for (depth, width) in [(8, 2), (30, 2), (200, 2), (9, 10), (3, 60)] {
            let cleaned = clean(&doubling(depth, width, around));
            let properties = cleaned.schema["properties"].as_object().unwrap();
            assert!(properties.contains_key("first"));
            assert_eq!(properties["last"], json!({"type": "boolean"}));
        }
    }
}

#[test]
fn mutual_recursion_is_cut() {
    let names: Vec<String> = (0..12).map(|n| format!("N{n}")).collect();
    let defs: Map<String, Value> = names
        .iter()
        .map(|name| {
            let refs = names
                .iter()
                .map(|n| json!({"$ref": format!("#/$defs/{n}")}));
            (name.clone(), members(refs.collect()))
        })
        .collect();
    let cleaned = clean(&json!({"$ref": "#/$defs/N0", "$defs": defs}));
    assert_eq!(cleaned.schema["properties"].as_object().unwrap().len(), 12);
}

#[test]
fn long_chains_end() {
    let mut defs = Map::new();
    for n in 0..5_000 {
        defs.insert(
            format!("D{n}"),
            json!({"$ref": format!("#/$defs/D{}", n + 1)}),
        );
    }
    let cleaned = clean(&json!({"properties": {"p": {"$ref": "#/$defs/D0"}}, "$defs": defs}));
    assert_eq!(cleaned.schema["properties"]["p"]["type"], "object");
    let mut nested = json!({"type": "string"});
    for _ in 0..100 {
        nested = json!({"allOf": [{"anyOf": [nested]}]});
    }
    clean(&json!({"properties": {"p": nested}}));
}

#[test]
fn wide_schemas_keep_their_start() {
    let wide: Map<String, Value> = (0..50_000)
        .map(|n| {
            (
                format!("p {n}"),
                json!({"type": "string", "description": "d".repeat(50)}),
            )
        })
        .collect();
    let names: Vec<String> = wide.keys().cloned().collect();
    let cleaned = clean(&json!({"type": "object", "properties": wide, "required": names}));
    let properties = cleaned.schema["properties"].as_object().unwrap();
    assert!(
        (500..5_000).contains(&properties.len()),
        "{}",
        properties.len()
    );
    assert_eq!(cleaned.renamed.len(), properties.len());
    assert_eq!(cleaned.renamed["/properties/p_0"], "p 0");

    let choices: Vec<String> = (0..50_000).map(|n| "c".repeat(n % 50 + 1)).collect();
    let branches: Vec<Value> = choices.iter().map(|c| json!({"const": c})).collect();
    clean(&json!({"properties": {"e": {"enum": choices}, "b": {"oneOf": branches}}}));

    let mut odd = Map::new();
    for n in 0..50_000 {
        odd.insert(format!("keyword{n}"), n.into());
    }
    odd.insert("type".to_owned(), "string".into());
    let refs: Map<String, Value> = (0..500)
        .map(|n| (format!("r{n}"), json!({"$ref": "#/$defs/Odd"})))
        .collect();
    let cleaned = clean(&json!({"properties": refs, "$defs": {"Odd": odd}}));
    assert!(cleaned.losses.len() <= 256);
}

#[test]
fn long_texts_are_cut() {
    let long = "长 text ".repeat(50_000);
    let cleaned = clean(&json!({
        "description": long,
        "properties": {
            "a": {"type": "string", "description": long, "default": long, "pattern": long, "format": long},
            "b": {"enum": [long, "x"]},
            "c": {"$ref": long},
            "d": {"anyOf": [{"const": long, "description": long}, {"const": "y", "description": long}]},
            "e": {"default": [[[[long]]]]},
            (long.clone()): {"type": long, (long.clone()): 1}
        },
        "required": [long]
    }));
    assert!(cleaned.schema.to_string().len() < 20_000);
    assert!(
        cleaned
            .losses
            .iter()
            .all(|loss| loss.pointer.len() < 600 && loss.what.len() < 300)
    );
}
