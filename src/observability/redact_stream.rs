//! Masking of a text that comes in pieces: what may still become a secret is held back until more of it is known.
//!
//! Pure; one value per stream, used by one thread at a time.

use super::redact::{Redactor, Walk};

/// A word that may become a key is held back up to this length, in bytes; text without any space is no reason to stop.
const MAX_WORD_BYTES: usize = 4 * 1024;
/// A private key block that has not ended is held back up to this length, in bytes.
const MAX_BLOCK_BYTES: usize = 32 * 1024;

/// Masks secrets in a stream of text.
#[derive(Debug)]
pub struct RedactedStream<'r> {
    redactor: &'r Redactor,
    /// Whether texts with the shape of a key are masked too.
    shapes: bool,
    held: String,
}

impl<'r> RedactedStream<'r> {
    /// Starts a stream that masks like [`Redactor::redact`]. Shows whole words only.
    pub fn new(redactor: &'r Redactor) -> Self {
        Self {
            redactor,
            shapes: true,
            held: String::new(),
        }
    }

    /// Starts a stream that masks like [`Redactor::redact_known`]. Holds back only what begins like a known secret.
    pub fn known(redactor: &'r Redactor) -> Self {
        Self {
            shapes: false,
            ..Self::new(redactor)
        }
    }

    /// Takes the next piece and shows what is certain.
    pub fn push(&mut self, piece: &str, show: &mut dyn FnMut(&str)) {
        self.held.push_str(piece);
        let settled = self.settled();
        if settled == 0 {
            return;
        }
        show(&self.redactor.mask(&self.held[..settled], self.shapes));
        self.held.drain(..settled);
    }

    /// Ends the stream and shows the rest.
    pub fn finish(self, show: &mut dyn FnMut(&str)) {
        if !self.held.is_empty() {
            show(&self.redactor.mask(&self.held, self.shapes));
        }
    }

    /// Returns up to where nothing that comes later changes what is masked.
    fn settled(&self) -> usize {
        let text = &self.held;
        let mut limit = self.redactor.open_secret(text);
        if self.shapes {
            limit = limit.min(open_word(text)).min(open_block(text));
        }
        // Nothing that is masked may be cut in two.
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut walk = Walk::default();
        while at < limit {
            match self.redactor.match_at(bytes, at, self.shapes, &mut walk) {
                Some(length) if at + length > limit => return at,
                Some(length) => at += length,
                None => at += 1,
            }
        }
        limit
    }
}

/// Finds the start of the last word, or of `Bearer` before it.
fn open_word(text: &str) -> usize {
    let start = text
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace())
        .map_or(0, |(at, c)| at + c.len_utf8());
    if text.len() - start > MAX_WORD_BYTES {
        return text.len();
    }
    const BEARER: &str = "bearer";
    let before = text[..start].trim_end();
    match before.len().checked_sub(BEARER.len()) {
        Some(at) if before.as_bytes()[at..].eq_ignore_ascii_case(BEARER.as_bytes()) => at,
        _ => start,
    }
}

/// Finds the start of a key block that has not ended.
fn open_block(text: &str) -> usize {
    const END: &str = "-----END ";
    let Some(at) = text.rfind("-----BEGIN ") else {
        return text.len();
    };
    let block = &text[at..];
    let label = block.find(END).map(|end| &block[end + END.len()..]);
    let has_ended = label.is_some_and(|label| label.contains("-----"));
    if has_ended || block.len() > MAX_BLOCK_BYTES {
        text.len()
    } else {
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| secret.to_string()))
    }

    /// Returns the pieces shown.
    fn shown(mut stream: RedactedStream<'_>, pieces: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut |text| out.push(text.to_owned()));
        }
        stream.finish(&mut |text| out.push(text.to_owned()));
        out
    }

    #[test]
    fn a_secret_in_pieces_is_masked() {
        let redactor = redactor(&["hunter2-hunter2", "hunter2-hunter2-long"]);
        let pieces = ["say hun", "ter2-", "hunter2", "-lo", " and go"];
        let known = shown(RedactedStream::known(&redactor), &pieces);
        assert_eq!(known.concat(), "say ***-lo and go");
        assert_eq!(
            shown(RedactedStream::new(&redactor), &pieces).concat(),
            "say ***-lo and go"
        );
    }

    #[test]
    fn text_that_is_no_secret_does_not_wait() {
        let redactor = redactor(&["hunter2-hunter2"]);
        let known = shown(RedactedStream::known(&redactor), &["x", "yz ", "密"]);
        assert_eq!(known, ["x", "yz ", "密"]);
        let words = shown(RedactedStream::new(&redactor), &["one tw", "o\nthree"]);
        assert_eq!(words, ["one ", "two\n", "three"]);
    }

    #[test]
    fn shapes_in_pieces_are_masked() {
        let redactor = redactor(&[]);
        for (pieces, expected) in [
            (
                &["key sk-abcdef", "ghijklmnop", "qrst end"][..],
                "key *** end",
            ),
            (&["Bearer ", "abcdefgh", "ijk x"], "Bearer *** x"),
            (
                &[
                    "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n",
                    "MII\n-----END RSA",
                    " PRIVATE KEY-----\nb",
                ],
                "a\n***\nb",
            ),
        ] {
            let text = shown(RedactedStream::new(&redactor), pieces).concat();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn endless_words_flow_on() {
        let redactor = redactor(&[]);
        let mut stream = RedactedStream::new(&redactor);
        let mut length = 0;
        for _ in 0..100 {
            stream.push(&"x".repeat(1_000), &mut |text| length += text.len());
            assert!(stream.held.len() <= MAX_WORD_BYTES + 1_000);
        }
        stream.finish(&mut |text| length += text.len());
        assert_eq!(length, 100_000);
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            parts in proptest::collection::vec("(geheim-1234|geheim|-1234|heim|sk-abcdefghijklmnopqrs|abcdefghij|密| |\n|-----BEGIN X KEY-----|-----END X KEY-----)", 0..20),
            step in 1usize..9,
            known in any::<bool>(),
        ) {
            let redactor = redactor(&["geheim-1234", "1234密geheim"]);
            let text = parts.concat();
            let letters: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = letters.chunks(step).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let stream = if known { RedactedStream::known(&redactor) } else { RedactedStream::new(&redactor) };
            let whole = redactor.mask(&text, !known);
            prop_assert_eq!(shown(stream, &pieces).concat(), whole);
        }
    }
}
