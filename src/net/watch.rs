//! What watches one HTTP exchange from inside its socket reads: the limits, the cancel token, the patience of the person.
//!
//! Runs on the turn that asks. The HTTP client hands its transports no borrowed values, so the watcher is lent to them
//! through a scoped thread-local for as long as one client call lasts. It holds no socket: `transport` does the I/O.

use std::time::{Duration, Instant};

use scoped_tls_hkt::scoped_thread_local;

use super::{Limit, Limits};
use crate::threads::CancelToken;

scoped_thread_local!(static mut WATCH: for<'a> &'a mut dyn Watch);

/// Above this length pauses are rounded up to whole seconds, so that the socket's time-out seldom has to be set anew.
const EXACT_BELOW: Duration = Duration::from_secs(2);

/// Someone who must hear something when nothing happens for long.
pub(crate) trait Patience {
    /// When the next reminder is due.
    fn due(&self) -> Instant;

    /// Gives the reminder and moves the due time on.
    fn remind(&mut self, now: Instant);
}

/// What a transport asks while it works.
pub(super) trait Watch {
    /// The token that ends the exchange.
    fn cancel(&self) -> &CancelToken;

    /// A new connection is about to be made; returns how long it may take.
    fn connecting(&mut self) -> Duration;

    /// The connection, with TLS if any, stands.
    fn connected(&mut self);

    /// How long a read that began at `started` may block before [`Watch::woke`] wants to be asked.
    fn pause(&self, started: Instant) -> Duration;

    /// How long a write may block.
    fn write_limit(&self) -> Duration;

    /// A pause is over: reminds the person, or returns false if a limit is reached.
    fn woke(&mut self, started: Instant) -> bool;

    /// A write or a connect took too long.
    fn late(&mut self);
}

/// Lends a watcher to the transports while `call` runs.
pub(super) fn lend<R>(watch: &mut dyn Watch, call: impl FnOnce() -> R) -> R {
    WATCH.set(watch, call)
}

/// Asks the lent watcher; `None` outside [`lend`], as when a pooled connection is probed.
pub(super) fn ask<R>(question: impl FnOnce(&mut dyn Watch) -> R) -> Option<R> {
    WATCH.is_set().then(|| WATCH.with(|watch| question(watch)))
}

/// Which wait the exchange is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// From the TCP connect to the end of the TLS handshake.
    Connecting { until: Instant },
    /// From sending the request to the end of the response head.
    Head { until: Instant },
    /// The head is there, the first byte of the body is not.
    FirstByte,
    /// Between bytes of the body.
    Body,
    /// The answer was read; its end mark is missing.
    Trailer,
    /// The end mark was read; the end of the body is missing.
    Tail,
}

/// Limits and progress of one HTTP exchange.
pub(super) struct Exchange {
    limits: Limits,
    cancel: CancelToken,
    phase: Phase,
    total_until: Instant,
    data_until: Instant,
    tripped: Option<Limit>,
    fresh_connection: bool,
}

impl Exchange {
    pub(super) fn new(limits: &Limits, cancel: &CancelToken) -> Self {
        let now = Instant::now();
        Self {
            limits: limits.clone(),
            cancel: cancel.clone(),
            phase: Phase::Head {
                until: now + limits.first_byte,
            },
            total_until: now + limits.total,
            data_until: now + limits.data,
            tripped: None,
            fresh_connection: false,
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The limit that ended the exchange, with its length.
    pub(super) fn tripped(&self) -> Option<(Limit, Duration)> {
        let limit = self.tripped?;
        Some((limit, self.limits.of(limit)))
    }

    /// Whether a failure may be due to a pooled connection that the server closed meanwhile.
    pub(super) fn maybe_stale(&self) -> bool {
        !self.fresh_connection && matches!(self.phase, Phase::Head { .. })
    }

    pub(super) fn head_received(&mut self) {
        self.phase = Phase::FirstByte;
    }

    pub(super) fn body_received(&mut self) {
        if self.phase == Phase::FirstByte {
            self.phase = Phase::Body;
        }
    }

    /// A data event arrived, not just a sign of life.
    pub(super) fn data_received(&mut self) {
        self.data_until = Instant::now() + self.limits.data;
    }

    pub(super) fn trailer(&mut self) {
        self.phase = Phase::Trailer;
    }

    pub(super) fn tail(&mut self) {
        self.phase = Phase::Tail;
    }

    /// The limit that comes first for a read begun at `started`, and when.
    fn next_limit(&self, started: Instant) -> (Instant, Limit) {
        let (until, limit) = match self.phase {
            Phase::Connecting { until } => (until, Limit::Connect),
            Phase::Head { until } => (until, Limit::FirstByte),
            Phase::FirstByte => (started + self.limits.first_byte, Limit::FirstByte),
            Phase::Body => (started + self.limits.idle, Limit::Idle),
            Phase::Trailer => (started + self.limits.trailer, Limit::Idle),
            Phase::Tail => (started + self.limits.tail, Limit::Idle),
        };
        [
            (until, limit),
            (self.data_until, Limit::Data),
            (self.total_until, Limit::Total),
        ]
        .into_iter()
        .min_by_key(|(at, _)| *at)
        .expect("the list is not empty")
    }
}

/// An exchange together with the person who waits for it.
pub(super) struct Live<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) patience: &'a mut dyn Patience,
}

impl Watch for Live<'_> {
    fn cancel(&self) -> &CancelToken {
        &self.exchange.cancel
    }

    fn connecting(&mut self) -> Duration {
        let limit = self.exchange.limits.connect;
        self.exchange.fresh_connection = true;
        self.exchange.phase = Phase::Connecting {
            until: Instant::now() + limit,
        };
        limit
    }

    fn connected(&mut self) {
        self.exchange.phase = Phase::Head {
            until: Instant::now() + self.exchange.limits.first_byte,
        };
    }

    fn pause(&self, started: Instant) -> Duration {
        let (until, _) = self.exchange.next_limit(started);
        round_up(
            until
                .min(self.patience.due())
                .saturating_duration_since(Instant::now()),
        )
    }

    fn write_limit(&self) -> Duration {
        let now = Instant::now();
        let (until, _) = self.exchange.next_limit(now);
        round_up(until.saturating_duration_since(now))
    }

    fn woke(&mut self, started: Instant) -> bool {
        let now = Instant::now();
        let (until, limit) = self.exchange.next_limit(started);
        if now >= until {
            self.exchange.tripped = Some(limit);
            return false;
        }
        if now >= self.patience.due() {
            self.patience.remind(now);
        }
        true
    }

    fn late(&mut self) {
        let (_, limit) = self.exchange.next_limit(Instant::now());
        self.exchange.tripped = Some(limit);
    }
}

/// Makes a pause acceptable as a socket time-out: never zero, whole seconds when long.
fn round_up(pause: Duration) -> Duration {
    if pause < EXACT_BELOW {
        return pause.max(Duration::from_millis(1));
    }
    let part = u64::from(pause.subsec_nanos() > 0);
    Duration::from_secs(pause.as_secs() + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Patience for Nobody {
        fn due(&self) -> Instant {
            Instant::now() + Duration::from_secs(3600)
        }
        fn remind(&mut self, _now: Instant) {}
    }

    #[test]
    fn pauses_are_never_zero_and_whole_seconds_when_long() {
        assert_eq!(round_up(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(
            round_up(Duration::from_millis(1999)),
            Duration::from_millis(1999)
        );
        assert_eq!(
            round_up(Duration::from_millis(2001)),
            Duration::from_secs(3)
        );
        assert_eq!(round_up(Duration::from_secs(90)), Duration::from_secs(90));
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let limits = Limits::default();
        let mut exchange = Exchange::new(&limits, &CancelToken::new());
        let mut nobody = Nobody;
        let now = Instant::now();
        assert_eq!(exchange.next_limit(now).1, Limit::FirstByte);
        Live {
            exchange: &mut exchange,
            patience: &mut nobody,
        }
        .connecting();
        assert_eq!(exchange.next_limit(now).1, Limit::Connect);
        exchange.head_received();
        assert_eq!(exchange.next_limit(now).1, Limit::FirstByte);
        exchange.body_received();
        assert_eq!(exchange.next_limit(now), (now + limits.idle, Limit::Idle));
        assert_eq!(
            exchange.next_limit(now + limits.data).1,
            Limit::Data,
            "comments alone do not keep an exchange alive for ever"
        );
        assert_eq!(exchange.next_limit(now + limits.total * 2).1, Limit::Data);
    }

    #[test]
    fn nobody_watches_outside_a_call() {
        assert!(ask(|watch| watch.pause(Instant::now())).is_none());
    }
}
