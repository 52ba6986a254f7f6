//! The HTTP door: `CONNECT`, and requests with an absolute `http` target.

use belljar_model::door::Decision;
use belljar_model::{OsText, Reason};

use super::{Door, about, denied, judged};
use crate::authority::Authority;
use crate::client::Client;
use crate::deny::forbidden;
use crate::guard::{self, Fixed};
use crate::handoff;
use crate::http::{RequestHead, Target, parse_request};
use crate::log::shown;

/// Serves one connection.
pub(crate) async fn serve(mut client: Client) {
    let limit = client.shared.limits.head_bytes as usize;
    let (head, length) = loop {
        match parse_request(&client.read, limit) {
            Ok(Some(found)) => break found,
            Ok(None) => {}
            Err(bad) => {
                let mut decision = client.seen.draft("request");
                denied(&mut decision, bad.reason(), &bad.detail());
                if let Some(target) = target_of(&client.read) {
                    decision.host = crate::log::shown(target);
                }
                decision.exchange.hex = Some(crate::log::hex(&client.read));
                decision.exchange.raw = target_as_it_came(&client.read);
                return refuse(client, decision).await;
            }
        }
        if let Err(gone) = client.more(limit + 1).await {
            let mut decision = client.seen.draft("request");
            gone.record(&mut decision);
            return match client.read.len() {
                0 => guard::quiet(client, decision).await,
                _ => refuse(client, decision).await,
            };
        }
    };
    match &head.target {
        Target::Authority(target) => {
            let target = target.clone();
            client.read.drain(..length);
            connect(client, &head, &target).await;
        }
        // The relay reads the head again: it serves all requests of this connection alike.
        Target::Absolute { .. } => Box::pin(handoff::requests(client, None)).await,
        Target::Origin(_) | Target::Asterisk => {
            let mut decision = client.seen.draft("request");
            decision.exchange.method = Some(head.method.clone());
            decision.host = head.host().unwrap_or("unknown").into();
            let why = "this door takes CONNECT and absolute targets only";
            denied(&mut decision, Reason::FormDenied, why);
            refuse(client, decision).await;
        }
    }
}

/// What stands where a target should, in a head that is none.
fn target_of(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let target = line.split(|b| *b == b' ').nth(1)?;
    (!target.is_empty()).then_some(target)
}

async fn connect(client: Client, head: &RequestHead, target: &str) {
    let mut decision = client.seen.draft("connect");
    decision.exchange.method = Some("CONNECT".into());
    decision.host = target.into();
    let authority = match Authority::parse(target.as_bytes(), None) {
        Ok(authority) => authority,
        Err(error) => {
            denied(&mut decision, Reason::BadRequest, &error.to_string());
            decision.exchange.raw = Some(target.into());
            return refuse(client, decision).await;
        }
    };
    about(&mut decision, &authority, None);
    if let Some(host) = head.host() {
        // Some clients leave the port out of it, as if it were the scheme's.
        let named = Authority::parse(host.as_bytes(), Some(authority.port()));
        if named.ok().as_ref() != Some(&authority) {
            decision.exchange.raw = Some(host.into());
            let why = "Host is not the target of CONNECT";
            denied(&mut decision, Reason::AuthorityMismatch, why);
            return refuse(client, decision).await;
        }
    }
    if head.upgrades() {
        denied(
            &mut decision,
            Reason::UpgradeDenied,
            "CONNECT for another protocol",
        );
        return refuse(client, decision).await;
    }
    let verdict = client.shared.policy.authority(&authority);
    judged(&mut decision, &verdict, &authority);
    if !verdict.allow {
        return refuse(client, decision).await;
    }
    if head.upgrades() {
        let why = "another protocol inside of CONNECT";
        denied(&mut decision, Reason::UpgradeDenied, why);
        return refuse(client, decision).await;
    }
    let fixed = Fixed {
        door: Door::Http,
        authority,
        rule: verdict.rule,
        decision,
    };
    guard::pass(client, fixed).await;
}

async fn refuse(client: Client, decision: Decision) {
    let answer = forbidden(decision.reason, decision.exchange.rule);
    client.seen.decide(decision).await;
    client.last(&answer).await;
}

/// The second word of a head that could not be read, so that a record can name who was meant. Neither
/// what stands for a user's name and password in it nor a query is shown.
fn target_as_it_came(read: &[u8]) -> Option<OsText> {
    let line = read.split(|b| *b == b'\n').next()?;
    let target = line.split(|b| *b == b' ').nth(1)?;
    let target = target.split(|b| *b == b'?').next()?;
    let host = target.rsplit(|b| *b == b'@').next()?;
    if host.len() == target.len() {
        return Some(shown(target));
    }
    Some(shown(&[b"***@", host].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_without_its_secrets() {
        let shown = |head: &str| target_as_it_came(head.as_bytes()).map(|t| t.to_string());
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown("GET http://a.example/x?key=v HTTP/1.1\r\n"),
            is("http://a.example/x")
        );
        assert_eq!(
            shown("CONNECT u:p@a.example:1 HTTP/1.1\r\n"),
            is("***@a.example:1")
        );
        assert_eq!(shown("hello\r\n"), None);
    }
}
