//! Text of a person, searched for key words outside quotes. Pure; runs on the turn that asks.
//!
//! Knows nothing of tasks or languages.

/// Longest text that is searched; anything longer is conversation, not a command.
const MAX_BYTES: usize = 8_000;

/// The quotes that are understood: opening and closing character.
const QUOTES: [(char, char); 7] = [
    ('`', '`'),
    ('"', '"'),
    ('\'', '\''),
    ('“', '”'),
    ('‘', '’'),
    ('「', '」'),
    ('『', '』'),
];

/// Returns a copy of equal byte length: ASCII lower-cased, the insides of quotes blanked. `None` if the text is too long.
pub(super) fn shape_of(text: &str) -> Option<String> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut shape = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        shape.push(c.to_ascii_lowercase());
        at += c.len_utf8();
        if let Some(end) = closing(text, at, c) {
            shape.extend(std::iter::repeat_n('\0', end - at));
            let close = text[end..].chars().next();
            shape.extend(close);
            at = end + close.map_or(0, char::len_utf8);
        }
    }
    Some(shape)
}

/// Finds where the quote opened by `open`, which ends at byte `at`, closes.
fn closing(text: &str, at: usize, open: char) -> Option<usize> {
    let close = QUOTES.iter().find(|quote| quote.0 == open)?.1;
    let before = text[..at - open.len_utf8()].chars().next_back();
    // The apostrophe of "what's" is not a quote.
    let inside_word =
        |c: Option<char>| close == '\'' && c.is_some_and(|c| c.is_ascii_alphanumeric());
    if inside_word(before) {
        return None;
    }
    text[at..]
        .match_indices(close)
        .map(|(offset, _)| at + offset)
        .find(|end| !inside_word(text[end + close.len_utf8()..].chars().next()))
}

/// A part of a text together with the same part of its shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phrase<'a> {
    text: &'a str,
    shape: &'a str,
}

impl<'a> Phrase<'a> {
    /// Joins a text and what [`shape_of`] made of it.
    pub(super) fn new(text: &'a str, shape: &'a str) -> Self {
        debug_assert_eq!(text.len(), shape.len());
        Self { text, shape }.trim()
    }

    fn cut(self, start: usize, end: usize) -> Self {
        Self {
            text: &self.text[start..end],
            shape: &self.shape[start..end],
        }
    }

    /// Returns the text as written.
    pub(super) fn text(self) -> &'a str {
        self.text
    }

    /// Returns the text in lower case with quoted insides blanked.
    pub(super) fn shape(self) -> &'a str {
        self.shape
    }

    /// Drops white space at both ends.
    pub(super) fn trim(self) -> Self {
        let end = self.shape.trim_end().len();
        let start = self.shape.len() - self.shape.trim_start().len();
        self.cut(start.min(end), end)
    }

    /// Drops the first of these words the phrase begins with, then white space.
    pub(super) fn after(self, words: &[&str]) -> Option<Self> {
        let word = words.iter().find(|word| self.shape.starts_with(**word))?;
        Some(self.cut(word.len(), self.shape.len()).trim())
    }

    /// Drops the first of these words the phrase ends with, then white space.
    pub(super) fn before(self, words: &[&str]) -> Option<Self> {
        let word = words.iter().find(|word| self.shape.ends_with(**word))?;
        Some(self.cut(0, self.shape.len() - word.len()).trim())
    }

    /// Drops any of these words from the beginning, as often as they come.
    pub(super) fn without_leading(self, words: &[&str]) -> Self {
        let mut rest = self;
        while let Some(shorter) = rest.after(words) {
            rest = shorter;
        }
        rest
    }

    /// Drops any of these words from the end, as often as they come.
    pub(super) fn without_trailing(self, words: &[&str]) -> Self {
        let mut rest = self;
        while let Some(shorter) = rest.before(words) {
            rest = shorter;
        }
        rest
    }

    /// Parts the phrase at the first place where one of these words stands.
    pub(super) fn part_first(self, words: &[&str]) -> Option<(Self, Self)> {
        let (at, word) = words
            .iter()
            .filter_map(|word| Some((self.shape.find(word)?, *word)))
            .min_by_key(|(at, word)| (*at, std::cmp::Reverse(word.len())))?;
        Some(self.part_at(at, word))
    }

    /// Parts the phrase at the last place where one of these words stands.
    pub(super) fn part_last(self, words: &[&str]) -> Option<(Self, Self)> {
        let (at, word) = words
            .iter()
            .filter_map(|word| Some((self.shape.rfind(word)?, *word)))
            .max_by_key(|(at, word)| (at + word.len(), word.len()))?;
        Some(self.part_at(at, word))
    }

    fn part_at(self, at: usize, word: &str) -> (Self, Self) {
        (
            self.cut(0, at).trim(),
            self.cut(at + word.len(), self.shape.len()).trim(),
        )
    }

    /// Parts the phrase wherever one of these words stands.
    pub(super) fn parts(self, words: &[&str]) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = self;
        while let Some((head, tail)) = rest.part_first(words) {
            found.push(head);
            rest = tail;
        }
        found.push(rest);
        found
    }

    /// Returns the inside if the whole phrase is one quoted text.
    pub(super) fn quoted(self) -> Option<&'a str> {
        let open = self.text.chars().next()?;
        let end = closing(self.text, open.len_utf8(), open)?;
        let close = self.text[end..].chars().next()?;
        let whole = end + close.len_utf8() == self.text.len();
        whole.then(|| &self.text[open.len_utf8()..end])
    }

    /// Returns the phrase if it is one word, or its inside if it is quoted.
    pub(super) fn word(self) -> Option<&'a str> {
        if let Some(inside) = self.quoted() {
            return (!inside.trim().is_empty()).then_some(inside);
        }
        let one = !self.text.is_empty() && !self.text.contains(char::is_whitespace);
        one.then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_shape(text: &str, expected: &str) {
        assert_eq!(
            shape_of(text).unwrap().replace('\0', "_"),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn quotes_are_blanked_and_apostrophes_are_not_quotes() {
        check_shape("Write 'A and B' to X", "write '_______' to x");
        check_shape("what's 2 and it's 3", "what's 2 and it's 3");
        check_shape("say 'it's' now", "say '____' now");
        check_shape("run `LS`", "run `__`");
        check_shape("把“是”写入 A", "把“___”写入 a");
        check_shape("open ' alone", "open ' alone");
        check_shape("''", "''");
    }

    #[test]
    fn parts_and_words() {
        let text = "read 'a and b' and \"c\"";
        let shape = shape_of(text).unwrap();
        let phrase = Phrase::new(text, &shape);
        let parts: Vec<_> = phrase
            .parts(&[" and "])
            .into_iter()
            .map(Phrase::text)
            .collect();
        assert_eq!(parts, ["read 'a and b'", "\"c\""]);
        let path = phrase.parts(&[" and "])[0].after(&["read "]).unwrap();
        assert_eq!(path.word(), Some("a and b"));
    }

    proptest! {
        #[test]
        fn shapes_keep_lengths_and_parts_never_panic(text in "(.|['\"`“”‘’「」然和]){0,80}") {
            let shape = shape_of(&text).unwrap();
            prop_assert_eq!(shape.len(), text.len());
            let phrase = Phrase::new(&text, &shape);
            for part in phrase.parts(&[" ", "a", "然", "和"]) {
                let _ = (part.quoted(), part.word(), part.part_last(&["b"]));
            }
        }
    }
}
