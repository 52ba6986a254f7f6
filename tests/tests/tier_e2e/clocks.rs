//! Every kind of program sees the moved clock: it writes the date, and `verify` proves the cause.

use belljar_tests::{Project, Ran};

use crate::{small, verify};

/// A build that writes the date by this script into `stamp` differs there, because of the clock.
#[track_caller]
fn sees_the_moved_clock(project: &Project, script: &str) {
    let ran = verify(project, &["--output", "stamp"], script);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "differs", "{ran}");
    let differing = evidence.differing();
    assert!(differing["stamp"].contains("clock"), "{differing:?}\n{ran}");
    ran.exits(3);
}

const C_PROGRAM: &str = r#"
#include <stdio.h>
#include <time.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	struct timespec ts;
	struct timeval tv;
	long raw[2];
	clock_gettime(CLOCK_REALTIME, &ts);
	gettimeofday(&tv, 0);
	syscall(SYS_clock_gettime, CLOCK_REALTIME, raw);
	#define GAP "\n-------- further apart than one difference --------\n"
	printf("%ld" GAP "%ld" GAP "%ld" GAP "%ld\n", (long)time(0), (long)ts.tv_sec, (long)tv.tv_sec, raw[0]);
	return 0;
}
"#;

#[track_caller]
fn c_compiled_by(compiler: &str) {
    let project = small();
    project.write("now.c", C_PROGRAM);
    sees_the_moved_clock(
        &project,
        &format!("{compiler} -o now now.c && ./now >stamp"),
    );
    // all four readers moved, not only the first: a reader that stayed would be equal in both
    let document = project.evidence().document("determinism/differences.json");
    let regions = &document["items"][0]["kind"];
    assert!(
        regions["regions_total"].as_u64().is_some_and(|n| n >= 4),
        "{regions}"
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
fn c_musl() {
    c_compiled_by("musl-gcc -static");
}

#[test]
fn go_static() {
    let project = small();
    project.write(
        "now.go",
        "package main\n\nimport (\n\t\"fmt\"\n\t\"time\"\n)\n\nfunc main() { fmt.Println(time.Now().Unix()) }\n",
    );
    sees_the_moved_clock(
        &project,
        "CGO_ENABLED=0 go build -o now now.go && ./now >stamp",
    );
}

#[test]
fn java() {
    let project = small();
    project.write(
        "Now.java",
        "public class Now { public static void main(String[] a) { System.out.println(System.currentTimeMillis() / 1000); } }\n",
    );
    sees_the_moved_clock(&project, "java Now.java >stamp");
}

#[test]
fn node() {
    sees_the_moved_clock(
        &small(),
        "node -e 'console.log(Math.floor(Date.now() / 1000))' >stamp",
    );
}

#[test]
fn python() {
    sees_the_moved_clock(
        &small(),
        "python3 -c 'import time; print(int(time.time()))' >stamp",
    );
}

#[test]
fn perl() {
    sees_the_moved_clock(&small(), "perl -e 'print time, \"\\n\"' >stamp");
}

#[test]
fn bash_without_a_child() {
    sees_the_moved_clock(&small(), "bash -c 'echo $EPOCHSECONDS' >stamp");
}

#[test]
fn a_process_far_down() {
    sees_the_moved_clock(
        &small(),
        "sh -c 'env nice sh -c \"exec setsid -w date +%s\"' >stamp",
    );
}

#[test]
fn threads() {
    let script = "import threading, time\nout = []\n\
        for _ in range(8):\n    t = threading.Thread(target=lambda: out.append(int(time.time())))\n    t.start()\n    t.join()\n\
        print(out[0], out[-1])\n";
    let project = small();
    project.write("now.py", script);
    sees_the_moved_clock(&project, "python3 now.py >stamp");
}

#[test]
fn under_strace() {
    sees_the_moved_clock(&small(), "strace -f -o /dev/null date +%s >stamp");
}

#[test]
fn under_gdb() {
    let script = "gdb -batch -ex 'set startup-with-shell off' -ex run --args date +%s | grep -E '^[0-9]+$' >stamp";
    sees_the_moved_clock(&small(), script);
}

/// An absolute deadline on the wall clock, taken from the moved clock, must neither hang nor be
/// over at once.
#[test]
fn an_absolute_wait_takes_as_long_as_it_says() {
    let project = small();
    project.write(
        "wait.c",
        r#"
#include <pthread.h>
#include <stdio.h>
#include <time.h>
int main(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	struct timespec end, before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 1;
	pthread_mutex_lock(&lock);
	pthread_cond_timedwait(&never, &lock, &end);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 1;
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &end, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	puts(ms >= 1900 ? "waited" : "did not wait");
	return 0;
}
"#,
    );
    let ran: Ran = verify(
        &project,
        &["--timeout", "60s"],
        "cc -pthread -o wait wait.c && ./wait >waited.txt && cat waited.txt",
    );
    ran.exits(0);
    assert!(
        ran.stdout.contains("waited\n") && !ran.stdout.contains("did not"),
        "{ran}"
    );
}
