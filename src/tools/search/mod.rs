//! Looking through the workspace: `file_search` by name, `content_search` by what stands in files.
//!
//! Runs on the turn's thread and a few `search-N` threads that live for the call. `walk` goes through folders without
//! following a link, `names` reads name patterns, `lines` collects what a file gives. Nothing is indexed beforehand.

mod content;
mod files;
mod lines;
mod names;
mod walk;

use std::os::unix::ffi::OsStrExt;

use super::workspace::escaped;
pub(super) use content::ContentSearch;
pub(super) use files::FileSearch;

/// Matches or files shown when no limit is given, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// Characters of a result, so that it need not be cut again.
const MAX_SHOWN_CHARS: usize = 14_500;

/// Writes a path of the workspace for a reader: one line, whatever its bytes; those that are no text as `\xNN`.
fn shown_path(path: &std::path::Path) -> String {
    escaped(path.as_os_str().as_bytes())
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
