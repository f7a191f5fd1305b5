//! Opening folders and files for a walk through the workspace: no link is followed, off-limits files are known once.
//!
//! A walk meets each name in a folder it holds open, so nothing that is renamed or linked meanwhile leads outside.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, ResolveFlags, Stat};

use super::limits::{OWN_FILES, off_limits};
use super::resolve::{open_beneath, open_step};
use super::results::{NOT_LISTED, is_results};
use super::{FOLDER, FileError, READ, Workspace};

/// What file tools must not touch, looked up once for a whole walk.
#[derive(Debug)]
pub(in crate::tools) struct OffLimits {
    identities: Vec<(u64, u64)>,
    paths: Vec<PathBuf>,
}

impl OffLimits {
    /// Judges a true path, relative to the workspace, that a walk comes by.
    pub(in crate::tools) fn name(&self, real: &Path) -> bool {
        let base = real.file_name().map(OsStr::as_bytes).unwrap_or_default();
        // The listed names begin with these letters, and what lies in `.git` is listed by folder.
        let suspect = matches!(
            base.first(),
            Some(b'p' | b'P' | b'g' | b'G' | b'.' | b'h' | b'H' | b'c' | b'C')
        ) || real.iter().any(|part| part.eq_ignore_ascii_case(".git"));
        suspect && off_limits(real)
            || is_results(real)
            || self.paths.iter().any(|path| real.starts_with(path))
    }

    /// Tells whether this is a listed file under any name.
    pub(in crate::tools) fn identity(&self, stat: &Stat) -> bool {
        self.identities.contains(&(stat.st_dev, stat.st_ino))
    }
}

impl Workspace {
    /// Looks up what is off limits now.
    pub(in crate::tools) fn off_limits_now(&self) -> OffLimits {
        let own = OWN_FILES.iter().filter_map(|name| {
            rustix::fs::statat(&self.root, *name, rustix::fs::AtFlags::empty()).ok()
        });
        let private = self.options.private.iter();
        let stats = private
            .clone()
            .filter_map(|path| rustix::fs::stat(path).ok());
        let inside = |path: &PathBuf| {
            let beneath = path
                .strip_prefix(&self.canonical)
                .or_else(|_| path.strip_prefix(&self.path));
            beneath.map(Path::to_owned).ok()
        };
        OffLimits {
            identities: own
                .chain(stats)
                .map(|stat| (stat.st_dev, stat.st_ino))
                .collect(),
            paths: private.filter_map(inside).collect(),
        }
    }

    /// Finds where a walk begins: the true path of what `path` names, and whether it is a folder. Links inside the
    /// workspace are followed here, and nowhere behind it.
    pub(in crate::tools) fn walk_start(&self, path: &str) -> Result<(PathBuf, bool), FileError> {
        let relative = self.relative(path)?;
        let (_, real, stat) = match self.open_admitted(&relative) {
            Err(FileError::Gone) => return Err(self.missing(&relative)),
            opened => opened?,
        };
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_results(&real) {
            return Err(FileError::Path(NOT_LISTED));
        }
        Ok((real, folder))
    }

    /// Opens a folder by its true path; a link anywhere in it is refused.
    pub(in crate::tools) fn walk_folder(&self, real: &Path) -> Result<OwnedFd, FileError> {
        if real.as_os_str().is_empty() {
            return Ok(open_step(&self.root, OsStr::new("."), FOLDER)?);
        }
        if self.stepwise {
            return Ok(self.locate_stepwise(real, FOLDER)?.0);
        }
        Ok(open_beneath(
            &self.root,
            real,
            FOLDER,
            ResolveFlags::NO_SYMLINKS,
        )?)
    }
}

/// Opens a regular file in an open folder and tells what it is; `None` for links, special files and what is gone.
///
/// What [`OffLimits::identity`] knows must be left out before: see `Workspace::open_admitted`.
pub(in crate::tools) fn walk_file(folder: impl AsFd, name: &OsStr) -> Option<(File, Stat)> {
    let fd = open_step(folder, name, READ).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| (fd.into(), stat))
}
