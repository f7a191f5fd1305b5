//! What is wrong with a configuration, in a form for people. Pure data and its rendering.
//!
//! Everything here is safe to print and to log: secrets were masked and control characters replaced before.

use std::fmt;
use std::path::PathBuf;

/// Whether a problem stops the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration is used; something in it has no effect or is unwise.
    Warning,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The source line of a problem and the marks below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, shortened around the place if it is long.
    pub line: String,
    /// Spaces and `^`, aligned with `line` also under wide characters.
    pub marks: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file it is in.
    pub file: PathBuf,
    /// Where in the file, if it is about a place.
    pub position: Option<Position>,
    /// Dotted JSON path such as `providers.openai.type`; empty if it is about the whole file.
    pub path: String,
    /// What is wrong or what was expected.
    pub message: String,
    /// The offending value as written, shortened; `***` for a secret.
    pub found: Option<String>,
    /// What to do, usually the nearest valid name.
    pub hint: Option<String>,
    /// The source line, for files that may be shown.
    pub excerpt: Option<Excerpt>,
}

impl Problem {
    /// Makes an error about a whole file.
    pub(super) fn file_error(
        file: impl Into<PathBuf>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            position: None,
            path: String::new(),
            message: message.into(),
            found: None,
            hint,
            excerpt: None,
        }
    }
}

impl fmt::Display for Problem {
    /// Writes `file:line:column: path: message`, then the source line with its marks and the hint, without a last
    /// line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if self.severity == Severity::Warning {
            f.write_str(": warning")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(found) = &self.found {
            write!(f, ", found {found}")?;
        }
        if let Some(Excerpt { line, marks }) = &self.excerpt {
            write!(f, "\n  {line}\n  {marks}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a configuration could not be used: every problem found, errors and warnings, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The problems; at least one is an error.
    pub problems: Vec<Problem>,
    /// Problems beyond the limit of 100, counted only.
    pub n_left_out: usize,
}

impl ConfigErrors {
    /// Wraps a single problem.
    pub(super) fn one(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            n_left_out: 0,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.n_left_out > 0 {
            write!(f, "\n… and {} more", self.n_left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
