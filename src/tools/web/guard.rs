//! Decides which web addresses tools may reach: the public internet, and what the owner named.
//!
//! An address text is parsed once (`url`, the WHATWG standard, which also reads decimal, octal, hexadecimal and full-width
//! spellings), its host looked up once, every address judged, and only judged addresses are connected to. The special
//! ranges are those of the IANA special-purpose registries (RFC 6890 and successors).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use url::{Host, Url};

use crate::net::{HttpError, look_up};
use crate::threads::CancelToken;

/// Ports that need no permission.
const PORTS: [(u16, u16); 3] = [(80, 80), (443, 443), (8000, 9999)];
const MAX_URL_BYTES: usize = 8 * 1024;
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// Finds the addresses of a host; tests put their own in.
pub trait Resolve: Send + Sync {
    /// Returns all addresses, with the port.
    fn resolve(
        &self,
        host: &str,
        port: u16,
        cancel: &CancelToken,
    ) -> Result<Vec<SocketAddr>, String>;
}

/// Asks the system.
struct System;

impl Resolve for System {
    fn resolve(
        &self,
        host: &str,
        port: u16,
        cancel: &CancelToken,
    ) -> Result<Vec<SocketAddr>, String> {
        look_up(host, port, LOOK_UP_LIMIT, cancel).map_err(|error| match error {
            HttpError::Timeout(..) => "its name could not be looked up in 5 s".to_owned(),
            _ => "there is no host of this name".to_owned(),
        })
    }
}

/// What the web tools may reach.
#[derive(Clone, Default)]
pub struct WebSettings {
    /// Hosts, addresses and networks (`192.168.1.0/24`) inside private networks that may be reached all the same.
    pub allow_private: Vec<String>,
    /// Ranges of ports beside the usual ones.
    pub ports: Vec<(u16, u16)>,
    /// The gateway's own port, which is never reached; 0 if there is none.
    pub own_port: u16,
    /// Finds addresses; `None` asks the system.
    pub resolver: Option<Arc<dyn Resolve>>,
}

/// An entry of the owner's list.
enum Allowed {
    Host(String),
    Network(IpAddr, u32),
}

/// A checked address: what to ask for, and where it may be asked.
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Judges addresses.
pub(super) struct Guard {
    allowed: Vec<Allowed>,
    ports: Vec<(u16, u16)>,
    own_port: u16,
    resolver: Arc<dyn Resolve>,
}

impl Guard {
    pub(super) fn new(settings: WebSettings) -> Self {
        Self {
            allowed: settings
                .allow_private
                .iter()
                .map(|entry| allowed(entry))
                .collect(),
            ports: PORTS.into_iter().chain(settings.ports).collect(),
            own_port: settings.own_port,
            resolver: settings.resolver.unwrap_or_else(|| Arc::new(System)),
        }
    }

    /// Checks an address and finds where to connect. An error is a sentence for the model.
    pub(super) fn check(&self, url: Url, cancel: &CancelToken) -> Result<Checked, String> {
        let host = self.check_text(&url)?;
        let port = url.port_or_known_default().unwrap_or(80);
        let name = host.to_string();
        let addresses = match &host {
            Host::Ipv4(ip) => vec![SocketAddr::new((*ip).into(), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new((*ip).into(), port)],
            Host::Domain(name) => self
                .resolver
                .resolve(name, port, cancel)
                .map_err(|why| format!("{name} cannot be reached: {why}"))?,
        };
        if addresses.is_empty() {
            return Err(format!(
                "{name} cannot be reached: there is no host of this name"
            ));
        }
        let by_name = self.allows_host(&name);
        if !addresses
            .iter()
            .all(|address| self.allows(by_name, *address))
        {
            return Err(format!(
                "Refused: {name} leads to a private or local address (allow it in tools.http.allow_private)."
            ));
        }
        Ok(Checked { url, addresses })
    }

    /// Judges what can be judged without a look-up; returns the host.
    fn check_text(&self, url: &Url) -> Result<Host<String>, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "Refused: only http and https addresses can be reached, not {}.",
                url.scheme()
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "Refused: the address holds a user name or password; leave it out, or use an Authorization header."
                    .into(),
            );
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => {
                Host::Domain(name.trim_end_matches('.').to_ascii_lowercase())
            }
            Some(Host::Ipv4(ip)) => Host::Ipv4(ip),
            Some(Host::Ipv6(ip)) => Host::Ipv6(ip),
            None => return Err("the address has no host".into()),
        };
        let name = host.to_string();
        let port = url.port_or_known_default().unwrap_or(80);
        if !self
            .ports
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&port))
        {
            return Err(format!(
                "Refused: port {port} is not open to tools (allow it in tools.http.ports)."
            ));
        }
        if let Host::Domain(domain) = &host {
            let local = domain.is_empty()
                || ["localhost", "internal", "local"].iter().any(|end| {
                    domain == end
                        || domain
                            .strip_suffix(end)
                            .is_some_and(|rest| rest.ends_with('.'))
                });
            if local && !self.allows_host(&name) {
                return Err(format!(
                    "Refused: {name} leads to a private or local address (allow it in tools.http.allow_private)."
                ));
            }
        }
        Ok(host)
    }

    fn allows_host(&self, name: &str) -> bool {
        self.allowed
            .iter()
            .any(|entry| matches!(entry, Allowed::Host(host) if host == name))
    }

    fn allows(&self, by_name: bool, address: SocketAddr) -> bool {
        let inner = unwrapped(address.ip());
        if self.own_port != 0 && address.port() == self.own_port && is_own(inner) {
            return false;
        }
        by_name
            || self.allowed.iter().any(|entry| match entry {
                Allowed::Network(network, bits) => {
                    contains(*network, *bits, address.ip()) || contains(*network, *bits, inner)
                }
                Allowed::Host(_) => false,
            })
            || is_public(address.ip()) && !is_own(inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Reads an address as a model writes it; without a scheme it is https. An error is a sentence for the model.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the address is empty; give one such as https://example.com/page".into());
    }
    if text.len() > MAX_URL_BYTES {
        return Err("the address is longer than 8 KiB; give a shorter one".into());
    }
    let parsed = match Url::parse(text) {
        Err(url::ParseError::RelativeUrlWithoutBase) => Url::parse(&format!("https://{text}")),
        Ok(url) if url.cannot_be_a_base() && !text.contains("//") && looks_like_host(text) => {
            // "example.com:8080/x" reads like a scheme.
            Url::parse(&format!("https://{text}"))
        }
        parsed => parsed,
    };
    parsed.map_err(|error| {
        format!("this is no web address ({error}); give one such as https://example.com/page")
    })
}

/// Returns the host that an address names, in lower case and without the dot of a complete name; an IPv4 address written
/// as an IPv6 one is the same host.
pub(super) fn host_of(url: &Url) -> Option<String> {
    if let Some(Host::Ipv6(ip)) = url.host()
        && let Some(v4) = ip.to_ipv4_mapped()
    {
        return Some(v4.to_string());
    }
    let host = url.host_str()?.trim_end_matches('.');
    Some(host.to_ascii_lowercase())
}

/// Returns scheme, host and port of an address, as in `https://api.example.com:443`.
pub(super) fn origin_of(url: &Url) -> Option<String> {
    let host = host_of(url)?;
    let port = url.port_or_known_default()?;
    Some(format!("{}://{host}:{port}", url.scheme()))
}

fn looks_like_host(text: &str) -> bool {
    let Some((host, rest)) = text.split_once(':') else {
        return false;
    };
    host.contains('.') && rest.starts_with(|c: char| c.is_ascii_digit())
}

fn allowed(entry: &str) -> Allowed {
    let entry = entry.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        return Allowed::Network(ip, bits);
    }
    let network = entry.split_once('/').and_then(|(ip, bits)| {
        let ip: IpAddr = ip.parse().ok()?;
        let bits: u32 = bits.parse().ok()?;
        Some(Allowed::Network(ip, bits))
    });
    network.unwrap_or(Allowed::Host(entry))
}

fn contains(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

/// Tells whether an address belongs to this machine: only such a one can be bound.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

/// Takes the IPv4 address out of an IPv6 one that carries it.
fn unwrapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => carried(v6).map_or(ip, IpAddr::V4),
    }
}

fn carried(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        // Mapped, translated, compatible (:: and ::1 are not).
        [0, 0, 0, 0, 0, 0xFFFF, a, b] | [0, 0, 0, 0, 0xFFFF, 0, a, b] => Some(v4(a, b)),
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => Some(v4(a, b)),
        // NAT64, RFC 6052.
        [0x64, 0xFF9B, 0, 0, 0, 0, a, b] => Some(v4(a, b)),
        // 6to4, RFC 3056.
        [0x2002, a, b, ..] => Some(v4(a, b)),
        // Teredo, RFC 4380: the client's address, inverted.
        [0x2001, 0, _, _, _, _, a, b] => Some(v4(!a, !b)),
        // ISATAP, RFC 5214.
        [_, _, _, _, 0 | 0x200, 0x5EFE, a, b] => Some(v4(a, b)),
        _ => None,
    }
}

/// Tells whether an address is one of the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let carrier = matches!(
                s,
                [0, 0, 0, 0, 0, 0xFFFF, ..] | [0x64, 0xFF9B, 0, 0, 0, 0, ..]
            );
            // Only 2000::/3 is given out.
            let global = s[0] & 0xE000 == 0x2000;
            let special = matches!(
                s,
                // Documentation, benchmarks, ORCHID, direct access, documentation again.
                [0x2001, 0xDB8, ..]
                    | [0x2001, 2, 0, ..]
                    | [0x2001, 0x10..=0x2F, ..]
                    | [0x2001, 1, ..]
                    | [0x3FFF, 0..=0xFFF, ..]
            );
            // The relay of a Teredo address is a machine too.
            let relay = match s {
                [0x2001, 0, a, b, ..] => {
                    is_public_v4(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b)))
                }
                _ => true,
            };
            (global || carrier) && !special && relay && carried(v6).is_none_or(is_public_v4)
        }
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    !matches!(
        v4.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:808:808::80ff:fffe",
            "2001:0:7f00:1::f7f7:f7f7",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "3fff::1",
            "2606:4700::5efe:7f00:1",
            "4000::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2400:3200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn addresses_without_a_scheme_are_read() {
        assert_eq!(
            parse(" example.com/a ").unwrap().as_str(),
            "https://example.com/a"
        );
        assert_eq!(
            parse("example.com:8080/a").unwrap().as_str(),
            "https://example.com:8080/a"
        );
        assert_eq!(
            parse("HTTP://EXAMPLE.com").unwrap().as_str(),
            "http://example.com/"
        );
        assert!(parse("").unwrap_err().contains("empty"));
        assert!(parse("http://").unwrap_err().contains("no web address"));
        assert!(parse(&"x".repeat(9_000)).unwrap_err().contains("8 KiB"));
    }

    #[test]
    fn spellings_of_a_host_are_one() {
        for (text, host) in [
            ("https://A.Example./x", "a.example"),
            ("http://[::FFFF:8.8.8.8]/", "8.8.8.8"),
            ("http://0x08080808/", "8.8.8.8"),
            ("http://[2606:4700::0001]/", "[2606:4700::1]"),
        ] {
            assert_eq!(
                host_of(&parse(text).unwrap()).as_deref(),
                Some(host),
                "{text}"
            );
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        let net = |text: &str| match allowed(text) {
            Allowed::Network(ip, bits) => (ip, bits),
            Allowed::Host(host) => panic!("{host}"),
        };
        let (ip, bits) = net("192.168.1.0/24");
        assert!(contains(ip, bits, "192.168.1.77".parse().unwrap()));
        assert!(!contains(ip, bits, "192.168.2.1".parse().unwrap()));
        let (ip, bits) = net("[fd00::1]");
        assert!(contains(ip, bits, "fd00::1".parse().unwrap()));
        assert!(!contains(ip, bits, "fd00::2".parse().unwrap()));
        let (ip, bits) = net("0.0.0.0/0");
        assert!(contains(ip, bits, "127.0.0.1".parse().unwrap()));
        assert!(matches!(allowed("NAS.lan."), Allowed::Host(host) if host == "nas.lan"));
    }

    #[test]
    fn own_addresses_are_known() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(is_own("0.0.0.0".parse().unwrap()));
        assert!(!is_own("8.8.8.8".parse().unwrap()));
    }
}
