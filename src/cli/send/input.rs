//! What to send: the argument, files and stdin put together. Images are made small enough for one frame here, because
//! only here the whole file is at hand.

use std::io::{IsTerminal, Read, Stdin};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::SendArgs;
use crate::chat::plain_file_name;
use crate::cli::exit::{self, Failure};
use crate::media;
use crate::wire::{InputImage, MAX_IMAGES};

/// The gateway takes frames up to 1 MiB; the rest is room for the frame's other fields.
const MAX_BYTES: u64 = 1000 * 1024;

/// The least an image gets of a frame; smaller ones show nothing.
const MIN_IMAGE_BYTES: u64 = 16 * 1024;

/// A message to send.
pub(super) struct Prompt {
    /// The text; blank only beside images.
    pub(super) text: String,
    pub(super) images: Vec<InputImage>,
}

/// Reads the message. Piped stdin is the message where none was given, else it is attached to it; it is waited for until
/// the deadline. In `--new "text"` without any message the text was meant as one, not as a title.
pub(super) fn read(args: &mut SendArgs, deadline: Instant) -> Result<Prompt, Failure> {
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
    let mut images = Vec::new();
    for path in &args.files {
        match read_attached(path)? {
            Attached::Image(image) => images.push(image),
            Attached::Text(text) => attach(&mut prompt, &path.display().to_string(), &text),
        }
    }
    if prompt.trim().is_empty() {
        prompt = args.new.as_mut().map(std::mem::take).unwrap_or_default();
    }
    if prompt.trim().is_empty() && images.is_empty() {
        return Err(
            Failure::new(exit::USAGE, "nothing to send: the message is empty")
                .hint("picobot send \"your question\", or pipe text into it"),
        );
    }
    // What counts is the size as JSON: quotes, line ends and control characters take two to six bytes.
    if escaped_bytes(&prompt) > MAX_BYTES {
        return Err(too_long("the message"));
    }
    let room = MAX_BYTES - escaped_bytes(&prompt);
    Ok(Prompt {
        text: prompt,
        images: fit(images, room)?,
    })
}

/// A file that is attached.
enum Attached {
    Text(String),
    Image(InputImage),
}

/// Reads a file, which may be a pipe, and tells by its first bytes what it is.
fn read_attached(path: &Path) -> Result<Attached, Failure> {
    let mut data = Vec::new();
    let mut file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut read_to = |limit: u64, data: &mut Vec<u8>| {
        let left = limit.saturating_sub(data.len() as u64);
        file.by_ref()
            .take(left)
            .read_to_end(data)
            .map_err(|error| unreadable(path, &error))
    };
    read_to(16, &mut data)?;
    if media::kind_of(&data).is_some() {
        read_to(media::MAX_FILE_BYTES + 1, &mut data)?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = plain_file_name(&name.to_string_lossy());
        return Ok(Attached::Image(InputImage { name, data }));
    }
    read_to(MAX_BYTES + 1, &mut data)?;
    text(&path.display().to_string(), data).map(Attached::Text)
}

/// Shares the room of a frame out among the images: those that fit go as they are, the others are scaled down.
fn fit(mut images: Vec<InputImage>, room: u64) -> Result<Vec<InputImage>, Failure> {
    if images.len() > MAX_IMAGES {
        return Err(Failure::new(
            exit::USAGE,
            format!("at most {MAX_IMAGES} images can be sent at once"),
        ));
    }
    let mut by_size: Vec<usize> = (0..images.len()).collect();
    by_size.sort_by_key(|index| images[*index].data.len());
    // Base64 makes four bytes of three; a name and what is around it take less than half a KiB.
    let mut left = room.saturating_sub(512 * images.len() as u64) / 4 * 3;
    for (done, index) in by_size.iter().enumerate() {
        let share = left / (images.len() - done) as u64;
        if share < MIN_IMAGE_BYTES {
            return Err(too_long("the message with its images"));
        }
        let image = &mut images[*index];
        if image.data.len() as u64 > share {
            image.data = shrink(image, share)?;
        }
        left -= image.data.len() as u64;
    }
    Ok(images)
}

fn shrink(image: &InputImage, max_bytes: u64) -> Result<Vec<u8>, Failure> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    media::prepare_within(&image.data, &image.name, max_bytes)
        .map(|small| small.data.to_vec())
        .map_err(|error| Failure::new(exit::USAGE, format!("{}: {error}", image.name)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        exit::USAGE,
        format!("cannot read {}: {error}", path.display()),
    )
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
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    text(&path.display().to_string(), bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::noisy_jpeg;

    fn images(sizes: &[usize]) -> Vec<InputImage> {
        let named = sizes.iter().enumerate().map(|(n, size)| InputImage {
            name: n.to_string(),
            data: vec![0; *size],
        });
        named.collect()
    }

    #[test]
    fn images_that_fit_go_as_they_are() {
        for sizes in [&[][..], &[700_000], &[100_000; 7], &[600_000, 1, 90_000]] {
            let kept =
                fit(images(sizes), MAX_BYTES).map_err(|failure| failure.message().to_owned());
            assert_eq!(kept, Ok(images(sizes)));
        }
    }

    #[test]
    fn large_images_share_what_small_ones_leave() {
        let photo = noisy_jpeg(1_000, 1_000);
        assert!(photo.len() > 500_000, "{}", photo.len());
        let mut three = images(&[0, 40_000, 0]);
        three[0].data = photo.clone();
        three[2].data = photo;
        let Ok(sent) = fit(three, MAX_BYTES) else {
            panic!("three images fit");
        };
        assert_eq!(sent[1].data.len(), 40_000);
        let base64: usize = sent
            .iter()
            .map(|image| image.data.len().div_ceil(3) * 4)
            .sum();
        assert!(base64 as u64 <= MAX_BYTES, "{base64}");
        for index in [0, 2] {
            assert_eq!(sent[index].name, index.to_string());
            assert!(media::prepare(&sent[index].data, "a").is_ok());
            assert!(sent[index].data.len() > 100_000);
        }
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        assert!(fit(images(&[1; 9]), MAX_BYTES).is_err());
        assert!(fit(images(&[800_000]), MAX_BYTES).is_err(), "no image");
        assert!(fit(images(&[10_000]), 1_000).is_err());
    }
}
