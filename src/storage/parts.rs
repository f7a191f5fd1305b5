//! Message parts as JSON text in the `messages` table: the one place that knows that form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::chat::{Part, Role, ToolCall, ToolResult};

/// The stored form of a part. Names are short because they stand in every row.
#[derive(Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum PartJson<'a> {
    Text {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Context {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Note {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Call {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        args: Cow<'a, str>,
    },
    Result {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow)]
        content: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        error: bool,
    },
}

/// Writes parts as JSON text.
pub(super) fn to_json(parts: &[Part]) -> String {
    let rows: Vec<PartJson<'_>> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => PartJson::Text { text: text.into() },
            Part::Context(text) => PartJson::Context { text: text.into() },
            Part::Note(text) => PartJson::Note { text: text.into() },
            Part::ToolCall(call) => PartJson::Call {
                id: (&call.id).into(),
                name: (&call.name).into(),
                args: (&call.arguments).into(),
            },
            Part::ToolResult(result) => PartJson::Result {
                id: (&result.call_id).into(),
                content: (&result.content).into(),
                error: result.is_error,
            },
        })
        .collect();
    serde_json::to_string(&rows).expect("parts hold only text and flags")
}

/// Reads parts back. A row that cannot be read becomes a note saying so, so that one bad row does not lock a dialog.
pub(super) fn from_json(text: &str) -> Vec<Part> {
    let rows: Vec<PartJson<'_>> = match serde_json::from_str(text) {
        Ok(rows) => rows,
        Err(error) => {
            log::error!("a stored message cannot be read: {error}");
            return vec![Part::Note("[unreadable message]".to_owned())];
        }
    };
    rows.into_iter()
        .map(|row| match row {
            PartJson::Text { text } => Part::Text(text.into_owned()),
            PartJson::Context { text } => Part::Context(text.into_owned()),
            PartJson::Note { text } => Part::Note(text.into_owned()),
            PartJson::Call { id, name, args } => Part::ToolCall(ToolCall {
                id: id.into_owned(),
                name: name.into_owned(),
                arguments: args.into_owned(),
            }),
            PartJson::Result { id, content, error } => Part::ToolResult(ToolResult {
                call_id: id.into_owned(),
                content: content.into_owned(),
                is_error: error,
            }),
        })
        .collect()
}

/// Returns the stored word of a role.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

/// Reads a role's word; anything unknown counts as the user's.
pub(super) fn role_from(word: &str) -> Role {
    match word {
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => Role::User,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            ".{0,40}".prop_map(Part::Text),
            ".{0,40}".prop_map(Part::Context),
            ".{0,40}".prop_map(Part::Note),
            (".{0,9}", ".{0,9}", ".{0,40}").prop_map(|(id, name, arguments)| Part::ToolCall(
                ToolCall {
                    id,
                    name,
                    arguments
                }
            )),
            (".{0,9}", ".{0,40}", any::<bool>()).prop_map(|(call_id, content, is_error)| {
                Part::ToolResult(ToolResult {
                    call_id,
                    content,
                    is_error,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn parts_come_back_as_they_went(parts in proptest::collection::vec(part(), 0..6)) {
            prop_assert_eq!(from_json(&to_json(&parts)), parts);
        }
    }

    #[test]
    fn a_broken_row_is_a_note() {
        assert_eq!(
            from_json("[{\"t\":\"text\""),
            [Part::Note("[unreadable message]".into())]
        );
    }

    #[test]
    fn stored_form_snapshot() {
        let parts = [
            Part::Context("now".into()),
            Part::Text("二".into()),
            Part::ToolCall(ToolCall {
                id: "c1".into(),
                name: "bash".into(),
                arguments: "{\"command\":\"ls\"}".into(),
            }),
            Part::ToolResult(ToolResult {
                call_id: "c1".into(),
                content: "a\nb".into(),
                is_error: true,
            }),
        ];
        insta::assert_snapshot!(to_json(&parts), @r#"[{"t":"context","text":"now"},{"t":"text","text":"二"},{"t":"call","id":"c1","name":"bash","args":"{\"command\":\"ls\"}"},{"t":"result","id":"c1","content":"a\nb","error":true}]"#);
    }
}
