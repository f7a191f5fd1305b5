//! What a body is: its kind by header and content, and its text by charset. Pure.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::fetch::Fetched;
use crate::tools::binary::binary_kind;
use crate::tools::encoding::{detect, detect_utf16};

/// How far a page is looked at for its charset.
const META_BYTES: usize = 4 * 1024;

/// What a body holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Html(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// Not text: a word for what it is.
    Binary(String),
    Empty,
}

/// Reads the body of an answer.
pub(super) fn body_of(fetched: &Fetched) -> Body<'_> {
    let declared = fetched.header("content-type").unwrap_or_default();
    let kind = declared
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let bytes = &fetched.body;
    if bytes.is_empty() {
        return Body::Empty;
    }
    let head = &bytes[..bytes.len().min(64 * 1024)];
    if detect_utf16(head).is_none()
        && let Some(found) = binary_kind(head)
    {
        return Body::Binary(found.to_owned());
    }
    if ["image/", "audio/", "video/", "font/"]
        .iter()
        .any(|major| kind.starts_with(major))
        && kind != "image/svg+xml"
    {
        return Body::Binary(format!("said to be {kind:.60}"));
    }
    let charset = charset_of(declared);
    let text = decode(bytes, charset);
    let is_html = match kind.as_str() {
        "text/html" | "application/xhtml+xml" => true,
        "" | "text/plain" | "application/octet-stream" => looks_like_html(&text),
        _ => false,
    };
    if is_html {
        Body::Html(text)
    } else {
        Body::Text(text)
    }
}

fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(200).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")
}

fn charset_of(content_type: &str) -> Option<&'static Encoding> {
    let parameter = content_type
        .split(';')
        .skip(1)
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Encoding::for_label(parameter.1.trim().trim_matches(['"', '\'']).as_bytes())
}

/// Decodes by the mark, the header, the page's own word, or what the bytes look like. A header that says UTF-8 of a text
/// that is not is not believed, nor one that says Latin of a text that is UTF-8: servers say so of everything.
fn decode<'a>(bytes: &'a [u8], declared: Option<&'static Encoding>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    for encoding in [declared, meta_charset(bytes)].into_iter().flatten() {
        if encoding == encoding_rs::WINDOWS_1252
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return text.into();
        }
        let (text, broken) = encoding.decode_without_bom_handling(bytes);
        if !broken || encoding != encoding_rs::UTF_8 {
            return text;
        }
    }
    let found = detect_utf16(bytes).or_else(|| detect(bytes));
    match found {
        Some(found) => found.decode(bytes).0,
        None => String::from_utf8_lossy(bytes),
    }
}

/// Reads `<meta charset="gbk">` and `<meta … content="text/html; charset=gbk">`, and the like in XML.
fn meta_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let head: String = bytes[..bytes.len().min(META_BYTES)]
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    let is_page = head.contains("<meta") || head.trim_start().starts_with("<?xml");
    if !is_page {
        return None;
    }
    let at = head.find("charset=").map(|at| at + 8);
    let at = at.or_else(|| head.find("encoding=").map(|at| at + 9))?;
    let label: String = head[at..]
        .trim_start_matches(['"', '\''])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
        .collect();
    let encoding = Encoding::for_label(label.as_bytes())?;
    // A page that could be read this far is not UTF-16, whatever it says.
    let wide = encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE;
    Some(if wide { encoding_rs::UTF_8 } else { encoding })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fetched(content_type: &str, body: &[u8]) -> Fetched {
        Fetched {
            url: "https://example.com/".parse().unwrap(),
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.to_vec(),
            cut: None,
            took: Duration::ZERO,
        }
    }

    fn text(content_type: &str, body: &[u8]) -> String {
        match body_of(&fetched(content_type, body)) {
            Body::Html(text) => format!("html {text}"),
            Body::Text(text) => format!("text {text}"),
            Body::Binary(kind) => format!("binary {kind}"),
            Body::Empty => "empty".to_owned(),
        }
    }

    #[test]
    fn charsets_come_from_header_mark_page_or_bytes() {
        let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
        let page = "<html><head><meta charset=gbk></head>中文网页</html>";
        assert_eq!(
            text("text/html; charset=GB2312", &gbk("<p>中文网页")),
            "html <p>中文网页"
        );
        assert_eq!(text("text/html", &gbk(page)), format!("html {page}"));
        let old = "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=gb2312\">中文";
        assert_eq!(text("text/html", &gbk(old)), format!("html {old}"));
        assert_eq!(
            text("text/plain", &gbk("今天天气很好，我们去公园玩吧。")),
            "text 今天天气很好，我们去公园玩吧。"
        );
        // A wrong word is not believed.
        assert_eq!(
            text("text/html; charset=utf-8", &gbk(page)),
            format!("html {page}")
        );
        assert_eq!(
            text("text/plain; charset=iso-8859-1", "中文".as_bytes()),
            "text 中文"
        );
        assert_eq!(
            text("text/plain; charset=iso-8859-1", b"caf\xE9"),
            "text café"
        );
        assert_eq!(text("text/plain", b"\xEF\xBB\xBFhi"), "text hi");
        assert_eq!(
            text("text/plain; charset=nonsense", "é".as_bytes()),
            "text é"
        );
        let sjis = encoding_rs::SHIFT_JIS
            .encode("<p>日本語</p>")
            .0
            .into_owned();
        assert_eq!(
            text("text/html; charset=\"Shift_JIS\"", &sjis),
            "html <p>日本語</p>"
        );
    }

    #[test]
    fn kinds_come_from_content_first() {
        assert_eq!(text("text/html", b"%PDF-1.7\n..."), "binary a PDF document");
        assert_eq!(text("text/plain", b"a\0b"), "binary binary data");
        assert_eq!(text("video/mp4", b"plain?"), "binary said to be video/mp4");
        assert_eq!(text("", b"<!DOCTYPE html><p>x"), "html <!DOCTYPE html><p>x");
        assert_eq!(text("application/json", b"{}"), "text {}");
        assert_eq!(text("text/html", b""), "empty");
    }
}
