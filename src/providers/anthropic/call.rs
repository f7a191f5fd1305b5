//! One model call from its first request to its reply: what earlier responses and refusals of it leave for the next one.
//!
//! Pure; runs on the turn that asks. What holds longer than a call is in `quirks`.

use super::super::fault::Fault;
use super::super::feed::Feed;
use super::super::room::Room;
use super::super::{Reply, Request};
use super::assemble::{Segment, Stop};
use super::blocks::{self, Block, Built, Kind};
use super::request::Replay;
use crate::chat::{Message, Native, Part, Role, StopReason, Usage};

/// How often a paused answer is continued; each time the service had a whole turn of its own.
const MAX_PAUSES: u32 = 8;
/// Lower-case texts, all parts of an entry present: thinking in the request is refused. It is altered, or stands behind
/// something that changed since.
const THINKING_REFUSED: &[&[&str]] = &[
    &["signature", "thinking"],
    &["bound to a different conversation"],
    &["thinking", "cannot be modified"],
    &["redacted_thinking"],
];

/// The same: a block that the service itself has sent is refused, which only services do that copy the format.
const BLOCK_REFUSED: &[&[&str]] = &[
    &["does not match any of the expected tags"],
    &["unknown variant", "content"],
    &["unsupported content", "type"],
];

/// What the next request of a call must take into account.
#[derive(Default)]
pub(crate) struct Call {
    /// How the history is told; less of it goes back as it came after it was refused.
    pub(super) replay: Replay,
    /// How many tokens fit behind this prompt.
    pub(super) room: Room,
    /// What a paused service sent so far; it goes back as the last message.
    blocks: Vec<Block>,
    pauses: u32,
    usage: Usage,
}

impl Call {
    /// Learns from a refusal what only this call needs; returns whether the next request will differ. The refused one left
    /// `asked` tokens for the answer.
    pub(super) fn learn(&mut self, fault: &Fault, asked: u32) -> bool {
        if !matches!(fault.status, 400 | 422) {
            return false;
        }
        let says_all = |parts: &&[&str]| parts.iter().all(|part| fault.says(part));
        for (table, less) in [
            (THINKING_REFUSED, Replay::WithoutThinking),
            (BLOCK_REFUSED, Replay::FromParts),
        ] {
            if self.replay < less && table.iter().any(says_all) {
                self.replay = less;
                return true;
            }
        }
        self.room.learn(fault, asked)
    }

    /// Whether a response of this call was taken already.
    pub(super) fn is_underway(&self) -> bool {
        self.pauses > 0
    }

    /// Size of the text that earlier responses brought.
    pub(super) fn text_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.text().len()).sum()
    }

    /// The paused assistant turn as it goes back; empty if there is none.
    pub(super) fn paused(&mut self) -> Vec<String> {
        let blocks = self.blocks.iter_mut();
        let whole = blocks.filter(|block| block.kind() != Kind::Text || !block.is_blank());
        whole.map(Block::json).collect()
    }

    /// Takes a response; returns the reply, or `None` if the service paused and wants to be asked again.
    pub(super) fn take(
        &mut self,
        segment: Segment,
        request: &Request<'_>,
        provider: &str,
        feed: &Feed<'_>,
    ) -> Option<Reply> {
        self.usage.add(segment.usage);
        self.blocks.extend(segment.blocks);
        let calls = self
            .blocks
            .iter()
            .any(|block| block.kind() == Kind::ToolUse);
        let stop = match segment.stop {
            Stop::Ended(reason) => reason,
            // Calls want results first.
            Stop::Paused if calls => StopReason::Complete,
            Stop::Paused if self.pauses < MAX_PAUSES && !self.blocks.is_empty() => {
                self.pauses += 1;
                return None;
            }
            Stop::Paused => StopReason::Truncated,
        };
        let built = blocks::build(std::mem::take(&mut self.blocks), stop);
        Some(Reply {
            stop: stop_with_calls(stop, &built),
            message: message(built, stop, segment.detail, request, provider),
            usage: self.usage,
            first_token: feed.first_piece(),
            attempts: 1 + self.pauses,
        })
    }
}

/// By the presence of calls first, by the service's reason second.
fn stop_with_calls(stop: StopReason, built: &Built) -> StopReason {
    let calls = built
        .parts
        .iter()
        .any(|part| matches!(part, Part::ToolCall(_)));
    if calls { StopReason::ToolCalls } else { stop }
}

fn message(
    built: Built,
    stop: StopReason,
    detail: Option<String>,
    request: &Request<'_>,
    provider: &str,
) -> Message {
    let mut message = Message {
        role: Role::Assistant,
        parts: built.parts,
        native: built.native.map(|content| Native {
            provider: provider.to_owned(),
            model: request.model.model_id.clone(),
            data: format!("{{\"content\":[{}]}}", content.join(",")),
        }),
    };
    if stop == StopReason::Refused {
        message.parts.extend(detail.map(Part::Note));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> Fault {
        let body = serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
        Fault::from_body(400, body.to_string().as_bytes())
    }

    #[test]
    fn refused_thinking_is_learned_once() {
        let rows = [
            "messages.1.content.0: Invalid `signature` in `thinking` block",
            "messages.5.content.0: The block is bound to a different conversation",
            "messages.3.content.1: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified",
            "messages.1.content.0: Invalid `data` in `redacted_thinking` block",
        ];
        for message in rows {
            let mut call = Call::default();
            assert!(call.learn(&fault(message), 8_192), "{message}");
            assert_eq!(call.replay, Replay::WithoutThinking);
            assert!(!call.learn(&fault(message), 8_192), "{message}");
        }
        let mut call = Call::default();
        assert!(!call.learn(&fault("messages: at least one message is required"), 8_192));
        let elsewhere = Fault::from_body(500, b"Invalid `signature` in `thinking` block");
        assert!(!call.learn(&elsewhere, 8_192));
    }
}
