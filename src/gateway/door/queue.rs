//! What waits to be written to one socket, frame by frame. No policy beyond saying when it is too much.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use super::limits::BACKLOG_BYTES;

/// Frames handed to the kernel in one call.
const SLICES: usize = 32;

/// Frames in the order they go out; the first may be sent in part.
#[derive(Default)]
pub(super) struct OutQueue {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame already written.
    sent: usize,
    /// Unwritten bytes of all frames.
    bytes: usize,
}

impl OutQueue {
    /// Adds a frame.
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        if !frame.is_empty() {
            self.bytes += frame.len();
            self.frames.push_back(frame);
        }
    }

    /// Tells whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Tells whether more waits behind the frame being written than one client may have.
    pub(super) fn is_over(&self) -> bool {
        let first = self
            .frames
            .front()
            .map_or(0, |frame| frame.len() - self.sent);
        self.bytes - first > BACKLOG_BYTES
    }

    /// Writes until all is written or the peer takes no more; neither is an error.
    pub(super) fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        while !self.frames.is_empty() {
            let written = match self.write_some(out) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.advance(written);
        }
        // An idle client keeps no room for a burst that is over.
        self.frames.shrink_to(4);
        Ok(())
    }

    fn write_some(&self, out: &mut impl Write) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut n_slices = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let start = if n_slices == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&frame[start..]);
            n_slices += 1;
        }
        out.write_vectored(&slices[..n_slices])
    }

    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        self.sent += written;
        while let Some(first) = self.frames.front() {
            if self.sent < first.len() {
                return;
            }
            self.sent -= first.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes at most `step` bytes a call and blocks after `room` bytes.
    struct Narrow {
        taken: Vec<u8>,
        step: usize,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.step).min(self.room);
            if n == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.room -= n;
            self.taken.extend(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn everything_goes_out_once_and_in_order(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..80),
            step in 1usize..60,
            room in 1usize..60,
        ) {
            let mut queue = OutQueue::default();
            let mut out = Narrow { taken: Vec::new(), step, room: 0 };
            for frame in &frames {
                queue.push(frame.clone());
                out.room = room;
                queue.write_to(&mut out).unwrap();
            }
            while !queue.is_empty() {
                out.room = room;
                queue.write_to(&mut out).unwrap();
            }
            prop_assert_eq!(out.taken, frames.concat());
            prop_assert_eq!(queue.bytes, 0);
        }
    }

    #[test]
    fn one_long_frame_is_not_too_much_but_a_backlog_behind_it_is() {
        let mut queue = OutQueue::default();
        queue.push(vec![0; 3 * BACKLOG_BYTES]);
        queue.push(vec![0; BACKLOG_BYTES]);
        assert!(!queue.is_over());
        queue.push(vec![0; 1]);
        assert!(queue.is_over());
    }
}
