//! Long results of tool calls, kept as private files in `.picobot/results` of the workspace, and their clean-up.
//!
//! The folder is made (0700) when the first result needs it; files are 0600 and have names that cannot be guessed. No
//! link is followed on the way. File tools open a result by its name only: dialogs share the workspace, and what one was
//! given is not shown to another (commands can list the folder). Old files go when they are past their age or when all together are past the quota; that
//! is looked at when a new result is kept, at most every few minutes, so that nothing has to wake up for it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolve::open_step;
use super::{FOLDER, FileError, Workspace};
use crate::tools::random::random_hex;

/// The folder of kept results, relative to the workspace.
pub(in crate::tools) const RESULTS: [&str; 2] = [".picobot", "results"];
/// Whoever was given the name of a result may read it; other dialogs' results are found by nobody.
pub(super) const NOT_LISTED: &str =
    "kept results are not listed or searched; read one by the name that was given for it";
/// Keeps the folder out of repositories.
const IGNORE_FILE: (&str, &[u8]) = (".gitignore", b"*\n");
/// The folder is looked through again after so long, or after so many bytes.
const TIDY_EVERY: Duration = Duration::from_secs(10 * 60);
const TIDY_BYTES: u64 = 8 * 1024 * 1024;
/// Most entries looked at in one clean-up.
const MAX_ENTRIES: usize = 100_000;
const NAME_TRIES: usize = 8;

/// How long and how much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResultLimits {
    /// A file goes when it is older.
    pub age: Duration,
    /// All files together; the oldest go first.
    pub total_bytes: u64,
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(7 * 86_400),
            total_bytes: 64 * 1024 * 1024,
        }
    }
}

/// When the folder was looked through last.
#[derive(Debug, Default)]
pub(super) struct Tidied {
    at: Option<Instant>,
    bytes_since: u64,
}

/// A result being written. Dropped before [`ResultFile::keep`] it is deleted.
#[derive(Debug)]
pub(in crate::tools) struct ResultFile {
    file: BufWriter<File>,
    folder: OwnedFd,
    base: String,
    kept: bool,
}

impl ResultFile {
    /// Returns the path relative to the workspace.
    pub(in crate::tools) fn name(&self) -> String {
        format!("{}/{}/{}", RESULTS[0], RESULTS[1], self.base)
    }

    /// Adds to the file.
    pub(in crate::tools) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Ends the file and keeps it. It need not survive a power cut, so nothing waits for the disk.
    pub(in crate::tools) fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody knows its name; the clean-up finds what stays.
            let _ = rustix::fs::unlinkat(&self.folder, &self.base, AtFlags::empty());
        }
    }
}

impl Workspace {
    /// Sets how long and how much of long results is kept.
    pub fn with_results(mut self, limits: ResultLimits) -> Self {
        self.result_limits = limits;
        self
    }

    /// Starts a file for a long result. `label` is a tool's name and becomes part of the file's.
    pub(in crate::tools) fn new_result(&self, label: &str) -> Result<ResultFile, FileError> {
        let folder = self.results_folder()?;
        self.tidy_when_due(&folder);
        let label: String = label
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            .take(32)
            .collect();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..NAME_TRIES {
            let base = format!("{label}-{}.txt", random_hex::<4>());
            match rustix::fs::openat(&folder, &base, flags, Mode::from_raw_mode(0o600)) {
                Ok(fd) => {
                    return Ok(ResultFile {
                        file: BufWriter::new(fd.into()),
                        folder,
                        base,
                        kept: false,
                    });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(FileError::Changed)
    }

    /// Notes that so many bytes were kept, for the next clean-up.
    pub(in crate::tools) fn result_kept(&self, bytes: u64) {
        let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        tidied.bytes_since += bytes;
    }

    fn results_folder(&self) -> Result<OwnedFd, FileError> {
        let root = open_step(&self.root, ".".as_ref(), FOLDER)?;
        let own = private_folder(&root, RESULTS[0])?;
        let (name, content) = IGNORE_FILE;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(&own, name, flags, Mode::from_raw_mode(0o600)) {
            // A repository that shows these files is no reason to fail.
            let _ = File::from(fd).write_all(content);
        }
        Ok(private_folder(&own, RESULTS[1])?)
    }

    fn tidy_when_due(&self, folder: &OwnedFd) {
        {
            let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = tidied.at.is_some_and(|at| at.elapsed() < TIDY_EVERY);
            if fresh && tidied.bytes_since < TIDY_BYTES.min(self.result_limits.total_bytes / 4) {
                return;
            }
            *tidied = Tidied {
                at: Some(Instant::now()),
                bytes_since: 0,
            };
        }
        if let Err(errno) = tidy(folder, self.result_limits, SystemTime::now()) {
            log::warn!("old results could not be cleaned up: {errno}");
        }
    }
}

/// Tells whether a true path is the folder of kept results.
pub(super) fn is_results(real: &Path) -> bool {
    real.iter().eq(RESULTS.iter().copied())
}

/// Opens a folder in a folder, made if it is missing; a link is refused.
fn private_folder(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    open_step(parent, name.as_ref(), FOLDER)
}

/// Deletes files past the age, then the oldest until the rest fits the quota with room for a new one.
fn tidy(folder: &OwnedFd, limits: ResultLimits, now: SystemTime) -> Result<(), Errno> {
    let mut files: Vec<(SystemTime, u64, OsString)> = Vec::new();
    for entry in Dir::read_from(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        let name = entry.file_name();
        let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let secs = u64::try_from(stat.st_mtime).unwrap_or(0);
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let name = std::ffi::OsStr::from_bytes(name.to_bytes()).to_owned();
            files.push((UNIX_EPOCH + Duration::from_secs(secs), size, name));
        }
    }
    files.sort();
    let allowed = limits.total_bytes - limits.total_bytes / 4;
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (modified, size, name) in files {
        let old = now
            .duration_since(modified)
            .is_ok_and(|age| age > limits.age);
        if !old && total <= allowed {
            break;
        }
        // Someone else may have deleted it.
        let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
        total -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::super::WorkspaceOptions;
    use super::*;

    fn place() -> (tempfile::TempDir, Workspace) {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("work");
        std::fs::create_dir(&root).unwrap();
        let workspace = Workspace::open(&root, WorkspaceOptions::default()).unwrap();
        (outer, workspace)
    }

    #[test]
    fn files_are_private_and_unfinished_ones_go() {
        let (_outer, workspace) = place();
        let mut file = workspace.new_result("ba/../sh").unwrap();
        file.write(b"kept").unwrap();
        let name = file.name();
        assert!(name.starts_with(".picobot/results/bash-"), "{name}");
        file.keep().unwrap();
        let path = workspace.path().join(&name);
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&workspace.path().join(".picobot")), 0o700);
        let dropped = workspace.new_result("x").unwrap();
        let path = workspace.path().join(dropped.name());
        assert!(path.exists());
        drop(dropped);
        assert!(!path.exists());
        let ignore = std::fs::read(workspace.path().join(".picobot/.gitignore"));
        assert_eq!(ignore.unwrap(), b"*\n");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let (outer, workspace) = place();
        let elsewhere = outer.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::create_dir(workspace.path().join(".picobot")).unwrap();
        symlink(&elsewhere, workspace.path().join(".picobot/results")).unwrap();
        assert!(workspace.new_result("x").is_err());
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn old_and_too_many_files_go() {
        let (_outer, workspace) = place();
        let folder = workspace.results_folder().unwrap();
        let path = workspace.path().join(".picobot/results");
        let now = SystemTime::now();
        let put = |name: &str, bytes: usize, age_secs: u64| {
            let file = File::create(path.join(name)).unwrap();
            (&file).write_all(&vec![b'x'; bytes]).unwrap();
            file.set_modified(now - Duration::from_secs(age_secs))
                .unwrap();
        };
        put("ancient", 1, 1_000);
        put("old", 400, 90);
        put("middle", 400, 60);
        put("new", 300, 30);
        let limits = ResultLimits {
            age: Duration::from_secs(500),
            total_bytes: 1_000,
        };
        tidy(&folder, limits, now).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["middle", "new"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let (_outer, workspace) = place();
        std::fs::write(workspace.path().join(".picobot"), "a file").unwrap();
        assert!(workspace.new_result("x").is_err());
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(workspace.path().join(".picobot"), mode).unwrap();
        assert!(workspace.new_result("x").is_err());
    }
}
