//! Inflates gzip bodies: never more than a limit, never more than a hundred times what came. Pure.

use std::io::Read;

use flate2::bufread::GzDecoder;

/// What more than this much larger inflates is made to hurt.
const MAX_RATIO: usize = 100;
/// Below this size nobody is hurt.
const HARMLESS_BYTES: usize = 256 * 1024;

/// What came of inflating.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    /// There was more than the limit.
    pub(super) cut: bool,
}

/// Inflates a body up to `limit` bytes. `whole` tells that all of the body came: then a broken end is an error.
///
/// An error is the rest of a sentence about the body.
pub(super) fn gunzip(packed: &[u8], limit: usize, whole: bool) -> Result<Inflated, &'static str> {
    let mut decoder = GzDecoder::new(packed);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = match decoder.read(&mut chunk) {
            Ok(0) => return Ok(Inflated { bytes, cut: false }),
            Ok(read) => read,
            Err(_) if !whole && !bytes.is_empty() => return Ok(Inflated { bytes, cut: true }),
            Err(_) => return Err("is said to be gzip and is not"),
        };
        bytes.extend_from_slice(&chunk[..read]);
        let used = packed.len() - decoder.get_ref().len();
        if bytes.len() > HARMLESS_BYTES && bytes.len() / used.max(1) > MAX_RATIO {
            return Err("grows more than a hundred times when it is unpacked, so it was not read");
        }
        if bytes.len() > limit {
            bytes.truncate(limit);
            return Ok(Inflated { bytes, cut: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_within_limits() {
        let text: Vec<u8> = (0..60_000u32).flat_map(u32::to_le_bytes).collect();
        let packed = pack(&text);
        let inflated = gunzip(&packed, 1 << 20, true).unwrap();
        assert!(!inflated.cut && inflated.bytes == text);
        let cut = gunzip(&packed, 1_000, true).unwrap();
        assert!(cut.cut && cut.bytes == text[..1_000]);
        let half = gunzip(&packed[..packed.len() / 2], 1 << 20, false).unwrap();
        assert!(half.cut && text.starts_with(&half.bytes));
        assert!(gunzip(&packed[..packed.len() / 2], 1 << 20, true).is_err());
        assert!(gunzip(b"no gzip", 100, true).is_err());
    }

    #[test]
    fn a_bomb_is_noticed_while_it_grows() {
        let packed = pack(&vec![0; 64 << 20]);
        assert!(packed.len() < 70_000);
        let error = gunzip(&packed, 100 << 20, true).unwrap_err();
        assert!(error.contains("a hundred times"), "{error}");
    }
}
