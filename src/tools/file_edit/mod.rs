//! The `file_edit` tool: replaces pieces of a text file by their text, several in one call, all or none.
//!
//! Runs on the turn's thread. Where to replace is found in `find`, what changed is shown by `diff`. A piece that does
//! not match to the letter is looked for more loosely, but only in a file whose present content the dialog has seen.

mod diff;
mod find;
mod text;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::binary::binary_kind;
use super::seen::{Knowledge, SeenFiles, hash};
use super::words::file_error;
use super::workspace::{FileError, Target};
use super::{Action, Effects, MAX_EDIT_BYTES, ToolCtx, ToolError, TypedTool};
use text::Text;

/// Most edits of one call.
const MAX_EDITS: usize = 100;

/// Edits text files.
pub(super) struct FileEdit {
    pub(super) seen: Arc<SeenFiles>,
}

/// Arguments of [`FileEdit`].
#[derive(Deserialize, JsonSchema)]
pub(super) struct FileEditArgs {
    /// in the workspace
    path: String,
    edits: Option<Vec<Edit>>,
    // One edit without the list around it: understood, but not offered.
    #[schemars(skip)]
    old: Option<String>,
    #[schemars(skip)]
    new: Option<String>,
    #[schemars(skip)]
    all: Option<bool>,
}

// One replacement. A doc comment here would go to the model.
#[derive(Deserialize, JsonSchema)]
struct Edit {
    /// text in the file, unique
    old: String,
    new: String,
    /// replace every occurrence
    all: Option<bool>,
}

impl FileEditArgs {
    /// Collects the edits of either form.
    fn edits(self) -> Result<(String, Vec<Edit>), ToolError> {
        let mut edits = self.edits.unwrap_or_default();
        if let (Some(old), Some(new)) = (self.old, self.new) {
            let all = self.all;
            edits.push(Edit { old, new, all });
        }
        if edits.is_empty() {
            return Err(ToolError::failed(
                "file_edit needs `edits`: a list of {\"old\": text in the file, \"new\": text in its place}; call it again with it",
            ));
        }
        if edits.len() > MAX_EDITS {
            return Err(ToolError::failed(format!(
                "{} edits are more than {MAX_EDITS} in one call; use file_write, or several calls",
                edits.len()
            )));
        }
        Ok((self.path, edits))
    }
}

impl TypedTool for FileEdit {
    type Args = FileEditArgs;
    const NAME: &'static str = "file_edit";
    const DESCRIPTION: &'static str =
        "Replaces pieces of a text file, in order, all or none; shows the diff.";

    fn effects_of(&self, _: &FileEditArgs) -> Effects {
        Effects::SideEffect
    }

    fn action_of(&self, args: &FileEditArgs) -> Action {
        Action::on_file("edit", &args.path)
    }

    fn call(&self, args: FileEditArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let (path, edits) = args.edits()?;
        let failed = |error: FileError| file_error(&path, &error);
        let target = ctx.workspace.target(&path).map_err(failed)?;
        let name = target.name();
        let before = self.load(&target, &path, ctx)?;
        let knowledge = self
            .seen
            .knowledge(ctx.session, &name, hash(before.as_bytes()));
        if knowledge == Knowledge::Outdated {
            return Err(failed(FileError::Changed));
        }
        let mut text = Text::new(&before);
        let mut notes = Vec::new();
        for (index, edit) in edits.iter().enumerate() {
            if ctx.cancel.is_cancelled() {
                return Err(ToolError::Cancelled);
            }
            let change = find::plan(
                text.normal(),
                &edit.old,
                &edit.new,
                edit.all == Some(true),
                knowledge == Knowledge::Current,
            )
            .map_err(|fault| ToolError::failed(sentence(&name, index, edits.len(), &fault)))?;
            notes.extend(change.note);
            text.apply(&change.places);
        }
        let after = text.into_string();
        if after == before {
            return Err(ToolError::failed(format!(
                "{name}: nothing would change; old and new are the same text"
            )));
        }
        if after.len() as u64 > MAX_EDIT_BYTES {
            let size = after.len() as u64;
            return Err(failed(FileError::TooBig {
                size,
                limit: MAX_EDIT_BYTES,
            }));
        }
        ctx.workspace
            .replace(&target, after.as_bytes())
            .map_err(failed)?;
        self.seen.note(ctx.session, &name, hash(after.as_bytes()));
        let mut out = format!("Edited {name}\n");
        for note in notes {
            out.push_str(&note);
            out.push('\n');
        }
        out.push_str(&diff::unified(&before, &after));
        Ok(out)
    }
}

impl FileEdit {
    fn load(&self, target: &Target, path: &str, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let Some(file) = target.existing() else {
            // Reports the names that are near, which only a search knows.
            return match ctx.workspace.find(path) {
                Err(FileError::Missing(near)) => Err(ToolError::failed(format!(
                    "{} does not exist; make it with file_write. {near}",
                    target.name()
                ))),
                _ => Err(file_error(path, &FileError::Changed)),
            };
        };
        let content = file
            .read_all(MAX_EDIT_BYTES)
            .map_err(|error| file_error(path, &error))?;
        if let Some(kind) = binary_kind(&content[..content.len().min(64 * 1024)]) {
            return Err(ToolError::failed(format!(
                "{} is not text: {kind}; file_edit changes text only",
                target.name()
            )));
        }
        String::from_utf8(content).map_err(|_| {
            ToolError::failed(format!(
                "{} is not UTF-8, and editing would damage it; convert it first with bash (iconv)",
                target.name()
            ))
        })
    }
}

fn sentence(name: &str, index: usize, count: usize, fault: &str) -> String {
    if count == 1 {
        return format!("{name}: {fault}");
    }
    format!(
        "{name}: nothing was changed, because of edit {} of {count}: {fault}",
        index + 1
    )
}

#[cfg(test)]
mod tests;
