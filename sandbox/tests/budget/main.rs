//! Scratch folders, cgroup leaves and the disk watch on the real kernel.
//!
//! Some tests need a second process: another user, or one that is killed. They start this binary
//! again with one of its `part_` functions, which are ignored as tests of their own.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests"
)]

mod cgroup;
mod delegation;
mod disk;
mod parts;
mod scratch;
