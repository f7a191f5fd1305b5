//! What becomes of a command's output: made plain, masked, shown live, and collected within the limits of a result.
//!
//! Runs on the call's thread while the command prints. Not here: how a command ended.

use std::collections::VecDeque;

use super::{Spill, ToolCtx};
use crate::observability::RedactedStream;
use crate::sandbox::Cleaner;

/// How much of a call's output is shown while it runs; who prints more is building something, not talking.
pub(super) const MAX_LIVE_BYTES: usize = 256 * 1024;
/// How much is collected from the beginning: what the file of a long result takes. Of the rest only the end is kept.
const MAX_COLLECTED_BYTES: usize = 16 * 1024 * 1024;
/// The end that is kept of what is not collected, in bytes.
const TAIL_BYTES: usize = 32 * 1024;

/// Takes the output of one call.
pub(super) struct CallOutput<'a> {
    cleaner: Cleaner,
    masked: RedactedStream<'a>,
    sink: Sink<'a>,
    room: usize,
    tail: VecDeque<u8>,
    /// What came behind `room`, the tail included.
    beyond: u64,
}

/// Where plain, masked text goes.
struct Sink<'a> {
    result: Spill<'a>,
    show: &'a (dyn Fn(&str) + Sync),
    live_room: usize,
}

impl<'a> CallOutput<'a> {
    pub(super) fn new(ctx: &'a ToolCtx<'_>) -> Self {
        Self {
            cleaner: Cleaner::new(),
            masked: RedactedStream::new(ctx.secrets),
            sink: Sink {
                result: Spill::new(ctx.workspace, "bash"),
                show: ctx.output,
                live_room: MAX_LIVE_BYTES,
            },
            room: MAX_COLLECTED_BYTES,
            tail: VecDeque::new(),
            beyond: 0,
        }
    }

    /// Takes the next raw bytes. May write to the disk.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (now, rest) = bytes.split_at(bytes.len().min(self.room));
        self.room -= now.len();
        self.collect(now);
        self.beyond += rest.len() as u64;
        let last = &rest[rest.len().saturating_sub(TAIL_BYTES)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.tail.extend(last);
    }

    fn collect(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut text = String::new();
        self.cleaner.push(bytes, &mut text);
        let sink = &mut self.sink;
        self.masked.push(&text, &mut |text| sink.take(text));
    }

    /// Ends the output; returns what the model gets.
    pub(super) fn finish(mut self) -> String {
        let lost = self.beyond - self.tail.len() as u64;
        if lost > 0 {
            self.collect(format!("\n[… {lost} bytes left out]\n").as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        self.collect(&tail);
        let mut text = String::new();
        self.cleaner.finish(&mut text);
        let sink = &mut self.sink;
        self.masked.push(&text, &mut |text| sink.take(text));
        self.masked.finish(&mut |text| sink.take(text));
        self.sink.result.finish().text
    }
}

impl Sink<'_> {
    fn take(&mut self, text: &str) {
        self.result.push(text);
        if self.live_room == 0 {
            return;
        }
        let mut end = text.len().min(self.live_room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if end > 0 {
            (self.show)(&text[..end]);
        }
        self.live_room -= end;
        if end < text.len() {
            self.live_room = 0;
            (self.show)("\n[more output is not shown live]\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::Redactor;
    use crate::threads::CancelToken;
    use crate::tools::{Workspace, WorkspaceOptions};
    use std::sync::Mutex;

    /// Runs pieces through; returns the result and what was shown live.
    fn through(pieces: impl IntoIterator<Item = Vec<u8>>) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path(), WorkspaceOptions::default()).unwrap();
        let secrets = Redactor::new(["geheim-1234".to_owned()].into_iter());
        let shown = Mutex::new(String::new());
        let ctx = ToolCtx {
            workspace: &workspace,
            session: &"a:b:c".parse().unwrap(),
            cancel: &CancelToken::new(),
            secrets: &secrets,
            output: &|text| shown.lock().unwrap().push_str(text),
            boundary: "b0",
            until: std::time::Instant::now() + std::time::Duration::from_secs(900),
            judge: &|_| Ok(()),
            images: None,
        };
        let mut output = CallOutput::new(&ctx);
        for piece in pieces {
            output.push(&piece);
        }
        let result = output.finish();
        (result, shown.into_inner().unwrap())
    }

    #[test]
    fn text_is_plain_and_masked_in_both_places() {
        let pieces =
            ["\x1b[1m你 geh", "eim-1234 b", "\u{e9}"].map(|piece| piece.as_bytes().to_vec());
        let (result, shown) = through(pieces);
        assert_eq!(result, "你 *** bé");
        assert_eq!(shown, result);
    }

    #[test]
    fn live_output_ends_at_its_limit() {
        let (_, shown) = through([vec![b'x'; 2 * MAX_LIVE_BYTES]]);
        assert!(shown.ends_with("x\n[more output is not shown live]\n"));
        assert!(shown.len() < MAX_LIVE_BYTES + 100);
    }

    #[test]
    fn output_without_end_keeps_both_ends() {
        let mut pieces = vec![b"first\n".to_vec()];
        pieces.extend(std::iter::repeat_n(b"middle line\n".repeat(1 << 16), 24));
        pieces.push(b"last\n".to_vec());
        let (result, _) = through(pieces);
        assert!(result.starts_with("first\n"), "{}", &result[..200]);
        assert!(result.ends_with("middle line\nlast\n"));
        assert!(
            result.contains(".picobot/results/"),
            "{}",
            &result[7_000..9_000]
        );
        assert!(result.chars().count() <= 16_000);
    }
}
