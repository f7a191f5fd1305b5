//! Writes nodes as the schema that every service takes. Pure; no thread.
//!
//! This is the only place that knows the allowed form: at each place one `type`, with `description`, `enum` (text only),
//! `minimum`, `maximum`, `items`, `minItems`, `maxItems`, `properties` and `required`, in this order.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::losses::Losses;
use super::names::{Form, fitted};
use super::node::{Kind, Node, add_unique, choice_words, has_too_many, plain_number, shortened};

/// Longest description, in characters.
pub(super) const MAX_DESCRIPTION: usize = 1024;
/// Room that remarks may take in it.
const MAX_NOTES: usize = 500;

/// One writing of a schema.
pub(super) struct Writer<'l> {
    losses: &'l mut Losses,
    /// Pointers of renamed properties in the written schema, each with its original name.
    pub(super) renamed: BTreeMap<String, String>,
}

impl<'l> Writer<'l> {
    pub(super) fn new(losses: &'l mut Losses) -> Self {
        Self {
            losses,
            renamed: BTreeMap::new(),
        }
    }

    /// Writes the root: an object that always has `properties`.
    pub(super) fn write_root(&mut self, node: Option<Node>) -> Value {
        let mut root = match node {
            Some(node) if node.kind == Some(Kind::Object) => node,
            _ => {
                self.losses
                    .add("", "not a schema of an object, replaced by an empty one");
                Node::of_kind("", Kind::Object)
            }
        };
        // Arguments are never null.
        root.nullable = Some(false);
        let mut out = self.write(root, "");
        out.entry("properties").or_insert_with(|| Map::new().into());
        Value::Object(out)
    }

    fn write(&mut self, mut node: Node, at: &str) -> Map<String, Value> {
        let kind = self.final_kind(&mut node);
        let choices = self.final_choices(&mut node, kind);
        let mut out = Map::new();
        out.insert("type".to_owned(), kind.name().into());
        if let Some(description) = self.describe(&node) {
            out.insert("description".to_owned(), description.into());
        }
        if let Some(choices) = choices {
            out.insert("enum".to_owned(), choices.into());
        }
        match kind {
            Kind::Integer | Kind::Number => self.write_range(&node, &mut out),
            Kind::Array => self.write_list(node, at, &mut out),
            Kind::Object => self.write_members(node, at, &mut out),
            Kind::String | Kind::Boolean | Kind::Null => {}
        }
        out
    }

    fn final_kind(&mut self, node: &mut Node) -> Kind {
        match node.kind.or(node.hint) {
            Some(Kind::Null) => {
                self.losses
                    .add(&node.origin, "`null` has no type of its own");
                add_unique(&mut node.notes, "always null".to_owned());
                Kind::String
            }
            Some(kind) => kind,
            None => {
                self.losses.add(&node.origin, "no type, taken as text");
                Kind::String
            }
        }
    }

    /// Returns choices that are texts; others become remarks and bounds.
    fn final_choices(&mut self, node: &mut Node, kind: Kind) -> Option<Vec<Value>> {
        let choices = node.choices.take()?;
        if has_too_many(&choices) {
            self.losses
                .add(&node.origin, "too many choices, told in part");
            node.notes.push(choice_words(&choices));
            return None;
        }
        match kind {
            Kind::String => return Some(choices),
            Kind::Boolean if choices.len() > 1 => return None,
            Kind::Boolean => self
                .losses
                .add(&node.origin, "the only choice is told in the description"),
            _ => self.bound_by(node, &choices),
        }
        node.notes.push(choice_words(&choices));
        None
    }

    /// Numbers as choices are refused by Gemini: they become a range, and words where a range says too little.
    fn bound_by(&mut self, node: &mut Node, choices: &[Value]) {
        self.losses
            .add(&node.origin, "numbers as choices became a range and words");
        let mut numbers: Vec<&Number> = choices.iter().filter_map(Value::as_number).collect();
        numbers.sort_by(|a, b| {
            a.as_f64()
                .partial_cmp(&b.as_f64())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        node.minimum = numbers.first().and_then(|number| plain_number(number));
        node.maximum = numbers.last().and_then(|number| plain_number(number));
    }

    fn describe(&mut self, node: &Node) -> Option<String> {
        let all = node.notes.join("; ");
        let notes = shortened(all.trim(), MAX_NOTES);
        let text = node.description.as_deref().unwrap_or_default().trim();
        let (room, ending) = match (text.is_empty(), notes.is_empty()) {
            (true, _) => (MAX_DESCRIPTION, notes.clone()),
            (false, true) => (MAX_DESCRIPTION, String::new()),
            (false, false) => {
                let ending = format!(" ({notes})");
                (MAX_DESCRIPTION - ending.chars().count(), ending)
            }
        };
        let short = shortened(text, room);
        if short.len() < text.len() || notes.len() < all.trim().len() {
            self.losses.add(&node.origin, "description shortened");
        }
        let description = short + &ending;
        let description = description.trim();
        (!description.is_empty()).then(|| description.to_owned())
    }

    fn write_range(&mut self, node: &Node, out: &mut Map<String, Value>) {
        let float = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64);
        if let (Some(least), Some(most)) = (float(&node.minimum), float(&node.maximum))
            && least > most
        {
            return self
                .losses
                .add(&node.origin, "a range that holds nothing is dropped");
        }
        let mut put = |key: &str, number: &Option<Number>| {
            if let Some(number) = number {
                out.insert(key.to_owned(), Value::Number(number.clone()));
            }
        };
        put("minimum", &node.minimum);
        put("maximum", &node.maximum);
    }

    fn write_list(&mut self, node: Node, at: &str, out: &mut Map<String, Value>) {
        let items = match node.items {
            Some(items) => {
                if items.nullable == Some(true) && items.kind != Some(Kind::Null) {
                    self.losses.add(&items.origin, "`null` is left out");
                }
                self.write(*items, &format!("{at}/items"))
            }
            None => {
                self.losses.add(&node.origin, "no `items`, taken as texts");
                self.write(Node::of_kind("", Kind::String), at)
            }
        };
        out.insert("items".to_owned(), items.into());
        if let (Some(least), Some(most)) = (node.min_items, node.max_items)
            && least > most
        {
            return self
                .losses
                .add(&node.origin, "a length that nothing has is dropped");
        }
        let counts = [("minItems", node.min_items), ("maxItems", node.max_items)];
        for (key, count) in counts {
            if let Some(count) = count {
                out.insert(key.to_owned(), count.into());
            }
        }
    }

    fn write_members(&mut self, node: Node, at: &str, out: &mut Map<String, Value>) {
        let originals: Vec<String> = node
            .properties
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let names = fitted(originals.iter().map(String::as_str), Form::Property);
        let mut may_lack: Vec<&str> = Vec::new();
        let mut properties = Map::new();
        for (original, (_, child)) in originals.iter().zip(node.properties) {
            let name = &names[original.as_str()];
            let at = format!("{at}/properties/{name}");
            if child.nullable == Some(true) {
                may_lack.push(original);
            }
            if name != original {
                self.renamed.insert(at.clone(), original.clone());
            }
            properties.insert(name.clone(), self.write(child, &at).into());
        }
        let mut required: Vec<Value> = Vec::new();
        for name in &node.required {
            match names.get(name.as_str()) {
                Some(_) if may_lack.contains(&name.as_str()) => {}
                Some(known) => required.push(known.as_str().into()),
                None => self
                    .losses
                    .add(&node.origin, "`required` names an unknown property"),
            }
        }
        if !properties.is_empty() {
            out.insert("properties".to_owned(), properties.into());
        }
        if !required.is_empty() {
            out.insert("required".to_owned(), required.into());
        }
    }
}
