//! Every target over its seeds, over what is near to them, and over bytes of no kind.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Check, TARGETS};

fn seeds() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds"))
}

fn of(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(seeds().join(target)).unwrap();
    files
        .map(|f| fs::read(f.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn every_target_has_its_program_and_its_seeds() {
    let names = |dir: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(dir).unwrap();
        let stem = |e: fs::DirEntry| e.path().file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|e| stem(e.unwrap())).collect()
    };
    let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(seeds()), known);
    assert_eq!(names(seeds().join("../fuzz_targets")), known);
}

#[test]
fn seeds_keep_what_is_promised() {
    for (name, check) in TARGETS {
        let seeds = of(name);
        assert!(seeds.len() >= 2, "{name}");
        for seed in &seeds {
            check(seed);
        }
    }
}

/// Bytes changed, put in and taken out of a seed, at places given from 0 to 1.
fn changed(seed: &[u8], changes: &[(f64, u8, u8)]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (place, how, byte) in changes {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a few hundred bytes"
        )]
        let at = (place * bytes.len() as f64) as usize;
        match how % 4 {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = *byte,
            3 => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
            _ => {}
        }
    }
    bytes
}

fn runner() -> TestRunner {
    // A finding becomes a seed, not a line of a file that only proptest reads.
    TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn near(name: &str, check: Check) {
    let seeds = of(name);
    let one = prop::sample::select(seeds);
    let change = (0.0..1.0, any::<u8>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..5);
    runner()
        .run(&(one, changes), |(seed, changes)| {
            check(&changed(&seed, &changes));
            Ok(())
        })
        .unwrap();
    runner()
        .run(&prop::collection::vec(any::<u8>(), 0..300), |bytes| {
            check(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_near_to_seeds_keeps_what_is_promised() {
    for (name, check) in TARGETS {
        near(name, check);
    }
}
