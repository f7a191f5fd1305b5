//! Which encoding a text is in: byte order marks, UTF-8, UTF-16, and for the rest the most likely one of those in use in
//! East Asia and Europe. Pure.
//!
//! Encodings and their names are `encoding_rs`'s, after the WHATWG Encoding Standard. The guess decodes a sample with each
//! candidate and asks how common the characters are that come out; a sample that fits none is not guessed at.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1251,
    WINDOWS_1252,
};

/// Bytes looked at for a guess.
const SAMPLE_BYTES: usize = 16 * 1024;
/// A guess needs at least this likeness, of at most 1.
const LEAST_SCORE: f64 = 0.3;

/// Tried in this order; the first of equals wins.
const CANDIDATES: [&Encoding; 7] = [
    GB18030,
    BIG5,
    SHIFT_JIS,
    EUC_JP,
    EUC_KR,
    WINDOWS_1251,
    WINDOWS_1252,
];

/// Characters that make up most of ordinary Chinese text, simplified and traditional.
const COMMON_HAN: &str = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运您请谢吗吧呢啊哦测试输入错误打开启动服务配置欢迎版本注意说明标题這個們來國為時說會對過發後經沒動還進樣開從實軍無與長機業將兩間問應戰頭體見產東聲員論處義條氣題爾別變總電數報結務場計許統區隊決馬書則聽達強難權萬術確傳師觀讓識帶導爭運請謝嗎測試輸錯誤啟務歡";
/// The same for Korean syllables.
const COMMON_HANGUL: &str = "이다는의에하고을가지로한기사시대들그어나리자인도서스은아부를해정과제일수있전적장보구라상조만여원오면안주관연국문유신공소화것무성개했때말비생미위마경선니요습녕세계되우더내트치습니까세요입력오류";

/// An encoding as found in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) encoding: &'static Encoding,
    /// Length of the byte order mark in front.
    pub(super) mark: usize,
}

impl Found {
    /// UTF-8 without a mark of its own.
    pub(super) const UTF_8: Self = Self::plain(UTF_8);

    const fn plain(encoding: &'static Encoding) -> Self {
        Self { encoding, mark: 0 }
    }

    /// Decodes a whole text, without its mark. True if some bytes were no characters.
    pub(super) fn decode<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
        let body = bytes.get(self.mark..).unwrap_or_default();
        self.encoding.decode_without_bom_handling(body)
    }

    /// Encodes a text, with the mark that was there; `None` if the encoding lacks a character.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let little = self.encoding == UTF_16LE;
        if self.is_utf16() {
            let mark = if self.mark > 0 { "\u{FEFF}" } else { "" };
            let units = mark.encode_utf16().chain(text.encode_utf16());
            let bytes = units.flat_map(|unit| {
                if little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            });
            return Some(bytes.collect());
        }
        let (bytes, _, lossy) = self.encoding.encode(text);
        if lossy {
            return None;
        }
        let mark: &[u8] = if self.mark > 0 { b"\xEF\xBB\xBF" } else { b"" };
        Some([mark, &bytes].concat())
    }

    /// Whether it is UTF-16, in which zero bytes are text.
    pub(super) fn is_utf16(&self) -> bool {
        self.encoding == UTF_16LE || self.encoding == UTF_16BE
    }

    /// Returns the name for people, such as `GB18030`.
    pub(super) fn name(&self) -> &'static str {
        self.encoding.name()
    }
}

/// Finds the encoding of the beginning of a text; the last character may be cut. `None` if nothing fits well: it may
/// still be text, of an unknown kind.
pub(super) fn detect(bytes: &[u8]) -> Option<Found> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return Some(Found { encoding, mark });
    }
    // Before the first high byte all encodings are the same.
    let Some(first) = bytes.iter().position(|byte| *byte >= 0x80) else {
        return Some(Found::plain(UTF_8));
    };
    let sample = &bytes[first.saturating_sub(1)..];
    let sample = &sample[..sample.len().min(SAMPLE_BYTES)];
    match std::str::from_utf8(sample) {
        Ok(_) => return Some(Found::plain(UTF_8)),
        // Cut inside the last character, behind others that are whole.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 1 => {
            return Some(Found::plain(UTF_8));
        }
        Err(_) => {}
    }
    CANDIDATES
        .iter()
        .map(|encoding| (score(encoding, sample), *encoding))
        .filter(|(score, _)| *score >= LEAST_SCORE)
        .reduce(|best, other| if other.0 > best.0 { other } else { best })
        .map(|(_, encoding)| Found::plain(encoding))
}

/// Finds UTF-16 without a mark: every second byte of western text is zero. Such bytes are not text otherwise.
pub(super) fn detect_utf16(bytes: &[u8]) -> Option<Found> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return (mark == 2).then_some(Found { encoding, mark });
    }
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES) & !1];
    if sample.len() < 4 {
        return None;
    }
    let zeros = |at: usize| {
        let count = sample.iter().skip(at).step_by(2).filter(|byte| **byte == 0);
        count.count() as f64 / (sample.len() / 2) as f64
    };
    let (even, odd) = (zeros(0), zeros(1));
    let encoding = match () {
        () if odd > 0.4 && even < 0.05 => UTF_16LE,
        () if even > 0.4 && odd < 0.05 => UTF_16BE,
        () => return None,
    };
    let (_, broken) = encoding.decode_without_bom_handling(sample);
    (!broken).then_some(Found::plain(encoding))
}

/// Tells how much a sample looks like text in an encoding, from below zero up to 1.
fn score(encoding: &'static Encoding, sample: &[u8]) -> f64 {
    let n_high = sample.iter().filter(|byte| **byte >= 0x80).count();
    // The sample may end inside a character.
    let (text, _) = encoding.decode_without_bom_handling(sample);
    let text = text.trim_end_matches('\u{FFFD}');
    let mut sum = 0.0;
    let mut before = ' ';
    for c in text.chars() {
        if !c.is_ascii() {
            sum += weight(encoding, before, c) * bytes_of(encoding, c);
        }
        before = c;
    }
    // A second byte may be ASCII, so the sum may count more bytes than are high: half of them at most.
    sum / n_high.max(1) as f64
}

/// How many high bytes a character took.
fn bytes_of(encoding: &'static Encoding, c: char) -> f64 {
    let single = encoding == WINDOWS_1251
        || encoding == WINDOWS_1252
        || matches!(c, '\u{FF61}'..='\u{FF9F}') && encoding == SHIFT_JIS;
    if single { 1.0 } else { 2.0 }
}

fn weight(encoding: &'static Encoding, before: char, c: char) -> f64 {
    match c {
        '\u{FFFD}' => return -3.0,
        '\u{80}'..='\u{9F}' | '\u{E000}'..='\u{F8FF}' => return -1.0,
        _ => {}
    }
    if encoding == WINDOWS_1251 {
        return cyrillic(before, c);
    }
    if encoding == WINDOWS_1252 {
        return latin(before, c);
    }
    let japanese = encoding == SHIFT_JIS || encoding == EUC_JP;
    match c {
        // Half-width kana is rare in text, and what Chinese looks like when it is misread.
        '\u{FF61}'..='\u{FF9F}' => 0.1,
        '\u{3040}'..='\u{30FF}' if japanese => 0.95,
        '\u{3040}'..='\u{30FF}' => 0.2,
        '\u{AC00}'..='\u{D7A3}' if COMMON_HANGUL.contains(c) => 0.95,
        '\u{AC00}'..='\u{D7A3}' => 0.3,
        '\u{4E00}'..='\u{9FFF}' if encoding == EUC_KR => 0.0,
        '\u{4E00}'..='\u{9FFF}' if COMMON_HAN.contains(c) => 1.0,
        '\u{4E00}'..='\u{9FFF}' => 0.3,
        '\u{3000}'..='\u{303F}' | '\u{FF01}'..='\u{FF5E}' | '\u{2010}'..='\u{2026}' => 0.8,
        '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2FFFF}' => -0.2,
        _ => 0.0,
    }
}

/// Cyrillic words are lower case behind their first letter.
fn cyrillic(before: char, c: char) -> f64 {
    let letter = |c: char| ('\u{410}'..='\u{44F}').contains(&c) || matches!(c, 'ё' | 'Ё');
    match (letter(before), letter(c)) {
        (_, false) if matches!(c, '«' | '»' | '—' | '–' | '№' | '…' | '“' | '”') => {
            0.5
        }
        (_, false) => -0.5,
        (true, true) if c.is_uppercase() && before.is_lowercase() => -1.0,
        (true, true) => 0.75,
        (false, true) if before.is_alphanumeric() => -0.5,
        (false, true) => 0.6,
    }
}

/// Accented letters stand alone between plain ones.
fn latin(before: char, c: char) -> f64 {
    match c {
        '\u{C0}'..='\u{FF}' if before.is_ascii_alphabetic() && c.is_lowercase() => 0.75,
        '\u{C0}'..='\u{FF}' if before.is_ascii() && !before.is_ascii_alphabetic() => 0.55,
        '\u{C0}'..='\u{FF}' => -0.2,
        '‘' | '’' | '“' | '”' | '–' | '—' | '…' | '€' | '£' | '§' | '°' | '©' | '«' | '»'
            if before.is_ascii() =>
        {
            0.5
        }
        _ => -0.3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: &'static Encoding, text: &str) {
        let (bytes, _, lossy) = encoding.encode(text);
        assert!(!lossy, "{} cannot say {text}", encoding.name());
        let found = detect(&bytes).unwrap_or_else(|| panic!("{text}: nothing found"));
        let (decoded, broken) = found.decode(&bytes);
        assert_eq!(decoded, text, "taken for {}", found.name());
        assert!(!broken);
        assert_eq!(found.encode(text).unwrap(), bytes.as_ref());
    }

    #[test]
    fn chinese_is_found_in_short_texts_too() {
        for text in [
            "你好",
            "你好，世界",
            "会议记录：下周一开会，请准时参加。\n",
            "name = \"测试\"  # 配置文件\n",
            "今天天气很好，我们去公园玩吧。他说：“没问题！”",
            "订单号 12345 已发货，预计三天内送达。",
            "錯誤的東西", // GB18030 has the traditional forms too.
            "㐀㐁 are rare 𠮷 but 这里有很多常用的字，所以没有问题。",
        ] {
            check(GB18030, text);
        }
        for text in [
            "這是一個測試，請輸入您的名字。",
            "歡迎使用本系統，我們會為您服務。",
        ] {
            check(BIG5, text);
        }
    }

    #[test]
    fn japanese_korean_and_western_texts_are_found() {
        for text in [
            "こんにちは、世界。テストです。",
            "設定ファイルを読み込みました。エラーはありません。",
        ] {
            check(SHIFT_JIS, text);
            check(EUC_JP, text);
        }
        check(EUC_KR, "안녕하세요. 이것은 한국어로 된 시험 문장입니다.");
        check(WINDOWS_1251, "Привет, мир! Это проверка кодировки.");
        for text in [
            "café",
            "Über die Straße zum Café: schöne Grüße",
            "Le château était fermé à l’été dernier…",
            "El niño comió mañana",
        ] {
            check(WINDOWS_1252, text);
        }
    }

    #[test]
    fn unicode_is_found_with_and_without_marks() {
        assert_eq!(detect(b""), Some(Found::plain(UTF_8)));
        assert_eq!(detect("好".as_bytes()), Some(Found::plain(UTF_8)));
        assert_eq!(detect(&"好好".as_bytes()[..5]), Some(Found::plain(UTF_8)));
        let marked = detect(b"\xEF\xBB\xBFa").unwrap();
        assert_eq!((marked.encoding, marked.mark), (UTF_8, 3));
        assert_eq!(marked.encode("a").unwrap(), b"\xEF\xBB\xBFa");
        for (encoding, mark) in [(UTF_16LE, 2), (UTF_16LE, 0), (UTF_16BE, 2), (UTF_16BE, 0)] {
            let found = Found { encoding, mark };
            let text = "line one\nzwei 你🎉\n";
            let bytes = found.encode(text).unwrap();
            assert_eq!(detect_utf16(&bytes), Some(found));
            assert_eq!(found.decode(&bytes), (Cow::Borrowed(text), false));
        }
        assert_eq!(detect_utf16(b"\0\0\0\0\0\0"), None);
        assert_eq!(detect_utf16(b"ab"), None);
        assert_eq!(detect_utf16(b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn noise_is_not_guessed_at() {
        let noise: Vec<u8> = (0..4_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        assert_eq!(detect(&noise), None);
        assert_eq!(detect(b"\xFF\xFD\x80\x81"), None);
    }

    #[test]
    fn what_an_encoding_lacks_is_not_written() {
        assert_eq!(Found::plain(WINDOWS_1252).encode("你"), None);
        assert_eq!(Found::plain(SHIFT_JIS).encode("🎉"), None);
        assert!(Found::plain(GB18030).encode("🎉").is_some());
    }
}
