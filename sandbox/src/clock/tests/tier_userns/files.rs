//! Programs that read and set the times of files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::*;

/// Asserts every line of `files.c`, which makes a file.
fn assert_times(ran: &Ran, offset: i64, at_least: usize) {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let (mut ways, mut sets) = (0, 0);
    for line in ran.text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<i64>().expect("a number");
        match words[0] {
            "set" => {
                assert_eq!(number(2), number(3), "{line}: {ran:?}");
                sets += 1;
            }
            "none" => assert_eq!(number(1), -2, "{line}"),
            "bad-pointer" => assert_eq!(number(1), -14, "{line}"),
            "bad-descriptor" => assert_eq!(number(1), -9, "{line}"),
            "pid" => assert_eq!(number(1), 1),
            way => {
                for (n, what) in ["mtime", "ctime", "atime", "btime"].iter().enumerate() {
                    if n < 3 || way.contains("statx") {
                        ran.assert_reads(&format!("{way} {what}"), number(n + 1), offset);
                    }
                }
                ways += 1;
            }
        }
    }
    assert!(
        ways >= at_least && sets == 9 * 5 * 3 + 7,
        "{ways} {sets}: {ran:?}"
    );
}

fn moved_and_unmoved(program: &Path, at_least: usize) -> Ran {
    let folder = folder();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let ran = skewed(command(program, &[&file("moved")]), OFFSET);
    assert_times(&ran, OFFSET, at_least);
    assert_times(&plain(command(program, &[&file("not")])), 0, at_least);
    // For those outside nothing of it is left where the kernel set the times.
    let real = fs::metadata(file("moved")).expect("the file");
    assert!(
        (ran.real.0..=ran.real.1).contains(&real.ctime()),
        "{real:?}"
    );
    ran
}

#[test]
fn c_dynamic() {
    let folder = folder();
    moved_and_unmoved(&compile(folder.path(), "gcc", "files.c", &[]), 28);
}

#[test]
fn c_static() {
    let folder = folder();
    moved_and_unmoved(&compile(folder.path(), "gcc", "files.c", &["-static"]), 28);
}

#[test]
fn musl_dynamic() {
    let folder = folder();
    moved_and_unmoved(&compile(folder.path(), "musl-gcc", "files.c", &[]), 26);
}

#[test]
fn musl_static() {
    let folder = folder();
    moved_and_unmoved(
        &compile(folder.path(), "musl-gcc", "files.c", &["-static"]),
        26,
    );
}

#[test]
fn into_the_past_and_by_nothing() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "files.c", &[]);
    for offset in [-1000 * 86_400, 0, 1] {
        let file = folder.path().join(format!("made{offset}"));
        let ran = skewed(command(&program, &[&file.display().to_string()]), offset);
        assert_times(&ran, offset, 28);
    }
}

#[test]
fn where_only_a_tracer_may_write() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "files.c", &[]);
    let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
    skewer.coverer.as_mut().expect("a vDSO").by_ptrace = true;
    let file = folder.path().join("made").display().to_string();
    let ran = skewed_by(command(&program, &[&file]), &Arc::new(skewer));
    assert_times(&ran, OFFSET, 28);
    assert!(ran.counters.redirected > 100, "each call: {ran:?}");
}

/// A patched site costs one call that traps, or none.
#[test]
fn patched_places_do_not_trap() {
    let folder = folder();
    let source = folder.path().join("many.c");
    fs::write(
        &source,
        r#"
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct stat s;
	for (int i = 0; i < 5000; i++)
		if (stat(argv[0], &s) || lstat("/", &s) || fstat(0, &s) || syscall(SYS_newfstatat, -100, argv[0], &s, 0))
			return 1;
	return 0;
}
"#,
    )
    .expect("a source");
    for (compiler, flags) in [
        ("gcc", &[][..]),
        ("gcc", &["-static"]),
        ("gcc", &["-static-pie"]),
    ] {
        let program = folder.path().join("many");
        build(
            command(compiler, flags)
                .arg("-o")
                .arg(&program)
                .arg(&source),
        );
        let ran = skewed(command(&program, &[]), OFFSET);
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
        assert!(
            ran.counters.redirected < 10,
            "{compiler} {flags:?}: {ran:?}"
        );
        assert!(ran.counters.received < 50, "{compiler} {flags:?}: {ran:?}");
    }
}

/// The same operations show the same times, moved with the clock.
#[test]
fn random_operations_agree_with_those_outside() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "ops.c", &[]);
    for seed in 0..20 {
        let run = |moved: bool| {
            let place = folder.path().join(format!("{seed}-{moved}"));
            fs::create_dir(&place).expect("a folder");
            let place = place.display().to_string();
            let command = command(&program, &[&place, &seed.to_string(), "200"]);
            let ran = if moved {
                skewed(command, OFFSET)
            } else {
                plain(command)
            };
            assert_eq!(
                (ran.code, &ran.uncovered[..]),
                (Some(0), &[][..]),
                "{ran:?}"
            );
            ran.text
        };
        let (inside, outside) = (run(true), run(false));
        let pairs = inside.lines().zip(outside.lines()).enumerate();
        for (n, (inside, outside)) in pairs {
            assert_eq!(inside, outside, "seed {seed}, operation {n}");
        }
        assert_eq!(inside.lines().count(), 200);
    }
}

/// Threads, signals and children at once: no wrong answer, no hang.
#[test]
fn under_threads_signals_and_children() {
    for (compiler, flags) in [
        ("gcc", &["-pthread"][..]),
        ("gcc", &["-pthread", "-static"]),
        ("musl-gcc", &["-pthread", "-static"]),
    ] {
        // A file of an earlier run is an input of the next.
        let folder = folder();
        let program = compile(folder.path(), compiler, "storm.c", flags);
        let place = folder.path().display().to_string();
        let ran = skewed(command(&program, &[&place, "100"]), OFFSET);
        assert_eq!(ran.text, "0 wrong, signals\n", "{ran:?}");
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
    }
}
