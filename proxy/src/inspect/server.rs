//! The leg to the server, whose certificate is always verified against the host's roots.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ALPN, VERSIONS};

/// The roots that the host trusts.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// Their certificates.
    pub certs: Vec<CertificateDer<'static>>,
    /// What could not be read of them, in words.
    pub unread: Vec<String>,
}

impl Roots {
    /// Reads them from the host: `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set, or the
    /// system's.
    pub fn read() -> Self {
        let found = rustls_native_certs::load_native_certs();
        Self {
            certs: found.certs,
            unread: found.errors.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Why a server could not be met: a short name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsFault(pub String);

/// The way to servers.
#[derive(Clone)]
pub struct Upstream {
    connector: TlsConnector,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

impl Upstream {
    /// One that trusts these roots; those that no certificate could be verified by are left out.
    pub fn new(roots: &Roots) -> Result<Self, TlsFault> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.certs.iter().cloned());
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&VERSIONS)
                .map_err(|e| TlsFault(e.to_string()))?
                .with_root_certificates(store)
                .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_early_data = false;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Speaks TLS on a connection to this host (a name or an address).
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<TlsStream<S>, TlsFault> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsFault("server_name".into()))?;
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(|e| fault(&e))?;
        match stream.get_ref().1.alpn_protocol() {
            None | Some(ALPN) => Ok(stream),
            Some(_) => Err(TlsFault("alpn".into())),
        }
    }
}

fn fault(error: &io::Error) -> TlsFault {
    use CertificateError as C;
    use rustls::Error as E;
    let text = match error.get_ref().and_then(|e| e.downcast_ref::<E>()) {
        Some(E::InvalidCertificate(why)) => match why {
            C::Expired | C::ExpiredContext { .. } => "expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "not_valid_yet",
            C::Revoked => "revoked",
            C::UnknownIssuer => "unknown_issuer",
            C::BadSignature => "bad_signature",
            C::NotValidForName | C::NotValidForNameContext { .. } => "not_valid_for_name",
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => "invalid_purpose",
            C::BadEncoding => "bad_encoding",
            C::Other(other) => return TlsFault(format!("certificate: {other}")),
            other => return TlsFault(format!("certificate: {other:?}")),
        }
        .into(),
        Some(E::AlertReceived(alert)) => format!("alert {alert:?}"),
        Some(E::NoApplicationProtocol) => "alpn".into(),
        Some(E::InvalidMessage(_)) => "not_tls".into(),
        Some(E::PeerIncompatible(why)) => format!("incompatible: {why:?}"),
        Some(other) => other.to_string(),
        None => error.kind().to_string(),
    };
    TlsFault(text)
}
