//! The leg to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use belljar_model::Reason;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Ca;

/// A stream of which the first bytes were read already.
#[derive(Debug)]
pub struct Prefixed<S> {
    first: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S> Prefixed<S> {
    /// The bytes come first, then the stream.
    pub fn new(first: Vec<u8>, stream: S) -> Self {
        Self {
            first,
            at: 0,
            stream,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.first.len() {
            let n = room.remaining().min(this.first.len() - this.at);
            room.put_slice(&this.first[this.at..this.at + n]);
            this.at += n;
            if this.at == this.first.len() {
                (this.first, this.at) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(context, room)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Why a client could not be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// How it is recorded.
    pub reason: Reason,
    /// The alert, or the error by name.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

/// What to do about a client that does not trust the run's own authority.
const HINT: &str = "this program reads none of the trust files that are set for it; give it the file that SSL_CERT_FILE names, or let its host through unseen with tls = \"tunnel\" in its rule (`run` only)";

/// Meets a client as this host (a name or an address): `first` are the bytes of its hello that were
/// read already.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    first: Vec<u8>,
    ca: &Ca,
    host: &str,
) -> Result<TlsStream<Prefixed<S>>, Refusal> {
    let config = ca.config(host).map_err(|e| Refusal {
        reason: Reason::Unknown,
        detail: e.to_string(),
        hint: None,
    })?;
    TlsAcceptor::from(config)
        .accept(Prefixed::new(first, stream))
        .await
        .map_err(|e| refusal(&e))
}

/// What an error of a TLS leg to a client means.
pub(crate) fn refusal(error: &io::Error) -> Refusal {
    use rustls::Error as E;
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<E>());
    let (reason, detail, hint) = match tls {
        Some(E::AlertReceived(alert)) if distrusts(*alert) => {
            (Reason::CaNotTrusted, format!("alert {alert:?}"), Some(HINT))
        }
        Some(E::AlertReceived(alert)) => (Reason::ClientGone, format!("alert {alert:?}"), None),
        Some(E::NoApplicationProtocol) => (
            Reason::UpgradeDenied,
            "alpn: the client does not offer http/1.1".into(),
            None,
        ),
        Some(E::PeerIncompatible(why)) => (Reason::TlsOld, format!("{why:?}"), None),
        Some(other) => (Reason::NotTls, other.to_string(), None),
        None => (Reason::ClientGone, error.kind().to_string(), None),
    };
    Refusal {
        reason,
        detail,
        hint,
    }
}

fn distrusts(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::UnknownCA
            | A::BadCertificate
            | A::CertificateUnknown
            | A::UnsupportedCertificate
            | A::CertificateExpired
            | A::AccessDenied
    )
}
