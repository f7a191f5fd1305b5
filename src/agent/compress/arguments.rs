//! Arguments of a call as plain text. Models write JSON with more escapes than needed (`\\u62a5` for `报`): a name read from it
//! would begin in the middle of an escape. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// What a call says.
pub(super) struct Said<'a> {
    /// The arguments, with as few escapes as JSON allows.
    pub(super) shown: Cow<'a, str>,
    /// The texts and numbers in them, a line each.
    pub(super) texts: Cow<'a, str>,
}

impl<'a> Said<'a> {
    /// Reads arguments; what is no JSON stands for itself.
    pub(super) fn read(arguments: &'a str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(arguments) else {
            return Self {
                shown: arguments.into(),
                texts: arguments.into(),
            };
        };
        let mut texts = String::new();
        let mut rest = vec![&value];
        while let Some(value) = rest.pop() {
            match value {
                Value::String(text) => {
                    texts.push_str(text);
                    texts.push('\n');
                }
                Value::Number(number) => texts.push_str(&format!("{number}\n")),
                // Taken from the end, so that they come in order.
                Value::Array(values) => rest.extend(values.iter().rev()),
                Value::Object(fields) => rest.extend(fields.values().rev()),
                Value::Null | Value::Bool(_) => {}
            }
        }
        Self {
            shown: value.to_string().into(),
            texts: texts.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_no_part_of_what_is_said() {
        let said =
            Said::read(r#"{"path":"/srv/\u62a5\u544a.csv","edits":[{"old":"a\nb"},7,true,null]}"#);
        assert_eq!(said.texts, "/srv/报告.csv\na\nb\n7\n");
        assert_eq!(
            said.shown,
            r#"{"path":"/srv/报告.csv","edits":[{"old":"a\nb"},7,true,null]}"#
        );
        let broken = r#"{"path":"/srv/a.txt"#;
        let said = Said::read(broken);
        assert_eq!((&*said.texts, &*said.shown), (broken, broken));
    }
}
