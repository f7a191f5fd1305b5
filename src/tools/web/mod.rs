//! The web for models: `http_request` for APIs, `web_fetch` for pages to read, both behind one guard.
//!
//! Runs on the turn's thread; a name is looked up on a short-lived `resolve` thread. `guard` decides which addresses may be
//! reached, `fetch` makes the calls and follows redirects, `page` and `html` make text of what comes. What comes is
//! marked as untrusted. No cookies, no proxy, no JavaScript.

mod fetch;
mod guard;
mod html;
mod inflate;
mod page;
mod request;
mod web_fetch;

use std::sync::Arc;

pub use guard::{Resolve, WebSettings};
pub(super) use request::HttpRequest;
pub(super) use web_fetch::WebFetch;

/// Makes both tools with one guard.
pub(super) fn tools(settings: WebSettings) -> (WebFetch, HttpRequest) {
    let guard = Arc::new(guard::Guard::new(settings));
    (WebFetch::new(guard.clone()), HttpRequest::new(guard))
}

#[cfg(test)]
mod tests;
