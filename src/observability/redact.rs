//! Masks secrets in text that leaves the process or reaches a log. Pure; shared by all threads.
//!
//! Two sources: the secrets that were loaded, in every form they are likely to appear in, and texts that look like a key
//! by their shape. Deliberately not here: secrets shorter than six characters, which would blot out ordinary words.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Shorter secrets and parts of them are not searched for.
const MIN_CHARS: usize = 6;

/// Replaces secrets by `***`.
#[derive(Clone)]
pub struct Redactor {
    /// Texts to mask, by their first byte, longest first.
    needles: Box<[Vec<String>; 256]>,
    /// Length of the longest of them.
    longest: usize,
}

impl Default for Redactor {
    /// Knows no secret; what has the shape of a key is still masked.
    fn default() -> Self {
        Self::new(std::iter::empty())
    }
}

impl Redactor {
    /// Holds each secret plain, JSON-escaped, percent-encoded and in base64 (standard and URL-safe, also inside a
    /// longer encoded text).
    pub fn new(secrets: impl Iterator<Item = String>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            add_forms(&mut forms, &secret);
        }
        let mut redactor = Self {
            needles: Box::new([const { Vec::new() }; 256]),
            longest: 0,
        };
        redactor.add(forms);
        redactor
    }

    /// Returns a redactor that knows one more secret.
    pub fn with(&self, secret: &str) -> Self {
        let mut forms = BTreeSet::new();
        add_forms(&mut forms, secret);
        let mut redactor = self.clone();
        redactor.add(forms);
        redactor
    }

    fn add(&mut self, forms: BTreeSet<String>) {
        for form in forms {
            self.longest = self.longest.max(form.len());
            self.needles[usize::from(form.as_bytes()[0])].push(form);
        }
        for same_start in self.needles.iter_mut() {
            same_start.sort_by_key(|form: &String| std::cmp::Reverse(form.len()));
        }
    }

    /// Returns the text with every secret masked, known ones and what has the shape of a key; borrowed if there was none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.mask(text, true)
    }

    /// Returns the text with every known secret masked; borrowed if there was none.
    pub fn redact_known<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.longest == 0 {
            return Cow::Borrowed(text);
        }
        self.mask(text, false)
    }

    /// Returns the length of what is masked from this place on, if anything is.
    pub(super) fn match_at(
        &self,
        bytes: &[u8],
        at: usize,
        shapes: bool,
        walk: &mut Walk,
    ) -> Option<usize> {
        Some(self.find_at(bytes, at, shapes, walk)?.len)
    }

    /// Finds the first place from which on the text is the beginning of a longer known secret; its end if there is none.
    pub(super) fn open_secret(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let first = bytes.len().saturating_sub(self.longest);
        let is_open = |at: &usize| {
            let rest = &bytes[*at..];
            self.needles[usize::from(rest[0])]
                .iter()
                .take_while(|needle| needle.len() > rest.len())
                .any(|needle| needle.as_bytes().starts_with(rest))
        };
        (first..bytes.len()).find(is_open).unwrap_or(bytes.len())
    }

    pub(super) fn mask<'t>(&self, text: &'t str, shapes: bool) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        let mut clean = String::new();
        let mut copied = 0;
        let mut at = 0;
        let mut walk = Walk::default();
        while at < bytes.len() {
            let Some(found) = self.find_at(bytes, at, shapes, &mut walk) else {
                at += 1;
                continue;
            };
            // Both ends are borders of characters: needles are whole texts, shapes are ASCII.
            clean.push_str(&text[copied..at + found.keep]);
            clean.push_str(MASK);
            at += found.len;
            copied = at;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        clean.push_str(&text[copied..]);
        Cow::Owned(clean)
    }

    fn find_at(&self, bytes: &[u8], at: usize, shapes: bool, walk: &mut Walk) -> Option<Found> {
        let rest = &bytes[at..];
        let needles = &self.needles[usize::from(rest[0])];
        if let Some(needle) = needles.iter().find(|n| rest.starts_with(n.as_bytes())) {
            return Some(Found {
                keep: 0,
                len: needle.len(),
            });
        }
        if !shapes {
            return None;
        }
        let before = at.checked_sub(1).map(|before| bytes[before]);
        if rest[0] == b'e' && !before.is_some_and(is_word) {
            return walk.find_jwt(rest, at);
        }
        find_shape(rest, before)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_forms: usize = self.needles.iter().map(Vec::len).sum();
        write!(f, "Redactor({n_forms} forms)")
    }
}

/// A secret that begins here: its first `keep` bytes are shown, all `len` are replaced.
struct Found {
    keep: usize,
    len: usize,
}

fn find_shape(rest: &[u8], before: Option<u8>) -> Option<Found> {
    match rest[0] {
        b'-' => find_pem(rest),
        _ if before.is_some_and(is_word) => None,
        b's' => prefixed(rest, b"sk-", 16, is_key_byte),
        b'g' => find_github(rest),
        b'x' => find_slack(rest),
        b'B' | b'b' => find_bearer(rest),
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_key_byte(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn run(bytes: &[u8], fits: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&byte| fits(byte)).count()
}

fn prefixed(rest: &[u8], prefix: &[u8], min: usize, fits: impl Fn(u8) -> bool) -> Option<Found> {
    let len = run(rest.strip_prefix(prefix)?, fits);
    (len >= min).then_some(Found {
        keep: 0,
        len: prefix.len() + len,
    })
}

/// `ghp_…`, its siblings, and `github_pat_…`.
fn find_github(rest: &[u8]) -> Option<Found> {
    const PREFIXES: [&[u8]; 6] = [b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"];
    PREFIXES
        .into_iter()
        .find_map(|prefix| prefixed(rest, prefix, 16, is_word))
}

/// `xoxb-…` and its siblings.
fn find_slack(rest: &[u8]) -> Option<Found> {
    let kind = *rest.get(3)?;
    let prefix = [b'x', b'o', b'x', kind, b'-'];
    if !kind.is_ascii_alphanumeric() {
        return None;
    }
    prefixed(rest, &prefix, 10, is_key_byte)
}

/// `Bearer …` in any case; the word stays.
fn find_bearer(rest: &[u8]) -> Option<Found> {
    const WORD: usize = "Bearer ".len();
    let (word, token) = rest.split_at_checked(WORD)?;
    // The word first: looking on from every `b` would take too long.
    if !word.eq_ignore_ascii_case(b"Bearer ") {
        return None;
    }
    let is_token = |byte: u8| is_key_byte(byte) || b".~+/=".contains(&byte);
    let len = run(token, is_token);
    (len >= 8).then_some(Found {
        keep: WORD,
        len: WORD + len,
    })
}

/// What a walk through a text remembers, so that its time stays in proportion to the text.
#[derive(Default)]
pub(super) struct Walk {
    /// Before this place no token begins: all would have the same dot, or lack of one, behind their first part.
    no_token_before: usize,
}

impl Walk {
    /// Three base64url parts, the first of which starts like `{"` does.
    fn find_jwt(&mut self, rest: &[u8], at: usize) -> Option<Found> {
        if at < self.no_token_before || !rest.starts_with(b"eyJ") {
            return None;
        }
        let head = run(rest, is_key_byte);
        let found = behind_head(rest, head).filter(|_| head >= 10);
        if found.is_none() {
            self.no_token_before = at + head;
        }
        found
    }
}

fn behind_head(rest: &[u8], head: usize) -> Option<Found> {
    let payload = run(rest.get(head + 1..)?, is_key_byte);
    let signature = rest.get(head + payload + 2..)?;
    let has_dots = rest[head] == b'.' && rest[head + 1 + payload] == b'.';
    (has_dots && payload >= 4).then_some(Found {
        keep: 0,
        len: head + payload + 2 + run(signature, is_key_byte),
    })
}

/// A PEM block to its end line, or to the end of the text. Certificates and public keys are public.
fn find_pem(rest: &[u8]) -> Option<Found> {
    const END: &[u8] = b"-----END ";
    let label = rest.strip_prefix(b"-----BEGIN ")?;
    let label = &label[..run(label, |byte| byte != b'-' && byte >= b' ')];
    if label.ends_with(b"PUBLIC KEY") || label.ends_with(b"CERTIFICATE") {
        return None;
    }
    let end = rest.windows(END.len()).position(|window| window == END);
    let len = end.map_or(rest.len(), |end| {
        let tail = &rest[end + END.len()..];
        end + END.len() + run(tail, |byte| byte != b'-' && byte >= b' ') + run_of_dashes(tail)
    });
    Some(Found { keep: 0, len })
}

/// Counts the dashes after the label of an end line.
fn run_of_dashes(tail: &[u8]) -> usize {
    let label = run(tail, |byte| byte != b'-' && byte >= b' ');
    run(&tail[label..], |byte| byte == b'-').min(5)
}

fn add_forms(forms: &mut BTreeSet<String>, secret: &str) {
    if secret.chars().count() < MIN_CHARS {
        return;
    }
    forms.insert(secret.to_owned());
    for ascii_only in [false, true] {
        let escaped = json_escaped(secret, ascii_only);
        // JSON inside a text of JSON, as in the arguments of a tool call.
        forms.insert(json_escaped(&escaped, ascii_only));
        forms.insert(escaped);
    }
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        forms.insert(percent_encoded(secret, digits));
    }
    for alphabet in [STANDARD, URL_SAFE] {
        let encoded = base64(secret.as_bytes(), alphabet);
        forms.insert(encoded.clone() + &"=".repeat((4 - encoded.len() % 4) % 4));
        forms.insert(encoded);
        let inner = (0..3).map(|shift| base64_inside(secret.as_bytes(), shift, alphabet));
        forms.extend(inner.filter(|form| form.len() >= MIN_CHARS));
    }
}

/// Escapes like JSON does inside quotes; with `ascii_only` other characters become `\uXXXX`.
fn json_escaped(text: &str, ascii_only: bool) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    let mut escaped = String::new();
    for c in inner.chars() {
        if !ascii_only || c.is_ascii() {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}

/// Encodes all but the unreserved characters of RFC 3986 §2.3.
fn percent_encoded(text: &str, digits: &[u8; 16]) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(digits[usize::from(byte >> 4)]));
            encoded.push(char::from(digits[usize::from(byte & 15)]));
        }
    }
    encoded
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes without padding (RFC 4648 §4 and §5).
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut encoded = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or(0));
        }
        for index in 0..=group.len() {
            let sextet = bits >> (18 - 6 * index) & 63;
            encoded.push(char::from(alphabet[sextet as usize]));
        }
    }
    encoded
}

/// Returns the letters that stand for `bytes` alone wherever they begin `shift` bytes into a group of three.
fn base64_inside(bytes: &[u8], shift: usize, alphabet: &[u8; 64]) -> String {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(bytes);
    let encoded = base64(&shifted, alphabet);
    // A letter holds six bits: those that share bits with a neighbour differ from text to text.
    let first = (shift * 8).div_ceil(6);
    let last = shifted.len() * 8 / 6;
    encoded[first..last].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| secret.to_string()))
    }

    fn check(secrets: &[&str], text: &str, expected: &str) {
        let redactor = redactor(secrets);
        let clean = redactor.redact(text);
        assert_eq!(clean, expected);
        let is_borrowed = matches!(clean, Cow::Borrowed(_));
        assert_eq!(is_borrowed, text == expected, "{text}");
    }

    #[test]
    fn loaded_secrets_are_masked_in_every_form() {
        let secret = "p\"密/?w>x";
        for form in [
            "p\"密/?w>x",
            "p\\\"密/?w>x",
            "p\\\"\\u5bc6/?w>x",
            "p%22%E5%AF%86%2F%3Fw%3Ex",
            "p%22%e5%af%86%2f%3fw%3ex",
            "cCLlr4YvP3c+eA==",
            "cCLlr4YvP3c-eA==",
            "cCLlr4YvP3c-eA",
        ] {
            check(&[secret], &format!("a {form}. 密"), "a ***. 密");
        }
    }

    #[test]
    fn secrets_inside_longer_base64_are_masked() {
        let secret = "hunter2hunter2";
        for before in ["", "u", "us", "user:"] {
            for after in ["", "x", "yz"] {
                let encoded = base64(format!("{before}{secret}{after}").as_bytes(), STANDARD);
                let redactor = redactor(&[secret]);
                let clean = redactor.redact(&encoded);
                // The letters at the two ends belong to the neighbours as well.
                assert!(clean.len() <= encoded.len() - 14, "{encoded} {clean}");
            }
        }
    }

    #[test]
    fn the_longest_secret_wins_and_short_ones_do_not_count() {
        check(&["abcdef", "abcdefghi"], "abcdefghi abcdefx", "*** ***x");
        check(&["abc", ""], "abcabc", "abcabc");
        check(&["abcdef"], "abcdeabcdefabcdef", "abcde******");
    }

    #[test]
    fn known_secrets_alone_can_be_masked_and_more_become_known() {
        let redactor = redactor(&["abcdef"]);
        let text = "abcdef sk-0123456789012345 geheim-1";
        assert_eq!(
            redactor.redact_known(text),
            "*** sk-0123456789012345 geheim-1"
        );
        assert_eq!(redactor.with("geheim-1").redact(text), "*** *** ***");
    }

    #[test]
    fn texts_with_the_shape_of_a_key_are_masked() {
        for (text, expected) in [
            ("key sk-abcdefghijklmnop1, next", "key ***, next"),
            ("sk-ant-api03-abcdefghijkl_mnop", "***"),
            ("task-abcdefghijklmnopqrst", "task-abcdefghijklmnopqrst"),
            ("sk-short", "sk-short"),
            ("ghp_0123456789abcdefABCD!", "***!"),
            ("github_pat_0123456789abcdefABCD", "***"),
            ("xoxb-1234567890-abc", "***"),
            ("xox", "xox"),
            (
                "Authorization: Bearer abc.def-123=\r\n",
                "Authorization: Bearer ***\r\n",
            ),
            ("bearer abcdefghi", "bearer ***"),
            ("a bearer of news", "a bearer of news"),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-_nature x",
                "*** x",
            ),
            (
                "token-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig x",
                "token-*** x",
            ),
            ("--eyJ-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "--***"),
            ("eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiJ9."),
            (
                "eyJhbGciOiJIUzI1NiJ9 and so on",
                "eyJhbGciOiJIUzI1NiJ9 and so on",
            ),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb",
                "a\n***\nb",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMII密", "***"),
            (
                "-----BEGIN PUBLIC KEY-----\nMII",
                "-----BEGIN PUBLIC KEY-----\nMII",
            ),
            ("-----", "-----"),
            ("", ""),
        ] {
            check(&[], text, expected);
        }
    }

    #[test]
    fn endless_beginnings_of_tokens_are_looked_at_once() {
        // Each of them could begin a token; looking on from each to the end would take hours.
        for piece in [
            "eyJ-",
            "eyJ.",
            "eyJaaaaaaa.b.",
            "-eyJ",
            "-eyJaaaaaaa.b",
            "b-",
            "b.",
            "sk-",
            "Bearer ",
            "xoxb-",
        ] {
            let text = piece.repeat((2 << 20) / piece.len());
            assert!(!Redactor::default().redact(&text).is_empty(), "{piece}");
        }
        check(&[], &"eyJ-".repeat(1_000), &"eyJ-".repeat(1_000));
    }

    proptest! {
        #[test]
        fn no_secret_survives_and_the_rest_does(
            secret in "[a-zA-Z0-9+/=\"\\\\é密]{6,20}",
            before in "\\PC{0,20}",
            after in "\\PC{0,20}",
        ) {
            let redactor = redactor(&[&secret]);
            let forms = [
                secret.clone(),
                json_escaped(&secret, false),
                percent_encoded(&secret, b"0123456789ABCDEF"),
                base64(secret.as_bytes(), STANDARD),
            ];
            for form in forms {
                let text = format!("{before} {form} {after}");
                let clean = redactor.redact(&text);
                prop_assert!(!clean.contains(&form), "{}", clean);
            }
        }

        #[test]
        fn any_text_is_survived(text in "(-----BEGIN |-----END |-{1,6}|eyJ|[.]|Bearer |bearer|sk-|xox|gh[pos]_|[a-z]{0,20}|密|\n){0,12}") {
            let redactor = redactor(&["密密密密密密"]);
            let clean = redactor.redact(&text).into_owned();
            prop_assert!(!clean.contains("密密密密密密"));
        }
    }
}
