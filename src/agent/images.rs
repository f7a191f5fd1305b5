//! Which images go into a request and where: what the model takes, what the wire format allows, and not too many. Pure.
//!
//! Every image is named in the text at its place, sent or not, so that a request changes as little as possible when an
//! image is left out and the model can say which one it means. How an image looks on the wire is the provider adapter's
//! business.

use std::borrow::Cow;

use crate::chat::{Image, Message, Part, Role};
use crate::providers::{Dialect, ModelSpec};

/// When there are too many, the oldest images go in blocks of this many: then most requests begin like the one before,
/// and caches of model services stay of use.
const BLOCK: usize = 10;
/// Bytes of all images of a request; as base64 this fits into the 32 MB that services take at least.
const MAX_BYTES: usize = 15 * 1024 * 1024;
/// Stands before images that cannot stand in a tool's result.
const TOOL_IMAGES: &str = "The images of the tool results:";

/// Shapes a legal history's images for a model. It stays legal.
pub(crate) fn place<'m>(
    messages: &'m [Message],
    model: &ModelSpec,
    dialect: Dialect,
) -> Cow<'m, [Message]> {
    let n_images = messages.iter().flat_map(Message::images).count();
    if n_images == 0 {
        return messages.into();
    }
    let mut placer = Placer {
        seen: 0,
        first_sent: if model.images {
            first_sent(messages, n_images)
        } else {
            n_images
        },
    };
    let mut out: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut moved: Vec<Part> = Vec::new();
    for message in messages {
        let mut message = placer.shape(message);
        match message.role {
            Role::Tool if dialect == Dialect::OpenAi => moved = take_tool_images(&mut message),
            Role::User => {
                message.parts.splice(..0, moved.drain(..));
            }
            _ => push_moved(&mut out, &mut moved),
        }
        out.push(message);
    }
    push_moved(&mut out, &mut moved);
    out.into()
}

/// Returns the number of the oldest image that is sent, the oldest of all being 0.
fn first_sent(messages: &[Message], n_images: usize) -> usize {
    let too_many = n_images.saturating_sub(Image::MAX_IN_REQUEST);
    let by_count = too_many.div_ceil(BLOCK) * BLOCK;
    let mut left = MAX_BYTES;
    let newest_first = messages
        .iter()
        .rev()
        .flat_map(|message| message.images().rev());
    let n_fitting = newest_first
        .take_while(|image| {
            let fits = image.data.len() <= left;
            left = left.saturating_sub(image.data.len());
            fits
        })
        .count();
    by_count.max(n_images - n_fitting)
}

/// Walks over the images in order.
struct Placer {
    seen: usize,
    first_sent: usize,
}

impl Placer {
    /// Names every image of a message and takes out those that are not sent.
    fn shape(&mut self, message: &Message) -> Message {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            match part {
                Part::Image(image) => {
                    parts.push(Part::Text(image.note()));
                    if self.is_sent(image) {
                        parts.push(part.clone());
                    }
                }
                Part::ToolResult(result) => {
                    let mut result = result.clone();
                    for image in &result.images {
                        result.content.push('\n');
                        result.content.push_str(&image.note());
                    }
                    // A failed call may only say something.
                    let failed = result.is_error;
                    result.images.retain(|image| self.is_sent(image) && !failed);
                    parts.push(Part::ToolResult(result));
                }
                other => parts.push(other.clone()),
            }
        }
        Message {
            parts,
            role: message.role,
            native: message.native.clone(),
        }
    }

    fn is_sent(&mut self, image: &Image) -> bool {
        let number = self.seen;
        self.seen += 1;
        number >= self.first_sent && !image.data.is_empty()
    }
}

/// Takes the images out of tool results, for a user message behind them.
fn take_tool_images(message: &mut Message) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in &mut message.parts {
        if let Part::ToolResult(result) = part {
            for image in std::mem::take(&mut result.images) {
                parts.push(Part::Text(image.note()));
                parts.push(Part::Image(image));
            }
        }
    }
    if !parts.is_empty() {
        parts.insert(0, Part::Text(TOOL_IMAGES.to_owned()));
    }
    parts
}

fn push_moved(out: &mut Vec<Message>, moved: &mut Vec<Part>) {
    if !moved.is_empty() {
        out.push(Message {
            role: Role::User,
            parts: std::mem::take(moved),
            native: None,
        });
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
