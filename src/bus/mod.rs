//! The typed queues between actors and their capacities. A queue, not a router: it owns no state and decides nothing.
//!
//! Blocking sends go one way only: channel → session → turn → sink. The other direction is replies and queues that
//! cannot fill. That is the whole deadlock argument.

mod events;
mod inbound;

pub use events::{
    ApprovalOutcome, ApprovalRequest, Body, DeliveryItem, DialogInfo, DialogState, ErrorCode,
    FoundItem, GrantItem, HistoryCall, HistoryItem, ItemState, LoadedDetail, Meter, Outbound,
};
pub use inbound::{
    ApprovalAnswer, Caller, ClientId, Control, Inbound, InboundBody, Op, OutboxOp, TextForm, Wants,
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Waiting inbound messages. One drained batch is 64; four batches absorb a burst while a commit runs.
pub const INBOUND: usize = 256;
/// Waiting control requests; people type them, so a few suffice.
pub const CONTROL: usize = 64;
/// Questions for the `query` thread; more waiting askers are told to try again.
pub const QUERIES: usize = 64;

/// The two lanes into the `session` actor.
#[derive(Clone)]
pub struct SessionQueue {
    /// Messages in order.
    pub inbound: Sender<Inbound>,
    /// What overtakes them.
    pub control: Sender<Control>,
}

/// The receiving ends of [`SessionQueue`]; the `session` thread owns them.
pub struct SessionInbox {
    /// Messages in order.
    pub inbound: Receiver<Inbound>,
    /// What overtakes them.
    pub control: Receiver<Control>,
}

/// Makes the two lanes into the `session` actor.
pub fn session_queue() -> (SessionQueue, SessionInbox) {
    let (inbound, inbound_rx) = bounded(INBOUND);
    let (control, control_rx) = bounded(CONTROL);
    (
        SessionQueue { inbound, control },
        SessionInbox {
            inbound: inbound_rx,
            control: control_rx,
        },
    )
}

/// Takes what goes out to clients. Implemented by the door (a queue to `gateway-io`) and by the one-shot runner.
pub trait Sink: Send + Sync {
    /// Queues one message for one client; may block for a moment, never on the session. A client that has gone is no
    /// error: what it missed is in the database.
    fn push(&self, outbound: Outbound);

    /// Says that the inbound lane has room again; must not block.
    fn room(&self) {}
}
