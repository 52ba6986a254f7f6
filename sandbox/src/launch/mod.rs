//! Builds the walls and starts the command.

pub mod caps;
pub mod id;
pub mod landlock;
mod remove;
pub mod rlimits;
pub mod scratch;
pub mod seccomp;
