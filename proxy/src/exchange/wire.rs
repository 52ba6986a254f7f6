//! A connection read through a buffer of bounded size, and bodies followed through it.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadHalf};
use tokio::time::{Duration, timeout};

use crate::http::{BadHead, Payload};

const STEP: usize = 32 * 1024;

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum Gone {
    Closed,
    Slow,
    Io(io::Error),
    Bad(BadHead),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed too early"),
            Self::Slow => f.write_str("too slow"),
            Self::Io(e) => match e.raw_os_error() {
                Some(n) => write!(f, "{:?}", nix::errno::Errno::from_raw(n)),
                None => write!(f, "{}", e.kind()),
            },
            Self::Bad(bad) => bad.fmt(f),
        }
    }
}

/// What is read of a connection.
pub(super) struct Wire<S> {
    stream: ReadHalf<S>,
    read: Vec<u8>,
    at: usize,
}

impl<S: AsyncRead> Wire<S> {
    pub(super) fn new(stream: ReadHalf<S>, first: Vec<u8>) -> Self {
        Self {
            stream,
            read: first,
            at: 0,
        }
    }

    pub(super) fn into_inner(self) -> ReadHalf<S> {
        self.stream
    }

    /// What was read and not used.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.read[self.at..]
    }

    pub(super) fn used(&mut self, n: usize) {
        self.at = (self.at + n).min(self.read.len());
        if self.at == self.read.len() {
            self.read.clear();
            self.at = 0;
        }
    }

    /// Reads on. Whoever calls it bounds how much is left unused.
    pub(super) async fn more(&mut self, idle: Duration) -> Result<(), Gone> {
        if self.at > 0 {
            self.read.drain(..self.at);
            self.at = 0;
        }
        self.read.reserve(STEP);
        let mut into = (&mut self.stream).take(STEP as u64);
        match timeout(idle, into.read_buf(&mut self.read)).await {
            Err(_) => Err(Gone::Slow),
            Ok(Ok(0)) => Err(Gone::Closed),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Gone::Io(e)),
        }
    }

    /// The next run of a body; `None`: the body is over.
    pub(super) async fn body(
        &mut self,
        payload: &mut Payload,
        idle: Duration,
    ) -> Result<Option<Vec<u8>>, Gone> {
        if matches!(payload, Payload::Left(0)) {
            return Ok(None);
        }
        loop {
            if self.bytes().is_empty() {
                match self.more(idle).await {
                    Ok(()) => {}
                    Err(Gone::Closed) if payload.may_end() => return Ok(None),
                    Err(gone) => return Err(gone),
                }
            }
            let step = payload.take(self.bytes()).map_err(Gone::Bad)?;
            let data = self.bytes()[step.used - step.data..step.used].to_vec();
            self.used(step.used);
            if !data.is_empty() {
                return Ok(Some(data));
            }
            if step.done {
                return Ok(None);
            }
        }
    }
}
