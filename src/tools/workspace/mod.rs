//! The workspace folder as file tools may use it: no path leads out of it, and some files in it are off limits.
//!
//! Owns one directory descriptor, opened at start; every later open goes through it, so that neither `..` nor a link
//! nor a race can leave the folder. The kernel resolves a path in one step (`openat2`) and is asked afterwards what the
//! opened thing is called; there is no check of a name before an open that could be outrun. Runs on the caller's
//! thread. Deliberately not here: what tools say about files, and who may write without asking.

mod error;
mod limits;
mod list;
mod resolve;
mod results;
mod walk;
mod write;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{FileType, Mode, OFlags, Stat};

pub use error::FileError;
pub(in crate::tools) use list::escaped;
pub use list::{Folder, FolderEntry};
pub use results::ResultLimits;
pub(in crate::tools) use results::{RESULTS, ResultFile};
pub(in crate::tools) use walk::{OffLimits, walk_file};
pub use write::Target;

/// Opening a FIFO must not wait for its other end; everything else ignores the flag.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Settings of a workspace.
#[derive(Clone, Debug)]
pub struct WorkspaceOptions {
    /// Files and folders that tools must not touch even if they lie inside: the configuration in use, the token, the
    /// database. Absolute; they need not exist.
    pub private: Vec<PathBuf>,
    /// The umask for files made here: the user's own, which may differ from that of this process.
    pub umask: u32,
}

impl Default for WorkspaceOptions {
    fn default() -> Self {
        Self {
            private: Vec::new(),
            umask: 0o022,
        }
    }
}

/// An open workspace folder.
#[derive(Debug)]
pub struct Workspace {
    root: OwnedFd,
    path: PathBuf,
    canonical: PathBuf,
    options: WorkspaceOptions,
    /// The kernel has no `openat2`, or a filter forbids it.
    stepwise: bool,
    /// Held over "is it still the file that was read?" and the rename behind it; private to `write`.
    renames: Mutex<()>,
    result_limits: ResultLimits,
    /// Held for a look only; private to `results`.
    tidied: Mutex<results::Tidied>,
}

/// Which state of a file was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    dev: u64,
    ino: u64,
    size: i64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
        }
    }
}

/// A regular file of the workspace, open for reading.
#[derive(Debug)]
pub struct WorkspaceFile {
    file: File,
    real: PathBuf,
    stat: Stat,
}

impl WorkspaceFile {
    /// Returns the file's true path relative to the workspace, links resolved.
    pub fn name(&self) -> String {
        self.real.to_string_lossy().into_owned()
    }

    /// Returns the size in bytes at the time of opening.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Returns the open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads everything, or refuses a file over `limit` bytes. Blocks on the disk.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, FileError> {
        let mut content = Vec::new();
        let mut reader = (&self.file).take(limit + 1);
        reader.read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            let size = self.size().max(limit + 1);
            return Err(FileError::TooBig { size, limit });
        }
        Ok(content)
    }
}

/// What a path led to.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File(WorkspaceFile),
    /// A folder and what is in it.
    Folder(Folder),
}

impl Workspace {
    /// Opens an existing folder, given by an absolute path.
    pub fn open(path: &Path, options: WorkspaceOptions) -> io::Result<Self> {
        if !path.is_absolute() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the workspace path is not absolute",
            ));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        let stepwise = !resolve::kernel_resolves(&root);
        Ok(Self {
            root,
            path: path.to_owned(),
            canonical: path.canonicalize()?,
            options,
            stepwise,
            renames: Mutex::new(()),
            result_limits: ResultLimits::default(),
            tidied: Mutex::default(),
        })
    }

    /// Returns the absolute path given at start.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether links inside the workspace are followed; without `openat2` (Linux 5.6) they are refused.
    pub fn follows_links(&self) -> bool {
        !self.stepwise
    }

    /// Opens what a path names: relative to the workspace, or absolute inside it. Never blocks on a FIFO.
    ///
    /// A missing path gives an error that lists the nearest names in its folder.
    pub fn find(&self, path: &str) -> Result<Found, FileError> {
        let relative = self.relative(path)?;
        let (fd, real, stat) = match self.open_admitted(&relative) {
            Err(FileError::Gone) => return Err(self.missing(&relative)),
            opened => opened?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Found::File(WorkspaceFile {
                file: fd.into(),
                real,
                stat,
            })),
            _ => Ok(Found::Folder(self.folder(&fd, &real)?)),
        }
    }

    /// Opens a regular file; see [`Workspace::find`].
    pub fn file(&self, path: &str) -> Result<WorkspaceFile, FileError> {
        match self.find(path)? {
            Found::File(file) => Ok(file),
            Found::Folder(_) => Err(FileError::Folder),
        }
    }
}

#[cfg(test)]
mod escapes;
#[cfg(test)]
mod tests;
