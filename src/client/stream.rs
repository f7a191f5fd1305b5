//! Lays out an answer while it streams: what is behind a block that can no longer change is kept, only the rest is laid out
//! anew, and of that only the lines that changed: a list or a table may go on for long without such a block. Pure. When the
//! answer is complete it is laid out once as a whole.

use super::entry_rows::{Context, answer_lead, answer_rows};
use super::text::{Memo, Rows};

/// The kept part of one answer.
#[derive(Default)]
pub(super) struct Streamed {
    uid: u64,
    context: Context,
    /// Bytes of the text that are laid out for good.
    stable: usize,
    rows: Rows,
    /// Lines of the rest.
    memo: Memo,
}

impl Streamed {
    /// Returns the rows of an answer that has only grown since the last time.
    pub(super) fn rows(&mut self, uid: u64, text: &str, context: &Context) -> Rows {
        if self.uid != uid || self.context != *context || !text.is_char_boundary(self.stable) {
            *self = Self {
                uid,
                context: context.clone(),
                ..Self::default()
            };
        }
        let end = stable_end(text, self.stable);
        if end > self.stable {
            let more = answer_rows(&text[self.stable..end], true, context, Some(&mut self.memo));
            self.append(more);
            self.stable = end;
        }
        let rest = answer_rows(&text[end..], true, context, Some(&mut self.memo));
        self.memo.end_round();
        let mut rows = self.rows.clone();
        if !rows.is_empty() && !rest.is_empty() {
            rows.push(answer_lead(context));
        }
        rows.extend(rest);
        rows
    }

    fn append(&mut self, more: Rows) {
        if !self.rows.is_empty() && !more.is_empty() {
            self.rows.push(answer_lead(&self.context));
        }
        self.rows.extend(more);
    }
}

/// Finds the end of what can no longer change: the last line outside of code that begins a block of its own behind a blank
/// line. Lists, quotes and tables may go on behind one, so they are no such beginning.
fn stable_end(text: &str, from: usize) -> usize {
    let mut end = from;
    let mut at = from;
    let mut in_code = false;
    let mut after_blank = false;
    for line in text[from..].split_inclusive('\n') {
        let is_fence = line.starts_with("```") || line.starts_with("~~~");
        // Half a mark may still become something else.
        let is_heading = line.starts_with('#') && !line.trim_matches(['#', ' ', '\n']).is_empty();
        let begins = line.starts_with(char::is_alphabetic) || line.starts_with("**") || is_heading;
        if after_blank && !in_code && at > from && (is_fence || begins) {
            end = at;
        }
        // Fences of a list are indented; they close nothing here.
        in_code ^= is_fence;
        after_blank = line.trim().is_empty();
        at += line.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::entry_rows::Context;

    fn cx() -> Context {
        Context {
            width: 40,
            ..Context::default()
        }
    }

    const TEXT: &str = "# 计划\n\n先看一下目录里有什么,再移动。\n\n1. 一\n\n2. 二\n   more\n\n```sh\nls\n\n# no heading\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n**好** and the end。\n\n- x\n- y\n\n## next\n\nlast";

    #[test]
    fn streaming_shows_what_the_whole_shows() {
        let mut streamed = Streamed::default();
        for (end, _) in TEXT.char_indices().skip(1) {
            let shown = streamed.rows(1, &TEXT[..end], &cx());
            assert_eq!(
                shown,
                answer_rows(&TEXT[..end], true, &cx(), None),
                "{:?}",
                &TEXT[..end]
            );
        }
        assert!(streamed.stable > TEXT.len() / 2, "most of it was kept");
        let n_lines = TEXT.lines().count();
        let n_chars = TEXT.chars().count();
        assert!(
            streamed.memo.n_made < n_chars + 3 * n_lines,
            "most were kept"
        );
        let other = streamed.rows(2, "other", &cx());
        assert_eq!(other.len(), 1);
    }

    #[test]
    fn of_a_list_without_end_only_the_end_is_laid_out() {
        let item = |n: usize| format!("{n}. 新建 `{n}/`,移动 **全部** 文件\n   - and more\n");
        let text: String = (1..200).map(item).collect();
        let mut streamed = Streamed::default();
        let mut n_frames = 0;
        for (end, _) in text.char_indices().step_by(10).skip(1) {
            streamed.rows(1, &text[..end], &cx());
            n_frames += 1;
        }
        let shown = streamed.rows(1, &text, &cx());
        assert_eq!(shown, answer_rows(&text, true, &cx(), None));
        assert_eq!(streamed.stable, 0, "a list has no end before its end");
        // In each frame the line that grows and the one it became.
        let n_made = streamed.memo.n_made;
        assert!(
            n_made <= 3 * n_frames,
            "{n_made} lines in {n_frames} frames"
        );
    }

    #[test]
    fn a_paragraph_without_end_is_laid_out_as_a_whole_would_be() {
        let piece = "先看一下目录里有什么,再按 **年份** 移动 all the files（one by one），👨‍👩‍👧 🇨🇳🇨🇳 e\u{301}  `ls`。longlonglonglonglonglonglonglonglongword ";
        let text = piece.repeat(6);
        for width in [7, 40] {
            let cx = Context { width, ..cx() };
            let mut streamed = Streamed::default();
            for (end, _) in text.char_indices().skip(1) {
                let shown = streamed.rows(1, &text[..end], &cx);
                let whole = answer_rows(&text[..end], true, &cx, None);
                assert_eq!(shown, whole, "{width}: {:?}", &text[..end]);
            }
        }
    }
}
