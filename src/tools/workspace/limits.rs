//! Which files inside the workspace file tools must not touch. Pure but for the `stat` of the listed files.
//!
//! By name, whatever the case, for files that may not exist yet; by identity (device and inode) for other names of the
//! same file.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::{FileError, Workspace};

/// Base names that are off limits in every folder, in lower case.
const NAMES: [&str; 3] = ["picobot.lock", ".env", "gateway.token"];

/// Files of the workspace's own folder whose other names are off limits too.
pub(super) const OWN_FILES: [&str; 6] = [
    "picobot.db",
    "picobot.db-wal",
    "picobot.db-shm",
    "picobot.lock",
    ".env",
    "gateway.token",
];

impl Workspace {
    /// Refuses what is off limits or neither file nor folder.
    pub(super) fn admit(&self, real: &Path, stat: &Stat) -> Result<(), FileError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Directory => {}
            FileType::Fifo => return Err(FileError::Special("a FIFO")),
            FileType::Socket => return Err(FileError::Special("a socket")),
            FileType::CharacterDevice | FileType::BlockDevice => {
                return Err(FileError::Special("a device"));
            }
            _ => return Err(FileError::Special("a special file")),
        }
        if self.off_limits_by_name(real) || self.off_limits_by_identity(stat) {
            return Err(FileError::OffLimits);
        }
        Ok(())
    }

    /// Judges a true path, relative to the workspace and free of links.
    pub(super) fn off_limits_by_name(&self, real: &Path) -> bool {
        let full = self.canonical.join(real);
        off_limits(real)
            || self.options.private.iter().any(|private| {
                full.starts_with(private) || self.path.join(real).starts_with(private)
            })
    }

    /// Tells whether this is a listed file under any name.
    fn off_limits_by_identity(&self, stat: &Stat) -> bool {
        let same = |other: Stat| other.st_dev == stat.st_dev && other.st_ino == stat.st_ino;
        let own = OWN_FILES.iter().filter_map(|name| {
            rustix::fs::statat(&self.root, *name, rustix::fs::AtFlags::empty()).ok()
        });
        let private = self
            .options
            .private
            .iter()
            .filter_map(|path| rustix::fs::stat(path).ok());
        own.chain(private).any(same)
    }
}

/// Judges by name alone.
pub(super) fn off_limits(real: &Path) -> bool {
    let names: Vec<String> = real.iter().map(folded).collect();
    let Some(base) = names.last() else {
        return false;
    };
    if NAMES.contains(&base.as_str()) || base.starts_with("picobot.db") {
        return true;
    }
    let Some(git) = names.iter().position(|name| name == ".git") else {
        return false;
    };
    let inside = &names[git + 1..];
    inside.iter().any(|name| name == "hooks")
        || inside
            .last()
            .is_some_and(|name| name == "config" || name == "config.worktree")
}

/// Lower-cases a name; bytes that are no text cannot be part of a listed name.
fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_whatever_their_case_and_folder() {
        for name in [
            "picobot.db",
            "picobot.db-wal",
            "PicoBot.DB.bak",
            "sub/picobot.lock",
            ".env",
            "app/.ENV",
            "gateway.token",
            ".git/hooks/pre-commit",
            ".git/hooks",
            "repo/.GIT/config",
            ".git/modules/x/config",
            ".git/config.worktree",
        ] {
            assert!(off_limits(Path::new(name)), "{name}");
        }
        for name in [
            "",
            ".env.example",
            "config",
            "config.json",
            "hooks/x",
            ".git/HEAD",
            ".github/config",
            "notes/picobot.md",
            "tokens.txt",
        ] {
            assert!(!off_limits(Path::new(name)), "{name}");
        }
    }
}
