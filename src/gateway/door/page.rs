//! HTTP answers: short plain sentences and the health page. Pure; no sockets.
//!
//! Answers say nothing of paths, hosts, ids or secrets. The connection closes behind each of them. That is said in a
//! line of our own, which the renderer refuses to write; rendering HTTP/1.0 instead would say it too, but WebSocket
//! clients do not read a refusal in that version.

use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::observability::{ChannelHealth, Health, Part, SandboxState};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// An answer after which the connection closes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    head_only: bool,
}

impl Answer {
    /// A sentence for people.
    pub(super) fn text(status: u16, sentence: &str) -> Self {
        Self {
            status,
            content_type: TEXT,
            headers: Vec::new(),
            body: format!("{sentence}\n"),
            head_only: false,
        }
    }

    /// JSON that was made elsewhere.
    pub(super) fn json(status: u16, json: &str) -> Self {
        Self {
            status,
            content_type: JSON,
            headers: Vec::new(),
            body: json.to_owned(),
            head_only: false,
        }
    }

    /// The health page; 503 while the database does not work.
    pub(super) fn health(health: &Health) -> Self {
        let storage_broken = health.degraded_since(Part::Storage).is_some();
        Self {
            status: if storage_broken { 503 } else { 200 },
            content_type: JSON,
            headers: vec![("Cache-Control", "no-store")],
            body: format!("{}\n", health_json(health, storage_broken)),
            head_only: false,
        }
    }

    /// The answer to a missing or wrong token.
    pub(super) fn unauthorized(sentence: &str) -> Self {
        Self::text(401, sentence).with("WWW-Authenticate", "Bearer")
    }

    /// Adds a header line.
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Leaves the body out if `head_only`, as for the HEAD method.
    pub(super) fn without_body(mut self, head_only: bool) -> Self {
        self.head_only = head_only;
        self
    }

    /// Returns the bytes to send.
    pub(super) fn render(self) -> Vec<u8> {
        let length = self.body.len();
        let mut headers = vec![
            header("Server", "picobot"),
            header("Content-Type", self.content_type),
        ];
        headers.extend(self.headers.iter().map(|(name, value)| header(name, value)));
        let mut bytes = Vec::new();
        Response::new(
            StatusCode(self.status),
            headers,
            Cursor::new(self.body.into_bytes()),
            Some(length),
            None,
        )
        .raw_print(&mut bytes, HTTPVersion(1, 1), &[], self.head_only, None)
        .expect("writing to a vector cannot fail");
        let line_end = bytes.windows(2).position(|pair| pair == b"\r\n");
        let after_status = line_end.expect("an answer begins with a status line") + 2;
        bytes.splice(after_status..after_status, *b"Connection: close\r\n");
        bytes
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("our header lines are ASCII")
}

fn health_json(health: &Health, storage_broken: bool) -> Value {
    let mut page = Map::new();
    if storage_broken {
        page.insert("status".into(), "degraded".into());
        page.insert("reason".into(), Part::Storage.as_str().into());
    } else {
        page.insert("status".into(), "ok".into());
    }
    page.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    page.insert("uptime_secs".into(), health.uptime_secs().into());
    let parts: Map<String, Value> = Part::ALL
        .into_iter()
        .map(|part| (part.as_str().to_owned(), part_json(health, part)))
        .collect();
    page.insert("parts".into(), parts.into());
    if let Some(sandbox) = health.sandbox() {
        page.insert("sandbox".into(), sandbox_json(sandbox));
    }
    let channels = health.channels.get().map(Vec::as_slice).unwrap_or_default();
    if !channels.is_empty() {
        let states: Map<String, Value> = channels
            .iter()
            .map(|channel| (channel.name().to_owned(), channel_json(channel)))
            .collect();
        page.insert("channels".into(), states.into());
    }
    page.insert(
        "counters".into(),
        json!({
            "clients": health.clients.load(Ordering::Relaxed),
            "turns_running": health.turns_running.load(Ordering::Relaxed),
            "turns_done": health.turns_done.load(Ordering::Relaxed),
            "queued": health.queued.load(Ordering::Relaxed),
        }),
    );
    page.into()
}

fn sandbox_json(sandbox: &SandboxState) -> Value {
    json!({
        "level": sandbox.level,
        "status": sandbox.status,
        "landlock": sandbox.landlock,
        "seccomp": sandbox.seccomp,
        "mounts": sandbox.mounts,
        "network": sandbox.network,
    })
}

fn part_json(health: &Health, part: Part) -> Value {
    let Some(since) = health.degraded_since(part) else {
        return json!({"status": "ok"});
    };
    json!({"status": "degraded", "since": time_text(since)})
}

/// Unix seconds of our own clock always fit.
fn time_text(secs: u64) -> String {
    i64::try_from(secs)
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .unwrap_or_default()
        .to_string()
}

fn channel_json(channel: &ChannelHealth) -> Value {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "state": channel.state().as_str(),
        "last_frame": channel.heard_at().map(time_text),
        "messages": count(&channel.events),
        "repeats": count(&channel.repeats),
        "strangers": count(&channel.strangers),
        "reconnects": count(&channel.reconnects),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> (String, String) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn answers_say_that_they_close_and_name_their_length() {
        let (head, body) = split(&Answer::text(403, "Host not allowed").render());
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(head.contains("Content-Length: 17"), "{head}");
        assert!(head.contains("Server: picobot"), "{head}");
        assert!(!head.to_lowercase().contains("access-control"));
        assert_eq!(body, "Host not allowed\n");
        for (status, phrase) in [
            (408, "Request Timeout"),
            (426, "Upgrade Required"),
            (431, "Request Header Fields Too Large"),
        ] {
            let (head, _) = split(&Answer::text(status, "x").render());
            assert!(head.starts_with(&format!("HTTP/1.1 {status} {phrase}")));
        }
    }

    #[test]
    fn a_head_answer_has_the_length_but_no_body() {
        let health = Health::default();
        let answer = Answer::health(&health);
        let full = split(&answer.clone().render());
        let (head, body) = split(&answer.without_body(true).render());
        assert!(head.contains(&format!("Content-Length: {}", full.1.len())));
        assert_eq!(body, "");
    }

    #[test]
    fn health_tells_parts_and_counters() {
        let health = Health::default();
        health.turns_done.store(7, Ordering::Relaxed);
        let answer = Answer::health(&health);
        assert_eq!(answer.status, 200);
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(page["status"], "ok");
        assert_eq!(page["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(page["uptime_secs"], 0);
        assert_eq!(page["parts"]["storage"], json!({"status": "ok"}));
        assert_eq!(page["counters"]["turns_done"], 7);
        assert!(page.get("sandbox").is_none(), "not known yet");
        health.set_sandbox(SandboxState {
            level: "workspace",
            status: "active",
            landlock: 7,
            ..SandboxState::default()
        });
        let page: Value = serde_json::from_str(&Answer::health(&health).body).unwrap();
        assert_eq!(page["sandbox"]["landlock"], 7);
        assert_eq!(page["sandbox"]["status"], "active");
    }

    #[test]
    fn broken_storage_is_503_and_a_broken_provider_is_not() {
        let health = Health::default();
        health.degraded(Part::Provider);
        let answer = Answer::health(&health);
        assert_eq!(answer.status, 200);
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(page["status"], "ok");
        assert_eq!(page["parts"]["provider"]["status"], "degraded");
        let since = page["parts"]["provider"]["since"].as_str().unwrap();
        since.parse::<jiff::Timestamp>().unwrap();

        health.degraded(Part::Storage);
        let answer = Answer::health(&health);
        assert_eq!(answer.status, 503);
        assert!(
            answer
                .body
                .starts_with(r#"{"status":"degraded","reason":"storage""#)
        );
    }
}
