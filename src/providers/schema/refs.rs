//! Finds what a `$ref` means inside one document. Pure; nothing is ever fetched.

use std::borrow::Cow;

use serde_json::Value;

use super::read::below;

/// What a reference leads to.
pub(super) struct Target<'a> {
    pub(super) schema: &'a Value,
    /// JSON pointer to it.
    pub(super) pointer: String,
}

/// Members of the root that hold definitions; the second is the name of older drafts.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Names that a definition may give itself.
const OWN_NAMES: [&str; 4] = ["$anchor", "$dynamicAnchor", "$id", "id"];

/// Resolves a reference against the document's root: `#`, `#/pointer`, `#anchor`, or the `$id` of a definition.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<Target<'a>> {
    let inner = match root.get("$id").and_then(Value::as_str) {
        Some(id) => reference.strip_prefix(id).unwrap_or(reference),
        None => reference,
    };
    match inner.strip_prefix('#') {
        Some("") => Some(Target {
            schema: root,
            pointer: String::new(),
        }),
        Some(fragment) if fragment.starts_with('/') => {
            let pointer = percent_decoded(fragment);
            let schema = root.pointer(&pointer)?;
            let pointer = pointer.into_owned();
            Some(Target { schema, pointer })
        }
        _ => named(root, inner),
    }
}

fn named<'a>(root: &'a Value, name: &str) -> Option<Target<'a>> {
    let name = name.strip_prefix('#').unwrap_or(name);
    DEFINITIONS.iter().find_map(|key| {
        let definitions = root.get(key)?.as_object()?;
        let is_named = |schema: &Value| {
            OWN_NAMES.iter().any(|own| {
                let own = schema.get(own).and_then(Value::as_str);
                own.is_some_and(|own| own.strip_prefix('#').unwrap_or(own) == name)
            })
        };
        let (key_of_it, schema) = definitions
            .iter()
            .take(MAX_DEFINITIONS)
            .find(|(_, schema)| is_named(schema))?;
        let pointer = below(&below("", key), key_of_it);
        Some(Target { schema, pointer })
    })
}

/// Most definitions searched for a name; the search is done anew for every reference.
const MAX_DEFINITIONS: usize = 500;

/// Decodes `%24defs` and the like: a reference is a URI (RFC 6901 §6).
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let hex = rest.get(..2).filter(|_| *first == b'%');
        let decoded = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(byte) => {
                out.push(byte);
                bytes = &rest[2..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}
