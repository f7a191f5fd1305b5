//! Reads the keywords of one schema object into a node. Pure; no thread.
//!
//! What is told only in words, dropped in silence or dropped with a report is decided here.

use serde_json::{Map, Number, Value};

use super::super::node::{
    Kind, MAX_CHOICES, Node, add_unique, choice_words, has_too_many, listed, plain_number,
    short_json, shortened,
};
use super::super::write::MAX_DESCRIPTION;
use super::{Reader, Spot, below};

/// Grammar back-ends write lists out item by item.
const MAX_ITEMS: u64 = 1_000;

/// Keywords that mean nothing for a call, or that are read where they are needed.
const SILENT: [&str; 21] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "$defs",
    "definitions",
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "type",
    "title",
    "readOnly",
    "writeOnly",
    "nullable",
    "allOf",
    "anyOf",
    "oneOf",
];
/// Limits that many services refuse; the model is told in words.
const TOLD: [&str; 10] = [
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "multipleOf",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
    "contentMediaType",
];
impl<'a> Reader<'a> {
    /// Reads everything but references and combinations.
    pub(super) fn read_keywords(
        &mut self,
        object: &'a Map<String, Value>,
        place: &str,
        spot: Spot,
    ) -> Node {
        let mut node = Node::anything(place);
        self.read_type(object, &mut node, place);
        for (key, value) in object {
            match key.as_str() {
                "description" => self.read_description(value, &mut node, place),
                "enum" | "const" => self.read_choices(object, key, &mut node, place),
                "minimum" => node.minimum = self.number(key, value, place),
                "maximum" => node.maximum = self.number(key, value, place),
                "exclusiveMinimum" | "exclusiveMaximum" => {
                    self.read_exclusive(key, value, &mut node, place);
                }
                "minItems" => node.min_items = self.count(key, value, &mut node, place),
                "maxItems" => node.max_items = self.count(key, value, &mut node, place),
                "properties" => self.read_properties(value, &mut node, place, spot),
                "required" => self.read_required(value, &mut node, place),
                "items" | "prefixItems" => self.read_items(object, key, &mut node, place, spot),
                "default" => {
                    if !value.is_null() {
                        node.hint = Some(Kind::of_value(value));
                        node.notes.push(format!("default: {}", short_json(value)));
                    }
                }
                "deprecated" if value == &Value::Bool(true) => {
                    node.notes.push("deprecated".to_owned());
                }
                "deprecated" => {}
                "additionalProperties" => self.read_further(value, &mut node, place),
                key if TOLD.contains(&key) => self.tell(key, value, &mut node, place),
                key if SILENT.contains(&key) || key.starts_with("x-") => {}
                key => self.dropped(place, key),
            }
        }
        node
    }

    fn read_type(&mut self, object: &Map<String, Value>, node: &mut Node, place: &str) {
        let names: Vec<&Value> = match object.get("type") {
            None => return,
            Some(Value::Array(names)) => names.iter().take(16).collect(),
            Some(name) => vec![name],
        };
        let mut kinds: Vec<Kind> = Vec::new();
        for name in names {
            match name.as_str().and_then(Kind::of_name) {
                Some(kind) => add_unique(&mut kinds, kind),
                None => self.losses.add(place, "unknown type ignored"),
            }
        }
        let has_null = kinds.contains(&Kind::Null);
        let mut real = kinds.iter().copied().filter(|kind| *kind != Kind::Null);
        let Some(mut kind) = real.next() else {
            if has_null {
                node.kind = Some(Kind::Null);
                node.nullable = Some(true);
            }
            return;
        };
        let mut others = Vec::new();
        for other in real {
            if kind.is_numeric() && other.is_numeric() {
                kind = Kind::Number;
            } else {
                others.push(other.name());
            }
        }
        node.kind = Some(kind);
        node.nullable = Some(has_null);
        if !others.is_empty() {
            self.losses
                .add(place, "only the first of several types is kept");
            node.notes.push(format!("or {}", others.join(", ")));
        }
    }

    fn read_description(&mut self, value: &Value, node: &mut Node, place: &str) {
        let Some(text) = value.as_str() else {
            return self.dropped(place, "description");
        };
        // Only its start is looked at.
        if !self.spend(text.len().min(4 * MAX_DESCRIPTION) / 32) || text.trim().is_empty() {
            return;
        }
        let short = shortened(text.trim(), MAX_DESCRIPTION);
        if short.len() < text.trim().len() {
            self.losses.add(place, "description shortened");
        }
        node.description = Some(short);
    }

    /// Reads `enum` and `const`; of both, `const` says more.
    fn read_choices(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        node: &mut Node,
        place: &str,
    ) {
        let values: &[Value] = match (key, object.get(key)) {
            ("const", Some(value)) => std::slice::from_ref(value),
            (_, Some(Value::Array(values))) if !object.contains_key("const") => values,
            (_, Some(Value::Array(_))) => return,
            _ => &[],
        };
        if values.is_empty() {
            return self.dropped(place, key);
        }
        let n_steps = values.len().min(MAX_CHOICES) / 8;
        if !self.spend(n_steps) || has_too_many(values) {
            self.losses.add(place, "too many choices, told in part");
            node.notes.push(choice_words(values));
            return;
        }
        let is_scalar = |value: &&Value| !value.is_array() && !value.is_object();
        let scalars: Vec<Value> = values.iter().filter(is_scalar).cloned().collect();
        if scalars.len() < values.len() {
            self.losses
                .add(place, "lists and objects as choices are dropped");
        }
        if scalars.is_empty() {
            node.hint = values.first().map(Kind::of_value).or(node.hint);
            node.notes.push(choice_words(values));
            return;
        }
        let n_scalars = scalars.len();
        let kept: Vec<Value> = scalars.into_iter().filter(|v| !v.is_null()).collect();
        if kept.len() < n_scalars && node.kind.is_none() {
            node.nullable = Some(true);
        }
        if kept.is_empty() {
            node.kind = node.kind.or(Some(Kind::Null));
        } else {
            node.choices = Some(kept);
        }
    }

    fn number(&mut self, key: &str, value: &Value, place: &str) -> Option<Number> {
        let number = value.as_number().and_then(plain_number);
        if number.is_none() {
            self.dropped(place, key);
        }
        number
    }

    /// Reads an open bound: a number of its own, or a flag beside `minimum` as draft 4 had it.
    fn read_exclusive(&mut self, key: &str, value: &Value, node: &mut Node, place: &str) {
        if value == &Value::Bool(false) {
            return;
        }
        let next = |step: i64| {
            let bound = value
                .as_i64()
                .filter(|_| node.kind == Some(Kind::Integer))?;
            plain_number(&Number::from(bound.checked_add(step)?))
        };
        match key {
            "exclusiveMinimum" if node.minimum.is_none() && next(1).is_some() => {
                node.minimum = next(1);
            }
            "exclusiveMaximum" if node.maximum.is_none() && next(-1).is_some() => {
                node.maximum = next(-1);
            }
            _ => self.tell(key, value, node, place),
        }
    }

    fn count(&mut self, key: &str, value: &Value, node: &mut Node, place: &str) -> Option<u64> {
        let whole = value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0);
        match whole.map(|n| n as u64) {
            Some(count) if count <= MAX_ITEMS => Some(count),
            Some(_) => {
                self.tell(key, value, node, place);
                None
            }
            None => {
                self.dropped(place, key);
                None
            }
        }
    }

    fn read_properties(&mut self, value: &'a Value, node: &mut Node, place: &str, spot: Spot) {
        let Some(properties) = value.as_object() else {
            return self.dropped(place, "properties");
        };
        let place = below(place, "properties");
        if spot.level >= self.deepest {
            if !properties.is_empty() {
                self.losses.add(&place, "nested too deep, cut");
            }
            return;
        }
        for (index, (name, schema)) in properties.iter().enumerate() {
            let place = below(&place, name);
            if !self.spend(1 + name.len() / 32) {
                self.losses
                    .add(&place, "too many properties, cut from here on");
                break;
            }
            let kept = self.keep_back(spot, properties.len() - index);
            let child = self.read(schema, &place, spot.below());
            self.left += kept;
            match child {
                Some(child) => {
                    if child.is_required {
                        add_unique(&mut node.required, name.clone());
                    }
                    node.properties.push((name.clone(), child));
                }
                None => self.losses.add(&place, "can never be valid, removed"),
            }
        }
        if node.kind.is_none() && node.properties.is_empty() {
            node.hint = Some(Kind::Object);
        }
    }

    /// In the last attempt every property of the root gets the same share of what is left, so that one alone cannot use
    /// up everything. Returns what was taken away for the others.
    fn keep_back(&mut self, spot: Spot, n_properties: usize) -> usize {
        if !self.is_last || spot.level > 0 {
            return 0;
        }
        let share = self.left / n_properties;
        let kept = self.left - share;
        self.left = share;
        kept
    }

    fn read_required(&mut self, value: &Value, node: &mut Node, place: &str) {
        match value {
            Value::Bool(flag) => node.is_required = *flag,
            Value::Array(names) => {
                for name in names {
                    let name = name.as_str().unwrap_or_default();
                    if !self.spend(1 + name.len() / 32) {
                        self.losses.add(place, "too many required names, cut");
                        break;
                    }
                    add_unique(&mut node.required, name.to_owned());
                }
            }
            _ => self.dropped(place, "required"),
        }
    }

    /// Reads `items` and `prefixItems`; a tuple becomes a list of what its places have in common.
    fn read_items(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
        node: &mut Node,
        place: &str,
        spot: Spot,
    ) {
        let value = &object[key];
        let place = below(place, key);
        let is_tuple = value.is_array();
        if key == "items" && !is_tuple && object.contains_key("prefixItems") {
            // Read with the tuple, if at all: `false` closes it, a schema says what follows.
            return;
        }
        if spot.level > self.deepest {
            return;
        }
        let schemas = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        let mut nodes = Vec::new();
        for (index, schema) in schemas.iter().enumerate() {
            if !self.spend(1) {
                break;
            }
            let place = if is_tuple {
                below(&place, &index.to_string())
            } else {
                place.clone()
            };
            nodes.extend(self.read(schema, &place, spot.below()));
        }
        if is_tuple && !nodes.is_empty() {
            let words: Vec<String> = nodes.iter().map(Node::words).collect();
            node.notes.push(format!("in order: {}", listed(&words)));
            self.losses.add(&place, "places of a tuple joined");
        }
        let joined = nodes.into_iter().reduce(|mut joined, next| {
            joined.join_any(next);
            joined
        });
        let mut items = joined.unwrap_or_else(|| Node::anything(&place));
        if spot.level >= self.deepest && matches!(items.kind, Some(Kind::Array | Kind::Object)) {
            self.losses.add(&place, "nested too deep, cut");
            items = Node::anything(&place);
        }
        node.items = Some(Box::new(items));
    }

    /// Reads `additionalProperties`: `false` is what models assume anyway, a schema is told in words.
    fn read_further(&mut self, value: &Value, node: &mut Node, place: &str) {
        let Some(schema) = value.as_object().filter(|schema| !schema.is_empty()) else {
            return;
        };
        let kind = schema.get("type").and_then(Value::as_str);
        let words = kind.and_then(Kind::of_name).map_or("any value", Kind::name);
        node.notes.push(format!("free keys, each with {words}"));
        node.hint = Some(Kind::Object);
        self.losses.add(
            place,
            "`additionalProperties` is only told in the description",
        );
    }

    fn tell(&mut self, key: &str, value: &Value, node: &mut Node, place: &str) {
        if value.is_null() || value == &Value::Bool(false) {
            return;
        }
        let words = match value.as_str() {
            Some(text) => shortened(text, 100),
            None => short_json(value),
        };
        node.notes.push(format!("{key}: {words}"));
        self.losses
            .add(place, &format!("`{key}` is only told in the description"));
    }
}
