//! What the client keeps between runs: prompts and drafts, in files only the owner can read. Blocks on the disk; runs on `main`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Prompts in the file before it is written anew with the newest ones.
const MAX_LINES: usize = 2_000;
/// Longest prompt that is kept, in bytes.
const MAX_PROMPT_BYTES: usize = 64 * 1024;
/// Larger files are not ours; they are left alone.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Prompts that are given to the program.
const KEPT: usize = 1_000;

/// The two files.
pub(super) struct Files {
    history: PathBuf,
    drafts: PathBuf,
}

impl Files {
    /// Names the files in PicoBot's folder.
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            history: state_dir.join("chat_history.jsonl"),
            drafts: state_dir.join("chat_drafts.json"),
        }
    }

    /// Reads the prompts, oldest first; lines that are none are skipped.
    pub(super) fn load_history(&self) -> Vec<String> {
        let text = read(&self.history).unwrap_or_default();
        let mut prompts: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let n = prompts.len();
        prompts.drain(..n.saturating_sub(KEPT));
        if n > MAX_LINES {
            let lines: String = prompts.iter().map(|prompt| line(prompt)).collect();
            if let Err(error) = replace(&self.history, &lines) {
                log::warn!("{}: {error}", self.history.display());
            }
        }
        prompts
    }

    /// Adds a prompt.
    pub(super) fn remember(&self, prompt: &str) -> io::Result<()> {
        if prompt.len() > MAX_PROMPT_BYTES {
            return Ok(());
        }
        make_folder(&self.history)?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.history)?;
        file.write_all(line(prompt).as_bytes())
    }

    /// Reads the drafts by dialog.
    pub(super) fn load_drafts(&self) -> BTreeMap<String, String> {
        read(&self.drafts)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Keeps the draft of a dialog; an empty one is forgotten. Others' drafts are read anew: another client may have written.
    pub(super) fn save_draft(&self, session: &str, text: &str) -> io::Result<()> {
        let mut drafts = self.load_drafts();
        let changed = if text.is_empty() {
            drafts.remove(session).is_some()
        } else {
            drafts
                .insert(session.to_owned(), text.to_owned())
                .as_deref()
                != Some(text)
        };
        if !changed {
            return Ok(());
        }
        let json = serde_json::to_string(&drafts).unwrap_or_default();
        replace(&self.drafts, &json)
    }
}

fn line(prompt: &str) -> String {
    let mut line = serde_json::to_string(prompt).unwrap_or_default();
    line.push('\n');
    line
}

fn read(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let info = file.metadata()?;
    if !info.is_file() || info.len() > MAX_FILE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn make_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Writes a file anew: the old one stays until the new one is complete.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    make_folder(path)?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_data());
    written
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn prompts_and_drafts_come_back() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::new(&home.path().join("state"));
        assert!(files.load_history().is_empty() && files.load_drafts().is_empty());
        files.remember("整理\n下载").unwrap();
        files.remember("two").unwrap();
        assert_eq!(files.load_history(), ["整理\n下载", "two"]);
        files.save_draft("a:b:c", "草稿").unwrap();
        files.save_draft("a:b:d", "x").unwrap();
        files.save_draft("a:b:d", "").unwrap();
        assert_eq!(
            files.load_drafts(),
            BTreeMap::from([("a:b:c".to_owned(), "草稿".to_owned())])
        );
        for path in [&files.history, &files.drafts] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn damaged_files_lose_only_what_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::new(home.path());
        fs::write(
            &files.history,
            b"\"one\"\n{broken\n\xff\xfe\n\"two\"\n\"cut",
        )
        .unwrap();
        assert_eq!(files.load_history(), ["one", "two"]);
        fs::write(&files.drafts, "[]").unwrap();
        assert!(files.load_drafts().is_empty());
        files.save_draft("s", "t").unwrap();
        assert_eq!(files.load_drafts().len(), 1);
    }

    #[test]
    fn a_long_history_is_cut() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::new(home.path());
        let lines: String = (0..MAX_LINES + 1).map(|n| line(&n.to_string())).collect();
        fs::write(&files.history, lines).unwrap();
        assert_eq!(files.load_history().len(), KEPT);
        assert_eq!(
            fs::read_to_string(&files.history).unwrap().lines().count(),
            KEPT
        );
    }
}
