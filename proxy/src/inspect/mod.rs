//! TLS that is opened: the run's own authority, its leg to the client and the leg to the server.
//!
//! On both legs only HTTP/1.1 is spoken, never with early data, never below TLS 1.2. The server's
//! certificate is always verified. Nothing here knows a policy.

mod ca;
mod client;
mod server;
pub mod trust;

pub use ca::{Ca, CaError};
pub(crate) use client::refusal;
pub use client::{Prefixed, Refusal, accept};
pub use rustls::pki_types::CertificateDer;
pub use server::{Roots, TlsFault, Upstream};

/// The one protocol that is offered.
const ALPN: &[u8] = b"http/1.1";

/// The versions that are spoken.
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];
