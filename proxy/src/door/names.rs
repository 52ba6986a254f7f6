//! The name door: a name that a rule allows gets an address that leads back here, every other name
//! does not exist. Nothing is asked of anybody.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use belljar_model::door::{Decision, Transport};
use belljar_model::{Class, EgressLayer, EgressVerdict, Reason};
use hickory_proto::rr::RecordType;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UdpSocket;

use crate::authority::Host;
use crate::client::Client;
use crate::dns::{Answer, BadQuestion, LONGEST_QUERY, Question, not_understood, question};
use crate::log::Seen;
use crate::shared::Shared;

/// The port that names are asked of.
const PORT: u16 = 53;
/// Questions on one connection.
const MOST_QUESTIONS: usize = 1000;
/// Datagrams that are answered at one time; more wait in the socket's queue.
const AT_ONE_TIME: usize = 256;

/// Serves datagrams until the run is over.
pub(crate) async fn serve_datagrams(shared: Arc<Shared>, socket: UdpSocket) {
    let Ok(server) = socket.local_addr() else {
        return;
    };
    let socket = Arc::new(socket);
    let room = Arc::new(tokio::sync::Semaphore::new(AT_ONE_TIME));
    let mut packet = vec![0; LONGEST_QUERY + 1];
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let received = tokio::select! {
            received = socket.recv_from(&mut packet) => received,
            () = shared.stopped() => break,
        };
        // An error is an answer's, to a client that is gone.
        let Ok((length, from)) = received else {
            continue;
        };
        while tasks.try_join_next().is_some() {}
        let bytes = packet[..length].to_vec();
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        tasks.spawn(async move {
            let seen = shared.log.arrive(Transport::Udp, from, server).await;
            let reply = answer(&shared, &seen, &bytes).await;
            if let Some(reply) = reply {
                let _ = socket.send_to(&reply, from).await;
            }
            drop(place);
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Serves one connection.
pub(crate) async fn serve(mut client: Client) {
    for _ in 0..MOST_QUESTIONS {
        client.begin();
        let packet = loop {
            if let Some((length, rest)) = client.read.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                if length > LONGEST_QUERY {
                    let mut decision = draft(&client.seen, None);
                    bad(
                        &mut decision,
                        BadQuestion("a question that is too long"),
                        rest,
                    );
                    client.seen.decide(decision).await;
                    return client.last(&[]).await;
                }
                if let Some(packet) = rest.get(..length) {
                    break packet.to_vec();
                }
            }
            if client.more(2 + LONGEST_QUERY).await.is_err() {
                // Between two questions, or with half a question: nothing was asked.
                client.seen.known().await;
                return client.seen.settle();
            }
        };
        client.read.drain(..2 + packet.len());
        let shared = Arc::clone(&client.shared);
        let Some(reply) = answer(&shared, &client.seen, &packet).await else {
            return client.last(&[]).await;
        };
        let length = u16::try_from(reply.len()).unwrap_or(0).to_be_bytes();
        let reply = [&length[..], &reply].concat();
        if client.stream.write_all(&reply).await.is_err() {
            return;
        }
    }
    client.last(&[]).await;
}

/// Decides, records, and says what to send back.
async fn answer(shared: &Shared, seen: &Seen, packet: &[u8]) -> Option<Vec<u8>> {
    seen.known().await;
    let asked = match question(packet) {
        Ok(asked) => asked,
        Err(why) => {
            let mut decision = draft(seen, None);
            bad(&mut decision, why, packet);
            seen.decide(decision).await;
            return not_understood(packet).map(|reply| reply.to_vec());
        }
    };
    let mut decision = draft(seen, Some(&asked));
    let say = decide(shared, &asked, &mut decision);
    seen.decide(decision).await;
    asked.answer(say)
}

fn draft(seen: &Seen, asked: Option<&Question>) -> Decision {
    let event = match asked.map(|asked| asked.kind) {
        None => "datagram".into(),
        Some(RecordType::A | RecordType::AAAA) => "query".into(),
        Some(_) => format!(
            "query-{}",
            asked.map_or_else(String::new, Question::kind_name)
        ),
    };
    let mut decision = seen.draft(&event);
    decision.layer = EgressLayer::Dns;
    decision.host = match asked {
        Some(asked) => crate::log::shown(&asked.name),
        None => "127.0.0.1".into(),
    };
    decision.port = PORT;
    decision
}

/// Bytes for a server that is not there: they go nowhere.
fn bad(decision: &mut Decision, why: BadQuestion, bytes: &[u8]) {
    decision.verdict = EgressVerdict::None;
    decision.reason = Reason::Inside;
    decision.class = Class::Loopback;
    decision.exchange.detail = Some(why.to_string());
    decision.exchange.hex = Some(crate::log::hex(bytes));
}

fn decide(shared: &Shared, asked: &Question, decision: &mut Decision) -> Answer {
    if !asked.internet {
        decision.verdict = EgressVerdict::Deny;
        decision.reason = Reason::DnsTypeDenied;
        decision.exchange.detail = Some("another class than the internet's".into());
        return Answer::Refused;
    }
    if let Some(answer) = own(asked) {
        decision.verdict = EgressVerdict::None;
        decision.reason = Reason::Inside;
        decision.class = Class::Loopback;
        return answer;
    }
    let name = service_of(asked).unwrap_or(&asked.name);
    let host = Host::parse(name);
    let allowed = match &host {
        Ok(host @ Host::Name(_)) => Some(shared.policy.name(host)).filter(|v| v.allow),
        _ => None,
    };
    let (Some(verdict), Ok(Host::Name(host))) = (allowed, host) else {
        decision.verdict = EgressVerdict::Deny;
        decision.reason = Reason::DnsNameDenied;
        decision.hint = Host::parse(name).ok().and_then(|host| match host {
            Host::Name(name) => Some(format!("add [[egress.allow]] host = \"{name}\"")),
            Host::Address(_) => None,
        });
        return Answer::NoSuchName;
    };
    decision.exchange.rule = verdict.rule;
    decision.exchange.would = verdict.would;
    decision.verdict = EgressVerdict::Allow;
    decision.reason = verdict.reason;
    match asked.kind {
        RecordType::A => {
            if let Some(ip) = shared.names.address(&host) {
                decision.answers = vec![IpAddr::V4(ip)];
                return Answer::Address(ip);
            }
            decision.verdict = EgressVerdict::Deny;
            decision.reason = Reason::Overload;
            decision.exchange.detail = Some("no address is left for a further name".into());
            Answer::Failed
        }
        // There is no other way to it than its address: no IPv6, no hints, no keys for hiding names.
        RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB => Answer::NoData,
        RecordType::SRV if service_of(asked).is_some() => Answer::NoSuchName,
        _ => {
            decision.verdict = EgressVerdict::Deny;
            decision.reason = Reason::DnsTypeDenied;
            Answer::Refused
        }
    }
}

/// The name that a question for an HTTP service is about, as apt asks before it asks for an address.
fn service_of(asked: &Question) -> Option<&[u8]> {
    let name = asked.name.as_slice();
    let of = |prefix: &[u8]| name.strip_prefix(prefix);
    (asked.kind == RecordType::SRV)
        .then(|| of(b"_http._tcp.").or_else(|| of(b"_https._tcp.")))
        .flatten()
}

/// The names of the sandbox itself.
fn own(asked: &Question) -> Option<Answer> {
    let name = asked.name.as_slice();
    if name != b"localhost" && !name.ends_with(b".localhost") && name != b"belljar" {
        return None;
    }
    Some(match asked.kind {
        RecordType::A => Answer::Address(Ipv4Addr::LOCALHOST),
        _ => Answer::NoData,
    })
}
