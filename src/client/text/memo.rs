//! Remembers how the lines of a growing text were laid out, so that only those that changed are laid out anew. Pure.
//!
//! What a line becomes depends on nothing but what the key holds; the caller keeps one memo for one width.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use super::rows::{Grown, Rows};

/// The lines of one text.
#[derive(Default)]
pub(in crate::client) struct Memo {
    /// Lines of the round before.
    known: HashMap<u64, Rows>,
    /// Those of this round.
    used: HashMap<u64, Rows>,
    keys: RandomState,
    /// The line that was laid out last; it is the one that grows.
    grown: Grown,
    /// How many were laid out.
    #[cfg(test)]
    pub(in crate::client) n_made: usize,
}

impl Memo {
    /// Returns the rows of a line; `make` lays it out if it was in neither round.
    pub(super) fn rows(&mut self, key: &impl Hash, make: impl FnOnce(&mut Grown) -> Rows) -> Rows {
        let key = self.keys.hash_one(key);
        if let Some(rows) = self.used.get(&key) {
            return rows.clone();
        }
        let rows = self.known.remove(&key).unwrap_or_else(|| {
            #[cfg(test)]
            {
                self.n_made += 1;
            }
            make(&mut self.grown)
        });
        self.used.insert(key, rows.clone());
        rows
    }

    /// Ends a round: lines that were not in it are forgotten.
    pub(in crate::client) fn end_round(&mut self) {
        self.known = std::mem::take(&mut self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::text::Row;

    #[test]
    fn lines_are_kept_for_a_round() {
        let mut memo = Memo::default();
        let mut round = |lines: &[&str]| {
            for line in lines {
                let rows = memo.rows(line, |_| vec![Row::of(*line, Default::default())]);
                assert_eq!(rows[0].text(), *line);
            }
            memo.end_round();
            (memo.n_made, memo.known.len())
        };
        assert_eq!(round(&["一", "二", "一"]), (2, 2));
        assert_eq!(round(&["一", "二", "二 more"]), (3, 3));
        assert_eq!(round(&["二 more"]), (3, 1));
        assert_eq!(round(&["一"]), (4, 1));
    }
}
