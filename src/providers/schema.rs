//! Makes the JSON Schema of any tool acceptable to every model service at once. Pure; no thread.
//!
//! Services differ in what they refuse: references, alternatives, type lists, formats, names, depth. One refused schema
//! fails the whole request, with all other tools in it. So what models see is the part of JSON Schema that all of them
//! take; what is lost is told in descriptions where a model can use it, and reported.
//!
//! Deliberately not here: checking arguments. They are checked against the original schema (`tools`).

mod losses;
mod names;
mod node;
mod read;
mod refs;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use node::Kind;
use read::{Reader, Spot};
use write::{MAX_DESCRIPTION, Writer};

pub use losses::Loss;
pub use names::ToolNames;

/// Levels below the root, tried one after the other until the result is small enough. Some services refuse more than
/// ten levels; lower ones keep bombs small.
const LEVELS: [usize; 5] = [10, 7, 5, 3, 1];

/// Weight a result may have; see [`weight`]. About 100 KB.
const MAX_WEIGHT: usize = 4_000;

/// A schema that every service takes, and what became of the original.
#[derive(Clone, PartialEq, Debug)]
pub struct Cleaned {
    /// An object schema with `properties`, valid under draft 2020-12, without references and alternatives, at most ten
    /// levels deep. Descriptions have at most 1024 characters.
    pub schema: Value,
    /// What it does not say any more, in the order of reading.
    pub losses: Vec<Loss>,
    /// Pointer of each renamed property in `schema` → its original name.
    pub renamed: BTreeMap<String, String>,
}

impl Cleaned {
    /// Gives arguments that follow `schema` the property names of the original schema back.
    ///
    /// If two names of one object become the same, the first value stays.
    pub fn restore(&self, arguments: Value) -> Value {
        if self.renamed.is_empty() {
            return arguments;
        }
        self.restore_at(arguments, "")
    }

    fn restore_at(&self, value: Value, at: &str) -> Value {
        match value {
            Value::Object(members) => {
                let mut out = Map::new();
                for (name, value) in members {
                    let at = format!("{at}/properties/{name}");
                    let value = self.restore_at(value, &at);
                    let name = self.renamed.get(&at).cloned().unwrap_or(name);
                    out.entry(name).or_insert(value);
                }
                out.into()
            }
            Value::Array(items) => {
                let at = format!("{at}/items");
                items
                    .into_iter()
                    .map(|item| self.restore_at(item, &at))
                    .collect()
            }
            other => other,
        }
    }
}

/// Cleans the schema of a tool's arguments.
///
/// Deterministic; the result cleaned again is the same; properties keep their order. Bounded in size, depth and time
/// whatever comes in: what is too large is cut at fewer levels, then at fewer properties.
pub fn clean_schema(schema: &Value) -> Cleaned {
    let mut cleaned = None;
    for deepest in LEVELS {
        let (attempt, is_complete) = attempt(schema, deepest);
        let is_small = weight(&attempt.schema) <= MAX_WEIGHT;
        cleaned = Some(attempt);
        if is_complete && is_small {
            break;
        }
    }
    let mut cleaned = cleaned.expect("there is at least one level to try");
    trim(&mut cleaned);
    cleaned
}

/// Shortens a tool's description to what every service takes, 1024 characters.
pub fn clean_description(text: &str) -> Cow<'_, str> {
    if text.chars().nth(MAX_DESCRIPTION).is_none() {
        return text.into();
    }
    node::shortened(text, MAX_DESCRIPTION).into()
}

/// Cleans with a given depth; tells whether everything was read.
fn attempt(schema: &Value, deepest: usize) -> (Cleaned, bool) {
    let mut reader = Reader::new(schema, deepest, deepest == LEVELS[LEVELS.len() - 1]);
    let root = Spot {
        level: 0,
        kind: Some(Kind::Object),
    };
    let node = reader.read(schema, "", root);
    let is_complete = !reader.is_exhausted();
    let mut losses = reader.losses;
    let mut writer = Writer::new(&mut losses);
    let schema = writer.write_root(node);
    let renamed = writer.renamed;
    let cleaned = Cleaned {
        schema,
        losses: losses.into_list(),
        renamed,
    };
    (cleaned, is_complete)
}

/// Drops properties of the root from the end until the schema is small enough.
fn trim(cleaned: &mut Cleaned) {
    let mut size = weight(&cleaned.schema);
    let Some(root) = cleaned.schema.as_object_mut() else {
        return;
    };
    let Some(Value::Object(properties)) = root.get_mut("properties") else {
        return;
    };
    if size <= MAX_WEIGHT {
        return;
    }
    let mut kept: Vec<(String, Value)> = std::mem::take(properties).into_iter().collect();
    while size > MAX_WEIGHT
        && let Some((name, last)) = kept.pop()
    {
        size -= property_weight(&name, &last);
    }
    let names: HashSet<String> = kept.iter().map(|(name, _)| name.clone()).collect();
    *properties = kept.into_iter().collect();
    if let Some(Value::Array(required)) = root.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(|name| names.contains(name)));
        if required.is_empty() {
            root.shift_remove("required");
        }
    }
    let of_root = |pointer: &str| {
        pointer
            .split('/')
            .nth(2)
            .is_some_and(|name| names.contains(name))
    };
    cleaned.renamed.retain(|pointer, _| of_root(pointer));
    cleaned.losses.push(Loss {
        pointer: "/properties".to_owned(),
        what: format!("too large, only the first {} are kept", names.len()),
    });
}

/// Measures a cleaned schema: 1 for each place, property and choice, and 1 for every 32 bytes of text.
fn weight(schema: &Value) -> usize {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).map_or(0, str::len) / 32;
    let choices = schema.get("enum").and_then(Value::as_array);
    let choices: usize = choices
        .into_iter()
        .flatten()
        .map(|choice| 1 + choice.as_str().map_or(0, str::len) / 32)
        .sum();
    let members = schema.get("properties").and_then(Value::as_object);
    let members: usize = members
        .into_iter()
        .flatten()
        .map(|(name, member)| property_weight(name, member))
        .sum();
    1 + text("description") + choices + members + schema.get("items").map_or(0, weight)
}

fn property_weight(name: &str, schema: &Value) -> usize {
    1 + name.len() / 32 + weight(schema)
}
