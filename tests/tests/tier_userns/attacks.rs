//! What a build may try against its walls, and what it must get for it.
//!
//! Every attempt is made three times, in a process of its own: inside, where it must be refused;
//! outside as the same user; and as that user with namespaces of its own, in which it has every
//! capability, other names, another umask, open files and addresses. In one of the last two it must
//! be answered otherwise than inside, so that no attempt can pass by being broken or by asking for
//! what nobody ever gets. The number in a name is that of the attack case.

use std::fmt::Write as _;

use belljar_tests::{Project, Ran};

/// One attempt: a name, a Python expression for what it got, and the answers allowed inside.
struct Attempt {
    name: &'static str,
    /// Evaluates to a string; helpers are in [`PRELUDE`].
    probe: &'static str,
    inside: &'static [&'static str],
    control: Control,
}

/// Where it must be answered otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    /// Outside, as the same user.
    Outside,
    /// In namespaces of the user's own.
    Apart,
    /// Nowhere: it is no attack, and must work.
    Fine,
}

/// `call(nr, ...)` makes a raw system call and answers `ok` or the errno's name. `PEER` is the
/// process that started this one: init inside, a shell of the same user outside.
const PRELUDE: &str = r"
import ctypes, errno, os, socket, sys, struct, stat, fcntl, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
PEER = os.getppid()
def call(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return 'ok' if r >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(f):
    try:
        r = f()
        return 'ok' if r is None or hasattr(r, 'fileno') or isinstance(r, (int, bytes)) and not isinstance(r, bool) else str(r)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))
def sock(*a):
    return attempt(lambda: socket.socket(*a).close())
def ioctl(path, request, flags=os.O_RDONLY):
    return attempt(lambda: fcntl.ioctl(os.open(path, flags), request, bytes(64)))
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
def say(name, probe):
    r, w = os.pipe()
    if os.fork() == 0:
        os.close(r)
        try: answer = str(eval(probe))
        except Exception as e: answer = repr(e)
        os.write(w, answer.encode())
        os._exit(0)
    os.close(w)
    print(name + '=' + os.read(r, 65536).decode().replace('\n', ' '), flush=True)
    os.close(r)
";

/// The user's own namespaces: every capability in them, and names, a umask, an open file, mounts,
/// interfaces and addresses that stand out.
const APART: &str = r#"
umask 077
hostname elsewhere
python3 -c "import ctypes; ctypes.CDLL(None).setdomainname(b'elsewhere', 9)"
mount --bind . /mnt
mount --make-shared /mnt
mount -t tmpfs t /dev/shm
touch /dev/shm/x
ip link set lo up
ip link add other type veth
for a in 192.0.2.1/32 198.51.100.1/32 203.0.113.1/32; do ip address add $a dev lo; done
ip address add 2001:db8::1/128 dev lo nodad
exec 7</etc
/usr/bin/python3 probe.py
true"#;

fn run(attempts: &[Attempt]) {
    let project = Project::empty();
    let mut script = PRELUDE.to_owned();
    for a in attempts {
        let _ = writeln!(script, "say({:?}, {:?})", a.name, a.probe);
    }
    project.write("probe.py", &script);
    Ran::of(
        project
            .command("touch")
            .arg(project.home().join("of-the-caller")),
    )
    .exits(0);
    let inside = project.belljar(["run", "--no-export", "--", "/usr/bin/python3", "probe.py"]);
    let own = "--user --map-root-user --keep-caps --mount --net --ipc --uts sh -c";
    let apart = Ran::of(project.command("unshare").args(own.split(' ')).arg(APART));
    // nothing is sent on the host's network
    let outside = attempts
        .iter()
        .any(|a| a.control == Control::Outside)
        .then(|| {
            Ran::of(
                project
                    .command("sh")
                    .args(["-c", "/usr/bin/python3 probe.py; true"]),
            )
        });
    let mut wrong = String::new();
    for a in attempts {
        let got = answer(&inside, a.name);
        if !a.inside.contains(&got) {
            let _ = writeln!(wrong, "{}: got {got}, expected {:?}", a.name, a.inside);
        }
        let control = match a.control {
            Control::Outside => outside.as_ref().map(|o| answer(o, a.name)),
            Control::Apart => Some(answer(&apart, a.name)),
            Control::Fine => None,
        };
        if control.is_some_and(|c| c == "nothing" || a.inside.contains(&c)) {
            let _ = writeln!(
                wrong,
                "{}: without belljar it got {} too: the probe proves nothing",
                a.name,
                control.unwrap_or_default()
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{inside}\n{apart}");
}

fn answer<'a>(ran: &'a Ran, name: &str) -> &'a str {
    ran.stdout
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("nothing")
}

macro_rules! attempts {
    ($($name:literal: $probe:literal => $inside:expr $(, $control:ident)?;)*) => {
        &[$(Attempt {
            name: $name,
            probe: $probe,
            inside: &$inside,
            control: attempts!(@control $($control)?),
        }),*]
    };
    (@control) => { Control::Outside };
    (@control apart) => { Control::Apart };
    (@control fine) => { Control::Fine };
}

const NONE: &str = "0000000000000000";

#[test]
fn identity_and_capabilities() {
    run(attempts! {
        "1 CapInh": "status('CapInh')" => [NONE], apart;
        "1 CapPrm": "status('CapPrm')" => [NONE], apart;
        "1 CapEff": "status('CapEff')" => [NONE], apart;
        "1 CapBnd": "status('CapBnd')" => [NONE];
        "1 CapAmb": "status('CapAmb')" => [NONE], apart;
        "3 NoNewPrivs": "status('NoNewPrivs')" => ["1"];
        "4 uid": "os.getuid()" => ["1000"];
        "4 gid": "os.getgid()" => ["1000"];
        "9 ppid": "PEER" => ["1"];
        "9 only sandbox pids": "all(int(p) < 50 for p in os.listdir('/proc') if p.isdigit())" => ["True"];
        "11 host name": "socket.gethostname()" => ["belljar"];
        "11 domain": "open('/proc/sys/kernel/domainname').read().strip()" => ["(none)"], apart;
        "13 cgroup": "all(l.rstrip().endswith(':/') for l in open('/proc/self/cgroup'))" => ["True"];
        "68 umask": "oct(os.umask(0))" => ["0o22"], apart;
        "env": "sorted(os.environ)" => ["['HOME', 'LANG', 'PATH', 'TZ', 'USER']", "['HOME', 'LANG', 'LC_CTYPE', 'PATH', 'TZ', 'USER']"];
        "56 descriptors": "sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3] + [len(os.listdir('/proc/self/fd'))]" => ["[0, 1, 2, 5]"], apart;
    });
}

#[test]
fn namespaces_can_not_be_made_or_entered() {
    run(attempts! {
        "7 unshare user": "call(272, 0x10000000)" => ["EPERM"];
        "7 unshare mount": "call(272, 0x20000)" => ["EPERM"], apart;
        "7 unshare net": "call(272, 0x40000000)" => ["EPERM"], apart;
        "7 unshare user and net": "call(272, 0x50000000)" => ["EPERM"];
        "7 unshare pid": "call(272, 0x20000000)" => ["EPERM"], apart;
        "7 unshare time": "call(272, 0x80)" => ["EPERM"], apart;
        "7 clone user": "call(56, 0x10000000 | 17, 0, 0, 0, 0)" => ["EPERM"];
        "7 setns": "call(308, os.open('/proc/self/ns/net', 0), 0)" => ["EPERM"], apart;
        "25 umount": "call(166, b'/tmp\\0', 2)" => ["EPERM"], apart;
        "28 mount": "call(165, b'none\\0', b'/tmp\\0', b'tmpfs\\0', 0, 0)" => ["EPERM"], apart;
        "28 fsopen": "call(430, b'tmpfs\\0', 0)" => ["EPERM"], apart;
        "28 open_tree": "call(428, -100, b'/\\0', 0)" => ["EPERM"];
        "28 move_mount": "call(429, -100, b'/\\0', -100, b'/tmp\\0', 0)" => ["EPERM"], apart;
        "28 mount_setattr": "call(442, -100, b'/\\0', 0, 0, 0)" => ["EPERM"];
        "28 pivot_root": "call(155, b'/\\0', b'/tmp\\0')" => ["EPERM"], apart;
        "28 chroot": "call(161, b'/tmp\\0')" => ["EPERM"], apart;
        "11 sethostname": "call(170, b'x', 1)" => ["EPERM"], apart;
    });
}

#[test]
fn the_kernel_surface_is_closed() {
    run(attempts! {
        "15 add_key": "call(248, b'user\\0', b'a\\0', b'b', 1, -3)" => ["EPERM", "ENOSYS"];
        "15 keyctl": "call(250, 0, -3, 1)" => ["EPERM", "ENOSYS"];
        "92 bpf": "call(321, 0, 0, 0)" => ["EPERM"];
        "92 perf": "call(298, 0, 0, -1, -1, 0)" => ["EPERM", "ENOSYS"];
        "92 userfaultfd": "call(323, 1)" => ["EPERM", "ENOSYS"];
        "92 name_to_handle_at": "call(303, -100, b'/\\0', ctypes.create_string_buffer(200), ctypes.create_string_buffer(8), 0)" => ["EPERM", "ENOSYS"];
        "92 memfd_secret": "call(447, 0)" => ["EPERM", "ENOSYS"];
        "92 fanotify": "call(300, 0x200, 0)" => ["EPERM", "ENOSYS"];
        "92 kcmp": "call(312, os.getpid(), os.getpid(), 0, 0, 1)" => ["EPERM", "ENOSYS"];
        "92 clock_settime": "call(227, 9999, struct.pack('qq', 1, 0))" => ["EPERM"];
        "89 a newer call": "call(451, 9999, 0, 0, 0)" => ["ENOSYS"];
        "40 device": "attempt(lambda: os.mknod('probe.py', 0o600 | stat.S_IFCHR, os.makedev(1, 3)))" => ["EPERM"];
        "93 io_uring": "call(425, 4, ctypes.create_string_buffer(120))" => ["ENOSYS"];
        "93 vsock": "sock(40, socket.SOCK_STREAM)" => ["EPERM"];
        "93 alg": "sock(38, 5)" => ["EPERM"];
        "93 packet": "sock(17, 3)" => ["EPERM"], apart;
        "93 raw": "sock(2, 3, 1)" => ["EPERM"], apart;
        "93 netlink audit": "sock(16, 3, 9)" => ["EPERM", "EACCES"];
        "93 netlink uevent": "sock(16, 3, 15)" => ["EPERM", "EACCES"];
        "93 sctp": "sock(2, 1, 132)" => ["EPERM"];
        "93 mptcp": "sock(2, 1, 262)" => ["EPERM", "EACCES"];
        "39 set-uid bit": "attempt(lambda: (open('s', 'w').close(), os.chmod('s', 0o4755))[0])" => ["EPERM"];
        "40 fifo is fine": "attempt(lambda: os.mkfifo('f'))" => ["ok"], fine;
    });
}

#[test]
fn case_16_a_personality_is_not_changed_but_for_a_debugger() {
    run(attempts! {
        "16 read implies exec": "call(135, 0x400000)" => ["EPERM"];
        "16 without a high bit to hide it": "call(135, 0x100400000)" => ["EPERM"];
        "16 compatible layout": "call(135, 0x200000)" => ["EPERM"];
        "16 another system": "call(135, 8)" => ["EPERM"];
        "16 together with the allowed one": "call(135, 0x440000)" => ["EPERM"];
        "16 asked": "call(135, 0xffffffff)" => ["ok"], fine;
        "16 fixed addresses, for gdb": "call(135, 0x40000)" => ["ok"], fine;
    });
}

/// The request is an int: what is above its 32 bits hides nothing.
#[test]
fn case_96_requests_to_devices_and_file_systems() {
    run(attempts! {
        "96 TIOCSTI": "ioctl('probe.py', 0x5412)" => ["EPERM"];
        "96 TIOCLINUX": "ioctl('probe.py', 0x541c)" => ["EPERM"];
        "96 TIOCSETD": "ioctl('probe.py', 0x5423)" => ["EPERM"];
        "96 flags of a file": "ioctl('probe.py', 0x40086602)" => ["EPERM"];
        "96 flags of a file, 32-bit": "ioctl('probe.py', 0x40046602)" => ["EPERM"];
        "96 flags of a file by a wide request": "call(16, os.open('probe.py', 0), 0x100000000 | 0x40086602, bytes(64))" => ["EPERM"];
        "96 project of a file": "ioctl('probe.py', 0x401c5820)" => ["EPERM"];
        "96 verity": "ioctl('probe.py', 0x40806685)" => ["EPERM"];
        "96 dedupe": "ioctl('probe.py', 0xc0189436)" => ["EPERM"];
        "96 btrfs subvolume": "ioctl('probe.py', 0x5000940e)" => ["EPERM"];
        "96 loop device": "ioctl('probe.py', 0x4c82)" => ["EPERM"];
        "96 how much can be read": "ioctl('probe.py', 0x541b)" => ["ok"], fine;
        "96 flags of a file, asked": "ioctl('probe.py', 0x80086601)" => ["ok", "ENOTTY"], fine;
    });
}

#[test]
fn files_show_and_give_nothing_of_the_host() {
    run(attempts! {
        "23 no host path in mounts": "[l.split()[3] for l in open('/proc/self/mountinfo') if 'belljar-project' in l]" => ["[]"], apart;
        "24 no shared mounts": "[l for l in open('/proc/self/mountinfo') if ' shared:' in l or ' master:' in l]" => ["[]"], apart;
        "43 keys": "read('/proc/keys')" => ["empty", "EACCES", "ENOENT"];
        "43 interrupts": "read('/proc/interrupts')" => ["empty", "EACCES"];
        "43 kallsyms": "read('/proc/kallsyms')" => ["empty", "EACCES"];
        "44 sysctl": "write('/proc/sys/net/ipv4/ip_forward')" => ["EROFS", "EACCES", "EPERM"], apart;
        "44 usr": "attempt(lambda: open('/usr/x', 'w'))" => ["EROFS"];
        "root is read-only": "attempt(lambda: open('/x', 'w'))" => ["EROFS"];
        "48 dev": "sorted(os.listdir('/dev'))" => ["['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"];
        "52 sys": "sorted(os.listdir('/sys')) + os.listdir('/sys/fs')" => ["['devices', 'fs', 'cgroup']"];
        "52 no kernel debug": "os.path.exists('/sys/kernel')" => ["False"];
        "53 init's memory": "attempt(lambda: open('/proc/%d/mem' % PEER, 'rb'))" => ["EACCES", "EPERM"];
        "53 init's environment": "read('/proc/%d/environ' % PEER)" => ["EACCES", "EPERM"];
        "53 init's root": "attempt(lambda: os.listdir('/proc/%d/root' % PEER))" => ["EACCES", "EPERM"];
        "57 init's executable": "attempt(lambda: os.stat('/proc/%d/exe' % PEER))" => ["EACCES", "EPERM"];
        "95 ptrace init": "call(101, 0x4206, PEER, 0, 0)" => ["EPERM"];
        "95 init's memory by call": "call(310, PEER, 0, 0, 0, 0, 0)" => ["EPERM"];
        "no shadow": "os.path.exists('/etc/shadow')" => ["False"];
        "no home of the caller": "os.listdir('/home')" => ["['builder']"];
        "no root home": "os.path.exists('/root')" => ["False"];
        "no sockets": "[d for d in os.listdir('/run')]" => ["[]"];
        "47 core": "__import__('resource').getrlimit(4)" => ["(0, 0)", "(1, 1)"];
        "49 shm is empty": "os.listdir('/dev/shm')" => ["[]"], apart;
        "home is empty": "os.listdir(os.environ['HOME'])" => ["[]"];
    });
}

#[test]
fn nothing_leaves_and_it_fails_at_once() {
    run(attempts! {
        "109 interfaces": "[n for _, n in socket.if_nameindex()]" => ["['lo']"], apart;
        "109 tcp": "attempt(lambda: socket.create_connection(('192.0.2.1', 80), 2))" => ["ENETUNREACH"], apart;
        "109 udp": "attempt(lambda: socket.socket(2, 2).sendto(b'x', ('198.51.100.1', 53)))" => ["ENETUNREACH"], apart;
        "109 tcp6": "attempt(lambda: socket.create_connection(('2001:db8::1', 80), 2))" => ["ENETUNREACH"], apart;
        "109 mapped": "attempt(lambda: socket.socket(10, 1).connect(('::ffff:203.0.113.1', 80)))" => ["ENETUNREACH"], apart;
        "loopback works": "attempt(lambda: (lambda s: (s.bind(('127.0.0.1', 0)), s.listen(), socket.create_connection(s.getsockname(), 2).close(), s.close())[1])(socket.socket()))" => ["ok"], fine;
        "local sockets work": "attempt(lambda: (lambda s: (s.bind('\\0own'), s.listen(), s.close())[1])(socket.socket(1)))" => ["ok"], fine;
    });
}
