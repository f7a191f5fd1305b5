//! The newest output of a process that nobody has read yet, within a limit. Pure data.

/// Text waiting to be read; when it is too long its beginning is lost and counted.
#[derive(Debug)]
pub(super) struct Recent {
    text: String,
    cap: usize,
    lost: u64,
}

impl Recent {
    /// Holds at most `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            text: String::new(),
            cap,
            lost: 0,
        }
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &str) {
        // A long piece pushes everything out, and its own beginning.
        let mut start = text.len().saturating_sub(self.cap);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        if start > 0 {
            self.lost += (self.text.len() + start) as u64;
            self.text.clear();
        }
        self.text.push_str(&text[start..]);
        let mut surplus = self.text.len().saturating_sub(self.cap);
        if surplus == 0 {
            return;
        }
        // A little more than needed, so that not every small piece moves the whole text.
        surplus = (surplus + self.cap / 8).min(self.text.len());
        while !self.text.is_char_boundary(surplus) {
            surplus += 1;
        }
        self.text.drain(..surplus);
        self.lost += surplus as u64;
    }

    /// Tells whether there is anything new.
    pub(super) fn has_unread(&self) -> bool {
        !self.text.is_empty() || self.lost > 0
    }

    /// Takes what is new, with a mark where its beginning was lost.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        match std::mem::take(&mut self.lost) {
            0 => text,
            lost => format!("[… {lost} bytes left out]\n{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_read_is_gone() {
        let mut recent = Recent::new(100);
        assert!(!recent.has_unread());
        recent.push("a");
        recent.push("b");
        assert!(recent.has_unread());
        assert_eq!(recent.take(), "ab");
        assert_eq!(recent.take(), "");
    }

    proptest! {
        #[test]
        fn never_more_than_the_cap_and_nothing_uncounted(pieces in proptest::collection::vec("[a密]{0,40}", 0..30), cap in 8usize..64) {
            let mut recent = Recent::new(cap);
            for piece in &pieces {
                recent.push(piece);
                prop_assert!(recent.text.len() <= cap);
            }
            let all = pieces.concat();
            prop_assert_eq!(recent.text.len() as u64 + recent.lost, all.len() as u64);
            prop_assert!(all.ends_with(&recent.text));
        }
    }
}
