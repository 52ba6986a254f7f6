//! One run of a build in a sealed sandbox.
//!
//! `plan` holds what of the host a run needs, `launch` builds the walls and starts the command,
//! `notify` is the one seccomp listener, `clock` moves the wall clock, `observe` turns what the
//! listener saw into records, `capture` reads the outputs. Every `unsafe` is in `sys` (one syscall
//! a function) and `clock` (code that runs inside a patched vDSO).

pub mod capture;
pub mod clock;
mod error;
pub mod launch;
pub mod notify;
pub mod observe;
pub mod plan;
pub mod sys;

pub use error::{SetupError, Step};
