//! The package clients against their own registries, by package name, each with an empty cache. Which
//! hosts those are is not written anywhere: the first, refused run says it.

use belljar_tests::{Project, Ran};
use serde_json::Value;

use super::{allowed, records, refused, until_allowed};

/// Refused, then let through by its own refusals; and then in a pair, whose second run nobody serves
/// but the recording of the first, four hundred days ahead.
fn both_ways(project: &Project, fetch: &str, program: &str, more: &str) {
    once(project, "run", fetch, program, more);
    let ran = command(project, "verify", fetch);
    ran.exits(0);
    assert_eq!(project.evidence().verdict(), "reproducible", "{ran}");
    let of_it = records(project);
    let live = |r: &&Value| r["run"] == "b" && r["exchange"]["replayed"] != true;
    let passed = allowed(&of_it);
    assert!(
        passed.iter().any(|r| r["exchange"]["replayed"] == true),
        "{of_it:#?}"
    );
    assert_eq!(
        passed.iter().copied().find(live),
        None,
        "run B has no way out"
    );
    let network = &project.evidence().document("result.json")["network"];
    assert!(network.get("drift").is_none(), "{network:#}");
}

fn command(project: &Project, verb: &str, fetch: &str) -> Ran {
    // The caller's home has the rustup that brings cargo.
    let home = std::env::var("HOME").expect("HOME");
    let stays = ["--no-export"].into_iter().filter(|_| verb == "run");
    let options = [
        "--timeout",
        "4m",
        "--output",
        "fetched/**",
        "--",
        "sh",
        "-ec",
        fetch,
    ];
    let mut belljar = project.belljar_command([verb].into_iter().chain(stays).chain(options));
    belljar
        .env("HOME", &home)
        .env("PATH", format!("/usr/bin:/bin:{home}/.cargo/bin"));
    Ran::of(&mut belljar)
}

fn once(project: &Project, verb: &str, fetch: &str, program: &str, more: &str) {
    let run = || command(project, verb, fetch);
    let (ran, rules) = until_allowed(project, run, more, |ran, records| {
        refused_by_name(ran, records, program);
    });
    assert!(
        ran.code == 0 && ran.stdout.contains("fetched"),
        "{rules}\n{ran}"
    );
    let of_it = records(project);
    let passed = allowed(&of_it);
    let by_it = passed.iter().any(|r| exe(r).contains(program));
    assert!(by_it, "{passed:#?}");
}

fn refused_by_name(ran: &Ran, records: &[Value], program: &str) {
    assert!(!ran.stdout.contains("fetched"), "{ran}");
    let refused = refused(records);
    let named = refused.iter().any(|r| {
        exe(r).contains(program) && r["ask"]["host"].as_str().is_some_and(|h| h.contains('.'))
    });
    assert!(named, "{refused:#?}\n{ran}");
}

fn exe(record: &Value) -> &str {
    record["proc"]["exe"].as_str().unwrap_or_default()
}

#[test]
fn cargo_fetch() {
    let project = Project::empty_for_caller();
    project.write("src/lib.rs", "");
    project.write(
        "Cargo.toml",
        "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"=1.0.11\"\n",
    );
    let fetch = "export CARGO_HOME=/tmp/cargo; cargo fetch; mkdir -p fetched; cp /tmp/cargo/registry/cache/*/itoa-1.0.11.crate fetched; echo fetched";
    both_ways(&project, fetch, "cargo", "");
}

#[test]
fn pip_download() {
    let project = Project::empty();
    let fetch = "python3 -m pip download --no-cache-dir --no-deps --no-binary :none: -d fetched idna==3.7; ls fetched/idna-3.7*; echo fetched";
    both_ways(&project, fetch, "python", "");
}

#[test]
fn npm_install() {
    let project = Project::empty();
    project.write(
        "package.json",
        "{\"name\":\"x\",\"version\":\"1.0.0\",\"private\":true}\n",
    );
    // Node has certificates of its own, and knows none that a machine adds to its bundle.
    let fetch = "export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt; npm install --cache /tmp/npm --no-audit --no-fund --fetch-retries=0 isarray@2.0.5; mkdir -p fetched; cp -r node_modules/isarray fetched; echo fetched";
    both_ways(&project, fetch, "node", "");
}

#[test]
fn apt_get_download() {
    let project = Project::empty();
    // Lists of its own; of the machine's sources only the distribution's.
    project.write(
        "apt.conf",
        "Dir::Etc::sourcelist \"/etc/apt/sources.list.d/debian.sources\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::State::lists \"/tmp/lists\";\nDir::Cache \"/tmp/cache\";\nAcquire::Retries \"0\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"\";\n",
    );
    let fetch = "mkdir -p /tmp/lists/partial /tmp/cache/archives/partial; export APT_CONFIG=/build/apt.conf; apt-get update -qq; mkdir -p fetched; cd fetched; apt-get download -qq hello; ls hello_*.deb; echo fetched";
    both_ways(&project, fetch, "http", "");
}
