//! Writing in the person's own editor. Runs on `main`, which waits; the `tui-editor` thread waits for the process.
//!
//! The terminal is the editor's meanwhile, and so are its keys: an interrupt from the keyboard reaches both and means the editor,
//! and an editor that stops itself (ctrl+z) takes the client along, so that the shell comes back.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use signal_hook::consts::{SIGINT, SIGTSTP};

use super::suspend;
use crate::threads::spawn;

const STACK_BYTES: usize = 64 * 1024;
const END_LIMIT: Duration = Duration::from_millis(300);

/// What became of it.
pub(super) struct Edited {
    /// The new text, or why there is none.
    pub(super) text: Result<String, String>,
    /// The signal that ends the client, if one came.
    pub(super) signal: Option<i32>,
}

/// Lets a person write in their editor. The terminal must be theirs. `signals` are those that were sent to this process.
pub(super) fn edit(
    text: &str,
    state_dir: &Path,
    env: &BTreeMap<String, String>,
    signals: &Receiver<i32>,
) -> Edited {
    let mut signal = None;
    let text = edit_file(text, state_dir, env, signals, &mut signal);
    Edited { text, signal }
}

fn edit_file(
    text: &str,
    state_dir: &Path,
    env: &BTreeMap<String, String>,
    signals: &Receiver<i32>,
    signal: &mut Option<i32>,
) -> Result<String, String> {
    let words = command(env)?;
    let path = state_dir.join(format!("chat_edit_{}.md", std::process::id()));
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(state_dir).map_err(failed)?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)?;
    let ended = run(&words, &path, signals, signal);
    let result = match ended {
        // One that was killed may have written before; what it wrote is the person's.
        Ok(status) if status.success() || status.signal().is_some() => fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(failed),
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

/// Returns the words of the editor's command, one at least.
fn command(env: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let set = |name: &&str| {
        env.get(*name)
            .filter(|value| !value.trim().is_empty())
            .cloned()
    };
    let editor = ["VISUAL", "EDITOR"].iter().find_map(set);
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    shlex::split(&editor)
        .filter(|words| !words.is_empty())
        .ok_or_else(|| format!("the editor {editor:?} is no command"))
}

enum News {
    Stopped,
    Ended(io::Result<ExitStatus>),
}

/// Runs the editor to its end.
fn run(
    words: &[String],
    path: &Path,
    signals: &Receiver<i32>,
    ends: &mut Option<i32>,
) -> io::Result<ExitStatus> {
    let child = Command::new(&words[0])
        .args(&words[1..])
        .arg(path)
        .spawn()?;
    let pid = Pid::from_child(&child);
    let (send, news) = bounded(1);
    let thread = spawn("tui-editor", STACK_BYTES, move || {
        loop {
            let heard = match waitpid(Some(pid), WaitOptions::UNTRACED) {
                Ok(Some((_, status))) if status.stopped() => News::Stopped,
                Ok(Some((_, status))) => News::Ended(Ok(ExitStatus::from_raw(status.as_raw()))),
                Ok(None) | Err(Errno::INTR) => continue,
                Err(error) => News::Ended(Err(error.into())),
            };
            let is_end = matches!(heard, News::Ended(_));
            if send.send(heard).is_err() || is_end {
                return;
            }
        }
    })?;
    let status = loop {
        select! {
            recv(news) -> heard => match heard {
                Ok(News::Stopped) => {
                    if suspend::has_shell() {
                        suspend::stop()?;
                    }
                    // Continued by a shell it is already; stopped by itself alone, nobody else would do it.
                    let _ = kill_process(pid, Signal::CONT);
                }
                Ok(News::Ended(status)) => break status,
                Err(_) => break Err(io::Error::other("nobody waits for it")),
            },
            recv(signals) -> signal => match signal {
                Ok(SIGINT | SIGTSTP) => {}
                Ok(signal) => {
                    *ends = Some(signal);
                    let _ = kill_process(pid, Signal::TERM);
                    let _ = kill_process(pid, Signal::CONT);
                }
                Err(_) => break Err(io::Error::other("signals are not heard any more")),
            },
        }
    };
    // It has said its last word.
    let _ = thread.join_within(END_LIMIT);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGTERM;

    fn with_script(script: &str) -> (tempfile::TempDir, BTreeMap<String, String>) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("editor");
        fs::write(&path, script).unwrap();
        let editor = format!("sh '{}' -w", path.display());
        (home, BTreeMap::from([("EDITOR".to_owned(), editor)]))
    }

    #[test]
    fn an_editor_changes_the_draft() {
        let (home, env) = with_script("printf '好' >> \"$2\"\n");
        let (_send, signals) = bounded(8);
        let run = |env: &BTreeMap<String, String>| edit("草稿", home.path(), env, &signals).text;
        assert_eq!(run(&env), Ok("草稿好".to_owned()));
        let other = |editor: &str| run(&BTreeMap::from([("EDITOR".to_owned(), editor.to_owned())]));
        assert!(other("false").unwrap_err().contains("as it was"));
        assert!(
            other("/no/such/editor")
                .unwrap_err()
                .contains("cannot be started")
        );
        assert!(other("'").unwrap_err().contains("no command"));
    }

    #[test]
    fn what_a_killed_editor_wrote_is_kept_and_its_keys_are_its_own() {
        let (home, env) = with_script("printf '好' >> \"$2\"; kill -TERM $$\n");
        let (send, signals) = bounded(8);
        // An interrupt from the keyboard comes here too.
        send.send(SIGINT).unwrap();
        let edited = edit("草稿", home.path(), &env, &signals);
        assert_eq!(edited.text, Ok("草稿好".to_owned()));
        assert_eq!(edited.signal, None);

        let (home, env) = with_script("printf '好' >> \"$2\"; exec sleep 600\n");
        send.send(SIGTERM).unwrap();
        let edited = edit("草稿", home.path(), &env, &signals);
        assert_eq!(edited.signal, Some(SIGTERM));
        assert!(edited.text.unwrap().starts_with("草稿"));
    }

    #[test]
    fn one_that_stops_itself_alone_goes_on() {
        let (home, env) = with_script("kill -STOP $$; printf '好' >> \"$2\"\n");
        let (_send, signals) = bounded(8);
        // Under a shell with job control the whole job would stop with it.
        if !suspend::has_shell() {
            let edited = edit("草稿", home.path(), &env, &signals);
            assert_eq!(edited.text, Ok("草稿好".to_owned()));
        }
    }
}
