//! What an earlier process left: every input that has not ended is taken up again, turns that were begun first, then in the
//! order received.

use std::collections::HashSet;

use super::active::Waiting;
use super::actor::Actor;
use super::inputs::{preview, shown_input};
use crate::observability::Part;
use crate::storage::DialogRow;

impl Actor {
    /// Queues every open input; those whose turn was begun go on with that turn.
    pub(super) fn recover(&mut self) {
        let db = self.deps.db.clone();
        let open = db.read(|tx| {
            let mut found: Vec<(DialogRow, Waiting)> = Vec::new();
            let mut turns = HashSet::new();
            for input in tx.open_inputs()? {
                let Some(dialog) = input.dialog else { continue };
                // Only the first input of a turn runs it; the others joined it and end with it.
                if input.turn.is_some_and(|turn| !turns.insert(turn)) {
                    continue;
                }
                if let Some(row) = tx.dialog(dialog)? {
                    let files = tx.attachment_names(input.id)?;
                    let shown = shown_input(&input.content, files.iter().map(String::as_str));
                    let waiting = Waiting {
                        input: input.id,
                        callers: Vec::new(),
                        preview: preview(&shown),
                        resume: input.turn,
                        joined: Vec::new(),
                    };
                    found.push((row, waiting));
                }
            }
            // A newer input may have been begun before older ones, which must not come in the middle of its turn.
            found.sort_by_key(|(_, waiting)| waiting.place());
            Ok(found)
        });
        match open {
            Ok(open) => {
                if !open.is_empty() {
                    log::info!("taking up {} inputs left by an earlier process", open.len());
                }
                for (row, waiting) in open {
                    // Not a second time: a late reading finds inputs of this process too.
                    self.take_up(row.key, &row.session, waiting);
                    self.dispatch(row.key);
                }
            }
            Err(error) => {
                log::error!("the inbox cannot be read: {error}");
                self.deps.health.degraded(Part::Storage);
                self.recover_later = true;
                // Nothing may happen for long that would have it done.
                self.watch_storage();
            }
        }
    }
}
