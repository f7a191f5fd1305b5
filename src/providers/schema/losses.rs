//! The list of what a cleanup could not keep. Pure; no thread.

use std::collections::HashSet;
use std::fmt;

/// Something a schema said that the cleaned one does not say, or says in words only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Loss {
    /// JSON pointer into the original schema (RFC 6901); cut if it is very long.
    pub pointer: String,
    /// What happened there, in a few words.
    pub what: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{pointer}: {}", self.what)
    }
}

/// Most losses that are listed.
const MAX_LOSSES: usize = 256;

/// Losses in the order they were found, each once: a definition may be read many times.
#[derive(Default)]
pub(super) struct Losses {
    list: Vec<Loss>,
    known: HashSet<Loss>,
}

impl Losses {
    /// Adds a loss; the last one that fits says that there are more.
    pub(super) fn add(&mut self, pointer: &str, what: &str) {
        if self.list.len() >= MAX_LOSSES {
            return;
        }
        let loss = Loss {
            pointer: pointer.to_owned(),
            what: what.to_owned(),
        };
        if !self.known.insert(loss.clone()) {
            return;
        }
        if self.list.len() + 1 == MAX_LOSSES {
            self.list.push(Loss {
                pointer: String::new(),
                what: "further losses are not listed".to_owned(),
            });
        } else {
            self.list.push(loss);
        }
    }

    pub(super) fn into_list(self) -> Vec<Loss> {
        self.list
    }
}
