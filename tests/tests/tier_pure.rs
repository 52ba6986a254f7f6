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
