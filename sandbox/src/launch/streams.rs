//! The build's streams: pipes, or a terminal of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use belljar_model::{Label, Streams};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::SetupError;
use crate::error::At;
use crate::sys::terminal::{get_size, set_size};

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The terminal, both merged.
    Terminal,
}

/// Where a run's output and progress go.
pub trait Sink {
    /// The launcher is at work: for a while this process has nothing to do. Called again where a run
    /// is tried again.
    fn started(&mut self) {}
    /// A piece of the build's output, as it was read. False: nobody reads that stream any more,
    /// and the build's end of it is closed as it would be without belljar.
    fn output(&mut self, run: Label, stream: Stream, bytes: &[u8]) -> bool;
    /// Where it can't take more for now: what to wait for until it can be written to. Until then
    /// the build's output is left where it is, and signals and budgets are heeded.
    fn full(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// That can be written to now.
    fn drain(&mut self) {}
    /// Called a few times a second while a run goes on.
    fn tick(&mut self, _run: Label, _elapsed: Duration) {}
}

/// The supervisor's ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// What to read, with the name of the stream.
    pub(super) outputs: Vec<(Stream, OwnedFd)>,
    /// Where the caller's input goes.
    pub(super) input: Option<OwnedFd>,
    /// Input read from the caller and not yet taken by the build.
    pending: Vec<u8>,
}

/// Makes the pipes; with a terminal the ends come from init.
pub(super) fn make(streams: Streams) -> Result<(Ends, Option<[OwnedFd; 3]>), SetupError> {
    let step = "make the build's pipes";
    let (stdin, input) = match streams {
        Streams::Terminal => return Ok((Ends::default(), None)),
        Streams::Pipes => {
            let null = std::fs::File::open("/dev/null").step_at(step, "/dev/null")?;
            (OwnedFd::from(null), None)
        }
        Streams::PipesWithStdin => {
            let (r, w) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step(step)?;
            nonblocking(&w).step(step)?;
            (r, Some(w))
        }
    };
    let (out_r, out_w) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step(step)?;
    let (err_r, err_w) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step(step)?;
    let outputs = vec![(Stream::Out, out_r), (Stream::Err, err_r)];
    for (_, fd) in &outputs {
        nonblocking(fd).step(step)?;
    }
    let ends = Ends {
        outputs,
        input,
        pending: Vec::new(),
    };
    Ok((ends, Some([stdin, out_w, err_w])))
}

fn nonblocking(fd: &OwnedFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

impl Ends {
    /// Takes the master end of the build's terminal.
    pub(super) fn take_terminal(&mut self, master: OwnedFd) -> Result<(), SetupError> {
        let step = "connect the terminal";
        resize(&master);
        nonblocking(&master).step(step)?;
        self.input = Some(master.try_clone().step(step)?);
        self.outputs = vec![(Stream::Terminal, master)];
        Ok(())
    }

    /// Whether the caller's input is wanted now.
    pub(super) fn wants_input(&self) -> bool {
        self.input.is_some() && self.pending.is_empty()
    }

    /// Whether input waits for the build to take it.
    pub(super) fn has_pending(&self) -> bool {
        self.input.is_some() && !self.pending.is_empty()
    }

    /// Reads from the caller; at its end the build's input is closed.
    pub(super) fn read_input(&mut self) {
        let mut buf = [0; 8192];
        match nix::unistd::read(std::io::stdin(), &mut buf) {
            Ok(0) | Err(Errno::EIO | Errno::EBADF | Errno::EISDIR) => self.input = None,
            Ok(n) => self.pending.extend_from_slice(&buf[..n]),
            Err(_) => {}
        }
    }

    /// Gives waiting input to the build.
    pub(super) fn write_input(&mut self) {
        let Some(fd) = &self.input else { return };
        match nix::unistd::write(fd, &self.pending) {
            Ok(n) => {
                self.pending.drain(..n);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The build closed its input.
            Err(_) => {
                self.input = None;
                self.pending.clear();
            }
        }
    }

    /// Reads what is there from output `i`, in at most `most` pieces; false when it has come to its
    /// end. A build that writes faster than this reads must not keep signals and budgets waiting.
    pub(super) fn read_output(
        &mut self,
        i: usize,
        label: Label,
        sink: &mut dyn Sink,
        most: usize,
    ) -> bool {
        let mut buf = [0; 16384];
        let (stream, fd) = &self.outputs[i];
        for _ in 0..most {
            match nix::unistd::read(fd, &mut buf) {
                Ok(n) if n > 0 => {
                    if !sink.output(label, *stream, &buf[..n]) {
                        return false;
                    }
                }
                Err(Errno::EAGAIN) => return true,
                Err(Errno::EINTR) => {}
                // A terminal ends with EIO when its last user is gone.
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }
}

/// Gives the build's terminal the size of the caller's.
pub(super) fn resize(master: &impl AsFd) {
    if let Ok(size) = get_size(std::io::stdin().as_fd()) {
        // A terminal without a size is one that programs cope with.
        let _ = set_size(master.as_fd(), size);
    }
}
