//! Effects that leave the process: editor, browser, folders. Blocks; runs on `main`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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

/// Lets a person write in their editor; returns the text. The terminal must be theirs.
pub(super) fn edit(
    text: &str,
    state_dir: &Path,
    env: &BTreeMap<String, String>,
) -> Result<String, String> {
    let set = |name: &str| {
        env.get(name)
            .filter(|value| !value.trim().is_empty())
            .cloned()
    };
    let editor = set("VISUAL")
        .or_else(|| set("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned());
    let words = shlex::split(&editor).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| format!("the editor {editor:?} is no command"))?;
    let path = state_dir.join(format!("chat_edit_{}.md", std::process::id()));
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(state_dir).map_err(failed)?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)?;
    let status = Command::new(&words[0])
        .args(&words[1..])
        .arg(&path)
        .status();
    let result = match status {
        Ok(status) if status.success() => {
            let bytes = fs::read(&path).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Ok(status) => Err(format!(
            "the editor ended with {status}; the draft is as it was"
        )),
        Err(error) => Err(format!(
            "the editor {:?} cannot be started: {error}",
            words[0]
        )),
    };
    let _ = fs::remove_file(&path);
    result
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

    #[test]
    fn an_editor_changes_the_draft() {
        let home = tempfile::tempdir().unwrap();
        let script = home.path().join("editor");
        fs::write(&script, "#!/bin/sh\nprintf '好' >> \"$2\"\n").unwrap();
        let env = |editor: String| BTreeMap::from([("EDITOR".to_owned(), editor)]);
        let run = |editor: String| edit("草稿", home.path(), &env(editor));
        assert_eq!(
            run(format!("sh '{}' -w", script.display())),
            Ok("草稿好".to_owned())
        );
        assert!(run("false".to_owned()).unwrap_err().contains("as it was"));
        assert!(
            run("/no/such/editor".to_owned())
                .unwrap_err()
                .contains("cannot be started")
        );
        assert!(run("'".to_owned()).unwrap_err().contains("no command"));
    }
}
