//! What a build may try against its walls, and what it must get for it.
//!
//! Every attempt is made twice: inside, where it must be refused, and outside as the same user,
//! where it must succeed or at least answer otherwise. So no attempt can pass by being broken.
//! The words before the colon name the case of the set-up notes that an attempt stands for.

use std::fmt::Write as _;

use belljar_tests::{Project, Ran};

/// One attempt: a name, a Python expression for what it got, and the two answers.
struct Attempt {
    name: &'static str,
    /// Evaluates to a string; helpers are in [`PRELUDE`].
    probe: &'static str,
    inside: &'static [&'static str],
    /// What it may not answer outside: the same as inside, unless the host has that wall too.
    outside_differs: bool,
}

/// `call(nr, ...)` makes a raw system call and answers `ok` or the errno's name.
const PRELUDE: &str = r"
import ctypes, errno, os, socket, sys, struct, stat
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return 'ok' if r >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(f):
    try:
        r = f()
        return 'ok' if r is None or hasattr(r, 'fileno') or isinstance(r, int) and not isinstance(r, bool) else str(r)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))
def sock(*a):
    return attempt(lambda: socket.socket(*a).close())
def status(key):
    return [l.split()[1] for l in open('/proc/self/status') if l.startswith(key + ':')][0]
def read(path):
    def f():
        with open(path, 'rb') as x: return 'empty' if not x.read(64) else 'data'
    return attempt(f)
def write(path):
    def f():
        with open(path, 'r+b') as x: x.write(b'x')
    return attempt(f)
";

fn run(attempts: &[Attempt]) {
    let project = Project::empty();
    let mut script = PRELUDE.to_owned();
    for a in attempts {
        let _ = writeln!(
            script,
            "print({:?} + '=' + str({}), flush=True)",
            a.name, a.probe
        );
    }
    project.write("probe.py", &script);
    let inside = project.belljar(["run", "--no-export", "--", "/usr/bin/python3", "probe.py"]);
    inside.exits(0);
    let outside = Ran::of(project.command("/usr/bin/python3").arg("probe.py"));
    outside.exits(0);
    let mut wrong = String::new();
    for a in attempts {
        let (i, o) = (answer(&inside, a.name), answer(&outside, a.name));
        if !a.inside.contains(&i) {
            let _ = writeln!(
                wrong,
                "{}: inside it got {i}, expected {:?}",
                a.name, a.inside
            );
        }
        if a.outside_differs && a.inside.contains(&o) {
            let _ = writeln!(
                wrong,
                "{}: outside it got {o} too: the probe proves nothing",
                a.name
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{inside}");
}

fn answer<'a>(ran: &'a Ran, name: &str) -> &'a str {
    ran.stdout
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("nothing")
}

macro_rules! attempts {
    ($($name:literal: $probe:literal => $inside:expr $(, $same:ident)?;)*) => {
        &[$(Attempt {
            name: $name,
            probe: $probe,
            inside: &$inside,
            outside_differs: attempts!(@differs $($same)?),
        }),*]
    };
    (@differs) => { true };
    (@differs same) => { false };
}

const NONE: &str = "0000000000000000";

#[test]
fn identity_and_capabilities() {
    run(attempts! {
        "1 CapInh": "status('CapInh')" => [NONE], same;
        "1 CapPrm": "status('CapPrm')" => [NONE], same;
        "1 CapEff": "status('CapEff')" => [NONE], same;
        "1 CapBnd": "status('CapBnd')" => [NONE];
        "1 CapAmb": "status('CapAmb')" => [NONE], same;
        "3 NoNewPrivs": "status('NoNewPrivs')" => ["1"];
        "4 uid": "os.getuid()" => ["1000"];
        "4 gid": "os.getgid()" => ["1000"];
        "4 groups": "os.getgroups()" => ["[]", "[1000]"], same;
        "9 ppid": "os.getppid()" => ["1"];
        "9 only sandbox pids": "all(int(p) < 50 for p in os.listdir('/proc') if p.isdigit())" => ["True"];
        "11 host name": "socket.gethostname()" => ["belljar"];
        "11 domain": "open('/proc/sys/kernel/domainname').read().strip()" => ["(none)"], same;
        "13 cgroup": "all(l.rstrip().endswith(':/') for l in open('/proc/self/cgroup'))" => ["True"], same;
        "68 umask": "oct(os.umask(0))" => ["0o22"], same;
        "env": "sorted(os.environ)" => ["['HOME', 'LANG', 'PATH', 'TZ', 'USER']", "['HOME', 'LANG', 'LC_CTYPE', 'PATH', 'TZ', 'USER']"];
        "56 descriptors": "sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3] + [len(os.listdir('/proc/self/fd'))]" => ["[0, 1, 2, 4]"], same;
    });
}

#[test]
fn namespaces_can_not_be_made_or_entered() {
    run(attempts! {
        "7 unshare user": "call(272, 0x10000000)" => ["EPERM"];
        "7 unshare mount": "call(272, 0x20000)" => ["EPERM"], same;
        "7 unshare net": "call(272, 0x40000000)" => ["EPERM"], same;
        "7 unshare user and net": "call(272, 0x50000000)" => ["EPERM"], same;
        "7 unshare pid": "call(272, 0x20000000)" => ["EPERM"], same;
        "7 unshare time": "call(272, 0x80)" => ["EPERM"], same;
        "7 clone user": "call(56, 0x10000000 | 17, 0, 0, 0, 0)" => ["EPERM"], same;
        "7 setns": "call(308, os.open('/proc/self/ns/net', 0), 0)" => ["EPERM"], same;
        "25 umount": "call(166, b'/tmp\\0', 2)" => ["EPERM"], same;
        "28 mount": "call(165, b'none\\0', b'/tmp\\0', b'tmpfs\\0', 0, 0)" => ["EPERM"], same;
        "28 fsopen": "call(430, b'tmpfs\\0', 0)" => ["EPERM"], same;
        "28 open_tree": "call(428, -100, b'/\\0', 0)" => ["EPERM"];
        "28 move_mount": "call(429, -100, b'/\\0', -100, b'/tmp\\0', 0)" => ["EPERM"], same;
        "28 mount_setattr": "call(442, -100, b'/\\0', 0, 0, 0)" => ["EPERM"];
        "28 pivot_root": "call(155, b'/\\0', b'/tmp\\0')" => ["EPERM"], same;
        "28 chroot": "call(161, b'/tmp\\0')" => ["EPERM"], same;
        "11 sethostname": "call(170, b'x', 1)" => ["EPERM"], same;
    });
}

#[test]
fn the_kernel_surface_is_closed() {
    run(attempts! {
        "15 add_key": "call(248, b'user\\0', b'a\\0', b'b', 1, -3)" => ["EPERM", "ENOSYS"];
        "15 keyctl": "call(250, 0, -3, 1)" => ["EPERM", "ENOSYS"];
        "92 bpf": "call(321, 0, 0, 0)" => ["EPERM", "ENOSYS"], same;
        "92 perf": "call(298, 0, 0, -1, -1, 0)" => ["EPERM", "ENOSYS"];
        "92 userfaultfd": "call(323, 1)" => ["EPERM", "ENOSYS"];
        "92 name_to_handle_at": "call(303, -100, b'/\\0', ctypes.create_string_buffer(200), ctypes.create_string_buffer(8), 0)" => ["EPERM", "ENOSYS"];
        "92 memfd_secret": "call(447, 0)" => ["EPERM", "ENOSYS"], same;
        "92 fanotify": "call(300, 0x200, 0)" => ["EPERM", "ENOSYS"];
        "92 clock_settime": "call(227, 0, struct.pack('qq', 1, 0))" => ["EPERM"], same;
        "92 kcmp": "call(312, os.getpid(), os.getpid(), 0, 0, 1)" => ["EPERM", "ENOSYS"];
        "93 io_uring": "call(425, 4, ctypes.create_string_buffer(120))" => ["ENOSYS"];
        "89 unknown newer call": "call(900, 0)" => ["ENOSYS"], same;
        "91 x32": "call(0x40000000 | 39)" => ["ENOSYS", "EPERM"], same;
        "93 vsock": "sock(40, socket.SOCK_STREAM)" => ["EPERM", "EAFNOSUPPORT"], same;
        "93 alg": "sock(38, 5)" => ["EPERM", "EAFNOSUPPORT"], same;
        "93 packet": "sock(17, 3)" => ["EPERM"], same;
        "93 raw": "sock(2, 3, 1)" => ["EPERM"], same;
        "93 netlink audit": "sock(16, 3, 9)" => ["EPERM", "EACCES"];
        "93 netlink uevent": "sock(16, 3, 15)" => ["EPERM", "EACCES"];
        "93 sctp": "sock(2, 1, 132)" => ["EPERM", "EPROTONOSUPPORT", "EACCES"], same;
        "93 mptcp": "sock(2, 1, 262)" => ["EPERM", "EACCES"];
        "39 set-uid bit": "attempt(lambda: (open('s', 'w').close(), os.chmod('s', 0o4755))[0])" => ["EPERM"];
        "40 device": "attempt(lambda: os.mknod('d', 0o600 | stat.S_IFCHR, os.makedev(1, 3)))" => ["EPERM"], same;
        "40 fifo is fine": "attempt(lambda: os.mkfifo('f'))" => ["ok"], same;
    });
}

#[test]
fn files_show_and_give_nothing_of_the_host() {
    run(attempts! {
        "23 no host path in mounts": "[l.split()[3] for l in open('/proc/self/mountinfo') if 'belljar-project' in l]" => ["[]"], same;
        "24 no shared mounts": "[l for l in open('/proc/self/mountinfo') if ' shared:' in l or ' master:' in l]" => ["[]"], same;
        "43 kcore": "read('/proc/kcore')" => ["ENOENT", "empty"], same;
        "43 keys": "read('/proc/keys')" => ["empty", "EACCES", "ENOENT"], same;
        "43 timer_list": "read('/proc/timer_list')" => ["empty", "EACCES", "ENOENT"], same;
        "43 interrupts": "read('/proc/interrupts')" => ["empty", "EACCES"];
        "43 kallsyms": "read('/proc/kallsyms')" => ["empty", "EACCES"];
        "44 sysctl": "write('/proc/sys/kernel/hostname')" => ["EROFS", "EACCES", "EPERM"], same;
        "44 usr": "attempt(lambda: open('/usr/x', 'w'))" => ["EROFS", "EACCES"], same;
        "root is read-only": "attempt(lambda: open('/x', 'w'))" => ["EROFS", "EACCES"], same;
        "48 dev": "sorted(os.listdir('/dev'))" => ["['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"];
        "52 sys": "sorted(os.listdir('/sys')) + os.listdir('/sys/fs')" => ["['devices', 'fs', 'cgroup']"];
        "52 no kernel debug": "os.path.exists('/sys/kernel')" => ["False"];
        "53 init's memory": "attempt(lambda: open('/proc/1/mem', 'rb'))" => ["EACCES", "EPERM"], same;
        "53 init's environment": "read('/proc/1/environ')" => ["EACCES", "EPERM"], same;
        "53 init's root": "attempt(lambda: os.listdir('/proc/1/root'))" => ["EACCES", "EPERM"], same;
        "57 init's executable": "attempt(lambda: open('/proc/1/exe', 'r+b'))" => ["EACCES", "EPERM"], same;
        "95 ptrace init": "call(101, 16, 1, 0, 0)" => ["EPERM"], same;
        "95 init's memory by call": "call(310, 1, 0, 0, 0, 0, 0)" => ["EPERM", "ok"], same;
        "no shadow": "os.path.exists('/etc/shadow')" => ["False"];
        "no private keys": "os.path.exists('/etc/ssl/private')" => ["False"], same;
        "no machine id": "os.path.exists('/etc/machine-id')" => ["False"], same;
        "no home of the caller": "os.listdir('/home')" => ["['builder']"];
        "no root home": "os.path.exists('/root')" => ["False"];
        "no sockets": "[d for d in os.listdir('/run')]" => ["[]"];
        "47 core": "__import__('resource').getrlimit(4)" => ["(0, 0)", "(1, 1)"];
        "49 shm is empty": "os.listdir('/dev/shm')" => ["[]"], same;
        "home is empty": "os.listdir(os.environ['HOME'])" => ["[]"], same;
    });
}

#[test]
fn nothing_leaves_and_it_fails_at_once() {
    run(attempts! {
        "109 interfaces": "[n for _, n in socket.if_nameindex()]" => ["['lo']"];
        "109 tcp": "attempt(lambda: socket.create_connection(('192.0.2.1', 80), 2))" => ["ENETUNREACH"], same;
        "109 udp": "attempt(lambda: socket.socket(2, 2).sendto(b'x', ('198.51.100.1', 53)))" => ["ENETUNREACH"], same;
        "109 tcp6": "attempt(lambda: socket.create_connection(('2001:db8::1', 80), 2))" => ["ENETUNREACH", "EADDRNOTAVAIL"], same;
        "109 mapped": "attempt(lambda: socket.socket(10, 1).connect(('::ffff:203.0.113.1', 80)))" => ["ENETUNREACH"], same;
        "loopback works": "attempt(lambda: (lambda s: (s.bind(('127.0.0.1', 0)), s.listen(), socket.create_connection(s.getsockname(), 2).close(), s.close())[1])(socket.socket()))" => ["ok"], same;
        "local sockets work": "attempt(lambda: (lambda s: (s.bind('\\0own'), s.listen(), s.close())[1])(socket.socket(1)))" => ["ok"], same;
    });
}
