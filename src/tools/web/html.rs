//! Makes Markdown of a web page: headings, lists, links, tables and code stay, menus, scripts and forms go. Pure.
//!
//! A tolerant reader of tags, not a parser by the book: unclosed, crossed and unknown tags cost a line break at most.
//! Nothing recurses, and all counters are bounded, so no page can be too deep. What hides in style sheets is not seen.

use std::fmt::Write as _;

use url::Url;

/// Deepest list, quote or skipped part that is counted.
const MAX_DEPTH: usize = 16;
/// Parts that are no text for a reader.
const NEVER: [&str; 12] = [
    "script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "select",
    "button", "math", "audio",
];
/// Parts that surround what was asked for.
const AROUND: [&str; 3] = ["nav", "footer", "aside"];
/// Parts that begin a new paragraph.
const BLOCKS: [&str; 22] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "ul",
    "ol",
    "dl",
    "table",
    "pre",
    "blockquote",
    "figure",
    "form",
    "fieldset",
    "address",
    "details",
    "summary",
    "hgroup",
    "figcaption",
    "body",
    "center",
];
/// Text shorter than this is no page: then everything counts.
const MIN_TEXT: usize = 200;

/// Largest text of a page, in bytes; short marks of a page can become much longer.
pub(super) const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// A page as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) text: String,
    /// It went on.
    pub(super) cut: bool,
}

/// Reads a page; links are made absolute by `base`.
pub(super) fn markdown(html: &str, base: &Url) -> Page {
    let strict = Reader::new(html, base, true).read();
    if strict.text.len() >= MIN_TEXT {
        return strict;
    }
    let all = Reader::new(html, base, false).read();
    if all.text.len() > 2 * strict.text.len() {
        all
    } else {
        strict
    }
}

struct Reader<'a> {
    html: &'a str,
    at: usize,
    base: &'a Url,
    strict: bool,
    title: String,
    out: String,
    /// A part being left out, and how often its name is open.
    skipped: Option<(String, usize)>,
    lists: Vec<Option<u32>>,
    quotes: usize,
    pre: bool,
    /// Open links: address and where the text begins.
    link: Option<(String, usize)>,
    space: bool,
    cells: Option<usize>,
    first_row: bool,
    /// Where the page says its content is.
    content: Vec<(usize, usize)>,
    content_open: usize,
}

impl<'a> Reader<'a> {
    fn new(html: &'a str, base: &'a Url, strict: bool) -> Self {
        Self {
            html,
            at: 0,
            base,
            strict,
            title: String::new(),
            out: String::new(),
            skipped: None,
            lists: Vec::new(),
            quotes: 0,
            pre: false,
            link: None,
            space: false,
            cells: None,
            first_row: false,
            content: Vec::new(),
            content_open: 0,
        }
    }

    fn read(mut self) -> Page {
        while self.at < self.html.len() && !self.is_full() {
            let rest = &self.html[self.at..];
            match rest.find('<') {
                Some(0) => self.markup(rest),
                Some(end) => {
                    self.text(&rest[..end]);
                    self.at += end;
                }
                None => {
                    self.text(rest);
                    self.at = self.html.len();
                }
            }
        }
        let cut = self.is_full();
        self.close_link();
        self.finish(cut)
    }

    fn finish(mut self, cut: bool) -> Page {
        if self.content_open > 0
            && let Some((_, end)) = self.content.last_mut()
        {
            *end = self.out.len();
        }
        let inside: String = self
            .content
            .iter()
            .filter_map(|(from, to)| self.out.get(*from..*to))
            .collect();
        let chosen = if self.strict && inside.trim().len() >= MIN_TEXT {
            inside
        } else {
            self.out
        };
        let mut text = tidied(&chosen);
        let end = (0..=MAX_TEXT_BYTES.min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        Page {
            title: collapsed(&self.title),
            text,
            cut,
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() >= MAX_TEXT_BYTES
    }

    /// Handles what begins with `<`.
    fn markup(&mut self, rest: &str) {
        if rest.starts_with("<!--") {
            self.at += rest.find("-->").map_or(rest.len(), |end| end + 3);
            return;
        }
        let begins = rest[1..].chars().next();
        if matches!(begins, Some('!' | '?')) {
            self.at += rest.find('>').map_or(rest.len(), |end| end + 1);
            return;
        }
        if !matches!(begins, Some('/' | 'a'..='z' | 'A'..='Z')) {
            self.text("<");
            self.at += 1;
            return;
        }
        let tag = Tag::read(rest);
        self.at += tag.len;
        let raw = matches!(
            tag.name.as_str(),
            "script" | "style" | "title" | "textarea" | "xmp"
        );
        if raw && !tag.closing {
            self.raw(&tag.name);
            return;
        }
        if self.skip(&tag) {
            return;
        }
        if tag.closing {
            self.close(&tag.name);
        } else {
            self.open(&tag);
        }
    }

    /// Reads over an element that holds no tags.
    fn raw(&mut self, name: &str) {
        let rest = &self.html[self.at..];
        let end = find_closing(rest, name).unwrap_or(rest.len());
        if name == "title" && self.title.is_empty() && self.skipped.is_none() {
            self.title = decoded(&rest[..end]);
        }
        self.at += end;
        let rest = &self.html[self.at..];
        self.at += rest.find('>').map_or(rest.len(), |end| end + 1);
    }

    /// Keeps track of parts that are left out; true if this tag is inside one.
    fn skip(&mut self, tag: &Tag) -> bool {
        if let Some((name, depth)) = &mut self.skipped {
            if *name == tag.name {
                match (tag.closing, tag.empty) {
                    (true, _) => *depth -= 1,
                    (false, false) => *depth += 1,
                    _ => {}
                }
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return true;
        }
        let hidden = tag.hidden && !matches!(tag.name.as_str(), "html" | "body");
        let left_out = NEVER.contains(&tag.name.as_str())
            || hidden
            || self.strict && AROUND.contains(&tag.name.as_str());
        if left_out && !tag.closing && !tag.empty && !is_void(&tag.name) {
            self.skipped = Some((tag.name.clone(), 1));
        }
        left_out
    }

    fn open(&mut self, tag: &Tag) {
        match tag.name.as_str() {
            "br" => self.line(),
            "hr" => {
                self.block();
                self.push("---");
                self.block();
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.block();
                let level = usize::from(tag.name.as_bytes()[1] - b'0');
                self.push(&"#".repeat(level));
                self.out.push(' ');
            }
            "li" => self.item(),
            "dt" | "dd" => {
                self.line();
                if tag.name == "dd" {
                    self.out.push_str("  ");
                }
            }
            "tr" => {
                self.end_row();
                self.line();
                self.first_row = self.cells.is_none();
                self.cells = Some(0);
            }
            "td" | "th" if self.cells.is_some() => {
                self.space |= self.cells != Some(0);
                self.push("| ");
                self.cells = self.cells.map(|n| n + 1);
            }
            "a" => {
                self.close_link();
                if let Some(href) = tag.href.as_deref().and_then(|href| self.address(href)) {
                    self.flush_space();
                    self.link = Some((href, self.out.len()));
                }
            }
            "img" => {
                let alt = collapsed(tag.alt.as_deref().unwrap_or_default());
                if !alt.is_empty() {
                    self.push(&format!("[image: {alt:.200}]"));
                }
            }
            "code" | "kbd" | "samp" if !self.pre => self.push("`"),
            name if BLOCKS.contains(&name) => self.open_block(name),
            _ => {}
        }
    }

    fn open_block(&mut self, name: &str) {
        self.block();
        match name {
            "ul" if self.lists.len() < MAX_DEPTH => self.lists.push(None),
            "ol" if self.lists.len() < MAX_DEPTH => self.lists.push(Some(0)),
            "blockquote" => {
                self.quotes = (self.quotes + 1).min(MAX_DEPTH);
            }
            "pre" if !self.pre => {
                self.push("```\n");
                self.pre = true;
            }
            "table" => self.cells = None,
            "main" | "article" => {
                if self.content_open == 0 {
                    let start = self.out.len();
                    self.content.push((start, start));
                }
                self.content_open += 1;
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.block(),
            "a" => self.close_link(),
            "code" | "kbd" | "samp" if !self.pre => {
                self.space = false;
                self.out.push('`');
            }
            "td" | "th" => self.space = true,
            "tr" => self.end_row(),
            "table" => {
                // The end of a row may be left out in HTML.
                self.end_row();
                self.cells = None;
                self.block();
            }
            "ul" | "ol" => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.block();
                } else {
                    self.line();
                }
            }
            "blockquote" => {
                self.block();
                self.quotes = self.quotes.saturating_sub(1);
            }
            "pre" if self.pre => {
                self.pre = false;
                self.line();
                self.push("```");
                self.block();
            }
            "main" | "article" => {
                self.content_open = self.content_open.saturating_sub(1);
                self.block();
                let end = self.out.len();
                if self.content_open == 0
                    && let Some(range) = self.content.last_mut()
                {
                    range.1 = end;
                }
            }
            name if BLOCKS.contains(&name) => self.block(),
            _ => {}
        }
    }

    fn end_row(&mut self) {
        let Some(cells) = self.cells.filter(|cells| *cells > 0) else {
            return;
        };
        self.space = true;
        self.push("|");
        self.cells = Some(0);
        if self.first_row && cells <= 100 {
            self.line();
            self.push(&"|---".repeat(cells));
            self.out.push('|');
        }
        self.line();
    }

    fn item(&mut self) {
        self.line();
        let depth = self.lists.len().max(1) - 1;
        let mark = match self.lists.last_mut() {
            Some(Some(n)) => {
                *n += 1;
                format!("{n}. ")
            }
            _ => "- ".to_owned(),
        };
        self.push(&"  ".repeat(depth));
        self.out.push_str(&mark);
    }

    fn address(&self, href: &str) -> Option<String> {
        let href = href.trim();
        if href.is_empty() || href.starts_with('#') {
            return None;
        }
        let url = self.base.join(href).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https" | "mailto");
        let text = url.as_str();
        (is_web && text.len() <= 1_000).then(|| text.replace(')', "%29"))
    }

    fn close_link(&mut self) {
        let Some((href, from)) = self.link.take() else {
            return;
        };
        let from = from.min(self.out.len());
        let text = self.out[from..].to_owned();
        let words = text.trim();
        if words.is_empty() {
            return;
        }
        if words.contains('\n') {
            // A link around blocks stays beside them.
            let end = from.max(self.out.trim_end().len());
            self.out.truncate(end);
            let _ = write!(self.out, " ({href})");
            return;
        }
        let linked = if words == href {
            format!("<{href}>")
        } else {
            format!("[{words}]({href})")
        };
        let lead = text.len() - text.trim_start().len();
        self.out.truncate(from + lead);
        self.out.push_str(&linked);
    }

    fn text(&mut self, raw: &str) {
        if self.skipped.is_some() {
            return;
        }
        let text = decoded(raw);
        if self.pre {
            for (n, line) in text.split('\n').enumerate() {
                if self.is_full() {
                    return;
                }
                if n > 0 {
                    self.out.push('\n');
                }
                self.begin_line();
                self.out.push_str(line);
            }
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            if self.is_full() {
                return;
            }
            let bare = word.trim_end();
            if !bare.is_empty() {
                self.push(bare);
            }
            if bare.len() < word.len() {
                self.space = true;
            }
        }
    }

    /// Adds words, with the space that is due before them.
    fn push(&mut self, words: &str) {
        self.flush_space();
        self.begin_line();
        self.out.push_str(words);
    }

    fn flush_space(&mut self) {
        let wanted = std::mem::take(&mut self.space);
        if wanted && !self.out.is_empty() && !self.out.ends_with(['\n', ' ']) {
            self.out.push(' ');
        }
    }

    fn begin_line(&mut self) {
        if self.quotes > 0 && (self.out.is_empty() || self.out.ends_with('\n')) {
            self.out.push_str(&"> ".repeat(self.quotes));
        }
    }

    fn line(&mut self) {
        self.space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn block(&mut self) {
        // A paragraph in a list item or a cell begins no new one.
        let fresh_item =
            self.out.ends_with("- ") || self.out.ends_with(". ") || self.out.ends_with("| ");
        if fresh_item || self.cells.is_some_and(|cells| cells > 0) && !self.out.ends_with("|\n") {
            self.space = true;
            return;
        }
        self.line();
        if self.lists.is_empty() && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

/// A tag as written.
struct Tag {
    name: String,
    closing: bool,
    /// It ends with `/>`.
    empty: bool,
    hidden: bool,
    href: Option<String>,
    alt: Option<String>,
    /// Length in bytes, brackets included.
    len: usize,
}

impl Tag {
    /// Reads a tag that begins with `<` and a letter or a slash.
    fn read(text: &str) -> Self {
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

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "input" | "img" | "br" | "hr" | "meta" | "link" | "source" | "wbr" | "embed"
    )
}

/// Finds `</name`, whatever its case.
fn find_closing(text: &str, name: &str) -> Option<usize> {
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let behind = text.as_bytes().get(at + 2..at + 2 + name.len());
        behind.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// The named characters that pages really use. Source: the HTML standard, §13.5.
const NAMED: [(&str, &str); 54] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ensp", " "),
    ("emsp", " "),
    ("thinsp", " "),
    ("shy", ""),
    ("zwnj", ""),
    ("zwj", ""),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("hellip", "…"),
    ("mdash", "—"),
    ("ndash", "–"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("sbquo", "‚"),
    ("bdquo", "„"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("lsaquo", "‹"),
    ("rsaquo", "›"),
    ("middot", "·"),
    ("bull", "•"),
    ("times", "×"),
    ("divide", "÷"),
    ("plusmn", "±"),
    ("deg", "°"),
    ("micro", "µ"),
    ("para", "¶"),
    ("sect", "§"),
    ("euro", "€"),
    ("pound", "£"),
    ("yen", "¥"),
    ("cent", "¢"),
    ("larr", "←"),
    ("rarr", "→"),
    ("uarr", "↑"),
    ("darr", "↓"),
    ("le", "≤"),
    ("ge", "≥"),
    ("ne", "≠"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
    ("szlig", "ß"),
    ("eacute", "é"),
    ("egrave", "è"),
];

/// Replaces character references; unknown ones stay.
fn decoded(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((text, len)) => {
                out.push_str(&text);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Reads the reference a text begins with: what it stands for and its length.
fn reference(text: &str) -> Option<(String, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        let c = char::from_u32(code).filter(|c| *c != '\0' && (!c.is_control() || *c == '\n'));
        return Some((c.unwrap_or('\u{FFFD}').to_string(), end + 1));
    }
    let (_, text) = NAMED.iter().find(|(known, _)| *known == name)?;
    Some(((*text).to_owned(), end + 1))
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes white space at line ends and more than one empty line away, and characters that only confuse.
fn tidied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.trim().lines() {
        let line = line.trim_end();
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        out.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(html: &str) -> Page {
        markdown(html, &"https://example.com/dir/page".parse().unwrap())
    }

    fn check(html: &str, expected: &str) {
        assert_eq!(read(html).text, expected, "{html}");
    }

    #[test]
    fn structure_becomes_markdown() {
        check(
            "<h1>Title</h1><p>One <b>bold</b>\n  word.</p><p>Two</p>",
            "# Title\n\nOne bold word.\n\nTwo",
        );
        check(
            "<ul><li>a<li>b<ul><li>c</ul></ul>after",
            "- a\n- b\n  - c\n\nafter",
        );
        check("<ol><li>x</li><li><p>y</p></li></ol>", "1. x\n2. y");
        check(
            "<p>See <a href='../x?a=1&amp;b=2'>the page</a>.",
            "See [the page](https://example.com/x?a=1&b=2).",
        );
        check(
            "<a href=\"#top\">top</a> <a href='javascript:x()'>go</a>",
            "top go",
        );
        check(
            "<a href=/a><h3>Card</h3><p>text</p></a>",
            "### Card\n\ntext (https://example.com/a)",
        );
        check(
            "<pre>fn a() {\n    b &lt; c\n}</pre>x",
            "```\nfn a() {\n    b < c\n}\n```\n\nx",
        );
        check("use <code>x &amp;&amp; y</code> now", "use `x && y` now");
        check("<blockquote><p>said</p></blockquote>", "> said");
        check(
            "<table><tr><th>a<th>b<tr><td>1<td>2</table><pre>x</pre>",
            "| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```",
        );
        check(
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "| a | b |\n|---|---|\n| 1 | 2 |",
        );
        check("a<br>b<hr>c", "a\nb\n\n---\n\nc");
        check("<img src=x alt='A  cat'><img src=y>", "[image: A cat]");
        check(
            "&#20013;&#x6587;&hellip;&unknown;&amp;lt;",
            "中文…&unknown;&lt;",
        );
    }

    #[test]
    fn what_is_no_text_goes() {
        check(
            "<script>if (a<b) x()</script>text<style>p{}</style><!-- no -->",
            "text",
        );
        check(
            "<p>a</p><div hidden>no</div><div style='display: none'>no</div><svg><text>no</text></svg>b",
            "a\n\nb",
        );
        let long = "word ".repeat(60);
        let page = format!(
            "<title> The\n page </title><nav><a href=/>Home</a></nav><main><h2>H</h2><p>{long}</p></main><footer>f</footer>"
        );
        let read = read(&page);
        assert_eq!(read.title, "The page");
        assert_eq!(read.text, format!("## H\n\n{}", long.trim()));
    }

    #[test]
    fn a_page_of_menus_is_shown_all_the_same() {
        check(
            "<nav><ul><li><a href=/a>A page with a name</a></ul></nav>",
            "- [A page with a name](https://example.com/a)",
        );
        // A part that is never closed must not hide the page.
        let long = "word ".repeat(100);
        assert!(
            read(&format!("<nav>menu<p>{long}"))
                .text
                .contains("word word")
        );
    }

    #[test]
    fn a_page_that_grows_is_cut() {
        let quotes = "<blockquote>".repeat(16);
        for html in [
            "<a href=?>字</a> ".repeat(200_000),
            format!("{quotes}<pre>{}", "\n".repeat(4 << 20)),
            "word ".repeat(1 << 20),
            "<li>".repeat(1 << 20),
        ] {
            let page = read(&html);
            assert!(page.cut, "{html:.40}");
            assert!(page.text.len() <= MAX_TEXT_BYTES, "{html:.40}");
        }
        assert!(!read("<p>short").cut);
    }

    #[test]
    fn broken_pages_are_read() {
        check("a < b > c <3", "a < b > c <3");
        check("<p <b>x", "x");
        check("<a href='unclosed>x</a>", "");
        check("x<!-- never closed", "x");
        check("<", "<");
        check("", "");
        let deep = "<div><blockquote><ul>".repeat(50_000);
        assert!(read(&format!("{deep}end")).text.ends_with("end"));
    }

    proptest! {
        #[test]
        fn never_panics(html in "(<|>|/|a|p|li|pre|title|script|nav|main|td|tr| href=|'|\"|&|#|;|x|中|\n|-|!){0,60}") {
            let _ = read(&html);
        }
    }
}
