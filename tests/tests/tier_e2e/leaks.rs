//! Every leaky build is found, with its cause, and its fixed twin passes.

use std::collections::{BTreeMap, BTreeSet};

use belljar_tests::{Expect, Project, Side, leak_names};

macro_rules! leaks {
    ($($test:ident $name:literal;)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(mod $test {
            #[test]
            fn leaky() {
                super::check($name, "leaky", |e| e.leaky);
            }
            #[test]
            fn fixed() {
                super::check($name, "fixed", |e| e.fixed);
            }
        })*
    };
}
leaks! {
    ar_mtime "ar-mtime";
    aslr_pointer "aslr-pointer";
    bash_random "bash-random";
    date_macro "date-macro";
    day_width "day-width";
    elapsed_time "elapsed-time";
    epoch_binary "epoch-binary";
    epoch_header "epoch-header";
    gzip_header "gzip-header";
    hash_order "hash-order";
    inode "inode";
    java_properties "java-properties";
    make_race "make-race";
    mktemp_name "mktemp-name";
    month_name "month-name";
    perl_hash_order "perl-hash-order";
    pid "pid";
    pyc_mtime "pyc-mtime";
    random_bytes "random-bytes";
    random_uuid "random-uuid";
    script_date "script-date";
    tar_mtime "tar-mtime";
    thread_race "thread-race";
    time_bomb "time-bomb";
    uptime "uptime";
    year_only "year-only";
    zip_time "zip-time";
}

fn check(name: &str, side: &str, expected: fn(Expect) -> Side) {
    let expected = expected(Expect::of(name));
    let project = Project::copy_of(format!("fixtures/leaks/{name}/{side}"));
    let ran = project.belljar(["verify", "--", "make"]);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), expected.verdict, "{ran}");
    ran.exits(expected.exit);
    let differing: BTreeMap<String, BTreeSet<String>> = expected
        .differing
        .into_iter()
        .map(|(path, slugs)| (path, slugs.split(", ").map(str::to_owned).collect()))
        .collect();
    // where a run failed there is nothing to compare
    if ["differs", "reproducible"].contains(&expected.verdict.as_str()) {
        assert_eq!(evidence.differing(), differing, "{ran}");
    }
    if !expected.outputs.is_empty() {
        assert_eq!(evidence.outputs(), expected.outputs, "{ran}");
    }
}

#[test]
fn no_leak_is_forgotten() {
    let tested: BTreeSet<String> = TESTED.iter().map(ToString::to_string).collect();
    assert_eq!(tested, leak_names());
}

#[test]
fn the_readme_build_is_reproducible_and_works_the_second_time_too() {
    let project = Project::copy_of("fixtures/hello-c");
    for _ in 0..2 {
        project.belljar(["verify", "--", "make"]).exits(0);
        let evidence = project.evidence();
        assert_eq!(evidence.verdict(), "reproducible");
        assert!(evidence.outputs().contains("hello"));
        assert!(
            !project.dir().join("hello").exists(),
            "verify leaves the workdir alone"
        );
    }
}
