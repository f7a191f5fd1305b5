//! The door's numbers, in one place. Constants bound memory and work; [`Times`] holds every wait so that tests can
//! shorten it. No logic here.

use std::time::Duration;

/// Longest request head accepted.
pub(super) const HEAD_BYTES: usize = 8 * 1024;
/// Most header lines accepted.
pub(super) const HEADERS: usize = 64;
/// Connections that are not yet WebSocket clients; past it the oldest is dropped.
pub(super) const UNFINISHED: usize = 256;
/// Longest inbound message and frame.
pub(super) const MESSAGE_BYTES: usize = crate::wire::MAX_FRAME_BYTES;
/// Most frames one inbound message may be cut into.
pub(super) const FRAGMENTS: u32 = 1024;
/// Bytes that may wait behind the frame being written before the client counts as too slow. The frame being written is
/// not counted: a single long answer must reach a client that reads.
pub(super) const BACKLOG_BYTES: usize = 1024 * 1024;
/// Read buffer of one WebSocket client, allocated for as long as it is connected.
pub(super) const READ_BUFFER: usize = 4096;
/// Messages taken from one client before the others get their turn.
pub(super) const TURN_MESSAGES: usize = 64;
/// Bytes read from one client before the others get their turn.
pub(super) const TURN_BYTES: usize = 256 * 1024;
/// Messages one client may send within [`RATE_WINDOW`]; then it is not read until the window ends.
pub(super) const RATE_MESSAGES: u32 = 500;
/// The window of [`RATE_MESSAGES`].
pub(super) const RATE_WINDOW: Duration = Duration::from_secs(1);
/// Connections accepted before the other sockets get their turn.
pub(super) const TURN_ACCEPTS: usize = 64;
/// Outbound messages that may wait for `gateway-io`; a sender waits beyond that. Sixteen busy turns can each have a
/// burst of 256 deltas under way.
pub(super) const OUTBOUND: usize = 4096;
/// Outbound messages handled before sockets get their turn.
pub(super) const TURN_OUTBOUND: usize = 1024;
/// Bytes read and thrown away after our last word, so that the peer gets it instead of a reset: a few times what one
/// message may have, because a client that is told "too big" is still sending just that.
pub(super) const LINGER_BYTES: usize = 16 * MESSAGE_BYTES;
/// Wrong tokens answered at once; later ones are answered late.
pub(super) const FREE_TRIES: u32 = 5;
/// Stack of `gateway-io`: frames are parsed iteratively, the handler's JSON nests at most 128 deep.
pub(super) const STACK_BYTES: usize = 512 * 1024;

/// Every wait of the door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a whole request head.
    pub(super) head: Duration,
    /// For writing a last answer or close frame.
    pub(super) answer: Duration,
    /// For the peer to close after our last word.
    pub(super) linger: Duration,
    /// The same once the gateway stops: nobody may hold that up.
    pub(super) stop_linger: Duration,
    /// Before a wrong token is answered once the free tries are used up.
    pub(super) wrong_token: Duration,
    /// Before accepting again after accept has failed.
    pub(super) accept_pause: Duration,
    /// Between pings to a peer on another machine.
    pub(super) ping: Duration,
    /// Silence after which a peer on another machine is gone.
    pub(super) silence: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            linger: Duration::from_secs(5),
            stop_linger: Duration::from_secs(1),
            wrong_token: Duration::from_secs(1),
            accept_pause: Duration::from_millis(500),
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(75),
        }
    }
}
