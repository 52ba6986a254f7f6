//! The times of files agree with the moved clock, whatever asks for them and whatever packs them.
//!
//! Each build makes a file and writes how old a program thinks it is, in whole minutes, by its own clock:
//! equal in both runs only where clock and file times move together. And it writes the time itself,
//! which must differ.

use belljar_tests::Project;

use crate::{small, verify};

/// The script makes `age`, which is the same in both runs, and `when`, which differs by the clock.
#[track_caller]
fn agrees(project: &Project, script: &str) {
    let ran = verify(project, &["--output", "age", "--output", "when"], script);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "differs", "{ran}");
    let differing = evidence.differing();
    assert!(!differing.contains_key("age"), "{differing:?}\n{ran}");
    assert!(differing["when"].contains("clock"), "{differing:?}\n{ran}");
    ran.exits(3);
}

/// Prints the minutes since a file was written, and when that was.
const C_PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
int main(int argc, char **argv)
{
	struct stat s, t;
	FILE *f = fopen(argv[1], "w");
	if (!f || fputc('x', f) < 0 || fflush(f) || fstat(fileno(f), &s) || stat(argv[1], &t))
		return 1;
	if (s.st_mtime != t.st_mtime || s.st_ctime != t.st_ctime)
		return 2;
	fprintf(stderr, "%ld\n", (long)(time(0) - s.st_mtime) / 60);
	printf("%ld\n", (long)t.st_mtime);
	return 0;
}
"#;

#[track_caller]
fn c_compiled_by(compiler: &str) {
    let project = small();
    project.write("now.c", C_PROGRAM);
    agrees(
        &project,
        &format!("{compiler} -o now now.c && ./now made >when 2>age"),
    );
}

#[test]
fn c_dynamic() {
    c_compiled_by("cc");
}

#[test]
fn c_static() {
    c_compiled_by("cc -static");
}

#[test]
fn c_static_pie() {
    c_compiled_by("cc -static-pie");
}

#[test]
fn c_musl_static() {
    c_compiled_by("musl-gcc -static");
}

#[test]
fn c_musl_dynamic() {
    c_compiled_by("musl-gcc");
}

#[test]
fn go_static() {
    let project = small();
    project.write(
        "now.go",
        r#"package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if err := os.WriteFile("made", []byte("x"), 0o644); err != nil {
		panic(err)
	}
	s, err := os.Stat("made")
	if err != nil {
		panic(err)
	}
	fmt.Println(s.ModTime().Unix())
	fmt.Fprintln(os.Stderr, int(time.Since(s.ModTime()).Minutes()))
}
"#,
    );
    agrees(
        &project,
        "CGO_ENABLED=0 go build -o now now.go && ./now >when 2>age",
    );
}

#[test]
fn rust() {
    let project = small();
    let source = project.beside("now.rs");
    std::fs::write(
        &source,
        r#"use std::time::{SystemTime, UNIX_EPOCH};
fn main() {
    std::fs::write("made", "x").unwrap();
    let at = std::fs::metadata("made").unwrap().modified().unwrap();
    println!("{}", at.duration_since(UNIX_EPOCH).unwrap().as_secs());
    // the stamp is the kernel's, which may be a tick behind the clock but never ahead
    eprintln!("{}", SystemTime::now().duration_since(at).unwrap().as_secs() / 60);
}
"#,
    )
    .expect("a source");
    let compiled = std::process::Command::new("rustc")
        .arg("-o")
        .arg(project.beside("now"))
        .arg(&source)
        .status();
    assert!(compiled.expect("rustc").success());
    project.write(
        "now",
        std::fs::read(project.beside("now")).expect("a program"),
    );
    agrees(&project, "cp now run && chmod 755 run && ./run >when 2>age");
}

#[test]
fn python() {
    agrees(
        &small(),
        "python3 -c 'import os,sys,time; open(\"made\",\"w\").close(); m=os.stat(\"made\").st_mtime; \
         print(int(m)); print(int(time.time()-m)//60, file=sys.stderr)' >when 2>age",
    );
}

#[test]
fn perl() {
    agrees(
        &small(),
        "perl -e 'open F, \">\", \"made\"; close F; $m = (stat \"made\")[9]; print \"$m\\n\"; \
         print STDERR int((time - $m) / 60), \"\\n\"' >when 2>age",
    );
}

#[test]
fn node() {
    // both its ways: on the main thread, and in its pool of threads
    agrees(
        &small(),
        "node -e 'const fs = require(\"fs\"); fs.writeFileSync(\"made\", \"x\"); \
         const m = fs.statSync(\"made\").mtimeMs; console.log(Math.floor(m / 1000)); \
         fs.stat(\"made\", (e, s) => { if (e || s.mtimeMs !== m) throw e; \
         console.error(Math.floor((Date.now() - m) / 60000)); })' >when 2>age",
    );
}

#[test]
fn java() {
    let project = small();
    project.write(
        "Now.java",
        r#"import java.io.File;
import java.nio.file.*;
public class Now {
    public static void main(String[] a) throws Exception {
        Path p = Files.writeString(Path.of("made"), "x");
        long m = Files.getLastModifiedTime(p).toMillis();
        if (m / 1000 != new File("made").lastModified() / 1000) throw new Exception();
        System.out.println(m / 1000);
        System.err.println((System.currentTimeMillis() - m) / 60000);
    }
}
"#,
    );
    agrees(
        &project,
        "javac -d . Now.java && java -cp . Now >when 2>age",
    );
}

#[test]
fn shell_tools() {
    agrees(
        &small(),
        "touch made; stat -c %Y made >when; stat -f -c %T . >/dev/null; \
         { echo $((($(date +%s) - $(stat -c %Y made)) / 60)); \
           find . -name made -mmin -1; find . -name made -newermt '1 hour ago'; \
           ls -l --time-style=+%s made | awk -v now=$(date +%s) '{ print int((now - $6) / 60) }'; \
           test made -nt source.txt && echo newer; \
         } >age",
    );
    let age = small();
    agrees(&age, "echo >made; stat -c %W made >when; echo >age");
}

#[test]
fn make_knows_what_is_newer_and_nothing_is_in_the_future() {
    let project = small();
    project.write("Rules", "out: in\n\tcp in out\n\techo built >>log\n");
    agrees(
        &project,
        "date +%s >when; echo >in; make -f Rules >all 2>&1; make -f Rules >>all 2>&1; touch -d '1 day ago' in; \
         make -f Rules >>all 2>&1; sleep 0.01; touch in; make -f Rules >>all 2>&1; cat log all >age; \
         ! grep -i skew all",
    );
}

#[test]
fn archives_keep_what_they_are_given() {
    // packed with the moved time, unpacked to the same, old members stay old
    agrees(
        &small(),
        "echo new >new; echo old >old; touch -d @86400 old; tar cf a.tar new old; mkdir out; tar xf a.tar -C out; \
         stat -c %Y new >when; tar tvf a.tar --full-time | awk '/old/ { print $4 }' >age; \
         test $(stat -c %Y new) = $(stat -c %Y out/new); stat -c %Y out/old >>age; \
         cp -p new copy; test \"$(stat -c %y new)\" = \"$(stat -c %y copy)\"; \
         touch -r new other; test ! new -nt other; test ! other -nt new",
    );
}

#[test]
fn times_between_the_real_and_the_moved_now_are_kept() {
    let project = small();
    let ran = verify(
        &project,
        &["--output", "kept"],
        "for ago in 1 30 200 397; do touch -d \"$ago days ago\" f; \
         test $(stat -c %Y f) = $(date -d \"$ago days ago\" +%s) || \
         test $(stat -c %Y f) = $(($(date -d \"$ago days ago\" +%s) - 1)) || exit 9; done; \
         touch -d 'tomorrow' f; test $(stat -c %Y f) -gt $(date +%s); echo ok >kept",
    );
    assert_eq!(project.evidence().verdict(), "reproducible", "{ran}");
    ran.exits(0);
}

#[test]
fn inputs_keep_their_times() {
    let project = small();
    project.write("input", "x");
    let ran = verify(
        &project,
        &["--output", "seen"],
        // also once it was copied up by a change of its mode, by a new name and by another link
        "{ stat -c %Y input; chmod 755 input; stat -c %Y input; ln input again; stat -c %Y again; \
         mv input moved; stat -c %Y moved; stat -c %Y /bin/sh; } >seen",
    );
    assert_eq!(project.evidence().verdict(), "reproducible", "{ran}");
    ran.exits(0);
}

#[test]
fn the_host_sees_no_moved_time() {
    let project = small();
    let out = project.beside("out");
    let ran = verify(
        &project,
        &["--export", out.to_str().expect("a plain path")],
        "echo made >made; echo set >set; touch -d @1000000000 set; mkdir folder; echo >folder/in",
    );
    ran.exits(0);
    let evidence = project.evidence();
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a clock")
            .as_nanos(),
    )
    .expect("a near future");
    for run in ["a", "b"] {
        let manifest = evidence.document(&format!("determinism/manifest-{run}.json"));
        let entries = manifest["entries"].as_array().expect("entries");
        assert!(entries.len() >= 3, "{manifest}");
        for entry in entries {
            let mtime = entry["when"]["mtime_ns"].as_i64().expect("a time");
            assert!(mtime <= now, "{entry} is in the future");
            if entry["path"] == "set" {
                assert_eq!(mtime, 1_000_000_000_000_000_000, "{entry}");
            } else {
                assert!(now - mtime < 3_600_000_000_000, "{entry}");
            }
        }
    }
}
