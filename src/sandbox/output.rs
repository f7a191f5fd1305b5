//! What is kept of a command's output: its beginning and its end, however long it is. Pure data.

use std::collections::VecDeque;

use super::clean::Cleaner;

/// The first quarter and the last three quarters of `cap` bytes.
#[derive(Debug)]
pub(super) struct Kept {
    head: Vec<u8>,
    head_cap: usize,
    tail: VecDeque<u8>,
    tail_cap: usize,
    total: u64,
}

impl Kept {
    pub(super) fn new(cap: usize) -> Self {
        let head_cap = cap / 4;
        Self {
            head: Vec::new(),
            head_cap,
            tail: VecDeque::new(),
            tail_cap: cap - head_cap,
            total: 0,
        }
    }

    /// Takes the next piece; keeps at most the cap.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_cap - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        let last = &rest[rest.len().saturating_sub(self.tail_cap)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(self.tail_cap);
        self.tail.drain(..surplus);
        self.tail.extend(last);
    }

    /// Returns how many bytes came.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Returns the kept text, cleaned, with a mark where something was left out.
    pub(super) fn into_text(mut self) -> String {
        let tail = self.tail.make_contiguous();
        if self.total <= (self.head.len() + tail.len()) as u64 {
            self.head.extend_from_slice(tail);
            return Cleaner::clean(&self.head);
        }
        let head = without_cut_end(&self.head);
        let tail = without_cut_start(tail);
        let left_out = self.total - (head.len() + tail.len()) as u64;
        format!(
            "{}\n[… {} bytes left out]\n{}",
            Cleaner::clean(head),
            with_commas(left_out),
            Cleaner::clean(tail)
        )
    }
}

/// Drops the bytes of a character whose end was cut off.
fn without_cut_end(bytes: &[u8]) -> &[u8] {
    let start = bytes.len().saturating_sub(3);
    let lead = (start..bytes.len()).rev().find(|&i| bytes[i] >= 0xc0);
    match lead {
        Some(at) if matches!(std::str::from_utf8(&bytes[at..]), Err(e) if e.error_len().is_none()) => {
            &bytes[..at]
        }
        _ => bytes,
    }
}

/// Drops the bytes of a character whose start was cut off.
fn without_cut_start(bytes: &[u8]) -> &[u8] {
    let cut = bytes.iter().take(3).take_while(|&&b| b & 0xc0 == 0x80);
    &bytes[cut.count()..]
}

fn with_commas(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(cap: usize, pieces: &[&str], expected: &str) {
        let mut kept = Kept::new(cap);
        for piece in pieces {
            kept.push(piece.as_bytes());
        }
        assert_eq!(kept.into_text(), expected);
    }

    #[test]
    fn keeps_all_that_fits_and_both_ends_of_the_rest() {
        check(8, &["", "ab", "cdefgh"], "abcdefgh");
        check(8, &["abcdefghi"], "ab\n[… 1 bytes left out]\ndefghi");
        check(
            8,
            &["abc", "defg", "hijk"],
            "ab\n[… 3 bytes left out]\nfghijk",
        );
    }

    #[test]
    fn cut_characters_are_left_out_whole() {
        // 24 bytes; the first 4 are a character and a third, the last 13 are a third and four characters.
        let mut kept = Kept::new(17);
        kept.push("一二三四五六七八".as_bytes());
        assert_eq!(kept.into_text(), "一\n[… 9 bytes left out]\n五六七八");
        // Bytes that are no UTF-8 at all are not mistaken for cut characters.
        let mut kept = Kept::new(8);
        kept.push(&[0xff; 9]);
        assert_eq!(kept.into_text().matches('\u{fffd}').count(), 8);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(with_commas(0), "0");
        assert_eq!(with_commas(999), "999");
        assert_eq!(with_commas(199_934_464), "199,934,464");
    }

    proptest! {
        #[test]
        fn never_holds_more_than_the_cap(pieces in proptest::collection::vec("[a-z]{0,40}", 0..20), cap in 4usize..64) {
            let mut kept = Kept::new(cap);
            for piece in &pieces {
                kept.push(piece.as_bytes());
                prop_assert!(kept.head.len() + kept.tail.len() <= cap);
            }
            let all = pieces.concat();
            prop_assert_eq!(kept.total(), all.len() as u64);
            let text = kept.into_text();
            if all.len() <= cap {
                prop_assert_eq!(text, all);
            } else {
                prop_assert!(text.starts_with(&all[..cap / 4]));
                prop_assert!(text.ends_with(&all[all.len() - (cap - cap / 4)..]));
            }
        }
    }
}
