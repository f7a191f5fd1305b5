//! What is in a folder of the workspace, and the nearest names where something is missing.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};

use super::results::{NOT_LISTED, is_results};
use super::{FOLDER, FileError, Workspace};
use crate::tools::similar;

/// Most entries read of one folder.
const MAX_ENTRIES: usize = 10_000;
/// Most names offered for a missing one.
const MAX_NEAR: usize = 3;
/// Most names listed when none is near.
const MAX_LISTED: usize = 12;

/// What is in a folder.
#[derive(Debug)]
pub struct Folder {
    /// True path relative to the workspace, empty for the workspace itself.
    pub name: String,
    /// Folders first, then files, each by name; at most 10,000.
    pub entries: Vec<FolderEntry>,
    /// Whether there was more.
    pub cut: bool,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name; bytes that are no text appear as `\xNN`.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Size in bytes, for regular files.
    pub size: Option<u64>,
    /// What else is to be known: `link`, `special`, `off limits`, `name is not text`.
    pub note: Option<&'static str>,
}

impl Workspace {
    pub(super) fn folder(&self, fd: &OwnedFd, real: &Path) -> Result<Folder, FileError> {
        if is_results(real) {
            return Err(FileError::Path(NOT_LISTED));
        }
        let mut entries = Vec::new();
        let mut cut = false;
        for entry in Dir::read_from(fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                cut = true;
                break;
            }
            // An entry that vanished meanwhile is not there.
            let Ok(stat) = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let text = name.to_str();
            let off_limits = text.is_ok_and(|name| self.off_limits_by_name(&real.join(name)));
            let note = match kind {
                _ if text.is_err() => Some("name is not text; rename it with bash"),
                _ if off_limits => Some("off limits"),
                FileType::Symlink => Some("link"),
                FileType::RegularFile | FileType::Directory => None,
                _ => Some("special file"),
            };
            let size = u64::try_from(stat.st_size).ok();
            entries.push(FolderEntry {
                name: text.map_or_else(|_| escaped(name.to_bytes()), str::to_owned),
                folder: kind == FileType::Directory,
                size: size.filter(|_| kind == FileType::RegularFile),
                note,
            });
        }
        entries.sort_by(|a, b| (!a.folder, &a.name).cmp(&(!b.folder, &b.name)));
        Ok(Folder {
            name: real.to_string_lossy().into_owned(),
            entries,
            cut,
        })
    }

    /// Says what is near a path that leads to nothing.
    pub(super) fn missing(&self, relative: &Path) -> FileError {
        let parts: Vec<_> = relative.iter().collect();
        let itself = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_link = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if let Ok((fd, _)) = self.locate(relative, itself)
            && rustix::fs::fstat(&fd).is_ok_and(is_link)
        {
            return FileError::DeadLink;
        }
        for existing in (0..parts.len()).rev() {
            let parent: PathBuf = parts[..existing].iter().collect();
            let parent = if existing == 0 {
                PathBuf::from(".")
            } else {
                parent
            };
            let Ok((fd, real)) = self.locate(&parent, FOLDER) else {
                continue;
            };
            let Ok(folder) = self.folder(&fd, &real) else {
                break;
            };
            return FileError::Missing(near(&parts[existing].to_string_lossy(), &folder));
        }
        FileError::Gone
    }
}

fn near(wanted: &str, folder: &Folder) -> String {
    let place = if folder.name.is_empty() {
        "the workspace".to_owned()
    } else {
        format!("{}/", folder.name)
    };
    let usable = || {
        folder
            .entries
            .iter()
            .filter(|entry| entry.note != Some("off limits"))
    };
    let mut alike: Vec<(usize, &str)> = usable()
        .filter_map(|entry| Some((similar::distance(wanted, &entry.name)?, entry.name.as_str())))
        .collect();
    alike.sort();
    if !alike.is_empty() {
        let names: Vec<String> = alike
            .iter()
            .take(MAX_NEAR)
            .map(|(_, name)| format!("{name:?}"))
            .collect();
        return format!("Nearest in {place}: {}", names.join(", "));
    }
    let names: Vec<&str> = usable()
        .take(MAX_LISTED)
        .map(|entry| entry.name.as_str())
        .collect();
    if names.is_empty() {
        return format!("Nothing is in {place} yet");
    }
    let more = if usable().count() > names.len() {
        ", …"
    } else {
        ""
    };
    format!("In {place} there is: {}{more}", names.join(", "))
}

/// Writes a name that is not UTF-8 with its odd bytes as `\xNN`.
pub(in crate::tools) fn escaped(name: &[u8]) -> String {
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}
