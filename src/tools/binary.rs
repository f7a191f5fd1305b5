//! Tells text from binary data by its first bytes. Pure; no thread. Guessing encodings is not done here.

/// Beginnings of well-known formats. Source: the formats' own specifications.
const MAGIC: [(&[u8], &str); 17] = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xFF\xD8\xFF", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1F\x8B", "gzip data"),
    (b"\x28\xB5\x2F\xFD", "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"\xFD7zXZ\x00", "xz data"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"\x7FELF", "an ELF program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"OggS", "Ogg audio"),
    (b"ID3", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"\0asm", "a WebAssembly module"),
];

/// Formats whose mark is plain ASCII: they count only if binary bytes follow.
fn could_be_text(magic: &[u8]) -> bool {
    magic.iter().all(|byte| byte.is_ascii() && *byte >= b' ')
}

/// Names the kind of binary data that begins with these bytes; `None` for text of any encoding.
pub(super) fn binary_kind(head: &[u8]) -> Option<&'static str> {
    let controls = head
        .iter()
        .filter(|byte| **byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x1B | 0x08))
        .count();
    let binary = head.contains(&0) || controls * 20 > head.len();
    let known = MAGIC
        .iter()
        .find(|(magic, _)| {
            head.starts_with(magic) && (binary || !could_be_text(magic) || *magic == b"%PDF-")
        })
        .map(|(_, kind)| *kind);
    if known.is_some() {
        return known;
    }
    if head.get(..4) == Some(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some("a WebP image");
    }
    if head.get(4..8) == Some(b"ftyp") {
        return Some("MP4 video or audio");
    }
    binary.then_some("binary data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_text_from_binary() {
        for text in [
            &b""[..],
            b"hello",
            b"BMW drives",
            b"ID3 tags are",
            "你好，世界".as_bytes(),
            b"\xC4\xE3\xBA\xC3 in GBK",
            b"caf\xE9 in Latin-1",
            b"\x1B[31mred\x1B[0m",
        ] {
            assert_eq!(binary_kind(text), None, "{text:?}");
        }
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], "a PNG image"),
            (b"PK\x03\x04\x14\0", "a ZIP archive or office document"),
            (b"BM\x36\0\0\0", "a BMP image"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP image"),
            (b"\0\0\0\x18ftypmp42", "MP4 video or audio"),
            (b"a\0b", "binary data"),
            (b"\x01\x02\x03\x04text", "binary data"),
        ] {
            assert_eq!(binary_kind(bytes), Some(kind), "{bytes:?}");
        }
    }
}
