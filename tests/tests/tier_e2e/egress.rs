//! Nothing leaves, and every attempt is a record with the process that made it.

use std::collections::BTreeSet;

use serde_json::Value;

use belljar_tests::{Project, Ran};

use crate::{run, small, verify};

fn records(project: &Project) -> Vec<Value> {
    let text = project.evidence().text("security/egress.ndjson");
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}")))
        .collect()
}

#[test]
fn a_refused_connection_is_a_record_with_its_process() {
    let project = small();
    project.write("reach.py", "import socket, sys\ntry:\n    socket.create_connection((\"192.0.2.7\", 8443), 5)\n    print(\"connected\")\nexcept OSError as e:\n    print(\"refused\", e.errno)\n");
    let ran = run(&project, &[], "python3 reach.py");
    assert!(ran.exits(0).stdout.contains("refused"), "{ran}");
    let records = records(&project);
    let record = records
        .iter()
        .find(|r| r["ask"]["host"] == "192.0.2.7" && r["ask"]["port"] == 8443)
        .unwrap_or_else(|| panic!("{records:#?}"));
    assert_eq!(record["class"], "external");
    assert_eq!(record["verdict"], "deny");
    assert_eq!(record["proc"]["argv"][1], "reach.py");
    let chain = record["proc"]["chain"].to_string();
    assert!(
        chain.contains("python3 reach.py"),
        "the shell that started it: {chain}"
    );
    let summary = project.evidence().text("security/summary.md");
    assert!(summary.contains("192.0.2.7"), "{summary}");
}

/// One attempt a family and a way: each must fail, and each that names a destination must be told.
#[test]
fn every_way_out_is_closed_and_told() {
    let project = small();
    project.write(
        "ways.py",
        r#"
import socket, struct
def way(name, f):
    try:
        f()
        print("OPEN", name)
    except OSError:
        print("closed", name)
def tcp(host, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(3); s.connect((host, 443))
def udp(host, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.sendto(b"x", (host, 53))
def msg(host):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendmsg([b"x"], [], 0, (host, 5353))
way("tcp", lambda: tcp("192.0.2.1"))
way("tcp6", lambda: tcp("2001:db8::1", socket.AF_INET6))
way("tcp mapped", lambda: tcp("::ffff:192.0.2.2", socket.AF_INET6))
way("udp", lambda: udp("198.51.100.1"))
way("udp6", lambda: udp("2001:db8::2", socket.AF_INET6))
way("sendmsg", lambda: msg("203.0.113.1"))
way("metadata", lambda: tcp("169.254.169.254"))
way("name", lambda: socket.getaddrinfo("host.example", 443))
way("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
way("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
way("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
way("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0host-service"))
way("docker", lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"))
"#,
    );
    let ran = run(&project, &[], "python3 ways.py");
    assert!(!ran.exits(0).stdout.contains("OPEN"), "{ran}");
    assert_eq!(ran.stdout.matches("closed").count(), 13, "{ran}");
    let hosts: BTreeSet<String> = records(&project)
        .iter()
        .map(|r| r["ask"]["host"].as_str().unwrap_or("").to_owned())
        .collect();
    for host in [
        "192.0.2.1",
        "2001:db8::1",
        "198.51.100.1",
        "2001:db8::2",
        "203.0.113.1",
        "169.254.169.254",
    ] {
        assert!(hosts.contains(host), "{host} among {hosts:?}");
    }
}

#[test]
fn records_count_without_a_gap_in_each_run() {
    let project = small();
    let script = "for i in 1 2 3 4 5; do python3 -c 'import socket; socket.socket().connect_ex((\"192.0.2.9\", 80))'; done; echo x >out";
    verify(&project, &[], script).exits(0);
    for run in ["a", "b"] {
        let seqs: Vec<u64> = records(&project)
            .iter()
            .filter(|r| r["run"] == run)
            .map(|r| r["seq"].as_u64().expect("seq"))
            .collect();
        assert!(seqs.len() >= 5, "{run}: {seqs:?}");
        assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "{run}");
    }
}

#[test]
fn loopback_servers_are_part_of_builds_and_gate_nothing() {
    let project = small();
    let script = "python3 -c '
import socket, threading
s = socket.create_server((\"127.0.0.1\", 0))
t = threading.Thread(target=lambda: s.accept()[0].sendall(b\"hi\")); t.start()
print(socket.create_connection(s.getsockname()).recv(2))
t.join()'";
    let ran = run(&project, &["--on-deny", "fail"], script);
    assert!(ran.exits(0).stdout.contains("hi"), "{ran}");
    assert!(records(&project).iter().all(|r| r["class"] != "external"));
}

#[test]
fn the_self_test_ran_in_the_same_sandbox_and_everything_was_denied() {
    let project = small();
    run(&project, &[], "true").exits(0);
    let document = project.evidence().document("security/selftest.json");
    let probes = document["probes"].as_array().expect("probes");
    assert!(probes.len() >= 5, "{document:#}");
    for probe in probes {
        assert_eq!(probe["denied"], true, "{probe:#}");
    }
}

/// The external records of a run, as `HOST by PROGRAM ARGUMENT...`.
fn asked(project: &Project) -> Vec<String> {
    let line = |r: &Value| {
        let argv = r["proc"]["argv"].as_array().expect("argv").iter();
        let argv: Vec<_> = argv.map(|a| a.as_str().expect("text")).collect();
        let host = r["ask"]["host"].as_str().expect("a host");
        format!("{host} by {}", argv.join(" "))
    };
    let records = records(project);
    let external = records.iter().filter(|r| r["class"] == "external");
    external.map(line).collect()
}

/// Every client asks for names in its own way: by `sendmmsg`, `sendto` or `write`, through the C
/// library, musl or a resolver of its own. Each refusal must name the host and the program.
#[test]
fn every_client_is_told_with_the_host_that_it_wanted() {
    let project = small();
    project.write("get.go", "package main\nimport (\"fmt\"; \"net/http\")\nfunc main() { _, err := http.Get(\"http://go.example/\"); fmt.Println(err) }\n");
    project.write("Get.java", "public class Get { public static void main(String[] a) throws Exception { new java.net.URL(\"http://java.example/\").openStream(); } }\n");
    project.write("get.c", "#include <netdb.h>\nint main(void) { struct addrinfo *r; return getaddrinfo(\"musl.example\", \"80\", 0, &r) != EAI_NONAME; }\n");
    let script = "
        curl -sS https://curl.example/x
        python3 -c 'import urllib.request as u; u.urlopen(\"http://python.example/\")'
        git clone -q https://git.example/r
        node -e 'require(\"http\").get(\"http://node.example/\")'
        perl -MSocket -e 'gethostbyname(\"perl.example\")'
        export GOCACHE=/tmp/go
        CGO_ENABLED=0 go build -o /tmp/get get.go && /tmp/get
        java Get.java
        musl-gcc -static -o /tmp/musl get.c && /tmp/musl && echo musl was told that there is no such name
        true";
    let ran = run(&project, &[], script);
    assert!(ran.exits(0).stdout.contains("no such name"), "{ran}");
    let asked = asked(&project);
    for (host, program) in [
        ("curl.example", "curl -sS"),
        ("python.example", "python3"),
        ("git.example", "git-remote-https"),
        ("node.example", "node -e"),
        ("perl.example", "perl"),
        ("go.example", "/tmp/get"),
        ("java.example", "java Get.java"),
        ("musl.example", "/tmp/musl"),
    ] {
        let told = asked
            .iter()
            .filter(|a| a.starts_with(&format!("{host} by ")));
        let told: Vec<_> = told.collect();
        assert!(
            told.len() == 1 && told[0].contains(program),
            "{host}: {asked:#?}"
        );
    }
    assert_eq!(asked.len(), 8, "{asked:#?}");
}

/// Package clients: which host they want is theirs to say; the record names it, and what to do.
#[test]
fn a_refused_fetch_says_what_it_needs() {
    let clients = [
        (
            "python3 -m pip --disable-pip-version-check download --retries 0 six",
            "pip",
        ),
        ("npm install --fetch-retries 0 left-pad", "npm"),
        ("CARGO_NET_RETRY=0 cargo fetch", "cargo"),
        ("GOFLAGS=-mod=mod go get module.example/x", "go"),
    ];
    let home = std::env::var("HOME").expect("HOME");
    for (command, program) in clients {
        // For the caller, whose home has the rustup that brings cargo.
        let project = Project::empty_for_caller();
        project.write("go.mod", "module x\n\ngo 1.19\n");
        project.write(
            "Cargo.toml",
            "[package]\nname = \"x\"\nversion = \"0.1.0\"\n[dependencies]\nitoa = \"1\"\n",
        );
        project.write("src/lib.rs", "");
        let mut belljar =
            project.belljar_command(["run", "--allow-empty", "--", "sh", "-c", command]);
        belljar
            .env("HOME", &home)
            .env("PATH", format!("/usr/bin:/bin:{home}/.cargo/bin"));
        let ran = Ran::of(&mut belljar);
        assert_ne!(ran.code, 0, "{ran}");
        let asked = asked(&project);
        assert!(
            asked.iter().any(|a| a.contains(program)),
            "{asked:#?}\n{ran}"
        );
        let records = records(&project);
        let first = records
            .iter()
            .find(|r| r["class"] == "external")
            .expect("one");
        let (host, hint) = (
            first["ask"]["host"].as_str().expect("a host"),
            &first["hint"],
        );
        assert!(host.contains('.'), "{first:#}");
        assert!(
            hint.as_str()
                .is_some_and(|h| h.starts_with(&format!("needs {host}: "))),
            "{first:#}"
        );
    }
}

#[test]
fn records_hold_neither_secrets_nor_the_callers_home() {
    let project = small();
    let home = project.home().display().to_string();
    let script = format!(
        "curl -sS -u me:hunter2 -H 'Authorization: Bearer hunter2' 'https://me:hunter2@secret.example/?token=hunter2' '{home}/x' --data @{home}/y; true"
    );
    run(&project, &[], &script).exits(0);
    let text = project.evidence().text("security/egress.ndjson");
    assert!(
        text.contains("secret.example") && text.contains("***"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("$HOME/x") && !text.contains(&home), "{text}");
}

#[test]
fn only_external_calls_gate() {
    let project = small();
    let fail = ["--on-deny", "fail"];
    run(
        &project,
        &fail,
        "getent passwd nobody; getent hosts localhost; true",
    )
    .exits(0);
    let ran = run(&project, &fail, "getent hosts out.example; true");
    assert!(ran.exits(4).stderr.contains("out.example"), "{ran}");
}
