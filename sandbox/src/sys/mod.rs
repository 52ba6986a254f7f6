//! Every system call that no safe crate offers, one a function.
//!
//! A function here makes one call, checks its result, and returns `nix::Result`; decisions live
//! elsewhere. Each `unsafe` says in a SAFETY line which rule of the call it keeps.
#![allow(unsafe_code, reason = "the room for it: see ARCHITECTURE.md")]
pub mod caps;
pub mod link;
pub mod mount;
pub mod net;
pub mod notify;
pub mod pidfd;
#[cfg(test)]
pub(crate) mod probe;
pub mod process;
pub mod ptrace;
pub mod random;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
pub mod timer;
pub mod xattr;
