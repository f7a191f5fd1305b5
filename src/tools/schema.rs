//! Makes the schemas of our own argument structs as small as they can be: every request carries them. Pure; no thread.
//!
//! What is left is what models need and `check` tests: types, properties, required, enum, ranges, short descriptions.
//! Deliberately not here: schemas from elsewhere. What models see of any schema is made where tools are offered to them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Keys that cost tokens and help no model.
const DROPPED: [&str; 7] = [
    "$schema",
    "title",
    "default",
    "format",
    "additionalProperties",
    "writeOnly",
    "readOnly",
];

/// Schemas deeper than this are cut to what stands at the border.
const MAX_DEPTH: usize = 16;

/// Makes the compact schema of an argument struct: `{"type":"object","properties":{…},"required":[…]}`.
pub fn typed_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(root) = schema.as_object_mut() {
        // The tool's own description says it better.
        root.shift_remove("description");
        root.entry("properties")
            .or_insert_with(|| Map::new().into());
    }
    compact_schema(&schema)
}

/// Drops what a model does not need from a schema and flattens optional types; keeps the order of properties.
///
/// Deterministic, and the same again when run on its own result.
fn compact_schema(schema: &Value) -> Value {
    compact(schema, 0)
}

fn compact(schema: &Value, depth: usize) -> Value {
    let Some(object) = schema.as_object() else {
        return schema.clone();
    };
    if depth > MAX_DEPTH {
        return schema.clone();
    }
    let mut out = Map::new();
    for (key, value) in object {
        let value = match key.as_str() {
            key if DROPPED.contains(&key) => continue,
            "type" => first_type(value),
            "enum" => without_null(value),
            "properties" => each(value, depth),
            "items" => compact(value, depth + 1),
            "anyOf" | "oneOf" => {
                match alternatives(value, depth) {
                    Ok(flat) => merge(&mut out, flat),
                    Err(list) => merge(&mut out, Map::from_iter([(key.clone(), list)])),
                }
                continue;
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// Compacts every schema of a `properties` object; its keys are names, not keywords.
fn each(properties: &Value, depth: usize) -> Value {
    match properties.as_object() {
        Some(object) => object
            .iter()
            .map(|(name, schema)| (name.clone(), compact(schema, depth + 1)))
            .collect::<Map<_, _>>()
            .into(),
        None => properties.clone(),
    }
}

/// Reads `["string", "null"]` as `"string"`.
fn first_type(types: &Value) -> Value {
    types
        .as_array()
        .and_then(|list| list.iter().find(|name| *name != "null"))
        .unwrap_or(types)
        .clone()
}

fn without_null(choices: &Value) -> Value {
    match choices.as_array() {
        Some(list) => list
            .iter()
            .filter(|choice| !choice.is_null())
            .cloned()
            .collect(),
        None => choices.clone(),
    }
}

/// Flattens `[X, null]` to X and constants to one enum; gives back the compacted list otherwise.
fn alternatives(list: &Value, depth: usize) -> Result<Map<String, Value>, Value> {
    let Some(list) = list.as_array() else {
        return Err(list.clone());
    };
    let real: Vec<Value> = list
        .iter()
        .filter(|schema| schema.get("type").is_none_or(|name| name != "null"))
        .map(|schema| compact(schema, depth + 1))
        .collect();
    if let [Value::Object(only)] = real.as_slice() {
        return Ok(only.clone());
    }
    let constants: Option<Vec<Value>> = real
        .iter()
        .map(|schema| schema.get("const").cloned())
        .collect();
    match constants {
        Some(constants) if !constants.is_empty() && constants.iter().all(Value::is_string) => {
            Ok(Map::from_iter([
                ("type".to_owned(), "string".into()),
                ("enum".to_owned(), constants.into()),
            ]))
        }
        _ => Err(real.into()),
    }
}

/// Adds keys that are not there yet: the words beside a reference win over those inside it.
fn merge(out: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        out.entry(key).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(JsonSchema)]
    #[allow(dead_code)] // Only its schema is looked at.
    enum Kind {
        Small,
        Large,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)] // Only its schema is looked at.
    struct Part {
        title: String,
    }

    /// Not for models.
    #[derive(JsonSchema)]
    #[allow(dead_code)] // Only its schema is looked at.
    struct Args {
        /// where
        zone: String,
        count: Option<u32>,
        parts: Vec<Part>,
        kind: Option<Kind>,
    }

    #[test]
    fn keeps_only_what_models_need_in_order() {
        let schema = typed_schema::<Args>();
        let expected = json!({
            "type": "object",
            "properties": {
                "zone": {"description": "where", "type": "string"},
                "count": {"type": "integer", "minimum": 0},
                "parts": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"title": {"type": "string"}},
                    "required": ["title"]
                }},
                "kind": {"type": "string", "enum": ["Small", "Large"]}
            },
            "required": ["zone", "parts"]
        });
        assert_eq!(schema, expected);
        let order: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(order, ["zone", "count", "parts", "kind"]);
        assert_eq!(compact_schema(&schema), schema);
    }

    #[test]
    fn a_struct_without_fields_still_has_properties() {
        #[derive(JsonSchema)]
        struct Nothing {}
        assert_eq!(
            typed_schema::<Nothing>(),
            json!({"type": "object", "properties": {}})
        );
    }
}
