//! From a plan to the egress proxy of a run: who serves it, what it is told, and what makes the build
//! trust it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use belljar_model::{EnvValue, Fetch, Label, Plan, Policy, Rule};
use belljar_proxy::credential::Origin;
use belljar_proxy::inspect::{CertificateDer, Roots, trust};
use belljar_proxy::{Extras, Prepared, Role, Setup};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::{Door, Doors, Keeper};
use belljar_sandbox::observe::Opened;
use belljar_sandbox::plan::{Host, HostEntry, HostEntryKind, proxy_variables};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Where the build finds the certificates of the host's roots and of the run's own authority.
const BUNDLE: &str = "/etc/belljar/ca.pem";
/// The same for Java.
const STORE: &str = "/etc/belljar/cacerts";
const REASON: &str = "the run's own authority";

/// Sets what programs find the proxy by, and trust its authority by, unless the caller set it.
pub fn set_variables(plan: &mut Plan) {
    if !plan.egress.opens() {
        return;
    }
    if !plan.egress.no_proxy_env {
        for (name, value) in proxy_variables() {
            plan.env.entry(name).or_insert(value);
        }
    }
    if plan.egress.inspects() {
        let java = ("JAVA_TOOL_OPTIONS", trust::java_options(STORE));
        let bundle = trust::BUNDLE_VARIABLES.map(|(name, _)| (name, BUNDLE.to_owned()));
        for (name, value) in bundle.into_iter().chain([java]) {
            plan.env.entry(name.into()).or_insert(EnvValue {
                value: value.as_str().into(),
                public: true,
            });
        }
    }
}

/// What the runs of one command share.
pub struct Way {
    /// Where the proxies keep the one authority of all runs. Its key never comes into this process,
    /// whose memory every launcher is a copy of.
    authority: Option<File>,
    /// What the build is shown since there is an authority.
    shown: OnceCell<Vec<HostEntry>>,
    /// What run A fetched; without a name.
    recording: Option<File>,
    /// Where the values of credentials come from, by label.
    credentials: BTreeMap<String, Origin>,
}

// No key is to be seen.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

impl Way {
    /// Makes what the policy asks for.
    pub fn make(
        plan: &Plan,
        host: &Host,
        credentials: &BTreeMap<String, Origin>,
    ) -> Result<Self, SetupError> {
        let policy = &plan.egress;
        let recording = (policy.opens() && policy.fetch == Fetch::Replayed)
            .then(|| tempfile::tempfile_in(&host.scratch))
            .transpose()
            .map_err(|e| SetupError::io("make the recording", &e).at(host.scratch.as_path()))?;
        let authority = policy
            .inspects()
            .then(|| memfd_create(c"belljar-authority", MFdFlags::MFD_CLOEXEC))
            .transpose()
            .map_err(|e| SetupError::new("make room for the authority of this run", e))?;
        Ok(Self {
            authority: authority.map(File::from),
            shown: OnceCell::new(),
            recording,
            credentials: credentials.clone(),
        })
    }

    /// What no launcher may have: it holds what it was forked with as long as the build lives.
    fn private(&self) -> Vec<RawFd> {
        let files = [&self.authority, &self.recording].into_iter().flatten();
        files.map(std::os::fd::AsRawFd::as_raw_fd).collect()
    }

    /// Starts the proxy of a run, if its policy opens anything; while there is one thread.
    pub fn open(&self, plan: &Plan, label: Label) -> Result<Option<Door>, SetupError> {
        let policy = &plan.egress;
        if !policy.opens() {
            return Ok(None);
        }
        let role = role(policy, label);
        let copy = |file: &Option<File>, what: &str| {
            let copied = file.as_ref().map(File::try_clone).transpose();
            copied.map_err(|e| SetupError::io(format!("open the {what}"), &e))
        };
        let keeper = Proxy {
            policy: policy.clone(),
            role,
            extras: Extras {
                authority: copy(&self.authority, "authority of this run")?,
                recording: copy(&self.recording, "recording")?,
                roots: None,
                credentials: self.credentials.clone(),
            },
            prepared: None,
        };
        let opened = Opened {
            ports: ports(policy),
            learns: policy.fetch == Fetch::Learn,
        };
        let door = Door::start(Box::new(keeper), opened, role.dials())?;
        let authority = door.authority().and_then(trust::certificate);
        let entries = match authority.filter(|_| policy.inspects()) {
            Some(certificate) => self.shown.get_or_init(|| shown(&certificate)).clone(),
            None => Vec::new(),
        };
        Ok(Some(door.showing(entries).hiding(self.private())))
    }
}

/// The certificates, where the variables name them and where programs look by themselves.
fn shown(authority: &CertificateDer<'_>) -> Vec<HostEntry> {
    let roots = Roots::read().certs;
    let bundle = trust::bundle(&roots, authority).into_bytes();
    let store = trust::java_store(&roots, authority);
    let entry = |target: &str, kind| HostEntry {
        target: target.into(),
        kind,
        reason: REASON,
    };
    let made = [(BUNDLE, &bundle), (STORE, &store)].map(|(target, content)| {
        let content = content.clone();
        entry(target, HostEntryKind::Made { content })
    });
    let covered = |places: &[&str], content: &Vec<u8>| -> Vec<HostEntry> {
        let over = |place: &&str| {
            let content = content.clone();
            entry(place, HostEntryKind::Covered { content })
        };
        places.iter().map(over).collect()
    };
    made.into_iter()
        .chain(covered(&trust::BUNDLE_PLACES, &bundle))
        .chain(covered(&trust::JAVA_PLACES, &store))
        .collect()
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
    extras: Extras,
    prepared: Option<Prepared>,
}

impl Keeper for Proxy {
    fn keeps(&self) -> Vec<RawFd> {
        let recording = self
            .extras
            .recording
            .iter()
            .map(std::os::fd::AsRawFd::as_raw_fd);
        let credentials = self.extras.credentials.values();
        let credentials = credentials.filter_map(|origin| match origin {
            Origin::Fd(fd) => RawFd::try_from(*fd).ok(),
            _ => None,
        });
        let authority = self
            .extras
            .authority
            .iter()
            .map(std::os::fd::AsRawFd::as_raw_fd);
        recording.chain(authority).chain(credentials).collect()
    }

    fn records(&self) -> bool {
        self.role == Role::Record
    }

    fn prepare(&mut self) -> Result<Option<String>, (String, Option<String>)> {
        let told = |e: belljar_proxy::ProxyError| (e.why, e.hint);
        let host = if self.role.dials() {
            belljar_proxy::Host::read().map_err(told)?
        } else {
            belljar_proxy::Host::default()
        };
        let setup = Setup {
            policy: self.policy.clone(),
            role: self.role,
            host,
        };
        let extras = std::mem::take(&mut self.extras);
        let prepared = belljar_proxy::prepare_with(setup, extras).map_err(told)?;
        let prepared = self.prepared.insert(prepared);
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
