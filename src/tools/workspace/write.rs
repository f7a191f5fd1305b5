//! Replacing and making files: temporary file in the same folder, sync, rename, sync of the folder.
//!
//! A reader sees the old content or the new one, never a part; so does the disk after a power cut.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;

use super::resolve::{TRIES, open_step};
use super::{FOLDER, FileError, Stamp, Workspace, WorkspaceFile};

/// A place that may be written: an existing file as it was found, or a free name.
#[derive(Debug)]
pub struct Target {
    /// The deepest folder that exists.
    folder: OwnedFd,
    /// Folders to be made below it.
    missing: Vec<OsString>,
    base: OsString,
    real: PathBuf,
    existing: Option<WorkspaceFile>,
}

impl Target {
    /// Returns the true path relative to the workspace.
    pub fn name(&self) -> String {
        self.real.to_string_lossy().into_owned()
    }

    /// Returns the file that would be replaced.
    pub fn existing(&self) -> Option<&WorkspaceFile> {
        self.existing.as_ref()
    }
}

impl Workspace {
    /// Tells what rules call the place that a path names for writing: its name relative to the workspace and, if links or
    /// `..` lead elsewhere, its true name. A path that nothing can be written to comes back as it is.
    pub fn names(&self, path: &str) -> (String, Option<String>) {
        let Ok(relative) = self.relative(path) else {
            return (path.to_owned(), None);
        };
        let name = relative.to_string_lossy().into_owned();
        let real = self.target(path).ok().map(|target| target.name());
        let elsewhere = real.filter(|real| *real != name);
        (name, elsewhere)
    }

    /// Finds the place a path names, for writing. Changes nothing yet.
    pub fn target(&self, path: &str) -> Result<Target, FileError> {
        let relative = self.relative(path)?;
        if path.ends_with('/') || relative == Path::new(".") {
            return Err(FileError::Folder);
        }
        for _ in 0..TRIES {
            match self.open_admitted(&relative) {
                Ok((fd, real, stat)) => return self.existing_target(fd, real, stat),
                Err(FileError::Gone) => {}
                Err(error) => return Err(error),
            }
            if let Some(target) = self.new_target(&relative)? {
                return Ok(target);
            }
        }
        Err(FileError::Changed)
    }

    fn existing_target(&self, fd: OwnedFd, real: PathBuf, stat: Stat) -> Result<Target, FileError> {
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(FileError::Folder);
        }
        if stat.st_nlink > 1 {
            return Err(FileError::HardLinked);
        }
        let base = real.file_name().ok_or(FileError::Folder)?.to_owned();
        refuse_git_pointer(&base)?;
        let (folder, _) = self.locate_stepwise(parent(&real), FOLDER)?;
        let file = WorkspaceFile {
            file: fd.into(),
            real: real.clone(),
            stat,
        };
        Ok(Target {
            folder,
            missing: Vec::new(),
            base,
            real,
            existing: Some(file),
        })
    }

    /// Returns `None` if somebody has just made what was missing.
    fn new_target(&self, relative: &Path) -> Result<Option<Target>, FileError> {
        let parts: Vec<&OsStr> = relative.iter().collect();
        let (base, parents) = parts.split_last().ok_or(FileError::Folder)?;
        let (folder, existing, mut real) = self.deepest_folder(parents)?;
        let missing = &parents[existing..];
        if missing.iter().chain([base]).any(|name| *name == "..") {
            return Err(self.missing(relative));
        }
        let next = missing.first().unwrap_or(base);
        if let Ok(stat) = rustix::fs::statat(&folder, *next, AtFlags::SYMLINK_NOFOLLOW) {
            return match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => Err(FileError::DeadLink),
                _ => Ok(None),
            };
        }
        real.extend(missing);
        real.push(base);
        if self.off_limits_by_name(&real) {
            return Err(FileError::OffLimits);
        }
        refuse_git_pointer(base)?;
        Ok(Some(Target {
            folder,
            missing: missing.iter().map(|name| (*name).to_owned()).collect(),
            base: (*base).to_owned(),
            real,
            existing: None,
        }))
    }

    /// Opens the longest existing beginning of a list of folders; returns it, how many parts it has, its true path.
    fn deepest_folder(&self, parents: &[&OsStr]) -> Result<(OwnedFd, usize, PathBuf), FileError> {
        for existing in (1..=parents.len()).rev() {
            let path: PathBuf = parents[..existing].iter().collect();
            match self.locate(&path, FOLDER) {
                Ok((fd, real)) => return Ok((fd, existing, real)),
                Err(FileError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        let (fd, real) = self.locate(Path::new("."), FOLDER)?;
        Ok((fd, 0, real))
    }

    /// Writes `content` to the target in one step; makes missing folders. Blocks until it is on the disk.
    ///
    /// Fails with [`FileError::Changed`] and leaves everything as it is if the place is no longer what it was when the
    /// target was found. Permission bits and, where allowed, the owner of a replaced file stay.
    pub fn replace(&self, target: &Target, content: &[u8]) -> Result<(), FileError> {
        let made = self.make_folders(target)?;
        let folder = made.as_ref().unwrap_or(&target.folder);
        let temporary = format!(".picobot-{}.tmp", uuid::Uuid::now_v7().simple());
        let outcome = self
            .write_temporary(folder, &temporary, target, content)
            .and_then(|()| self.rename(folder, &temporary, target));
        if outcome.is_err() {
            // It may never have been made, and the first error is the one to report.
            let _ = rustix::fs::unlinkat(folder, &temporary, AtFlags::empty());
        }
        outcome?;
        rustix::fs::fsync(folder)?;
        Ok(())
    }

    fn make_folders(&self, target: &Target) -> Result<Option<OwnedFd>, FileError> {
        let mut made: Option<OwnedFd> = None;
        for name in &target.missing {
            let at = made.as_ref().unwrap_or(&target.folder);
            let mode = Mode::from_raw_mode(0o777 & !self.options.umask);
            let next = match rustix::fs::mkdirat(at, name, mode) {
                Ok(()) => {
                    let next = open_step(at, name, FOLDER)?;
                    // The process may have a stricter umask than the user.
                    rustix::fs::fchmod(&next, mode)?;
                    rustix::fs::fsync(at)?;
                    next
                }
                Err(Errno::EXIST) => open_step(at, name, FOLDER)?,
                Err(errno) => return Err(errno.into()),
            };
            made = Some(next);
        }
        Ok(made)
    }

    fn write_temporary(
        &self,
        folder: &OwnedFd,
        name: &str,
        target: &Target,
        content: &[u8],
    ) -> Result<(), FileError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(fd);
        file.write_all(content)?;
        let mut mode = 0o666 & !self.options.umask;
        if let Some(existing) = &target.existing {
            let made = rustix::fs::fstat(&file)?;
            let (uid, gid) = (existing.stat.st_uid, existing.stat.st_gid);
            if (made.st_uid, made.st_gid) != (uid, gid) {
                // Only root may give files away; the content matters more than the owner.
                let _ =
                    rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            }
            mode = existing.stat.st_mode & 0o777;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        file.sync_all()?;
        Ok(())
    }

    fn rename(&self, folder: &OwnedFd, temporary: &str, target: &Target) -> Result<(), FileError> {
        let _renaming = self.renames.lock().unwrap_or_else(PoisonError::into_inner);
        let now = rustix::fs::statat(folder, &target.base, AtFlags::SYMLINK_NOFOLLOW);
        match (&target.existing, now) {
            (Some(existing), Ok(now)) if Stamp::of(&now) == Stamp::of(&existing.stat) => Ok(
                rustix::fs::renameat(folder, temporary, folder, &target.base)?,
            ),
            (None, Err(Errno::NOENT)) => rename_to_free(folder, temporary, &target.base),
            _ => Err(FileError::Changed),
        }
    }
}

/// Renames to a name that must be free; file systems without that guarantee get the plain rename after the check.
fn rename_to_free(folder: &OwnedFd, temporary: &str, base: &OsStr) -> Result<(), FileError> {
    match rustix::fs::renameat_with(folder, temporary, folder, base, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(FileError::Changed),
        Err(Errno::INVAL | Errno::NOSYS) => {
            Ok(rustix::fs::renameat(folder, temporary, folder, base)?)
        }
        outcome => Ok(outcome?),
    }
}

/// A file called `.git` points git to a configuration elsewhere, which may name programs to run.
fn refuse_git_pointer(base: &OsStr) -> Result<(), FileError> {
    if base.eq_ignore_ascii_case(".git") {
        return Err(FileError::OffLimits);
    }
    Ok(())
}

fn parent(real: &Path) -> &Path {
    match real.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
