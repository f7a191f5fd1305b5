//! The `content_search` tool: lines of the workspace's text files that match a regular expression.
//!
//! Files are searched as bytes; a file that is not UTF-8 and matches, or might match words that are not ASCII, is decoded
//! first. Binary files are left out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use rustix::fs::AtFlags;
use schemars::JsonSchema;
use serde::Deserialize;

use super::lines::{Collector, FileMatches};
use super::names::Names;
use super::walk::{Entry, Visitor, Walk};
use super::{DEFAULT_LIMIT, MAX_LIMIT, MAX_SHOWN_CHARS, shown_path};
use crate::tools::encoding::detect;
use crate::tools::words::file_error;
use crate::tools::workspace::{OffLimits, walk_file};
use crate::tools::{Effects, ToolCtx, ToolError, TypedTool};

/// Longest pattern, in bytes, and largest compiled form.
const MAX_PATTERN_BYTES: usize = 4_096;
const MAX_COMPILED_BYTES: usize = 10 * 1024 * 1024;
/// Files up to this size are read whole; larger ones are read through a window.
const MAX_WHOLE_BYTES: u64 = 16 * 1024 * 1024;
/// Largest line of a file read through a window.
const MAX_WINDOW_BYTES: usize = 4 * 1024 * 1024;
const MAX_CONTEXT: usize = 10;
/// Matching lines after which a search ends: far more than is shown.
const MAX_MATCHES: usize = 10_000;
const MAX_FILES: usize = 10_000;
/// How far a file is looked at to tell text from binary data.
const HEAD_BYTES: usize = 8 * 1024;

/// Searches text files.
pub(in crate::tools) struct ContentSearch;

/// What is shown.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::tools) enum Mode {
    Lines,
    Files,
    Count,
}

/// Arguments of [`ContentSearch`].
#[derive(Deserialize, JsonSchema)]
pub(in crate::tools) struct ContentSearchArgs {
    /// regex
    pattern: String,
    /// file or folder; default all
    path: Option<String>,
    /// only such names: *.rs
    glob: Option<String>,
    /// default lines
    mode: Option<Mode>,
    /// lines around
    context: Option<usize>,
    ignore_case: Option<bool>,
    /// also hidden and git-ignored
    all: Option<bool>,
    // Understood, but not offered: the default serves.
    #[schemars(skip)]
    limit: Option<usize>,
}

impl TypedTool for ContentSearch {
    type Args = ContentSearchArgs;
    const NAME: &'static str = "content_search";
    const DESCRIPTION: &'static str = "Searches text files line by line.";

    fn effects_of(&self, _: &ContentSearchArgs) -> Effects {
        Effects::ReadOnly
    }

    fn call(&self, args: ContentSearchArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let (matcher, literal) =
            matcher(&args.pattern, args.ignore_case.unwrap_or(false)).map_err(ToolError::Failed)?;
        let names = match args.glob.as_deref().filter(|glob| !glob.trim().is_empty()) {
            Some(glob) => Some(
                Names::parse(glob)
                    .map_err(|fault| ToolError::failed(format!("`glob`: {fault}")))?,
            ),
            None => None,
        };
        let path = args.path.as_deref().unwrap_or(".");
        let failed = |error| file_error(path, &error);
        let (start, is_folder) = ctx.workspace.walk_start(path).map_err(failed)?;
        let folder = if is_folder {
            start.clone()
        } else {
            start.parent().unwrap_or(Path::new("")).to_owned()
        };
        let walk = Walk::new(ctx.workspace, ctx.cancel, folder, args.all.unwrap_or(false));
        let hunt = Hunt {
            walk: &walk,
            matcher: &matcher,
            names,
            mode: args.mode.unwrap_or(Mode::Lines),
            context: args.context.unwrap_or(0).min(MAX_CONTEXT),
            needs_text: !args.pattern.is_ascii(),
            found: Mutex::default(),
            n_kept: AtomicUsize::new(0),
            n_binary: AtomicUsize::new(0),
        };
        if is_folder {
            walk.run(&hunt)?;
        } else {
            let at = ctx
                .workspace
                .walk_folder(start.parent().unwrap_or(Path::new("")))
                .map_err(failed)?;
            let entry = Entry {
                folder: &at,
                name: start.file_name().unwrap_or_default(),
                real: &start,
                within: &start,
                is_folder: false,
            };
            hunt.visit(&mut hunt.state(), &entry);
            if ctx.cancel.is_cancelled() {
                return Err(ToolError::Cancelled);
            }
        }
        Ok(hunt.report(&args, literal))
    }
}

/// Compiles a pattern; what is no regular expression is searched for as it stands. True for that case.
fn matcher(pattern: &str, ignore_case: bool) -> Result<(RegexMatcher, bool), String> {
    if pattern.is_empty() {
        return Err("the pattern is empty; give a regular expression or plain words".into());
    }
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err("the pattern is longer than 4096 bytes; give a shorter one".into());
    }
    if pattern.contains(['\n', '\r']) {
        return Err("the pattern holds a line end; search goes line by line: give one line".into());
    }
    let mut builder = RegexMatcherBuilder::new();
    builder
        .case_insensitive(ignore_case)
        .line_terminator(Some(b'\n'))
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES);
    match builder.build(pattern) {
        Ok(matcher) => Ok((matcher, false)),
        Err(error) => {
            // A pattern that is too much is one all the same.
            let parsed = regex::RegexBuilder::new(pattern)
                .size_limit(MAX_COMPILED_BYTES)
                .build();
            let literal = builder.fixed_strings(true).build(pattern);
            match (parsed, literal) {
                (Err(regex::Error::Syntax(_)), Ok(matcher)) => Ok((matcher, true)),
                _ => Err(format!("the pattern cannot be used: {error}")),
            }
        }
    }
}

/// One search.
struct Hunt<'a> {
    walk: &'a Walk<'a>,
    matcher: &'a RegexMatcher,
    names: Option<Names>,
    mode: Mode,
    context: usize,
    /// The pattern has characters that other encodings write otherwise.
    needs_text: bool,
    found: Mutex<Vec<FileMatches>>,
    n_kept: AtomicUsize,
    n_binary: AtomicUsize,
}

/// What a thread uses again for each file.
struct Bench {
    searcher: Searcher,
    buffer: Vec<u8>,
}

impl Visitor for Hunt<'_> {
    type State = Bench;

    fn state(&self) -> Bench {
        let lines = self.mode == Mode::Lines;
        let context = if lines { self.context } else { 0 };
        Bench {
            searcher: SearcherBuilder::new()
                .binary_detection(BinaryDetection::quit(0))
                .line_number(lines)
                .before_context(context)
                .after_context(context)
                .heap_limit(Some(MAX_WINDOW_BYTES))
                .build(),
            buffer: Vec::new(),
        }
    }

    fn visit(&self, bench: &mut Bench, entry: &Entry<'_>) {
        if entry.is_folder {
            return;
        }
        let fits = self.names.as_ref();
        if !fits.is_none_or(|names| names.fit(entry.real, entry.within)) {
            return;
        }
        let Some((file, size)) = open(&self.walk.off_limits, entry) else {
            return;
        };
        // A file that cannot be read is as one that is not there.
        let Ok(found) = self.search(bench, &file, size) else {
            return;
        };
        if found.binary {
            self.n_binary.fetch_add(1, Ordering::Relaxed);
        }
        if found.n_matches > 0 && !found.binary {
            self.keep(FileMatches {
                path: entry.real.to_owned(),
                lines: found.lines,
                n_matches: found.n_matches,
            });
        }
    }
}

fn open(off_limits: &OffLimits, entry: &Entry<'_>) -> Option<(File, u64)> {
    let stat = rustix::fs::statat(entry.folder, entry.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if off_limits.identity(&stat) || stat.st_size == 0 {
        return None;
    }
    let (file, stat) = walk_file(entry.folder, entry.name)?;
    let size = u64::try_from(stat.st_size).ok()?;
    (!off_limits.identity(&stat) && size > 0).then_some((file, size))
}

impl Hunt<'_> {
    fn collector<'c>(&'c self, goes_on: &'c (dyn Fn() -> bool + Sync)) -> Collector<'c> {
        Collector {
            matcher: self.matcher,
            keep_lines: self.mode == Mode::Lines,
            first_only: self.mode == Mode::Files,
            lines: Vec::new(),
            n_matches: 0,
            binary: false,
            goes_on,
        }
    }

    fn search(&self, bench: &mut Bench, file: &File, size: u64) -> io::Result<Collected> {
        let goes_on = || self.walk.goes_on();
        let mut collector = self.collector(&goes_on);
        if size > MAX_WHOLE_BYTES {
            bench
                .searcher
                .search_reader(self.matcher, file, &mut collector)?;
            return Ok(collector.into());
        }
        let n = read_whole(file, size, &mut bench.buffer)?;
        let bytes = &bench.buffer[..n];
        let head = &bytes[..n.min(HEAD_BYTES)];
        let utf16 = matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
        if !utf16 && head.contains(&0) {
            return Ok(Collected::binary());
        }
        let decode = |bytes: &[u8]| {
            let foreign = !utf16 && std::str::from_utf8(bytes).is_err();
            let found = foreign.then(|| detect(bytes)).flatten();
            found.map(|found| found.decode(bytes).0.into_owned())
        };
        if self.needs_text
            && let Some(text) = decode(bytes)
        {
            bench
                .searcher
                .search_slice(self.matcher, text.as_bytes(), &mut collector)?;
            return Ok(collector.into());
        }
        bench
            .searcher
            .search_slice(self.matcher, bytes, &mut collector)?;
        // In other encodings a byte that looks like a letter may be half a character.
        if collector.n_matches > 0
            && !self.needs_text
            && let Some(text) = decode(bytes)
        {
            collector = self.collector(&goes_on);
            bench
                .searcher
                .search_slice(self.matcher, text.as_bytes(), &mut collector)?;
        }
        Ok(collector.into())
    }

    fn keep(&self, found: FileMatches) {
        let n = found.lines.len().max(1);
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(found);
        let kept = self.n_kept.fetch_add(n, Ordering::Relaxed) + n;
        if kept >= MAX_MATCHES && self.mode == Mode::Lines || all.len() >= MAX_FILES {
            self.walk.enough();
        }
    }

    fn report(self, args: &ContentSearchArgs, literal: bool) -> String {
        let mut files = self
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut notes = Vec::new();
        if literal {
            notes.push("the pattern is no regex and was taken literally".to_owned());
        }
        if self.walk.is_cut() {
            notes.push("ended after 30 s: narrow the path or the glob".to_owned());
        } else if self.n_kept.into_inner() >= MAX_MATCHES && self.mode == Mode::Lines
            || files.len() >= MAX_FILES
        {
            notes.push("ended early: there is more".to_owned());
        }
        let n_binary = self.n_binary.into_inner();
        if files.is_empty() {
            if n_binary > 0 {
                notes.push(format!("{n_binary} binary files left out"));
            }
            if !args.all.unwrap_or(false) {
                notes.push("hidden and git-ignored files left out".to_owned());
            }
            return format!("No line matches{}", in_brackets(&notes));
        }
        let total: u64 = files.iter().map(|file| file.n_matches).sum();
        let lines = if self.mode == Mode::Files {
            String::new()
        } else {
            format!("{total} matching lines in ")
        };
        let mut page = Page {
            text: format!("{lines}{} files{}\n", files.len(), in_brackets(&notes)),
            chars: 0,
            left: args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT),
        };
        match self.mode {
            Mode::Lines => page.lines(&files, total),
            Mode::Files => page.list(&files, |file| format!("{}\n", shown_path(&file.path))),
            Mode::Count => page.list(&files, |file| {
                format!("{}: {}\n", shown_path(&file.path), file.n_matches)
            }),
        }
        page.text
    }
}

/// What a file gave.
struct Collected {
    lines: Vec<super::lines::Line>,
    n_matches: u64,
    binary: bool,
}

impl Collected {
    fn binary() -> Self {
        Self {
            lines: Vec::new(),
            n_matches: 0,
            binary: true,
        }
    }
}

impl From<Collector<'_>> for Collected {
    fn from(collector: Collector<'_>) -> Self {
        Self {
            lines: collector.lines,
            n_matches: collector.n_matches,
            binary: collector.binary,
        }
    }
}

/// Reads a file into a buffer that is used again; returns how much there was. A file that grew is cut.
fn read_whole(mut file: &File, size: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let mut n = 0;
    while n < size {
        match file.read(&mut buffer[n..size]) {
            Ok(0) => break,
            Ok(read) => n += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

fn in_brackets(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    format!(" ({})", notes.join("; "))
}

/// What fits into the result.
struct Page {
    text: String,
    chars: usize,
    left: usize,
}

impl Page {
    /// Adds a line if there is room.
    fn add(&mut self, line: &str) -> bool {
        let chars = line.chars().count();
        if self.chars + chars > MAX_SHOWN_CHARS {
            return false;
        }
        self.chars += chars;
        self.text.push_str(line);
        true
    }

    fn lines(&mut self, files: &[FileMatches], total: u64) {
        let mut shown = 0;
        'all: for file in files {
            if self.left == 0 || !self.add(&format!("{}\n", shown_path(&file.path))) {
                break;
            }
            let mut before = None;
            for line in &file.lines {
                if line.is_match() && self.left == 0 {
                    break 'all;
                }
                let gap = before.is_some_and(|before| !line.follows(before));
                let text = line.text();
                let gap = if gap && file.lines.iter().any(|line| !line.is_match()) {
                    "--\n"
                } else {
                    ""
                };
                if !self.add(&format!("{gap}{text}")) {
                    break 'all;
                }
                if line.is_match() {
                    self.left -= 1;
                    shown += 1;
                }
                before = Some(line);
            }
        }
        if shown < total {
            self.text.push_str(&format!(
                "[{} more matching lines; narrow the pattern, the path or the glob, or use mode \"files\" or \"count\"]\n",
                total - shown
            ));
        }
    }

    fn list(&mut self, files: &[FileMatches], line: impl Fn(&FileMatches) -> String) {
        let mut shown = 0;
        for file in files {
            if self.left == 0 || !self.add(&line(file)) {
                break;
            }
            self.left -= 1;
            shown += 1;
        }
        if shown < files.len() {
            self.text.push_str(&format!(
                "[{} more files; narrow the pattern, the path or the glob]\n",
                files.len() - shown
            ));
        }
    }
}
