//! What each dialog has last seen of each file, so that an edit notices a change behind its back.
//!
//! One mutex, private to this file, held only for a look-up. Lost at restart: an edit then needs an exact match.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::chat::SessionId;

/// Most files remembered over all dialogs; the ones not used longest are forgotten.
const MAX_FILES: usize = 1024;

/// A file's content, as a hash.
pub(super) type ContentHash = [u8; 32];

/// What a dialog knows of a file's present content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Knowledge {
    /// It has not seen the file.
    Never,
    /// It has seen exactly this content.
    Current,
    /// It has seen another content.
    Outdated,
}

#[derive(Default)]
struct Memory {
    files: HashMap<(SessionId, String), (ContentHash, u64)>,
    clock: u64,
}

/// Remembers the content of files by dialog and path; bounded.
#[derive(Default)]
pub(super) struct SeenFiles {
    memory: Mutex<Memory>,
}

/// Hashes a whole content.
pub(super) fn hash(content: &[u8]) -> ContentHash {
    Sha256::digest(content).into()
}

impl SeenFiles {
    /// Notes that a dialog now knows this content of a file.
    pub(super) fn note(&self, session: &SessionId, name: &str, hash: ContentHash) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.clock += 1;
        let clock = memory.clock;
        memory
            .files
            .insert((session.clone(), name.to_owned()), (hash, clock));
        if memory.files.len() > MAX_FILES {
            let oldest = memory
                .files
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                memory.files.remove(&oldest);
            }
        }
    }

    /// Tells what a dialog knows of a file that now has this content.
    pub(super) fn knowledge(
        &self,
        session: &SessionId,
        name: &str,
        hash: ContentHash,
    ) -> Knowledge {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.files.get(&(session.clone(), name.to_owned())) {
            None => Knowledge::Never,
            Some((seen, _)) if *seen == hash => Knowledge::Current,
            Some(_) => Knowledge::Outdated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_by_dialog_and_forgets_the_oldest() {
        let seen = SeenFiles::default();
        let one: SessionId = "a:b:1".parse().unwrap();
        let two: SessionId = "a:b:2".parse().unwrap();
        seen.note(&one, "x", hash(b"1"));
        assert_eq!(seen.knowledge(&one, "x", hash(b"1")), Knowledge::Current);
        assert_eq!(seen.knowledge(&one, "x", hash(b"2")), Knowledge::Outdated);
        assert_eq!(seen.knowledge(&two, "x", hash(b"1")), Knowledge::Never);
        for i in 0..MAX_FILES {
            seen.note(&two, &i.to_string(), hash(b""));
        }
        assert_eq!(seen.knowledge(&one, "x", hash(b"1")), Knowledge::Never);
        assert_eq!(seen.knowledge(&two, "0", hash(b"")), Knowledge::Current);
        assert_eq!(seen.memory.lock().unwrap().files.len(), MAX_FILES);
    }
}
