//! Long answers as they stand on the wire, in both formats, made once. Pure.

use std::sync::OnceLock;

/// A wire format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Chat completions.
    Chat,
    /// The Messages API.
    Messages,
}

/// Pieces of [`long`]; services send one token a piece.
pub(crate) const LONG_PIECES: usize = 20_000;
/// Bytes of [`big`]'s text.
pub(crate) const BIG_BYTES: usize = 1024 * 1024;
/// Bytes of a piece of [`big`].
const BIG_PIECE: usize = 1024;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Returns an answer of 20,000 tokens, each in an event and a chunk of its own.
pub(crate) fn long(format: Format) -> &'static str {
    static LONG: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    // English, an escape and Chinese, as answers have them.
    let words = ["word ", "and ", "number\\n", "好的", "next "];
    LONG[format as usize].get_or_init(|| {
        let pieces = (0..LONG_PIECES).map(|n| words[n % words.len()]);
        answer(format, pieces)
    })
}

/// Returns an answer of 1 MiB.
pub(crate) fn big(format: Format) -> &'static str {
    static BIG: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let piece = "x".repeat(BIG_PIECE);
    BIG[format as usize].get_or_init(|| {
        let pieces = std::iter::repeat_n(piece.as_str(), BIG_BYTES / BIG_PIECE);
        answer(format, pieces)
    })
}

/// Returns an answer of two pieces.
pub(crate) fn short(format: Format) -> &'static str {
    static SHORT: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    SHORT[format as usize].get_or_init(|| answer(format, ["This is ", "the answer."].into_iter()))
}

/// Writes a whole response; the pieces are JSON text without quotes.
fn answer<'a>(format: Format, pieces: impl Iterator<Item = &'a str>) -> String {
    let mut out = HEAD.to_owned();
    let mut add = |event: &str| out.push_str(&format!("{:x}\r\n{event}\r\n", event.len()));
    match format {
        Format::Chat => {
            add(&chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null"));
            for piece in pieces {
                add(&chunk(&format!("{{\"content\":\"{piece}\"}}"), "null"));
            }
            add(&chunk("{}", "\"stop\""));
            add("data: [DONE]\n\n");
        }
        Format::Messages => {
            add(&event(
                "message_start",
                "\"message\":{\"id\":\"b\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":100,\"output_tokens\":1}}",
            ));
            add(&event(
                "content_block_start",
                "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}",
            ));
            for piece in pieces {
                let delta = format!(
                    "\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{piece}\"}}"
                );
                add(&event("content_block_delta", &delta));
            }
            add(&event("content_block_stop", "\"index\":0"));
            add(&event(
                "message_delta",
                "\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20000}",
            ));
            let last = event("message_stop", "");
            add(&last.replace(",}", "}"));
        }
    }
    out.push_str("0\r\n\r\n");
    out
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"b\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn event(kind: &str, rest: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n")
}
