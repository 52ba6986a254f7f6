//! Builds the walls and starts the command.

pub mod seccomp;
