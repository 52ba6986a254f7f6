//! Two connections joined, unseen: small transfers are copied, large ones are spliced through a pipe
//! and never enter this process.
//!
//! A tunnel on which nothing moves holds two sockets and nothing else: buffers and pipes are lent from
//! a pool for as long as bytes are under way.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::limits::{Budgets, Way};

/// A way that has moved so much is spliced from then on.
const SPLICE_FROM: u64 = 128 * 1024;
/// What a pipe holds, if the kernel lets it.
const PIPE: i32 = 1 << 20;
const BUFFER: usize = 64 * 1024;
/// Pipes and buffers that are kept for the next tunnel.
const KEPT: usize = 32;

/// Pipes and buffers that are lent.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pipes: Mutex<Vec<Pipe>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pool {
    fn pipe(&self) -> io::Result<Pipe> {
        let kept = self
            .pipes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(pipe) = kept {
            return Ok(pipe);
        }
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // A user's pipes may be limited: a smaller one does as well.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE));
        Ok(Pipe { read, write })
    }

    /// Only an empty one comes back.
    fn keep_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        if pipes.len() < KEPT {
            pipes.push(pipe);
        }
    }

    fn buffer(&self) -> Vec<u8> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_else(|| vec![0; BUFFER])
    }

    fn keep_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < KEPT {
            buffers.push(buffer);
        }
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Bytes that went out.
    pub(crate) up: u64,
    /// Bytes that came in.
    pub(crate) down: u64,
    /// By what.
    pub(crate) by: By,
}

/// What ended a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Both ends were done.
    Both,
    /// One end broke off.
    Broken(Errno),
    /// Nothing moved for too long.
    Idle,
    /// A budget of bytes is used up.
    Budget(Way),
    /// The run is over.
    Stopped,
}

/// What a tunnel is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// The bytes that are left.
    pub(crate) budgets: &'a Budgets,
    /// The rule that they are counted under.
    pub(crate) rule: Option<u32>,
    /// How long nothing may move.
    pub(crate) idle: Duration,
}

/// Joins them until both are done, one breaks, or the terms are used up. `first` was read of the
/// client before, and goes out first.
pub(crate) async fn join(
    pool: &Pool,
    client: &TcpStream,
    server: &TcpStream,
    first: Vec<u8>,
    terms: Terms<'_>,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let counts = Counts::default();
    let up = Lane {
        pool,
        terms,
        counts: &counts,
        way: Way::Up,
        from: client,
        to: server,
    };
    let down = Lane {
        way: Way::Down,
        from: server,
        to: client,
        ..up
    };
    let both = async { tokio::try_join!(up.run(first), down.run(Vec::new())) };
    let by = tokio::select! {
        done = both => match done {
            Ok(_) => By::Both,
            Err(by) => by,
        },
        () = counts.idle(terms.idle) => By::Idle,
        _ = stop.wait_for(|over| *over) => By::Stopped,
    };
    Ended {
        up: counts.up.load(Ordering::Relaxed),
        down: counts.down.load(Ordering::Relaxed),
        by,
    }
}

#[derive(Debug)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }
}

impl Counts {
    fn of(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    /// Ends when nothing has moved for that long. The counters are looked at, so that moving bytes
    /// costs no timer.
    async fn idle(&self, limit: Duration) {
        let sum = || self.up.load(Ordering::Relaxed) + self.down.load(Ordering::Relaxed);
        let step = (limit / 4).max(Duration::from_millis(1));
        let (mut last, mut since) = (sum(), Instant::now());
        loop {
            tokio::time::sleep(step).await;
            let now = sum();
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= limit {
                return;
            }
        }
    }
}

/// One way of a tunnel.
#[derive(Clone, Copy)]
struct Lane<'a> {
    pool: &'a Pool,
    terms: Terms<'a>,
    counts: &'a Counts,
    way: Way,
    from: &'a TcpStream,
    to: &'a TcpStream,
}

impl Lane<'_> {
    async fn run(self, first: Vec<u8>) -> Result<(), By> {
        if !first.is_empty() {
            self.spend(first.len())?;
            self.write(&first).await?;
        }
        drop(first);
        while self.moved() < SPLICE_FROM {
            self.from.readable().await.map_err(broken)?;
            if !self.copy().await? {
                return self.finish();
            }
        }
        loop {
            self.from.readable().await.map_err(broken)?;
            if !self.splice().await? {
                return self.finish();
            }
        }
    }

    fn moved(&self) -> u64 {
        self.counts.of(self.way).load(Ordering::Relaxed)
    }

    /// The other end may still have something to say.
    fn finish(self) -> Result<(), By> {
        let how = nix::sys::socket::Shutdown::Write;
        match nix::sys::socket::shutdown(self.to.as_raw_fd(), how) {
            Ok(()) | Err(Errno::ENOTCONN) => Ok(()),
            Err(errno) => Err(By::Broken(errno)),
        }
    }

    /// Before they are passed on.
    fn spend(self, bytes: usize) -> Result<(), By> {
        if self
            .terms
            .budgets
            .spend(self.terms.rule, self.way, bytes as u64)
        {
            Ok(())
        } else {
            Err(By::Budget(self.way))
        }
    }

    fn count(self, bytes: usize) {
        self.counts
            .of(self.way)
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn write(self, mut bytes: &[u8]) -> Result<(), By> {
        while !bytes.is_empty() {
            match self.to.try_write(bytes) {
                Ok(n) => {
                    self.count(n);
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.to.writable().await.map_err(broken)?;
                }
                Err(e) => return Err(broken(e)),
            }
        }
        Ok(())
    }

    /// Moves what is there, through a buffer; `false` at the end.
    async fn copy(self) -> Result<bool, By> {
        let mut buffer = self.pool.buffer();
        let goes_on = loop {
            match self.from.try_read(&mut buffer) {
                Ok(0) => break Ok(false),
                Ok(n) => {
                    let passed = match self.spend(n) {
                        Ok(()) => self.write(&buffer[..n]).await,
                        Err(by) => Err(by),
                    };
                    if let Err(by) = passed {
                        break Err(by);
                    }
                    if self.moved() >= SPLICE_FROM {
                        break Ok(true);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(true),
                Err(e) => break Err(broken(e)),
            }
        };
        self.pool.keep_buffer(buffer);
        goes_on
    }

    /// The same through a pipe.
    async fn splice(self) -> Result<bool, By> {
        let pipe = self.pool.pipe().map_err(broken)?;
        loop {
            let read = self.from.try_io(Interest::READABLE, || {
                moved(self.from, &pipe.write, PIPE.unsigned_abs() as usize)
            });
            let mut there = match read {
                Ok(0) => {
                    self.pool.keep_pipe(pipe);
                    return Ok(false);
                }
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.pool.keep_pipe(pipe);
                    return Ok(true);
                }
                Err(e) => return Err(broken(e)),
            };
            // What must not pass is dropped with its pipe.
            self.spend(there)?;
            while there > 0 {
                let wrote = self
                    .to
                    .async_io(Interest::WRITABLE, || moved(&pipe.read, self.to, there));
                let n = wrote.await.map_err(broken)?;
                self.count(n);
                there -= n;
            }
        }
    }
}

fn moved(from: impl AsFd, to: impl AsFd, bytes: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    loop {
        match splice(&from, None, &to, None, bytes, flags) {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: io::Error) -> By {
    By::Broken(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_model::{Policy, Rule, Tls};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap());
        let (there, here) = tokio::join!(there, listener.accept());
        (there.unwrap(), here.unwrap().0)
    }

    fn budgets(max_up: u64, max_down: Option<u64>) -> Budgets {
        let mut policy = Policy::default();
        policy.allow.push(Rule {
            host: "a.example".into(),
            ports: vec![443],
            methods: Vec::new(),
            paths: Vec::new(),
            addresses: Vec::new(),
            tls: Tls::Tunnel,
            raw: false,
            websocket: false,
            max_up,
            max_down,
            reason: None,
        });
        Budgets::new(&policy)
    }

    struct Case {
        client: TcpStream,
        server: TcpStream,
        ended: tokio::task::JoinHandle<Ended>,
    }

    async fn tunnel(budgets: Budgets, idle: Duration, first: &'static [u8]) -> Case {
        let (client, inside) = pair().await;
        let (outside, server) = pair().await;
        let ended = tokio::spawn(async move {
            let pool = Pool::default();
            let terms = Terms {
                budgets: &budgets,
                rule: Some(0),
                idle,
            };
            let (_keep, stop) = watch::channel(false);
            join(&pool, &inside, &outside, first.to_vec(), terms, stop).await
        });
        Case {
            client,
            server,
            ended,
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn both_ways_pass_whole_and_are_counted() {
        let mut case = tunnel(budgets(u64::MAX, None), LONG, b"first").await;
        // More than any buffer on the way, so that both ways are copied first and spliced later.
        let up: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let down: Vec<u8> = (0..5_000_001u32).map(|n| n.to_le_bytes()[1]).collect();
        let (sent_up, sent_down) = (up.clone(), down.clone());
        let client = tokio::spawn(async move {
            let (mut read, mut write) = case.client.split();
            let mut got = Vec::new();
            let send = async {
                write.write_all(&sent_up).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
            got
        });
        let mut got = Vec::new();
        case.server.read_to_end(&mut got).await.unwrap();
        // The client's way is shut, and the server's is not.
        case.server.write_all(&sent_down).await.unwrap();
        drop(case.server);
        assert!(client.await.unwrap() == down);
        assert!(got == [&b"first"[..], &up].concat());
        let ended = case.ended.await.unwrap();
        assert_eq!(
            (ended.up, ended.down, ended.by),
            (3_000_005, 5_000_001, By::Both)
        );
    }

    #[tokio::test]
    async fn a_budget_stops_copies_and_splices() {
        for limit in [10_000, 2_000_000] {
            let mut case = tunnel(budgets(limit, None), LONG, b"").await;
            let sender = tokio::spawn(async move {
                let _ = case.client.write_all(&vec![1; 8_000_000]).await;
                case.client
            });
            let mut got = Vec::new();
            let _ = case.server.read_to_end(&mut got).await;
            let ended = case.ended.await.unwrap();
            assert_eq!(ended.by, By::Budget(Way::Up));
            assert!(ended.up <= limit, "{} of {limit}", ended.up);
            assert!(got.len() as u64 <= limit);
            drop(sender.await.unwrap());
        }
        let mut case = tunnel(budgets(u64::MAX, Some(5)), LONG, b"").await;
        case.server.write_all(b"longer than that").await.unwrap();
        let ended = case.ended.await.unwrap();
        assert_eq!((ended.by, ended.down), (By::Budget(Way::Down), 0));
    }

    #[tokio::test]
    async fn nothing_moving_is_an_end() {
        let case = tunnel(budgets(u64::MAX, None), Duration::from_millis(50), b"").await;
        assert_eq!(case.ended.await.unwrap().by, By::Idle);
    }

    #[tokio::test]
    async fn a_break_is_told_from_an_end() {
        let case = tunnel(budgets(u64::MAX, None), LONG, b"").await;
        case.client.set_zero_linger().unwrap();
        drop(case.client);
        let by = case.ended.await.unwrap().by;
        assert_eq!(by, By::Broken(Errno::ECONNRESET));
    }
}
