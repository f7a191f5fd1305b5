//! The folder for downloads: files are put into it on `feishu-load-N` and old ones are deleted on `upkeep`.
//!
//! It usually lies in the workspace, where commands may replace a folder by a link at any time, and this process may
//! write where commands may not. So every folder is opened in the one before it, and neither the folder for downloads,
//! nor one below it, nor one from an open folder on may be a link. Open folders are those that commands may write to: the
//! workspace and what the sandbox's settings add. Links that lead to an open folder, or to a folder for downloads
//! elsewhere, are the owner's and are followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Folders in folders that are looked through for old files.
const MAX_DEPTH: usize = 4;
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Writes a file into a folder of the folder for downloads; folders are made as needed, what lies under the name goes.
/// Returns the file's path. `top` is absolute, `below` and `name` are single names.
pub(super) fn keep(
    top: &Path,
    open_folders: &[PathBuf],
    below: &str,
    name: &str,
    bytes: &[u8],
) -> io::Result<PathBuf> {
    let folder = open_top(top, open_folders, true)?;
    let path = top.join(below);
    let folder =
        step(&folder, OsStr::new(below), true, true).map_err(|errno| told(&path, errno))?;
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let fd = rustix::fs::openat(&folder, name, NEW_FILE, Mode::from_raw_mode(0o600))?;
    File::from(fd).write_all(bytes)?;
    Ok(path.join(name))
}

/// Deletes plain files last changed before a time; links are left alone. Returns how many. `top` is absolute.
///
/// # Errors
///
/// If the folder is there and cannot be opened, or is reached through a link in an open folder.
pub fn delete_old_files(
    top: &Path,
    open_folders: &[PathBuf],
    before: SystemTime,
    ended: &dyn Fn() -> bool,
) -> io::Result<usize> {
    let folder = match open_top(top, open_folders, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        folder => folder?,
    };
    let mut deleted = 0;
    let folder = rustix::fs::openat(&folder, ".", READ, Mode::empty())?;
    delete_in(&folder, 0, before, ended, &mut deleted);
    Ok(deleted)
}

fn delete_in(
    folder: &OwnedFd,
    depth: usize,
    before: SystemTime,
    ended: &dyn Fn() -> bool,
    deleted: &mut usize,
) {
    let Ok(entries) = Dir::read_from(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if ended() {
            return;
        }
        let name = OsString::from(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == "." || name == ".." {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth < MAX_DEPTH => {
                if let Ok(inner) = rustix::fs::openat(folder, &name, READ, Mode::empty()) {
                    delete_in(&inner, depth + 1, before, ended, deleted);
                }
            }
            FileType::RegularFile => {
                let secs = u64::try_from(stat.st_mtime).unwrap_or(0);
                let is_old = UNIX_EPOCH + Duration::from_secs(secs) < before;
                if is_old && rustix::fs::unlinkat(folder, &name, AtFlags::empty()).is_ok() {
                    *deleted += 1;
                }
            }
            _ => {}
        }
    }
}

/// Opens the folder for downloads, name by name from the root.
fn open_top(top: &Path, open_folders: &[PathBuf], makes: bool) -> io::Result<OwnedFd> {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let known = |path: &PathBuf| rustix::fs::stat(path).map(identity).ok();
    let open: Vec<(u64, u64)> = open_folders.iter().filter_map(known).collect();
    let mut folder = rustix::fs::open("/", STEP, Mode::empty())?;
    let mut path = PathBuf::from("/");
    let mut is_inside = false;
    let mut parts = top.components().peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::ParentDir | Component::Prefix(_) => return Err(told(top, Errno::INVAL)),
        };
        path.push(name);
        let here = rustix::fs::fstat(&folder).map(identity);
        is_inside |= here.is_ok_and(|here| open.contains(&here));
        let is_last = parts.peek().is_none();
        folder =
            step(&folder, name, is_inside || is_last, makes).map_err(|errno| told(&path, errno))?;
    }
    Ok(folder)
}

/// Opens a folder in a folder, made if it is missing and wanted; `strict` refuses a link.
fn step(parent: &OwnedFd, name: &OsStr, strict: bool, makes: bool) -> Result<OwnedFd, Errno> {
    let flags = if strict {
        STEP | OFlags::NOFOLLOW
    } else {
        STEP
    };
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) if makes => {}
        opened => return opened,
    }
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    // What was just made is no link, or it is not ours.
    rustix::fs::openat(parent, name, STEP | OFlags::NOFOLLOW, Mode::empty())
}

fn told(path: &Path, errno: Errno) -> io::Error {
    let path = path.display();
    match errno {
        Errno::NOTDIR | Errno::LOOP => {
            io::Error::other(format!("{path} is a link or no folder, and is not used"))
        }
        Errno::INVAL => io::Error::other(format!("{path} has a part that cannot be followed")),
        errno => io::Error::new(io::Error::from(errno).kind(), format!("{path}: {errno}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn files_are_kept_and_never_through_a_link_in_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (workspace, victim) = (top.join("work"), top.join("victim"));
        fs::create_dir(&workspace).unwrap();
        fs::create_dir(&victim).unwrap();
        let media = workspace.join("media/feishu");
        let open = [workspace.clone()];
        let kept = |media: &Path| keep(media, &open, "2026-01", "图.png", b"x");
        let path = kept(&media).unwrap();
        assert_eq!(path, media.join("2026-01/图.png"));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // A link under the file's own name is replaced, what it led to is not touched.
        fs::write(victim.join("f"), "safe").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(victim.join("f"), &path).unwrap();
        kept(&media).unwrap();
        assert_eq!(fs::read_to_string(victim.join("f")).unwrap(), "safe");
        for linked in ["media/feishu/2026-01", "media/feishu", "media"] {
            let linked = workspace.join(linked);
            fs::remove_dir_all(&linked).unwrap();
            symlink(&victim, &linked).unwrap();
            let error = kept(&media).unwrap_err().to_string();
            assert!(error.contains(&linked.display().to_string()), "{error}");
            assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
            fs::remove_file(&linked).unwrap();
            fs::create_dir_all(&linked).unwrap();
        }
        // A workspace that is reached through a link is the owner's matter; what lies in it is still looked at.
        symlink(&workspace, top.join("alias")).unwrap();
        let aliased = top.join("alias/media/feishu");
        kept(&aliased).unwrap();
        fs::remove_dir_all(&media).unwrap();
        fs::remove_dir(workspace.join("media")).unwrap();
        symlink(&victim, workspace.join("media")).unwrap();
        kept(&aliased).unwrap_err();
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    }

    #[test]
    fn folders_that_the_sandbox_opens_are_no_safer_than_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (data, victim) = (top.join("data"), top.join("victim"));
        fs::create_dir(&data).unwrap();
        fs::create_dir_all(victim.join("feishu")).unwrap();
        symlink(&victim, data.join("media")).unwrap();
        let media = data.join("media/feishu");
        let kept = |open: &[PathBuf]| keep(&media, open, "2026-01", "x.png", b"x");
        let open = [top.join("work"), data.clone()];
        let error = kept(&open).unwrap_err().to_string();
        assert!(error.contains("data/media is a link"), "{error}");
        delete_old_files(&media, &open, SystemTime::now(), &|| false).unwrap_err();
        assert_eq!(fs::read_dir(victim.join("feishu")).unwrap().count(), 0);
        // Where commands may not write, the link is the owner's.
        kept(&open[..1]).unwrap();
    }

    #[test]
    fn old_files_go_and_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let media = top.join("media");
        fs::create_dir_all(media.join("a/b")).unwrap();
        let outside = top.join("outside.txt");
        let old = SystemTime::now() - 10 * DAY;
        for path in [
            outside.clone(),
            media.join("old.png"),
            media.join("a/b/旧.png"),
            media.join("new.png"),
        ] {
            fs::write(&path, "x").unwrap();
            if !path.ends_with("new.png") {
                let file = File::options().write(true).open(&path).unwrap();
                file.set_modified(old).unwrap();
            }
        }
        symlink(&outside, media.join("link")).unwrap();
        symlink(&top, media.join("a/up")).unwrap();
        let before = SystemTime::now() - 5 * DAY;
        let open = [top.clone()];
        let deleted =
            |folder: &Path, ended| delete_old_files(folder, &open, before, &|| ended).unwrap();
        assert_eq!(deleted(&media, true), 0);
        assert_eq!(deleted(&media, false), 2);
        assert!(outside.exists() && media.join("new.png").exists());
        assert!(fs::symlink_metadata(media.join("link")).is_ok());
        assert_eq!(deleted(&top.join("nowhere"), false), 0);
        // The folder itself replaced by a link.
        symlink(&top, top.join("linked")).unwrap();
        delete_old_files(&top.join("linked"), &open, before, &|| false).unwrap_err();
        assert!(outside.exists());
    }
}
