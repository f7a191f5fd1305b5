//! The `file_write` tool: makes a file or replaces its whole content, atomically.
//!
//! Runs on the turn's thread; blocks until the content is on the disk.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::encoding::{detect, detect_utf16};
use super::seen::{Knowledge, SeenFiles, hash};
use super::words::{file_error, size_text};
use super::workspace::{FileError, Target};
use super::{Action, Effects, MAX_EDIT_BYTES, ToolCtx, ToolError, TypedTool, Workspace};

/// Writes whole files.
pub(super) struct FileWrite {
    pub(super) seen: Arc<SeenFiles>,
}

/// Arguments of [`FileWrite`].
#[derive(Deserialize, JsonSchema)]
pub(super) struct FileWriteArgs {
    /// in the workspace
    path: String,
    content: String,
}

impl TypedTool for FileWrite {
    type Args = FileWriteArgs;
    const NAME: &'static str = "file_write";
    const DESCRIPTION: &'static str = "Makes a file with this content, or replaces all of an existing one. Missing folders are made.";

    fn effects_of(&self, _: &FileWriteArgs) -> Effects {
        Effects::SideEffect
    }

    fn action_of(&self, args: &FileWriteArgs, workspace: &Workspace) -> Action {
        let (name, real) = workspace.names(&args.path);
        Action::on_file("write", &name, real.as_deref())
    }

    fn call(&self, args: FileWriteArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let content = args.content.as_bytes();
        let failed = |error: FileError| file_error(&args.path, &error);
        if content.len() as u64 > MAX_EDIT_BYTES {
            return Err(failed(FileError::TooBig {
                size: content.len() as u64,
                limit: MAX_EDIT_BYTES,
            }));
        }
        let target = ctx.workspace.target(&args.path).map_err(failed)?;
        let name = target.name();
        let old = old_content(&target).map_err(failed)?;
        if old.as_deref() == Some(content) {
            self.seen.note(ctx.session, &name, hash(content));
            return Ok(format!(
                "{name} has exactly this content already; nothing written"
            ));
        }
        if let Some(old) = &old
            && self.seen.knowledge(ctx.session, &name, hash(old)) == Knowledge::Outdated
        {
            return Err(failed(FileError::Changed));
        }
        ctx.workspace.replace(&target, content).map_err(failed)?;
        self.seen.note(ctx.session, &name, hash(content));
        let verb = if target.existing().is_some() {
            "Replaced"
        } else {
            "Made"
        };
        let lines = args.content.lines().count();
        let size = size_text(content.len() as u64);
        Ok(format!(
            "{verb} {name} ({lines} lines, {size}){}",
            old.map_or("", |old| encoding_note(&old))
        ))
    }
}

/// Says that a file is in another encoding than before: what is written is UTF-8.
fn encoding_note(old: &[u8]) -> &'static str {
    match detect_utf16(old).or_else(|| detect(old)) {
        Some(found) if found.encoding != encoding_rs::UTF_8 => {
            "; it was not UTF-8 before and is now (file_edit keeps the encoding)"
        }
        _ => "",
    }
}

/// Reads what would be replaced; a file too big to compare counts as different and unknown.
fn old_content(target: &Target) -> Result<Option<Vec<u8>>, FileError> {
    match target.existing().map(|file| file.read_all(MAX_EDIT_BYTES)) {
        None | Some(Err(FileError::TooBig { .. })) => Ok(None),
        Some(content) => content.map(Some),
    }
}
