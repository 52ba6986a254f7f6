//! Where a connection becomes a series of requests: the relay takes it from here.

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Exchange, Reason};
use tokio::time::timeout;

use crate::authority::{Authority, Host};
use crate::client::Client;
use crate::door::denied;
use crate::exchange::{self, Context, Scheme};
use crate::hello::alert;
use crate::inspect;

/// Requests as they come; `fixed`: the one authority that they may be for, or absolute targets.
pub(crate) async fn requests(client: Client, fixed: Option<Authority>) {
    let context = Context {
        shared: client.shared,
        seen: client.seen,
        scheme: Scheme::Http,
        fixed,
        hello: Exchange::default(),
    };
    exchange::serve(client.stream, client.read, context).await;
}

/// TLS whose hello was held to the authority, to be opened.
pub(crate) async fn tls(client: Client, authority: Authority, mut decision: Decision) {
    let shared = client.shared.clone();
    let Some(ca) = &shared.relay.ca else {
        denied(
            &mut decision,
            Reason::Unknown,
            "there is no authority to open TLS with",
        );
        client.seen.decide(decision).await;
        return client.last(&alert(false)).await;
    };
    client.seen.known().await;
    let host = match authority.host() {
        Host::Name(name) => name.clone(),
        Host::Address(ip) => ip.to_string(),
    };
    let accepting = inspect::accept(client.stream, client.read, ca, &host);
    let refusal = match timeout(shared.head_time(), accepting).await {
        Ok(Ok(stream)) => {
            let context = Context {
                shared: client.shared,
                seen: client.seen,
                scheme: Scheme::Https,
                fixed: Some(authority),
                hello: Exchange {
                    sni: decision.exchange.sni,
                    alpn: decision.exchange.alpn,
                    ..Exchange::default()
                },
            };
            return exchange::serve(stream, Vec::new(), context).await;
        }
        Ok(Err(refusal)) => refusal,
        Err(_) => inspect::Refusal {
            reason: Reason::Timeout,
            detail: "the client is too slow".into(),
            hint: None,
        },
    };
    denied(&mut decision, refusal.reason, &refusal.detail);
    if refusal.reason == Reason::ClientGone {
        decision.verdict = EgressVerdict::None;
    }
    decision.hint = refusal.hint.map(str::to_owned);
    client.seen.decide(decision).await;
}
