//! From a plan to the egress proxy of a run: who serves it, and what it is told.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use belljar_model::{Fetch, Label, Plan, Policy, Rule};
use belljar_proxy::{Host, Prepared, Role, Setup};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::{Door, Doors, Keeper};
use belljar_sandbox::observe::Opened;

/// Starts the proxy of a run, if its policy opens anything; while there is one thread.
pub fn open(plan: &Plan, label: Label) -> Result<Option<Door>, SetupError> {
    let policy = &plan.egress;
    if !policy.opens() {
        return Ok(None);
    }
    let role = role(policy, label);
    let keeper = Proxy {
        policy: policy.clone(),
        role,
        prepared: None,
    };
    let opened = Opened {
        ports: ports(policy),
        learns: policy.fetch == Fetch::Learn,
    };
    Door::start(Box::new(keeper), opened, role.dials()).map(Some)
}

/// Whom requests of this run are answered by.
fn role(policy: &Policy, label: Label) -> Role {
    match (policy.fetch, label) {
        (Fetch::Live, _) => Role::Live,
        (Fetch::Learn, _) => Role::Learn,
        (Fetch::Replayed, Label::A) => Role::Record,
        (Fetch::Replayed, Label::B | Label::C) => Role::Replay,
    }
}

/// The ports at which programs arrive that know no proxy.
fn ports(policy: &Policy) -> Vec<u16> {
    let mut ports: Vec<u16> = policy.allow.iter().flat_map(|r| r.ports.clone()).collect();
    if policy.fetch == Fetch::Learn {
        ports.extend(Rule::PORTS);
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The proxy as the sandbox starts it.
struct Proxy {
    policy: Policy,
    role: Role,
    prepared: Option<Prepared>,
}

impl Keeper for Proxy {
    fn keeps(&self) -> Vec<RawFd> {
        Vec::new()
    }

    fn records(&self) -> bool {
        false
    }

    fn prepare(&mut self) -> Result<Option<String>, (String, Option<String>)> {
        let told = |e: belljar_proxy::ProxyError| (e.why, e.hint);
        let host = match self.role.dials() {
            true => Host::read().map_err(told)?,
            false => Host::default(),
        };
        let setup = Setup {
            policy: self.policy.clone(),
            role: self.role,
            host,
        };
        let prepared = self
            .prepared
            .insert(belljar_proxy::prepare(setup).map_err(told)?);
        Ok(prepared.authority_pem().map(str::to_owned))
    }

    fn serve(self: Box<Self>, doors: Doors, channel: OwnedFd) -> u8 {
        let Some(prepared) = self.prepared else {
            return 1;
        };
        let ports = doors.ports.into_iter();
        let doors = belljar_proxy::Doors {
            dns_udp: UdpSocket::from(doors.dns_udp),
            dns_tcp: TcpListener::from(doors.dns_tcp),
            http: TcpListener::from(doors.http),
            socks: TcpListener::from(doors.socks),
            ports: ports.map(|(port, fd)| (port, fd.into())).collect(),
        };
        belljar_proxy::serve(prepared, doors, UnixDatagram::from(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_a_of_a_pair_reaches_out() {
        let policy = |fetch| Policy {
            fetch,
            ..Policy::default()
        };
        let roles = |fetch| [Label::A, Label::B, Label::C].map(|l| role(&policy(fetch), l).dials());
        assert_eq!(roles(Fetch::Replayed), [true, false, false]);
        assert_eq!(roles(Fetch::Live), [true; 3]);
    }
}
