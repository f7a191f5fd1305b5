//! What to send: the argument, files and stdin put together.

use std::io::{IsTerminal, Read};
use std::path::Path;

use super::SendArgs;
use crate::cli::exit::{self, Failure};

/// The gateway takes messages up to 1 MiB; JSON escaping may double a text.
const MAX_BYTES: u64 = 480 * 1024;

/// Reads the message. Piped stdin is the message where none was given, else it is attached to it.
pub(super) fn read(args: &SendArgs) -> Result<String, Failure> {
    let stdin_piped = !args.no_stdin && !std::io::stdin().is_terminal();
    let mut from_stdin = false;
    let mut prompt = match args.prompt.as_deref() {
        Some("-") => {
            from_stdin = true;
            read_stdin()?
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) if !path.is_empty() => read_file(Path::new(path))?,
            _ => text.to_owned(),
        },
        None if stdin_piped => {
            from_stdin = true;
            read_stdin()?
        }
        None if args.files.is_empty() => {
            return Err(
                Failure::new(exit::USAGE, "nothing to send: no message was given")
                    .hint("picobot send \"your question\", or pipe text into it"),
            );
        }
        None => String::new(),
    };
    if stdin_piped && !from_stdin {
        attach(&mut prompt, "stdin", &read_stdin()?);
    }
    for path in &args.files {
        attach(&mut prompt, &path.display().to_string(), &read_file(path)?);
    }
    if prompt.trim().is_empty() {
        return Err(Failure::new(
            exit::USAGE,
            "nothing to send: the message is empty",
        ));
    }
    if prompt.len() as u64 > MAX_BYTES {
        return Err(too_long("the message"));
    }
    Ok(prompt)
}

fn attach(prompt: &mut String, name: &str, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    if !prompt.is_empty() {
        prompt.push_str("\n\n");
    }
    prompt.push_str(&format!("[{name}]\n{}", text.trim_end()));
}

fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(exit::USAGE, format!("cannot read stdin: {error}")))?;
    text("stdin", bytes)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(exit::USAGE, format!("cannot read {name}: {error}")))?;
    text(&name.to_string(), bytes)
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(name));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(exit::USAGE, format!("{name} is not UTF-8 text")))
}

fn too_long(name: &str) -> Failure {
    Failure::new(
        exit::USAGE,
        format!(
            "{name} is too long: at most {} KiB can be sent",
            MAX_BYTES / 1024
        ),
    )
    .hint("put the text into a file of the workspace and ask about that file")
}
