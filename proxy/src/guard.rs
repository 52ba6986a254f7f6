//! The protocol guard: the authority is fixed, and the first bytes decide what is spoken.
//!
//! TLS whose name is the authority's goes on, opened or not; HTTP goes to the relay, which holds each
//! request to the authority; everything else needs a rule with `raw`. Nothing of a client reaches a
//! destination before that.
//!
//! A tunnel is a task of its own: a task is as large as the largest thing it ever did, and most tunnels
//! are idle for most of their time.

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};

use crate::authority::{Authority, Host};
use crate::client::{Client, Gone};
use crate::deny::{forbidden, hint};
use crate::dial::{Dialed, Refused};
use crate::door::{Door, denied, refused};
use crate::handoff;
use crate::hello::{self, BadHello, Hello, alert};
use crate::limits::Way;
use crate::socks::Reply;
use crate::tunnel::{self, By, Terms};

/// Where TLS alone is spoken.
const TLS_PORT: u16 = 443;
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A connection whose destination is fixed, and which the policy lets pass.
pub(crate) struct Fixed {
    pub(crate) door: Door,
    pub(crate) authority: Authority,
    pub(crate) rule: Option<u32>,
    /// Its record so far.
    pub(crate) decision: Decision,
}

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Tls,
    Http,
    Other,
}

fn first(bytes: &[u8]) -> Option<First> {
    Some(match bytes.first()? {
        // A record of TLS, whichever, or a hello of SSL 2.
        20..=23 | 0x80.. => First::Tls,
        b'A'..=b'Z' | b'a'..=b'z' => First::Http,
        _ => First::Other,
    })
}

/// Takes it from here to its end.
pub(crate) async fn pass(mut client: Client, mut fixed: Fixed) {
    let raw = client.shared.raw(fixed.rule);
    let unseen = raw || (fixed.authority.port() == TLS_PORT && !client.shared.inspects(fixed.rule));
    let mut dialled = None;
    // Where nothing is opened, the client is told that it is connected when it is.
    if unseen && (raw || fixed.door != Door::Port) {
        match dial(&client, &fixed).await {
            Ok(connection) => dialled = Some(connection),
            Err(gone) => {
                refused(&mut fixed.decision, gone);
                return refuse(client, fixed, Stage::Asked).await;
            }
        }
    }
    match fixed.door {
        Door::Http => client.say(ESTABLISHED).await,
        Door::Socks => client.say(&Reply::Succeeded.bytes()).await,
        Door::Port => client.seen.known().await,
    }
    if raw && let Some(dialled) = dialled {
        tokio::spawn(join(client, fixed, dialled));
        return;
    }
    client.begin();
    let kind = loop {
        if let Some(kind) = first(&client.read) {
            break kind;
        }
        if let Err(gone) = client.more(hello::LONGEST).await {
            return left(client, fixed, gone).await;
        }
    };
    match kind {
        First::Tls => tls(client, fixed, dialled).await,
        First::Http if fixed.authority.port() != TLS_PORT => {
            Box::pin(handoff::requests(client, Some(fixed.authority))).await;
        }
        First::Http | First::Other => {
            fixed.decision.exchange.hex = Some(crate::log::hex(&client.read));
            let why = if fixed.authority.port() == TLS_PORT {
                "no TLS record"
            } else {
                "neither TLS nor HTTP"
            };
            denied(&mut fixed.decision, Reason::NotTls, why);
            refuse(client, fixed, Stage::Other).await;
        }
    }
}

async fn dial(client: &Client, fixed: &Fixed) -> Result<Dialed, Refused> {
    let shared = &client.shared;
    tokio::select! {
        dialled = Box::pin(shared.dialer.connect(&fixed.authority, fixed.rule)) => dialled,
        () = shared.stopped() => Err(Refused {
            reason: Reason::ClientGone,
            detail: "the run is over".into(),
            answers: Vec::new(),
        }),
    }
}

async fn tls(mut client: Client, mut fixed: Fixed, dialled: Option<Dialed>) {
    fixed.decision.protocol = "tls".into();
    let mut reader = hello::Reader::default();
    let read = loop {
        match reader.read(&client.read) {
            Ok(Some(hello)) => break Ok(hello),
            Ok(None) => {}
            Err(bad) => break Err(bad),
        }
        if let Err(gone) = client.more(hello::LONGEST + 1).await {
            return left(client, fixed, gone).await;
        }
    };
    let hello = match read {
        Ok(hello) => hello,
        Err(bad) => {
            let reason = match bad {
                BadHello::NotTls(_) => Reason::NotTls,
                BadHello::Old(_) => Reason::TlsOld,
                BadHello::Malformed(_) => Reason::BadRequest,
            };
            fixed.decision.exchange.hex = Some(crate::log::hex(&client.read));
            denied(&mut fixed.decision, reason, &bad.to_string());
            return refuse(client, fixed, Stage::Tls).await;
        }
    };
    let exchange = &mut fixed.decision.exchange;
    exchange.sni = hello.name.as_deref().map(crate::log::shown);
    exchange.alpn = hello.alpn.iter().map(|p| crate::log::shown(p)).collect();
    if let Err((reason, why)) = held(&hello, &fixed.authority) {
        denied(&mut fixed.decision, reason, why);
        return refuse(client, fixed, Stage::Tls).await;
    }
    if client.shared.inspects(fixed.rule) {
        return Box::pin(handoff::tls(client, fixed.authority, fixed.decision)).await;
    }
    let dialled = match dialled {
        Some(dialled) => Ok(dialled),
        None => dial(&client, &fixed).await,
    };
    match dialled {
        Ok(dialled) => {
            tokio::spawn(join(client, fixed, dialled));
        }
        Err(gone) => {
            refused(&mut fixed.decision, gone);
            refuse(client, fixed, Stage::Tls).await;
        }
    }
}

/// Whether the hello names the authority, and nobody else behind it.
fn held(hello: &Hello, authority: &Authority) -> Result<(), (Reason, &'static str)> {
    if hello.encrypted {
        return Err((Reason::EchPresent, "the hello has an encrypted part"));
    }
    match (&hello.name, authority.host()) {
        (None, Host::Address(_)) => Ok(()),
        (None, Host::Name(_)) => Err((Reason::SniMissing, "the hello names no server")),
        (Some(name), host) => match Host::parse(name) {
            Ok(named) if named == *host => Ok(()),
            Ok(_) => Err((Reason::SniMismatch, "the hello names another server")),
            Err(_) => Err((Reason::SniMismatch, "the hello's name is none")),
        },
    }
}

async fn join(mut client: Client, mut fixed: Fixed, dialled: Dialed) {
    // Nothing is let go before its process is known, not even an end.
    client.seen.known().await;
    let first = std::mem::take(&mut client.read);
    let shared = &client.shared;
    let terms = Terms {
        budgets: &shared.budgets,
        rule: fixed.rule,
        idle: shared.idle_time(),
    };
    let _ = client.stream.set_nodelay(true);
    let ended = tunnel::join(
        &shared.pool,
        &client.stream,
        &dialled.stream,
        first,
        terms,
        shared.stop.clone(),
    )
    .await;
    let decision = &mut fixed.decision;
    decision.answers = dialled.answers;
    decision.dialled = Some(dialled.peer);
    (decision.up, decision.down) = (ended.up, ended.down);
    match ended.by {
        By::Both | By::Stopped => {}
        By::Broken(errno) => decision.exchange.detail = Some(format!("{errno:?}")),
        By::Idle => decision.exchange.detail = Some("nothing moved for too long".into()),
        By::Budget(way) => {
            let why = match way {
                Way::Up => "bytes out",
                Way::Down => "bytes in",
            };
            denied(decision, Reason::BudgetExceeded, why);
            decision.hint = hint(Reason::BudgetExceeded, &fixed.authority);
        }
    }
    if matches!(ended.by, By::Broken(_) | By::Budget(_)) {
        // Broken off must look broken off at both ends, not done.
        let _ = client.stream.set_zero_linger();
        let _ = dialled.stream.set_zero_linger();
    }
    client.seen.decide(fixed.decision).await;
}

/// How far a connection has come, and so how a denial is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its door has not answered yet.
    Asked,
    /// It speaks TLS.
    Tls,
    /// It speaks nothing that a denial could be said in.
    Other,
}

async fn refuse(client: Client, mut fixed: Fixed, stage: Stage) {
    let decision = &mut fixed.decision;
    if decision.reason == Reason::ClientGone {
        decision.verdict = EgressVerdict::None;
    }
    if decision.hint.is_none() {
        decision.hint = hint(decision.reason, &fixed.authority);
    }
    let (reason, rule) = (decision.reason, decision.exchange.rule);
    client.seen.decide(fixed.decision).await;
    match (stage, fixed.door) {
        (Stage::Asked, Door::Http) => client.last(&forbidden(reason, rule)).await,
        (Stage::Asked, Door::Socks) => client.last(&Reply::NotAllowed.bytes()).await,
        (Stage::Tls, _) => {
            let name = matches!(reason, Reason::SniMismatch | Reason::SniMissing);
            client.last(&alert(name)).await;
        }
        (Stage::Asked, Door::Port) | (Stage::Other, _) => client.last(&[]).await,
    }
}

/// A port door's client that the policy denies: it is told in what it speaks.
pub(crate) async fn refuse_late(mut client: Client, mut fixed: Fixed) {
    client.seen.known().await;
    while first(&client.read).is_none() {
        if client.more(1).await.is_err() {
            break;
        }
    }
    match first(&client.read) {
        Some(First::Http) => {
            let answer = forbidden(fixed.decision.reason, fixed.rule);
            client.seen.decide(fixed.decision).await;
            client.last(&answer).await;
        }
        Some(First::Tls) => refuse(client, fixed, Stage::Tls).await,
        Some(First::Other) | None => {
            fixed.decision.exchange.hex = Some(crate::log::hex(&client.read));
            refuse(client, fixed, Stage::Other).await;
        }
    }
}

/// The client left, or was too slow, after its destination was let pass.
async fn left(client: Client, mut fixed: Fixed, gone: Gone) {
    gone.record(&mut fixed.decision);
    match gone {
        Gone::Slow | Gone::Long => refuse(client, fixed, Stage::Other).await,
        Gone::Closed | Gone::Broken(_) | Gone::Stopped => quiet(client, fixed.decision).await,
    }
}

/// Records, and ends without a word.
pub(crate) async fn quiet(client: Client, decision: Decision) {
    client.seen.known().await;
    client.seen.decide(decision).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_what_is_spoken() {
        for (bytes, kind) in [
            (&[22, 3, 1][..], First::Tls),
            (&[0x80, 46, 1], First::Tls),
            (&[21], First::Tls),
            (b"GET / HTTP/1.1", First::Http),
            (b"PRI * HTTP/2.0", First::Http),
            (b"SSH-2.0", First::Http),
            (b"\0\0\0", First::Other),
            (b"{}", First::Other),
        ] {
            assert_eq!(first(bytes), Some(kind), "{bytes:?}");
        }
        assert_eq!(first(b""), None);
    }

    #[test]
    fn a_hello_is_held_to_the_authority() {
        let named = |name: &[u8]| Hello {
            name: Some(name.to_vec()),
            ..Hello::default()
        };
        let at = |text: &str| Authority::parse(text.as_bytes(), None).unwrap();
        let reason = |hello: &Hello, text: &str| held(hello, &at(text)).err().map(|e| e.0);
        let a = "a.example:443";
        assert_eq!(reason(&named(b"a.example"), a), None);
        assert_eq!(reason(&named(b"A.Example"), a), None);
        for other in [
            &b"b.example"[..],
            b"a.example\0",
            b"xa.example",
            b"",
            b"*.example",
        ] {
            assert_eq!(reason(&named(other), a), Some(Reason::SniMismatch));
        }
        assert_eq!(reason(&Hello::default(), a), Some(Reason::SniMissing));
        assert_eq!(reason(&Hello::default(), "192.0.2.1:443"), None);
        assert_eq!(
            reason(&named(b"a.example"), "192.0.2.1:443"),
            Some(Reason::SniMismatch)
        );
        let hidden = Hello {
            encrypted: true,
            ..named(b"a.example")
        };
        assert_eq!(reason(&hidden, a), Some(Reason::EchPresent));
    }
}
