//! Tags of HTML as they are written, however badly. Pure.

use super::characters::decoded;

/// A tag as written.
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) closing: bool,
    /// It ends with `/>`.
    pub(super) empty: bool,
    pub(super) hidden: bool,
    pub(super) href: Option<String>,
    pub(super) alt: Option<String>,
    /// Length in bytes, brackets included.
    pub(super) len: usize,
}

impl Tag {
    /// Reads a tag that begins with `<` and a letter or a slash.
    pub(super) fn read(text: &str) -> Self {
        let bytes = text.as_bytes();
        let closing = bytes.get(1) == Some(&b'/');
        let mut at = 1 + usize::from(closing);
        let name_from = at;
        while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'-') {
            at += 1;
        }
        let mut tag = Self {
            name: text[name_from..at].to_ascii_lowercase(),
            closing,
            empty: false,
            hidden: false,
            href: None,
            alt: None,
            len: 0,
        };
        loop {
            while at < bytes.len() && (bytes[at].is_ascii_whitespace() || bytes[at] == b'/') {
                tag.empty = bytes[at] == b'/';
                at += 1;
            }
            if at >= bytes.len() || bytes[at] == b'>' {
                break;
            }
            tag.empty = false;
            let (name, value, end) = attribute(text, at);
            tag.take(name, value);
            at = end;
        }
        tag.len = (at + 1).min(text.len());
        tag
    }

    fn take(&mut self, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "href" => self.href = Some(decoded(value)),
            "alt" => self.alt = Some(decoded(value)),
            "hidden" => self.hidden = true,
            "aria-hidden" if value.eq_ignore_ascii_case("true") => self.hidden = true,
            "style"
                if value
                    .to_ascii_lowercase()
                    .replace(' ', "")
                    .contains("display:none") =>
            {
                self.hidden = true;
            }
            _ => {}
        }
    }
}

/// Reads an attribute that begins at `at`: name, value, where it ends.
fn attribute(text: &str, at: usize) -> (&str, &str, usize) {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    while end < bytes.len()
        && !matches!(bytes[end], b'=' | b'>' | b'/')
        && !bytes[end].is_ascii_whitespace()
    {
        end += 1;
    }
    let name = text.get(at..end).unwrap_or_default();
    let mut value_at = end;
    while value_at < bytes.len() && bytes[value_at].is_ascii_whitespace() {
        value_at += 1;
    }
    if bytes.get(value_at) != Some(&b'=') {
        return (name, "", end);
    }
    value_at += 1;
    while value_at < bytes.len() && bytes[value_at].is_ascii_whitespace() {
        value_at += 1;
    }
    match bytes.get(value_at) {
        Some(quote @ (b'"' | b'\'')) => {
            let from = value_at + 1;
            let to = text[from..]
                .find(char::from(*quote))
                .map_or(text.len(), |n| from + n);
            (name, &text[from..to], (to + 1).min(text.len()))
        }
        _ => {
            let mut to = value_at;
            while to < bytes.len() && bytes[to] != b'>' && !bytes[to].is_ascii_whitespace() {
                to += 1;
            }
            (name, text.get(value_at..to).unwrap_or_default(), to)
        }
    }
}

pub(super) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "input" | "img" | "br" | "hr" | "meta" | "link" | "source" | "wbr" | "embed"
    )
}

/// Finds `</name`, whatever its case.
pub(super) fn find_closing(text: &str, name: &str) -> Option<usize> {
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let behind = text.as_bytes().get(at + 2..at + 2 + name.len());
        behind.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    })
}
