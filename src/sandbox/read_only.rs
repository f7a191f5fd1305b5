//! Makes the command's view of the file tree read-only but for the folders that it may write to.
//!
//! Landlock judges opening, making and removing. It does not judge `chmod`, `utimes`, `setxattr` and flags: without this
//! a command could change those of every file of the user, wherever it lies. Runs where `masks` does, inside the mount
//! namespace. Mounts inside a writable folder keep what they are: read-only ones stay so.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// Makes everything read-only that is mounted now, but for what lies below `writable`: true paths, none inside another.
pub(super) fn all_but(writable: &[PathBuf]) -> io::Result<()> {
    if writable.iter().any(|path| path == Path::new("/")) {
        return Ok(());
    }
    // Copied before and put over themselves after: a single folder of a mount has no flag of its own.
    let copies: Vec<(&PathBuf, OwnedFd)> = writable
        .iter()
        .map(|path| Ok((path, copy(path)?)))
        .collect::<io::Result<_>>()?;
    crate::platform::make_mounts_read_only()?;
    for (path, copy) in copies {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(copy, "", CWD, path, flags)?;
    }
    Ok(())
}

/// Returns a copy of the mounts at and below a path, which hangs nowhere yet.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}
