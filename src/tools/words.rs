//! Small pieces of text that several tools say the same way. Pure; no thread.

use super::{FileError, ToolError};

/// Makes the model's sentence of a file error; the path is shown as given, cut and without control characters.
pub(super) fn file_error(path: &str, error: &FileError) -> ToolError {
    let shown: String = path
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect();
    ToolError::failed(format!("{shown:?}: {error}"))
}

/// Writes a size for a reader: `812 bytes`, `12.3 KB`.
pub(super) fn size_text(bytes: u64) -> String {
    let (unit, divisor) = match bytes {
        0..1_000 => return format!("{bytes} bytes"),
        1_000..1_000_000 => ("KB", 1e3),
        1_000_000..1_000_000_000 => ("MB", 1e6),
        _ => ("GB", 1e9),
    };
    format!("{:.1} {unit}", bytes as f64 / divisor)
}

/// Returns the beginning of a text: at most this many bytes, cut between characters.
pub(super) fn head(text: &str, most_bytes: usize) -> &str {
    let mut end = most_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
