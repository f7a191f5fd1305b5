//! Files that an answer names: pictures become part of it, other files follow it. Runs on `feishu-send`.
//!
//! An answer names a file with a Markdown link to a path of the workspace, outside of code: `![chart](out/chart.png)`,
//! `[the report](out/report.pdf)`, `[a path with blanks](<out/the report.pdf>)`. What may be read is decided by [`Files`], not here.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::api::{Api, ApiError};
use super::calls::{MAX_FILE_BYTES, MAX_IMAGE_BYTES};
use super::split::Blocks;
use super::words;

/// Files of one answer.
const MAX_UPLOADS: usize = 10;

/// Where files of answers are read from.
pub trait Files: Send + Sync {
    /// Reads a file of the workspace that may be shown; `None` if there is none of at most so many bytes.
    fn read(&self, path: &str, max_bytes: usize) -> Option<Vec<u8>>;
}

/// A link to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Named {
    /// Of the path in the text, with the brackets around it if there are any.
    at: Range<usize>,
    /// Of the link in the text.
    link: Range<usize>,
    label: String,
    path: String,
    is_image: bool,
}

/// A file to send behind an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Following {
    pub(super) key: String,
    /// `file`, `audio` or `media`.
    pub(super) kind: &'static str,
}

/// Uploads what an answer names; returns the answer with keys in the place of pictures' paths, and the other files. What the
/// service does not take is named at the answer's end.
pub(super) fn upload(
    api: &Api,
    files: &dyn Files,
    text: &str,
) -> Result<(String, Vec<Following>), ApiError> {
    let mut out = text.to_owned();
    let mut following = Vec::new();
    let mut refused = Vec::new();
    // From the end, so that places before stay where they are.
    for named in find(text).into_iter().take(MAX_UPLOADS).rev() {
        let name = named.path.rsplit('/').next().unwrap_or("file").to_owned();
        let limit = if named.is_image {
            MAX_IMAGE_BYTES
        } else {
            MAX_FILE_BYTES
        };
        let Some(bytes) = files
            .read(&named.path, limit)
            .filter(|bytes| !bytes.is_empty())
        else {
            continue;
        };
        let uploaded = if named.is_image {
            api.upload_image(&name, &bytes).map(|key| {
                out.replace_range(named.at, &key);
            })
        } else {
            api.upload_file(&name, &bytes).map(|(key, kind)| {
                // The link would lead nowhere; the file follows.
                out.replace_range(named.link, &named.label);
                following.push(Following { key, kind });
            })
        };
        match uploaded {
            Ok(()) => {}
            Err(ApiError::Stopping) => return Err(ApiError::Stopping),
            Err(error) => {
                log::warn!("a file of an answer was not uploaded: {error}");
                refused.push(words::not_uploaded(&name, &error));
            }
        }
    }
    for line in refused.iter().rev() {
        out.push_str("\n\n");
        out.push_str(line);
    }
    following.reverse();
    Ok((out, following))
}

fn find(text: &str) -> Vec<Named> {
    static LINK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(!?)\[([^\]\n]*)\]\((<[^<>\n]+>|[^)\s]+)\)").expect("a valid pattern")
    });
    let mut found = Vec::new();
    let mut blocks = Blocks::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !blocks.is_edge(line) && !blocks.is_open() {
            for link in LINK.captures_iter(line) {
                let (Some(whole), Some(mark)) = (link.get(0), link.get(1)) else {
                    continue;
                };
                let (Some(label), Some(path)) = (link.get(2), link.get(3)) else {
                    continue;
                };
                let in_code = line[..mark.start()].matches('`').count() % 2 == 1;
                let name = path.as_str();
                let inner = name
                    .strip_prefix('<')
                    .and_then(|name| name.strip_suffix('>'));
                let name = inner.unwrap_or(name);
                if !in_code && is_path(name) {
                    found.push(Named {
                        at: start + path.start()..start + path.end(),
                        link: start + whole.start()..start + whole.end(),
                        label: label.as_str().to_owned(),
                        path: name.to_owned(),
                        is_image: !mark.as_str().is_empty(),
                    });
                }
            }
        }
        start += line.len();
    }
    found
}

/// Neither an address nor a place in a page.
fn is_path(link: &str) -> bool {
    !link.contains(':') && !link.starts_with(['#', '?', '<']) && !link.starts_with("img_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_outside_of_code() {
        let text = "![chart](out/c.png) [site](https://x.example) [top](#top)\n\
                    `![no](a.png)` and [report](./r.pdf)\n```\n![no](b.png)\n```\n[mail](mailto:x@y)";
        let found: Vec<_> = find(text)
            .into_iter()
            .map(|named| {
                assert_eq!(text[named.at.clone()], named.path);
                (named.path, named.is_image)
            })
            .collect();
        let spaced = "![图](<out/图 1.png>) [b](<报告 (2).pdf>) [c](<https://x.example>)";
        let found_spaced = find(spaced).into_iter().map(|named| {
            assert_eq!(spaced[named.at.clone()], format!("<{}>", named.path));
            (named.path, named.is_image)
        });
        assert_eq!(
            found_spaced.collect::<Vec<_>>(),
            [
                ("out/图 1.png".to_owned(), true),
                ("报告 (2).pdf".to_owned(), false)
            ]
        );
        let expected = [
            ("out/c.png".to_owned(), true),
            ("./r.pdf".to_owned(), false),
        ];
        assert_eq!(found, expected);
    }
}
