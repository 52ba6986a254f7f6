//! One of belljar's own streams, written without ever waiting for its reader: a pager that stands
//! still must not keep a Ctrl-C or a time budget from the build.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

/// What a pipe that is ready takes whole: a write of more could wait.
const PIECE: usize = 4096;

/// A stream with what its reader has not taken yet.
#[derive(Debug)]
pub struct Outlet {
    /// Absent once nobody reads any more.
    fd: Option<OwnedFd>,
    waiting: Vec<u8>,
}

impl Outlet {
    /// For standard output or error.
    pub fn new(stream: impl AsFd) -> Self {
        Self {
            fd: stream.as_fd().try_clone_to_owned().ok(),
            waiting: Vec::new(),
        }
    }

    /// Writes what the reader takes now and keeps the rest. False: nobody reads any more.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        if self.fd.is_some() {
            self.waiting.extend_from_slice(bytes);
            self.drain();
        }
        self.fd.is_some()
    }

    /// What to wait for, where something waits.
    pub fn full(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.fd.as_ref()?;
        (!self.waiting.is_empty()).then(|| fd.as_fd())
    }

    /// Writes what the reader takes now.
    pub fn drain(&mut self) {
        let mut done = 0;
        while let Some(fd) = &self.fd
            && done < self.waiting.len()
            && ready(fd, PollTimeout::ZERO)
        {
            let end = self.waiting.len().min(done + PIECE);
            match write(fd, &self.waiting[done..end]) {
                Ok(n) => done += n,
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => self.fd = None,
            }
        }
        self.waiting.drain(..done);
        if self.fd.is_none() {
            self.waiting.clear();
        }
    }

    /// Waits a little for the reader and writes on; true once nothing waits any more.
    pub fn finish(&mut self, wait: PollTimeout) -> bool {
        if let Some(fd) = &self.fd {
            ready(fd, wait);
        }
        self.drain();
        self.full().is_none()
    }
}

/// Whether a write can be made, also where it will fail.
fn ready(fd: &OwnedFd, wait: PollTimeout) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, wait).is_ok_and(|n| n > 0)
}

/// The streams of this process.
pub fn standard() -> (Outlet, Outlet) {
    (Outlet::new(io::stdout()), Outlet::new(io::stderr()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::{Duration, Instant};

    use super::*;

    fn pipe() -> (std::fs::File, Outlet) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader.into(), Outlet::new(writer))
    }

    /// Far more than a pipe holds, to a reader that does not read: it returns, and keeps the rest.
    #[test]
    fn a_reader_that_stands_still_does_not_stop_the_writer() {
        let (mut reader, mut outlet) = pipe();
        let text: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let start = Instant::now();
        assert!(outlet.put(&text));
        assert!(outlet.full().is_some());
        assert!(start.elapsed() < Duration::from_secs(5));
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        while !outlet.finish(PollTimeout::from(100_u16)) {}
        drop(outlet);
        assert_eq!(read.join().unwrap(), text);
    }

    #[test]
    fn a_reader_that_is_gone_is_said() {
        let (reader, mut outlet) = pipe();
        drop(reader);
        assert!(!outlet.put(b"x"));
        assert!(outlet.full().is_none());
        assert!(outlet.finish(PollTimeout::ZERO));
    }
}
