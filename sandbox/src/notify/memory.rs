//! A trapped thread's memory.
//!
//! What is read may be changed by the process's other threads at any time: it is evidence, never a
//! ground for a decision about access.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::Result;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

use super::Answer;
use super::service::send;
use crate::sys::notify::{Buffers, check_id};

/// Reads stay inside a page, the smallest unit that can be missing.
const PAGE: usize = 4096;

/// The thread that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    listener: BorrowedFd<'a>,
    id: u64,
    tid: i32,
}

impl<'a> Target<'a> {
    pub(super) fn new(listener: BorrowedFd<'a>, id: u64, tid: i32) -> Self {
        Self { listener, id, tid }
    }

    /// The thread, in this process's process-id namespace.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Fails with `ENOENT` if the call no longer waits. Thread ids are used again: whatever was
    /// looked up by [`Self::tid`] counts only if this succeeds *afterwards*.
    pub fn confirm(&self) -> Result<()> {
        check_id(self.listener, self.id)
    }

    /// A hold on the call beyond the handler's return, which then is [`Answer::Later`].
    pub fn later(&self) -> Result<Later> {
        self.confirm()?;
        let listener = self
            .listener
            .try_clone_to_owned()
            .map_err(|e| errno_of(&e))?;
        Ok(Later {
            listener,
            id: self.id,
            tid: self.tid,
        })
    }

    /// Fills `buf` from `address`; `EFAULT` if not all of it is mapped, `ENOENT` if the call no
    /// longer waits.
    pub fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let got = self.read_some(address, buf);
        self.confirm()?;
        if got? == buf.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Reads the string at `address` without its NUL; `ENAMETOOLONG` if it does not end within
    /// `max` bytes. Goes page by page, since a string may end just before memory that is not there.
    pub fn read_string(&self, address: u64, max: usize) -> Result<Vec<u8>> {
        let text = self.read_string_unconfirmed(address, max);
        self.confirm()?;
        text
    }

    /// Writes `bytes` at `address` as far as the process itself could; errors as [`Self::read`].
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.confirm()?;
        let remote = [RemoteIoVec {
            base: usize_of(address)?,
            len: bytes.len(),
        }];
        let put = match process_vm_writev(self.pid(), &[IoSlice::new(bytes)], &remote) {
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let file = self.open_memory(true)?;
                file.write_at(bytes, address).map_err(|e| memory_errno(&e))
            }
            other => other,
        };
        if put? == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Opens the process's memory as a file: it keeps naming this process also after the thread
    /// id is used again. Writes may be forced through protections, where the kernel allows it.
    pub fn open_memory(&self, writable: bool) -> Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(libc::O_CLOEXEC)
            .open(format!("/proc/{}/mem", self.tid))
            .map_err(|e| errno_of(&e))?;
        self.confirm()?;
        Ok(file)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.tid)
    }

    fn read_some(&self, address: u64, buf: &mut [u8]) -> Result<usize> {
        let remote = [RemoteIoVec {
            base: usize_of(address)?,
            len: buf.len(),
        }];
        match process_vm_readv(self.pid(), &mut [IoSliceMut::new(buf)], &remote) {
            // Some containers' own filters refuse it.
            Err(Errno::ENOSYS | Errno::EPERM) => self
                .open_memory(false)?
                .read_at(buf, address)
                .map_err(|e| memory_errno(&e)),
            other => other,
        }
    }

    fn read_string_unconfirmed(&self, mut address: u64, max: usize) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut page = [0u8; PAGE];
        while text.len() < max {
            let in_page = PAGE - usize_of(address)? % PAGE;
            let want = &mut page[..in_page.min(max - text.len())];
            let got = self.read_some(address, want)?;
            let got = &want[..got];
            if let Some(end) = got.iter().position(|&b| b == 0) {
                text.extend_from_slice(&got[..end]);
                return Ok(text);
            }
            if got.is_empty() {
                return Err(Errno::EFAULT);
            }
            text.extend_from_slice(got);
            address = address.checked_add(got.len() as u64).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }
}

/// A call that will be answered after its handler returned. Dropped without an answer, the call waits
/// until its process ends.
#[derive(Debug)]
pub struct Later {
    listener: OwnedFd,
    id: u64,
    tid: i32,
}

impl Later {
    /// The thread that waits.
    pub fn target(&self) -> Target<'_> {
        Target::new(self.listener.as_fd(), self.id, self.tid)
    }

    /// Answers; `ENOENT` if the call no longer waits.
    pub fn answer(self, answer: Answer) -> Result<()> {
        send(self.listener.as_fd(), self.id, answer, &mut Buffers::new()?)
    }
}

fn usize_of(address: u64) -> Result<usize> {
    usize::try_from(address).map_err(|_| Errno::EFAULT)
}

fn errno_of(e: &io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// `/proc/TID/mem` says `EIO` where the system calls say `EFAULT`.
fn memory_errno(e: &io::Error) -> Errno {
    match errno_of(e) {
        Errno::EIO => Errno::EFAULT,
        other => other,
    }
}
