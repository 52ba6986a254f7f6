//! Hears the egress proxy: finds the process behind each arrival, and makes records of decisions.
//!
//! The process is the one whose `connect` or `sendto` to a door was trapped: the client's port leads
//! to its socket's number ([`Peers`]), and that to the process. A client that let go of its socket
//! before it was looked for is still known if no other process ever called the same door.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use belljar_model::door::{
    Arrival, Decision, FromProxy, HTTP_DOOR, LONGEST_MESSAGE, SOCKS_DOOR, ToProxy,
};
use belljar_model::{EgressLayer, OsText};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{MsgFlags, recv, send};

use super::Destination;
use super::identify::Known;
use super::log::{Log, SEEN};
use super::names::{PORT, Shared};
use super::peers::Peers;
use crate::SetupError;

/// Arrivals whose process is kept: more than one proxy's connections at a time.
const MAX_ARRIVALS: usize = 65_536;
/// Names whose address is kept, and doors whose callers are.
const MAX_NAMES: usize = 65_536;
/// How long the proxy may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How the process was found that is the only one to have called the door.
const BY_DOOR: &str = "door";

/// What is needed to hear a proxy.
#[derive(Debug)]
pub(crate) struct Supervised {
    /// The supervisor's end.
    pub(crate) channel: OwnedFd,
    pub(crate) peers: Peers,
    /// To be asked what it had no room for.
    pub(crate) name_socket: Option<OwnedFd>,
}

/// Where the proxy is found inside, and who calls there.
#[derive(Debug)]
pub(crate) struct Endpoints {
    ports: Vec<u16>,
    callers: Mutex<HashMap<SocketAddr, Caller>>,
    names: Mutex<HashMap<Ipv4Addr, OsText>>,
}

#[derive(Debug)]
enum Caller {
    Only(Arc<Known>),
    Several,
}

impl Endpoints {
    pub(crate) fn new(ports: &[u16]) -> Self {
        Self {
            ports: ports.to_vec(),
            callers: Mutex::default(),
            names: Mutex::default(),
        }
    }

    /// Whether a connection to `to` arrives at the proxy.
    pub(crate) fn leads_there(&self, to: &Destination) -> bool {
        endpoint(to).is_some_and(|at| {
            at == HTTP_DOOR
                || at == SOCKS_DOOR
                || at == (Ipv4Addr::LOCALHOST, PORT).into()
                || (self.ports.contains(&at.port())
                    && ![PORT, HTTP_DOOR.port(), SOCKS_DOOR.port()].contains(&at.port()))
        })
    }

    /// Keeps that this process called there.
    pub(crate) fn called(&self, to: &Destination, known: &Arc<Known>) {
        let Some(at) = endpoint(to) else { return };
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MAX_NAMES && !callers.contains_key(&at) {
            return;
        }
        let caller = callers
            .entry(at)
            .or_insert_with(|| Caller::Only(Arc::clone(known)));
        if matches!(caller, Caller::Only(first) if !Arc::ptr_eq(first, known)) {
            *caller = Caller::Several;
        }
    }

    fn only_caller(&self, at: SocketAddr) -> Option<Arc<Known>> {
        let at = SocketAddr::new(at.ip().to_canonical(), at.port());
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        match callers.get(&at)? {
            Caller::Only(known) => Some(Arc::clone(known)),
            Caller::Several => None,
        }
    }

    /// The name that the proxy's name server gave this address to.
    pub(crate) fn name_of(&self, to: &Destination) -> Option<OsText> {
        let IpAddr::V4(ip) = endpoint(to)?.ip() else {
            return None;
        };
        if !is_synthetic(ip) {
            return None;
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Some(
            names
                .get(&ip)
                .cloned()
                .unwrap_or_else(|| ip.to_string().as_str().into()),
        )
    }

    fn learn(&self, decision: &Decision) {
        if decision.layer != EgressLayer::Dns {
            return;
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for ip in &decision.answers {
            if let IpAddr::V4(ip) = ip
                && is_synthetic(*ip)
                && names.len() < MAX_NAMES
            {
                names.insert(*ip, decision.host.clone());
            }
        }
    }
}

/// 127.66.1.0 to 127.66.255.255.
fn is_synthetic(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [127, 66, third, _] if third > 0)
}

fn endpoint(to: &Destination) -> Option<SocketAddr> {
    let Destination::Ip { ip, port, .. } = to else {
        return None;
    };
    // An unspecified address is the loopback's first; the doors have no IPv6.
    let ip = match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST,
        IpAddr::V4(ip) if ip.is_loopback() => ip,
        _ => return None,
    };
    Some((ip, *port).into())
}

/// What was heard.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    pub(crate) lost: u64,
    /// It told how much it had said, and was.
    pub(crate) farewell: bool,
}

/// The thread that hears.
#[derive(Debug)]
pub(crate) struct Relay {
    channel: OwnedFd,
    stop: Arc<EventFd>,
    thread: JoinHandle<Heard>,
}

impl Relay {
    pub(crate) fn start(
        supervised: Supervised,
        log: Arc<Log>,
        askers: Arc<Shared>,
        doors: Arc<Endpoints>,
    ) -> Result<Self, SetupError> {
        let failed = |errno| SetupError::new("hear the egress proxy", errno);
        let io =
            |e: std::io::Error| failed(e.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw));
        let channel = supervised.channel.try_clone().map_err(io)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let stop = Arc::new(stop.map_err(failed)?);
        let stopped = Arc::clone(&stop);
        let hearer = Hearer {
            supervised,
            log,
            askers,
            doors,
            arrivals: BTreeMap::new(),
            next: 0,
            lost: 0,
        };
        let thread = super::quiet_thread("proxy", move || hearer.run(&stopped)).map_err(io)?;
        Ok(Self {
            channel,
            stop,
            thread,
        })
    }

    /// Tells it to stop, and waits for its last words.
    pub(crate) fn stop(self) -> Heard {
        // Where it is gone already, the thread knows.
        let _ = tell(&self.channel, ToProxy::Stop);
        let _ = self.stop.write(1);
        let lost = Heard {
            lost: 1,
            farewell: false,
        };
        self.thread.join().unwrap_or(lost)
    }
}

fn tell(channel: &OwnedFd, message: ToProxy) -> nix::Result<()> {
    let bytes = serde_json::to_vec(&message).map_err(|_| Errno::EINVAL)?;
    loop {
        match send(channel.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

struct Hearer {
    supervised: Supervised,
    log: Arc<Log>,
    askers: Arc<Shared>,
    doors: Arc<Endpoints>,
    arrivals: BTreeMap<u64, Came>,
    /// The number that the next decision has.
    next: u64,
    lost: u64,
}

/// Who came.
#[derive(Debug, Clone)]
struct Came {
    known: Option<Arc<Known>>,
    attrib: &'static str,
    /// Before the command: a probe of belljar's own.
    rehearsed: bool,
}

impl Hearer {
    fn run(mut self, stop: &EventFd) -> Heard {
        let mut buf = vec![0; LONGEST_MESSAGE];
        let mut until: Option<Instant> = None;
        loop {
            let wait = until.map_or(PollTimeout::NONE, |end| {
                let left = end.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
            });
            let mut fds = [
                PollFd::new(self.supervised.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            // Asked once.
            let fds = if until.is_some() {
                &mut fds[..1]
            } else {
                &mut fds[..]
            };
            match poll(fds, wait) {
                Err(Errno::EINTR) => continue,
                // Nobody is heard any more, or it does not end.
                Err(_) | Ok(0) => return self.end(false),
                Ok(_) => {}
            }
            let said = fds[0].any() == Some(true);
            if until.is_none() && fds[1].any() == Some(true) {
                until = Some(Instant::now() + LAST_WORDS);
            }
            if !said {
                continue;
            }
            let channel = self.supervised.channel.as_raw_fd();
            match recv(channel, &mut buf, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Ok(0) | Err(_) => return self.end(false),
                Ok(len) => match serde_json::from_slice(&buf[..len]) {
                    Ok(FromProxy::Done {
                        decisions, lost, ..
                    }) => {
                        self.lost += lost + decisions.saturating_sub(self.next);
                        return self.end(true);
                    }
                    Ok(message) => self.hear(message),
                    Err(_) => self.lost += 1,
                },
            }
        }
    }

    fn end(&self, farewell: bool) -> Heard {
        let dropped = self.supervised.name_socket.as_ref().map_or(0, |socket| {
            crate::sys::net::dropped(socket.as_fd()).map_or(1, u64::from)
        });
        Heard {
            lost: self.lost + dropped + u64::from(!farewell),
            farewell,
        }
    }

    fn hear(&mut self, message: FromProxy) {
        match message {
            FromProxy::Arrived(arrival) => {
                let came = self.find(&arrival);
                if self.arrivals.len() >= MAX_ARRIVALS {
                    self.arrivals.pop_first();
                }
                self.arrivals.insert(arrival.id, came);
                // A proxy that is gone is missed by its process.
                let _ = tell(&self.supervised.channel, ToProxy::Known(arrival.id));
            }
            FromProxy::Decided(decision) => self.decided(*decision),
            FromProxy::Done { .. } => {}
        }
    }

    fn find(&self, arrival: &Arrival) -> Came {
        let rehearsed = !self.log.has_begun();
        let sockets = self.supervised.peers.sockets(arrival);
        if sockets.is_empty() {
            // A datagram's server end is the door's, whatever address was named.
            return Came {
                known: self.doors.only_caller(arrival.server),
                attrib: BY_DOOR,
                rehearsed,
            };
        }
        // A socket that nobody was seen to call by is somebody else's than the one who was seen.
        Came {
            known: self.askers.only_asker(&sockets),
            attrib: SEEN,
            rehearsed,
        }
    }

    fn decided(&mut self, decision: Decision) {
        // Counted without a gap: what is missing was lost on the way.
        self.lost += decision.seq.saturating_sub(self.next);
        self.next = decision.seq + 1;
        self.doors.learn(&decision);
        let came = self.arrivals.get(&decision.arrival).cloned();
        let (known, attrib) = match came {
            Some(came) if came.rehearsed => return,
            Some(came) => (came.known, came.attrib),
            None => (None, "unknown"),
        };
        self.log.add_decided(decision, known, attrib);
    }
}
