//! What supervisor, launcher, init and build tell each other, over SOCK_SEQPACKET pairs.
//!
//! One datagram is one message in JSON, with descriptors beside it where a message says so. A
//! set-up failure is a message of its own, so it can never be mistaken for the command's exit.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use belljar_model::{LayerReport, Probe};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::SetupError;

/// Longest message, in bytes: a report with every layer and probe is below 32 KiB.
const LONGEST: usize = 128 * 1024;

/// Supervisor to init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Deliver this signal to the build's process group.
    Signal(i32),
}

/// Supervisor to launcher, and launcher to init. Beside it: the file with the orders, and the
/// build's standard input, output and error unless it has a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Given;

/// Launcher or init to supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The set-up failed at a step; the command was not run.
    Failed(SetupError),
    /// Init exists, under this process id.
    Started { pid: i32 },
    /// The walls that init builds stand. Beside it: the folder that the build writes, and the
    /// master of the terminal if there is one.
    SetUp { layers: Vec<LayerReport> },
    /// Beside it: the name socket and the tables of sockets that belong to it.
    Names,
    /// Beside it: a listener of the egress proxy's, or what tells who asks.
    Door(super::door::Which),
    /// Beside it: the notification listener.
    Listener,
    /// The build's first process ended with this wait status.
    Ended { status: i32 },
    /// The launcher's last word: init was reaped, so every process inside is gone, and nothing more
    /// can come from it.
    Gone(Spent),
}

/// What init and all that it reaped have used (getrusage(2)).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) user_ms: u64,
    pub(crate) system_ms: u64,
    pub(crate) peak_memory_bytes: u64,
}

/// Build to supervisor, before its exec.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromBuild {
    /// A step failed; the command was not run.
    Failed(SetupError),
    /// All walls stand; what was measured from inside them.
    Ready(BuildReport),
    /// execve(2) was refused.
    ExecFailed { errno: i32 },
}

/// What the build's process found before its exec.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BuildReport {
    pub(crate) layers: Vec<LayerReport>,
    pub(crate) clock: BTreeMap<String, bool>,
    pub(crate) probes: Vec<Probe>,
}

/// Supervisor to build, before its exec.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToBuild {
    /// The listener is served: trapped calls are answered from now on.
    Served,
    /// Everything is as it must be: exec.
    Exec,
}

/// One end of a pair.
#[derive(Debug)]
pub(crate) struct Channel(pub(crate) OwnedFd);

impl Channel {
    /// Two connected ends.
    pub(crate) fn pair() -> nix::Result<(Self, Self)> {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self(a), Self(b)))
    }

    /// Sends a message, by write(2): the build's filters observe sendmsg(2).
    pub(crate) fn send(&self, message: &impl Serialize) -> nix::Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|_| Errno::EINVAL)?;
        loop {
            match nix::unistd::write(&self.0, &bytes) {
                Err(Errno::EINTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Sends a message with descriptors beside it.
    pub(crate) fn send_with(
        &self,
        message: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> nix::Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|_| Errno::EINVAL)?;
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() {
            &[][..]
        } else {
            &control[..]
        };
        let iov = [IoSlice::new(&bytes)];
        loop {
            let sent = sendmsg::<()>(
                self.0.as_raw_fd(),
                &iov,
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            match sent {
                Err(Errno::EINTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Waits for a message; `None` when the other end is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> nix::Result<Option<(T, Vec<OwnedFd>)>> {
        // Asked first, so that not every word costs a clean buffer for the longest message.
        let mut buf = vec![0u8; self.length()?.min(LONGEST)];
        let mut control = nix::cmsg_space!([RawFd; 8]);
        let (len, fds) = loop {
            let mut iov = [IoSliceMut::new(&mut buf)];
            let got = recvmsg::<()>(
                self.0.as_raw_fd(),
                &mut iov,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            match got {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(e) => return Err(e),
                Ok(m) => break (m.bytes, received_fds(m.cmsgs()?)),
            }
        };
        if len == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&buf[..len]).map_err(|_| Errno::EBADMSG)?;
        Ok(Some((message, fds)))
    }
}

impl Channel {
    /// Waits for a message and tells its length; 0 when the other end is gone.
    fn length(&self) -> nix::Result<usize> {
        let how = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        loop {
            let fd = self.0.as_raw_fd();
            match recvmsg::<()>(fd, &mut [], None, how).map(|m| m.bytes) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(0),
                other => return other,
            }
        }
    }
}

fn received_fds(messages: impl Iterator<Item = ControlMessageOwned>) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for message in messages {
        if let ControlMessageOwned::ScmRights(raw) = message {
            fds.extend(raw.into_iter().map(crate::sys::process::own_received));
        }
    }
    fds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn messages_and_descriptors_arrive() {
        let (a, b) = Channel::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &file, b"x").unwrap();
        std::io::Seek::rewind(&mut &file).unwrap();
        let error = SetupError::new("try", Errno::EPERM).at("/x").hint("do");
        a.send_with(&FromInit::Failed(error.clone()), &[file.as_fd()])
            .unwrap();
        let (message, fds) = b.receive::<FromInit>().unwrap().unwrap();
        assert!(matches!(message, FromInit::Failed(e) if e == error));
        let mut text = String::new();
        std::fs::File::from(fds.into_iter().next().unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "x");
        drop(a);
        assert!(b.receive::<FromInit>().unwrap().is_none());
    }
}
