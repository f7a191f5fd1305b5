//! Reads a schema into nodes: follows references, joins alternatives. Pure; no thread. Keywords: `keywords`.
//!
//! Bounded on hostile input: every step is paid from one budget, levels and detours have limits. What does not fit is
//! cut, and the caller is told through `is_exhausted`.

mod keywords;

use serde_json::{Map, Value};

use super::losses::Losses;
use super::node::{Kind, Node, add_unique, listed, short_json, shortened};
use super::refs::{Target, resolve};

/// Steps that one reading may take. More than reading a result of the greatest weight takes (twice that weight), so that
/// a result cleaned again stays as it is.
const MAX_STEPS: usize = 12_000;
/// How often a reference may lead into itself.
const MAX_RECURSION: usize = 3;
/// References and combinations that may follow each other on the way to one place.
const MAX_DETOURS: usize = 32;
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Where a schema is read: how deep it lies, and what the schema around it says it is.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Levels below the root.
    pub(super) level: usize,
    /// The type of the place if the schema itself names none.
    pub(super) kind: Option<Kind>,
}

impl Spot {
    fn below(self) -> Self {
        Self {
            level: self.level + 1,
            kind: None,
        }
    }
}

/// One reading of a schema.
pub(super) struct Reader<'a> {
    root: &'a Value,
    /// Level at which objects are cut.
    deepest: usize,
    /// Whether what is cut now stays cut.
    is_last: bool,
    left: usize,
    is_exhausted: bool,
    detours: usize,
    followed: Vec<&'a Value>,
    pub(super) losses: Losses,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Value, deepest: usize, is_last: bool) -> Self {
        Self {
            root,
            deepest,
            is_last,
            left: MAX_STEPS,
            is_exhausted: false,
            detours: 0,
            followed: vec![root],
            losses: Losses::default(),
        }
    }

    /// Tells whether something was cut because the schema is too large.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Reads the schema that stands at `place`; `None` if nothing can ever be valid there.
    pub(super) fn read(&mut self, schema: &'a Value, place: &str, spot: Spot) -> Option<Node> {
        match schema {
            Value::Object(object) => self.read_object(object, place, spot),
            Value::Bool(true) => Some(Node::anything(place)),
            Value::Bool(false) => None,
            _ => {
                self.losses.add(place, "not a schema, ignored");
                Some(Node::anything(place))
            }
        }
    }

    fn read_object(
        &mut self,
        object: &'a Map<String, Value>,
        place: &str,
        spot: Spot,
    ) -> Option<Node> {
        if !self.spend(1 + object.len() / 16) || self.detours > MAX_DETOURS {
            self.losses.add(place, "too large, cut");
            return Some(Node::of_kind(place, Kind::Object));
        }
        let mut node = self.read_keywords(object, place, spot);
        self.settle(&mut node, place, spot);
        self.detours += 1;
        let combined = self.read_combinations(object, &mut node, place, spot);
        self.detours -= 1;
        combined?;
        if object.get("nullable") == Some(&Value::Bool(true)) {
            node.nullable = Some(true);
        }
        self.settle(&mut node, place, spot);
        Some(node)
    }

    /// Joins references, `allOf`, `anyOf` and `oneOf` into the node.
    fn read_combinations(
        &mut self,
        object: &'a Map<String, Value>,
        node: &mut Node,
        place: &str,
        spot: Spot,
    ) -> Option<()> {
        for key in REFERENCES {
            if let Some(reference) = object.get(key) {
                let place = below(place, key);
                let target = self.follow(reference, &place, self.inside(node, spot))?;
                self.meet(node, target, &place);
            }
        }
        if let Some(branches) = self.branches(object, "allOf", place) {
            let place = below(place, "allOf");
            for (index, branch) in branches.iter().enumerate() {
                if !self.spend(1) {
                    break;
                }
                let place = below(&place, &index.to_string());
                let branch = self.read(branch, &place, self.inside(node, spot))?;
                self.meet(node, branch, &place);
            }
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = self.branches(object, key, place) {
                let place = below(place, key);
                let joined = self.alternatives(branches, &place, self.inside(node, spot))?;
                self.meet(node, joined, &place);
            }
        }
        Some(())
    }

    /// Branches say what else holds for a place whose type may be known already.
    fn inside(&self, node: &Node, spot: Spot) -> Spot {
        Spot {
            level: spot.level,
            kind: node.kind.or(spot.kind),
        }
    }

    fn branches(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
        place: &str,
    ) -> Option<&'a [Value]> {
        match object.get(key)? {
            Value::Array(list) if !list.is_empty() => Some(list),
            _ => {
                self.dropped(place, key);
                None
            }
        }
    }

    fn meet(&mut self, node: &mut Node, other: Node, place: &str) {
        if !node.meet(other) {
            self.losses
                .add(place, "contradicts what stands around it, dropped in part");
        }
    }

    fn follow(&mut self, reference: &'a Value, place: &str, spot: Spot) -> Option<Node> {
        let free = || Some(Node::of_kind(place, Kind::Object));
        let Some(Target { schema, pointer }) = reference
            .as_str()
            .filter(|text| self.spend(cost(text)))
            .and_then(|text| resolve(self.root, text))
        else {
            self.losses.add(place, "reference leads nowhere, left open");
            return free();
        };
        let n_before = self
            .followed
            .iter()
            .filter(|known| std::ptr::eq(**known, schema))
            .count();
        if n_before >= MAX_RECURSION {
            self.losses.add(place, "refers to itself, cut");
            return free();
        }
        self.followed.push(schema);
        let node = self.read(schema, &pointer, spot);
        self.followed.pop();
        node
    }

    /// Joins alternatives into one node; `None` if none of them can hold.
    fn alternatives(&mut self, branches: &'a [Value], place: &str, spot: Spot) -> Option<Node> {
        let mut nodes = Vec::new();
        let mut has_null = false;
        for (index, branch) in branches.iter().enumerate() {
            if !self.spend(1) {
                break;
            }
            match self.read(branch, &below(place, &index.to_string()), spot) {
                Some(node) if node.kind == Some(Kind::Null) => has_null = true,
                Some(node) => nodes.push(node),
                None => {}
            }
        }
        let sets = required_sets(&nodes);
        let meanings = take_meanings(&mut nodes);
        let mut nodes = nodes.into_iter();
        let Some(mut joined) = nodes.next() else {
            return has_null.then(|| Node::of_kind(place, Kind::Null));
        };
        joined.origin = place.to_owned();
        let mut others = Vec::new();
        let mut is_exact = true;
        for node in nodes {
            if joined.absorbs(&node) {
                is_exact &= joined.join(node);
            } else {
                is_exact = false;
                add_unique(&mut others, node.words());
            }
        }
        if !is_exact {
            self.losses.add(place, "alternatives joined or left out");
        }
        if !others.is_empty() {
            joined.notes.push(format!("or {}", listed(&others)));
        }
        joined.notes.extend(sets.into_iter().chain(meanings));
        if has_null {
            joined.nullable = Some(true);
        }
        Some(joined)
    }

    /// Brings type and choices into agreement.
    fn settle(&mut self, node: &mut Node, place: &str, spot: Spot) {
        node.kind = node.kind.or(spot.kind);
        node.infer_kind();
        let (Some(kind), Some(choices)) = (node.kind, node.choices.take()) else {
            return;
        };
        let n_before = choices.len();
        let mut kept: Vec<Value> = Vec::new();
        for choice in choices {
            let fitting = match (kind, choice) {
                (Kind::String, Value::String(text)) if text.is_empty() => None,
                (Kind::String, text @ Value::String(_)) => Some(text),
                (Kind::String, other) => {
                    self.losses.add(place, "choices turned into text");
                    Some(other.to_string().into())
                }
                (kind, other) if kind.is_numeric() => other.is_number().then_some(other),
                (Kind::Boolean, other) => other.is_boolean().then_some(other),
                _ => None,
            };
            if let Some(choice) = fitting {
                add_unique(&mut kept, choice);
            }
        }
        if kept.len() < n_before {
            self.losses
                .add(place, "choices that no service takes are dropped");
        }
        node.choices = (!kept.is_empty()).then_some(kept);
    }

    fn dropped(&mut self, place: &str, key: &str) {
        self.losses
            .add(place, &format!("`{}` dropped", shortened(key, 64)));
    }

    fn spend(&mut self, steps: usize) -> bool {
        let is_enough = steps <= self.left;
        if is_enough {
            self.left -= steps;
        } else {
            self.is_exhausted = true;
        }
        is_enough
    }
}

/// Returns the steps a reference costs. One by name is searched for.
fn cost(reference: &str) -> usize {
    let is_pointer = reference == "#" || reference.starts_with("#/");
    1 + reference.len() / 32 + if is_pointer { 0 } else { 64 }
}

/// Says which members go together, if the alternatives require different ones.
fn required_sets(nodes: &[Node]) -> Option<String> {
    let mut sets: Vec<&Vec<String>> = Vec::new();
    for node in nodes {
        if node.required.is_empty() {
            return None;
        }
        add_unique(&mut sets, &node.required);
    }
    let sets: Vec<String> = sets.into_iter().map(|set| listed(set)).collect();
    (sets.len() > 1).then(|| format!("needs {}", shortened(&sets.join(" or "), 300)))
}

/// Takes the descriptions of alternatives that are one choice each: they belong to the choice.
fn take_meanings(nodes: &mut [Node]) -> Option<String> {
    let is_choice = |node: &Node| node.choices.as_ref().is_some_and(|list| list.len() == 1);
    if nodes.len() < 2 || !nodes.iter().all(is_choice) {
        return None;
    }
    let meanings: Vec<String> = nodes
        .iter_mut()
        .filter_map(|node| {
            let meaning = node.description.take()?;
            let choice = node.choices.as_ref()?.first()?;
            Some(format!("{}: {meaning}", short_json(choice)))
        })
        .collect();
    (!meanings.is_empty()).then(|| meanings.join("; "))
}

/// Longest pointer that is written out; hostile names would make every one of them long.
const MAX_POINTER: usize = 512;

/// Returns the pointer to a member (RFC 6901 §3).
pub(super) fn below(place: &str, step: &str) -> String {
    if place.len() + step.len() > MAX_POINTER {
        return place.to_owned();
    }
    format!("{place}/{}", step.replace('~', "~0").replace('/', "~1"))
}
