//! Typed access to one object of a parsed configuration. A getter reports what is wrong and returns the default, so that
//! one load finds every problem. Runs on the loading thread. Single values are read in `field`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use super::context::{Context, Report, join_path};
use super::field::{Field, did_you_mean};
use super::nearest::nearest;
use super::problem::Severity;
use super::secret::Secret;

/// One JSON object with known keys, or its absence.
pub(super) struct Section<'a> {
    cx: &'a Context<'a>,
    path: String,
    at: Range<usize>,
    object: Option<&'a Object<'a>>,
    in_use: bool,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Wraps an object that stands at `at`; without one every key is absent.
    pub(super) fn new(
        cx: &'a Context<'a>,
        path: String,
        at: Range<usize>,
        object: Option<&'a Object<'a>>,
        in_use: bool,
    ) -> Self {
        Self {
            cx,
            path,
            at,
            object,
            in_use,
            asked: Vec::new(),
        }
    }

    /// Wraps the root value; `None` stands for no file at all.
    pub(super) fn root(cx: &'a Context<'a>, value: Option<&'a Value<'a>>) -> Self {
        match value {
            Some(value) => Field::new(cx, value, String::new(), true).section(),
            None => Self::new(cx, String::new(), 0..0, None, true),
        }
    }

    /// Tells that a missing placeholder in here is an error only if `in_use`; never widens an outer "not in use".
    pub(super) fn used_if(mut self, in_use: bool) -> Self {
        self.in_use &= in_use;
        self
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.in_use
    }

    /// Tells whether the object is there.
    pub(super) fn is_present(&self) -> bool {
        self.object.is_some()
    }

    /// Tells whether a key has a value, right or wrong.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Returns a value; `null` is the same as absent.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let value = &self.object?.get(key)?.value;
        let is_null = matches!(value, Value::NullKeyword(_));
        (!is_null).then(|| Field::new(self.cx, value, join_path(&self.path, key), self.in_use))
    }

    /// Returns the object below a key.
    pub(super) fn child(&mut self, key: &'static str) -> Section<'a> {
        match self.get(key) {
            Some(field) => field.section(),
            None => {
                let path = join_path(&self.path, key);
                Self::new(self.cx, path, self.at.clone(), None, self.in_use)
            }
        }
    }

    /// Returns the objects in an object whose names are the user's, in file order.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let Some(field) = self.get(key) else {
            return Vec::new();
        };
        let members = field.members().into_iter();
        members
            .filter_map(|(name, member)| {
                let is_fit = (1..=64).contains(&name.chars().count())
                    && !name.chars().any(char::is_control)
                    && name.trim() == name;
                if is_fit {
                    return Some((name, member.section()));
                }
                member.wrong("expected a name of 1 to 64 characters without space around it");
                None
            })
            .collect()
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.get(key)?.text()
    }

    /// Returns a text; reports a missing or blank one if the section is in use.
    pub(super) fn required_text(&mut self, key: &'static str, expected: &str) -> String {
        let text = match self.get(key) {
            Some(field) if self.in_use => field.filled_text(expected),
            Some(field) => field.text(),
            None => {
                self.missing(key, expected);
                None
            }
        };
        text.unwrap_or_default()
    }

    /// Returns the secrets of one text or of a list of texts; empty texts are left out.
    pub(super) fn one_or_many_secrets(&mut self, key: &'static str) -> Vec<Secret> {
        let Some(field) = self.get(key) else {
            return Vec::new();
        };
        if field.value().as_array().is_none() {
            return field.secret().into_iter().collect();
        }
        let elements = field.elements();
        elements.iter().filter_map(Field::secret).collect()
    }

    /// Returns a secret; reports a missing or empty one if the section is in use.
    pub(super) fn required_secret(&mut self, key: &'static str, expected: &str) -> Option<Secret> {
        match self.get(key) {
            Some(field) if self.in_use => {
                let text = field.filled_text(expected)?;
                field.keep_secret(text)
            }
            Some(field) => field.secret(),
            None => {
                self.missing(key, expected);
                None
            }
        }
    }

    /// Returns an object of secret texts.
    pub(super) fn secrets(&mut self, key: &'static str) -> BTreeMap<String, Secret> {
        let members = self.get(key).map(|f| f.members()).unwrap_or_default();
        let secrets = members.into_iter().filter_map(|(name, member)| {
            let secret = member.secret_of(&name)?;
            Some((name, secret))
        });
        secrets.collect()
    }

    /// Returns the values of the environment variables that a list names; names that are not set are left out.
    pub(super) fn variables(&mut self, key: &'static str) -> BTreeMap<String, Secret> {
        let fields = self.get(key).map(|f| f.elements()).unwrap_or_default();
        fields.iter().filter_map(Field::variable).collect()
    }

    /// Returns HTTP headers: an object of secret texts with names and values that fit into a request.
    pub(super) fn headers(&mut self, key: &'static str) -> BTreeMap<String, Secret> {
        let members = self.get(key).map(|f| f.members()).unwrap_or_default();
        let headers = members.into_iter().filter_map(|(name, member)| {
            let value = member.secret_of(&name)?;
            if !is_header_name(&name) {
                member.wrong("expected an HTTP header name of letters, digits and -");
            }
            if value.expose().chars().any(|c| c.is_control() && c != '\t') {
                member.wrong("expected a header value without line ends or control characters");
            }
            Some((name, value))
        });
        headers.collect()
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(field) = self.get(key) else {
            return default;
        };
        match field.value() {
            Value::BooleanLit(flag) => flag.value,
            _ => {
                field.wrong("expected true or false");
                default
            }
        }
    }

    /// Returns a whole number within a range.
    pub(super) fn whole<T>(&mut self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let field = self.get(key)?;
        let number = match field.value() {
            Value::NumberLit(number) => number.value.parse::<u64>().ok(),
            _ => None,
        };
        let fitting = number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        if fitting.is_none() {
            let (low, high) = (range.start(), range.end());
            field.wrong(&format!("expected a whole number from {low} to {high}"));
        }
        fitting
    }

    /// Returns a whole number of seconds.
    pub(super) fn secs(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: Duration,
    ) -> Duration {
        self.whole(key, range).map_or(default, Duration::from_secs)
    }

    /// Returns a number within a range.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let field = self.get(key)?;
        let number = match field.value() {
            Value::NumberLit(number) => number.value.parse().ok(),
            _ => None,
        };
        let fitting = number.filter(|number| range.contains(number));
        if fitting.is_none() {
            let (low, high) = (range.start(), range.end());
            field.wrong(&format!("expected a number from {low} to {high}"));
        }
        fitting
    }

    /// Returns a list of texts; a blank entry is an error.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let fields = self.get(key)?.elements();
        let texts = fields
            .iter()
            .filter_map(|f| f.filled_text("expected a text that is not blank"));
        Some(texts.collect())
    }

    /// Returns an object of texts or lists of texts by name; a single text is a list of one.
    pub(super) fn named_texts(&mut self, key: &'static str) -> BTreeMap<String, Vec<String>> {
        let members = self.get(key).map(|f| f.members()).unwrap_or_default();
        let named = members.into_iter().map(|(name, member)| {
            let texts = if member.value().as_array().is_some() {
                let elements = member.elements();
                elements.iter().filter_map(Field::text).collect()
            } else {
                member.text().into_iter().collect()
            };
            (name, texts)
        });
        named.collect()
    }

    /// Returns one of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.get(key)?.word(choices)
    }

    /// Returns a list of words, each one of a few.
    pub(super) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let fields = self.get(key)?.elements();
        Some(fields.iter().filter_map(|f| f.word(choices)).collect())
    }

    /// Returns an absolute path; see [`expand_path`].
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.get(key)?.path()
    }

    /// Returns a list of absolute paths.
    pub(super) fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let fields = self.get(key).map(|f| f.elements()).unwrap_or_default();
        fields.iter().filter_map(Field::path).collect()
    }

    /// Returns a program: a plain name is left to the search path, anything else is a path.
    pub(super) fn command(&mut self, key: &'static str) -> Option<String> {
        self.get(key)?.command()
    }

    /// Returns a list of texts that may be empty.
    pub(super) fn arguments(&mut self, key: &'static str) -> Vec<String> {
        let fields = self.get(key).map(|f| f.elements()).unwrap_or_default();
        fields.iter().filter_map(Field::text).collect()
    }

    /// Returns an address with one of the schemes, a host and no user name.
    pub(super) fn url(&mut self, key: &'static str, schemes: &[&str]) -> Option<String> {
        self.get(key)?.url(schemes)
    }

    /// Reports a key that must be given, if the section is in use.
    pub(super) fn missing(&mut self, key: &'static str, expected: &str) {
        if self.in_use {
            self.missing_always(key, expected);
        }
    }

    /// Reports a key without which the section means nothing, unless the whole section is unreadable anyway.
    pub(super) fn missing_always(&mut self, key: &'static str, expected: &str) {
        if self.object.is_some() {
            self.report_at(key, Severity::Error, &format!("missing; {expected}"), None);
        }
    }

    /// Reports an error at the value of a key.
    pub(super) fn error_at(&mut self, key: &'static str, message: &str) {
        self.report_at(key, Severity::Error, message, None);
    }

    /// Reports a warning at the value of a key, or at the section if the key is absent.
    pub(super) fn warn_at(&mut self, key: &'static str, message: &str, hint: Option<String>) {
        self.report_at(key, Severity::Warning, message, hint);
    }

    fn report_at(
        &mut self,
        key: &'static str,
        severity: Severity,
        message: &str,
        hint: Option<String>,
    ) {
        let range = match self.get(key) {
            Some(field) => field.range(),
            None => first_char(&self.at),
        };
        self.cx.report(Report {
            severity,
            range,
            path: &join_path(&self.path, key),
            message: message.to_owned(),
            shows_value: false,
            hint,
        });
    }

    /// Ends the section: warns of every key nobody asked for.
    pub(super) fn finish(self) {
        let Some(object) = self.object else { return };
        for property in &object.properties {
            let name = property.name.as_str();
            if self.asked.contains(&name) {
                continue;
            }
            let range = property.name.range();
            self.cx.report(Report {
                severity: Severity::Warning,
                range: range.start..range.end,
                path: &join_path(&self.path, name),
                message: "unknown key, ignored".to_owned(),
                shows_value: false,
                hint: self.cx.hint(|| Some(self.hint_for(name))),
            });
        }
    }

    fn hint_for(&self, name: &str) -> String {
        if let Some(known) = nearest(name, self.asked.iter().copied()) {
            return did_you_mean(known);
        }
        let mut known = self.asked.clone();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            "this section has no keys yet".to_owned()
        } else {
            format!("known keys: {}", known.join(", "))
        }
    }
}

/// Only the opening of an object is marked: all of it would mark a whole line for what is not there.
fn first_char(range: &Range<usize>) -> Range<usize> {
    range.start..(range.start + 1).min(range.end)
}

/// Tells whether a name is a token of RFC 9110 §5.6.2.
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
