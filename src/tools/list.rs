//! The one list of built-in tools, in the order the model sees them.

use std::sync::Arc;

use super::calculator::Calculator;
use super::file_edit::FileEdit;
use super::file_read::FileRead;
use super::file_write::FileWrite;
use super::search::{ContentSearch, FileSearch};
use super::seen::SeenFiles;
use super::web;
use super::{Bash, Tool, WebSettings};

/// Makes the built-in tools; without `bash` there is no shell. `web` says what the web tools may reach. Call once: the file tools of one list share what each dialog has read.
pub fn builtin(bash: Option<Bash>, web: WebSettings) -> Vec<Arc<dyn Tool>> {
    let seen = Arc::new(SeenFiles::default());
    let mut tools: Vec<Arc<dyn Tool>> = vec![
        Arc::new(Calculator),
        Arc::new(FileRead { seen: seen.clone() }),
        Arc::new(FileWrite { seen: seen.clone() }),
        Arc::new(FileEdit { seen }),
        Arc::new(FileSearch),
        Arc::new(ContentSearch),
    ];
    let (web_fetch, http_request) = web::tools(web);
    tools.push(Arc::new(web_fetch));
    tools.push(Arc::new(http_request));
    if let Some(bash) = bash {
        let process = bash.process_tool();
        tools.push(Arc::new(bash));
        tools.push(Arc::new(process));
    }
    tools
}
