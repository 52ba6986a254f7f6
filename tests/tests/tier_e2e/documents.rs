//! What the documents show is what happens.

use std::fs;
use std::path::Path;

use belljar_tests::{Project, Ran, check_shell_blocks, repository, run_blocks};

fn read(name: &str) -> String {
    let path = repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_transcripts_of_the_readme_are_real() {
    let project = Project::empty();
    let copied = Ran::of(
        std::process::Command::new("cp")
            .arg("-R")
            .arg(repository().join("fixtures"))
            .arg(project.dir()),
    );
    copied.exits(0);
    project.write("README.md", read("README.md"));
    assert!(run_blocks(&read("README.md"), &project) >= 2);
}

#[test]
fn the_transcripts_of_the_egress_page_are_real() {
    assert!(run_blocks(&read("docs/egress.md"), &Project::empty()) >= 2);
}

#[test]
fn shell_blocks_are_valid() {
    assert!(check_shell_blocks(&read("README.md")) >= 3);
    for page in ["egress.md", "evidence.md", "troubleshooting.md"] {
        check_shell_blocks(&read(&format!("docs/{page}")));
    }
}

/// The first command of the README, as it stands there but for Cargo.
#[test]
fn the_readme_names_the_two_commands_and_ci_calls_the_second() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release -- verify --workdir fixtures/hello-c -- make"));
    assert!(readme.contains("\nscripts/test "));
    assert!(read(".ci/run").contains("\nscripts/test "));
}

/// Every page that a page points to is there.
#[test]
fn links_between_pages_lead_somewhere() {
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/egress.md",
        "docs/evidence.md",
        "docs/determinism.md",
        "docs/troubleshooting.md",
        "artifacts/README.md",
    ] {
        let dir = repository().join(page);
        let dir = dir.parent().expect("a parent");
        for link in read(page)
            .split("](")
            .skip(1)
            .filter_map(|l| l.split(')').next())
        {
            if !link.starts_with("http") && !link.starts_with('#') {
                let file = link.split('#').next().unwrap_or(link);
                assert!(dir.join(file).exists(), "{page}: {link}");
            }
        }
    }
}

/// The queries that a gate is told to use find what they say.
#[test]
fn the_queries_of_the_evidence_page_work() {
    let project = Project::empty();
    project.write("source.txt", "s\n");
    let reach = "echo x >out; python3 -c 'import socket; socket.socket().connect_ex((\"192.0.2.8\", 8080))'";
    project
        .belljar(["verify", "--", "sh", "-c", reach])
        .exits(0);
    let page = read("docs/evidence.md");
    let block = page
        .split("```sh\n")
        .nth(1)
        .and_then(|b| b.split("```").next())
        .expect("a block");
    let printed: Vec<String> = block
        .lines()
        .map(|line| {
            Ran::of(project.command("sh").args(["-c", line]))
                .exits(0)
                .stdout
                .clone()
        })
        .collect();
    assert_eq!(printed[0], "true\n");
    assert!(printed[1].lines().all(|l| l.contains(": ")), "{printed:?}");
    assert!(
        printed[2].contains("192.0.2.8:8080 by python3 -c "),
        "{printed:?}"
    );
    assert_eq!(printed[3], "true\n");
}

/// Each statement on the clock names tests that are there.
#[test]
fn the_tests_behind_the_clock_are_there() {
    named_tests("docs/clock-proof.md", 50);
}

/// The same of what leaves.
#[test]
fn the_tests_behind_the_door_are_there() {
    named_tests("docs/egress-proof.md", 40);
}

/// Checks that every test that a page names is where it says, and that it names at least `least`.
fn named_tests(page: &str, least: usize) {
    let page = read(page);
    let mut found = 0;
    let statements = page
        .lines()
        .filter(|l| l.starts_with("| ") && l.contains(".rs`"));
    for line in statements {
        let tests = line
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .expect("a cell");
        let mut source = String::new();
        for name in tests.split('`').skip(1).step_by(2) {
            if let Some((folder, file)) = name
                .split_once('/')
                .filter(|_| Path::new(name).extension().is_some_and(|e| e == "rs"))
            {
                let folder = match folder {
                    "clock" => "sandbox/src/clock/tests",
                    "e2e" => "tests/tests/tier_e2e",
                    "root" => "tests/tests/tier_root",
                    "proxy" if !file.starts_with("tests/") => "proxy/tests/tier_userns",
                    "userns" => "tests/tests/tier_userns",
                    other => other,
                };
                source = read(&format!("{folder}/{file}"));
            } else {
                assert!(source.contains(&format!("fn {name}(")), "{name}: {line}");
                found += 1;
            }
        }
    }
    assert!(found >= least, "{found}");
}
