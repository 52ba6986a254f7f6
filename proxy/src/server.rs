//! The process's life: opens the doors, takes who comes, hears the supervisor, and leaves when told.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use belljar_model::door::Transport;
use belljar_model::{EgressVerdict, Reason};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Hold};
use crate::dial::{Dialer, Outside};
use crate::door;
use crate::limits::Budgets;
use crate::log::{self, Log, Seen};
use crate::setup::Ready;
use crate::shared::Shared;
use crate::synthetic::Synthetic;
use crate::tunnel::Pool;
use crate::{Doors, Prepared};

/// How long connections may take to end when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What is turned away is recorded once in so long.
const TURNED_AWAY: Duration = Duration::from_secs(1);
/// After an accept that failed, for want of descriptors as a rule.
const BREATHER: Duration = Duration::from_millis(20);

/// Which listener somebody came by.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Http,
    Socks,
    Port,
    Names,
}

/// Serves until the supervisor says stop, or is gone; the process's exit code.
pub fn serve(prepared: Prepared, doors: Doors, channel: UnixDatagram) -> u8 {
    // One thread: set-ups are quicker than with two, and it holds less (`scripts/bench.d/proxy`).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return 1;
    };
    let served = runtime.block_on(run(prepared, doors, channel));
    served.map_or(1, |said| u8::from(!said))
}

async fn run(prepared: Prepared, doors: Doors, channel: UnixDatagram) -> Result<bool, io::Error> {
    let (log, writer, reader) = log::open(channel)?;
    let (say_stop, stop) = watch::channel(false);
    let writer = tokio::spawn(writer.run());
    let shared = share(prepared, log, stop)?;
    let mut listening = JoinSet::new();
    let (ended, mut ends) = mpsc::channel::<()>(1);
    for (listener, kind) in listeners(doors, &shared, &mut listening, &ended)? {
        let (shared, ended) = (Arc::clone(&shared), ended.clone());
        listening.spawn(async move { accept(shared, listener, kind, ended).await });
    }
    drop(ended);
    let said = reader.run().await;
    let _ = say_stop.send(true);
    // Every connection holds an end of this channel.
    let all_ended = async {
        while listening.join_next().await.is_some() {}
        let _ = ends.recv().await;
    };
    let _ = timeout(LAST_WORDS, all_ended).await;
    let kept = shared.relay.source.finish();
    drop((listening, shared));
    let _ = timeout(LAST_WORDS, writer).await;
    kept?;
    Ok(said)
}

fn share(
    prepared: Prepared,
    log: Log,
    stop: watch::Receiver<bool>,
) -> Result<Arc<Shared>, io::Error> {
    let Prepared {
        setup,
        ready:
            Ready {
                policy,
                names,
                upstream,
                relay,
            },
        ..
    } = prepared;
    let outside = setup
        .role
        .dials()
        .then(|| {
            let lookup = names.open().map_err(io::Error::other)?;
            let own = setup.host.own.iter().copied().collect();
            Ok::<_, io::Error>(Outside {
                lookup,
                upstream,
                own,
            })
        })
        .transpose()?;
    let policy = Arc::new(policy);
    Ok(Arc::new(Shared {
        dialer: Dialer {
            policy: Arc::clone(&policy),
            outside,
            log: log.clone(),
        },
        policy,
        relay,
        role: setup.role,
        limits: setup.policy.limits,
        budgets: Budgets::new(&setup.policy),
        log,
        names: Synthetic::default(),
        pool: Pool::default(),
        room: Arc::new(Semaphore::new(setup.policy.limits.connections as usize)),
        stop,
    }))
}

fn listeners(
    doors: Doors,
    shared: &Arc<Shared>,
    listening: &mut JoinSet<()>,
    ended: &mpsc::Sender<()>,
) -> Result<Vec<(TcpListener, Kind)>, io::Error> {
    let of = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    doors.dns_udp.set_nonblocking(true)?;
    let datagrams = tokio::net::UdpSocket::from_std(doors.dns_udp)?;
    let (shared, ended) = (Arc::clone(shared), ended.clone());
    listening.spawn(async move {
        door::names::serve_datagrams(shared, datagrams).await;
        drop(ended);
    });
    let mut all = vec![
        (of(doors.dns_tcp)?, Kind::Names),
        (of(doors.http)?, Kind::Http),
        (of(doors.socks)?, Kind::Socks),
    ];
    for (_, listener) in doors.ports {
        all.push((of(listener)?, Kind::Port));
    }
    Ok(all)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, kind: Kind, ended: mpsc::Sender<()>) {
    let mut turned = Turned::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopped() => break,
        };
        let Ok((stream, client)) = accepted else {
            sleep(BREATHER).await;
            continue;
        };
        let Ok(place) = Arc::clone(&shared.room).try_acquire_owned() else {
            turned.away(&shared, &stream, client).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        let hold = Hold {
            _place: place,
            _ended: ended.clone(),
        };
        tokio::spawn(async move {
            if let Some(seen) = arrive(&shared, &stream, client).await {
                one(Client::new(shared, stream, seen, hold), kind).await;
            }
        });
    }
    turned.tell().await;
}

/// `client` is what it was accepted with: one that broke off since has no peer any more.
async fn arrive(shared: &Shared, stream: &TcpStream, client: SocketAddr) -> Option<Seen> {
    let server = stream.local_addr().ok()?;
    Some(shared.log.arrive(Transport::Tcp, client, server).await)
}

async fn one(client: Client, kind: Kind) {
    match kind {
        Kind::Http => door::http::serve(client).await,
        Kind::Socks => door::socks::serve(client).await,
        Kind::Port => door::port::serve(client).await,
        Kind::Names => door::names::serve(client).await,
    }
}

/// Connections that found no room. The first of each second is recorded, with the number of those
/// before it.
#[derive(Default)]
struct Turned {
    since: Option<Instant>,
    last: Option<Seen>,
    count: u64,
}

impl Turned {
    async fn away(&mut self, shared: &Shared, stream: &TcpStream, client: SocketAddr) {
        self.count += 1;
        if self
            .since
            .is_some_and(|since| since.elapsed() < TURNED_AWAY)
        {
            return;
        }
        self.since = Some(Instant::now());
        self.last = arrive(shared, stream, client).await;
        if let Some(seen) = &self.last {
            seen.known().await;
        }
        self.tell().await;
    }

    async fn tell(&mut self) {
        if let Some(seen) = &self.last
            && self.count > 0
        {
            let mut decision = seen.draft("connect");
            decision.verdict = EgressVerdict::Deny;
            decision.reason = Reason::Overload;
            let server = seen.arrival().server;
            decision.host = server.ip().to_string().into();
            decision.port = server.port();
            decision.exchange.detail = Some(format!("{} connections turned away", self.count));
            decision.hint = Some("raise connections in [egress.limits]".into());
            seen.decide(decision).await;
            self.count = 0;
        }
    }
}
