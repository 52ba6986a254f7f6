//! The package clients against their own registries, by package name, each with an empty cache. Which
//! hosts those are is not written anywhere: the first, refused run says it.

use belljar_tests::{Project, Ran};
use serde_json::Value;

use super::{allowed, records, refused, until_allowed};

/// Refused, then let through by its own refusals.
fn both_ways(project: &Project, fetch: &str, program: &str, more: &str) {
    let run = || project.belljar(["run", "--timeout", "4m", "--", "sh", "-ec", fetch]);
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
    assert!(named, "{refused:#?}");
}

fn exe(record: &Value) -> &str {
    record["proc"]["exe"].as_str().unwrap_or_default()
}

#[test]
fn cargo_fetch() {
    let project = Project::empty();
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
    let fetch = "npm install --cache /tmp/npm --no-audit --no-fund --fetch-retries=0 isarray@2.0.5; ls node_modules/isarray/index.js; echo fetched";
    both_ways(&project, fetch, "node", "");
}

#[test]
fn apt_get_download() {
    let project = Project::empty();
    // Its own lists are the host's, and are read-only inside.
    let fetch = "cd /tmp; apt-get download -o APT::Sandbox::User= -o Acquire::Retries=0 hello; ls hello_*.deb; echo fetched";
    both_ways(&project, fetch, "http", "");
}
