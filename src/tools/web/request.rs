//! The `http_request` tool: one call to an HTTP API, answered with status, a few headers and the body as text.
//!
//! A status that tells of an error is a result: models read it. GET, HEAD and OPTIONS count as reading; the rest
//! as an effect on another machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fetch::{Cut, Fetched, Wanted, fetch};
use super::guard::{Guard, host_of, origin_of, parse};
use super::page::{Body, body_of};
use crate::tools::untrusted::untrusted;
use crate::tools::words::size_text;
use crate::tools::{Action, Effects, Reach, Standing, ToolCtx, ToolError, TypedTool, Workspace};

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Headers that the client sets itself.
const OWN_HEADERS: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "accept-encoding",
    "expect",
    "proxy-authorization",
];
/// Headers of an answer that are shown, and how much of one.
const SHOWN_HEADERS: [&str; 7] = [
    "content-type",
    "location",
    "retry-after",
    "link",
    "etag",
    "www-authenticate",
    "x-ratelimit-remaining",
];
const MAX_SHOWN_HEADER_CHARS: usize = 500;

/// Calls HTTP APIs.
pub(in crate::tools) struct HttpRequest {
    guard: Arc<Guard>,
}

/// What is done.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::tools) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
    Options,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }

    fn reads_only(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// Arguments of [`HttpRequest`].
#[derive(Deserialize, JsonSchema)]
pub(in crate::tools) struct HttpRequestArgs {
    url: String,
    /// default GET
    method: Option<Method>,
    #[schemars(with = "Option<Map<String, Value>>")]
    headers: Option<BTreeMap<String, Value>>,
    #[schemars(with = "Option<Map<String, Value>>")]
    query: Option<BTreeMap<String, Value>>,
    /// sent as JSON
    json: Option<Map<String, Value>>,
    /// sent as it is
    body: Option<String>,
}

impl HttpRequest {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self { guard }
    }
}

impl TypedTool for HttpRequest {
    type Args = HttpRequestArgs;
    const NAME: &'static str = "http_request";
    const DESCRIPTION: &'static str = "Calls an HTTP API.";

    fn effects_of(&self, args: &HttpRequestArgs) -> Effects {
        if args.reads_only() {
            Effects::ReadOnly
        } else {
            Effects::SideEffect
        }
    }

    fn action_of(&self, args: &HttpRequestArgs, _: &Workspace) -> Action {
        let method = args.method().name();
        let mut action = Action::allowed(format!("{method} {}", args.url));
        let url = parse(&args.url).ok();
        action.host = url.as_ref().and_then(host_of);
        if !args.reads_only() {
            action.reach = Reach::Outside;
            action.standing = Standing::Ask("this sends data to another machine");
            action.subject = url
                .as_ref()
                .and_then(origin_of)
                .map(|origin| format!("{method} {origin}"));
        }
        action
    }

    fn call(&self, args: HttpRequestArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let method = args.method();
        let wanted = args.wanted().map_err(ToolError::Failed)?;
        let fetched = fetch(&self.guard, wanted, ctx)?;
        Ok(report(method, &fetched, ctx.boundary))
    }
}

impl HttpRequestArgs {
    fn method(&self) -> Method {
        let has_body = self.json.is_some() || self.body.is_some();
        self.method
            .unwrap_or(if has_body { Method::Post } else { Method::Get })
    }

    /// A body makes a GET more than a question.
    fn reads_only(&self) -> bool {
        self.method().reads_only() && self.json.is_none() && self.body.is_none()
    }

    fn wanted(self) -> Result<Wanted, String> {
        let method = self.method();
        let mut url = parse(&self.url)?;
        url.set_fragment(None);
        for (name, value) in self.query.iter().flatten() {
            url.query_pairs_mut().append_pair(name, &plain(value));
        }
        let mut headers = Vec::new();
        for (name, value) in self.headers.iter().flatten() {
            headers.push(header(name, &plain(value))?);
        }
        if headers.len() > MAX_HEADERS {
            return Err("more than 64 headers; send fewer".into());
        }
        let body = match (self.json, self.body) {
            (Some(_), Some(_)) => return Err("give either `json` or `body`, not both".into()),
            (Some(json), None) => Some((Value::Object(json).to_string(), "application/json")),
            (None, Some(body)) => {
                let json = serde_json::from_str::<Value>(&body)
                    .is_ok_and(|value| value.is_object() || value.is_array());
                Some((
                    body,
                    if json {
                        "application/json"
                    } else {
                        "text/plain; charset=utf-8"
                    },
                ))
            }
            (None, None) => None,
        };
        if let Some((_, kind)) = &body
            && !headers.iter().any(|(name, _)| name == "content-type")
        {
            headers.push(("content-type".to_owned(), (*kind).to_owned()));
        }
        Ok(Wanted {
            method: method.name().to_owned(),
            url,
            headers,
            body: body.map(|(body, _)| body.into_bytes()),
        })
    }
}

/// Writes a header or query value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn header(name: &str, value: &str) -> Result<(String, String), String> {
    let name = name.trim().to_ascii_lowercase();
    let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
    if !fits {
        return Err(format!(
            "{shown:?} is no header name; use letters, digits and -"
        ));
    }
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(format!("the header {shown} cannot be set; leave it out"));
    }
    if value.len() > MAX_HEADER_BYTES || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!(
            "the value of {shown} has line ends or is too long; give one short line"
        ));
    }
    Ok((name, value.trim().to_owned()))
}

fn report(method: Method, fetched: &Fetched, boundary: &str) -> String {
    let size = size_text(fetched.body.len() as u64);
    let cut = match fetched.cut {
        None => "",
        Some(Cut::Size) => " (cut)",
        Some(Cut::Time) => " (the rest did not come in time)",
        Some(Cut::Broken) => " (the connection ended early)",
    };
    let mut out = format!(
        "HTTP {} · {} {} · {size}{cut} · {} ms",
        fetched.status,
        method.name(),
        fetched.url,
        fetched.took.as_millis()
    );
    let mut inside = String::new();
    for name in SHOWN_HEADERS {
        if let Some(value) = fetched.header(name) {
            let value: String = value.chars().take(MAX_SHOWN_HEADER_CHARS).collect();
            inside.push_str(&format!("{name}: {value}\n"));
        }
    }
    match body_of(fetched) {
        Body::Html(text) | Body::Text(text) => {
            inside.push('\n');
            inside.push_str(&text);
        }
        Body::Binary(kind) => out.push_str(&format!(" · the body is not text: {kind}")),
        Body::Empty => out.push_str(" · no body"),
    }
    if !inside.is_empty() {
        out.push('\n');
        out.push_str(&untrusted(boundary, fetched.url.as_str(), &inside));
    }
    out
}
