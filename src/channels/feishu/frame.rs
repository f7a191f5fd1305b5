//! Frames of the long connection: protobuf in, protobuf out, split events put together. Pure; no socket and no clock.
//!
//! The format is documented nowhere; it was read from the official SDK (`lark-oapi`, `ws/pb/pbbp2.proto`), which checks
//! the fields 1 to 4 as required: `required` makes prost write them when they are zero.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Map, Value, json};

/// Split events being put together at a time.
const MAX_SETS: usize = 64;
/// Pieces of one event.
const MAX_PIECES: usize = 256;
/// Bytes of one event.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// A split event that is not complete by then never will be.
const SET_LIMIT: Duration = Duration::from_secs(10);

/// A name and a value.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(string, required, tag = "1")]
    pub(super) key: String,
    #[prost(string, required, tag = "2")]
    pub(super) value: String,
}

/// One frame, the content of one binary WebSocket message.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Frame {
    #[prost(uint64, required, tag = "1")]
    pub(super) seq_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub(super) log_id: u64,
    #[prost(int32, required, tag = "3")]
    pub(super) service: i32,
    /// 0 = control, 1 = data.
    #[prost(int32, required, tag = "4")]
    pub(super) method: i32,
    #[prost(message, repeated, tag = "5")]
    pub(super) headers: Vec<Header>,
    #[prost(string, optional, tag = "6")]
    pub(super) payload_encoding: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(super) payload_type: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(super) payload: Option<Vec<u8>>,
    #[prost(string, optional, tag = "9")]
    pub(super) log_id_new: Option<String>,
}

/// `method` of frames that carry events.
const DATA: i32 = 1;

/// What a frame means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Answers our ping; the settings, if it carries some.
    Pong(Option<Settings>),
    /// Carries an event or a piece of one.
    Event(Frame),
    /// Needs nothing.
    Other,
}

/// The server's wishes about the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// Between two pings.
    pub(super) ping: Duration,
}

impl Settings {
    /// Reads a `ClientConfig`; values that make no sense leave what was.
    pub(super) fn read(value: &Value, before: &Settings) -> Self {
        let secs = value.get("PingInterval").and_then(Value::as_u64);
        let fit = secs.filter(|secs| (1..=3600).contains(secs));
        Self {
            ping: fit.map_or(before.ping, Duration::from_secs),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(120),
        }
    }
}

impl Frame {
    /// Reads a frame.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Frame::decode(bytes)
    }

    /// Returns the bytes to send.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Makes the frame that keeps the connection alive.
    pub(super) fn ping(service: i32) -> Self {
        Frame {
            service,
            headers: vec![Header {
                key: "type".to_owned(),
                value: "ping".to_owned(),
            }],
            ..Frame::default()
        }
    }

    pub(super) fn header(&self, key: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.key == key);
        found.map(|header| header.value.as_str())
    }

    /// Tells what to do about a frame; `before` are the settings so far.
    pub(super) fn meaning(self, before: &Settings) -> Meaning {
        match (self.method, self.header("type")) {
            (0, Some("pong")) => {
                let payload = self.payload.unwrap_or_default();
                let settings = serde_json::from_slice::<Value>(&payload).ok();
                let settings = settings.filter(Value::is_object);
                Meaning::Pong(settings.map(|value| Settings::read(&value, before)))
            }
            (DATA, Some("event")) => Meaning::Event(self),
            _ => Meaning::Other,
        }
    }

    /// Makes the answer to an event: the same frame with everything it carried, the time it took and the result.
    /// `data` is the JSON answer of a callback.
    pub(super) fn answer(mut self, code: u16, data: Option<&Value>, took: Duration) -> Self {
        use base64::Engine;
        let mut result = Map::new();
        result.insert("code".to_owned(), json!(code));
        if let Some(data) = data {
            let data = base64::engine::general_purpose::STANDARD.encode(data.to_string());
            result.insert("data".to_owned(), json!(data));
        }
        self.headers.push(Header {
            key: "biz_rt".to_owned(),
            value: took.as_millis().to_string(),
        });
        self.payload = Some(Value::Object(result).to_string().into_bytes());
        self
    }
}

/// Puts split events together.
#[derive(Default)]
pub(super) struct Pieces {
    sets: HashMap<String, Set>,
}

struct Set {
    pieces: Vec<Option<Vec<u8>>>,
    until: Instant,
}

impl Pieces {
    /// Takes a frame's payload; returns the event once all of it is here. `Err` says what is wrong with the frame.
    pub(super) fn take(
        &mut self,
        frame: &mut Frame,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let payload = frame.payload.take().unwrap_or_default();
        let number = |key| match frame.header(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| "bad numbers"),
        };
        let sum = number("sum")?.unwrap_or(1);
        if sum <= 1 {
            return Ok(Some(payload));
        }
        let seq = number("seq")?.ok_or("a piece without its number")?;
        let id = frame.header("message_id").ok_or("a piece without its id")?;
        if sum > MAX_PIECES || seq >= sum {
            return Err("a piece out of range");
        }
        self.sets.retain(|_, set| set.until > now);
        if !self.sets.contains_key(id) && self.sets.len() >= MAX_SETS {
            return Err("too many split events");
        }
        let set = self.sets.entry(id.to_owned()).or_insert_with(|| Set {
            pieces: vec![None; sum],
            until: now + SET_LIMIT,
        });
        if set.pieces.len() != sum {
            return Err("pieces disagree about their number");
        }
        set.pieces[seq] = Some(payload);
        let size: usize = set.pieces.iter().flatten().map(Vec::len).sum();
        let whole = set.pieces.iter().all(Option::is_some);
        if size > MAX_EVENT_BYTES {
            self.sets.remove(id);
            return Err("the event is too large");
        }
        if !whole {
            return Ok(None);
        }
        let set = self.sets.remove(id).ok_or("gone")?;
        Ok(Some(set.pieces.into_iter().flatten().flatten().collect()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn piece(id: &str, sum: usize, seq: usize, payload: &[u8]) -> Frame {
        let header = |key: &str, value: String| Header {
            key: key.to_owned(),
            value,
        };
        Frame {
            method: DATA,
            headers: vec![
                header("type", "event".to_owned()),
                header("message_id", id.to_owned()),
                header("sum", sum.to_string()),
                header("seq", seq.to_string()),
            ],
            payload: Some(payload.to_vec()),
            ..Frame::default()
        }
    }

    #[test]
    fn required_fields_are_written_when_zero() {
        let bytes = Frame::default().bytes();
        assert_eq!(bytes, [0x08, 0, 0x10, 0, 0x18, 0, 0x20, 0]);
    }

    #[test]
    fn unknown_fields_and_any_order_are_read() {
        // method first, an unknown field 15, then service -1 as a ten-byte varint.
        let mut bytes = vec![0x20, 1, 0x7a, 2, b'h', b'i', 0x18];
        bytes.extend([0xff; 9]);
        bytes.push(1);
        let frame = Frame::read(&bytes).unwrap();
        assert_eq!((frame.method, frame.service, frame.seq_id), (1, -1, 0));
    }

    #[test]
    fn an_answer_echoes_everything() {
        let mut frame = piece("m", 1, 0, b"{}");
        frame.seq_id = 7;
        frame.log_id = 8;
        frame.service = 9;
        let took = Duration::from_millis(5);
        let answer = frame.clone().answer(200, Some(&json!({"a": 1})), took);
        assert_eq!((answer.seq_id, answer.log_id, answer.service), (7, 8, 9));
        assert_eq!(answer.headers[..4], frame.headers[..]);
        assert_eq!(answer.header("biz_rt"), Some("5"));
        let payload = String::from_utf8(answer.payload.unwrap()).unwrap();
        assert_eq!(payload, r#"{"code":200,"data":"eyJhIjoxfQ=="}"#);
    }

    #[test]
    fn pieces_come_in_any_order_and_cut_characters() {
        let text = "好的".as_bytes();
        let mut pieces = Pieces::default();
        let now = Instant::now();
        let mut take = |id: &str, seq: usize, range: std::ops::Range<usize>| {
            pieces.take(&mut piece(id, 3, seq, &text[range]), now)
        };
        assert_eq!(take("a", 2, 4..6), Ok(None));
        assert_eq!(take("b", 0, 0..1), Ok(None));
        assert_eq!(take("a", 0, 0..2), Ok(None));
        assert_eq!(take("a", 0, 0..2), Ok(None), "the same piece again");
        assert_eq!(take("a", 1, 2..4), Ok(Some(text.to_vec())));
    }

    #[test]
    fn bad_pieces_are_refused_and_old_ones_forgotten() {
        let mut pieces = Pieces::default();
        let now = Instant::now();
        assert!(pieces.take(&mut piece("a", 2, 2, b""), now).is_err());
        assert!(pieces.take(&mut piece("a", 100_000, 2, b""), now).is_err());
        assert_eq!(pieces.take(&mut piece("a", 2, 0, b"x"), now), Ok(None));
        assert!(pieces.take(&mut piece("a", 3, 1, b"x"), now).is_err());
        let late = now + SET_LIMIT;
        assert_eq!(pieces.take(&mut piece("a", 2, 1, b"y"), late), Ok(None));
    }

    #[test]
    fn settings_that_make_no_sense_change_nothing() {
        let before = Settings::default();
        for (value, secs) in [
            (json!({"PingInterval": 90}), 90),
            (json!({"PingInterval": 0}), 120),
            (json!({"PingInterval": -1}), 120),
            (json!({"PingInterval": 1e9}), 120),
            (json!({"PingInterval": "5"}), 120),
            (json!([]), 120),
        ] {
            let read = Settings::read(&value, &before);
            assert_eq!(read.ping, Duration::from_secs(secs), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(mut frame) = Frame::read(&bytes) {
                let _ = Pieces::default().take(&mut frame, Instant::now());
            }
        }
    }
}
