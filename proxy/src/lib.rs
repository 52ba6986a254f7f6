//! The one door of the sandbox: a proxy that denies what no rule allows, and says so.
//!
//! It runs as a process of its own, outside the sandbox's network, confined by the caller
//! (`sandbox::launch`), and is reached by listeners that were made inside. It must not know how it is
//! confined or which process asks: it is given sockets, and tells its decisions.
//!
//! [`prepare`] reads all it needs of the host; [`serve`] opens no file any more.
#![forbid(unsafe_code)]

pub mod address;
pub mod authority;
#[doc(hidden)]
pub mod check;
mod client;
pub mod credential;
pub mod deny;
pub mod dial;
pub mod dns;
mod door;
mod exchange;
mod guard;
mod handoff;
pub mod hello;
pub mod http;
pub mod inspect;
pub mod limits;
pub mod log;
pub mod policy;
pub mod record;
mod resolve;
mod server;
mod setup;
mod shared;
pub mod socks;
mod synthetic;
mod tunnel;
mod upstream;

pub use server::serve;
pub use setup::{Doors, Extras, Host, Prepared, ProxyError, Role, Setup, prepare, prepare_with};
