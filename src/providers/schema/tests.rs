//! Tables of the rules, hostile and random schemas, schemas in the style of known servers.

mod bombs;
mod checker;
mod names;
mod random;
mod rules;
mod servers;

use serde_json::{Value, json};

use super::{Cleaned, clean_schema};
use checker::violations;

/// Cleans, and checks what must hold for every result.
#[track_caller]
fn clean(schema: &Value) -> Cleaned {
    let cleaned = clean_schema(schema);
    assert_eq!(violations(&cleaned.schema), [""; 0], "{schema:#}");
    let again = clean_schema(&cleaned.schema);
    let text = |cleaned: &Cleaned| cleaned.schema.to_string();
    assert_eq!(text(&again), text(&cleaned), "not idempotent: {schema:#}");
    assert_eq!(again.losses, [], "{schema:#}");
    assert!(again.renamed.is_empty());
    cleaned
}

/// Cleans the schema of a property `p`; returns what became of it and whether it is required.
#[track_caller]
fn clean_property(schema: Value, definitions: Value) -> (Option<Value>, bool, Vec<String>) {
    let root = json!({
        "type": "object",
        "properties": {"p": schema},
        "required": ["p"],
        "$defs": definitions,
    });
    let cleaned = clean(&root);
    let is_required = cleaned.schema.get("required") == Some(&json!(["p"]));
    let losses = cleaned.losses.iter().map(ToString::to_string).collect();
    (
        cleaned.schema["properties"].get("p").cloned(),
        is_required,
        losses,
    )
}
