//! Results of any length for a model: head and tail are shown, the whole goes to a private file that `file_read` opens.
//!
//! Runs on the thread of the call. A [`Spill`] takes text as it comes, so that a command's output is never held as a
//! whole; [`fit`] does the same for a finished text. A short text touches no file. What follows from the limits here:
//! a result made by [`Spill`] has room for a line more before it would be too long again.

use std::io;

use super::workspace::{ResultFile, Workspace};

/// Longest result a model gets, in characters.
pub const MAX_RESULT_CHARS: usize = 16_000;
/// Shown of a longer one, from its beginning and from its end, in characters; the rest is for the words between.
const HEAD_CHARS: usize = 7_500;
const TAIL_CHARS: usize = 7_500;
/// Longest line in a file, in characters: `file_read` shows lines whole up to about this length.
const MAX_LINE_CHARS: usize = 1_000;
/// Largest file, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// How much text may pile up before the part that is no tail is forgotten, in bytes.
const SLACK_BYTES: usize = 64 * 1024;

/// Collects a result piece by piece.
pub struct Spill<'a> {
    workspace: &'a Workspace,
    label: &'a str,
    head: String,
    head_chars: usize,
    /// What came behind the head; only its end once a file has the whole.
    rest: String,
    total_chars: usize,
    kept: Kept,
}

/// What became of the whole text.
enum Kept {
    /// It is short so far.
    NotYet,
    Writing(Writing),
    /// It could not be written.
    Failed(String),
}

struct Writing {
    file: ResultFile,
    lines: Wrap,
    bytes: u64,
    full: bool,
}

/// A collected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spilled {
    /// What the model gets: everything, or head and tail with the name of the file between them.
    pub text: String,
    /// The file that holds the whole text, relative to the workspace, if the text is too long.
    pub file: Option<String>,
    /// Length of the whole text in characters.
    pub chars: usize,
}

impl<'a> Spill<'a> {
    /// Starts a result; `label`, a tool's name, becomes part of the file's name.
    pub fn new(workspace: &'a Workspace, label: &'a str) -> Self {
        Self {
            workspace,
            label,
            head: String::new(),
            head_chars: 0,
            rest: String::new(),
            total_chars: 0,
            kept: Kept::NotYet,
        }
    }

    /// Adds text. May write to the disk.
    pub fn push(&mut self, text: &str) {
        self.total_chars += text.chars().count();
        let mut behind = text;
        if self.head_chars < HEAD_CHARS {
            let (head, rest) = split_at_chars(text, HEAD_CHARS - self.head_chars);
            self.head.push_str(head);
            self.head_chars += head.chars().count();
            behind = rest;
        }
        self.rest.push_str(behind);
        match &mut self.kept {
            Kept::NotYet if self.total_chars > MAX_RESULT_CHARS => self.start_file(),
            Kept::Writing(writing) => {
                if let Err(error) = writing.write(text) {
                    self.kept = Kept::Failed(reason(&error));
                }
            }
            _ => {}
        }
        if !matches!(self.kept, Kept::NotYet) && self.rest.len() > SLACK_BYTES + 4 * TAIL_CHARS {
            let tail = last_chars(&self.rest, TAIL_CHARS).to_owned();
            self.rest = tail;
        }
    }

    fn start_file(&mut self) {
        self.kept = match self.workspace.new_result(self.label) {
            Err(error) => Kept::Failed(error.to_string()),
            Ok(file) => {
                let mut writing = Writing {
                    file,
                    lines: Wrap::default(),
                    bytes: 0,
                    full: false,
                };
                let written = writing
                    .write(&self.head)
                    .and_then(|()| writing.write(&self.rest));
                match written {
                    Ok(()) => Kept::Writing(writing),
                    Err(error) => Kept::Failed(reason(&error)),
                }
            }
        };
    }

    /// Ends the result.
    pub fn finish(self) -> Spilled {
        let chars = self.total_chars;
        let kept = match self.kept {
            Kept::NotYet => {
                return Spilled {
                    text: self.head + &self.rest,
                    file: None,
                    chars,
                };
            }
            Kept::Failed(why) => Err(why),
            Kept::Writing(writing) => writing.end(self.workspace).map_err(|error| reason(&error)),
        };
        let head = whole_lines(&self.head, true);
        let tail = whole_lines(last_chars(&self.rest, TAIL_CHARS), false);
        let left_out = chars - head.chars().count() - tail.chars().count();
        let note = match &kept {
            Err(why) => format!("[… {left_out} of {chars} characters left out and lost: {why} …]"),
            Ok(whole) => whole.note(left_out, chars, head),
        };
        Spilled {
            text: format!("{head}\n{note}\n{tail}"),
            file: kept.ok().map(|whole| whole.name),
            chars,
        }
    }
}

/// A text that went to a file.
struct Whole {
    name: String,
    lines: usize,
    wrapped: bool,
    full: bool,
}

impl Whole {
    /// Says where the rest is; `head` is what is shown of the beginning.
    fn note(&self, left_out: usize, chars: usize, head: &str) -> String {
        let mut shown = Wrap::default();
        shown.count(head);
        let from = shown.line();
        let name = &self.name;
        let what = if self.full {
            "its first 16 MiB"
        } else {
            "all of it"
        };
        let wrapped = if self.wrapped {
            ", long lines wrapped"
        } else {
            ""
        };
        format!(
            "[… {left_out} of {chars} characters left out; {what} ({} lines{wrapped}) is in {name}; go on with file_read at offset {from}, or look for words with content_search …]",
            self.lines
        )
    }
}

impl Writing {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.full {
            return Ok(());
        }
        let mut room = usize::try_from(MAX_FILE_BYTES - self.bytes).unwrap_or(usize::MAX);
        let mut text = text;
        if text.len() > room {
            while !text.is_char_boundary(room) {
                room -= 1;
            }
            text = &text[..room];
            self.full = true;
        }
        self.bytes += text.len() as u64;
        let (file, lines) = (&mut self.file, &mut self.lines);
        lines.feed(text, |piece| file.write(piece.as_bytes()))
    }

    fn end(self, workspace: &Workspace) -> io::Result<Whole> {
        let whole = Whole {
            name: self.file.name(),
            lines: self.lines.line(),
            wrapped: self.lines.wrapped,
            full: self.full,
        };
        self.file.keep()?;
        workspace.result_kept(self.bytes);
        Ok(whole)
    }
}

/// Breaks lines that are too long and counts lines.
#[derive(Default)]
struct Wrap {
    ended: usize,
    column: usize,
    wrapped: bool,
}

impl Wrap {
    /// Passes the text on, with line ends added.
    fn feed(
        &mut self,
        text: &str,
        mut write: impl FnMut(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        for line in text.split_inclusive('\n') {
            let mut left = line;
            loop {
                let room = MAX_LINE_CHARS - self.column;
                let content = left.strip_suffix('\n').unwrap_or(left);
                let (piece, rest) = split_at_chars(content, room);
                if rest.is_empty() {
                    write(left)?;
                    if left.len() > content.len() {
                        self.ended += 1;
                        self.column = 0;
                    } else {
                        self.column += piece.chars().count();
                    }
                    break;
                }
                write(piece)?;
                write("\n")?;
                self.wrapped = true;
                self.ended += 1;
                self.column = 0;
                left = &left[piece.len()..];
            }
        }
        Ok(())
    }

    /// Counts a text without passing it on.
    fn count(&mut self, text: &str) {
        // Nothing is written, so nothing fails.
        let _ = self.feed(text, |_| Ok(()));
    }

    /// Returns the number of the line that the next character belongs to, or of the last one if nothing follows.
    fn line(&self) -> usize {
        self.ended + usize::from(self.column > 0 || self.ended == 0)
    }
}

/// Makes a finished text fit: a long one goes to a file and keeps head and tail.
pub fn fit(workspace: &Workspace, label: &str, text: String) -> String {
    // Fewer bytes than characters allowed is the usual case and needs no counting.
    if text.len() <= MAX_RESULT_CHARS || text.chars().count() <= MAX_RESULT_CHARS {
        return text;
    }
    let mut spill = Spill::new(workspace, label);
    spill.push(&text);
    spill.finish().text
}

fn reason(error: &io::Error) -> String {
    error.kind().to_string()
}

fn split_at_chars(text: &str, n: usize) -> (&str, &str) {
    if text.len() <= n {
        return (text, "");
    }
    match text.char_indices().nth(n) {
        Some((at, _)) => text.split_at(at),
        None => (text, ""),
    }
}

fn last_chars(text: &str, n: usize) -> &str {
    match text.char_indices().rev().nth(n.saturating_sub(1)) {
        Some((at, _)) => &text[at..],
        None => text,
    }
}

/// Cuts a head behind its last line end, or a tail before its first, if that costs little.
fn whole_lines(text: &str, head: bool) -> &str {
    let most = text.len() / 4;
    let cut = if head {
        text.rfind('\n')
            .filter(|at| text.len() - at <= most)
            .map(|at| &text[..at])
    } else {
        text.find('\n')
            .filter(|at| *at <= most)
            .map(|at| &text[at + 1..])
    };
    cut.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::WorkspaceOptions;

    fn place() -> (tempfile::TempDir, Workspace) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path(), WorkspaceOptions::default()).unwrap();
        (folder, workspace)
    }

    fn spill(workspace: &Workspace, pieces: &[&str]) -> Spilled {
        let mut spill = Spill::new(workspace, "bash");
        for piece in pieces {
            spill.push(piece);
        }
        spill.finish()
    }

    #[test]
    fn short_texts_stay_as_they_are_and_touch_no_file() {
        let (folder, workspace) = place();
        let text = "短".repeat(MAX_RESULT_CHARS);
        assert_eq!(spill(&workspace, &[&text[..9], &text[9..]]).text, text);
        assert_eq!(fit(&workspace, "x", text.clone()), text);
        assert_eq!(spill(&workspace, &[]).text, "");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn long_texts_show_head_and_tail_and_name_the_file() {
        let (folder, workspace) = place();
        let text: String = (1..=50_000).map(|n| format!("行 {n}\n")).collect();
        // However it comes, the result is the same.
        let pieces: Vec<String> = text
            .chars()
            .collect::<Vec<_>>()
            .chunks(977)
            .map(|chunk| chunk.iter().collect())
            .collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let spilled = spill(&workspace, &pieces);
        let name = spilled.file.unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join(&name)).unwrap(),
            text
        );
        assert_eq!(spilled.chars, text.chars().count());
        let shown = spilled.text;
        assert!(shown.chars().count() < MAX_RESULT_CHARS - 300);
        assert!(shown.starts_with("行 1\n行 2\n") && shown.ends_with("\n行 50000\n"));
        let (head, rest) = shown.split_once("\n[… ").unwrap();
        assert!(rest.contains(&format!("all of it (50000 lines) is in {name};")));
        let from = head.lines().count();
        assert!(
            rest.contains(&format!("file_read at offset {from},")),
            "{rest:.300}"
        );
        assert_eq!(fit(&workspace, "bash", shown.clone()), shown);
    }

    #[test]
    fn one_long_line_is_wrapped_in_the_file() {
        let (folder, workspace) = place();
        let text = format!("{}\nend", "长".repeat(20_500));
        let spilled = spill(&workspace, &[&text]);
        assert!(spilled.text.contains("(22 lines, long lines wrapped)"));
        let kept = std::fs::read_to_string(folder.path().join(spilled.file.unwrap())).unwrap();
        let lines: Vec<&str> = kept.lines().collect();
        assert_eq!(lines.len(), 22);
        assert!(lines[..20].iter().all(|line| line.chars().count() == 1_000));
        assert_eq!(kept.replace('\n', "").chars().count(), 20_503);
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        let (folder, workspace) = place();
        std::fs::write(folder.path().join(".picobot"), "in the way").unwrap();
        let spilled = spill(&workspace, &[&"x".repeat(100_000), &"y".repeat(200_000)]);
        assert_eq!(spilled.file, None);
        assert!(spilled.text.contains("characters left out and lost: "));
        assert!(spilled.text.ends_with("yyy") && spilled.text.len() < MAX_RESULT_CHARS);
    }

    #[test]
    fn a_file_has_a_largest_size() {
        let (folder, workspace) = place();
        let piece = format!("{}\n", "é".repeat(400)).repeat(2_500);
        let pieces = vec![piece.as_str(); 10];
        let spilled = spill(&workspace, &pieces);
        let name = spilled.file.unwrap();
        let size = folder.path().join(&name).metadata().unwrap().len();
        assert!(
            size > MAX_FILE_BYTES - 4 && size <= MAX_FILE_BYTES,
            "{size}"
        );
        assert!(spilled.text.contains("its first 16 MiB"));
    }
}
