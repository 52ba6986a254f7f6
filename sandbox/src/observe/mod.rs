//! Turns what the listener saw into records.
//!
//! Evidence, never a wall: what leaves is decided by the empty network namespace alone, and every
//! call is let through to the kernel, which refuses it. [`Egress`] sees the calls that name a
//! destination (`notify::egress` reads them out of the caller's memory) and serves the sandbox's
//! name socket ([`NameSocket`]); [`self_test`] tries every way out before the command starts.
//!
//! What leaves no record: `socket` with a family that is refused (the wall answers first, and the
//! self-test shows it), and bytes written to a socket whose `connect` was seen.

mod address;
mod classify;
mod dns;
mod hash;
mod home;
mod identify;
mod log;
mod mask;
mod names;
mod netlink;
mod peers;
mod place;
mod probes;
mod procfs;
mod relay;

use std::cell::LazyCell;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};

use belljar_model::{Ask, Class, EgressLayer, EgressRecord, EgressVerdict, Label, Probe, Reason};
use nix::sys::signal::{SigSet, SigmaskHow};

pub(crate) use address::{Destination, LONGEST, parse, parse_as_inet};
pub(crate) use classify::{Act, Protocol};
pub(crate) use dns::LONGEST_QUERY;
pub use names::NameSocket;
pub(crate) use names::PORT;
pub use peers::Peers;
pub(crate) use procfs::socket_number;
pub(crate) use relay::Supervised;

use crate::SetupError;
use classify::{Judged, judge};
use dns::{A, AAAA, Question};
use identify::{Known, Processes};
use log::{Log, Sight};
use names::{Names, Shared};
use place::{Place, place};
use relay::{Endpoints, Relay};

/// Watches calls that name a destination, and names that are asked for.
#[derive(Debug)]
pub struct Egress {
    log: Arc<Log>,
    processes: Processes,
    /// Which process asks for names by which socket.
    askers: Arc<Shared>,
    names: Mutex<Option<Names>>,
    /// The proxy's words are heard.
    relay: Mutex<Option<Relay>>,
    /// Which ports lead to the proxy, where there is one.
    doors: OnceLock<Arc<Endpoints>>,
    /// The name socket is served: what is sent to it is heard there.
    served: AtomicBool,
    /// Calls seen before the command.
    rehearsed: AtomicU64,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct EgressLog {
    /// In the order of the calls.
    pub records: Vec<EgressRecord>,
    /// Calls that were seen and not recorded.
    pub lost: u64,
}

/// A call as it was read: who is addressed, on what kind of socket, and which name is asked for.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) destination: Destination,
    pub(crate) protocol: Protocol,
    /// The socket's number, if it could be found.
    pub(crate) socket: Option<u64>,
    /// The first bytes that are sent.
    pub(crate) payload: Vec<u8>,
    /// For a path: whether it is there.
    pub(crate) exists: bool,
}

impl Egress {
    /// Begins with the probes, which are not recorded. `home` is the caller's, which no record
    /// names.
    pub fn new(run: Label, home: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            log: Arc::new(Log::new(run)),
            processes: Processes::new(home),
            askers: Arc::default(),
            names: Mutex::default(),
            relay: Mutex::default(),
            doors: OnceLock::new(),
            served: AtomicBool::new(false),
            rehearsed: AtomicU64::new(0),
        })
    }

    /// Serves the sandbox's name socket: without it a look-up is still seen, but its name only
    /// where the call itself carries the query.
    pub fn serve_names(&self, socket: NameSocket) -> Result<(), SetupError> {
        let log = Arc::clone(&self.log);
        let heard = move |question: Option<&Question>, known: Option<&Arc<Known>>| {
            hear(&log, question, known);
        };
        let names = Names::serve(socket, Arc::clone(&self.askers), Box::new(heard))?;
        self.served.store(true, Ordering::Release);
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        Ok(())
    }

    /// Hears the proxy: who came to it, and what it decided. `ports` are those where programs
    /// arrive that know no proxy.
    pub(crate) fn serve_door(
        &self,
        supervised: Supervised,
        ports: &[u16],
    ) -> Result<(), SetupError> {
        let doors = Arc::new(Endpoints::new(ports));
        let relay = Relay::start(
            supervised,
            Arc::clone(&self.log),
            Arc::clone(&self.askers),
            Arc::clone(&doors),
        )?;
        let _ = self.doors.set(doors);
        self.served.store(true, Ordering::Release);
        *self.relay.lock().unwrap_or_else(PoisonError::into_inner) = Some(relay);
        Ok(())
    }

    /// Tells the proxy that the run is over, and waits for what is left of its words; false where it
    /// did not say goodbye.
    pub(crate) fn close_door(&self) -> bool {
        let relay = self
            .relay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(relay) = relay else { return true };
        let heard = relay.stop();
        self.log.lose(heard.lost);
        heard.farewell
    }

    /// What comes now is the command's.
    pub fn begin_command(&self) {
        self.log.begin();
    }

    /// How many calls of the self-test were seen: 0 means that nothing is observed.
    pub fn rehearsed(&self) -> u64 {
        self.rehearsed.load(Ordering::Relaxed)
    }

    /// What was seen. Call it when every process inside is gone.
    pub fn finish(&self) -> EgressLog {
        self.close_door();
        let names = self
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(names) = names {
            self.log.lose(names.stop());
        }
        let hasher = &self.processes.hasher;
        hasher.finish();
        let digest = |known: &Known| known.exe.as_ref().and_then(|id| hasher.get(id));
        let (records, lost) = self.log.take(digest);
        EgressLog { records, lost }
    }

    /// Whether calls are recorded yet; counts one that is not.
    pub(crate) fn is_recording(&self) -> bool {
        let begun = self.log.has_begun();
        if !begun {
            self.rehearsed.fetch_add(1, Ordering::Relaxed);
        }
        begun
    }

    /// A call was seen and could not be looked at.
    pub(crate) fn lose(&self, count: u64) {
        self.log.lose(count);
    }

    /// Records a call of a task. `confirm` says whether the task still waits in it: what was read
    /// of it counts only then.
    pub(crate) fn saw(
        &self,
        event: &str,
        act: Act,
        task: i32,
        called: Vec<Named>,
        confirm: impl Fn() -> bool,
    ) {
        let known = LazyCell::new(|| self.processes.find(task));
        for named in called {
            if self.is_heard_later(&named) {
                let Some(known) = &*known else { continue };
                if let Some(socket) = named.socket {
                    self.askers.asks(socket, Arc::clone(known));
                }
                if let Some(doors) = self.doors.get() {
                    doors.called(&named.destination, known);
                }
                continue;
            }
            let Some((ask, judged)) = self
                .nobody_there(&named)
                .or_else(|| self.judge(act, &named))
            else {
                continue;
            };
            if self.log.is_repeated_probe(event, &ask, judged) {
                continue;
            }
            self.log.add(Sight {
                layer: EgressLayer::Notify,
                event,
                ask,
                judged,
                known: known.as_ref(),
                racy: !confirm(),
            });
        }
    }

    /// Whether what this call sends arrives at the name socket, which is better informed.
    fn is_heard_later(&self, named: &Named) -> bool {
        let door = || {
            let doors = self.doors.get()?;
            let tcp = matches!(named.protocol, Protocol::Tcp | Protocol::Unknown);
            (tcp && doors.leads_there(&named.destination)).then_some(())
        };
        self.served.load(Ordering::Acquire) && (asks_loopback(named) || door().is_some())
    }

    /// A name that a rule allows, asked for at a port where nobody listens since no rule names it.
    fn nobody_there(&self, named: &Named) -> Option<(Ask, Judged)> {
        let host = self.doors.get()?.name_of(&named.destination)?;
        let ask = Ask {
            family: named.destination.family(),
            protocol: named.protocol.name().into(),
            host,
            port: named.destination.port(),
        };
        let reason = match named.protocol {
            Protocol::Udp => Reason::UdpNoRoute,
            _ => Reason::PortNotAllowed,
        };
        let judged = Judged {
            class: Class::External,
            reason,
            verdict: EgressVerdict::Deny,
        };
        Some((ask, judged))
    }

    fn judge(&self, act: Act, named: &Named) -> Option<(Ask, Judged)> {
        let to = &named.destination;
        let judged = judge(act, &named.protocol, to, named.exists)?;
        let ask = Ask {
            family: to.family(),
            protocol: named.protocol.name().into(),
            host: self.processes.without_home(to.host()),
            port: to.port(),
        };
        let is_query = matches!(to.port(), 53 | 5353 | 5355) && named.protocol == Protocol::Udp;
        let question = dns::question(&named.payload).filter(|_| is_query && act == Act::Send);
        if let Some(question) = question {
            return Some((
                Ask {
                    host: question.name.clone(),
                    ..ask
                },
                name_denied(&question),
            ));
        }
        if asks_loopback(named) {
            // Somebody is asked for a name, and nobody hears which.
            let ask = Ask {
                host: "unknown".into(),
                ..ask
            };
            return Some((ask, DNS_DENIED));
        }
        Some((ask, judged))
    }
}

/// Its threads end with it: after a run that failed another launcher may be started, for which this
/// process has to be alone.
impl Drop for Egress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn asks_loopback(named: &Named) -> bool {
    let loopback = |ip: IpAddr| place(ip) == Place::Loopback;
    let udp = matches!(named.protocol, Protocol::Udp | Protocol::Unknown);
    matches!(named.destination, Destination::Ip { ip, port: names::PORT, .. } if udp && loopback(ip))
}

const DNS_DENIED: Judged = Judged {
    class: Class::External,
    reason: Reason::DnsNameDenied,
    verdict: EgressVerdict::Deny,
};

/// The names of the sandbox itself, which a program may ask for without meaning anybody outside.
fn name_denied(question: &Question) -> Judged {
    let name = question.name.as_bytes();
    let own = name == b"localhost" || name.ends_with(b".localhost") || name == b"belljar";
    if own {
        return Judged {
            class: Class::Loopback,
            reason: Reason::Inside,
            verdict: EgressVerdict::None,
        };
    }
    DNS_DENIED
}

/// A query arrived at the name socket.
fn hear(log: &Log, question: Option<&Question>, known: Option<&Arc<Known>>) {
    let Some(question) = question else {
        // No query: bytes for a server that is not there.
        return log.add(Sight {
            layer: EgressLayer::Dns,
            event: "datagram",
            ask: ask("127.0.0.1".into()),
            judged: Judged {
                class: Class::Loopback,
                reason: Reason::Inside,
                verdict: EgressVerdict::None,
            },
            known,
            racy: false,
        });
    };
    let addresses = matches!(question.kind, A | AAAA);
    if let Some(known) = known
        && addresses
        && log.is_second_half(known.pid, &question.name, question.kind)
    {
        return;
    }
    let event = if addresses {
        "query".into()
    } else {
        format!("query-{}", question.kind_name())
    };
    log.add(Sight {
        layer: EgressLayer::Dns,
        event: &event,
        ask: ask(question.name.clone()),
        judged: name_denied(question),
        known,
        racy: false,
    });
}

fn ask(host: belljar_model::OsText) -> Ask {
    Ask {
        family: "inet".into(),
        protocol: "udp".into(),
        host,
        port: names::PORT,
    }
}

/// A thread that gets no signals: they are for the one that waits for them.
fn quiet_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let thread = Builder::new().name(name.into()).spawn(body);
    mask.thread_set_mask()?;
    thread
}

/// Tries every way out from inside the walls: the build's process calls it before its exec.
pub fn self_test(run: Label) -> Vec<Probe> {
    probes::all(run)
}

/// The rest of the self-test, once the listener is served: one call that it must see, and what the
/// command would inherit.
pub fn last_test(run: Label, doors: Option<&Opened>) -> Vec<Probe> {
    probes::last(run, doors)
}

/// What of an egress proxy the sandbox has to know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Opened {
    /// Ports at which programs arrive that know no proxy.
    pub ports: Vec<u16>,
    /// Its policy is being learned: every public destination is let through.
    pub learns: bool,
}

#[cfg(test)]
mod tier_userns;
