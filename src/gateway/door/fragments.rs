//! Counts the frames of each inbound message as the bytes pass by. Pure; no sockets.
//!
//! The WebSocket codec joins fragments by itself and does not tell how many there were, so an endless row of empty
//! fragments would never be seen above it. Validity of frames is the codec's business, not checked here.

use super::limits::FRAGMENTS;

/// Longest frame header: 2 bytes, 8 of length, 4 of mask (RFC 6455, section 5.2).
const HEADER: usize = 14;

/// Follows frame borders through a stream of bytes.
#[derive(Default)]
pub(super) struct Fragments {
    header: [u8; HEADER],
    have: usize,
    /// Payload bytes of the current frame still to come.
    skip: u64,
    /// Frames of the message under way; 0 between messages.
    parts: u32,
}

impl Fragments {
    /// Takes the next bytes. `Err` is the offset within `bytes` of the frame that is one too many; what comes before it
    /// is fine.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.skip > 0 {
                let step = self.skip.min((bytes.len() - at) as u64);
                self.skip -= step;
                at += step as usize;
                continue;
            }
            self.header[self.have] = bytes[at];
            self.have += 1;
            at += 1;
            let needed = header_len(&self.header[..self.have]);
            if self.have == needed {
                self.frame_begins();
                if self.parts > FRAGMENTS {
                    return Err(at.saturating_sub(needed));
                }
            }
        }
        Ok(())
    }

    /// Tells whether the bytes so far end exactly where a message ends.
    pub(super) fn between_messages(&self) -> bool {
        self.have == 0 && self.skip == 0 && self.parts == 0
    }

    fn frame_begins(&mut self) {
        self.skip = payload_len(&self.header);
        self.have = 0;
        let is_final = self.header[0] & 0x80 != 0;
        let is_control = self.header[0] & 0x08 != 0;
        if is_control {
            return;
        }
        // The last frame of a message counts too, then the next message starts at 0.
        self.parts += 1;
        if is_final && self.parts <= FRAGMENTS {
            self.parts = 0;
        }
    }
}

fn header_len(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else {
        return 2;
    };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

fn payload_len(header: &[u8; HEADER]) -> u64 {
    match header[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
        127 => header[2..10]
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        short => u64::from(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: u8 = 1;
    const CONTINUE: u8 = 0;
    const PING: u8 = 9;

    fn frame(is_final: bool, opcode: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![if is_final { 0x80 } else { 0 } | opcode];
        match payload {
            0..=125 => bytes.push(0x80 | payload as u8),
            126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(bytes.len() + payload, 0xff);
        bytes
    }

    fn message(n_parts: u32) -> Vec<u8> {
        let mut bytes = frame(n_parts == 1, TEXT, 1);
        for part in 1..n_parts {
            bytes.extend(frame(false, PING, 3));
            bytes.extend(frame(part + 1 == n_parts, CONTINUE, 0));
        }
        bytes
    }

    #[test]
    fn the_limit_itself_is_fine_and_one_more_is_not() {
        let mut watch = Fragments::default();
        watch.feed(&message(FRAGMENTS)).unwrap();
        assert!(watch.between_messages());
        watch.feed(&message(FRAGMENTS)).unwrap();

        let long = message(FRAGMENTS + 1);
        let last = frame(true, CONTINUE, 0).len();
        assert_eq!(watch.feed(&long), Err(long.len() - last));
    }

    #[test]
    fn endless_empty_fragments_are_stopped() {
        let mut watch = Fragments::default();
        watch.feed(&frame(false, TEXT, 0)).unwrap();
        let stopped = (0..=FRAGMENTS).any(|_| watch.feed(&frame(false, CONTINUE, 0)).is_err());
        assert!(stopped);
    }

    proptest! {
        #[test]
        fn borders_are_found_however_the_bytes_are_cut(
            sizes in prop::collection::vec(prop_oneof![0usize..300, 65_000usize..66_000], 1..6),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let bytes: Vec<u8> = sizes.iter().flat_map(|size| frame(true, TEXT, *size)).collect();
            let mut watch = Fragments::default();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                prop_assert!(watch.feed(now).is_ok());
                rest = later;
            }
            prop_assert!(watch.feed(rest).is_ok());
            prop_assert!(watch.between_messages());
            prop_assert!(watch.feed(&bytes[..1]).is_ok());
            prop_assert!(!watch.between_messages());
        }
    }
}
