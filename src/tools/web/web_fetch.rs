//! The `web_fetch` tool: a page as readable text, page by page. The text of the last few pages is kept for some minutes,
//! so that reading on downloads nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use super::fetch::{Cut, Fetched, MAX_BODY_BYTES, Wanted, fetch};
use super::guard::{Guard, host_of, parse};
use super::html::{MAX_TEXT_BYTES, markdown};
use super::page::{Body, body_of};
use crate::media;
use crate::tools::untrusted::untrusted;
use crate::tools::words::size_text;
use crate::tools::{Action, Effects, ToolCtx, ToolError, TypedTool, Workspace};

/// Characters shown of a page at a time.
const PAGE_CHARS: usize = 12_000;
/// What is kept of pages: so many, so much together, so long.
const KEPT_PAGES: usize = 4;
const KEPT_BYTES: usize = 2 * 1024 * 1024;
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// Reads web pages.
pub(in crate::tools) struct WebFetch {
    guard: Arc<Guard>,
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    asked: String,
    page: Arc<Text>,
    at: Instant,
}

/// A page as text.
struct Text {
    /// Where it came from in the end.
    url: String,
    title: String,
    text: String,
    /// What is said behind its end if that is not the page's.
    cut: Option<String>,
}

/// Arguments of [`WebFetch`].
#[derive(Deserialize, JsonSchema)]
pub(in crate::tools) struct WebFetchArgs {
    url: String,
    /// character to go on from
    offset: Option<usize>,
}

impl WebFetch {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self {
            guard,
            kept: Mutex::default(),
        }
    }

    fn recall(&self, asked: &str) -> Option<Arc<Text>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.at.elapsed() < KEPT_FOR);
        let found = kept.iter().find(|one| one.asked == asked);
        found.map(|one| one.page.clone())
    }

    fn keep(&self, asked: &str, page: &Arc<Text>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.asked != asked);
        kept.push_back(Kept {
            asked: asked.to_owned(),
            page: page.clone(),
            at: Instant::now(),
        });
        let bytes =
            |kept: &VecDeque<Kept>| -> usize { kept.iter().map(|one| one.page.text.len()).sum() };
        while kept.len() > KEPT_PAGES || bytes(&kept) > KEPT_BYTES {
            kept.pop_front();
        }
    }
}

impl TypedTool for WebFetch {
    type Args = WebFetchArgs;
    const NAME: &'static str = "web_fetch";
    const DESCRIPTION: &'static str = "Reads a web page as text with links.";

    fn effects_of(&self, _: &WebFetchArgs) -> Effects {
        Effects::ReadOnly
    }

    fn action_of(&self, args: &WebFetchArgs, _: &Workspace) -> Action {
        let mut action = Action::allowed(format!("read {}", args.url));
        action.host = parse(&args.url).ok().as_ref().and_then(host_of);
        action
    }

    fn call(&self, args: WebFetchArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let mut url = parse(&args.url).map_err(ToolError::Failed)?;
        url.set_fragment(None);
        let asked = url.to_string();
        let offset = args.offset.unwrap_or(0);
        // Who starts anew wants what is there now.
        if offset > 0
            && let Some(page) = self.recall(&asked)
        {
            return show(&page, offset, ctx.boundary);
        }
        let wanted = Wanted {
            method: "GET".to_owned(),
            url,
            headers: vec![(
                "accept".to_owned(),
                "text/html,text/plain;q=0.9,*/*;q=0.5".to_owned(),
            )],
            body: None,
        };
        let fetched = fetch(&self.guard, wanted, ctx)?;
        if let Some(shown) = image(&fetched, ctx) {
            return shown;
        }
        let page = Arc::new(read(&fetched)?);
        self.keep(&asked, &page);
        show(&page, offset, ctx.boundary)
    }
}

/// Shows an image to a model that sees.
fn image(fetched: &Fetched, ctx: &ToolCtx<'_>) -> Option<Result<String, ToolError>> {
    let show = ctx.images?;
    media::kind_of(&fetched.body)?;
    let name = fetched
        .url
        .path_segments()
        .and_then(|mut parts| parts.next_back())
        .filter(|name| !name.is_empty())
        .unwrap_or("image");
    Some(match media::prepare(&fetched.body, name) {
        Ok(image) => {
            show(image);
            let size = size_text(fetched.body.len() as u64);
            Ok(format!("{} · image, {size}", fetched.url))
        }
        Err(error) => Err(ToolError::failed(format!(
            "{} cannot be shown: {error}",
            fetched.url
        ))),
    })
}

fn read(fetched: &Fetched) -> Result<Text, ToolError> {
    let url = fetched.url.to_string();
    let status = fetched.status;
    if !(200..300).contains(&status) {
        let words: String = match body_of(fetched) {
            Body::Html(html) => markdown(&html, &fetched.url).text,
            Body::Text(text) => text.into_owned(),
            _ => String::new(),
        };
        let words: String = words.chars().take(300).collect();
        return Err(ToolError::failed(format!(
            "{url} answered {status}. {}",
            words.replace('\n', " ").trim()
        )));
    }
    let mut cut = fetched.cut.map(not_whole);
    let (title, text) = match body_of(fetched) {
        Body::Html(html) => {
            let page = markdown(&html, &fetched.url);
            if page.cut {
                cut = Some(cut_at(MAX_TEXT_BYTES));
            }
            (page.title, page.text)
        }
        Body::Text(text) => (String::new(), text.into_owned()),
        Body::Empty => (String::new(), String::new()),
        Body::Binary(kind) => {
            let size = size_text(fetched.body.len() as u64);
            let more = if fetched.cut.is_some() {
                "more than "
            } else {
                ""
            };
            return Err(ToolError::failed(format!(
                "{url} is no page: {kind}, {more}{size}; web_fetch reads text and HTML only"
            )));
        }
    };
    Ok(Text {
        url,
        title,
        text,
        cut,
    })
}

fn not_whole(cut: Cut) -> String {
    match cut {
        Cut::Size => cut_at(MAX_BODY_BYTES),
        Cut::Time => "the rest of the page did not come in time".to_owned(),
        Cut::Broken => "the connection ended before the page did; the rest is missing".to_owned(),
    }
}

fn cut_at(bytes: usize) -> String {
    format!("the page was cut at {}", size_text(bytes as u64))
}

fn show(page: &Text, offset: usize, boundary: &str) -> Result<String, ToolError> {
    let total = page.text.chars().count();
    if total == 0 {
        return Ok(format!(
            "{} has no text; it may need JavaScript, which is not run",
            page.url
        ));
    }
    if offset >= total {
        return Err(ToolError::failed(format!(
            "the page has {total} characters, so nothing is at {offset}; use a smaller offset"
        )));
    }
    let piece: String = page.text.chars().skip(offset).take(PAGE_CHARS).collect();
    let end = offset + piece.chars().count();
    let mut inside = String::new();
    if !page.title.is_empty() && offset == 0 {
        inside.push_str(&format!("Title: {:.300}\n\n", page.title));
    }
    inside.push_str(&piece);
    let mut out = untrusted(boundary, &page.url, &inside);
    if end < total {
        out.push_str(&format!(
            "\n[characters {offset}–{end} of {total}; go on with offset {end}]"
        ));
    } else if let Some(remark) = &page.cut {
        out.push_str(&format!("\n[{remark}]"));
    }
    Ok(out)
}
