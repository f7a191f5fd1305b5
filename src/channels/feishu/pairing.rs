//! Pairing: a one-time code, printed by `picobot feishu pair` and sent to the bot in a private chat, lets a person in.
//!
//! The codes lie as digests in a file of the state folder (mode 0600), so that the command needs no running gateway. The
//! command adds, the gateway takes away; both replace the file as a whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a code is good.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(10 * 60);
/// Letters and digits that are not mistaken for each other; 32, so that each byte gives one without favour.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Length without the dash in the middle: 40 bits.
const LENGTH: usize = 8;
/// Codes kept at a time.
const MAX_CODES: usize = 20;

/// The file of codes.
#[derive(Clone, Debug)]
pub struct Codes {
    path: PathBuf,
}

impl Codes {
    /// Names the file in the state folder.
    pub fn in_folder(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("feishu-pairing.json"),
        }
    }

    /// Makes a code for a bot and keeps its digest.
    pub fn issue(&self, channel: &str, is_owner: bool, now: SystemTime) -> io::Result<String> {
        let mut bytes = [0; LENGTH];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        let letters = bytes
            .iter()
            .map(|byte| ALPHABET[usize::from(byte % 32)] as char);
        let code: String = letters.collect();
        let mut codes = self.read(now);
        codes.push(json!({
            "channel": channel,
            "digest": digest(channel, &code),
            "owner": is_owner,
            "until": secs(now + GOOD_FOR),
        }));
        let start = codes.len().saturating_sub(MAX_CODES);
        self.write(&codes[start..])?;
        Ok(format!("{}-{}", &code[..4], &code[4..]))
    }

    /// Takes a code; returns whether it makes an owner, or `None` if it is not good.
    pub fn redeem(&self, channel: &str, text: &str, now: SystemTime) -> Option<bool> {
        let code = normal(text)?;
        let wanted = digest(channel, &code);
        let mut codes = self.read(now);
        let at = codes.iter().position(|one| {
            let known = one["digest"].as_str().unwrap_or_default();
            bool::from(known.as_bytes().ct_eq(wanted.as_bytes()))
        })?;
        let taken = codes.remove(at);
        // A code that stays good because the file cannot be written must not be taken.
        match self.write(&codes) {
            Ok(()) => Some(taken["owner"].as_bool().unwrap_or(false)),
            Err(error) => {
                log::error!("{}: {error}", self.path.display());
                None
            }
        }
    }

    fn read(&self, now: SystemTime) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let codes: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        let now = secs(now);
        let is_good = |code: &Value| code["until"].as_u64().is_some_and(|until| until > now);
        codes.into_iter().filter(is_good).collect()
    }

    fn write(&self, codes: &[Value]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(Value::from(codes.to_vec()).to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

fn secs(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn digest(channel: &str, code: &str) -> String {
    let digest = Sha256::digest(format!("{channel}\n{code}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a code without dash and in capitals if a text looks like one.
pub(super) fn normal(text: &str) -> Option<String> {
    let code: String = text
        .trim()
        .chars()
        .filter(|c| *c != '-' && *c != ' ')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_code = code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte));
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_for_its_bot_and_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let codes = Codes::in_folder(folder.path());
        let now = SystemTime::now();
        let code = codes.issue("feishu", true, now).unwrap();
        assert_eq!(code.len(), 9);
        assert_eq!(codes.redeem("feishu-2", &code, now), None);
        assert_eq!(codes.redeem("feishu", "AAAA-AAAA", now), None);
        assert_eq!(codes.redeem("feishu", &code, now + GOOD_FOR), None);
        let typed = format!("  {}\n", code.to_lowercase().replace('-', " "));
        assert_eq!(codes.redeem("feishu", &typed, now), Some(true));
        assert_eq!(codes.redeem("feishu", &code, now), None);
    }

    #[test]
    fn the_file_tells_no_code_and_may_be_broken() {
        let folder = tempfile::tempdir().unwrap();
        let codes = Codes::in_folder(folder.path());
        let now = SystemTime::now();
        fs::write(&codes.path, "{broken").unwrap();
        assert_eq!(codes.redeem("feishu", "AAAA-AAAA", now), None);
        let code = codes.issue("feishu", false, now).unwrap();
        let text = fs::read_to_string(&codes.path).unwrap();
        assert!(!text.contains(&code.replace('-', "")), "{text}");
        assert_eq!(codes.redeem("feishu", &code, now), Some(false));
    }

    #[test]
    fn what_looks_like_a_code() {
        assert_eq!(normal("abcd-efgh").as_deref(), Some("ABCDEFGH"));
        assert_eq!(normal("abcd-efg"), None);
        assert_eq!(normal("hello world"), None);
        assert_eq!(normal("ABCD-EFG0"), None);
        assert_eq!(normal("你好你好你好你好"), None);
    }
}
