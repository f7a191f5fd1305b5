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
use super::encoding::{Found as Encoding, detect, detect_utf16};
use super::seen::{ContentHash, Knowledge, SeenFiles, hash};
use super::words::file_error;
use super::workspace::{FileError, Target};
use super::{Action, Effects, MAX_EDIT_BYTES, ToolCtx, ToolError, TypedTool, Workspace};
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

    fn action_of(&self, args: &FileEditArgs, workspace: &Workspace) -> Action {
        let (name, real) = workspace.names(&args.path);
        Action::on_file("edit", &name, real.as_deref())
    }

    fn call(&self, args: FileEditArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let (path, edits) = args.edits()?;
        let failed = |error: FileError| file_error(&path, &error);
        let target = ctx.workspace.target(&path).map_err(failed)?;
        let name = target.name();
        let loaded = load(&target, &path, ctx)?;
        let before = loaded.text;
        let knowledge = self.seen.knowledge(ctx.session, &name, loaded.hash);
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
        let Some(content) = loaded.encoding.encode(&after) else {
            return Err(ToolError::failed(format!(
                "{name} is in {}, which lacks a character of the new text; use other characters, or write the whole file anew as UTF-8 with file_write",
                loaded.encoding.name()
            )));
        };
        if content.len() as u64 > MAX_EDIT_BYTES {
            let size = content.len() as u64;
            return Err(failed(FileError::TooBig {
                size,
                limit: MAX_EDIT_BYTES,
            }));
        }
        ctx.workspace.replace(&target, &content).map_err(failed)?;
        self.seen.note(ctx.session, &name, hash(&content));
        let mut out = format!("Edited {name}\n");
        for note in notes {
            out.push_str(&note);
            out.push('\n');
        }
        out.push_str(&diff::unified(&before, &after));
        Ok(out)
    }
}

/// A text file as it is.
struct Loaded {
    /// With a UTF-8 byte order mark, without that of UTF-16.
    text: String,
    encoding: Encoding,
    hash: ContentHash,
}

fn load(target: &Target, path: &str, ctx: &ToolCtx<'_>) -> Result<Loaded, ToolError> {
    let name = target.name();
    let Some(file) = target.existing() else {
        // Reports the names that are near, which only a search knows.
        return match ctx.workspace.find(path) {
            Err(FileError::Missing(near)) => Err(ToolError::failed(format!(
                "{name} does not exist; make it with file_write. {near}"
            ))),
            _ => Err(file_error(path, &FileError::Changed)),
        };
    };
    let content = file
        .read_all(MAX_EDIT_BYTES)
        .map_err(|error| file_error(path, &error))?;
    let hash = hash(&content);
    let utf16 = detect_utf16(&content);
    if utf16.is_none()
        && let Some(kind) = binary_kind(&content[..content.len().min(64 * 1024)])
    {
        return Err(ToolError::failed(format!(
            "{name} is not text: {kind}; file_edit changes text only"
        )));
    }
    let content = match String::from_utf8(content) {
        Ok(text) if utf16.is_none() => {
            let encoding = Encoding::UTF_8;
            return Ok(Loaded {
                text,
                encoding,
                hash,
            });
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let found = utf16.or_else(|| detect(&content));
    let decoded = found.map(|encoding| (encoding, encoding.decode(&content)));
    match decoded {
        // What is written back must be what was there, but for the edit.
        Some((encoding, (text, false))) if encoding.encode(&text).as_ref() == Some(&content) => {
            Ok(Loaded {
                text: text.into_owned(),
                encoding,
                hash,
            })
        }
        _ => Err(ToolError::failed(format!(
            "{name} is in no encoding that can be told for sure, and editing would damage it; convert it to UTF-8 first with bash (iconv)"
        ))),
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
