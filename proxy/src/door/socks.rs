//! The SOCKS5 door.

use std::net::IpAddr;

use belljar_model::Reason;
use belljar_model::door::Decision;

use super::{Door, about, denied, judged};
use crate::authority::{Authority, Host};
use crate::client::Client;
use crate::guard::{self, Fixed};
use crate::socks::{BadSocks, GREETED, LONGEST, NO_METHOD, Reply, Target, greeting, request};

/// Serves one connection.
pub(crate) async fn serve(client: Client) {
    let Some((mut client, greeted)) = heard(client, greeting).await else {
        return;
    };
    client.read.drain(..greeted);
    client.say(&GREETED).await;
    let Some((mut client, (target, port, end))) = heard(client, request).await else {
        return;
    };
    client.read.drain(..end);
    asked(client, target, port).await;
}

/// Reads on until a whole message is there. Who sends none is refused or let go, and is gone then.
async fn heard<T>(
    mut client: Client,
    parse: impl Fn(&[u8]) -> Result<Option<T>, BadSocks>,
) -> Option<(Client, T)> {
    loop {
        match parse(&client.read) {
            Ok(Some(found)) => return Some((client, found)),
            Ok(None) => {}
            Err(bad) => {
                refuse_form(client, bad).await;
                return None;
            }
        }
        if let Err(gone) = client.more(LONGEST).await {
            let mut decision = client.seen.draft("socks");
            gone.record(&mut decision);
            guard::quiet(client, decision).await;
            return None;
        }
    }
}

async fn asked(client: Client, target: Target, port: u16) {
    let mut decision = client.seen.draft("socks");
    decision.port = port;
    let (raw, host) = match target {
        Target::Name(name) => {
            let host = Host::parse(&name).map_err(|e| (Reason::BadRequest, e.to_string()));
            (name, host)
        }
        Target::Address(ip) => (ip.to_string().into_bytes(), literal(&client, ip)),
    };
    decision.host = crate::log::shown(&raw);
    let authority = match (host, port) {
        (Ok(_), 0) => Err((Reason::BadRequest, "port 0".to_owned())),
        (host, port) => host.map(|host| Authority::new(host, port)),
    };
    let authority = match authority {
        Ok(authority) => authority,
        Err((reason, detail)) => {
            denied(&mut decision, reason, &detail);
            decision.exchange.hex = Some(crate::log::hex(&raw));
            return refuse(client, decision, Reply::NotAllowed).await;
        }
    };
    about(&mut decision, &authority, Some(&raw));
    let verdict = client.shared.policy.authority(&authority);
    judged(&mut decision, &verdict, &authority);
    if !verdict.allow {
        return refuse(client, decision, Reply::NotAllowed).await;
    }
    let fixed = Fixed {
        door: Door::Socks,
        authority,
        rule: verdict.rule,
        decision,
    };
    guard::pass(client, fixed).await;
}

/// An address that the name server gave out is its name again; any other one is judged as it is.
fn literal(client: &Client, ip: IpAddr) -> Result<Host, (Reason, String)> {
    let name = match ip {
        IpAddr::V4(v4) => client.shared.names.name(v4),
        IpAddr::V6(_) => None,
    };
    match name {
        Some(name) => Host::parse(name.as_bytes()).map_err(|e| (Reason::BadRequest, e.to_string())),
        None => Ok(Host::Address(ip)),
    }
}

async fn refuse_form(client: Client, bad: BadSocks) {
    let mut decision = client.seen.draft("socks");
    let reason = match bad {
        BadSocks::Address(_) | BadSocks::Empty => Reason::BadRequest,
        BadSocks::Version(_) | BadSocks::Method | BadSocks::Command(_) => Reason::FormDenied,
    };
    denied(&mut decision, reason, &bad.to_string());
    decision.exchange.hex = Some(crate::log::hex(&client.read));
    client.seen.decide(decision).await;
    match bad.reply() {
        Some(reply) => client.last(&reply.bytes()).await,
        None if bad == BadSocks::Method => client.last(&NO_METHOD).await,
        None => client.last(&[]).await,
    }
}

async fn refuse(client: Client, decision: Decision, reply: Reply) {
    client.seen.decide(decision).await;
    client.last(&reply.bytes()).await;
}
