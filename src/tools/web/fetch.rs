//! One guarded exchange: each hop checked and connected to by its checked addresses, redirects followed by hand, the body
//! limited in size and time.

use std::time::{Duration, Instant};

use url::Url;

use super::guard::{Checked, Guard, host_of};
use super::inflate::gunzip;
use crate::net::{Answer, Call, Http, HttpError, Limits, Patience};
use crate::threads::CancelToken;
use crate::tools::{Action, ToolCtx, ToolError};

/// Most redirects followed.
const MAX_REDIRECTS: usize = 5;
/// Largest body, unpacked.
pub(super) const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// From the first connect to the end of the body, redirects included.
const TOTAL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Headers that stay when another origin is asked.
const HARMLESS_HEADERS: [&str; 4] = ["accept", "accept-language", "user-agent", "content-type"];

/// A request as a tool wants it.
pub(super) struct Wanted {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
}

/// What came back.
pub(super) struct Fetched {
    /// Where it came from in the end.
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Why the body is not whole, if it is not.
    pub(super) cut: Option<Cut>,
    pub(super) took: Duration,
}

/// Why only the beginning of a body is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is longer than [`MAX_BODY_BYTES`].
    Size,
    /// It did not come in time.
    Time,
    /// The connection ended before it did.
    Broken,
}

impl Cut {
    fn by(error: &HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::Size,
            HttpError::Timeout(..) => Self::Time,
            _ => Self::Broken,
        }
    }
}

impl Fetched {
    /// Returns a header's value; `name` is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Nobody is told that it takes long: the limits are short.
struct Silent(Instant);

impl Patience for Silent {
    fn due(&self) -> Instant {
        self.0
    }

    fn remind(&mut self, now: Instant) {
        self.0 = now + 2 * TOTAL;
    }
}

/// Makes the exchange. Blocks for half a minute at most; cancelling shuts the socket.
///
/// A redirect to another host is judged by the guard and by the approval policy, like a call of its own.
pub(super) fn fetch(
    guard: &Guard,
    mut wanted: Wanted,
    ctx: &ToolCtx<'_>,
) -> Result<Fetched, ToolError> {
    let cancel = ctx.cancel;
    let began = Instant::now();
    let until = (began + TOTAL).min(ctx.until);
    for hop in 0..=MAX_REDIRECTS {
        let checked = guard.check(wanted.url.clone(), cancel);
        if cancel.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        let checked = checked.map_err(|why| refused(&why, hop, &wanted.url))?;
        let left = until.saturating_duration_since(Instant::now());
        let limits = Limits {
            connect: CONNECT.min(left),
            first_byte: left,
            idle: left,
            data: left,
            total: left,
            response_bytes: MAX_BODY_BYTES,
            ..Limits::default()
        };
        let mut patience = Silent(began + 2 * TOTAL);
        let answer = send(&checked, &wanted, &limits, cancel, &mut patience)?;
        let status = answer.status();
        let target = answer.header("location").map(str::to_owned);
        match target.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) {
            Some(target) => {
                redirect(&mut wanted, status, &target)?;
                if host_of(&wanted.url) != host_of(&checked.url) {
                    (ctx.judge)(&visit(&wanted))
                        .map_err(|why| refused(&why, hop + 1, &wanted.url))?;
                }
            }
            None => return receive(checked.url, answer, began, cancel, &mut patience),
        }
    }
    Err(ToolError::failed(format!(
        "the address led to more than {MAX_REDIRECTS} redirects; the last one was {}",
        wanted.url
    )))
}

/// What asking another host on the way does: nothing is sent there, see [`redirect`].
fn visit(wanted: &Wanted) -> Action {
    let mut action = Action::allowed(format!("{} {}", wanted.method, wanted.url));
    action.host = host_of(&wanted.url);
    action
}

fn refused(why: &str, hop: usize, url: &Url) -> ToolError {
    if hop == 0 {
        return ToolError::failed(why);
    }
    ToolError::failed(format!("the address redirects to {url}. {why}"))
}

fn send(
    checked: &Checked,
    wanted: &Wanted,
    limits: &Limits,
    cancel: &CancelToken,
    patience: &mut Silent,
) -> Result<Answer, ToolError> {
    let call = Call {
        method: &wanted.method,
        url: checked.url.as_str(),
        headers: &wanted.headers,
        body: wanted.body.as_deref(),
    };
    Http::pinned(checked.addresses.clone())
        .call(&call, limits, cancel, patience)
        .map_err(|error| failed(&error, &checked.url))
}

/// Words a failure for the model.
fn failed(error: &HttpError, url: &Url) -> ToolError {
    let host = url.host_str().unwrap_or_default();
    ToolError::failed(match error {
        HttpError::Cancelled => return ToolError::Cancelled,
        HttpError::Timeout(_, limit) => format!(
            "{host} did not answer in time ({} s); try again later or another address",
            limit.as_secs_f32().ceil()
        ),
        HttpError::Network { detail, .. } => {
            format!("{host} cannot be reached: {detail}; check the address, or try another one")
        }
        HttpError::Untrusted(detail) => {
            format!("the certificate of {host} is not accepted: {detail}; use another address")
        }
        HttpError::Invalid(detail) => format!("not sent: {detail}"),
        HttpError::TooLarge => format!("the answer of {host} is larger than 5 MiB"),
    })
}

/// Turns the request into the one that a redirect asks for.
fn redirect(wanted: &mut Wanted, status: u16, target: &str) -> Result<(), ToolError> {
    let from = &wanted.url;
    let to = from.join(target).map_err(|_| {
        ToolError::failed(format!("{from} redirects to something that is no address"))
    })?;
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(ToolError::failed(format!(
            "Refused: {from} redirects from https to plain http ({to})."
        )));
    }
    let becomes_get = status == 303 && wanted.method != "HEAD"
        || matches!(status, 301 | 302) && wanted.method == "POST";
    if becomes_get {
        wanted.method = "GET".to_owned();
        wanted.body = None;
        wanted.headers.retain(|(name, _)| name != "content-type");
    }
    if wanted.url.origin() != to.origin() {
        // Whoever agreed to this request agreed to this machine.
        if !matches!(wanted.method.as_str(), "GET" | "HEAD") || wanted.body.is_some() {
            return Err(ToolError::failed(format!(
                "{} redirects to another machine or port: {to}. Nothing was sent there; if that is right, make the \
                 request to that address.",
                wanted.url
            )));
        }
        wanted
            .headers
            .retain(|(name, _)| HARMLESS_HEADERS.contains(&name.as_str()));
    }
    wanted.url = to;
    Ok(())
}

fn receive(
    url: Url,
    mut answer: Answer,
    began: Instant,
    cancel: &CancelToken,
    patience: &mut Silent,
) -> Result<Fetched, ToolError> {
    let mut body = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    let mut cut = None;
    loop {
        match answer.read(&mut chunk, patience) {
            Ok(0) => break,
            Ok(read) => body.extend_from_slice(&chunk[..read]),
            Err(HttpError::Cancelled) => return Err(ToolError::Cancelled),
            // What came so far is worth more than nothing.
            Err(error) if !body.is_empty() => {
                cut = Some(Cut::by(&error));
                break;
            }
            Err(error) => return Err(failed(&error, &url)),
        }
    }
    if cancel.is_cancelled() {
        return Err(ToolError::Cancelled);
    }
    let headers = answer.headers();
    let encoding = headers
        .iter()
        .find(|(name, _)| name == "content-encoding")
        .map(|(_, value)| value.trim().to_ascii_lowercase());
    match encoding.as_deref() {
        None | Some("" | "identity") => {}
        Some("gzip" | "x-gzip") if body.is_empty() => {}
        Some("gzip" | "x-gzip") => {
            let inflated = gunzip(&body, MAX_BODY_BYTES, cut.is_none())
                .map_err(|why| ToolError::failed(format!("the body of {url} {why}")))?;
            body = inflated.bytes;
            cut = cut.or(inflated.cut.then_some(Cut::Size));
        }
        Some(other) => {
            return Err(ToolError::failed(format!(
                "the body of {url} is packed with {other:.40?}, which was not asked for and cannot be read"
            )));
        }
    }
    Ok(Fetched {
        url,
        status: answer.status(),
        headers,
        body,
        cut,
        took: began.elapsed(),
    })
}
