//! What can be checked without running a build: that the repository's own tables agree.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use belljar_model::Verdict;
use belljar_tests::{Expect, leak_names, repository};

const VERDICTS: [Verdict; 6] = [
    Verdict::Reproducible,
    Verdict::Differs,
    Verdict::BuildFailed,
    Verdict::FailsUnderVariation,
    Verdict::PolicyViolation,
    Verdict::Incomplete,
];

#[test]
fn every_fixture_expects_a_verdict_that_exists_with_its_exit_code() {
    let codes: BTreeMap<_, _> = VERDICTS.iter().map(|v| (v.word(), v.exit_code())).collect();
    let names = leak_names();
    assert!(names.len() >= 14, "{} leaks", names.len());
    for name in names {
        let expect = Expect::of(&name);
        for side in [&expect.leaky, &expect.fixed] {
            let code = codes.get(side.verdict.as_str()).copied();
            assert_eq!(
                code.map(i32::from),
                Some(side.exit),
                "{name}: {}",
                side.verdict
            );
        }
        assert_eq!(expect.fixed.verdict, "reproducible", "{name}");
        assert_ne!(expect.leaky.verdict, "reproducible", "{name}");
        assert!(
            !expect.about.is_empty() && !expect.fixed.outputs.is_empty(),
            "{name}"
        );
        assert_eq!(
            expect.leaky.verdict == "differs",
            !expect.leaky.differing.is_empty(),
            "{name}: what differs is named, for that verdict alone"
        );
    }
}

#[test]
fn a_fixed_twin_is_the_same_build() {
    for name in leak_names() {
        let dir = repository().join("fixtures/leaks").join(&name);
        for side in ["leaky", "fixed"] {
            assert!(
                dir.join(side).join("Makefile").is_file(),
                "{name}/{side} has a Makefile"
            );
        }
    }
}

fn page(name: &str) -> String {
    let path = repository().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_fixture_is_on_the_page_of_causes() {
    let page = page("docs/determinism.md");
    for name in leak_names() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_cause_is_on_its_page() {
    let page = page("docs/determinism.md");
    for cause in belljar_model::CAUSES {
        let line = format!("\n| `{}` | {} |", cause.slug, cause.about);
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn every_exit_code_and_verdict_is_on_its_page() {
    use belljar_model::exit;
    let page = page("docs/exit-codes.md");
    for code in [
        exit::OK,
        exit::BUILD_FAILED,
        exit::USAGE,
        exit::DIFFERS,
        exit::POLICY,
        exit::FAILS_UNDER_VARIATION,
        exit::INCOMPLETE,
        exit::TIMEOUT,
        exit::SETUP,
        exit::NOT_EXECUTABLE,
        exit::NOT_FOUND,
        exit::INTERRUPTED,
    ] {
        assert!(page.contains(&format!("\n| {code} |")), "{code}");
    }
    for verdict in VERDICTS {
        let named = format!("`{}` ({})", verdict.word(), verdict.exit_code());
        assert!(page.contains(&named), "{named}");
    }
}

/// Mirrors and registries are those of the machine's own package clients.
#[test]
fn no_file_names_the_host_of_a_registry() {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(repository())
        .output()
        .expect("git starts");
    assert!(listed.status.success());
    let words = [
        concat!("deb.", "debian.org"),
        concat!("crates", ".io/"),
        concat!("pypi", ".org"),
        concat!("npmjs", ".org"),
    ];
    let mut found = Vec::new();
    for name in listed.stdout.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        if name == "Cargo.lock" || name.ends_with("/Cargo.lock") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(repository().join(&name)) else {
            continue;
        };
        found.extend(
            words
                .iter()
                .filter(|w| text.contains(**w))
                .map(|w| format!("{name}: {w}")),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}
