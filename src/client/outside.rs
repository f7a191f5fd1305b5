//! Effects that leave the process: browser, folders. Blocks; runs on `main`. The editor: `editor`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Names read of one folder.
const MAX_NAMES: usize = 2_000;

/// Lists the folder a path points into: names in order, and whether each is a folder. The database and the files beside it
/// (`picobot.db-wal`, `picobot.lock`) are left out: no tool reads them.
pub(super) fn list(root: &Path, home: &Path, database: &Path, asked: &str) -> Vec<(String, bool)> {
    let folder = asked.rfind('/').map_or("", |at| &asked[..=at]);
    let path = match folder.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => root.join(folder),
    };
    let Ok(entries) = fs::read_dir(&path) else {
        return Vec::new();
    };
    let own_name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let is_beside = database.parent().is_some_and(|parent| same(parent, &path));
    let own = own_name(database).filter(|_| is_beside);
    let lock = own_name(&database.with_extension("lock")).filter(|_| is_beside);
    let of_database = |name: &str| {
        own.as_ref().is_some_and(|own| name.starts_with(own)) || lock.as_deref() == Some(name)
    };
    let mut names: Vec<(String, bool)> = entries
        .flatten()
        .take(MAX_NAMES)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = fs::metadata(entry.path()).is_ok_and(|info| info.is_dir());
            let is_offered = !name.chars().any(char::is_control) && !of_database(&name);
            is_offered.then_some((name, is_folder))
        })
        .collect();
    names.sort();
    names
}

/// Tells whether two paths lead to the same folder.
fn same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
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
        let database = root.path().join("picobot.db");
        let listed = list(root.path(), root.path(), &database, "文档/a");
        assert_eq!(
            listed,
            [("a.txt".to_owned(), false), ("报告".to_owned(), true)]
        );
        for name in ["picobot.db", "picobot.db-wal", "picobot.lock", "picobot.md"] {
            fs::write(root.path().join(name), "").unwrap();
            fs::write(root.path().join("文档").join(name), "").unwrap();
        }
        let names = |asked: &str| {
            let listed = list(root.path(), root.path(), &database, asked);
            listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("~/"), ["picobot.md", "文档"]);
        assert_eq!(names(""), ["picobot.md", "文档"]);
        assert_eq!(
            names("文档/").len(),
            6,
            "only the database in use is left out"
        );
        assert!(names("no/such/").is_empty());
    }
}
