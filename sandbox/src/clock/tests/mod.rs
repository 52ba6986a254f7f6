//! The moved clock against the real kernel and real programs.
//!
//! Every program runs twice, with the clock moved and without; a test that only looked at the moved
//! run could not tell a wrong reading from a wrong expectation.

mod image;
mod sites;
mod tier_userns;
