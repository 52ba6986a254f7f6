//! A client's connection until it is clear what it wants: bytes read so far, and a limit on the time
//! that may take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};
use nix::errno::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::log::Seen;
use crate::shared::Shared;

/// How long a client may take to read its answer.
const LAST_WORD: Duration = Duration::from_secs(2);
/// What is still read of a client that was answered, so that its kernel does not throw the answer away.
const MOST_DRAINED: usize = 64 * 1024;
const STEP: usize = 4096;

/// A client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) seen: Seen,
    /// The end that it connected to.
    pub(crate) server: SocketAddr,
    /// Bytes that were read, and belong to nothing yet.
    pub(crate) read: Vec<u8>,
    pub(crate) shared: Arc<Shared>,
    until: Instant,
    _hold: Hold,
}

/// A connection's place among those at one time, and its share in the run: given back when it is gone.
pub(crate) struct Hold {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _ended: mpsc::Sender<()>,
}

/// Why nothing more comes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    Closed,
    Slow,
    Long,
    Broken(Errno),
    Stopped,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, stream: TcpStream, seen: Seen, hold: Hold) -> Self {
        let until = Instant::now() + shared.head_time();
        let server = seen.arrival().server;
        Self {
            stream,
            seen,
            server,
            read: Vec::new(),
            shared,
            until,
            _hold: hold,
        }
    }

    /// From now on a head, or a hello, may take its time.
    pub(crate) fn begin(&mut self) {
        self.until = Instant::now() + self.shared.head_time();
    }

    /// Reads on; never to more than `limit` bytes.
    pub(crate) async fn more(&mut self, limit: usize) -> Result<(), Gone> {
        let room = limit.saturating_sub(self.read.len()).min(STEP);
        if room == 0 {
            return Err(Gone::Long);
        }
        self.read.reserve(room);
        let mut into = (&mut self.stream).take(room as u64);
        let read = timeout_at(self.until, into.read_buf(&mut self.read));
        let read = tokio::select! {
            read = read => read,
            () = self.shared.stopped() => return Err(Gone::Stopped),
        };
        match read {
            Err(_) => Err(Gone::Slow),
            Ok(Ok(0)) => Err(Gone::Closed),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Gone::Broken(errno(&e))),
        }
    }

    /// Says something, once its process is known. A client that does not listen is no error.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.seen.known().await;
        let _ = timeout(LAST_WORD, self.stream.write_all(bytes)).await;
    }

    /// Says the last thing, and lets the client read it.
    pub(crate) async fn last(mut self, bytes: &[u8]) {
        self.say(bytes).await;
        let _ = self.stream.shutdown().await;
        let mut drained = [0; STEP];
        let drain = async {
            for _ in 0..MOST_DRAINED / STEP {
                match self.stream.read(&mut drained).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let stopped = self.shared.stopped();
        tokio::select! {
            _ = timeout(LAST_WORD, drain) => {}
            () = stopped => {}
        }
    }
}

impl Gone {
    /// What the record says of it; a client that left had nothing denied.
    pub(crate) fn record(self, decision: &mut Decision) {
        let (verdict, reason, detail) = match self {
            Self::Closed => (EgressVerdict::None, Reason::ClientGone, "closed".into()),
            Self::Broken(e) => (EgressVerdict::None, Reason::ClientGone, format!("{e:?}")),
            Self::Stopped => (
                EgressVerdict::None,
                Reason::ClientGone,
                "the run is over".into(),
            ),
            Self::Slow => (
                EgressVerdict::Deny,
                Reason::Timeout,
                "the client is too slow".into(),
            ),
            Self::Long => (
                EgressVerdict::Deny,
                Reason::BadRequest,
                "it is too long".into(),
            ),
        };
        (decision.verdict, decision.reason) = (verdict, reason);
        decision.exchange.detail = Some(detail);
    }
}

pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
