//! Goes through the folders of the workspace on a few threads. No link is followed, and no path is opened by its text
//! twice: files are opened in the folder that was listed.
//!
//! Left out unless everything is wanted: names that begin with a dot, and what `.gitignore` and `.ignore` files name.
//! Left out always: `.git` behind the start, links, special files, and what is off limits.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::Scope;
use rustix::fs::{AtFlags, Dir, FileType};

use crate::threads::CancelToken;
use crate::tools::workspace::{OffLimits, walk_file};
use crate::tools::{ToolError, Workspace};

/// A search may not hold a turn for longer.
const LONGEST: Duration = Duration::from_secs(30);
/// Folders deeper than this are left out.
const MAX_DEPTH: usize = 100;
/// Files of one folder that one thread takes at a time.
const CHUNK: usize = 64;
/// More threads than this wait for the disk.
const MAX_THREADS: usize = 8;
const STACK_BYTES: usize = 1024 * 1024;
/// Files that say what to ignore, the stronger one first, and how much of one is read.
const IGNORE_FILES: [&str; 2] = [".ignore", ".gitignore"];
const MAX_IGNORE_BYTES: u64 = 256 * 1024;
/// Where ignore rules believe the workspace to be.
const TOP: &str = "/w";

/// Something that was found on the way.
pub(super) struct Entry<'a> {
    /// The open folder it is in.
    pub(super) folder: &'a OwnedFd,
    pub(super) name: &'a OsStr,
    /// Its path below the workspace, and below where the walk began.
    pub(super) real: &'a Path,
    pub(super) within: &'a Path,
    pub(super) is_folder: bool,
}

/// Sees what is found; called from several threads.
pub(super) trait Visitor: Sync {
    /// What one thread keeps between files.
    type State: Send;

    /// Makes a thread's state.
    fn state(&self) -> Self::State;

    /// Takes a file, or a folder that will be entered.
    fn visit(&self, state: &mut Self::State, entry: &Entry<'_>);
}

/// One walk.
pub(super) struct Walk<'a> {
    workspace: &'a Workspace,
    cancel: &'a CancelToken,
    pub(super) off_limits: OffLimits,
    everything: bool,
    start: PathBuf,
    until: Instant,
    enough: AtomicBool,
    late: AtomicBool,
}

impl<'a> Walk<'a> {
    /// Prepares a walk from a folder given by its true path.
    pub(super) fn new(
        workspace: &'a Workspace,
        cancel: &'a CancelToken,
        start: PathBuf,
        everything: bool,
    ) -> Self {
        Self {
            workspace,
            cancel,
            off_limits: workspace.off_limits_now(),
            everything,
            start,
            until: Instant::now() + LONGEST,
            enough: AtomicBool::new(false),
            late: AtomicBool::new(false),
        }
    }

    /// Ends the walk soon: more would not be shown.
    pub(super) fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Tells whether the time ran out before everything was seen.
    pub(super) fn is_cut(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Tells whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        if self.cancel.is_cancelled() || self.enough.load(Ordering::Relaxed) {
            return false;
        }
        let in_time = Instant::now() < self.until;
        if !in_time {
            self.late.store(true, Ordering::Relaxed);
        }
        in_time
    }

    /// Walks; blocks until everything was seen, enough was found, the time is over or the turn is stopped.
    pub(super) fn run<V: Visitor>(&self, visitor: &V) -> Result<(), ToolError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(MAX_THREADS))
            .thread_name(|n| format!("search-{n}"))
            .stack_size(STACK_BYTES)
            .build()
            .map_err(|error| ToolError::failed(format!("the search could not start: {error}")))?;
        let rules = self.rules_above_start();
        pool.scope(|scope| self.folder(scope, visitor, self.start.clone(), rules.as_ref()));
        if self.cancel.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        Ok(())
    }

    /// Collects the ignore rules of the folders above the start.
    fn rules_above_start(&self) -> Option<Arc<Rules>> {
        let mut rules = None;
        let mut path = PathBuf::new();
        for part in self.start.iter() {
            if let Ok(folder) = self.workspace.walk_folder(&path) {
                rules = self.add_rules(rules.as_ref(), &folder, &path);
            }
            path.push(part);
        }
        rules
    }

    fn add_rules(
        &self,
        above: Option<&Arc<Rules>>,
        folder: &OwnedFd,
        real: &Path,
    ) -> Option<Arc<Rules>> {
        let mut rules = above.cloned();
        if self.everything {
            return rules;
        }
        for name in IGNORE_FILES.iter().rev() {
            if let Some(own) = read_rules(folder, name, real) {
                rules = Some(Arc::new(Rules { own, above: rules }));
            }
        }
        rules
    }

    fn folder<'s, V: Visitor>(
        &'s self,
        scope: &Scope<'s>,
        visitor: &'s V,
        real: PathBuf,
        above: Option<&Arc<Rules>>,
    ) {
        // A folder that is gone or may not be read has nothing to show.
        let Ok(folder) = self.workspace.walk_folder(&real) else {
            return;
        };
        let rules = self.add_rules(above, &folder, &real);
        let Ok(listing) = Dir::read_from(&folder) else {
            return;
        };
        let deep = real.iter().count() >= MAX_DEPTH;
        let mut names: Vec<(OsString, bool)> = Vec::new();
        for entry in listing {
            if !self.goes_on() {
                return;
            }
            let Ok(entry) = entry else { break };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                        Err(_) => continue,
                    }
                }
                kind => kind,
            };
            let is_folder = kind == FileType::Directory;
            if (is_folder || kind == FileType::RegularFile)
                && self.wants(rules.as_ref(), &real, name, is_folder)
            {
                names.push((name.to_owned(), is_folder));
            }
        }
        let folder = Arc::new(folder);
        for (name, _) in names.iter().filter(|(_, is_folder)| *is_folder && !deep) {
            let (inner, rules) = (real.join(name), rules.clone());
            scope.spawn(move |scope| self.folder(scope, visitor, inner, rules.as_ref()));
        }
        let real = Arc::new(real);
        let mut names = names.into_iter().peekable();
        loop {
            let chunk: Vec<_> = names.by_ref().take(CHUNK).collect();
            if names.peek().is_none() {
                self.entries(visitor, &folder, &real, &chunk);
                return;
            }
            let (folder, real) = (folder.clone(), real.clone());
            scope.spawn(move |_| self.entries(visitor, &folder, &real, &chunk));
        }
    }

    fn wants(
        &self,
        rules: Option<&Arc<Rules>>,
        folder: &Path,
        name: &OsStr,
        is_folder: bool,
    ) -> bool {
        if matches!(name.as_bytes(), b"." | b"..") || name.eq_ignore_ascii_case(".git") {
            return false;
        }
        if !self.everything && name.as_bytes().starts_with(b".") {
            return false;
        }
        let real = folder.join(name);
        !self.off_limits.name(&real) && !rules.is_some_and(|rules| rules.ignore(&real, is_folder))
    }

    fn entries<V: Visitor>(
        &self,
        visitor: &V,
        folder: &OwnedFd,
        at: &Path,
        names: &[(OsString, bool)],
    ) {
        let mut state = visitor.state();
        for (name, is_folder) in names {
            if !self.goes_on() {
                return;
            }
            let real = at.join(name);
            let within = real.strip_prefix(&self.start).unwrap_or(&real);
            let entry = Entry {
                folder,
                name,
                real: &real,
                within,
                is_folder: *is_folder,
            };
            visitor.visit(&mut state, &entry);
        }
    }
}

/// The ignore files that count in a folder: its own, then those of the folders above.
struct Rules {
    own: Gitignore,
    above: Option<Arc<Rules>>,
}

impl Rules {
    /// The nearest file that has a say decides.
    fn ignore(&self, real: &Path, is_folder: bool) -> bool {
        let path = Path::new(TOP).join(real);
        let mut rules = Some(self);
        while let Some(here) = rules {
            match here.own.matched(&path, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = here.above.as_deref(),
            }
        }
        false
    }
}

fn read_rules(folder: &OwnedFd, name: &str, real: &Path) -> Option<Gitignore> {
    let (file, _) = walk_file(folder, name.as_ref())?;
    let mut bytes = Vec::new();
    file.take(MAX_IGNORE_BYTES).read_to_end(&mut bytes).ok()?;
    let mut builder = GitignoreBuilder::new(Path::new(TOP).join(real));
    for line in String::from_utf8_lossy(&bytes).lines() {
        // A line that is no pattern ignores nothing.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok().filter(|rules| !rules.is_empty())
}
