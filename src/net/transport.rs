//! The TCP connector that makes a running call stoppable: cancelling shuts its socket at once.
//!
//! Runs on the turn that asks, below TLS; the shutdown itself runs on the thread that cancels. It wraps the HTTP
//! client's own TCP transport and adds no buffering. Limits come from `watch`.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::time::Duration as WireDuration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, ShutdownHandle, TcpConnector, Transport,
};
use ureq::{Error, Timeout};

use super::watch;
use crate::threads::CloserGuard;

type Handle = Weak<dyn ShutdownHandle>;
type Tcp = <TcpConnector as Connector<()>>::Out;

/// Opens TCP connections whose blocking operations end when the turn's token is cancelled.
#[derive(Debug, Default)]
pub(super) struct AbortTcp {
    tcp: TcpConnector,
}

impl Connector<()> for AbortTcp {
    type Out = AbortTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<AbortTransport>, Error> {
        refuse_cancelled()?;
        let limit = watch::ask(|watch| watch.connecting());
        let handle: Arc<OnceLock<Handle>> = Arc::default();
        let tcp = self.tcp.connect(
            &ConnectionDetails {
                uri: details.uri,
                addrs: details.addrs.clone(),
                config: details.config,
                request_level: details.request_level,
                resolver: details.resolver,
                now: details.now,
                timeout: limit.map_or(details.timeout, |limit| within(limit, Timeout::Connect)),
                current_time: details.current_time.clone(),
                run_connector: details.run_connector.clone(),
                register_shutdown: keep_handle(&handle, details),
            },
            chained,
        );
        if let Err(Error::Timeout(_)) = &tcp {
            watch::ask(|watch| watch.late());
        }
        Ok(tcp?.map(|tcp| AbortTransport {
            tcp,
            handle: handle.get().cloned(),
        }))
    }
}

/// Lets the agent keep its own copy of the handle and keeps one for us.
fn keep_handle(
    slot: &Arc<OnceLock<Handle>>,
    details: &ConnectionDetails<'_>,
) -> Arc<dyn Fn(Handle) -> Result<(), Error> + Send + Sync> {
    let slot = slot.clone();
    let agent = details.register_shutdown.clone();
    Arc::new(move |handle: Handle| {
        // The connector registers one handle per connection; a second one would be the same socket.
        let _ = slot.set(handle.clone());
        agent(handle)
    })
}

/// Tells the watcher that TCP and TLS are done; passes the transport on as it is.
#[derive(Debug)]
pub(super) struct Connected;

impl<In: Transport> Connector<In> for Connected {
    type Out = In;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<In>, Error> {
        watch::ask(|watch| watch.connected());
        Ok(chained)
    }
}

/// A TCP transport that can be shut from the thread that cancels.
pub(super) struct AbortTransport {
    tcp: Tcp,
    handle: Option<Handle>,
}

impl fmt::Debug for AbortTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tcp.fmt(f)
    }
}

impl AbortTransport {
    /// Ties the socket to the token for one operation only: between operations the connection may go to the pool and
    /// serve another turn.
    fn guarded<R>(
        &mut self,
        operation: impl FnOnce(&mut Tcp) -> Result<R, Error>,
    ) -> Result<R, Error> {
        refuse_cancelled()?;
        let guard = self
            .handle
            .clone()
            .and_then(|handle| watch::ask(|watch| attach(watch, handle)));
        let result = operation(&mut self.tcp);
        drop(guard);
        // A shut socket reads like a clean end, so the token decides, not the result.
        refuse_cancelled()?;
        result
    }
}

fn attach(watch: &mut dyn watch::Watch, handle: Handle) -> CloserGuard {
    watch.cancel().on_cancel(move || {
        if let Some(socket) = handle.upgrade() {
            socket.shutdown();
        }
    })
}

fn refuse_cancelled() -> Result<(), Error> {
    match watch::ask(|watch| watch.cancel().is_cancelled()) {
        // Not an I/O error: readers retry `Interrupted` for ever and take some other kinds for the end of the body.
        Some(true) => Err(Error::Other("cancelled".into())),
        _ => Ok(()),
    }
}

fn within(limit: Duration, reason: Timeout) -> NextTimeout {
    NextTimeout {
        after: WireDuration::Exact(limit),
        reason,
        ..NextTimeout::default()
    }
}

impl Transport for AbortTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.tcp.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = watch::ask(|watch| watch.write_limit())
            .map_or(timeout, |limit| within(limit, Timeout::PerWrite));
        let result = self.guarded(|tcp| tcp.transmit_output(amount, timeout));
        if let Err(Error::Timeout(_)) = &result {
            watch::ask(|watch| watch.late());
        }
        result
    }

    /// Waits in slices: a slice that ends reminds the person and the wait goes on with nothing lost.
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let started = Instant::now();
        loop {
            let slice = watch::ask(|watch| watch.pause(started))
                .map_or(timeout, |pause| within(pause, Timeout::PerRead));
            let result = self.guarded(|tcp| tcp.await_input(slice));
            let goes_on = matches!(result, Err(Error::Timeout(_)))
                && watch::ask(|watch| watch.woke(started)) == Some(true);
            if !goes_on {
                return result;
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.tcp.is_open()
    }
}
