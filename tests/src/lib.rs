//! What the end-to-end tests share: the program under test, an ordinary user to run it as, a copy
//! of a source tree to run it on, and the evidence that it leaves.
//!
//! Must not know how belljar works inside: tests start the program as a user would, and read what
//! it printed and wrote.
#![forbid(unsafe_code)]

mod console;
pub mod coverage;
mod evidence;
mod fixture;
mod outside;
mod project;
mod vm;

pub use console::{check_shell_blocks, run_blocks};
pub use evidence::Evidence;
pub use fixture::{Expect, Side, leak_names};
pub use outside::{ORIGIN, Outside};
pub use project::{Project, Ran, belljar_bin, eventually, repository};
pub use vm::{KERNELS, Vm};
