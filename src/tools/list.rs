//! The one list of built-in tools, in the order the model sees them.

use std::sync::Arc;

use super::calculator::Calculator;
use super::file_edit::FileEdit;
use super::file_read::FileRead;
use super::file_write::FileWrite;
use super::search::{ContentSearch, FileSearch};
use super::seen::SeenFiles;
use super::{Bash, Tool};

/// Makes the built-in tools; without `bash` there is no shell. Call once: the file tools of one list share what each dialog has read.
pub fn builtin(bash: Option<Bash>) -> Vec<Arc<dyn Tool>> {
    let seen = Arc::new(SeenFiles::default());
    let mut tools: Vec<Arc<dyn Tool>> = vec![
        Arc::new(Calculator),
        Arc::new(FileRead { seen: seen.clone() }),
        Arc::new(FileWrite { seen: seen.clone() }),
        Arc::new(FileEdit { seen }),
        Arc::new(FileSearch),
        Arc::new(ContentSearch),
    ];
    if let Some(bash) = bash {
        let process = bash.process_tool();
        tools.push(Arc::new(bash));
        tools.push(Arc::new(process));
    }
    tools
}
