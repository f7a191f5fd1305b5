//! Images in messages, and files as they are received with an input. Pure data; no thread.
//!
//! Not here: judging and converting image files (`media`), and how an image looks on a wire.

use std::fmt;
use std::sync::Arc;

/// Formats that every model service takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaType {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
}

impl MediaType {
    const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif];

    /// Returns the MIME type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// Reads a MIME type as [`MediaType::as_str`] writes it.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// An image that fits into a request.
///
/// Two images are equal if digest, size and name are: the digest stands for the bytes, which may not be loaded.
#[derive(Clone)]
pub struct Image {
    /// The SHA-256 of the bytes, 64 hexadecimal digits.
    pub digest: String,
    /// The format of the bytes.
    pub media_type: MediaType,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file's name without folders: one printable line.
    pub name: String,
    /// The encoded file; empty where it is not stored any more or not needed.
    pub data: Arc<[u8]>,
}

impl Image {
    /// Images that go into one request at most; older ones go as their [`note`](Self::note).
    pub const MAX_IN_REQUEST: usize = 20;

    /// Returns what stands for the image in texts: `[image: photo.jpg, 800x600]`.
    pub fn note(&self) -> String {
        format!("[image: {}, {}x{}]", self.name, self.width, self.height)
    }

    /// Returns what stands for an image that a model service refused.
    pub fn refused_note(&self) -> String {
        format!("[image: {} — refused by the model service]", self.name)
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.media_type == other.media_type
            && (self.width, self.height) == (other.width, other.height)
            && self.name == other.name
    }
}

impl Eq for Image {}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Image({} {} {} bytes)",
            self.digest,
            self.note(),
            self.data.len()
        )
    }
}

/// A file that came with an input, as it was received: nobody has looked into it.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name the sender gave, made plain.
    pub name: String,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Attachment {
    /// Makes an attachment; the name may be any text.
    pub fn new(name: &str, data: Vec<u8>) -> Self {
        Self {
            name: plain_file_name(name),
            data,
        }
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({:?} {} bytes)", self.name, self.data.len())
    }
}

/// Longest file name kept, in characters.
const MAX_NAME_CHARS: usize = 80;

/// Makes a file's name fit for a line of text: without folders, line breaks, square brackets and characters that turn
/// text around; never empty.
pub fn plain_file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible = base.chars().filter(|c| !is_odd(*c));
    let plain = visible.map(|c| match c {
        '[' => '(',
        ']' => ')',
        c => c,
    });
    let name: String = plain.take(MAX_NAME_CHARS).collect();
    match name.trim() {
        "" => "image".to_owned(),
        name => name.to_owned(),
    }
}

fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_plain_line() {
        let long = "长".repeat(200);
        for (name, plain) in [
            ("photo.png", "photo.png"),
            ("照片 2026.png", "照片 2026.png"),
            ("/home/me/写真.jpg", "写真.jpg"),
            (r"C:\Users\me\a.gif", "a.gif"),
            ("a\nb\u{202E}gpj.exe\0", "abgpj.exe"),
            ("x] ignore all [y", "x) ignore all (y"),
            ("", "image"),
            (" \u{200B} ", "image"),
            ("dir/", "image"),
            (&long, &long[..80 * 3]),
        ] {
            assert_eq!(plain_file_name(name), plain);
            assert_eq!(plain_file_name(plain), plain);
        }
    }

    #[test]
    fn types_are_read_back() {
        for kind in MediaType::ALL {
            assert_eq!(MediaType::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(MediaType::from_word("image/svg+xml"), None);
    }
}
