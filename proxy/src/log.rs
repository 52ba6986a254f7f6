//! The way to the supervisor: who arrived, what was decided.
//!
//! Every message goes through one writer, which numbers decisions without a gap. The queue before it
//! is short: when the supervisor is slow, doors wait instead of memory growing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram as StdChannel;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use belljar_model::door::{Arrival, Decision, FromProxy, LONGEST_MESSAGE, ToProxy, Transport};
use belljar_model::{Class, EgressLayer, EgressVerdict, Exchange, OsText, Reason};
use tokio::net::UnixDatagram;
use tokio::sync::{Notify, mpsc};

/// Messages that wait for the supervisor before doors do.
const QUEUE: usize = 256;
/// What a client sent is shown no longer in a record.
const LONGEST_SHOWN: usize = 512;

/// The log of a run.
#[derive(Debug, Clone)]
pub struct Log {
    channel: Arc<UnixDatagram>,
    queue: mpsc::Sender<FromProxy>,
    shared: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    arrivals: AtomicU64,
    dials: AtomicU64,
    unsent: AtomicU64,
    waiting: Mutex<HashMap<u64, Arc<Known>>>,
    /// Nobody tells any more which process asked.
    deaf: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    yes: AtomicBool,
    told: Notify,
}

impl Known {
    fn tell(&self) {
        self.yes.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

/// What is left to do of the log itself.
#[derive(Debug)]
pub struct Writer {
    channel: Arc<UnixDatagram>,
    queue: mpsc::Receiver<FromProxy>,
    shared: Arc<State>,
}

/// The supervisor's words.
#[derive(Debug)]
pub struct Reader {
    channel: Arc<UnixDatagram>,
    shared: Arc<State>,
}

/// Opens the log on the channel; in a runtime.
pub fn open(channel: StdChannel) -> io::Result<(Log, Writer, Reader)> {
    channel.set_nonblocking(true)?;
    let channel = Arc::new(UnixDatagram::from_std(channel)?);
    let (sender, queue) = mpsc::channel(QUEUE);
    let shared = Arc::new(State::default());
    let log = Log {
        channel: Arc::clone(&channel),
        queue: sender,
        shared: Arc::clone(&shared),
    };
    let writer = Writer {
        channel: Arc::clone(&channel),
        queue,
        shared: Arc::clone(&shared),
    };
    Ok((log, writer, Reader { channel, shared }))
}

impl Log {
    /// Tells that somebody came.
    pub async fn arrive(
        &self,
        transport: Transport,
        client: SocketAddr,
        server: SocketAddr,
    ) -> Seen {
        let id = self.shared.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        let known = Arc::new(Known::default());
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::clone(&known));
        let arrival = Arrival {
            id,
            transport,
            client,
            server,
        };
        let message = FromProxy::Arrived(arrival);
        // At once, if nobody waits: the supervisor looks while the proxy goes on.
        if !self.at_once(&message) {
            self.send(message).await;
        }
        Seen {
            inner: Arc::new(Inner {
                log: self.clone(),
                arrival,
                since: Instant::now(),
                known,
                settled: AtomicBool::new(false),
            }),
        }
    }

    /// Counts a connection to the outside.
    pub fn dialled(&self) {
        self.shared.dials.fetch_add(1, Ordering::Relaxed);
    }

    fn at_once(&self, message: &FromProxy) -> bool {
        self.queue.capacity() == self.queue.max_capacity()
            && serde_json::to_vec(message).is_ok_and(|bytes| self.channel.try_send(&bytes).is_ok())
    }

    async fn send(&self, message: FromProxy) {
        let decision = matches!(message, FromProxy::Decided(_));
        if self.queue.send(message).await.is_err() && decision {
            self.shared.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Somebody who came: a connection, or a query. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Seen {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    arrival: Arrival,
    since: Instant,
    known: Arc<Known>,
    /// It has a decision, or needs none.
    settled: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whatever ended its task, a panic too: nobody comes without leaving a record.
        if !self.settled.load(Ordering::Relaxed) || std::thread::panicking() {
            self.log.shared.unsent.fetch_add(1, Ordering::Relaxed);
        }
        self.log
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.arrival.id);
    }
}

impl Seen {
    /// How it came.
    pub fn arrival(&self) -> Arrival {
        self.inner.arrival
    }

    /// When it came.
    pub fn since(&self) -> Instant {
        self.inner.since
    }

    /// Waits until its process was looked for; before that nothing may be answered and the client's
    /// connection may not be closed.
    pub async fn known(&self) {
        let known = &self.inner.known;
        loop {
            let told = known.told.notified();
            let mut told = std::pin::pin!(told);
            told.as_mut().enable();
            if known.yes.load(Ordering::Acquire)
                || self.inner.log.shared.deaf.load(Ordering::Acquire)
            {
                return;
            }
            told.await;
        }
    }

    /// It asked for nothing: there is nothing to decide.
    pub fn settle(&self) {
        self.inner.settled.store(true, Ordering::Relaxed);
    }

    /// A decision to fill in: a denial without a reason, about an unknown destination.
    pub fn draft(&self, event: &str) -> Decision {
        Decision {
            seq: 0,
            arrival: self.inner.arrival.id,
            layer: EgressLayer::Proxy,
            event: event.into(),
            verdict: EgressVerdict::Deny,
            reason: Reason::Unknown,
            class: Class::External,
            protocol: match self.inner.arrival.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            }
            .into(),
            host: "unknown".into(),
            port: 0,
            exchange: Exchange::default(),
            answers: Vec::new(),
            dialled: None,
            up: 0,
            down: 0,
            took_us: 0,
            hint: None,
        }
    }

    /// Records the decision. `took_us` is filled in here when it is 0, and what is too long is cut.
    pub async fn decide(&self, mut decision: Decision) {
        if decision.took_us == 0 {
            decision.took_us = micros(self.inner.since);
        }
        cut(&mut decision);
        self.inner
            .log
            .send(FromProxy::Decided(Box::new(decision)))
            .await;
        self.settle();
    }
}

/// Microseconds since then.
pub fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Bytes as a record shows them.
pub fn shown(bytes: &[u8]) -> OsText {
    bytes[..bytes.len().min(LONGEST_SHOWN)].to_vec().into()
}

/// The first bytes of what could not be read, in hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().take(32).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn cut(decision: &mut Decision) {
    let exchange = &mut decision.exchange;
    for text in [
        Some(&mut decision.host),
        exchange.raw.as_mut(),
        exchange.path.as_mut(),
        exchange.sni.as_mut(),
    ]
    .into_iter()
    .flatten()
    {
        if text.as_bytes().len() > LONGEST_SHOWN {
            *text = shown(text.as_bytes());
        }
    }
    exchange.alpn.truncate(16);
    for name in &mut exchange.alpn {
        if name.as_bytes().len() > 32 {
            *name = name.as_bytes()[..32].to_vec().into();
        }
    }
    for text in [
        exchange.method.as_mut(),
        exchange.detail.as_mut(),
        decision.hint.as_mut(),
    ]
    .into_iter()
    .flatten()
    {
        if text.len() > LONGEST_SHOWN {
            let mut end = LONGEST_SHOWN;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
    }
    decision.answers.truncate(64);
}

impl Writer {
    /// Sends until nobody can say anything any more, then says goodbye.
    pub async fn run(mut self) {
        let (mut seq, mut lost) = (0, 0);
        while let Some(mut message) = self.queue.recv().await {
            let decision = if let FromProxy::Decided(decision) = &mut message {
                decision.seq = seq;
                true
            } else {
                false
            };
            match self.send(&message).await {
                Ok(()) => seq += u64::from(decision),
                Err(_) => lost += u64::from(decision),
            }
        }
        let done = FromProxy::Done {
            decisions: seq,
            lost: lost + self.shared.unsent.load(Ordering::Relaxed),
            dials: self.shared.dials.load(Ordering::Relaxed),
        };
        // Whoever does not hear it sees the end of the channel.
        let _ = self.send(&done).await;
    }

    async fn send(&self, message: &FromProxy) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONGEST_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.channel.send(&bytes).await.map(drop)
    }
}

impl Reader {
    /// Hears the supervisor until it says stop, or is gone. `true`: it said so.
    pub async fn run(self) -> bool {
        let mut bytes = vec![0; LONGEST_MESSAGE];
        let said = loop {
            let message = match self.channel.recv(&mut bytes).await {
                Ok(0) | Err(_) => break false,
                Ok(n) => serde_json::from_slice(&bytes[..n]),
            };
            match message {
                Ok(ToProxy::Known(id)) => {
                    let known = self.waiting().get(&id).cloned();
                    if let Some(known) = known {
                        known.tell();
                    }
                }
                Ok(ToProxy::Stop) => break true,
                // Only the supervisor writes here: what it can't say ends the run.
                Err(_) => break false,
            }
        };
        self.shared.deaf.store(true, Ordering::Release);
        for known in self.waiting().values() {
            known.tell();
        }
        said
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Known>>> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
