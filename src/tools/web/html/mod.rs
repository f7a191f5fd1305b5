//! Makes Markdown of a web page: headings, lists, links, tables and code stay, menus, scripts and forms go. Pure.
//!
//! A tolerant reader of tags, not a parser by the book: unclosed, crossed and unknown tags cost a line break at most.
//! Nothing recurses, and all counters are bounded, so no page can be too deep. What hides in style sheets is not seen.

mod characters;
mod tag;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use url::Url;

use characters::{collapsed, decoded, tidied};
use tag::{Tag, find_closing, is_void};

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
