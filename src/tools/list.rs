//! The one list of built-in tools, in the order the model sees them.

use std::sync::Arc;

use super::Tool;
use super::calculator::Calculator;
use super::file_edit::FileEdit;
use super::file_read::FileRead;
use super::file_write::FileWrite;
use super::seen::SeenFiles;

/// Makes the built-in tools. Call once: the file tools of one list share what each dialog has read.
pub fn builtin() -> Vec<Arc<dyn Tool>> {
    let seen = Arc::new(SeenFiles::default());
    vec![
        Arc::new(Calculator),
        Arc::new(FileRead { seen: seen.clone() }),
        Arc::new(FileWrite { seen: seen.clone() }),
        Arc::new(FileEdit { seen }),
    ]
}
