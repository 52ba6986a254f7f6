//! The proxy's engine against real sockets, each test in a user and network namespace of its own:
//! destinations are on addresses that were put on its loopback, names are answered by a name server
//! of the test.

mod doors;
mod limits;
mod names;
mod outside;
mod requests;
mod tape;
mod world;
