//! What the door does for whole commands: recordings, credentials, limits, learning, its end.

use std::fs;
use std::path::Path;

use belljar_tests::{ORIGIN, Outside, Project};
use serde_json::Value;

use crate::clients::{allowed, records, refused};

/// One rule for the origin, with these further keys.
fn rule(host: &str, more: &str) -> String {
    format!("[[egress.allow]]\nhost = \"{host}\"\naddresses = [\"192.0.2.10\"]\n{more}\n")
}

fn project(policy: &str) -> Project {
    let project = Project::empty();
    project
        .write("belljar.toml", policy)
        .write("source.txt", "source\n");
    project
}

fn with_reason<'a>(records: &'a [Value], reason: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["reason"] == reason).collect()
}

#[test]
fn the_second_run_is_served_from_the_first_ones_recording() {
    let outside = Outside::new();
    let project = project(&rule("files.example", ""));
    // Another page each time it is asked for.
    let build = "curl -sS --fail https://files.example/stamp > out; curl -sS --fail http://files.example/stamp >> out; curl -sS https://files.example/missing >> out";
    let ran = outside.belljar(&project, ["verify", "--", "sh", "-ec", build]);
    ran.exits(0);
    assert_eq!(project.evidence().verdict(), "reproducible");
    assert_eq!(
        outside.log().len(),
        3,
        "each page once: {:?}",
        outside.log()
    );
    let of_it = records(&project);
    let replayed = with_reason(&of_it, "replayed");
    assert_eq!(replayed.len(), 3, "{of_it:#?}");
    assert!(replayed.iter().all(|r| r["run"] == "b"), "{replayed:#?}");
}

#[test]
fn a_clone_is_served_again_from_the_recording() {
    let outside = Outside::new();
    outside.repository("repo.git");
    let project = project(&rule("git.example", "methods = [\"GET\", \"POST\"]"));
    let build =
        "git clone -q https://git.example/git/repo.git cloned; cp cloned/file out; rm -rf cloned";
    let ran = outside.belljar(
        &project,
        ["verify", "--output", "out", "--", "sh", "-ec", build],
    );
    ran.exits(0);
    let posts = outside.log().iter().filter(|l| l.contains("POST")).count();
    assert!(posts > 0, "{:?}", outside.log());
    let of_it = records(&project);
    let asked = of_it
        .iter()
        .filter(|r| r["run"] == "a" && r["exchange"]["status"] == 200)
        .count();
    assert_eq!(with_reason(&of_it, "replayed").len(), asked, "{of_it:#?}");
}

#[test]
fn a_request_that_only_the_second_run_makes_is_drift_and_no_fetch() {
    let outside = Outside::new();
    let project = project(&rule("files.example", ""));
    let build = "curl -sS https://files.example/$(date +%Y) >/dev/null; echo same > out";
    let ran = outside.belljar(&project, ["verify", "--", "sh", "-c", build]);
    assert_eq!(outside.log().len(), 1, "{:?}\n{ran}", outside.log());
    let of_it = records(&project);
    assert_eq!(with_reason(&of_it, "replay_miss").len(), 1, "{of_it:#?}");
    assert!(
        ran.stderr.contains("drift") || ran.stdout.contains("drift"),
        "{ran}"
    );
    let text = project.evidence().document("result.json").to_string();
    assert!(text.contains("drift"), "{text}");
}

#[test]
fn drift_gates_where_denials_do() {
    let outside = Outside::new();
    let project = project(&format!(
        "on_deny = \"fail\"\n{}",
        rule("files.example", "")
    ));
    let build = "curl -sS https://files.example/$(date +%Y) >/dev/null; echo same > out";
    outside
        .belljar(&project, ["verify", "--", "sh", "-c", build])
        .exits(4);
}

/// Every file below a folder that holds these bytes.
fn holding(dir: &Path, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.extend(holding(&path, secret));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(secret.len()).any(|w| w == secret) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

const SECRET: &str = "canary-7f3a9c51e2";

#[test]
fn a_credential_is_put_in_and_never_seen() {
    let outside = Outside::new();
    let policy = format!(
        "{}[egress.credential.forge]\nhost = \"files.example\"\nport = 443\nheader = \"authorization\"\nscheme = \"bearer\"\nfile = \"{}\"\n",
        rule("files.example", "tls = \"inspect\""),
        "SECRET_FILE"
    );
    let project = project("");
    let file = project.beside("secret");
    fs::write(&file, format!("{SECRET}\n")).expect("the secret");
    let policy = policy.replace("SECRET_FILE", &file.display().to_string());
    project.write(
        "belljar.toml",
        policy.replace(&file.display().to_string(), "../tmp/secret"),
    );
    std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).ok();
    // Everything that a program inside can read of itself, of others and of its files.
    let search = r#"
import os, sys
secret = ("canary-" + "7f3a9c51e2").encode()
found = []
for base in ("/proc", "/build", "/tmp", "/home", "/etc", "/run", "/dev/shm"):
    for where, dirs, files in os.walk(base):
        for name in files:
            path = os.path.join(where, name)
            if name in ("kmsg", "pagemap", "clear_refs") or path.endswith("search.py"):
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    data = os.read(fd, 1 << 20)
                finally:
                    os.close(fd)
            except OSError:
                continue
            if secret in data and "/proc/%d/" % os.getpid() not in path and "/proc/self/" not in path and "/proc/thread-self/" not in path:
                found.append(path)
print("found", found)
sys.exit(bool(found))
"#;
    project.write("search.py", search);
    let ran = outside.belljar(
        &project,
        ["run", "--", "sh", "-ec", "curl -sS --fail https://files.example/secret > out; python3 search.py; env | grep canary && exit 3; true"],
    );
    ran.exits(0);
    // The origin got it: it answers with a digest of the header.
    let wanted = sha256(&format!("Bearer {SECRET}"));
    let out = fs::read_to_string(project.dir().join("out")).expect("the output");
    assert_eq!(out.trim(), wanted);
    assert_eq!(
        holding(&project.dir().join("artifacts"), SECRET.as_bytes()),
        [""; 0]
    );
    assert!(!ran.stderr.contains(SECRET) && !ran.stdout.contains(SECRET));
    let of_it = records(&project);
    assert!(
        allowed(&of_it)
            .iter()
            .any(|r| r["exchange"]["credential"] == "forge"),
        "{of_it:#?}"
    );
}

fn sha256(text: &str) -> String {
    use std::io::Write as _;
    let mut sum = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("sha256sum");
    sum.stdin
        .take()
        .expect("its input")
        .write_all(text.as_bytes())
        .expect("written");
    let out = sum.wait_with_output().expect("its output");
    String::from_utf8_lossy(&out.stdout)[..64].to_owned()
}

#[test]
fn a_server_that_speaks_first_needs_a_raw_rule() {
    let outside = Outside::new();
    let fetch = "python3 -c 'import socket; s = socket.create_connection((\"files.example\", 7000), 20); print(s.recv(100).decode())'";
    let project = project(&rule("files.example", "ports = [7000]\nraw = true"));
    let ran = outside.belljar(&project, ["run", "--", "sh", "-c", fetch]);
    assert!(ran.exits(0).stdout.contains("hello from outside"), "{ran}");
    project.write("belljar.toml", rule("files.example", "ports = [7000]"));
    let ran = outside.belljar(&project, ["run", "--", "sh", "-c", fetch]);
    assert!(!ran.stdout.contains("hello"), "{ran}");
    assert!(!refused(&records(&project)).is_empty());
}

#[test]
fn bytes_are_limited_both_ways() {
    let outside = Outside::new();
    let project = project(&rule("files.example", "max_down = \"1M\""));
    let big = "curl -sS --fail http://files.example/big/8000000 -o big";
    let ran = outside.belljar(&project, ["run", "--no-export", "--", "sh", "-c", big]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(!with_reason(&records(&project), "budget_exceeded").is_empty());
    project.write(
        "belljar.toml",
        rule("files.example", "methods = [\"POST\"]\nmax_up = \"64K\""),
    );
    let up =
        "head -c 1000000 /dev/zero > z; curl -sS --fail --data-binary @z http://files.example/echo";
    let ran = outside.belljar(&project, ["run", "--no-export", "--", "sh", "-c", up]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(!with_reason(&records(&project), "budget_exceeded").is_empty());
}

#[test]
fn what_was_learned_lets_the_same_build_pass_and_no_other() {
    let outside = Outside::new();
    // The origin's address is not public: that alone nobody can learn, and a rule names it.
    let project = project(&rule("nobody.example", "ports = [9]"));
    project.write(
        "ca.pem",
        fs::read(outside.authority()).expect("its authority"),
    );
    let build = "curl -sS --fail http://files.example/file; curl -sS --fail -d x http://files.example/echo; curl -sS --fail https://other.example/file || curl -sS --fail --cacert ca.pem https://other.example/file";
    let learned = outside.belljar(
        &project,
        [
            "egress",
            "learn",
            "--output",
            "learned.toml",
            "--",
            "sh",
            "-ec",
            build,
        ],
    );
    learned.exits(0);
    let text = fs::read_to_string(project.dir().join("learned.toml")).expect("the rules");
    for wanted in [
        "files.example",
        "other.example",
        "\"POST\"",
        "curl (",
        ORIGIN,
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("*."), "no wildcard: {text}");
    project.write("belljar.toml", &text);
    outside
        .belljar(&project, ["run", "--", "sh", "-ec", build])
        .exits(0);
    assert_eq!(refused(&records(&project)).len(), 0);
    for other in [
        "curl -sS --fail http://git.example/file",
        "curl -sS --fail -X DELETE http://files.example/file",
        "curl -sS --fail http://files.example:7000/",
    ] {
        let ran = outside.belljar(&project, ["run", "--", "sh", "-ec", other]);
        assert_ne!(ran.code, 0, "{other}: {ran}");
        assert_ne!(refused(&records(&project)).len(), 0, "{other}");
    }
}

#[test]
fn a_host_behind_a_proxy_is_reached_through_it() {
    let outside = Outside::new();
    let project = project("[[egress.allow]]\nhost = \"files.example\"\nports = [443]\n");
    project.write(
        "ca.pem",
        fs::read(outside.authority()).expect("its authority"),
    );
    // The origin's own name server is not asked: the host's proxy resolves.
    let mut command = outside.belljar_command(
        &project,
        [
            "run",
            "--",
            "curl",
            "-sS",
            "--fail",
            "--cacert",
            "ca.pem",
            "https://files.example/file",
        ],
    );
    command.env("HTTPS_PROXY", "http://user:hunter2@192.0.2.10:3128");
    let ran = belljar_tests::Ran::of(&mut command);
    assert!(ran.exits(0).stdout.contains("from outside"), "{ran}");
    assert!(
        outside
            .log()
            .iter()
            .any(|l| l.contains("CONNECT files.example:443")),
        "{:?}",
        outside.log()
    );
    let artifacts = project.dir().join("artifacts");
    assert_eq!(holding(&artifacts, b"hunter2"), [""; 0]);
}
