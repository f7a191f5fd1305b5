//! Effects that leave the process: browser, folders. Blocks; runs on `main`. The editor: `editor`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Names read of one folder.
const MAX_NAMES: usize = 2_000;

/// Lists the folder a path points into: names in order, and whether each is a folder.
pub(super) fn list(root: &Path, home: &Path, asked: &str) -> Vec<(String, bool)> {
    let folder = asked.rfind('/').map_or("", |at| &asked[..=at]);
    let path = match folder.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => root.join(folder),
    };
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<(String, bool)> = entries
        .flatten()
        .take(MAX_NAMES)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = fs::metadata(entry.path()).is_ok_and(|info| info.is_dir());
            (!name.chars().any(char::is_control)).then_some((name, is_folder))
        })
        .collect();
    names.sort();
    names
}

/// Opens a web address in the desktop's browser; false if there is no desktop.
pub(super) fn open_link(link: &str, env: &BTreeMap<String, String>) -> bool {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| env.get(*name).is_some_and(|value| !value.is_empty()));
    if !has_desktop {
        return false;
    }
    // The shell goes at once and leaves the browser to init: nothing here has to wait for it.
    let started = Command::new("sh")
        .args(["-c", "xdg-open \"$1\" >/dev/null 2>&1 &", "sh", link])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    started.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("文档/报告")).unwrap();
        fs::write(root.path().join("文档/a.txt"), "").unwrap();
        let listed = list(root.path(), root.path(), "文档/a");
        assert_eq!(
            listed,
            [("a.txt".to_owned(), false), ("报告".to_owned(), true)]
        );
        assert_eq!(list(root.path(), root.path(), "~/").len(), 1);
        assert!(list(root.path(), root.path(), "no/such/").is_empty());
    }
}
