//! What a confined keeper can't do, each beside the same attempt without the walls.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;

use super::listeners::{Listeners, Which};
use super::*;
use crate::sys::probe::{in_child, raw};

fn io<T>(result: std::io::Result<T>) -> Result<(), Errno> {
    let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    result.map(drop).map_err(errno)
}

fn call(nr: i64, args: [u64; 6]) -> Result<(), Errno> {
    match raw(nr, args) {
        n if n < 0 => Err(Errno::from_raw(i32::try_from(-n).unwrap_or(0))),
        _ => Ok(()),
    }
}

/// Tries everything, a line each: `name ok` or `name ERRNO`.
fn attempts(host: SocketAddr, inherited: RawFd, file: &str) -> String {
    let parent = nix::unistd::getppid();
    let fork = || match clone_process(0)? {
        Cloned::Child => crate::sys::process::exit_now(0),
        Cloned::Parent(pid) => wait4(pid).map(drop),
    };
    let exec_memory = [0, 4096, 5, 0x22, u64::MAX, 0];
    let tried = [
        ("read-a-file", io(File::open("/proc/self/stat"))),
        ("make-a-file", io(File::create(file))),
        (
            "execute",
            io(std::process::Command::new("/bin/true").status()),
        ),
        ("fork", fork()),
        ("signal-the-supervisor", kill(parent, None)),
        ("listen", io(TcpListener::bind("127.0.0.1:0"))),
        ("connect", io(TcpStream::connect(host))),
        (
            "local-socket",
            io(std::os::unix::net::UnixDatagram::unbound()),
        ),
        (
            "inherited",
            call(
                libc::SYS_fcntl,
                [u64::try_from(inherited).unwrap_or(u64::MAX), 1, 0, 0, 0, 0],
            ),
        ),
        ("new-code", call(libc::SYS_mmap, exec_memory)),
        (
            "trace",
            call(
                libc::SYS_ptrace,
                [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0, 0],
            ),
        ),
        (
            "namespace",
            call(libc::SYS_unshare, [0x0400_0000, 0, 0, 0, 0, 0]),
        ),
    ];
    let line = |(name, result): (&str, Result<(), Errno>)| match result {
        Ok(()) => format!("{name} ok\n"),
        Err(e) => format!("{name} {e:?}\n"),
    };
    tried.into_iter().map(line).collect()
}

/// The same by a number that nothing received will have.
fn high(file: File) -> OwnedFd {
    let fd = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(900)).unwrap();
    crate::sys::process::own_received(fd)
}

fn opened(ports: Vec<u16>) -> Opened {
    Opened {
        ports,
        learns: false,
    }
}

struct Tester {
    host: SocketAddr,
    inherited: RawFd,
    file: String,
}

impl Keeper for Tester {
    fn keeps(&self) -> Vec<RawFd> {
        Vec::new()
    }

    fn records(&self) -> bool {
        false
    }

    fn prepare(&mut self) -> Result<Option<String>, (String, Option<String>)> {
        Ok(Some("a certificate".into()))
    }

    fn serve(self: Box<Self>, doors: Doors, channel: OwnedFd) -> u8 {
        let text = attempts(self.host, self.inherited, &self.file);
        let text = format!(
            "{text}ports {:?}\n",
            doors.ports.iter().map(|p| p.0).collect::<Vec<_>>()
        );
        let told = nix::unistd::write(&channel, text.as_bytes());
        u8::from(told.is_err())
    }
}

fn listeners() -> Listeners {
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap().into();
    let mut all = Listeners::default();
    for which in [Which::DnsTcp, Which::Http, Which::Socks, Which::Port(80)] {
        all.take(which, vec![tcp()]);
    }
    all.take(
        Which::DnsUdp,
        vec![UdpSocket::bind("127.0.0.1:0").unwrap().into()],
    );
    all
}

/// What the tester told, confined.
fn confined(dials: bool, as_nobody: bool) -> String {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let host_at = host.local_addr().unwrap();
    let (text, status) = in_child(move || {
        if as_nobody {
            let _ = nix::unistd::setgid(65_534.into());
            let _ = nix::unistd::setuid(65_534.into());
            let _ = nix::sys::prctl::set_dumpable(true);
        }
        let secret = high(tempfile::tempfile().unwrap());
        let tester = Tester {
            host: host_at,
            inherited: secret.as_raw_fd(),
            file: format!("/tmp/belljar-door-{}", std::process::id()),
        };
        let door = match Door::start(Box::new(tester), opened(vec![80]), dials) {
            Ok(door) => door,
            Err(e) => return format!("not started: {e}"),
        };
        assert_eq!(door.authority(), Some("a certificate"));
        let watched = door.open(listeners()).unwrap();
        let channel = watched.channel().unwrap();
        await_word(&channel, PREPARES).unwrap();
        let mut room = [0; 4096];
        let len = nix::unistd::read(&channel.0, &mut room).unwrap();
        assert_eq!(watched.wait(), Stopped::ByItself);
        String::from_utf8(room[..len].to_vec()).unwrap()
    });
    assert_eq!(
        status,
        WaitStatus::Exited(nix::unistd::Pid::from_raw(pid_of(status)), 0)
    );
    text
}

fn pid_of(status: WaitStatus) -> i32 {
    status.pid().map_or(0, nix::unistd::Pid::as_raw)
}

fn without_walls() -> String {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let host_at = host.local_addr().unwrap();
    let file = format!("/tmp/belljar-door-open-{}", std::process::id());
    let named = file.clone();
    let (text, _) = in_child(move || {
        let secret = high(tempfile::tempfile().unwrap());
        attempts(host_at, secret.as_raw_fd(), &named)
    });
    let _ = fs::remove_file(file);
    text
}

const WALLED: [&str; 12] = [
    "read-a-file",
    "make-a-file",
    "execute",
    "fork",
    "signal-the-supervisor",
    "listen",
    "connect",
    "local-socket",
    "inherited",
    "new-code",
    "trace",
    "namespace",
];

fn succeeded(text: &str) -> Vec<&str> {
    text.lines().filter_map(|l| l.strip_suffix(" ok")).collect()
}

#[test]
fn a_keeper_that_replays_can_do_nothing_but_serve() {
    for as_nobody in [false, true] {
        let text = confined(false, as_nobody);
        assert_eq!(succeeded(&text), [""; 0], "{text}");
        assert!(text.ends_with("ports [80]\n"), "{text}");
    }
}

#[test]
fn a_keeper_that_dials_can_connect_and_nothing_else() {
    for as_nobody in [false, true] {
        let text = confined(true, as_nobody);
        assert_eq!(succeeded(&text), ["connect"], "{text}");
    }
}

#[test]
fn it_is_the_walls_that_refuse() {
    let text = without_walls();
    // The namespace needs a right that a test may lack.
    let mut done = succeeded(&text);
    done.retain(|name| *name != "namespace");
    assert_eq!(done, WALLED[..11], "{text}");
}

#[test]
fn a_keeper_that_fails_says_why_and_is_reaped() {
    struct Failing;
    impl Keeper for Failing {
        fn keeps(&self) -> Vec<RawFd> {
            Vec::new()
        }
        fn records(&self) -> bool {
            false
        }
        fn prepare(&mut self) -> Result<Option<String>, (String, Option<String>)> {
            Err(("no way".into(), Some("find one".into())))
        }
        fn serve(self: Box<Self>, _: Doors, _: OwnedFd) -> u8 {
            0
        }
    }
    let (text, _) = in_child(|| {
        let error = Door::start(Box::new(Failing), opened(vec![]), true).unwrap_err();
        let children = nix::sys::wait::waitpid(None, None);
        format!("{error} / {:?} / {children:?}", error.hint)
    });
    assert_eq!(
        text,
        "could not prepare the egress proxy: no way / Some(\"find one\") / Err(ECHILD)"
    );
}

#[test]
fn one_that_is_not_wanted_is_ended() {
    let (text, _) = in_child(|| {
        let tester = Tester {
            host: ([127, 0, 0, 1], 1).into(),
            inherited: -1,
            file: String::new(),
        };
        let door = Door::start(Box::new(tester), opened(vec![]), true).unwrap();
        let pid = door.pid;
        drop(door);
        std::io::stdout().flush().unwrap_or(());
        format!("{:?}", kill(pid, None))
    });
    assert_eq!(text, "Err(ESRCH)");
}
