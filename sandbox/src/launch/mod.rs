//! Builds the walls and starts the command.
//!
//! supervisor -> launcher -> init -> build, each a fork of the one before, each single-threaded
//! until its fork is done. [`Session`] is the supervisor's side.

mod ahead;
mod boot;
mod budgets;
mod build;
pub mod caps;
pub mod cgroup;
mod copy;
pub mod disk;
mod door;
mod hints;
pub mod id;
pub mod ids;
mod init;
pub mod landlock;
mod launcher;
mod layers;
mod orders;
mod remove;
mod require;
pub mod rlimits;
mod root;
mod scheduling;
pub mod scratch;
pub mod seccomp;
mod session;
mod stop;
mod streams;
mod supervise;
mod survey;
pub mod sweep;
mod terminal;
mod trees;
mod walls;
mod wire;
pub mod workspace;

pub use ahead::Ahead;
pub use door::{Door, Doors, Keeper};
pub use session::{Outcome, Session};
pub use stop::{Asked, Stop};
pub use streams::{Sink, Stream};
pub use survey::Survey;
