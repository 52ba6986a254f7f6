//! Programs that read and set the times of files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::*;

/// Lines of `files.c` that are told of a file made just now.
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
