//! The listeners: made by init inside the sandbox, handed to the supervisor, and by it to the proxy.
//!
//! One message carries one descriptor, so that a policy may name any number of ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use belljar_model::door::{HTTP_DOOR, SOCKS_DOOR};
use serde::{Deserialize, Serialize};

use super::Doors;
use crate::SetupError;
use crate::error::At;
use crate::launch::wire::{Channel, FromInit};
use crate::observe::{NameSocket, PORT, Peers};

/// Which listener comes beside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::launch) enum Which {
    DnsTcp,
    Http,
    Socks,
    Port(u16),
    /// Not a listener: all have come. Beside it, for the supervisor: what tells who asks.
    All,
    /// UDP; from the supervisor to the proxy alone.
    DnsUdp,
}

/// Opens them in the caller's network namespace, and hands them to the supervisor.
pub(in crate::launch) fn open(ports: &[u16], channel: &Channel) -> Result<(), SetupError> {
    let step = "open the doors of the egress proxy";
    let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let fixed = [
        (Which::DnsTcp, dns),
        (Which::Http, HTTP_DOOR),
        (Which::Socks, SOCKS_DOOR),
    ];
    // A port that is one of the fixed doors' can't be had on every address as well.
    let taken = |port: &u16| fixed.iter().any(|(_, at)| at.port() == *port);
    let any = ports
        .iter()
        .filter(|port| !taken(port))
        .map(|port| (Which::Port(*port), (Ipv4Addr::UNSPECIFIED, *port).into()));
    for (which, at) in fixed.into_iter().chain(any) {
        let listener = TcpListener::bind(at).step_at(step, at.to_string().as_str())?;
        // The longest queue that the kernel gives: nobody is turned away unheard.
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::MAXALLOWABLE).step(step)?;
        listener.set_nonblocking(true).step(step)?;
        channel
            .send_with(&FromInit::Door(which), &[listener.as_fd()])
            .step(step)?;
    }
    let peers = Peers::open().step(step)?;
    channel
        .send_with(&FromInit::Door(Which::All), &peers.as_fds())
        .step(step)
}

/// What the supervisor has got so far.
#[derive(Debug, Default)]
pub(in crate::launch) struct Listeners {
    fds: Vec<(Which, OwnedFd)>,
    peers: Option<Peers>,
}

impl Listeners {
    /// Takes one, as it came.
    pub(in crate::launch) fn take(&mut self, which: Which, mut fds: Vec<OwnedFd>) {
        match which {
            Which::All => self.peers = Peers::from_fds(fds),
            _ => self.fds.extend(fds.pop().map(|fd| (which, fd))),
        }
    }

    /// The name socket is the proxy's, and its tables tell who asks.
    pub(in crate::launch) fn take_names(&mut self, names: NameSocket) {
        let (socket, tables) = names.into_parts();
        drop(tables);
        self.fds.push((Which::DnsUdp, socket));
    }

    /// The name socket, to be asked what it had no room for.
    pub(in crate::launch) fn name_socket(&self) -> Option<OwnedFd> {
        let (_, fd) = self.fds.iter().find(|(w, _)| *w == Which::DnsUdp)?;
        fd.try_clone().ok()
    }

    /// What tells who asks.
    pub(in crate::launch) fn take_peers(&mut self) -> Option<Peers> {
        self.peers.take()
    }

    pub(super) fn hand_over(self, channel: &Channel) -> Result<(), SetupError> {
        let step = "hand the doors to the egress proxy";
        for (which, fd) in &self.fds {
            channel.send_with(which, &[fd.as_fd()]).step(step)?;
        }
        channel.send(&Which::All).step(step)
    }
}

/// The proxy's side; `None` where the supervisor is gone, or does not come that far.
pub(super) fn take(channel: &Channel) -> Option<Doors> {
    let (mut dns_udp, mut dns_tcp, mut http, mut socks) = (None, None, None, None);
    let mut ports = Vec::new();
    loop {
        let (which, mut fds) = channel.receive::<Which>().ok()??;
        match which {
            Which::All => break,
            Which::Port(port) => ports.push((port, fds.pop()?)),
            Which::DnsUdp => dns_udp = fds.pop(),
            Which::DnsTcp => dns_tcp = fds.pop(),
            Which::Http => http = fds.pop(),
            Which::Socks => socks = fds.pop(),
        }
    }
    Some(Doors {
        dns_udp: dns_udp?,
        dns_tcp: dns_tcp?,
        http: http?,
        socks: socks?,
        ports,
    })
}
