//! What is known of one place of a schema, and how two such sets of facts are joined. Pure; no thread.
//!
//! A node holds facts under the names the schema's author gave; what services allow is the business of `write`.

use serde_json::{Number, Value};

/// The JSON type of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    /// Nothing but `null`.
    Null,
}

impl Kind {
    /// Reads a type's name, also in the spellings of other languages.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" | "String" | "str" | "text" => Self::String,
            "integer" | "Integer" | "int" | "long" => Self::Integer,
            "number" | "Number" | "float" | "double" => Self::Number,
            "boolean" | "Boolean" | "bool" => Self::Boolean,
            "array" | "Array" | "list" => Self::Array,
            "object" | "Object" | "dict" => Self::Object,
            "null" => Self::Null,
            _ => return None,
        })
    }

    /// Returns the type of a value.
    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if is_whole(number) => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Returns the type's name in a schema.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Null => "null",
        }
    }

    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }

    /// Returns the narrower of two types that can hold at once.
    fn meet(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (a, b) if a.is_numeric() && b.is_numeric() => Some(Self::Integer),
            _ => None,
        }
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
}

/// The facts about one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// JSON pointer to where it stands in the original.
    pub(super) origin: String,
    /// The type; `None` while nothing tells.
    pub(super) kind: Option<Kind>,
    /// What the type may be if nothing better tells.
    pub(super) hint: Option<Kind>,
    /// Whether `null` may stand here; `None` while nothing tells.
    pub(super) nullable: Option<bool>,
    /// `required: true` on the property itself, as draft 3 had it.
    pub(super) is_required: bool,
    pub(super) description: Option<String>,
    /// Facts that are told in the description.
    pub(super) notes: Vec<String>,
    pub(super) choices: Option<Vec<Value>>,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) items: Option<Box<Node>>,
    pub(super) properties: Vec<(String, Node)>,
    pub(super) required: Vec<String>,
}

impl Node {
    /// Makes a place of which nothing is known.
    pub(super) fn anything(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            ..Self::default()
        }
    }

    /// Makes a place of one type.
    pub(super) fn of_kind(origin: &str, kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            nullable: Some(kind == Kind::Null),
            ..Self::anything(origin)
        }
    }

    /// Tells the type from the other facts if the schema named none.
    pub(super) fn infer_kind(&mut self) {
        if self.kind.is_some() {
            return;
        }
        self.kind = if let Some(choices) = &self.choices {
            kind_of_choices(choices)
        } else if !self.properties.is_empty() || !self.required.is_empty() {
            Some(Kind::Object)
        } else if self.items.is_some() || self.min_items.is_some() || self.max_items.is_some() {
            Some(Kind::Array)
        } else if self.minimum.is_some() || self.maximum.is_some() {
            Some(Kind::Number)
        } else {
            None
        };
    }

    /// Adds facts that hold as well. Own words win. Returns false if the two contradict each other and facts of the
    /// other were left out.
    pub(super) fn meet(&mut self, other: Node) -> bool {
        self.description = self.description.take().or(other.description);
        self.hint = self.hint.or(other.hint);
        let kind = match (self.kind, other.kind) {
            (Some(a), Some(b)) => match a.meet(b) {
                Some(kind) => Some(kind),
                None => return false,
            },
            (a, b) => a.or(b),
        };
        self.kind = kind;
        self.nullable = match (self.nullable, other.nullable) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        self.is_required |= other.is_required;
        for note in other.notes {
            add_unique(&mut self.notes, note);
        }
        let mut agree = self.meet_choices(other.choices);
        self.minimum = pick(self.minimum.take(), other.minimum, |a, b| a >= b);
        self.maximum = pick(self.maximum.take(), other.maximum, |a, b| a <= b);
        self.min_items = self.min_items.max(other.min_items);
        self.max_items = [self.max_items, other.max_items]
            .into_iter()
            .flatten()
            .min();
        match (&mut self.items, other.items) {
            (Some(own), Some(items)) => agree &= own.meet(*items),
            (own, items) => *own = own.take().or(items),
        }
        for (name, node) in other.properties {
            match self.property(&name) {
                Some(own) => agree &= own.meet(node),
                None => self.properties.push((name, node)),
            }
        }
        for name in other.required {
            add_unique(&mut self.required, name);
        }
        agree
    }

    fn meet_choices(&mut self, other: Option<Vec<Value>>) -> bool {
        let Some(other) = other else { return true };
        let Some(own) = &mut self.choices else {
            self.choices = Some(other);
            return true;
        };
        let both: Vec<Value> = own.iter().filter(|v| other.contains(v)).cloned().collect();
        if both.is_empty() {
            return false;
        }
        *own = both;
        true
    }

    /// Widens to what this place or the other may be; both are of the same kind. Returns false if anything of either
    /// is lost.
    pub(super) fn join(&mut self, other: Node) -> bool {
        self.nullable = match (self.nullable, other.nullable) {
            (Some(a), Some(b)) => Some(a || b),
            _ => None,
        };
        self.description = self.description.take().or(other.description);
        let n_notes = self.notes.len();
        self.notes.retain(|note| other.notes.contains(note));
        let mut exact = n_notes == self.notes.len() && n_notes == other.notes.len();
        exact &= self.join_choices(other.choices);
        exact &= same(&self.minimum, &other.minimum) && same(&self.maximum, &other.maximum);
        self.minimum = both(self.minimum.take(), other.minimum, |a, b| a <= b);
        self.maximum = both(self.maximum.take(), other.maximum, |a, b| a >= b);
        exact &= self.min_items == other.min_items && self.max_items == other.max_items;
        self.min_items = self.min_items.min(other.min_items);
        self.max_items = self.max_items.zip(other.max_items).map(|(a, b)| a.max(b));
        exact &= match (&mut self.items, other.items) {
            (Some(own), Some(items)) => own.join_any(*items),
            (None, None) => true,
            (own, _) => {
                *own = None;
                false
            }
        };
        exact & self.join_members(other.properties, &other.required)
    }

    /// Widens to another place of any kind; of different kinds the first stays and the other is told in words.
    pub(super) fn join_any(&mut self, other: Node) -> bool {
        if self.absorbs(&other) {
            return self.join(other);
        }
        add_unique(&mut self.notes, format!("or {}", other.words()));
        false
    }

    /// Tells whether joining keeps the meaning of both; makes the kinds equal.
    pub(super) fn absorbs(&mut self, other: &Node) -> bool {
        let numbers = [self.kind, other.kind]
            .iter()
            .all(|kind| kind.is_some_and(Kind::is_numeric));
        if numbers && self.kind != other.kind {
            self.kind = Some(Kind::Number);
        }
        numbers || self.kind == other.kind
    }

    fn join_choices(&mut self, other: Option<Vec<Value>>) -> bool {
        match (&mut self.choices, other) {
            (Some(own), Some(other)) => {
                for choice in other {
                    add_unique(own, choice);
                }
                true
            }
            (None, None) => true,
            (own, _) => {
                *own = None;
                false
            }
        }
    }

    /// Joins the members of two objects: all properties, and as required what both require.
    fn join_members(&mut self, properties: Vec<(String, Node)>, required: &[String]) -> bool {
        let mut exact = self.properties.len() == properties.len();
        for (name, node) in properties {
            match self.property(&name) {
                Some(own) => exact &= own.join_any(node),
                None => {
                    exact = false;
                    self.properties.push((name, node));
                }
            }
        }
        exact &= self.required.len() == required.len();
        let before = self.required.len();
        self.required.retain(|name| required.contains(name));
        exact && before == self.required.len()
    }

    fn property(&mut self, name: &str) -> Option<&mut Node> {
        let found = self.properties.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }

    /// Says in a few words what may stand here.
    pub(super) fn words(&self) -> String {
        match (self.kind, &self.choices) {
            (None, _) => "anything".to_owned(),
            (Some(_), Some(choices)) => choice_words(choices),
            (Some(Kind::Array), None) => match &self.items {
                Some(items) => format!("array of {}", items.words()),
                None => "array".to_owned(),
            },
            (Some(Kind::Object), None) if !self.required.is_empty() => {
                format!("object with {}", listed(&self.required))
            }
            (Some(kind), None) => kind.name().to_owned(),
        }
    }
}

/// Most values named in a sentence.
const MAX_LISTED: usize = 20;

/// Says which values are allowed.
pub(super) fn choice_words(choices: &[Value]) -> String {
    let words: Vec<String> = choices.iter().take(MAX_LISTED).map(short_json).collect();
    match (words.as_slice(), choices.len()) {
        ([only], 1) => format!("always {only}"),
        (words, n) if n > MAX_LISTED => format!("one of {}, …", words.join(", ")),
        (words, _) => format!("one of {}", words.join(", ")),
    }
}

/// Lists names in a sentence, not all of many.
pub(super) fn listed(names: &[String]) -> String {
    let more = if names.len() > MAX_LISTED {
        ", …"
    } else {
        ""
    };
    let names: Vec<String> = names
        .iter()
        .take(MAX_LISTED)
        .map(|name| shortened(name, MAX_QUOTE))
        .collect();
    names.join(", ") + more
}

/// Longest list of choices that is kept, in values and in bytes of text.
pub(super) const MAX_CHOICES: usize = 500;
const MAX_CHOICE_BYTES: usize = 16 * 1024;

/// Tells whether a list of choices is too long to be sent.
pub(super) fn has_too_many(choices: &[Value]) -> bool {
    let size = |value: &Value| value.as_str().map_or(8, str::len);
    choices.len() > MAX_CHOICES || choices.iter().map(size).sum::<usize>() > MAX_CHOICE_BYTES
}

/// Larger whole numbers do not survive JSON readers that use floats.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// Returns a number as every reader takes it: whole ones without a fraction. `None` if it is too large for that.
pub(super) fn plain_number(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|n| n.abs() <= MAX_EXACT)?;
    if float.fract() == 0.0 {
        return Some(Number::from(float as i64));
    }
    Some(number.clone())
}

/// Longest value quoted in a sentence, in characters.
const MAX_QUOTE: usize = 100;

/// Writes a value as JSON for a sentence, cut if it is long.
pub(super) fn short_json(value: &Value) -> String {
    let mut start = Start(Vec::new());
    // The only error is that there is no more room.
    let _ = serde_json::to_writer(&mut start, value);
    shortened(&String::from_utf8_lossy(&start.0), MAX_QUOTE)
}

/// Takes the start of a text and ends the writing behind it, however large or deep the value is.
struct Start(Vec<u8>);

impl std::io::Write for Start {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() > 4 * MAX_QUOTE {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend(bytes.iter().take(8 * MAX_QUOTE));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns at most `most` characters of a text, the last one an ellipsis if it was cut.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let mut starts = text.char_indices().map(|(start, _)| start);
    match (starts.nth(most - 1), starts.next()) {
        (Some(end), Some(_)) => format!("{}…", text[..end].trim_end()),
        _ => text.to_owned(),
    }
}

/// Returns the type that holds all these values; text if they have nothing in common.
fn kind_of_choices(choices: &[Value]) -> Option<Kind> {
    let mut kinds = choices.iter().map(Kind::of_value);
    let first = kinds.next()?;
    Some(kinds.fold(first, |kind, next| match (kind, next) {
        (a, b) if a == b => a,
        (a, b) if a.is_numeric() && b.is_numeric() => Kind::Number,
        _ => Kind::String,
    }))
}

pub(super) fn add_unique<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}

fn as_f64(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn same(a: &Option<Number>, b: &Option<Number>) -> bool {
    a.as_ref().map(as_f64) == b.as_ref().map(as_f64)
}

/// Returns the one that is there, or of two the one that `first` prefers.
fn pick(a: Option<Number>, b: Option<Number>, first: fn(f64, f64) -> bool) -> Option<Number> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if first(as_f64(&a), as_f64(&b)) { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// Like [`pick`], but of one alone nothing is known.
fn both(a: Option<Number>, b: Option<Number>, first: fn(f64, f64) -> bool) -> Option<Number> {
    pick(Some(a?), Some(b?), first)
}
