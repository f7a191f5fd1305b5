//! The `file_read` tool: a range of lines of a text file, an image, or what is in a folder.
//!
//! Runs on the turn's thread. Text comes without line numbers: edits are made by text, numbers would cost tokens in
//! every line and end up in edits. The first line of the result says which lines follow; the last where to go on.

use std::io::{Read, Seek};
use std::sync::Arc;

use encoding_rs::{Decoder, UTF_8};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::binary::binary_kind;
use super::encoding::{Found as Encoding, detect, detect_utf16};
use super::seen::SeenFiles;
use super::untrusted::untrusted;
use super::words::{file_error, size_text};
use super::workspace::{Folder, Found, RESULTS, WorkspaceFile};
use super::{Action, Effects, MAX_EDIT_BYTES, ToolCtx, ToolError, TypedTool, Workspace};
use crate::chat::Image;
use crate::media;

/// Characters of text shown by one call: with the words around them they fit a result.
const PAGE_CHARS: usize = 15_000;
/// Longest line shown, in bytes.
const MAX_LINE_BYTES: usize = 4_000;
/// Files up to this size are read to the end, to tell how many lines they have.
const MAX_COUNTED_BYTES: u64 = 64 * 1024 * 1024;
/// Most entries of a folder shown.
const MAX_ENTRIES: usize = 300;
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads text files and lists folders.
pub(super) struct FileRead {
    pub(super) seen: Arc<SeenFiles>,
}

/// Arguments of [`FileRead`].
#[derive(Deserialize, JsonSchema)]
pub(super) struct FileReadArgs {
    /// in the workspace
    path: String,
    /// first line, from 1
    #[schemars(range(min = 1))]
    offset: Option<u64>,
    /// number of lines
    #[schemars(range(min = 1))]
    limit: Option<u64>,
}

impl TypedTool for FileRead {
    type Args = FileReadArgs;
    const NAME: &'static str = "file_read";
    const DESCRIPTION: &'static str =
        "Reads a text file or an image, or lists a folder (path \".\").";

    fn effects_of(&self, _: &FileReadArgs) -> Effects {
        Effects::ReadOnly
    }

    fn action_of(&self, args: &FileReadArgs, workspace: &Workspace) -> Action {
        let (name, real) = workspace.names(&args.path);
        Action::reading(&name, real.as_deref())
    }

    fn call(&self, args: FileReadArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let found = ctx.workspace.find(&args.path);
        match found.map_err(|error| file_error(&args.path, &error))? {
            Found::Folder(folder) => Ok(listing(&folder)),
            Found::File(file) => {
                let shown = self.show(&file, &args, ctx)?;
                let kept = RESULTS.iter().collect::<std::path::PathBuf>();
                if !std::path::Path::new(&file.name()).starts_with(kept) {
                    return Ok(shown);
                }
                // Nobody knows any more where a kept result came from.
                Ok(untrusted(ctx.boundary, &file.name(), &shown))
            }
        }
    }
}

impl FileRead {
    fn show(
        &self,
        file: &WorkspaceFile,
        args: &FileReadArgs,
        ctx: &ToolCtx<'_>,
    ) -> Result<String, ToolError> {
        let name = file.name();
        let mut lines = Lines::new(args.offset.unwrap_or(1), args.limit);
        let counted = file.size() <= MAX_COUNTED_BYTES;
        let mut hasher = (file.size() <= MAX_EDIT_BYTES).then(Sha256::new);
        let mut reader = file.file();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut first = true;
        let mut decoding = Decoding::of(b"");
        loop {
            if ctx.cancel.is_cancelled() {
                return Err(ToolError::Cancelled);
            }
            let read = reader
                .read(&mut chunk)
                .map_err(|error| file_error(&args.path, &error.into()))?;
            let bytes = &chunk[..read];
            if first
                && let Some(show) = ctx.images
                && media::kind_of(bytes).is_some()
            {
                return show_image(file, &args.path, show);
            }
            if first {
                decoding = Decoding::of(bytes);
            }
            if first
                && decoding.minds_zeros()
                && let Some(kind) = binary_kind(bytes)
            {
                return Err(ToolError::failed(format!(
                    "{name} is not text: {kind}, {}; file_read shows text only. Use bash if you need something out of it",
                    size_text(file.size())
                )));
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            decoding.feed(bytes, read == 0, &mut lines);
            first = false;
            if read == 0 {
                break;
            }
            if lines.full && !counted && hasher.is_none() {
                break;
            }
        }
        let total = (counted || !lines.full).then(|| lines.finish());
        if let Some(hasher) = hasher {
            self.seen.note(ctx.session, &name, hasher.finalize().into());
        }
        lines.encoding = decoding.name();
        lines.text(&name, file.size(), total)
    }
}

/// How a file's bytes become text.
enum Decoding {
    /// They are UTF-8, or nobody knows.
    Plain,
    Foreign {
        encoding: Encoding,
        decoder: Decoder,
        /// Bytes of the mark that still have to go.
        mark: usize,
    },
}

impl Decoding {
    /// Decides by the beginning of a file.
    fn of(head: &[u8]) -> Self {
        match detect_utf16(head).or_else(|| detect(head)) {
            Some(encoding) if encoding.encoding != UTF_8 => Self::Foreign {
                encoding,
                decoder: encoding.encoding.new_decoder_without_bom_handling(),
                mark: encoding.mark,
            },
            _ => Self::Plain,
        }
    }

    /// Whether zero bytes mean that this is no text.
    fn minds_zeros(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Foreign { encoding, .. } => !encoding.is_utf16(),
        }
    }

    fn feed(&mut self, bytes: &[u8], last: bool, lines: &mut Lines) {
        match self {
            Self::Plain => lines.feed(bytes),
            Self::Foreign { decoder, mark, .. } => {
                let bytes = &bytes[(*mark).min(bytes.len())..];
                *mark = 0;
                let most = decoder.max_utf8_buffer_length(bytes.len());
                let mut text = String::with_capacity(most.unwrap_or(4 * bytes.len()));
                // The buffer is as large as the text can become, so all of it is read.
                let (_, _, broken) = decoder.decode_to_string(bytes, &mut text, last);
                lines.lossy |= broken;
                lines.feed(text.as_bytes());
            }
        }
    }

    fn name(&self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Foreign { encoding, .. } => Some(encoding.name()),
        }
    }
}

/// Hands an image to the model; the text names the file, the image itself tells its size.
fn show_image(
    file: &WorkspaceFile,
    path: &str,
    show: &(dyn Fn(Image) + Sync),
) -> Result<String, ToolError> {
    let name = file.name();
    (&mut file.file())
        .rewind()
        .map_err(|error| file_error(path, &error.into()))?;
    let bytes = file
        .read_all(media::MAX_FILE_BYTES)
        .map_err(|error| file_error(path, &error))?;
    let image = media::prepare(&bytes, &name)
        .map_err(|error| ToolError::failed(format!("{name} cannot be shown: {error}")))?;
    show(image);
    Ok(format!("{name} · image, {}", size_text(file.size())))
}

/// Collects the wanted lines of a stream and counts the rest.
struct Lines {
    offset: u64,
    limit: u64,
    shown_chars: usize,
    /// Number of the line being read, from 1.
    number: u64,
    /// The beginning of the line being read and its whole length.
    line: Vec<u8>,
    line_bytes: usize,
    shown: String,
    shown_lines: u64,
    full: bool,
    lossy: bool,
    crlf: bool,
    /// What the file is in, if not UTF-8.
    encoding: Option<&'static str>,
}

impl Lines {
    fn new(offset: u64, limit: Option<u64>) -> Self {
        Self {
            offset: offset.max(1),
            limit: limit.unwrap_or(u64::MAX),
            shown_chars: 0,
            number: 1,
            line: Vec::new(),
            line_bytes: 0,
            shown: String::new(),
            shown_lines: 0,
            full: false,
            lossy: false,
            crlf: false,
            encoding: None,
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.gather(&bytes[..end]);
            self.end_line(true);
            bytes = &bytes[end + 1..];
        }
        self.gather(bytes);
    }

    fn gather(&mut self, bytes: &[u8]) {
        self.line_bytes += bytes.len();
        let wanted = !self.full && self.number >= self.offset;
        let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
        if wanted && room > 0 {
            self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end_line(&mut self, ended: bool) {
        if !self.full && self.number >= self.offset {
            self.show_line(ended);
        }
        self.number += 1;
        self.line.clear();
        self.line_bytes = 0;
    }

    fn show_line(&mut self, ended: bool) {
        if self.line.len() < self.line_bytes {
            // The cut may have split a character, which says nothing about the file.
            if let Some(error) = std::str::from_utf8(&self.line).err()
                && error.error_len().is_none()
            {
                self.line.truncate(error.valid_up_to());
            }
        } else if ended && self.line.last() == Some(&b'\r') {
            self.crlf = true;
            self.line.pop();
            self.line_bytes -= 1;
        }
        let cut = self.line_bytes - self.line.len();
        let text = String::from_utf8_lossy(&self.line);
        let chars = text.chars().count() + 1;
        if self.shown_lines > 0 && self.shown_chars + chars > PAGE_CHARS {
            self.full = true;
            return;
        }
        self.shown_chars += chars;
        self.lossy |= matches!(text, std::borrow::Cow::Owned(_));
        self.shown.push_str(&text);
        if cut > 0 {
            self.shown
                .push_str(&format!("… [{cut} more bytes in this line]"));
        }
        self.shown.push('\n');
        self.shown_lines += 1;
        self.full = self.shown_lines >= self.limit;
    }

    /// Ends the last line and returns how many lines there are.
    fn finish(&mut self) -> u64 {
        if self.line_bytes > 0 {
            self.end_line(false);
        }
        self.number - 1
    }

    fn text(self, name: &str, size: u64, total: Option<u64>) -> Result<String, ToolError> {
        if total == Some(0) {
            return Ok(format!("{name} · empty"));
        }
        if self.shown_lines == 0 {
            return Err(ToolError::failed(format!(
                "{name} has {} lines, so there is no line {}; use a smaller offset",
                total.unwrap_or(self.number - 1),
                self.offset
            )));
        }
        let last = self.offset + self.shown_lines - 1;
        let mut out = match total {
            Some(total) if self.shown_lines == total => format!("{name} · {total} lines"),
            Some(total) => format!("{name} · lines {}–{last} of {total}", self.offset),
            None => format!(
                "{name} · lines {}–{last} of a file of {}",
                self.offset,
                size_text(size)
            ),
        };
        if self.crlf {
            out.push_str(" · CRLF line ends");
        }
        if let Some(encoding) = self.encoding {
            out.push_str(" · ");
            out.push_str(encoding);
        }
        if self.lossy {
            let name = self.encoding.unwrap_or("UTF-8");
            out.push_str(&format!(
                " · not all of it is {name}: unreadable bytes are shown as \u{FFFD}"
            ));
        }
        out.push('\n');
        out.push_str(&self.shown);
        if total.is_none_or(|total| last < total) {
            let left = total.map_or("more".to_owned(), |total| format!("{} more", total - last));
            out.push_str(&format!(
                "[{left} lines; continue with offset {}]\n",
                last + 1
            ));
        }
        Ok(out)
    }
}

fn listing(folder: &Folder) -> String {
    let name = if folder.name.is_empty() {
        "."
    } else {
        &folder.name
    };
    let count = folder.entries.len();
    let plus = if folder.cut { "more than " } else { "" };
    let mut out = format!("{name}/ · {plus}{count} entries\n");
    for entry in folder.entries.iter().take(MAX_ENTRIES) {
        out.push_str(&printable(&entry.name));
        if entry.folder {
            out.push('/');
        }
        if let Some(size) = entry.size {
            out.push_str(&format!("  {}", size_text(size)));
        }
        if let Some(note) = entry.note {
            out.push_str(&format!("  ({note})"));
        }
        out.push('\n');
    }
    if count > MAX_ENTRIES {
        out.push_str(&format!(
            "[{} more entries; list a subfolder or use bash]\n",
            count - MAX_ENTRIES
        ));
    }
    out
}

/// Keeps a name with line breaks or control characters on one line.
fn printable(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            escaped
                .into_iter()
                .flatten()
                .chain((!c.is_control()).then_some(c))
        })
        .collect()
}
