//! The way out: a name is looked up once, every address of the answer is judged, one of them is
//! dialled as an address, and the peer is held to it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use belljar_model::Reason;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::address::classify;
use crate::authority::{Authority, Host};
use crate::log::Log;
use crate::policy::Compiled;
use crate::resolve::Lookup;
use crate::upstream::{Server, Upstream};

/// From the first packet to a connection, over all addresses.
const LONGEST_DIAL: Duration = Duration::from_secs(15);
/// The next address is tried beside the last after so long (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses of one answer are not tried.
const MOST_TRIED: usize = 8;
/// An answer with more addresses is not believed.
const MOST_ANSWERS: usize = 256;

/// Makes connections to the outside.
pub struct Dialer {
    pub(crate) policy: Arc<Compiled>,
    /// `None`: nothing is dialled, everything comes from the recording.
    pub(crate) outside: Option<Outside>,
    pub(crate) log: Log,
}

/// What the outside is found by.
pub(crate) struct Outside {
    pub(crate) lookup: Lookup,
    pub(crate) upstream: Upstream,
    /// Addresses of the machine itself.
    pub(crate) own: HashSet<IpAddr>,
}

/// A connection to a destination.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub stream: TcpStream,
    /// What the name resolved to; empty where the host's proxy looks it up.
    pub answers: Vec<IpAddr>,
    /// Whom it leads to: the destination, or the host's proxy.
    pub peer: SocketAddr,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub reason: Reason,
    /// What in particular was wrong.
    pub detail: String,
    /// What the name resolved to.
    pub answers: Vec<IpAddr>,
}

impl Refused {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            answers: Vec::new(),
        }
    }
}

impl Dialer {
    /// Connects to a destination that the policy allows under `rule` (`None` while learning).
    pub async fn connect(
        &self,
        authority: &Authority,
        rule: Option<u32>,
    ) -> Result<Dialed, Refused> {
        let Some(outside) = &self.outside else {
            let why = "nothing is dialled while a recording is replayed";
            return Err(Refused::new(Reason::ReplayMiss, why));
        };
        let until = Instant::now() + LONGEST_DIAL;
        let dialled = timeout_at(until, self.reach(outside, authority, rule)).await;
        dialled.unwrap_or_else(|_| Err(Refused::new(Reason::Unreachable, "it took too long")))
    }

    async fn reach(
        &self,
        outside: &Outside,
        authority: &Authority,
        rule: Option<u32>,
    ) -> Result<Dialed, Refused> {
        let (name, literal) = match authority.host() {
            Host::Name(name) => (name.clone(), None),
            Host::Address(ip) => (ip.to_string(), Some(*ip)),
        };
        if let Some(ip) = literal {
            self.judge(outside, rule, &[ip])?;
        }
        let port = authority.port();
        if let Some(server) = outside.upstream.server(&name, literal, port) {
            return self.chain(outside, server, authority).await;
        }
        let answers = match literal {
            Some(ip) => vec![ip],
            None => look_up(outside, &name).await?,
        };
        let judged = self.judge(outside, rule, &answers);
        let stream = match judged {
            Ok(()) => self.first_of(outside, &answers, port).await,
            Err(refused) => Err(refused),
        };
        let stream = stream.map_err(|refused| Refused {
            answers: answers.clone(),
            ..refused
        })?;
        // Whom this leads to was checked just now, by address.
        let peer = peer(&stream)?;
        if !answers.contains(&peer.ip()) || peer.port() != port {
            return Err(Refused {
                reason: Reason::RebindingMismatch,
                detail: format!("connected to {peer}"),
                answers,
            });
        }
        Ok(Dialed {
            stream,
            answers,
            peer,
        })
    }

    /// Refuses the whole answer for one bad address.
    fn judge(
        &self,
        outside: &Outside,
        rule: Option<u32>,
        answers: &[IpAddr],
    ) -> Result<(), Refused> {
        let refused = |ip: IpAddr, reason| Refused {
            reason,
            detail: ip.to_string(),
            answers: answers.to_vec(),
        };
        if answers.is_empty() {
            return Err(Refused::new(Reason::NoAnswer, "the name has no address"));
        }
        if answers.len() > MOST_ANSWERS {
            return Err(Refused::new(Reason::NoAnswer, "too many addresses"));
        }
        // One that a rule names is meant; no rule names what is public.
        let meant = |ip: IpAddr| {
            classify(ip).reason().is_some() && self.policy.answers(rule, &[ip]).is_ok()
        };
        let own = |ip: &&IpAddr| outside.own.contains(*ip) && !ip.is_loopback() && !meant(**ip);
        if let Some(ip) = answers.iter().find(own) {
            return Err(refused(*ip, Reason::SelfAddress));
        }
        self.policy
            .answers(rule, answers)
            .map_err(|(ip, reason)| refused(ip, reason))
    }

    async fn first_of(
        &self,
        outside: &Outside,
        answers: &[IpAddr],
        port: u16,
    ) -> Result<TcpStream, Refused> {
        if let [ip] = answers {
            self.log.dialled();
            let stream = TcpStream::connect((*ip, port)).await;
            return stream
                .map(quick)
                .map_err(|e| Refused::new(Reason::Unreachable, errno(Some(&e))));
        }
        let six = outside
            .own
            .iter()
            .any(|ip| ip.is_ipv6() && classify(*ip).reason().is_none());
        let mut left = in_turn(answers, six).into_iter().take(MOST_TRIED);
        let mut tries = JoinSet::new();
        let mut failed = None;
        loop {
            let next = left.next();
            if let Some(ip) = next {
                let address = SocketAddr::new(ip, port);
                self.log.dialled();
                tries.spawn(async move { TcpStream::connect(address).await });
            }
            let head_start = async {
                match next {
                    Some(_) if left.len() > 0 => tokio::time::sleep(HEAD_START).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                done = tries.join_next() => match done {
                    Some(Ok(Ok(stream))) => return Ok(quick(stream)),
                    Some(Ok(Err(error))) => failed = Some(error),
                    Some(Err(_)) => {}
                    None => {
                        return Err(Refused::new(Reason::Unreachable, errno(failed.as_ref())));
                    }
                },
                () = head_start => {}
            }
        }
    }

    async fn chain(
        &self,
        outside: &Outside,
        server: &Server,
        authority: &Authority,
    ) -> Result<Dialed, Refused> {
        let unreachable = |detail: String| Refused::new(Reason::Unreachable, detail);
        let answers = match server.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => outside
                .lookup
                .addresses(&server.host)
                .await
                .map_err(|e| unreachable(format!("the host's proxy is not found: {e}")))?,
        };
        let mut stream = self
            .first_of(outside, &answers, server.port)
            .await
            .map_err(|e| unreachable(format!("the host's proxy can't be reached: {}", e.detail)))?;
        server
            .connect(&mut stream, &authority.to_string())
            .await
            .map_err(unreachable)?;
        let peer = peer(&stream)?;
        Ok(Dialed {
            stream,
            answers: Vec::new(),
            peer,
        })
    }
}

/// Small writes of a handshake must not wait for each other.
fn quick(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

async fn look_up(outside: &Outside, name: &str) -> Result<Vec<IpAddr>, Refused> {
    let found = outside.lookup.addresses(name).await;
    found.map_err(|why| Refused::new(Reason::NoAnswer, why))
}

fn peer(stream: &TcpStream) -> Result<SocketAddr, Refused> {
    let gone = |e: std::io::Error| Refused::new(Reason::Unreachable, errno(Some(&e)));
    stream.peer_addr().map_err(gone)
}

/// The errno's name.
fn errno(error: Option<&std::io::Error>) -> String {
    let errno = error.and_then(std::io::Error::raw_os_error);
    errno.map_or("no address was tried".into(), |n| {
        format!("{:?}", nix::errno::Errno::from_raw(n))
    })
}

/// The families in turn, each in the order of the answer.
fn in_turn(answers: &[IpAddr], six_first: bool) -> Vec<IpAddr> {
    let of = |six: bool| answers.iter().filter(move |ip| ip.is_ipv6() == six);
    let (mut a, mut b) = (of(six_first), of(!six_first));
    let mut out = Vec::with_capacity(answers.len());
    loop {
        let pair = [a.next(), b.next()];
        if pair == [None, None] {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ips =
            |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|ip| ip.parse().unwrap()).collect() };
        let answers = ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
        assert_eq!(
            in_turn(&answers, false),
            ips(&["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"])
        );
        assert_eq!(
            in_turn(&answers, true),
            ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"])
        );
    }
}
