//! The `file_search` tool: files of the workspace by name, the newest first.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rustix::fs::AtFlags;
use schemars::JsonSchema;
use serde::Deserialize;

use super::names::Names;
use super::walk::{Entry, Visitor, Walk};
use super::{DEFAULT_LIMIT, MAX_LIMIT, MAX_SHOWN_CHARS, shown_path};
use crate::tools::words::{file_error, size_text};
use crate::tools::{Effects, ToolCtx, ToolError, TypedTool};

/// Most files remembered; who finds more has to narrow the pattern.
const MAX_FOUND: usize = 200_000;

/// Finds files.
pub(in crate::tools) struct FileSearch;

/// Arguments of [`FileSearch`].
#[derive(Deserialize, JsonSchema)]
pub(in crate::tools) struct FileSearchArgs {
    /// glob (*.rs, src/**/*.md) or part of a name
    pattern: String,
    /// folder; default all
    path: Option<String>,
    /// also hidden and git-ignored
    all: Option<bool>,
    // Understood, but not offered: the default serves.
    #[schemars(skip)]
    limit: Option<usize>,
}

struct Found {
    real: PathBuf,
    modified: (i64, i64),
    /// `None` for a folder.
    size: Option<u64>,
}

struct Finder<'a> {
    walk: &'a Walk<'a>,
    names: Names,
    found: Mutex<Vec<Found>>,
}

impl Visitor for Finder<'_> {
    type State = ();

    fn state(&self) {}

    fn visit(&self, (): &mut (), entry: &Entry<'_>) {
        if entry.is_folder != self.names.folders || !self.names.fit(entry.real, entry.within) {
            return;
        }
        let stat = rustix::fs::statat(entry.folder, entry.name, AtFlags::SYMLINK_NOFOLLOW);
        let Ok(stat) = stat else { return };
        if self.walk.off_limits.identity(&stat) {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.push(Found {
            real: entry.real.to_owned(),
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            size: (!entry.is_folder).then(|| u64::try_from(stat.st_size).unwrap_or(0)),
        });
        if found.len() >= MAX_FOUND {
            self.walk.enough();
        }
    }
}

impl TypedTool for FileSearch {
    type Args = FileSearchArgs;
    const NAME: &'static str = "file_search";
    const DESCRIPTION: &'static str = "Finds files by name, newest first.";

    fn effects_of(&self, _: &FileSearchArgs) -> Effects {
        Effects::ReadOnly
    }

    fn call(&self, args: FileSearchArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let names = Names::parse(&args.pattern).map_err(ToolError::Failed)?;
        let path = args.path.as_deref().unwrap_or(".");
        let (start, is_folder) = ctx
            .workspace
            .walk_start(path)
            .map_err(|error| file_error(path, &error))?;
        if !is_folder {
            return Err(ToolError::failed(
                "`path` is a file; give a folder to look in, or read the file with file_read",
            ));
        }
        let walk = Walk::new(ctx.workspace, ctx.cancel, start, args.all.unwrap_or(false));
        let finder = Finder {
            walk: &walk,
            names,
            found: Mutex::default(),
        };
        walk.run(&finder)?;
        let mut found = finder
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        found.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.real.cmp(&b.real))
        });
        let limit = args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        Ok(report(&args, &found, limit, walk.is_cut()))
    }
}

fn report(args: &FileSearchArgs, found: &[Found], limit: usize, cut: bool) -> String {
    if found.is_empty() {
        let hint = match (cut, args.all.unwrap_or(false)) {
            (true, _) => "the search took too long and was ended; look in a smaller folder",
            (_, false) => {
                "hidden and git-ignored files were left out: \"all\": true looks there too"
            }
            (_, true) => "try a shorter part of the name",
        };
        return format!("Nothing is named like {:?}; {hint}", args.pattern);
    }
    let mut lines = String::new();
    let mut chars = 0;
    let mut shown = 0;
    for file in found.iter().take(limit) {
        let line = line_of(file);
        chars += line.chars().count();
        if chars > MAX_SHOWN_CHARS {
            break;
        }
        lines.push_str(&line);
        shown += 1;
    }
    let plus = if cut || found.len() >= MAX_FOUND {
        "more than "
    } else {
        ""
    };
    let mut out = format!("{plus}{} found, newest first\n{lines}", found.len());
    if shown < found.len() {
        out.push_str(&format!(
            "[{} more; narrow the pattern or the path]\n",
            found.len() - shown
        ));
    }
    out
}

fn line_of(file: &Found) -> String {
    let date = Timestamp::from_second(file.modified.0)
        .map(|time| time.strftime("%Y-%m-%dT%H:%MZ").to_string())
        .unwrap_or_default();
    let path = shown_path(&file.real);
    match file.size {
        Some(size) => format!("{path}  {}  {date}\n", size_text(size)),
        None => format!("{path}/  {date}\n"),
    }
}
