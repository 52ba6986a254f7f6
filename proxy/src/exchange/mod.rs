//! The relay of requests: one connection's requests, each judged on its own, each with its own record.
//!
//! One request is under way at a time; what a client sends ahead waits in its connection. The
//! connection to a server is kept for the next request to the same authority and given up as soon as
//! anything about it is odd.

mod answer;
mod judge;
mod relay;
mod replay;
mod wire;

use std::sync::Arc;

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::time::{Duration, timeout};

use crate::authority::Authority;
use crate::credential::Secrets;
use crate::deny;
use crate::http::{RequestHead, parse_request};
use crate::inspect::{Ca, Upstream};
use crate::log::Seen;
use crate::record::{Key, Store, Tape};
use crate::shared::Shared;
use relay::Server;
use wire::{Gone, Wire};

/// How long a client may take to read its last answer.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What the relay has beside what all connections share.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    /// The run's own authority, where TLS is opened.
    pub(crate) ca: Option<Ca>,
    /// The way to servers that speak TLS.
    pub(crate) tls: Option<Upstream>,
    /// What is put into requests.
    pub(crate) secrets: Secrets,
    /// Whom requests are answered by.
    pub(crate) source: Source,
}

/// Whom requests are answered by.
#[derive(Debug, Default)]
pub(crate) enum Source {
    /// Servers.
    #[default]
    Servers,
    /// Servers, and what they answer is kept.
    Recorded(Store),
    /// The recording. There is no way from here to a server.
    Tape(Tape),
}

impl Source {
    /// The run is over: a recording is closed.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        match self {
            Self::Recorded(store) => store.finish(),
            Self::Servers | Self::Tape(_) => Ok(()),
        }
    }
}

/// What a connection's requests are spoken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What is known of a connection before its first request.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) seen: Seen,
    pub(crate) scheme: Scheme,
    /// The one authority that its requests may be for; `None`: each names its own in its target.
    pub(crate) fixed: Option<Authority>,
    /// What the TLS hello said.
    pub(crate) hello: belljar_model::Exchange,
}

/// The client's connection.
struct Client<S> {
    from: Wire<S>,
    to: WriteHalf<S>,
}

/// Why a request is not answered by a server.
#[derive(Debug)]
struct Denial {
    reason: Reason,
    detail: String,
    status: &'static str,
    /// The client has part of an answer: all that can be said is an end.
    begun: bool,
}

const FORBIDDEN: &str = "403 Forbidden";
const BAD_GATEWAY: &str = "502 Bad Gateway";
const GATEWAY_TIMEOUT: &str = "504 Gateway Timeout";

impl Denial {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            status: FORBIDDEN,
            begun: false,
        }
    }

    fn gateway(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            status: BAD_GATEWAY,
            ..Self::new(reason, detail)
        }
    }

    /// Something of the server's is wrong.
    fn server(gone: &Gone) -> Self {
        match gone {
            Gone::Slow => Self {
                status: GATEWAY_TIMEOUT,
                ..Self::new(Reason::Timeout, "the server is too slow")
            },
            other => Self::gateway(Reason::UpstreamError, format!("the server: {other}")),
        }
    }

    /// Something of the client's is wrong.
    fn client(gone: &Gone) -> Self {
        match gone {
            Gone::Slow => Self::new(Reason::Timeout, "the client is too slow"),
            Gone::Bad(bad) => Self::new(bad.reason(), bad.detail()),
            other => Self::new(Reason::ClientGone, format!("the client: {other}")),
        }
    }

    fn begun(mut self) -> Self {
        self.begun = true;
        self
    }
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Close,
}

/// Serves all requests of a connection; `first` are the bytes that were read already.
pub(crate) async fn serve<S>(stream: S, first: Vec<u8>, context: Context)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (from, to) = tokio::io::split(stream);
    let mut client = Client {
        from: Wire::new(from, first),
        to,
    };
    let mut server = None;
    for turn in 0_u64.. {
        let mut decision = context.seen.draft("request");
        decision.protocol = context.scheme.name().into();
        decision.exchange = context.hello.clone();
        if let Some(fixed) = &context.fixed {
            crate::door::about(&mut decision, fixed, None);
        }
        let began = std::time::Instant::now();
        let done = tokio::select! {
            // What is done in the same moment is done.
            biased;
            done = turn_of(&mut client, &context, &mut server, &mut decision, turn) => done,
            () = context.shared.stopped() => {
                decision.exchange.detail = Some("the run is over".into());
                Some(Err(Denial::new(Reason::ClientGone, "the run is over").begun()))
            }
        };
        let Some(done) = done else { return };
        if turn > 0 {
            decision.took_us = crate::log::micros(began).max(1);
        }
        match done {
            Ok(Next::Again) => context.seen.decide(decision).await,
            Ok(Next::Close) => {
                context.seen.decide(decision).await;
                return end(client).await;
            }
            Err(denial) => return refuse(client, &context, decision, denial).await,
        }
    }
}

/// One request; `None`: the client has no further one.
async fn turn_of<S>(
    client: &mut Client<S>,
    context: &Context,
    server: &mut Option<Server>,
    decision: &mut Decision,
    turn: u64,
) -> Option<Result<Next, Denial>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = match read_head(client, context, turn).await {
        Ok(Some(head)) => head,
        Ok(None) => return None,
        Err(denial) => {
            if denial.reason != Reason::ClientGone {
                decision.exchange.hex = Some(crate::log::hex(client.from.bytes()));
            }
            return Some(Err(denial));
        }
    };
    decision.exchange.method = Some(head.method.clone());
    decision.up = head.bytes_in;
    let judged = match judge::judge(&head.head, context, decision) {
        Ok(judged) => judged,
        Err(denial) => return Some(Err(denial)),
    };
    let result = match &context.shared.relay.source {
        Source::Tape(tape) => {
            replay::serve(client, context, tape, &head.head, &judged, decision).await
        }
        source => {
            let done = relay::serve(client, context, server, &head.head, &judged, decision).await;
            // A server that did not answer is an answer too: run B is to be told the same.
            if let (Source::Recorded(store), Err(denial)) = (source, &done)
                && !denial.begun
                && denial.status != FORBIDDEN
                && !head.framing.has_body()
            {
                let none = belljar_model::Sha256::of(b"").0;
                let (scheme, to) = (context.scheme.name(), &judged.authority);
                let key = Key::of(scheme, to, &judged.target, &head.head, none);
                let status = denial.status[..3].parse().unwrap_or(502);
                store.fail(key, status, denial.reason);
            }
            done
        }
    };
    Some(result)
}

struct Read {
    head: RequestHead,
    bytes_in: u64,
}

impl std::ops::Deref for Read {
    type Target = RequestHead;
    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

async fn read_head<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    context: &Context,
    turn: u64,
) -> Result<Option<Read>, Denial> {
    let shared = &context.shared;
    if client.from.bytes().is_empty() {
        match client.from.more(shared.idle_time()).await {
            Ok(()) => {}
            // After an answer a client may leave as it likes.
            Err(Gone::Closed | Gone::Slow | Gone::Io(_)) if turn > 0 => return Ok(None),
            Err(Gone::Io(error)) => {
                let refusal = crate::inspect::refusal(&error);
                return Err(Denial::new(refusal.reason, refusal.detail).begun());
            }
            Err(gone) => return Err(Denial::client(&gone)),
        }
    }
    let limit = shared.limits.head_bytes as usize;
    let read = async {
        loop {
            match parse_request(client.from.bytes(), limit) {
                Ok(Some((head, length))) => {
                    client.from.used(length);
                    return Ok(Some(Read {
                        head,
                        bytes_in: length as u64,
                    }));
                }
                Ok(None) => {}
                Err(bad) => return Err(Denial::new(bad.reason(), bad.detail())),
            }
            client
                .from
                .more(shared.head_time())
                .await
                .map_err(|gone| Denial::client(&gone))?;
        }
    };
    match timeout(shared.head_time(), read).await {
        Ok(read) => read,
        Err(_) => Err(Denial::client(&Gone::Slow)),
    }
}

/// Records a denial and tells the client.
async fn refuse<S>(client: Client<S>, context: &Context, mut decision: Decision, denial: Denial)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    crate::door::denied(&mut decision, denial.reason, &denial.detail);
    if denial.reason == Reason::ClientGone {
        decision.verdict = EgressVerdict::None;
    }
    if decision.hint.is_none()
        && let Some(authority) = authority_of(&decision, context)
    {
        decision.hint = hint(denial.reason, &authority, &decision);
    }
    let answer = deny::answer(denial.status, denial.reason, decision.exchange.rule);
    if !denial.begun && denial.reason != Reason::ClientGone {
        decision.exchange.status = denial.status.get(..3).and_then(|s| s.parse().ok());
    }
    context.seen.decide(decision).await;
    context.seen.known().await;
    if denial.begun || denial.reason == Reason::ClientGone {
        // Dropped as it is: what was cut must look cut.
        return;
    }
    let mut client = client;
    let _ = timeout(LAST_WORD, client.to.write_all(&answer)).await;
    end(client).await;
}

fn authority_of(decision: &Decision, context: &Context) -> Option<Authority> {
    let host = std::str::from_utf8(decision.host.as_bytes()).ok()?;
    let host = crate::authority::Host::parse(host.as_bytes()).ok()?;
    let port = if decision.port == 0 {
        context.scheme.port()
    } else {
        decision.port
    };
    Some(Authority::new(host, port))
}

/// The rule that would allow it.
fn hint(reason: Reason, authority: &Authority, decision: &Decision) -> Option<String> {
    let exchange = &decision.exchange;
    match reason {
        Reason::MethodNotAllowed => exchange
            .method
            .as_ref()
            .map(|method| format!("add \"{method}\" to the methods of the rule for {authority}")),
        Reason::PathNotAllowed => Some(format!(
            "add the path to the paths of the rule for {authority}"
        )),
        Reason::UpgradeDenied => Some(format!("add websocket = true to the rule for {authority}")),
        _ => deny::hint(reason, authority),
    }
}

/// Ends a connection so that the client can read its last answer.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(client: Client<S>) {
    let Client { from, mut to } = client;
    let mut from = from.into_inner();
    let last = async {
        let _ = to.shutdown().await;
        let mut drained = [0; 4096];
        for _ in 0..16 {
            match from.read(&mut drained).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let _ = timeout(LAST_WORD, last).await;
}
