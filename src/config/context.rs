//! What all sections share while a file is read: source, environment, folders, and what was found so far.
//!
//! Lives on the loading thread for one load; the interior cells let many sections report through one shared reference.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::nearest::nearest;
use super::placeholder::is_only_names;
use super::problem::{ConfigErrors, Problem, Severity};
use super::source::{Source, shortened};

/// More problems than this are counted only: a hostile file could have any number.
const MAX_PROBLEMS: usize = 100;

/// Longest offending value shown, in characters.
const MAX_FOUND: usize = 64;

/// Environment values: `.env` below the process environment.
pub(super) struct Env {
    pub(super) process: BTreeMap<String, String>,
    pub(super) dotenv: BTreeMap<String, String>,
    /// The `.env` file, for hints.
    pub(super) dotenv_file: PathBuf,
}

impl Env {
    /// Returns a value; an empty one of the process hides the one of `.env`.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.process
            .get(name)
            .or_else(|| self.dotenv.get(name))
            .cloned()
    }

    /// Returns all names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.process
            .keys()
            .chain(self.dotenv.keys())
            .map(String::as_str)
    }
}

/// Folders that paths are relative to.
pub(super) struct Folders {
    /// The user's home, for `~`.
    pub(super) home: PathBuf,
    /// The configuration file's folder, for relative paths.
    pub(super) base: PathBuf,
}

/// A problem before it is rendered.
pub(super) struct Report<'m> {
    pub(super) severity: Severity,
    pub(super) range: Range<usize>,
    pub(super) path: &'m str,
    pub(super) message: String,
    /// Whether the text of `range` is shown as the offending value.
    pub(super) shows_value: bool,
    pub(super) hint: Option<String>,
}

/// The shared state of one load.
pub(super) struct Context<'a> {
    source: &'a Source,
    pub(super) env: &'a Env,
    pub(super) folders: &'a Folders,
    /// Set once `workspace_dir` is read; other paths may start with it.
    pub(super) workspace: OnceCell<PathBuf>,
    /// Literals that are never shown, sorted and apart.
    hidden: Vec<Range<usize>>,
    problems: RefCell<Vec<(usize, Problem)>>,
    n_left_out: Cell<usize>,
    n_errors: Cell<usize>,
    secrets: RefCell<Vec<String>>,
    literal_secret: OnceCell<Range<usize>>,
}

impl<'a> Context<'a> {
    /// Starts a load: notes which texts are secret and reports names given twice.
    pub(super) fn new(
        source: &'a Source,
        root: Option<&Value<'a>>,
        env: &'a Env,
        folders: &'a Folders,
    ) -> Self {
        let mut survey = Survey::default();
        if let Some(root) = root {
            survey.visit(root, "", Kind::Plain);
        }
        let context = Self {
            source,
            env,
            folders,
            workspace: OnceCell::new(),
            hidden: survey.hidden,
            problems: RefCell::default(),
            n_left_out: Cell::new(0),
            n_errors: Cell::new(0),
            secrets: RefCell::default(),
            literal_secret: OnceCell::new(),
        };
        for (range, path) in survey.twice {
            context.report(Report {
                severity: Severity::Error,
                range,
                path: &path,
                message: "this name is given twice".to_owned(),
                shows_value: false,
                hint: Some("remove one of the two".to_owned()),
            });
        }
        context
    }

    /// Notes a problem.
    pub(super) fn report(&self, report: Report<'_>) {
        if report.severity == Severity::Error {
            self.n_errors.set(self.n_errors.get() + 1);
        }
        if self.problems.borrow().len() >= MAX_PROBLEMS {
            self.n_left_out.set(self.n_left_out.get() + 1);
            return;
        }
        let Report { range, .. } = report;
        let start = range.start;
        let problem = Problem {
            severity: report.severity,
            file: self.source.file().to_owned(),
            position: Some(self.source.position(start)),
            path: shortened(report.path, 200),
            message: report.message,
            found: report.shows_value.then(|| self.shown(&range)),
            hint: report.hint,
            excerpt: Some(self.source.excerpt(range, &self.hidden)),
        };
        self.problems.borrow_mut().push((start, problem));
    }

    /// Makes a hint, unless the problem it belongs to would be counted only.
    pub(super) fn hint(&self, make: impl FnOnce() -> Option<String>) -> Option<String> {
        let is_full = self.problems.borrow().len() >= MAX_PROBLEMS;
        if is_full { None } else { make() }
    }

    /// Returns the text of a value for people.
    fn shown(&self, range: &Range<usize>) -> String {
        let text = self.source.slice(range);
        let is_hidden =
            |hidden: &Range<usize>| hidden.start < range.end && range.start < hidden.end;
        if text.starts_with('{') {
            "an object".to_owned()
        } else if text.starts_with('[') {
            "a list".to_owned()
        } else if self.hidden.iter().any(is_hidden) {
            "***".to_owned()
        } else {
            shortened(text, MAX_FOUND)
        }
    }

    /// Keeps a text for redaction.
    pub(super) fn keep_secret(&self, text: &str) {
        self.secrets.borrow_mut().push(text.to_owned());
    }

    /// Notes that a secret stands in the file itself.
    pub(super) fn note_literal_secret(&self, range: Range<usize>) {
        let _ = self.literal_secret.set(range);
    }

    /// Warns that others can read a file that holds a secret.
    pub(super) fn warn_readable_by_others(&self) {
        let Some(range) = self.literal_secret.get() else {
            return;
        };
        self.report(Report {
            severity: Severity::Warning,
            range: range.clone(),
            path: "",
            message: "the file holds a secret and other users may read it".to_owned(),
            shows_value: false,
            hint: Some(format!("chmod 600 {}", self.source.file().display())),
        });
    }

    /// Ends the load: warnings in file order and the secrets found, or everything that is wrong.
    pub(super) fn finish(self) -> Result<(Vec<Problem>, Vec<String>), ConfigErrors> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(start, _)| *start);
        let problems = problems.into_iter().map(|(_, problem)| problem).collect();
        if self.n_errors.get() > 0 {
            return Err(ConfigErrors {
                problems,
                n_left_out: self.n_left_out.get(),
            });
        }
        Ok((problems, self.secrets.into_inner()))
    }
}

/// Appends a name to a dotted path; a name with dots or spaces is quoted.
pub(super) fn join_path(path: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && !name.contains(['.', ' ', '"', '[']);
    let dot = if path.is_empty() { "" } else { "." };
    if is_plain {
        format!("{path}{dot}{name}")
    } else {
        format!("{path}{dot}\"{name}\"")
    }
}

/// Tells whether a key or variable of this name usually holds a secret.
pub(super) fn looks_secret(name: &str) -> bool {
    const PUBLIC: [&str; 3] = ["auth", "max_tokens", "token_limit"];
    const MARKS: [&str; 7] = [
        "key",
        "token",
        "secret",
        "passw",
        "auth",
        "credential",
        "cookie",
    ];
    let lower = name.to_lowercase();
    let is_public = PUBLIC.contains(&lower.as_str());
    !is_public
        && (MARKS.iter().any(|mark| lower.contains(mark))
            || nearest(name, ["api_key", "app_secret"]).is_some())
}

/// How the texts below a name are to be treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// The value itself is a secret, or a list of them.
    Secret,
    /// Every value of the object is a secret.
    SecretMap,
}

fn kind_of(name: &str) -> Kind {
    let lower = name.to_lowercase();
    if lower.contains("header") || lower == "env" {
        Kind::SecretMap
    } else if lower == "args" || looks_secret(name) {
        Kind::Secret
    } else {
        Kind::Plain
    }
}

/// One look at the whole tree before it is read. Its recursion is bounded by the parser's limit of depth.
#[derive(Default)]
struct Survey {
    hidden: Vec<Range<usize>>,
    twice: Vec<(Range<usize>, String)>,
}

impl Survey {
    fn visit(&mut self, value: &Value<'_>, path: &str, kind: Kind) {
        match value {
            Value::Object(object) => {
                let mut names = HashSet::new();
                for property in &object.properties {
                    let name = property.name.as_str();
                    let path = join_path(path, name);
                    if !names.insert(name) {
                        let range = property.name.range();
                        self.twice.push((range.start..range.end, path.clone()));
                    }
                    let kind = match kind {
                        Kind::SecretMap => Kind::Secret,
                        _ => kind_of(name),
                    };
                    self.visit(&property.value, &path, kind);
                }
            }
            Value::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    self.visit(element, &format!("{path}[{index}]"), kind);
                }
            }
            Value::StringLit(text) => {
                let is_secret = kind != Kind::Plain || is_secret_text(&text.value);
                if is_secret && !is_only_names(&text.value) {
                    self.hidden.push(text.range.start + 1..text.range.end - 1);
                }
            }
            Value::NumberLit(number) if kind != Kind::Plain => {
                self.hidden.push(number.range.start..number.range.end);
            }
            Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
        }
    }
}

/// Tells whether a text is a secret wherever it stands: a usual key form, or an address with a password.
fn is_secret_text(text: &str) -> bool {
    const STARTS: [&str; 4] = ["sk-", "ghp_", "github_pat_", "xox"];
    STARTS.iter().any(|start| text.starts_with(start))
        || (text.contains("://") && text.contains('@'))
}

/// Returns a home-relative, base-relative or absolute path as an absolute one, or what is wrong with it.
pub(super) fn expand_path(
    text: &str,
    folders: &Folders,
    workspace: Option<&Path>,
) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') {
        return Err("expected a path");
    }
    if text == "~" {
        return Ok(folders.home.clone());
    }
    if let Some(rest) = text.strip_prefix("~/") {
        return Ok(folders.home.join(rest));
    }
    if text.starts_with('~') {
        return Err("expected a path; only ~ and ~/… are expanded, not other users' homes");
    }
    if let (Some(rest), Some(workspace)) = (text.strip_prefix("{workspace_dir}"), workspace) {
        return Ok(workspace.join(rest.trim_start_matches('/')));
    }
    // Taken apart and joined again: `base/./x` becomes `base/x`.
    Ok(folders.base.join(text).components().collect())
}
