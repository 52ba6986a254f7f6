//! The one seccomp listener of a run and its handlers.
//!
//! The kernel allows one listener on a filter chain, so everything that wants to see a call (the
//! moved clock, the record of egress) is a [`Handler`] here. Nothing here is a wall: a handler
//! observes and virtualises, and no decision about access may rest on what it read of a process's memory.
//! This room knows nothing of what the handlers do.

mod egress;
mod memory;
mod service;
#[cfg(test)]
#[path = "tests.rs"]
mod tier_userns;

pub use memory::{Later, Target};
pub use service::{Counters, Service};

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The kernel's name for this notification.
    pub id: u64,
    /// The calling thread, in the reader's process-id namespace.
    pub tid: i32,
    /// System call number.
    pub nr: i32,
    /// Its arguments.
    pub args: [u64; 6],
    /// Where the caller goes on: the address after its `syscall` instruction.
    pub ip: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The kernel runs it as it stands.
    Continue,
    /// It is not run, and returns this.
    Value(i64),
    /// It is not run, and fails with this errno (positive).
    Errno(i32),
    /// The thread was sent elsewhere: the notification is void and gets no answer.
    Redirected,
    /// It is answered through [`Later`], which the handler has kept.
    Later,
}

/// Handles some system calls.
///
/// A wait that a signal broke is a new call to the kernel: a handler may see one call twice, with
/// another `id`. Handlers are called from several threads at once.
pub trait Handler: Send + Sync {
    /// Whether calls of this number go to this handler. The first that says yes gets them.
    fn wants(&self, nr: i32) -> bool;
    /// Decides what becomes of a call. The thread sleeps meanwhile.
    fn handle(&self, call: &Call, target: &Target<'_>) -> Answer;
}
