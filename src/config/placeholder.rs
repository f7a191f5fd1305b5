//! Placeholders inside string values: `<NAME>` and `<NAME:-default>`. Pure functions over a look-up.
//!
//! Works on the value after JSON was parsed, in one pass: what a placeholder brings in is not looked at again.

/// A value with its placeholders replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text; a missing placeholder left nothing.
    pub(super) text: String,
    /// Names without a value and without a default.
    pub(super) missing: Vec<String>,
    /// Names and values that were put in.
    pub(super) used: Vec<(String, String)>,
}

/// Replaces every `<NAME>` (`[A-Z][A-Z0-9_]*`) and `<NAME:-default>`; `\<` is a plain `<`.
///
/// An empty value counts as missing. Other uses of `<` are left as they are.
pub(super) fn expand(text: &str, look_up: impl Fn(&str) -> Option<String>) -> Expanded {
    let mut result = Expanded::default();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('\\') {
            result.text.push_str(before);
            result.text.push('<');
            rest = &from[1..];
            continue;
        }
        result.text.push_str(before);
        let Some((name, default, after)) = parse(from) else {
            result.text.push('<');
            rest = &from[1..];
            continue;
        };
        match look_up(name).filter(|value| !value.is_empty()) {
            Some(value) => {
                result.text.push_str(&value);
                result.used.push((name.to_owned(), value));
            }
            None => match default {
                Some(default) => result.text.push_str(default),
                None => result.missing.push(name.to_owned()),
            },
        }
        rest = after;
    }
    result.text.push_str(rest);
    result
}

/// Tells whether a text is nothing but placeholders without defaults, and so safe to show.
pub(super) fn is_only_names(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, None, after)) = parse(rest) {
        rest = after;
    }
    !text.is_empty() && rest.is_empty()
}

/// Splits a text that starts with a placeholder into name, default and the rest.
fn parse(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let inner = text.strip_prefix('<')?;
    let end = inner
        .bytes()
        .position(|byte| !(byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'))?;
    let (name, tail) = inner.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    if let Some(after) = tail.strip_prefix('>') {
        return Some((name, None, after));
    }
    let (default, after) = tail.strip_prefix(":-")?.split_once('>')?;
    Some((name, Some(default), after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("<KEY>".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn replaces_what_is_a_placeholder() {
        for (text, expected) in [
            ("<KEY>", "value"),
            ("Bearer <KEY>!", "Bearer value!"),
            ("<KEY><KEY>", "valuevalue"),
            ("<NONE:-x y>", "x y"),
            ("<EMPTY:-x>", "x"),
            ("<NONE:->", ""),
            ("<KEY:-x>", "value"),
            ("<LOOP>", "<KEY>"),
            (r"\<KEY>", "<KEY>"),
            (r"\<", "<"),
            (r"a\b<KEY>", r"a\bvalue"),
            ("<key> <1A> < <KEY", "<key> <1A> < <KEY"),
            ("<KEY:x>", "<KEY:x>"),
            ("<KEY:-x", "<KEY:-x"),
            ("<<KEY>>", "<value>"),
            ("密<KEY>钥", "密value钥"),
        ] {
            let result = expand(text, env);
            assert_eq!(result.text, expected, "{text}");
            assert_eq!(result.missing, [""; 0], "{text}");
        }
    }

    #[test]
    fn missing_names_are_listed() {
        let result = expand("<A1_>, <EMPTY>, <KEY>", env);
        assert_eq!(result.missing, ["A1_", "EMPTY"]);
        assert_eq!(result.used, [("KEY".to_owned(), "value".to_owned())]);
    }

    #[test]
    fn only_names_are_safe_to_show() {
        for (text, expected) in [
            ("<KEY>", true),
            ("<A><B>", true),
            ("", false),
            ("x<KEY>", false),
            ("<KEY:-sk-1>", false),
        ] {
            assert_eq!(is_only_names(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[<>A-Z:\\-a é]{0,30}") {
            let escaped = text.replace('<', r"\<");
            prop_assert_eq!(expand(&escaped, env).text, text);
        }

        #[test]
        fn nothing_is_lost_around_placeholders(before in "[^<\\\\]{0,10}", after in "[^<]{0,10}") {
            let result = expand(&format!("{before}<KEY>{after}"), env);
            prop_assert_eq!(result.text, format!("{before}value{after}"));
        }
    }
}
