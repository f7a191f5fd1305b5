//! The private home and temporary folder of commands: one pair per process, removed with it.
//!
//! A killed process leaves its folder behind; the next one removes it. A lock file beside the two, out of the commands'
//! reach, tells a living owner from a dead one.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "picobot-run-";
const LOCK: &str = "lock";

/// Folders for commands, as long as the value lives.
#[derive(Debug)]
pub(super) struct Scratch {
    root: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes new folders, mode 0700, under `base`, and removes those that dead processes left there.
    pub(super) fn new(base: &Path) -> io::Result<Self> {
        remove_stale(base);
        let root = base.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.recursive(true).create(base)?;
        private.recursive(false).create(&root)?;
        let lock = File::create_new(root.join(LOCK))?;
        lock.lock()?;
        let scratch = Self { root, _lock: lock };
        private.create(scratch.home())?;
        private.create(scratch.tmp())?;
        private.create(scratch.masks())?;
        Ok(scratch)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Returns a folder that stays empty: supervisors mount what covers private files here, each in a view of its own.
    pub(super) fn masks(&self) -> PathBuf {
        self.root.join("masks")
    }

    /// Tells whether the folders still exist; a system may clean its temporary folder at any time.
    pub(super) fn is_whole(&self) -> bool {
        [self.home(), self.tmp(), self.masks()]
            .iter()
            .all(|folder| folder.is_dir())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("could not remove a command's private folders: {error}");
        }
    }
}

fn remove_stale(base: &Path) {
    let uid = rustix::process::getuid().as_raw();
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        // Only our own real folders: anybody may put things into a shared temporary folder.
        let ours = std::fs::symlink_metadata(entry.path())
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == uid && meta.mode() & 0o077 == 0);
        if ours && is_unlocked(&entry.path().join(LOCK)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Tells whether nobody holds the lock. A missing file counts as held: its owner may just be starting.
fn is_unlocked(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_private_and_go_with_the_value() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(base.path()).unwrap();
        for folder in [scratch.root.clone(), scratch.home(), scratch.tmp()] {
            let mode = std::fs::metadata(folder).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        assert!(scratch.is_whole());
        drop(scratch);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let base = tempfile::tempdir().unwrap();
        let living = Scratch::new(base.path()).unwrap();
        let dead = base.path().join(format!("{PREFIX}dead"));
        DirBuilder::new().mode(0o700).create(&dead).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let starting = base.path().join(format!("{PREFIX}starting"));
        DirBuilder::new().mode(0o700).create(&starting).unwrap();
        let foreign = base.path().join("other");
        std::fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, base.path().join(format!("{PREFIX}link"))).unwrap();
        let _new = Scratch::new(base.path()).unwrap();
        assert!(living.is_whole());
        assert!(!dead.exists());
        assert!(starting.exists() && foreign.exists());
    }
}
