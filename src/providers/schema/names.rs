//! Names that every service takes, unique, and the same whatever the order of the originals. Pure; no thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

/// Longest name, in bytes.
const MAX_NAME: usize = 64;
/// Hex digits of the hash that tells two names apart.
const HASH_DIGITS: usize = 8;

/// What a name may look like.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `^[a-zA-Z][a-zA-Z0-9_-]{0,63}$`
    Tool,
    /// `^[a-zA-Z0-9_.-]{1,64}$`
    Property,
}

impl Form {
    fn allows(self, c: char) -> bool {
        c.is_ascii_alphanumeric()
            || c == '_'
            || c == '-'
            || (c == '.' && matches!(self, Self::Property))
    }

    /// Tells whether a name needs no change.
    pub(super) fn fits(self, name: &str) -> bool {
        let starts_well = match self {
            Self::Tool => name.starts_with(|c: char| c.is_ascii_alphabetic()),
            Self::Property => !name.is_empty(),
        };
        starts_well && name.len() <= MAX_NAME && name.chars().all(|c| self.allows(c))
    }

    /// Returns the fitting name of an attempt. The first one only replaces characters, if that leaves something to
    /// read; later ones end with a hash of the original.
    fn attempt(self, name: &str, n: usize) -> Option<String> {
        let replace = |c| if self.allows(c) { c } else { '_' };
        let mut fitting: String = name.chars().take(MAX_NAME + 1).map(replace).collect();
        let is_readable = fitting.contains(|c: char| c.is_ascii_alphanumeric());
        if !is_readable || !self.fits(&fitting[..1]) {
            fitting.insert_str(0, "x_");
        }
        if n == 0 {
            return (is_readable && fitting.len() <= MAX_NAME).then_some(fitting);
        }
        let digest = Sha256::new()
            .chain_update((n as u64).to_be_bytes())
            .chain_update(name)
            .finalize();
        fitting.truncate(MAX_NAME - HASH_DIGITS - 1);
        fitting.push('_');
        for byte in digest.iter().take(HASH_DIGITS / 2) {
            fitting.push_str(&format!("{byte:02x}"));
        }
        Some(fitting)
    }
}

/// Finds a fitting name for every original, each only once. What fits already stays.
///
/// Depends on the set of names alone. Ends because every round leaves over only names whose hash another name of the
/// set foretold, and the set is finite.
pub(super) fn fitted<'n>(
    names: impl IntoIterator<Item = &'n str>,
    form: Form,
) -> BTreeMap<&'n str, String> {
    let (fit, mut open): (BTreeSet<&str>, BTreeSet<&str>) =
        names.into_iter().partition(|name| form.fits(name));
    let mut taken: BTreeSet<String> = fit.iter().map(|name| (*name).to_owned()).collect();
    let mut found: BTreeMap<&str, String> = fit
        .into_iter()
        .map(|name| (name, name.to_owned()))
        .collect();
    let mut n = 0;
    while !open.is_empty() {
        let attempts: Vec<(&str, Option<String>)> = open
            .iter()
            .map(|name| (*name, form.attempt(name, n)))
            .collect();
        let mut wanted: HashMap<&str, usize> = HashMap::new();
        for attempt in attempts
            .iter()
            .filter_map(|(_, attempt)| attempt.as_deref())
        {
            *wanted.entry(attempt).or_default() += 1;
        }
        let mut won = Vec::new();
        for (name, attempt) in &attempts {
            if let Some(attempt) = attempt
                && wanted[attempt.as_str()] == 1
                && !taken.contains(attempt)
            {
                won.push((*name, attempt.clone()));
            }
        }
        for (name, attempt) in won {
            open.remove(name);
            taken.insert(attempt.clone());
            found.insert(name, attempt);
        }
        n += 1;
    }
    found
}

/// The names under which models see a set of tools, and the way back.
///
/// A shown name matches `^[a-zA-Z][a-zA-Z0-9_-]{0,63}$` and stands for one tool. A name that fits is shown as it is;
/// other characters become `_`; what is too long, unreadable or would mean two tools ends with a hash of the original.
/// The result depends on the set of names, not on their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolNames {
    shown: BTreeMap<String, String>,
    original: BTreeMap<String, String>,
}

impl ToolNames {
    /// Names these tools; a name given twice counts once.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut all = Self::default();
        for (name, shown) in fitted(names, Form::Tool) {
            all.shown.insert(name.to_owned(), shown.clone());
            all.original.insert(shown, name.to_owned());
        }
        all
    }

    /// Returns the name models see; `None` for a tool that was not in the set.
    pub fn shown(&self, original: &str) -> Option<&str> {
        self.shown.get(original).map(String::as_str)
    }

    /// Returns the tool a model means; `None` for a name that was never shown.
    pub fn original(&self, shown: &str) -> Option<&str> {
        self.original.get(shown).map(String::as_str)
    }
}
