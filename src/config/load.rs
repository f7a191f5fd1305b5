//! Finds and reads the configuration file and `.env`. The only part of `config` that reads files; runs on the thread
//! that calls it and blocks on the file system only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::context::{Context, Env, Folders};
use super::dotenv;
use super::problem::{ConfigErrors, Position, Problem, Severity};
use super::reader::Section;
use super::source::Source;
use super::{Config, Secret};

/// Larger files are refused; a configuration is a few kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where to look.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The file of `--config`; it must exist. Relative to `cwd`.
    pub explicit: Option<PathBuf>,
    /// The user's home folder, absolute.
    pub home: PathBuf,
    /// The current folder, absolute; `.env` is read here.
    pub cwd: PathBuf,
    /// The process environment; it wins over `.env`.
    pub env: BTreeMap<String, String>,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from; `None` if there was none.
    pub path: Option<PathBuf>,
    /// What is unwise or without effect, in file order.
    pub warnings: Vec<Problem>,
    /// Every secret text met, for redaction.
    pub secrets: Vec<Secret>,
}

/// Returns the process environment, without what is not UTF-8.
pub fn process_env() -> BTreeMap<String, String> {
    let pairs = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.into_string().ok()?))
    });
    pairs.collect()
}

/// Loads the first of `--config`, `~/.picobot/config.json` and `./config.json`; without any, the demo default.
///
/// Fails with every problem found. Files over 1 MiB and files that are not UTF-8 are refused.
pub fn load(options: LoadOptions) -> Result<Loaded, ConfigErrors> {
    let (env, mut warnings) = read_env(options.env, &options.cwd);
    let Some((file, content)) = find(options.explicit.as_deref(), &options.home, &options.cwd)?
    else {
        return Ok(Loaded {
            config: without_file(&options.home, &options.cwd),
            path: None,
            warnings,
            secrets: Vec::new(),
        });
    };
    let text = decode(&file, content.bytes)?;
    let source = Source::new(&file, text);
    let folders = Folders {
        home: options.home,
        base: file.parent().map(Path::to_owned).unwrap_or(options.cwd),
    };
    let (config, found, secrets) = read(&source, &env, &folders, content.is_readable_by_others)
        .map_err(|mut errors| {
            errors.problems.splice(0..0, warnings.drain(..));
            errors
        })?;
    warnings.extend(found);
    Ok(Loaded {
        config,
        path: Some(file),
        warnings,
        secrets,
    })
}

/// Returns the default configuration: all that is needed is where home and the current folder are.
pub(super) fn without_file(home: &Path, cwd: &Path) -> Config {
    let env = Env {
        process: BTreeMap::new(),
        dotenv: BTreeMap::new(),
        dotenv_file: cwd.join(".env"),
    };
    let folders = Folders {
        home: home.to_owned(),
        base: cwd.to_owned(),
    };
    let source = Source::new(Path::new(""), String::new());
    let cx = Context::new(&source, None, &env, &folders);
    Config::read(Section::root(&cx, None), &cx)
}

fn read(
    source: &Source,
    env: &Env,
    folders: &Folders,
    is_readable_by_others: bool,
) -> Result<(Config, Vec<Problem>, Vec<Secret>), ConfigErrors> {
    let value = source.parse()?;
    let cx = Context::new(source, Some(&value), env, folders);
    let config = Config::read(Section::root(&cx, Some(&value)), &cx);
    if is_readable_by_others {
        cx.warn_readable_by_others();
    }
    let (warnings, mut secrets) = cx.finish()?;
    secrets.sort_unstable();
    secrets.dedup();
    let secrets = secrets.into_iter().map(Secret::new).collect();
    Ok((config, warnings, secrets))
}

/// A file's bytes and who else may read them.
struct Content {
    bytes: Vec<u8>,
    is_readable_by_others: bool,
}

fn find(
    explicit: Option<&Path>,
    home: &Path,
    cwd: &Path,
) -> Result<Option<(PathBuf, Content)>, ConfigErrors> {
    if let Some(path) = explicit {
        let path = cwd.join(path);
        let content = read_file(&path).map_err(|error| unreadable(&path, &error))?;
        return Ok(Some((path, content)));
    }
    for path in [home.join(".picobot/config.json"), cwd.join("config.json")] {
        match read_file(&path) {
            Ok(content) => return Ok(Some((path, content))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(None)
}

fn read_file(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(Content {
        bytes,
        is_readable_by_others: is_readable_by_others(&metadata),
    })
}

#[cfg(unix)]
fn is_readable_by_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.is_file() && metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &std::fs::Metadata) -> bool {
    false
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigErrors {
    let (message, hint) = match error.kind() {
        ErrorKind::NotFound => (
            "there is no such file".to_owned(),
            Some("~/.picobot/config.example.json is a commented example".to_owned()),
        ),
        ErrorKind::IsADirectory => ("this is a folder, not a file".to_owned(), None),
        ErrorKind::FileTooLarge => ("the file is larger than 1 MiB".to_owned(), None),
        _ => (format!("cannot be read: {error}"), None),
    };
    ConfigErrors::one(Problem::file_error(path, message, hint))
}

/// Turns bytes into text; a UTF-8 byte order mark is dropped.
fn decode(file: &Path, bytes: Vec<u8>) -> Result<String, ConfigErrors> {
    let refused = |message: &str, position| {
        let hint = Some("save it as UTF-8".to_owned());
        ConfigErrors::one(Problem {
            position,
            ..Problem::file_error(file, message, hint)
        })
    };
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(refused("the file is UTF-16, not UTF-8", None));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(without_mark(&text).to_owned()),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let valid = without_mark(&String::from_utf8_lossy(valid)).to_owned();
            let at = valid.len();
            let position = Source::new(file, valid).position(at);
            Err(refused(
                "the file is not UTF-8 from here on",
                Some(position),
            ))
        }
    }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads `.env`. What is wrong with it is a warning only: the values it lacks are reported where they are needed.
fn read_env(process: BTreeMap<String, String>, cwd: &Path) -> (Env, Vec<Problem>) {
    let file = cwd.join(".env");
    let (parsed, warnings) = match read_file(&file) {
        Ok(content) => {
            let parsed = dotenv::parse(&content.bytes);
            let bad_lines = parsed.bad_lines.iter().take(10);
            let warnings = bad_lines
                .map(|(line, why)| bad_line(&file, *line, why))
                .collect();
            (parsed, warnings)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
        Err(error) => {
            let problems = unreadable(&file, &error).problems.into_iter();
            let warnings = problems.map(|problem| Problem {
                severity: Severity::Warning,
                ..problem
            });
            (dotenv::Dotenv::default(), warnings.collect())
        }
    };
    let env = Env {
        process,
        dotenv: parsed.values,
        dotenv_file: file,
    };
    (env, warnings)
}

/// The line itself is not shown: it may hold half a secret.
fn bad_line(file: &Path, line: usize, why: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        file: file.to_owned(),
        position: Some(Position { line, column: 1 }),
        path: String::new(),
        message: format!("line ignored: {why}"),
        found: None,
        hint: None,
        excerpt: None,
    }
}
