//! The proxy's engine against real sockets, each test in a user and network namespace of its own:
//! destinations are on addresses that were put on its loopback, names are answered by a name server
//! of the test.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![expect(clippy::too_many_lines, reason = "tables")]

mod doors;
mod limits;
mod names;
mod outside;
mod requests;
mod tape;
mod world;
