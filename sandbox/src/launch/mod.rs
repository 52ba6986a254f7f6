//! Builds the walls and starts the command.

pub mod id;
mod remove;
pub mod scratch;
pub mod seccomp;
