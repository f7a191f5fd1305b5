//! Message parts as JSON text in the `messages` table: the one place that knows that form.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chat::{Image, MediaType, Part, Role, ToolCall, ToolResult};

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
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<ImageJson<'a>>,
    },
    Image(#[serde(borrow)] ImageJson<'a>),
}

/// The stored form of an image; its bytes are in the `media` table.
#[derive(Serialize, Deserialize)]
struct ImageJson<'a> {
    /// The digest.
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    media_type: Cow<'a, str>,
    w: u32,
    h: u32,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> From<&'a Image> for ImageJson<'a> {
    fn from(image: &'a Image) -> Self {
        Self {
            id: (&image.digest).into(),
            media_type: image.media_type.as_str().into(),
            w: image.width,
            h: image.height,
            name: (&image.name).into(),
        }
    }
}

impl From<ImageJson<'_>> for Image {
    /// The bytes are filled in by whoever needs them.
    fn from(row: ImageJson<'_>) -> Self {
        Self {
            digest: row.id.into_owned(),
            media_type: MediaType::from_word(&row.media_type).unwrap_or(MediaType::Png),
            width: row.w,
            height: row.h,
            name: row.name.into_owned(),
            data: Arc::default(),
        }
    }
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
                images: result.images.iter().map(ImageJson::from).collect(),
            },
            Part::Image(image) => PartJson::Image(image.into()),
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
            PartJson::Result {
                id,
                content,
                error,
                images,
            } => Part::ToolResult(ToolResult {
                call_id: id.into_owned(),
                content: content.into_owned(),
                is_error: error,
                images: images.into_iter().map(Image::from).collect(),
            }),
            PartJson::Image(image) => Part::Image(image.into()),
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

    fn some_image() -> impl Strategy<Value = Image> {
        (".{0,9}", any::<u32>(), any::<u32>(), ".{0,9}").prop_map(
            |(digest, width, height, name)| Image {
                digest,
                media_type: MediaType::Webp,
                width,
                height,
                name,
                data: Arc::default(),
            },
        )
    }

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            some_image().prop_map(Part::Image),
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
            (
                ".{0,9}",
                ".{0,40}",
                any::<bool>(),
                proptest::collection::vec(some_image(), 0..3)
            )
                .prop_map(|(call_id, content, is_error, images)| {
                    Part::ToolResult(ToolResult {
                        call_id,
                        content,
                        is_error,
                        images,
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
                images: Vec::new(),
            }),
            Part::Image(Image {
                digest: "d".into(),
                media_type: MediaType::Jpeg,
                width: 8,
                height: 6,
                name: "图.jpg".into(),
                data: Arc::new([1, 2]),
            }),
        ];
        insta::assert_snapshot!(to_json(&parts), @r#"[{"t":"context","text":"now"},{"t":"text","text":"二"},{"t":"call","id":"c1","name":"bash","args":"{\"command\":\"ls\"}"},{"t":"result","id":"c1","content":"a\nb","error":true},{"t":"image","id":"d","type":"image/jpeg","w":8,"h":6,"name":"图.jpg"}]"#);
    }
}
