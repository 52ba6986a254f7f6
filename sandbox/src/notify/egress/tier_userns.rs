//! Real calls of real processes in an empty network namespace, and what becomes of them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use belljar_model::{Class, EgressRecord, EgressVerdict, Label, Reason};
use proptest::prelude::*;

use super::*;
use crate::notify::Service;
use crate::observe::EgressLog;
use crate::sys::testing::{spawn_filtered, trap};

const TRAPPED: [i64; 5] = [
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// Words of Perl that the scripts use.
const PRELUDE: &str = r"
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
sub tcp { socket(my $s, PF_INET, SOCK_STREAM, 0) or die; $s } sub tcp6 { socket(my $s, PF_INET6, SOCK_STREAM, 0) or die; $s }
sub udp { socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; $s } sub udp6 { socket(my $s, PF_INET6, SOCK_DGRAM, 0) or die; $s }
sub in4 { pack_sockaddr_in($_[1], inet_aton($_[0])) } sub in6 { pack_sockaddr_in6($_[1], inet_pton(AF_INET6, $_[0])) }
sub at { unpack 'Q', pack 'p', $_[0] }
sub header { my ($to, $part) = @_; pack 'QL x4 QQ QQ l x4', (defined $$to ? at($$to) : 0), length($$to // ''), at($$part), 1, 0, 0, 0 }
sub part { pack 'QQ', at(${$_[0]}), length ${$_[0]} }
sub query { pack('n6', 7, 0x100, 1, 0, 0, 0) . join('', map { chr(length) . $_ } split /\./, $_[0]) . pack('xnn', 1, 1) }
";

/// Runs a script in its own network namespace; what it printed and what was recorded.
fn watch(script: &str) -> (String, Vec<EgressRecord>) {
    let (out, log) = watch_all(script);
    assert_eq!(log.lost, 0);
    (out, log.records)
}

fn watch_all(script: &str) -> (String, EgressLog) {
    let egress = Egress::new(Label::A, None);
    egress.begin_command();
    let script = format!(
        "my ($connect, $sendto, $sendmsg, $sendmmsg) = ({}, {}, {}, {});\n{PRELUDE}\n{script}",
        libc::SYS_connect,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg
    );
    let mut command = Command::new("unshare");
    command
        .args(["-Urn", "perl", "-e", &script, "--", "--token=abc"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (starting, listener) = spawn_filtered(command, trap(&TRAPPED)).expect("unshare and perl");
    let service = Service::start(listener, vec![egress.clone()]).expect("the service");
    let child = starting.child().expect("unshare and perl");
    let out = child.wait_with_output().expect("its end");
    assert!(out.status.success(), "{out:?}");
    let counters = service.stop();
    assert_eq!(counters.failed, 0, "{counters:?}");
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    (printed, egress.finish())
}

/// Event, family, protocol, host, port, class, reason.
fn lines(records: &[EgressRecord]) -> Vec<String> {
    let line = |r: &EgressRecord| {
        let ask = &r.ask;
        format!(
            "{} {} {} {} {} {} {}",
            r.event,
            ask.family,
            ask.protocol,
            ask.host,
            ask.port,
            r.class.name(),
            r.reason.name()
        )
    };
    records.iter().map(line).collect()
}

#[test]
fn internet_destinations() {
    let (out, records) = watch(
        r#"
        connect(tcp, in4("192.0.2.1", 443)); print $!+0, "\n";
        connect(udp, in4("192.0.2.1", 123));
        send(udp, "x", 0, in4("198.51.100.1", 9));
        send(tcp, "x", 0x20000000, in4("203.0.113.1", 80));
        connect(tcp6, in6("2001:db8::1", 443));
        connect(tcp6, in6("::ffff:192.0.2.9", 443));
        send(udp6, "x", 0, in6("2001:db8::2", 9));
        connect(tcp, in4("127.0.0.1", 8080));
        connect(tcp, in4("169.254.169.254", 80));
        connect(tcp, in4("10.1.2.3", 80));
        bind(tcp, in4("192.0.2.1", 80)); bind(tcp, in4("0.0.0.0", 0)); bind(tcp, in4("127.0.0.1", 0));
        my $s = udp; connect($s, pack("S x14", 0)); print "end\n";
        "#,
    );
    assert_eq!(out, format!("{}\nend\n", libc::ENETUNREACH));
    assert_eq!(
        lines(&records),
        [
            "connect inet tcp 192.0.2.1 443 external ip_literal",
            "connect inet udp 192.0.2.1 123 probe udp_no_route",
            "sendto inet udp 198.51.100.1 9 external udp_no_route",
            "sendto inet tcp 203.0.113.1 80 external ip_literal",
            "connect inet6 tcp 2001:db8::1 443 external ip_literal",
            "connect inet6 tcp 192.0.2.9 443 external ip_literal",
            "sendto inet6 udp 2001:db8::2 9 external udp_no_route",
            "connect inet tcp 127.0.0.1 8080 loopback inside",
            "connect inet tcp 169.254.169.254 80 external metadata_address",
            "connect inet tcp 10.1.2.3 80 external private_address",
            "bind inet tcp 192.0.2.1 80 probe ip_literal",
        ]
    );
    let first = &records[0];
    assert_eq!(first.verdict, EgressVerdict::Deny);
    assert_eq!(records[7].verdict, EgressVerdict::None);
    assert!(!first.racy);
    assert!(
        first.proc.exe.to_string().ends_with("/perl"),
        "{:?}",
        first.proc.exe
    );
    assert_eq!(first.proc.argv.last().unwrap().to_string(), "--token=***");
    assert!(first.proc.exe_sha256.is_some());
    assert_eq!(
        first.hint.as_deref(),
        Some("needs 192.0.2.1: use `--cache`, `--allow 192.0.2.1` or `belljar egress learn`")
    );
}

#[test]
fn messages_and_the_names_they_ask_for() {
    let (_, records) = watch(
        r#"
        my ($a, $b, $x, $q) = (in4("192.0.2.1", 9), in4("192.0.2.2", 9), "x", query("Host.Example"));
        my ($none, $part, $ask) = (undef, part(\$x), part(\$q));
        my $one = header(\$a, \$part); syscall($sendmsg, fileno(udp), $one, 0);
        my $nobody = header(\$none, \$part); syscall($sendmsg, fileno(udp), $nobody, 0);
        my $all = join "", map { $_ . pack("x8") } header(\$a, \$part), header(\$b, \$part), header(\$a, \$part), $nobody;
        my $s = udp; syscall($sendmmsg, fileno($s), $all, 4, 0);
        send(udp, query("a.example"), 0, in4("192.0.2.53", 53));
        my $dns = in4("192.0.2.53", 53); my $m = header(\$dns, \$ask); syscall($sendmsg, fileno(udp), $m, 0);
        send(udp, "no query", 0, in4("192.0.2.53", 53));
        send(udp, query("m.local"), 0, in4("224.0.0.251", 5353));
        send(udp, query("b.example"), 0, in4("127.0.0.1", 53));
        connect(udp, in4("127.0.0.1", 53));
        "#,
    );
    assert_eq!(
        lines(&records),
        [
            "sendmsg inet udp 192.0.2.1 9 external udp_no_route",
            "sendmmsg inet udp 192.0.2.1 9 external udp_no_route",
            "sendmmsg inet udp 192.0.2.2 9 external udp_no_route",
            "sendto inet udp a.example 53 external dns_name_denied",
            "sendmsg inet udp host.example 53 external dns_name_denied",
            "sendto inet udp 192.0.2.53 53 external udp_no_route",
            "sendto inet udp m.local 5353 external dns_name_denied",
            // Nobody serves names here, so loopback is no answer.
            "sendto inet udp b.example 53 external dns_name_denied",
            "connect inet udp unknown 53 external dns_name_denied",
        ]
    );
}

#[test]
fn local_sockets_and_netlink() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let path = path.to_str().unwrap();
    let (_, records) = watch(&format!(
        r#"
        sub un {{ socket(my $s, PF_UNIX, SOCK_STREAM, 0); $s }} sub name {{ pack("S", 1) . $_[0] }}
        connect(un, name("{path}\0")); connect(un, name("/run/no/docker.sock\0")); connect(un, name("/var/run/nscd/socket\0"));
        connect(un, name("\0host")); connect(un, name("relative\0")); connect(un, pack("S", 1)); bind(un, name("\0x"));
        socket(my $n, 16, 3, 0); bind($n, pack("SSLL", 16, 0, 0, 0)); send($n, pack("LSSLL", 16, 0, 0, 0, 0), 0, pack("SSLL", 16, 0, 0, 0));
        connect(un, pack("SSL", 40, 0, 2));
        "#
    ));
    assert_eq!(
        lines(&records),
        [
            &format!("connect unix unix-stream {path} 0 local-ipc inside"),
            "connect unix unix-stream /run/no/docker.sock 0 local-ipc unix_socket_denied",
            "connect unix unix-stream /var/run/nscd/socket 0 probe unix_socket_denied",
            "connect unix unix-stream @host 0 local-ipc inside",
            "connect unix unix-stream relative 0 local-ipc inside",
            "connect unix unix-stream unnamed 0 local-ipc inside",
            "sendto netlink netlink kernel 0 local-ipc inside",
            "connect vsock unix-stream 000002000000 0 external af_denied",
        ]
    );
}

/// Lengths that lie, pointers to nothing, descriptors that are none: a record each where somebody is
/// named, and no harm.
#[test]
fn garbage_is_recorded_as_far_as_it_goes() {
    let (out, records) = watch(
        r#"
        my $a = in4("192.0.2.1", 443); my $s = fileno(my $keep = tcp); my $u = fileno(my $keep2 = udp); my $x = "x";
        my $long = $a . "\xff" x 300; my $huge = 0x7fffffff;
        syscall($connect, $s, $a, 7); syscall($connect, $s, $a, 0); syscall($connect, $s, 1, 16); syscall($connect, $s, $long, 300);
        syscall($connect, $s, $a, -1); syscall($connect, 999, $a, 16); syscall($connect, $s, $a, (1 << 32) + 16);
        syscall($sendto, $u, $x, 1, 0, pack("Snx0", 0, 53) . inet_aton("192.0.2.8") . "\0" x 8, 16);
        syscall($sendto, $u, 1, $huge, 0, $a, 16);
        syscall($sendmsg, $u, 1, 0); syscall($sendmmsg, $u, 1, 5, 0); my $bad = "\xff" x 64; syscall($sendmmsg, $u, $bad, 1, 0);
        print "end\n";
        "#,
    );
    assert_eq!(out, "end\n");
    let (ip, unknown) = ("443 external ip_literal", "external unknown");
    assert_eq!(
        lines(&records)[..10],
        [
            format!("connect inet tcp unknown 0 {unknown}"),
            format!("connect unknown tcp unknown 0 {unknown}"),
            format!("connect unknown tcp unknown 0 {unknown}"),
            format!("connect inet tcp 192.0.2.1 {ip}"),
            format!("connect inet tcp 192.0.2.1 {ip}"),
            format!("connect inet unknown 192.0.2.1 {ip}"),
            format!("connect inet tcp 192.0.2.1 {ip}"),
            // The kernel takes this for AF_INET.
            "sendto inet udp 192.0.2.8 53 external udp_no_route".into(),
            "sendto inet udp 192.0.2.1 443 external udp_no_route".into(),
            format!("sendmmsg unknown udp unknown 0 {unknown}"),
        ]
    );
}

#[test]
fn destinations_past_the_limit_are_counted_as_lost() {
    let (_, log) = watch_all(
        r#"
        my $x = "x"; my $part = part(\$x); my @to = map { in4("192.0.2.$_", 9) } 1 .. 100;
        my $all = join "", map { header(\$_, \$part) . pack("x8") } @to;
        syscall($sendmmsg, fileno(my $s = udp), $all, 100, 0);
        "#,
    );
    assert_eq!((log.records.len(), log.lost), (64, 36));
}

/// Attack case 99: a thread that rewrites the address while it is read: every record is one of the two addresses,
/// and the caller is never held up or refused.
#[test]
fn a_caller_that_changes_its_memory_changes_a_record_and_nothing_else() {
    let script = r#"
import ctypes, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
a = b"\x02\x00\x01\xbb" + socket.inet_aton("192.0.2.1") + b"\0" * 8
b = b"\x02\x00\x01\xbb" + socket.inet_aton("198.51.100.9") + b"\0" * 8
buf = ctypes.create_string_buffer(a, 16)
stop = False
def flip():
    while not stop:
        ctypes.memmove(buf, b, 16); ctypes.memmove(buf, a, 16)
t = threading.Thread(target=flip); t.start()
s = socket.socket()
errnos = set()
for _ in range(200):
    libc.connect(s.fileno(), buf, 16); errnos.add(ctypes.get_errno())
stop = True; t.join(); print(errnos)
"#;
    let (out, records) = watch(&format!("exec 'python3', '-c', <<'E';\n{script}\nE"));
    assert_eq!(out.trim(), format!("{{{}}}", libc::ENETUNREACH));
    let mut hosts = BTreeMap::new();
    for record in records.iter().filter(|r| r.class == Class::External) {
        *hosts.entry(record.ask.host.to_string()).or_insert(0) += 1;
        assert_eq!(record.reason, Reason::IpLiteral);
    }
    assert_eq!(hosts.values().sum::<i32>(), 200, "{hosts:?}");
    // Parts of both may be seen, as the kernel may see them, and nothing else.
    let (a, b) = (["192", "0", "2", "1"], ["198", "51", "100", "9"]);
    for host in hosts.keys() {
        let mixed = host
            .split('.')
            .zip(a.iter().zip(&b))
            .all(|(h, (a, b))| h == *a || h == *b);
        assert!(mixed, "{hosts:?}");
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_names_nobody(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let header = parse_header(&bytes);
        prop_assert!(bytes.len() >= 32 || header.is_none());
        prop_assert!(header.is_none_or(|h| h.name != 0 && h.name_len != 0));
    }
}
