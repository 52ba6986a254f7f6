//! The package clients against their own registries, by package name, each with an empty cache. Which
//! hosts those are is not written anywhere: the first, refused run says it.

use belljar_tests::{Project, Ran};
use serde_json::Value;

use super::{allowed, records, refused, until_allowed};

/// Refused, then let through by its own refusals.
fn both_ways(project: &Project, fetch: &str, program: &str, more: &str) {
    // The caller's home has the rustup that brings cargo.
    let home = std::env::var("HOME").expect("HOME");
    let run = || {
        let mut belljar = project.belljar_command([
            "run",
            "--no-export",
            "--timeout",
            "4m",
            "--",
            "sh",
            "-ec",
            fetch,
        ]);
        belljar
            .env("HOME", &home)
            .env("PATH", format!("/usr/bin:/bin:{home}/.cargo/bin"));
        Ran::of(&mut belljar)
    };
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
    let fetch = "export CARGO_HOME=/tmp/cargo; cargo fetch; ls /tmp/cargo/registry/cache/*/itoa-1.0.11.crate; echo fetched";
    both_ways(&project, fetch, "cargo", "");
}

#[test]
fn pip_download() {
    let project = Project::empty();
    let fetch = "python3 -m pip download --no-cache-dir --no-deps --no-binary :none: -d got idna==3.7; ls got/idna-3.7*; echo fetched";
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
    let fetch = "export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt; npm install --cache /tmp/npm --no-audit --no-fund --fetch-retries=0 isarray@2.0.5; ls node_modules/isarray/index.js; echo fetched";
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
    let fetch = "mkdir -p /tmp/lists/partial /tmp/cache/archives/partial; export APT_CONFIG=/build/apt.conf; apt-get update -qq; cd /tmp; apt-get download -qq hello; ls hello_*.deb; echo fetched";
    both_ways(&project, fetch, "http", "");
}
