//! Markdown to rows: headings, lists, tables, quotes, links and code with simple colours. Pure.
//!
//! A line break in the source stays one: models write for chats, and joining Chinese lines by blanks would be wrong. HTML is
//! shown as it is written.

use std::hash::Hash;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::code::colour;
use super::memo::Memo;
use super::rows::{Grown, Look, Role, Row, Rows, Styled};
use super::table::Table;
use super::width::Widths;

/// Lists and quotes deeper than this are not indented further.
const MAX_DEPTH: usize = 8;

/// Lays out a cleaned Markdown text in rows of at most `width` columns, each behind `lead`. A memo spares lines that it holds.
pub(in crate::client) fn markdown(
    text: &str,
    width: usize,
    lead: &Row,
    widths: Widths,
    memo: Option<&mut Memo>,
) -> Rows {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::new(width, lead, widths, memo);
    for event in Parser::new_ext(text, options) {
        writer.event(event);
    }
    writer.flush();
    writer.out
}

/// What stands before the rows of a list item or quote.
struct Prefix {
    first: String,
    rest: String,
    look: Look,
    is_used: bool,
}

struct Writer<'a> {
    width: usize,
    lead: &'a Row,
    widths: Widths,
    memo: Option<&'a mut Memo>,
    out: Rows,
    line: Styled,
    looks: Vec<Look>,
    prefixes: Vec<Prefix>,
    /// The next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The open link's address, and where its text began.
    link: Option<(String, usize)>,
    code: Option<(String, String)>,
    table: Option<Table>,
    wants_gap: bool,
}

impl<'a> Writer<'a> {
    fn new(width: usize, lead: &'a Row, widths: Widths, memo: Option<&'a mut Memo>) -> Self {
        Self {
            width,
            lead,
            widths,
            memo,
            out: Vec::new(),
            line: Styled::default(),
            looks: vec![Look::default()],
            prefixes: Vec::new(),
            lists: Vec::new(),
            link: None,
            code: None,
            table: None,
            wants_gap: false,
        }
    }

    fn look(&self) -> Look {
        self.looks.last().copied().unwrap_or_default()
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some((_, code)) => code.push_str(&text),
                None => self.push(&text, self.look()),
            },
            Event::Code(text) => {
                let look = Look {
                    role: Role::Code,
                    ..self.look()
                };
                self.push(&text, look);
            }
            Event::SoftBreak | Event::HardBreak => {
                self.push(if self.table.is_some() { " " } else { "\n" }, self.look())
            }
            Event::Rule => self.rule(),
            Event::Html(text) => {
                self.push(text.trim_end_matches('\n'), Look::of(Role::Dim));
                self.flush();
            }
            Event::InlineHtml(text) => self.push(&text, Look::of(Role::Dim)),
            Event::TaskListMarker(done) => {
                self.push(if done { "[x] " } else { "[ ] " }, Look::of(Role::Accent))
            }
            Event::FootnoteReference(name) => self.push(&format!("[{name}]"), Look::of(Role::Dim)),
            Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.push(&text, Look::of(Role::Code))
            }
        }
    }

    fn push(&mut self, text: &str, look: Look) {
        self.line.push(text, look);
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.block(),
            Tag::Heading { level, .. } => {
                self.block();
                let underlined = level == HeadingLevel::H1;
                self.looks.push(Look {
                    underlined,
                    ..Look::of(Role::Accent).bold()
                });
            }
            Tag::BlockQuote(_) => {
                self.block();
                self.prefix("▌ ", "▌ ", Look::of(Role::Dim));
                self.looks.push(Look {
                    italic: true,
                    ..self.look()
                });
            }
            Tag::CodeBlock(kind) => {
                self.block();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', ',', '{']).next().unwrap_or("").to_owned()
                    }
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((language, String::new()));
            }
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.block();
                } else {
                    self.flush();
                }
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Table(alignments) => {
                self.block();
                self.table = Some(Table {
                    alignments,
                    rows: Vec::new(),
                });
            }
            Tag::TableHead => {
                self.add_table_row();
                self.looks.push(self.look().bold());
            }
            Tag::TableRow => self.add_table_row(),
            Tag::Emphasis => self.looks.push(Look {
                italic: true,
                ..self.look()
            }),
            Tag::Strong => self.looks.push(self.look().bold()),
            Tag::Strikethrough => self.looks.push(Look {
                struck: true,
                ..self.look()
            }),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some((dest_url.into_string(), self.line.text().len()));
                self.looks.push(Look {
                    underlined: true,
                    ..Look::of(Role::Link)
                });
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.end_block(),
            TagEnd::Heading(_) => {
                self.looks.pop();
                self.end_block();
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.looks.pop();
                self.prefixes.pop();
                self.wants_gap = true;
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
                self.wants_gap = self.lists.is_empty();
            }
            TagEnd::Item => {
                self.flush();
                self.prefixes.pop();
                // Items follow each other without a gap, loose lists too: rows are dear.
                self.wants_gap = false;
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let prefix = self.next_prefix();
                    self.out.extend(table.rows(
                        self.width,
                        &prefix,
                        self.widths,
                        self.widths.ambiguous_is_wide,
                    ));
                }
                self.wants_gap = true;
            }
            TagEnd::TableHead => {
                self.looks.pop();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line);
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.looks.pop();
            }
            TagEnd::Link | TagEnd::Image => {
                self.looks.pop();
                if let Some((address, start)) = self.link.take()
                    && self.line.text().get(start..) != Some(address.as_str())
                    && !address.is_empty()
                {
                    self.push(&format!(" ({address})"), Look::of(Role::Dim));
                }
            }
            _ => {}
        }
    }

    fn add_table_row(&mut self) {
        if let Some(table) = &mut self.table {
            table.rows.push(Vec::new());
        }
    }

    fn item(&mut self) {
        self.flush();
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ if self.widths.ambiguous_is_wide => "- ".to_owned(),
            _ => "• ".to_owned(),
        };
        let indent = " ".repeat(self.widths.text(&mark));
        self.wants_gap &= self.lists.len() == 1;
        self.gap();
        self.prefix(&mark, &indent, Look::of(Role::Accent));
    }

    fn prefix(&mut self, first: &str, rest: &str, look: Look) {
        let deep = self.prefixes.len() >= MAX_DEPTH;
        let cut = |text: &str| if deep { String::new() } else { text.to_owned() };
        let first = if self.widths.ambiguous_is_wide {
            first.replace('▌', "|")
        } else {
            first.to_owned()
        };
        let rest = if self.widths.ambiguous_is_wide {
            rest.replace('▌', "|")
        } else {
            rest.to_owned()
        };
        self.prefixes.push(Prefix {
            first: cut(&first),
            rest: cut(&rest),
            look,
            is_used: false,
        });
    }

    /// Begins a block: what came before is written, and a blank row parts the two.
    fn block(&mut self) {
        self.flush();
        self.gap();
    }

    fn gap(&mut self) {
        if self.wants_gap && !self.out.is_empty() {
            let mut row = self.lead.clone();
            for prefix in self
                .prefixes
                .iter()
                .filter(|prefix| !prefix.rest.trim().is_empty())
            {
                row.push(prefix.rest.trim_end(), prefix.look);
            }
            self.out.push(row);
        }
        self.wants_gap = false;
    }

    fn end_block(&mut self) {
        self.flush();
        self.wants_gap = true;
    }

    /// Returns the prefix of the next row; marks of items are used up by it.
    fn next_prefix(&mut self) -> Row {
        let mut row = self.lead.clone();
        for prefix in &mut self.prefixes {
            let text = if prefix.is_used {
                &prefix.rest
            } else {
                &prefix.first
            };
            row.push(text.as_str(), prefix.look);
            prefix.is_used = true;
        }
        self.keep_room(row)
    }

    /// Drops prefixes that leave no room for text.
    fn keep_room(&self, row: Row) -> Row {
        if row.width(self.widths) + 4 <= self.width {
            row
        } else {
            Row::default()
        }
    }

    /// Writes the collected line.
    fn flush(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.line);
        let first = self.next_prefix();
        let rest = self.next_prefix();
        let (width, widths) = (self.width, self.widths);
        self.lay((&line, &first, &rest), |last| {
            line.rows_after(last, width, &first, &rest, widths)
        });
    }

    /// Writes the rows of a line, those that were kept under its key or new ones.
    fn lay(&mut self, key: impl Hash, make: impl FnOnce(Option<&mut Grown>) -> Rows) {
        let rows = match &mut self.memo {
            Some(memo) => memo.rows(&key, |last| make(Some(last))),
            None => make(None),
        };
        self.out.extend(rows);
    }

    fn end_code(&mut self) {
        let Some((language, code)) = self.code.take() else {
            return;
        };
        for line in code.trim_end_matches('\n').split('\n') {
            let mut first = self.next_prefix();
            first.push("  ", Look::default());
            let (width, widths) = (self.width, self.widths);
            self.lay((line, &language, &first), |last| {
                colour(line, &language).rows_after(last, width, &first, &first, widths)
            });
        }
        self.wants_gap = true;
    }

    fn rule(&mut self) {
        self.block();
        let mut row = self.next_prefix();
        let room = self.width.saturating_sub(row.width(self.widths)).min(40);
        let line = if self.widths.ambiguous_is_wide {
            "-"
        } else {
            "─"
        };
        row.push(line.repeat(room), Look::of(Role::Dim));
        self.out.push(row);
        self.wants_gap = true;
    }
}
