//! Builds the walls and starts the command.

pub mod seccomp;
pub mod id;
mod remove;
pub mod scratch;
