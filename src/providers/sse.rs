//! Server-sent events, read incrementally from bytes (WHATWG HTML standard, section 9.2).
//!
//! Pure; runs on the turn that reads. One buffer is reused for all events of a stream. It neither reads sockets nor knows
//! what the events mean; fields other than `event` and `data` are skipped.

/// Longest accepted line in bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// Longest accepted data of one event in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event. Bytes are as received; they need not be valid UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event<'a> {
    /// The `event` field; empty if there was none.
    pub(crate) name: &'a [u8],
    /// The `data` lines joined by line feeds.
    pub(crate) data: &'a [u8],
}

/// A line or an event is longer than 1 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

/// The parser: bytes go in by [`Parser::push`], events come out of [`Parser::next`].
#[derive(Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    /// Start of the line that is not parsed yet.
    line: usize,
    /// Up to here the buffer is known to hold no line end after `line`.
    scanned: usize,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    started: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The event in `name` and `data` was handed out.
    delivered: bool,
}

impl Parser {
    /// Takes more bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.line);
        self.scanned -= self.line;
        self.line = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next complete event, or `None` if more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'_>>, TooLong> {
        self.forget_delivered();
        while let Some((from, to)) = self.next_line()? {
            if self.take_line(from, to)? {
                return Ok(Some(self.deliver()));
            }
        }
        Ok(None)
    }

    /// Returns the event that the end of the stream left without its blank line, if any.
    pub(crate) fn finish(&mut self) -> Result<Option<Event<'_>>, TooLong> {
        self.forget_delivered();
        let (from, to) = (self.line, self.buffer.len());
        self.line = to;
        self.scanned = to;
        if from < to && self.take_line(from, to)? {
            return Ok(Some(self.deliver()));
        }
        Ok(self.has_data.then(|| self.deliver()))
    }

    fn deliver(&mut self) -> Event<'_> {
        self.delivered = true;
        Event {
            name: &self.name,
            data: &self.data,
        }
    }

    fn forget_delivered(&mut self) {
        if self.delivered {
            self.delivered = false;
            self.clear_event();
        }
    }

    fn clear_event(&mut self) {
        self.name.clear();
        self.data.clear();
        self.has_data = false;
    }

    /// Finds the next complete line; the range leaves its line end out.
    fn next_line(&mut self) -> Result<Option<(usize, usize)>, TooLong> {
        if self.after_return && self.line < self.buffer.len() {
            self.after_return = false;
            if self.buffer[self.line] == b'\n' {
                self.line += 1;
                self.scanned = self.scanned.max(self.line);
            }
        }
        // A loop of our own would cost more than all the rest: the binary is built for size.
        let Some(offset) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            if self.buffer.len() - self.line > MAX_LINE_BYTES {
                return Err(TooLong);
            }
            return Ok(None);
        };
        let (from, to) = (self.line, self.scanned + offset);
        self.after_return = self.buffer[to] == b'\r';
        self.line = to + 1;
        self.scanned = self.line;
        if to - from > MAX_LINE_BYTES {
            return Err(TooLong);
        }
        Ok(Some((from, to)))
    }

    /// Takes one line in; returns true if it completed an event.
    fn take_line(&mut self, from: usize, to: usize) -> Result<bool, TooLong> {
        let mut line = &self.buffer[from..to];
        if !self.started {
            self.started = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            if self.has_data {
                return Ok(true);
            }
            self.name.clear();
            return Ok(false);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                if self.data.len() + value.len() > MAX_EVENT_BYTES {
                    return Err(TooLong);
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // Comments have an empty field name; `id`, `retry` and unknown fields mean nothing here.
            _ => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, Vec<u8>);

    fn parse(pieces: &[&[u8]]) -> Result<Vec<Owned>, TooLong> {
        let own = |event: Event<'_>| (event.name.to_vec(), event.data.to_vec());
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Some(event) = parser.next()? {
                events.push(own(event));
            }
        }
        while let Some(event) = parser.finish()? {
            events.push(own(event));
        }
        Ok(events)
    }

    fn check(input: &str, expected: &[(&str, &str)]) {
        let expected: Vec<Owned> = expected
            .iter()
            .map(|(name, data)| (name.as_bytes().to_vec(), data.as_bytes().to_vec()))
            .collect();
        assert_eq!(parse(&[input.as_bytes()]).unwrap(), expected, "{input:?}");
    }

    #[test]
    fn table() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data: a\r\n\r\ndata:b\r\n\r\n", &[("", "a"), ("", "b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check(": keep-alive\n\n: x\n\ndata: a\n\n", &[("", "a")]);
        check("data: a\ndata: b\n\n", &[("", "a\nb")]);
        check("data\n\n", &[("", "")]);
        check("data:  two\n\n", &[("", " two")]);
        check("event: ping\ndata: {}\n\n", &[("ping", "{}")]);
        check("event: lost\n\ndata: a\n\n", &[("", "a")]);
        check("id: 1\nretry: 5\nunknown: x\ndata: a\n\n", &[("", "a")]);
        check("data: [DONE]", &[("", "[DONE]")]);
        check("data: [DONE]\n", &[("", "[DONE]")]);
        check("", &[]);
        check("\n\n\r\n\r\n", &[]);
    }

    #[test]
    fn data_is_available_before_the_line_feed_of_a_crlf() {
        let mut parser = Parser::default();
        parser.push(b"data: a\r\n\r");
        assert_eq!(parser.next().unwrap().unwrap().data, b"a");
        parser.push(b"\ndata: b\n\n");
        assert_eq!(parser.next().unwrap().unwrap().data, b"b");
        assert_eq!(parser.next().unwrap(), None);
    }

    #[test]
    fn long_lines_and_events_are_refused() {
        let line = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(parse(&[&line]), Err(TooLong));
        let half = [
            b"data: ".as_slice(),
            &vec![b'x'; MAX_EVENT_BYTES / 2],
            b"\n",
        ]
        .concat();
        assert_eq!(parse(&[&half, &half, &half]), Err(TooLong));
        assert!(parse(&[&half, b"\n", &half, b"\n"]).is_ok());
    }

    fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data: ".to_vec()),
            Just(b"data".to_vec()),
            Just(b"event: e".to_vec()),
            Just(b": comment".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just("\u{feff}".as_bytes().to_vec()),
            Just("好 é".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            bytes in stream_bytes(),
            cuts in proptest::collection::vec(1usize..8, 0..60),
        ) {
            let whole = parse(&[&bytes]).unwrap();
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            prop_assert_eq!(parse(&pieces).unwrap(), whole);
        }
    }
}
