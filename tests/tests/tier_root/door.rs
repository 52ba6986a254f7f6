//! The egress proxy as a process, looked at from outside. Nothing here is let out: what is asked for
//! is what no rule names.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use belljar_tests::{Project, Ran, eventually};

const ALLOW: [&str; 2] = ["--allow", "files.example:80"];

/// The confined child of belljar: its proxy.
fn proxy(belljar: u32) -> Option<u32> {
    let children = format!("/proc/{belljar}/task/{belljar}/children");
    let children = fs::read_to_string(children).ok()?;
    let mut pids = children.split_whitespace().filter_map(|p| p.parse().ok());
    pids.find(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("NoNewPrivs:\t1")
    })
}

fn begin(project: &Project, args: &[&str]) -> Child {
    let mut command = project.belljar_command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("belljar starts")
}

fn descriptors(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd"));
    fds.map_or(0, Iterator::count)
}

fn network(pid: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default()
}

/// A run that does something, says so by a line, and stays for a while.
fn waiting(project: &Project, body: &str) -> Child {
    let script = format!("{body}; echo begun; sleep 5");
    let args = [
        &["run", "--no-export"][..],
        &ALLOW,
        &["--", "sh", "-c", &script],
    ]
    .concat();
    begin(project, &args)
}

fn first_line(child: &mut Child) {
    use std::io::BufRead as _;
    let out = child.stdout.as_mut().expect("a pipe");
    let mut line = String::new();
    std::io::BufReader::new(out)
        .read_line(&mut line)
        .expect("a line");
    assert_eq!(line, "begun\n");
}

#[test]
fn a_proxy_that_is_killed_ends_the_run_with_its_name() {
    let project = Project::empty_for_caller();
    let mut child = waiting(&project, ":");
    first_line(&mut child);
    let proxy = proxy(child.id()).expect("a proxy");
    let killed = project
        .command("kill")
        .args(["-9", &proxy.to_string()])
        .status();
    assert!(killed.expect("kill starts").success());
    let ran = Ran::from(child.wait_with_output().expect("belljar ends"));
    ran.exits(125);
    assert!(
        ran.stderr
            .contains("could not keep the egress proxy running: signal 9 ended it"),
        "{ran}"
    );
    let result = fs::read_to_string(project.dir().join("artifacts/result.json")).expect("a result");
    assert!(result.contains("keep the egress proxy running"), "{result}");
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    let project = Project::empty_for_caller();
    let many = r#"perl -MSocket -e 'for (1..10000) { socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!; connect($s, pack_sockaddr_in(3128, inet_aton("127.66.0.1"))) or die $!; close $s }'"#;
    let mut child = waiting(&project, "true");
    first_line(&mut child);
    let quiet = descriptors(proxy(child.id()).expect("a proxy"));
    let quiet_own = descriptors(child.id());
    Ran::from(child.wait_with_output().expect("belljar ends")).exits(0);

    let mut child = waiting(&project, many);
    first_line(&mut child);
    let pid = proxy(child.id()).expect("a proxy");
    eventually(Duration::from_secs(30), || descriptors(pid) <= quiet);
    assert!(descriptors(child.id()) <= quiet_own + 1);
    Ran::from(child.wait_with_output().expect("belljar ends")).exits(0);
    let records = fs::read_to_string(project.dir().join("artifacts/security/egress.ndjson"));
    let records = records.expect("records");
    let by_proxy = records.lines().filter(|l| l.contains(r#""layer":"proxy""#));
    let mut attrib: BTreeMap<bool, usize> = BTreeMap::new();
    for line in by_proxy {
        *attrib.entry(line.contains(r#""comm":"perl""#)).or_default() += 1;
    }
    assert_eq!(attrib, BTreeMap::from([(true, 10_000)]));
}

#[test]
fn the_proxy_of_run_b_has_no_network() {
    let project = Project::empty_for_caller();
    let script = "sleep 2; echo x > out";
    let args = [
        &["verify", "--output", "out"][..],
        &ALLOW,
        &["--", "sh", "-c", script],
    ]
    .concat();
    let mut child = begin(&project, &args);
    let mut seen: Vec<(u32, PathBuf)> = Vec::new();
    while child.try_wait().expect("belljar is there").is_none() {
        if let Some(pid) = proxy(child.id()) {
            let at = network(&pid.to_string());
            match seen.iter_mut().find(|(p, _)| *p == pid) {
                // Where it was last seen: it is confined by then.
                Some(known) if !at.as_os_str().is_empty() => known.1 = at,
                Some(_) => {}
                None => seen.push((pid, at)),
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ran::from(child.wait_with_output().expect("belljar ends")).exits(0);
    let own = network("self");
    let places: Vec<_> = seen.iter().map(|(_, at)| *at == own).collect();
    assert_eq!(places, [true, false], "{seen:?} {own:?}");
}

#[test]
fn two_programs_at_once_are_told_apart() {
    let project = Project::empty_for_caller();
    let script = "for i in 1 2 3 4 5; do curl -s http://one.example/ & curl -s -x socks5h://127.66.0.1:1080 http://two.example/ & done; wait";
    let args = [
        &["run", "--no-export"][..],
        &ALLOW,
        &["--", "sh", "-c", script],
    ]
    .concat();
    project.belljar(&args).exits(0);
    let records = fs::read_to_string(project.dir().join("artifacts/security/egress.ndjson"));
    let records = records.expect("records");
    let mut count = 0;
    for line in records.lines().filter(|l| l.contains(r#""layer":"proxy""#)) {
        for name in ["one.example", "two.example"] {
            if line.contains(&format!(r#""host":"{name}""#)) {
                assert!(line.contains(&format!("\"http://{name}/\"]")), "{line}");
                assert!(line.contains(r#""attrib":"notify""#), "{line}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 10, "{records}");
}
