//! Checks the arguments of a call against the tool's schema before the tool sees them. Pure; no thread.
//!
//! Models slip in known ways: numbers as text, JSON inside strings, one value where a list is wanted. What can mean only
//! one thing is put right in silence; everything else becomes one readable sentence for the model, with every fault.

use serde_json::{Map, Number, Value};

use super::similar;
use crate::chat::ToolCall;

/// Longest accepted argument text, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// Values deeper than this are taken as they are.
const MAX_DEPTH: usize = 24;
/// How many combined schemas (`anyOf`, `allOf`) one check tries; a schema that refers to itself could go on for ever.
const MAX_COMBINATIONS: usize = 2_000;
/// Longest sketch of the expected form, in characters.
const MAX_FORM: usize = 800;
/// Most faults named in one sentence.
const MAX_FAULTS: usize = 8;
/// Longest quoted piece of the model's own text, in characters.
const MAX_QUOTE: usize = 60;

/// Reads a call's argument text and fits it to the schema.
///
/// Empty text counts as `{}`. Returns an object whose known members have the types of the schema; unknown members are
/// left in place. An error is a sentence for the model that names every fault and the expected form.
pub fn check_arguments(schema: &Value, raw: &str) -> Result<Value, String> {
    let value = parse_object(raw)?;
    let mut check = Check {
        root: schema,
        faults: Vec::new(),
        combinations: 0,
    };
    let fitted = check.fit(schema, value, "", 0);
    match (check.faults.is_empty(), fitted) {
        (true, Some(value)) => Ok(value),
        _ => Err(check.sentence()),
    }
}

fn parse_object(raw: &str) -> Result<Value, String> {
    match raw {
        ToolCall::TOO_LONG => {
            return Err("not run: the arguments are longer than 256 KiB and were left out; do the work in smaller parts".to_owned());
        }
        ToolCall::CUT_OFF => {
            return Err("not run: your output limit cut the call off before its arguments were complete; send the call again, in smaller parts if it is long".to_owned());
        }
        _ => {}
    }
    if raw.len() > MAX_BYTES {
        return Err(format!(
            "the arguments have {} bytes, more than {MAX_BYTES}; do the work in several smaller calls",
            raw.len()
        ));
    }
    if raw.trim().is_empty() {
        return Ok(Map::new().into());
    }
    let parsed: Value = serde_json::from_str(raw).map_err(|error| {
        if error.is_eof() {
            "the arguments are not complete JSON (they end too early); send the whole call again, in smaller parts if it is long".to_owned()
        } else {
            format!("the arguments are not valid JSON ({error}); send the call again with one JSON object")
        }
    })?;
    match parsed {
        Value::Object(_) => Ok(parsed),
        Value::Null => Ok(Map::new().into()),
        // Some models encode the object twice.
        Value::String(inner) => match serde_json::from_str(&inner) {
            Ok(object @ Value::Object(_)) => Ok(object),
            _ => Err(
                "the arguments must be one JSON object, not a string; send the call again".into(),
            ),
        },
        other => Err(format!(
            "the arguments must be one JSON object, not {}; send the call again",
            kind(&other)
        )),
    }
}

/// Tells JSON types apart in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Quotes a value for an error, cut to a readable length.
fn quote(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        _ => cut(&value.to_string(), MAX_QUOTE),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Check<'a> {
    root: &'a Value,
    faults: Vec<String>,
    combinations: usize,
}

impl<'a> Check<'a> {
    fn sentence(&self) -> String {
        let mut faults: Vec<&str> = self
            .faults
            .iter()
            .take(MAX_FAULTS)
            .map(String::as_str)
            .collect();
        let more = format!("and {} more", self.faults.len().saturating_sub(MAX_FAULTS));
        if self.faults.len() > MAX_FAULTS {
            faults.push(&more);
        }
        format!(
            "wrong arguments: {}. Expected {}; call again",
            faults.join("; "),
            cut(&form(self.root, 0), MAX_FORM)
        )
    }

    fn fault(&mut self, path: &str, expected: &str, value: &Value) -> Option<Value> {
        let found = quote(value);
        let name = if path.is_empty() {
            "the arguments"
        } else {
            path
        };
        self.faults
            .push(format!("{name} must be {expected}, not {found}"));
        None
    }

    /// Fits a value to a schema; `None` after noting a fault.
    fn fit(&mut self, schema: &'a Value, value: Value, path: &str, depth: usize) -> Option<Value> {
        let schema = self.resolve(schema);
        if depth > MAX_DEPTH || self.combinations > MAX_COMBINATIONS {
            return Some(value);
        }
        if let Some(branches) = ["anyOf", "oneOf"]
            .iter()
            .find_map(|key| schema.get(key)?.as_array())
        {
            return self.fit_any(branches, value, path, depth);
        }
        let mut value = value;
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.combinations += 1;
            value = self.fit(part, value, path, depth + 1)?;
        }
        let value = match types(schema).as_slice() {
            [] => value,
            wanted => match wanted.iter().find_map(|name| coerce(name, &value)) {
                Some(value) => value,
                None => return self.fault(path, &words(schema), &value),
            },
        };
        let value = self.fit_choice(schema, value, path)?;
        match value {
            Value::Object(members) => self.fit_object(schema, members, path, depth),
            Value::Array(items) => self.fit_list(schema, items, path, depth),
            other => self.fit_range(schema, other, path),
        }
    }

    /// Follows `#/…` references a few steps.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..8 {
            let target = schema.get("$ref").and_then(Value::as_str);
            match target.and_then(|target| self.root.pointer(target.strip_prefix('#')?)) {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    fn fit_any(
        &mut self,
        branches: &'a [Value],
        value: Value,
        path: &str,
        depth: usize,
    ) -> Option<Value> {
        let before = self.faults.len();
        for branch in branches {
            self.combinations += 1;
            if let Some(fitted) = self.fit(branch, value.clone(), path, depth + 1)
                && self.faults.len() == before
            {
                return Some(fitted);
            }
            self.faults.truncate(before);
        }
        let forms: Vec<String> = branches
            .iter()
            .map(|branch| words(self.resolve(branch)))
            .collect();
        self.fault(path, &forms.join(" or "), &value)
    }

    fn fit_choice(&mut self, schema: &Value, value: Value, path: &str) -> Option<Value> {
        let constant = schema.get("const").map(std::slice::from_ref);
        let choices = schema
            .get("enum")
            .and_then(Value::as_array)
            .map(Vec::as_slice);
        let Some(choices) = choices.or(constant) else {
            return Some(value);
        };
        if choices.contains(&value) {
            return Some(value);
        }
        let text = value.as_str().map(|text| text.trim().to_lowercase());
        let folded = choices
            .iter()
            .find(|choice| text.is_some() && choice.as_str().map(str::to_lowercase) == text);
        match folded {
            Some(choice) => Some(choice.clone()),
            None => self.fault(path, &words(schema), &value),
        }
    }

    fn fit_object(
        &mut self,
        schema: &'a Value,
        members: Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Option<Value> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut out = Map::new();
        let mut unknown = Vec::new();
        let mut whole = true;
        for (name, value) in members {
            let Some(schema) = properties.and_then(|known| known.get(&name)) else {
                unknown.push(name.clone());
                out.insert(name, value);
                continue;
            };
            if value.is_null() && !required.contains(&name.as_str()) && !allows_null(schema) {
                continue;
            }
            let place = join(path, &name);
            match self.fit(schema, value, &place, depth + 1) {
                Some(value) => drop(out.insert(name, value)),
                None => {
                    whole = false;
                    // Keeps the name present, so that it is not reported as missing too.
                    out.insert(name, Value::Null);
                }
            }
        }
        for name in &required {
            if !out.contains_key(*name) {
                let schema = properties
                    .and_then(|known| known.get(*name))
                    .unwrap_or(&Value::Null);
                // Models are not told of `null`: such a member is optional for them.
                if allows_null(self.resolve(schema)) {
                    out.insert((*name).to_owned(), Value::Null);
                    continue;
                }
                whole = false;
                let place = join(path, name);
                let form = words(self.resolve(schema));
                let hint = similar::closest(name, unknown.iter().map(String::as_str))
                    .map(|given| {
                        format!("; you gave {:?}, which is not known", cut(given, MAX_QUOTE))
                    })
                    .unwrap_or_default();
                self.faults
                    .push(format!("{place} is missing ({form}{hint})"));
            }
        }
        whole.then_some(Value::Object(out))
    }

    fn fit_list(
        &mut self,
        schema: &'a Value,
        items: Vec<Value>,
        path: &str,
        depth: usize,
    ) -> Option<Value> {
        if !in_range(schema, "minItems", "maxItems", items.len() as f64) {
            let found = Value::from(items.len());
            return self.fault(path, &format!("{} long", words(schema)), &found);
        }
        let Some(schema) = schema.get("items").filter(|schema| schema.is_object()) else {
            return Some(items.into());
        };
        let mut whole = true;
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match self.fit(schema, item, &format!("{path}[{index}]"), depth + 1) {
                Some(item) => out.push(item),
                None => whole = false,
            }
        }
        whole.then_some(Value::Array(out))
    }

    fn fit_range(&mut self, schema: &Value, value: Value, path: &str) -> Option<Value> {
        let fits = match &value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::MAX);
                in_range(schema, "minimum", "maximum", number)
                    && bound(schema, "exclusiveMinimum").is_none_or(|least| number > least)
                    && bound(schema, "exclusiveMaximum").is_none_or(|most| number < most)
            }
            Value::String(text) => in_range(
                schema,
                "minLength",
                "maxLength",
                text.chars().count() as f64,
            ),
            _ => true,
        };
        if fits {
            Some(value)
        } else {
            self.fault(path, &words(schema), &value)
        }
    }
}

fn join(path: &str, name: &str) -> String {
    let name = cut(name, MAX_QUOTE);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

fn bound(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key)?.as_f64()
}

fn in_range(schema: &Value, least: &str, most: &str, value: f64) -> bool {
    bound(schema, least).is_none_or(|least| value >= least)
        && bound(schema, most).is_none_or(|most| value <= most)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn allows_null(schema: &Value) -> bool {
    let branches = ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_array());
    types(schema).contains(&"null")
        || branches
            .flatten()
            .any(|branch| types(branch).contains(&"null"))
}

/// Returns the value as the wanted type if it has it or can only mean that.
fn coerce(wanted: &str, value: &Value) -> Option<Value> {
    match (wanted, value) {
        ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("boolean", Value::Bool(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_))
        | ("null", Value::Null) => Some(value.clone()),
        ("string", Value::Number(_) | Value::Bool(_)) => Some(value.to_string().into()),
        ("integer", Value::Number(number)) => whole_number(number),
        ("integer", Value::String(text)) => whole_number(&number(text)?),
        ("number", Value::String(text)) => number(text).map(Value::Number),
        ("boolean", Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        ("array", Value::String(text)) => Some(
            inner_json(text)
                .filter(Value::is_array)
                .unwrap_or_else(|| vec![value.clone()].into()),
        ),
        ("array", Value::Null) => None,
        ("array", other) => Some(vec![other.clone()].into()),
        ("object", Value::String(text)) => inner_json(text).filter(Value::is_object),
        _ => None,
    }
}

fn inner_json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    serde_json::from_str(text.strip_prefix('+').unwrap_or(text)).ok()
}

fn whole_number(number: &Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(number.clone().into());
    }
    let value = number.as_f64()?;
    (value.fract() == 0.0 && value.abs() < 9.0e15).then(|| (value as i64).into())
}

/// Describes a schema in a few words: `a whole number from 1 to 5`.
fn words(schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<String> = choices.iter().take(20).map(quote).collect();
        return format!("one of {}", choices.join(", "));
    }
    if let Some(constant) = schema.get("const") {
        return quote(constant);
    }
    let names: Vec<&str> = types(schema).into_iter().map(type_words).collect();
    let name = if names.is_empty() {
        "a value".to_owned()
    } else {
        names.join(" or ")
    };
    let (least, most) = ["minimum", "minItems", "minLength"]
        .iter()
        .zip(["maximum", "maxItems", "maxLength"])
        .map(|(least, most)| (bound(schema, least), bound(schema, most)))
        .find(|(least, most)| least.is_some() || most.is_some())
        .unwrap_or((None, None));
    let unit = if schema
        .get("minLength")
        .or(schema.get("maxLength"))
        .is_some()
    {
        " characters"
    } else {
        ""
    };
    match (least, most) {
        (Some(least), Some(most)) => format!("{name} from {least} to {most}{unit}"),
        (Some(least), None) => format!("{name} of {least}{unit} or more"),
        (None, Some(most)) => format!("{name} of at most {most}{unit}"),
        (None, None) => name,
    }
}

fn type_words(name: &str) -> &str {
    match name {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

/// Sketches the expected form: `{"path": string, "limit"?: integer}`.
fn form(schema: &Value, depth: usize) -> String {
    if let Some(members) = schema
        .get("properties")
        .and_then(Value::as_object)
        .filter(|_| depth < 3)
    {
        let required = schema.get("required").and_then(Value::as_array);
        let members: Vec<String> = members
            .iter()
            .map(|(name, schema)| {
                let needed =
                    required.is_some_and(|names| names.iter().any(|required| required == name));
                format!(
                    "\"{name}\"{}: {}",
                    if needed { "" } else { "?" },
                    form(schema, depth + 1)
                )
            })
            .collect();
        return format!("{{{}}}", members.join(", "));
    }
    if let Some(items) = schema.get("items") {
        return format!("[{}, …]", form(items, depth + 1));
    }
    match types(schema).first() {
        Some(name) => (*name).to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests;
