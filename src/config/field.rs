//! One value of a parsed configuration and how to read it: text with placeholders, secret, path, word, reference.
//! Reports what is wrong where it stands. Runs on the loading thread.

use std::ops::Range;
use std::path::PathBuf;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use super::context::{Context, Report, expand_path, join_path, looks_secret};
use super::nearest::nearest;
use super::placeholder::{expand, is_only_names};
use super::problem::Severity;
use super::reader::Section;
use super::secret::Secret;
use super::source::shortened;

/// One value and where it stands.
pub(super) struct Field<'a> {
    cx: &'a Context<'a>,
    value: &'a Value<'a>,
    path: String,
    in_use: bool,
}

impl<'a> Field<'a> {
    pub(super) fn new(
        cx: &'a Context<'a>,
        value: &'a Value<'a>,
        path: String,
        in_use: bool,
    ) -> Self {
        Self {
            cx,
            value,
            path,
            in_use,
        }
    }

    /// Returns the value as it is in the tree.
    pub(super) fn value(&self) -> &'a Value<'a> {
        self.value
    }

    /// Returns where the value stands in the file.
    pub(super) fn range(&self) -> Range<usize> {
        let range = self.value.range();
        range.start..range.end
    }

    /// Reports the value itself as wrong.
    pub(super) fn wrong(&self, message: &str) {
        self.wrong_with_hint(message, None);
    }

    pub(super) fn wrong_with_hint(&self, message: &str, hint: Option<String>) {
        self.cx.report(Report {
            severity: Severity::Error,
            range: self.range(),
            path: &self.path,
            message: message.to_owned(),
            shows_value: true,
            hint,
        });
    }

    fn object(&self) -> Option<&'a Object<'a>> {
        let object = self.value.as_object();
        if object.is_none() {
            self.wrong("expected an object { … }");
        }
        object
    }

    /// Returns the value as an object with known keys.
    pub(super) fn section(self) -> Section<'a> {
        let (range, object) = (self.range(), self.object());
        Section::new(self.cx, self.path, range, object, self.in_use)
    }

    /// Returns the sections of one object or of a list of objects.
    pub(super) fn one_or_many(self) -> Vec<Section<'a>> {
        if self.value.as_array().is_none() {
            return vec![self.section()];
        }
        self.elements().into_iter().map(Field::section).collect()
    }

    /// Returns the values of an object by name, in file order.
    pub(super) fn members(&self) -> Vec<(String, Field<'a>)> {
        let properties = self.object().map_or(&[][..], |object| &object.properties);
        let fields = properties.iter().map(|property| {
            let name = property.name.as_str();
            (
                name.to_owned(),
                self.inner(&property.value, join_path(&self.path, name)),
            )
        });
        fields.collect()
    }

    /// Returns the values of a list.
    pub(super) fn elements(&self) -> Vec<Field<'a>> {
        let Some(array) = self.value.as_array() else {
            self.wrong("expected a list [ … ]");
            return Vec::new();
        };
        let fields = array.elements.iter().enumerate();
        fields
            .map(|(index, value)| self.inner(value, format!("{}[{index}]", self.path)))
            .collect()
    }

    fn inner(&self, value: &'a Value<'a>, path: String) -> Field<'a> {
        Field::new(self.cx, value, path, self.in_use)
    }

    fn raw_text(&self) -> Option<&'a str> {
        let literal = self.value.as_string_lit();
        if literal.is_none() {
            self.wrong("expected a text in quotes");
        }
        literal.map(|literal| literal.value.as_ref())
    }

    /// Returns the text with placeholders replaced, or nothing if one is missing.
    pub(super) fn text(&self) -> Option<String> {
        let raw = self.raw_text()?;
        let expanded = expand(raw, |name| self.cx.env.get(name));
        for (name, value) in &expanded.used {
            if looks_secret(name) {
                self.cx.keep_secret(value);
            }
        }
        for name in &expanded.missing {
            self.missing_placeholder(name);
        }
        expanded.missing.is_empty().then_some(expanded.text)
    }

    fn missing_placeholder(&self, name: &str) {
        if !self.in_use {
            return;
        }
        let near = nearest(name, self.cx.env.names()).filter(|near| *near != name);
        let hint = near.map_or_else(
            || {
                let file = self.cx.env.dotenv_file.display();
                format!("put {name}=… into {file} or into the environment")
            },
            did_you_mean,
        );
        self.cx.report(Report {
            severity: Severity::Error,
            range: self.range(),
            path: &self.path,
            message: format!("{} is not set", shortened(name, 64)),
            shows_value: false,
            hint: Some(hint),
        });
    }

    /// Returns a text that is not blank.
    pub(super) fn filled_text(&self, expected: &str) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.wrong(expected);
            return None;
        }
        Some(text)
    }

    /// Returns a secret; an empty text is the same as absent.
    pub(super) fn secret(&self) -> Option<Secret> {
        let text = self.text().filter(|text| !text.is_empty())?;
        self.keep_secret(text)
    }

    /// Keeps a text of this value for redaction.
    pub(super) fn keep_secret(&self, text: String) -> Option<Secret> {
        self.cx.keep_secret(&text);
        self.note_if_literal();
        Some(Secret::new(text))
    }

    /// Returns a header or environment value. Not all of these are secret, and masking `application/json` in every
    /// log line helps nobody: kept for redaction is what is named like a secret, came from a placeholder, or looks
    /// like a token.
    pub(super) fn secret_of(&self, name: &str) -> Option<Secret> {
        let raw = self.raw_text()?;
        let text = self.text()?;
        if looks_secret(name) || raw != text || looks_like_token(&text) {
            self.cx.keep_secret(&text);
            // `Bearer KEY`: the key alone is a secret too.
            if let Some((_, last)) = text.rsplit_once(' ') {
                self.cx.keep_secret(last);
            }
            self.note_if_literal();
        }
        Some(Secret::new(text))
    }

    /// Returns the environment variable that this text names, if it is set. Its value is kept for redaction if its name
    /// or its look says that it is a secret.
    pub(super) fn variable(&self) -> Option<(String, Secret)> {
        let name = self.text()?;
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(is_name)
        {
            self.wrong("expected the name of an environment variable: letters, digits and _");
            return None;
        }
        let value = self.cx.env.get(&name)?;
        if looks_secret(&name) || looks_like_token(&value) {
            self.cx.keep_secret(&value);
        }
        Some((name, Secret::new(value)))
    }

    fn note_if_literal(&self) {
        let raw = self.value.as_string_lit().map(|literal| &literal.value);
        if raw.is_some_and(|raw| !is_only_names(raw) && !raw.contains('<')) {
            self.cx.note_literal_secret(self.range());
        }
    }

    /// Returns an absolute path; see [`expand_path`].
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        let workspace = self.cx.workspace.get().map(PathBuf::as_path);
        match expand_path(&text, self.cx.folders, workspace) {
            Ok(path) => Some(path),
            Err(expected) => {
                self.wrong(expected);
                None
            }
        }
    }

    /// Returns a program: a plain name as it is, anything else as a path.
    pub(super) fn command(&self) -> Option<String> {
        let text = self.text()?;
        if !text.is_empty() && !text.contains(['/', '~', '\0']) {
            return Some(text);
        }
        Some(self.path()?.to_string_lossy().into_owned())
    }

    /// Returns an address with one of the schemes, a host and no user name.
    pub(super) fn url(&self, schemes: &[&str]) -> Option<String> {
        let text = self.text()?;
        if is_url(&text, schemes) {
            return Some(text);
        }
        let forms: Vec<String> = schemes.iter().map(|s| format!("{s}://host…")).collect();
        let forms = forms.join(" or ");
        self.wrong(&format!(
            "expected an address {forms} without user name or spaces"
        ));
        None
    }

    /// Returns one of a few words.
    pub(super) fn word<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let known = choices.iter().find(|(word, _)| *word == text);
        if known.is_none() {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let hint = nearest(&text, choices.iter().map(|(word, _)| *word)).map(did_you_mean);
            self.wrong_with_hint(&format!("expected {}", words.join(" or ")), hint);
        }
        known.map(|(_, value)| *value)
    }

    /// Returns a text that is one of `names`; reports one that is not.
    pub(super) fn reference(&self, what: &str, names: &[String]) -> Option<String> {
        let text = self.text()?;
        if names.contains(&text) {
            return Some(text);
        }
        let hint = self.cx.hint(|| Some(hint_of_names(&text, what, names)));
        self.wrong_with_hint(&format!("expected the name of a {what}"), hint);
        None
    }
}

fn hint_of_names(text: &str, what: &str, names: &[String]) -> String {
    match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => did_you_mean(near),
        None if names.is_empty() => format!("no {what} is configured"),
        None => format!("configured: {}", shortened(&names.join(", "), 200)),
    }
}

/// Words a hint with the nearest name.
pub(super) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{}`?", shortened(name, 64))
}

fn looks_like_token(text: &str) -> bool {
    text.len() >= 20
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !text.contains([' ', '/', ';', ','])
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    schemes
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        && !authority.is_empty()
        && !authority.starts_with(':')
        && !authority.contains('@')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
