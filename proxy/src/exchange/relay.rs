//! One request, answered by a server.

use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use belljar_model::Reason;
use belljar_model::door::Decision;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::judge::Judged;
use super::wire::{Gone, Wire};
use super::{Client, Context, Denial, Next, Scheme, Source};
use crate::authority::{Authority, Host};
use crate::http::{BadHead, Fault, Framing, Payload, RequestHead, ResponseHead, parse_response};
use crate::limits::Way;
use crate::record::Key;

/// Interim answers before the one that counts.
const MOST_INTERIM: usize = 8;
/// What a recording can't hold: each answer has to be the whole one.
const CONDITIONAL: [&str; 6] = [
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to a server.
pub(super) struct Server {
    authority: Authority,
    from: Wire<Box<dyn Stream>>,
    to: WriteHalf<Box<dyn Stream>>,
    answers: Vec<IpAddr>,
    peer: SocketAddr,
}

impl Server {
    async fn dial(
        context: &Context,
        judged: &Judged,
        decision: &mut Decision,
    ) -> Result<Self, Denial> {
        let shared = &context.shared;
        let dialled = shared
            .dialer
            .connect(&judged.authority, judged.rule)
            .await
            .map_err(|refused| {
                decision.answers = refused.answers;
                Denial {
                    // A destination that may not be reached is denied like any other.
                    status: if matches!(refused.reason, Reason::Unreachable | Reason::NoAnswer) {
                        super::BAD_GATEWAY
                    } else {
                        super::FORBIDDEN
                    },
                    ..Denial::new(refused.reason, refused.detail)
                }
            })?;
        let _ = dialled.stream.set_nodelay(true);
        decision.answers.clone_from(&dialled.answers);
        decision.dialled = Some(dialled.peer);
        let stream: Box<dyn Stream> = match context.scheme {
            Scheme::Http => Box::new(dialled.stream),
            Scheme::Https => {
                let Some(tls) = &shared.relay.tls else {
                    return Err(Denial::gateway(Reason::UpstreamTls, "no roots"));
                };
                let host = match judged.authority.host() {
                    Host::Name(name) => name.clone(),
                    Host::Address(ip) => ip.to_string(),
                };
                let opened = timeout(shared.head_time(), tls.connect(dialled.stream, &host)).await;
                match opened {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(fault)) => return Err(Denial::gateway(Reason::UpstreamTls, fault.0)),
                    Err(_) => return Err(Denial::server(&Gone::Slow)),
                }
            }
        };
        let (from, to) = tokio::io::split(stream);
        Ok(Self {
            authority: judged.authority.clone(),
            from: Wire::new(from, Vec::new()),
            to,
            answers: dialled.answers,
            peer: dialled.peer,
        })
    }

    /// Whether it is for this authority, and neither closed nor has said what nobody asked for.
    async fn fits(&mut self, authority: &Authority) -> bool {
        if self.authority != *authority || !self.from.bytes().is_empty() {
            return false;
        }
        let more = self.from.more(std::time::Duration::from_hours(1));
        let mut more = std::pin::pin!(more);
        std::future::poll_fn(|c| Poll::Ready(more.as_mut().poll(c).is_pending())).await
    }
}

/// Has a server answer the request.
pub(super) async fn serve<S>(
    client: &mut Client<S>,
    context: &Context,
    kept: &mut Option<Server>,
    head: &RequestHead,
    judged: &Judged,
    decision: &mut Decision,
) -> Result<Next, Denial>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = &context.shared;
    let mut server = match kept.take() {
        Some(mut server) => {
            if server.fits(&judged.authority).await {
                decision.answers.clone_from(&server.answers);
                decision.dialled = Some(server.peer);
                server
            } else {
                drop(server);
                Server::dial(context, judged, decision).await?
            }
        }
        None => Server::dial(context, judged, decision).await?,
    };
    let bytes = to_server(head, judged, context);
    decision.up = 0;
    spend(context, judged, Way::Up, bytes.len())?;
    write(&mut server.to, &bytes, context)
        .await
        .map_err(|gone| Denial::server(&gone))?;
    decision.up += bytes.len() as u64;
    if judged.expects {
        context.seen.known().await;
        write(&mut client.to, b"HTTP/1.1 100 Continue\r\n\r\n", context)
            .await
            .map_err(|gone| Denial::client(&gone))?;
    }
    let (answer_head, sent) =
        exchange(client, &mut server, context, head, judged, decision).await?;
    decision.exchange.status = Some(answer_head.status);
    if answer_head.status == 101 {
        if !judged.websocket || answer_head.headers.list("upgrade") != ["websocket"] {
            return Err(Denial::gateway(
                Reason::UpstreamError,
                "the server changes the protocol",
            ));
        }
        return socket(client, server, context, &answer_head, judged, decision).await;
    }
    let secrets = &shared.relay.secrets;
    if judged.credential.is_some() && answer_head.headers.iter().any(|h| secrets.holds(&h.value)) {
        return Err(Denial::gateway(
            Reason::SecretMisroute,
            "the answer's head holds the credential",
        ));
    }
    let recording = match (&shared.relay.source, sent) {
        (Source::Recorded(store), Some(body)) => {
            let key = Key::of(
                context.scheme.name(),
                &judged.authority,
                &judged.target,
                head,
                body,
            );
            Some((store, key))
        }
        _ => None,
    };
    let whole = sent.is_some();
    let answered = Answer {
        context,
        judged,
        request: head,
        head: &answer_head,
        close: !whole || !head.keeps_alive(),
    };
    let next = answer::relay(client, &mut server.from, answered, recording, decision).await?;
    if whole && answer_head.keeps_alive() && server.from.bytes().is_empty() {
        *kept = Some(server);
    } else if !server.from.bytes().is_empty() && answer_head.keeps_alive() {
        decision.exchange.detail = Some("bytes after the answer".into());
    }
    Ok(next)
}

/// The head as it goes to the server.
fn to_server(head: &RequestHead, judged: &Judged, context: &Context) -> Vec<u8> {
    let mut head = head.clone();
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "via"] {
        head.headers.remove(name);
    }
    if matches!(context.shared.relay.source, Source::Recorded(_)) {
        for name in CONDITIONAL {
            head.headers.remove(name);
        }
    }
    let port = judged.authority.port();
    let full = judged.authority.to_string();
    let host = if port == context.scheme.port() {
        full.trim_end_matches(&format!(":{port}")).to_owned()
    } else {
        full
    };
    let secret = judged
        .credential
        .as_ref()
        .and_then(|label| context.shared.relay.secrets.header(label));
    let mut extra: Vec<(&str, &[u8])> = Vec::new();
    if let Some((name, value)) = &secret {
        extra.push((name, value));
        // What is packed can't be searched for the credential.
        extra.push(("accept-encoding", b"identity"));
    }
    if judged.websocket {
        extra.push(("connection", b"Upgrade"));
        extra.push(("upgrade", b"websocket"));
    }
    head.to_origin(&judged.target, &host, &extra)
}

/// Sends the body and waits for the answer, whichever comes first: the answer's head, and the digest
/// of the body where all of it was sent.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    server: &mut Server,
    context: &Context,
    head: &RequestHead,
    judged: &Judged,
    decision: &mut Decision,
) -> Result<(ResponseHead, Option<[u8; 32]>), Denial> {
    let Server { from, to, .. } = server;
    let up = upload(
        &mut client.from,
        to,
        context,
        head,
        judged,
        &mut decision.up,
    );
    let down = next_head(from, context, &head.method);
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        biased;
        sent = &mut up => {
            let digest = sent?;
            let head = down.await.map_err(|gone| Denial::server(&gone))?;
            Ok((head, Some(digest)))
        }
        early = &mut down => {
            Ok((early.map_err(|gone| Denial::server(&gone))?, None))
        }
    }
}

/// The next answer's head.
async fn next_head(
    from: &mut Wire<Box<dyn Stream>>,
    context: &Context,
    method: &str,
) -> Result<ResponseHead, Gone> {
    let limit = context.shared.limits.head_bytes as usize;
    for _ in 0..=MOST_INTERIM {
        let head = loop {
            match parse_response(from.bytes(), limit, method) {
                Ok(Some((head, length))) => {
                    from.used(length);
                    break head;
                }
                Ok(None) => from.more(context.shared.idle_time()).await?,
                Err(bad) => return Err(Gone::Bad(bad)),
            }
        };
        if !head.is_interim() {
            return Ok(head);
        }
    }
    Err(Gone::Bad(BadHead::new(Fault::Interim, 0)))
}

async fn upload<S: AsyncRead>(
    from: &mut Wire<S>,
    to: &mut WriteHalf<Box<dyn Stream>>,
    context: &Context,
    head: &RequestHead,
    judged: &Judged,
    count: &mut u64,
) -> Result<[u8; 32], Denial> {
    let mut digest = Sha256::new();
    let mut payload = Payload::new(head.framing);
    let idle = context.shared.idle_time();
    while let Some(data) = from
        .body(&mut payload, idle)
        .await
        .map_err(|gone| Denial::client(&gone))?
    {
        spend(context, judged, Way::Up, data.len())?;
        digest.update(&data);
        let framed = framed(head.framing, &data);
        write(to, &framed, context)
            .await
            .map_err(|gone| Denial::server(&gone))?;
        *count += data.len() as u64;
    }
    if head.framing == Framing::Chunked {
        write(to, b"0\r\n\r\n", context)
            .await
            .map_err(|gone| Denial::server(&gone))?;
    }
    Ok(digest.finalize().into())
}

/// A run of a body as it goes over the wire.
pub(super) fn framed(framing: Framing, data: &[u8]) -> Vec<u8> {
    if framing != Framing::Chunked || data.is_empty() {
        return data.to_vec();
    }
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}

pub(super) fn spend(context: &Context, judged: &Judged, way: Way, n: usize) -> Result<(), Denial> {
    if context.shared.budgets.spend(judged.rule, way, n as u64) {
        return Ok(());
    }
    Err(Denial::new(
        Reason::BudgetExceeded,
        match way {
            Way::Up => "bytes out",
            Way::Down => "bytes in",
        },
    ))
}

pub(super) async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    bytes: &[u8],
    context: &Context,
) -> Result<(), Gone> {
    let all = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    match timeout(context.shared.idle_time(), all).await {
        Err(_) => Err(Gone::Slow),
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Gone::Io(e)),
    }
}

/// A WebSocket: bytes both ways, counted, until one side ends.
async fn socket<S>(
    client: &mut Client<S>,
    mut server: Server,
    context: &Context,
    head: &ResponseHead,
    judged: &Judged,
    decision: &mut Decision,
) -> Result<Next, Denial>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = head.to_client(
        Framing::Empty,
        &[("connection", b"Upgrade"), ("upgrade", b"websocket")],
    );
    context.seen.known().await;
    write(&mut client.to, &told, context)
        .await
        .map_err(|gone| Denial::client(&gone))?;
    let idle = context.shared.idle_time();
    loop {
        // Both are looked at before either waits; a read that is given up loses nothing.
        if !client.from.bytes().is_empty() {
            let data = client.from.bytes().to_vec();
            client.from.used(data.len());
            spend(context, judged, Way::Up, data.len()).map_err(Denial::begun)?;
            decision.up += data.len() as u64;
            if write(&mut server.to, &data, context).await.is_err() {
                return Ok(Next::Close);
            }
        }
        if !server.from.bytes().is_empty() {
            let data = server.from.bytes().to_vec();
            server.from.used(data.len());
            spend(context, judged, Way::Down, data.len()).map_err(Denial::begun)?;
            decision.down += data.len() as u64;
            if write(&mut client.to, &data, context).await.is_err() {
                return Ok(Next::Close);
            }
        }
        let ended = tokio::select! {
            more = client.from.more(idle) => more,
            more = server.from.more(idle) => more,
        };
        if ended.is_err() {
            return Ok(Next::Close);
        }
    }
}
