//! From a plan to the egress proxy of a run: who serves it, and what it is told.

use std::fmt;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use belljar_model::{Fetch, Label, Plan, Policy, Rule};
use belljar_proxy::inspect::Ca;
use belljar_proxy::{Extras, Host, Prepared, Role, Setup};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::{Door, Doors, Keeper};
use belljar_sandbox::observe::Opened;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

/// What the runs of one invocation share: the authority that opens TLS, so that they all see the same
/// one, and what run A was answered.
#[derive(Default)]
pub struct Shared {
    /// Its key too; it never leaves this process and its proxies.
    authority: Option<Vec<u8>>,
    recording: Option<File>,
}

// No key is to be seen.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("recording", &self.recording)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn authority(&mut self, policy: &Policy) -> Result<Vec<u8>, SetupError> {
        if let Some(made) = &self.authority {
            return Ok(made.clone());
        }
        let made = Ca::for_policy(policy)
            .map_err(|e| cannot(&e.to_string()))?
            .to_bytes();
        self.authority = Some(made.clone());
        Ok(made)
    }

    fn recording(&mut self) -> Result<File, SetupError> {
        if self.recording.is_none() {
            self.recording = Some(nameless().map_err(|e| cannot(&e.to_string()))?);
        }
        let file = self.recording.as_ref().map(File::try_clone);
        file.transpose()
            .map_err(|e| cannot(&e.to_string()))?
            .ok_or_else(|| cannot("there is no recording"))
    }
}

fn cannot(why: &str) -> SetupError {
    SetupError {
        step: "make what the egress proxies of a pair share".into(),
        path: None,
        errno: None,
        detail: Some(why.to_owned()),
        hint: Some("see that the folder for temporary files can be written".into()),
    }
}

/// A file without a name: on disk where that can be, else in memory.
fn nameless() -> nix::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(&std::env::temp_dir(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .or_else(|_| memfd_create(c"recording", MFdFlags::MFD_CLOEXEC))?;
    Ok(file.into())
}

/// Starts the proxy of a run, if its policy opens anything; while there is one thread.
pub fn open(plan: &Plan, label: Label, shared: &mut Shared) -> Result<Option<Door>, SetupError> {
    let policy = &plan.egress;
    if !policy.opens() {
        return Ok(None);
    }
    let role = role(policy, label);
    let recording = matches!(role, Role::Record | Role::Replay)
        .then(|| shared.recording())
        .transpose()?;
    let authority = (policy.inspects() || role != Role::Live)
        .then(|| shared.authority(policy))
        .transpose()?;
    let keeper = Proxy {
        policy: policy.clone(),
        role,
        authority,
        recording,
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
    authority: Option<Vec<u8>>,
    recording: Option<File>,
    prepared: Option<Prepared>,
}

impl Keeper for Proxy {
    fn keeps(&self) -> Vec<RawFd> {
        self.recording.iter().map(|f| f.as_raw_fd()).collect()
    }

    fn records(&self) -> bool {
        self.role == Role::Record
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
        let extras = Extras {
            authority: self.authority.take(),
            recording: self.recording.take(),
            ..Extras::default()
        };
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
