//! From a path in text to an open descriptor inside the workspace and the true name of what was opened.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{FileError, READ, Workspace};

/// Longest accepted path, in bytes.
const MAX_PATH_BYTES: usize = 4096;
/// Most folders in a path.
const MAX_DEPTH: usize = 100;
/// How often a path is looked up again when something was renamed or made under it; races end within a few tries.
pub(super) const TRIES: usize = 32;

/// Tells whether `openat2` works here; old kernels lack it and some container filters forbid it.
pub(super) fn kernel_resolves(root: &OwnedFd) -> bool {
    open_beneath(
        root,
        Path::new("."),
        OFlags::PATH | OFlags::CLOEXEC,
        ResolveFlags::empty(),
    )
    .is_ok()
}

pub(super) fn open_beneath(
    root: &OwnedFd,
    path: &Path,
    flags: OFlags,
    more: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
    let mut outcome = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        outcome = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
        if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    outcome
}

/// Opens one name in a folder without following a link.
pub(super) fn open_step(folder: impl AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty())
}

impl Workspace {
    /// Reads a path given by a model as one relative to the workspace; `.` is the workspace itself.
    pub(super) fn relative(&self, path: &str) -> Result<PathBuf, FileError> {
        if path.trim().is_empty() {
            return Err(FileError::Path(
                "the path is empty; give one relative to the workspace, such as notes/todo.md",
            ));
        }
        if path.contains('\0') {
            return Err(FileError::Path(
                "the path holds a NUL character; give a plain path",
            ));
        }
        if path.len() > MAX_PATH_BYTES {
            return Err(FileError::Path(
                "the path is longer than 4096 bytes; give a shorter one",
            ));
        }
        if path == "~" || path.starts_with("~/") {
            return Err(FileError::Outside);
        }
        let path = Path::new(path);
        let inside = if path.is_absolute() {
            path.strip_prefix(&self.path)
                .or_else(|_| path.strip_prefix(&self.canonical))
                .map_err(|_| FileError::Outside)?
        } else {
            path
        };
        let parts: PathBuf = inside
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if parts.components().count() > MAX_DEPTH {
            return Err(FileError::Path(
                "the path has more than 100 parts; give a shorter one",
            ));
        }
        if parts.as_os_str().is_empty() {
            return Ok(PathBuf::from("."));
        }
        Ok(parts)
    }

    /// Opens a relative path and tells what the opened thing is truly called. Links are followed inside the workspace.
    pub(super) fn locate(
        &self,
        relative: &Path,
        flags: OFlags,
    ) -> Result<(OwnedFd, PathBuf), FileError> {
        if self.stepwise {
            return self.locate_stepwise(relative, flags);
        }
        for _ in 0..TRIES {
            let fd = open_beneath(&self.root, relative, flags, ResolveFlags::empty())?;
            let Some(real) = self.real_name(&fd) else {
                return self.locate_stepwise(relative, flags);
            };
            // A file replaced between the two questions has lost its name: look again.
            let marked = real.as_os_str().as_bytes().ends_with(b" (deleted)");
            if !marked || rustix::fs::fstat(&fd)?.st_nlink > 0 {
                return Ok((fd, real));
            }
        }
        Err(FileError::Gone)
    }

    /// Opens a file or folder for reading that file tools may touch, and tells its true name. Links are followed inside
    /// the workspace.
    ///
    /// What it is gets judged before it is really opened: a device may react to that, and closing any descriptor of the
    /// database would drop the locks that SQLite holds in this process (fcntl(2), POSIX locks).
    pub(super) fn open_admitted(
        &self,
        relative: &Path,
    ) -> Result<(OwnedFd, PathBuf, Stat), FileError> {
        let (handle, real) = self.locate(relative, OFlags::PATH | OFlags::CLOEXEC)?;
        let stat = rustix::fs::fstat(&handle)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            // Only where no link is followed.
            return Err(Errno::LOOP.into());
        }
        self.admit(&real, &stat)?;
        let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let fd = match rustix::fs::open(same, READ, Mode::empty()) {
            Err(Errno::NOENT) => {
                // Without `/proc`, by its name once more.
                let (fd, _) = self.locate_stepwise(&real, READ)?;
                let again = rustix::fs::fstat(&fd)?;
                if (again.st_dev, again.st_ino) != (stat.st_dev, stat.st_ino) {
                    return Err(FileError::Gone);
                }
                fd
            }
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, real, stat))
    }

    /// Opens a path part by part; any link and any `..` is refused, so the text of the path is its true name.
    pub(super) fn locate_stepwise(
        &self,
        relative: &Path,
        flags: OFlags,
    ) -> Result<(OwnedFd, PathBuf), FileError> {
        let mut real = PathBuf::new();
        let mut names = Vec::new();
        for part in relative.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => names.push(name),
                _ => return Err(FileError::Outside),
            }
        }
        let Some((last, folders)) = names.split_last() else {
            return Ok((open_step(&self.root, OsStr::new("."), flags)?, real));
        };
        let mut folder: Option<OwnedFd> = None;
        let passing = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for name in folders {
            let at = folder.as_ref().unwrap_or(&self.root);
            folder = Some(open_step(at, name, passing)?);
            real.push(name);
        }
        real.push(last);
        let at = folder.as_ref().unwrap_or(&self.root);
        Ok((open_step(at, last, flags)?, real))
    }

    /// Asks the kernel for the path of an open descriptor, relative to the workspace; `None` without `/proc`.
    fn real_name(&self, fd: &OwnedFd) -> Option<PathBuf> {
        let root = kernel_path(&self.root)?;
        let full = kernel_path(fd)?;
        full.strip_prefix(root).map(Path::to_owned).ok()
    }
}

fn kernel_path(fd: &OwnedFd) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = rustix::fs::readlinkat(CWD, link, Vec::new()).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}
