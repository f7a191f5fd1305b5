//! Events as requests (webhook mode): checks, decryption, and the way to `feishu-recv`. Called on the gateway's worker
//! for posted requests; blocks until the event is kept, three seconds at most.
//!
//! Source of the rules: open.feishu.cn, "event subscription", encryption and signature pages.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aes::Aes256;
use base64::Engine;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::event::addressee;
use super::recv::reply_json;
use super::{Bot, Note};
use crate::config::Secret;

/// A signed request older than this is a replay; the service's own repeats are signed anew.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// The service waits three seconds.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// A posted request.
#[derive(Clone, Debug, Default)]
pub struct HookRequest {
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as received.
    pub body: Vec<u8>,
}

impl HookRequest {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// What a request is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body; JSON.
    pub body: String,
}

impl HookAnswer {
    fn refused(status: u16, why: &str) -> Self {
        Self {
            status,
            body: json!({"msg": why}).to_string(),
        }
    }
}

/// Takes requests for one bot.
#[derive(Clone)]
pub struct Hook(Arc<Bot>);

impl Hook {
    pub(super) fn new(bot: Arc<Bot>) -> Self {
        Self(bot)
    }

    /// Answers a request.
    pub fn answer(&self, request: &HookRequest) -> HookAnswer {
        let bot = &self.0;
        let keys = Keys {
            encrypt_key: bot.config.encrypt_key.as_ref(),
            token: bot.config.verification_token.as_ref(),
            app_id: &bot.config.app_id,
        };
        match keys.open(request, SystemTime::now()) {
            Err((status, why)) => {
                log::warn!("{}: a posted request was refused: {why}", bot.config.name);
                HookAnswer::refused(status, why)
            }
            Ok(Opened::Challenge(challenge)) => HookAnswer {
                status: 200,
                body: json!({"challenge": challenge}).to_string(),
            },
            Ok(Opened::Event(json)) => {
                let (tell, told) = bounded(1);
                bot.mailbox.put(Note::Posted(json, tell));
                match told.recv_timeout(PATIENCE) {
                    Ok(reply) if reply.code == 200 => HookAnswer {
                        status: 200,
                        body: reply_json(&reply).to_string(),
                    },
                    _ => HookAnswer::refused(500, "not taken; send it again"),
                }
            }
        }
    }
}

/// What a request holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Opened {
    /// The console asks whether this is the bot.
    Challenge(String),
    Event(Vec<u8>),
}

struct Keys<'a> {
    encrypt_key: Option<&'a Secret>,
    token: Option<&'a Secret>,
    app_id: &'a str,
}

impl Keys<'_> {
    fn open(&self, request: &HookRequest, now: SystemTime) -> Result<Opened, (u16, &'static str)> {
        let key = self
            .encrypt_key
            .map(Secret::expose)
            .filter(|key| !key.is_empty());
        let outer: Value = serde_json::from_slice(&request.body).map_err(|_| (400, "no JSON"))?;
        let json = match (key, outer["encrypt"].as_str()) {
            (Some(key), Some(text)) => decrypt(key, text).ok_or((400, "not decrypted"))?,
            (Some(_), None) => return Err((403, "not encrypted")),
            (None, Some(_)) => return Err((400, "encrypted, but there is no encrypt_key")),
            (None, None) => request.body.clone(),
        };
        let value: Value = serde_json::from_slice(&json).map_err(|_| (400, "no JSON"))?;
        let (app_id, token) = addressee(&value);
        if let Some(wanted) = self
            .token
            .map(Secret::expose)
            .filter(|token| !token.is_empty())
        {
            let given = token.unwrap_or_default();
            if !bool::from(given.as_bytes().ct_eq(wanted.as_bytes())) {
                return Err((403, "wrong verification token"));
            }
        }
        if value["type"].as_str() == Some("url_verification") {
            let challenge = value["challenge"].as_str().unwrap_or_default();
            return Ok(Opened::Challenge(challenge.to_owned()));
        }
        if let Some(key) = key {
            check_signature(key, request, now)?;
        }
        if app_id.is_some_and(|app_id| app_id != self.app_id) {
            return Err((403, "for another app"));
        }
        Ok(Opened::Event(json))
    }
}

fn check_signature(
    key: &str,
    request: &HookRequest,
    now: SystemTime,
) -> Result<(), (u16, &'static str)> {
    let timestamp = request.header("x-lark-request-timestamp");
    let mut hasher = Sha256::new();
    hasher.update(timestamp);
    hasher.update(request.header("x-lark-request-nonce"));
    hasher.update(key);
    hasher.update(&request.body);
    let expected: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let given = request.header("x-lark-signature");
    if !bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
        return Err((403, "wrong signature"));
    }
    let at = timestamp
        .parse()
        .ok()
        .and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs)));
    let distance = at.map(|at| match now.duration_since(at) {
        Ok(age) => age,
        Err(ahead) => ahead.duration(),
    });
    if distance.is_none_or(|distance| distance > FRESH) {
        return Err((403, "the request is too old"));
    }
    Ok(())
}

/// Base64 of a 16-byte vector and AES-256-CBC with PKCS#7; the key is the digest of the configured text.
fn decrypt(key: &str, text: &str) -> Option<Vec<u8>> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    if bytes.len() < 32 || bytes.len() % 16 != 0 {
        return None;
    }
    let (iv, sealed) = bytes.split_at(16);
    let key = Sha256::digest(key);
    let opener = cbc::Decryptor::<Aes256>::new_from_slices(&key, iv).ok()?;
    let mut sealed = sealed.to_vec();
    let opened = opener.decrypt_padded::<Pkcs7>(&mut sealed).ok()?;
    Some(opened.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the official SDK's `AESCipher` documentation example: key "test key", text "hello world".
    const SEALED: &str = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=";

    fn keys<'a>(encrypt_key: Option<&'a Secret>, token: Option<&'a Secret>) -> Keys<'a> {
        Keys {
            encrypt_key,
            token,
            app_id: "cli_1",
        }
    }

    fn plain(body: Value) -> HookRequest {
        HookRequest {
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    fn seal(key: &str, text: &str) -> String {
        use cbc::cipher::BlockModeEncrypt;
        let digest = Sha256::digest(key);
        let iv = [7; 16];
        let sealer = cbc::Encryptor::<Aes256>::new_from_slices(&digest, &iv).unwrap();
        let mut padded = text.as_bytes().to_vec();
        padded.resize(text.len() + 16, 0);
        let sealed = sealer
            .encrypt_padded::<Pkcs7>(&mut padded, text.len())
            .unwrap();
        let bytes = [&iv, sealed].concat();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn signed(key: &str, body: &str, at: u64) -> HookRequest {
        let digest = Sha256::digest(format!("{at}nonce{key}{body}"));
        let signature = digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        let header = |name: &str, value: String| (name.to_owned(), value);
        HookRequest {
            headers: vec![
                header("x-lark-request-timestamp", at.to_string()),
                header("x-lark-request-nonce", "nonce".to_owned()),
                header("x-lark-signature", signature),
            ],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_documented_example_is_decrypted() {
        assert_eq!(
            decrypt("test key", SEALED).as_deref(),
            Some(b"hello world".as_slice())
        );
        for bad in ["", "!!", "AAAA", &SEALED[..20], "P37w+VZImNgPEO1RBhJ6Rg=="] {
            assert_eq!(decrypt("test key", bad), None, "{bad}");
        }
        assert_ne!(
            decrypt("other", SEALED).as_deref(),
            Some(b"hello world".as_slice())
        );
    }

    #[test]
    fn tokens_challenges_and_apps_without_a_key() {
        let token = Secret::new("tok");
        let keys = keys(None, Some(&token));
        let now = SystemTime::now();
        let challenge = json!({"type": "url_verification", "token": "tok", "challenge": "c"});
        let opened = keys.open(&plain(challenge.clone()), now);
        assert_eq!(opened, Ok(Opened::Challenge("c".to_owned())));
        let mut wrong = challenge;
        wrong["token"] = json!("toc");
        assert_eq!(keys.open(&plain(wrong), now).unwrap_err().0, 403);
        let event = json!({"header": {"token": "tok", "app_id": "cli_1"}});
        assert!(matches!(
            keys.open(&plain(event), now),
            Ok(Opened::Event(_))
        ));
        let other = json!({"header": {"token": "tok", "app_id": "cli_2"}});
        assert_eq!(keys.open(&plain(other), now).unwrap_err().0, 403);
        assert_eq!(
            keys.open(&plain(json!({"encrypt": "x"})), now)
                .unwrap_err()
                .0,
            400
        );
        assert_eq!(keys.open(&HookRequest::default(), now).unwrap_err().0, 400);
    }

    #[test]
    fn signatures_are_checked_and_get_old() {
        let key = Secret::new("k");
        let keys = keys(Some(&key), None);
        let now = SystemTime::now();
        let secs = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let sealed = seal("k", r#"{"header":{"app_id":"cli_1"},"event":{}}"#);
        let body = json!({"encrypt": sealed}).to_string();
        let good = signed("k", &body, secs);
        assert!(matches!(keys.open(&good, now), Ok(Opened::Event(_))));
        let mut changed = good.clone();
        changed.headers[1].1 = "other".to_owned();
        assert_eq!(
            keys.open(&changed, now).unwrap_err(),
            (403, "wrong signature")
        );
        let old = signed("k", &body, secs - 3600);
        assert_eq!(
            keys.open(&old, now).unwrap_err(),
            (403, "the request is too old")
        );
        let unsigned = plain(json!({"encrypt": seal("k", "{}")}));
        assert_eq!(keys.open(&unsigned, now).unwrap_err().0, 403);
        let clear = plain(json!({"header": {"app_id": "cli_1"}}));
        assert_eq!(keys.open(&clear, now).unwrap_err(), (403, "not encrypted"));
        let challenge = seal("k", r#"{"type":"url_verification","challenge":"c"}"#);
        let opened = keys.open(&plain(json!({"encrypt": challenge})), now);
        assert_eq!(opened, Ok(Opened::Challenge("c".to_owned())));
    }
}
