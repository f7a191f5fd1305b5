//! Which `Host` and `Origin` values may talk to us. Pure; no sockets.
//!
//! These two rules keep web pages away: a page can make a browser connect to a loopback port, but it cannot choose the
//! Host its name resolves from nor hide its Origin. Only exact matches count: no suffix, wildcard or pattern.

use std::net::Ipv6Addr;

/// The allowed `Host` and `Origin` values.
#[derive(Debug)]
pub(super) struct Rules {
    hosts: Vec<Authority>,
    origins: Vec<String>,
    /// Paths that take posted requests.
    posts: Vec<String>,
}

/// A host with an optional port, lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Rules {
    /// Makes the rules of a door on `port`. `Err` is the first entry of `allowed_hosts` that is no host.
    ///
    /// An allowed host without a port is good with any port; the three loopback names are good with ours only.
    pub(super) fn new(
        port: u16,
        allowed_hosts: &[String],
        allowed_origins: &[String],
    ) -> Result<Self, String> {
        let mut hosts: Vec<Authority> = ["127.0.0.1", "localhost", "[::1]"]
            .into_iter()
            .map(|host| Authority {
                host: host.to_owned(),
                port: Some(port),
            })
            .collect();
        for entry in allowed_hosts {
            hosts.push(Authority::parse(entry.as_bytes()).ok_or_else(|| entry.clone())?);
        }
        Ok(Self {
            hosts,
            origins: allowed_origins
                .iter()
                .map(|origin| origin.to_ascii_lowercase())
                .collect(),
            posts: Vec::new(),
        })
    }

    /// Lets requests be posted to these paths.
    pub(super) fn with_posts(mut self, paths: &[String]) -> Self {
        self.posts = paths.to_vec();
        self
    }

    /// Tells whether requests may be posted to a path.
    pub(super) fn takes_posts(&self, path: &str) -> bool {
        self.posts.iter().any(|known| known == path)
    }

    /// Tells whether a `Host` value is allowed.
    pub(super) fn host_allowed(&self, value: &[u8]) -> bool {
        let Some(asked) = Authority::parse(value) else {
            return false;
        };
        self.hosts.iter().any(|allowed| {
            allowed.host == asked.host && (allowed.port.is_none() || allowed.port == asked.port)
        })
    }

    /// Tells whether an `Origin` value is allowed.
    pub(super) fn origin_allowed(&self, value: &[u8]) -> bool {
        let value = value.to_ascii_lowercase();
        self.origins.iter().any(|origin| origin.as_bytes() == value)
    }
}

impl Authority {
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
        let host_len = if let Some(rest) = text.strip_prefix('[') {
            let inside = rest.find(']')?;
            rest[..inside].parse::<Ipv6Addr>().ok()?;
            inside + 2
        } else {
            let end = text.find(':').unwrap_or(text.len());
            if end == 0 || !text[..end].bytes().all(is_name_byte) {
                return None;
            }
            end
        };
        let (host, rest) = text.split_at(host_len);
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(parse_port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn parse_port(digits: &str) -> Option<u16> {
    // `u16::from_str` would take a plus sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PORT: u16 = 19876;

    fn rules() -> Rules {
        let hosts = ["Bot.Example", "bot.lan:8443", "[fd00::7]:80"].map(str::to_owned);
        let origins = ["https://App.Example"].map(str::to_owned);
        Rules::new(PORT, &hosts, &origins).unwrap()
    }

    #[test]
    fn hosts() {
        for (host, allowed) in [
            ("127.0.0.1:19876", true),
            ("LocalHost:19876", true),
            ("[::1]:19876", true),
            ("bot.example", true),
            ("BOT.example:1", true),
            ("bot.lan:8443", true),
            ("[FD00::7]:80", true),
            ("127.0.0.1", false),
            ("localhost", false),
            ("localhost:19877", false),
            ("localhost.:19876", false),
            ("localhost:19876.evil.example", false),
            ("localhost:+19876", false),
            ("localhost:019876", true),
            ("localhost:85412", false),
            ("localhost:", false),
            ("127.0.0.2:19876", false),
            ("2130706433:19876", false),
            ("[::1]", false),
            ("[::1]19876", false),
            ("[::ffff:127.0.0.1]:19876", false),
            ("[::1%lo]:19876", false),
            ("::1:19876", false),
            ("user@localhost:19876", false),
            ("localhost:19876/", false),
            ("localhost:19876, evil.example", false),
            ("evil.bot.example", false),
            ("bot.example.evil", false),
            ("bot.lan", false),
            ("bot.lan:8444", false),
            ("", false),
            (":19876", false),
            ("ｌocalhost:19876", false),
        ] {
            assert_eq!(rules().host_allowed(host.as_bytes()), allowed, "{host:?}");
        }
        assert!(!rules().host_allowed(b"localhost\xff:19876"));
    }

    #[test]
    fn origins() {
        for (origin, allowed) in [
            ("https://app.example", true),
            ("HTTPS://APP.EXAMPLE", true),
            ("https://app.example:443", false),
            ("https://app.example/", false),
            ("http://app.example", false),
            ("https://evil.app.example", false),
            ("null", false),
            ("", false),
            ("*", false),
        ] {
            assert_eq!(
                rules().origin_allowed(origin.as_bytes()),
                allowed,
                "{origin:?}"
            );
        }
        let with_null = Rules::new(PORT, &[], &["null".to_owned()]).unwrap();
        assert!(with_null.origin_allowed(b"null"));
    }

    #[test]
    fn a_configured_host_must_be_one() {
        for bad in ["", " ", "http://bot.example", "*", "*.example", "a b"] {
            let refused = Rules::new(PORT, &[bad.to_owned()], &[]).unwrap_err();
            assert_eq!(refused, bad);
        }
    }

    proptest! {
        #[test]
        fn only_the_listed_hosts_pass(text in prop_oneof![
            any::<String>(),
            r"(localhost|127\.0\.0\.1|\[::1\]|bot\.example|[a-z.@:/\[\] ]{0,12})(:(19876|[0-9]{0,6}))?[ ./@:a-z0-9]{0,2}",
        ]) {
            let lower = text.to_ascii_lowercase();
            let with_any_port = |name: &str| lower.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| {
                    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
                })
            });
            let with_our_port = |name: &str| lower.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse() == Ok(PORT));
            let expected = ["localhost", "127.0.0.1", "[::1]"].into_iter().any(with_our_port)
                || with_any_port("bot.example")
                || ((lower.starts_with("bot.lan:") || lower.starts_with("[fd00::7]:")) && rules().host_allowed(text.as_bytes()));
            prop_assert_eq!(rules().host_allowed(text.as_bytes()), expected, "{:?}", text);
        }

        #[test]
        fn only_the_listed_origin_passes(value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "(?i)https://app\\.example[a-z:/.]{0,2}".prop_map(String::into_bytes),
        ]) {
            let expected = value.eq_ignore_ascii_case(b"https://app.example");
            prop_assert_eq!(rules().origin_allowed(&value), expected);
        }
    }
}
