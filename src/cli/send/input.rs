//! What to send: the argument, files and stdin put together.

use std::io::{IsTerminal, Read, Stdin};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::SendArgs;
use crate::cli::exit::{self, Failure};

/// The gateway takes frames up to 1 MiB; the rest is room for the frame's other fields.
const MAX_BYTES: u64 = 1000 * 1024;

/// Reads the message. Piped stdin is the message where none was given, else it is attached to it; it is waited for until
/// the deadline. In `--new "text"` without any message the text was meant as one, not as a title.
pub(super) fn read(args: &mut SendArgs, deadline: Instant) -> Result<String, Failure> {
    let stdin_piped = !args.no_stdin && !std::io::stdin().is_terminal();
    let mut from_stdin = false;
    let mut prompt = match args.prompt.as_deref() {
        Some("-") => {
            from_stdin = true;
            read_stdin(deadline)?
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) if !path.is_empty() => read_file(Path::new(path))?,
            _ => text.to_owned(),
        },
        None if stdin_piped => {
            from_stdin = true;
            read_stdin(deadline)?
        }
        None => String::new(),
    };
    if stdin_piped && !from_stdin {
        attach(&mut prompt, "stdin", &read_stdin(deadline)?);
    }
    for path in &args.files {
        attach(&mut prompt, &path.display().to_string(), &read_file(path)?);
    }
    if prompt.trim().is_empty() {
        prompt = args.new.as_mut().map(std::mem::take).unwrap_or_default();
    }
    if prompt.trim().is_empty() {
        return Err(
            Failure::new(exit::USAGE, "nothing to send: the message is empty")
                .hint("picobot send \"your question\", or pipe text into it"),
        );
    }
    // What counts is the size as JSON: quotes, line ends and control characters take two to six bytes.
    if escaped_bytes(&prompt) > MAX_BYTES {
        return Err(too_long("the message"));
    }
    Ok(prompt)
}

fn escaped_bytes(text: &str) -> u64 {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
            0..=0x1f => 6,
            _ => 1,
        })
        .sum()
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

fn read_stdin(deadline: Instant) -> Result<String, Failure> {
    let failed = |error| Failure::new(exit::USAGE, format!("cannot read stdin: {error}"));
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    while bytes.len() as u64 <= MAX_BYTES {
        if !wait_readable(&stdin, deadline).map_err(failed)? {
            return Err(Failure::new(exit::TIMEOUT, "stdin did not end in time")
                .hint("close it, or pass --no-stdin"));
        }
        let n = rustix::io::read(&stdin, &mut piece).map_err(|error| failed(error.into()))?;
        if n == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..n]);
    }
    text("stdin", bytes)
}

/// Waits until something can be read; returns false at the deadline.
fn wait_readable(stdin: &Stdin, deadline: Instant) -> std::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(std::io::Error::other)?;
        match poll(&mut [PollFd::new(stdin, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
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
