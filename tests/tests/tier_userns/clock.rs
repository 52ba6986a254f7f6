//! What tells the time beside the clock: it agrees with the moved one, or is not there.

use std::collections::BTreeMap;

use belljar_tests::{Project, Ran, coverage};

use super::{inside, outside, syscalls};

/// What a script prints in run B of a pair, as `name value` lines.
#[track_caller]
fn moved(project: &Project, script: &str) -> BTreeMap<String, String> {
    project.write("source.txt", "source\n");
    let script = format!("echo same >out\n{script}");
    let ran = project.belljar(["verify", "-q", "--", "sh", "-c", &script]);
    let log = project.dir().join("artifacts/logs/b.log");
    let log = std::fs::read_to_string(log).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    ran.exits(0);
    values(&log)
}

fn values(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|l| l.split_once(' '));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[track_caller]
fn number(values: &BTreeMap<String, String>, name: &str) -> i64 {
    let value = values
        .get(name)
        .unwrap_or_else(|| panic!("{name}: {values:?}"));
    let whole = value.split('.').next().unwrap_or_default();
    whole
        .parse()
        .unwrap_or_else(|_| panic!("{name}: {values:?}"))
}

/// The start of the machine and of a process, by every way there is, in seconds.
const STARTS: &str = r#"
echo now $(date +%s)
echo uptime $(cut -d' ' -f1 /proc/uptime)
echo btime $(sed -n 's/^btime //p' /proc/stat)
echo since $(date -d "$(uptime -s)" +%s)
echo process $(date -d "$(ps -o lstart= -p $$)" +%s)
echo ticks $(cut -d' ' -f22 /proc/$$/stat)
echo sysinfo $(python3 -c 'import ctypes; b = (ctypes.c_long * 16)(); ctypes.CDLL(None).sysinfo(b); print(b[0])')
"#;

#[track_caller]
fn assert_starts_agree(seen: &BTreeMap<String, String>) {
    let now = number(seen, "now");
    let boot = now - number(seen, "uptime");
    for name in ["btime", "since"] {
        assert!((number(seen, name) - boot).abs() <= 3, "{name}: {seen:?}");
    }
    assert!(
        (number(seen, "sysinfo") - number(seen, "uptime")).abs() <= 3,
        "{seen:?}"
    );
    assert!((number(seen, "process") - now).abs() <= 30, "{seen:?}");
    assert!(
        (boot + number(seen, "ticks") / 100 - now).abs() <= 30,
        "{seen:?}"
    );
}

#[test]
fn the_machine_s_start_and_a_process_s_agree_with_the_moved_clock() {
    let project = Project::empty();
    let real = values(&outside(&project, STARTS));
    assert_starts_agree(&real);
    let seen = moved(&project, STARTS);
    assert_starts_agree(&seen);
    assert!(
        number(&seen, "now") > number(&real, "now") + 300 * 86_400,
        "{seen:?}"
    );
    assert_starts_agree(&values(&inside(&Project::empty(), STARTS)));
}

#[test]
fn proc_stat_has_the_processors_and_no_load() {
    let project = Project::empty();
    let count = "grep -c ^cpu /proc/stat";
    assert_eq!(inside(&project, count), outside(&project, count));
    let load = "awk '/^(cpu|intr|ctxt)/ { for (i = 2; i <= NF; i++) s += $i } END { print s + 0 }' /proc/stat";
    assert_eq!(inside(&project, load), "0\n");
    assert_ne!(outside(&project, load), "0\n");
    let written = inside(
        &project,
        "(echo x >/proc/stat) 2>/dev/null && echo WRITTEN; ls -a / | grep made; true",
    );
    assert_eq!(written, "");
}

#[test]
fn nobody_sets_or_reads_the_clock_past_the_moved_one() {
    let project = Project::empty();
    let script = syscalls(&[
        ("clock_settime", "227, 0, bytes(16)"),
        ("settimeofday", "164, bytes(16), 0"),
        ("adjtimex", "159, bytes(256)"),
        ("clock_adjtime", "305, 0, bytes(256)"),
        (
            "SO_TIMESTAMP",
            "54, os.memfd_create('x'), 1, 29, bytes([1,0,0,0]), 4",
        ),
        ("SO_TIMESTAMPNS", "54, 0, 1, 64, bytes([1,0,0,0]), 4"),
        ("SIOCGSTAMP", "16, 0, 0x8906, bytes(16)"),
        ("ARCH_MAP_VDSO_64", "158, 0x2003, 0"),
        ("perf_event_open", "298, bytes(128), 0, -1, -1, 0"),
        ("keyctl", "250, 0, -3, 1"),
        ("syslog", "103, 10, 0, 0"),
    ]);
    let seen = inside(&project, &script);
    assert_eq!(seen.lines().count(), 11, "{seen}");
    assert!(seen.lines().all(|l| l.ends_with(": EPERM")), "{seen}");
    // Asking is for everybody otherwise.
    let free = outside(&project, &script);
    for name in ["adjtimex", "clock_adjtime"] {
        assert!(free.contains(&format!("{name}: ok")), "{free}");
    }
}

#[test]
fn clocks_of_the_hardware_and_records_of_logins_are_not_there() {
    let project = Project::empty();
    let script = "ls -d /dev/rtc* /dev/ptp* /dev/hpet /proc/driver/rtc /sys/class/rtc /run/utmp /var/run/utmp /var/log/wtmp /var/log/lastlog 2>/dev/null; \
        ls /proc/sysvipc; cat /proc/timer_list 2>/dev/null | head -n 1; true";
    assert_eq!(inside(&project, script), "");
}

#[test]
fn ipcs_tells_moved_times() {
    let project = Project::empty();
    let script =
        "ipcmk -M 4096 >/dev/null && ipcs -m -t | grep -c \"$(date +%b) \" | sed 's/^/lines /'; \
        echo when $(python3 -c \"
import ctypes, time
libc = ctypes.CDLL(None)
shm = libc.shmget(0, 4096, 0o600)
b = (ctypes.c_long * 64)()
assert libc.shmctl(shm, 2, b) == 0
print(b[9] - int(time.time()))\")";
    let seen = moved(&project, script);
    assert!((-5..=0).contains(&number(&seen, "when")), "{seen:?}");
    assert!(number(&seen, "lines") >= 1, "{seen:?}");
}

/// Landlock, without more, keeps a build from the queues that the walls allow.
#[test]
fn message_queues_work_and_time_out_by_the_moved_clock() {
    let project = Project::empty();
    project.write(
        "queue.c",
        r#"
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <time.h>
int main(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
	struct timespec until, before, after;
	char text[16];
	mqd_t queue = mq_open("/queue", O_CREAT | O_RDWR, 0600, &attr);
	if (queue < 0)
		return perror("mq_open"), 1;
	clock_gettime(CLOCK_MONOTONIC, &before);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	if (mq_timedreceive(queue, text, sizeof text, 0, &until) >= 0 || errno != ETIMEDOUT)
		return perror("mq_timedreceive"), 2;
	clock_gettime(CLOCK_MONOTONIC, &after);
	long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	return printf("queue %s\n", ms >= 990 && ms < 20000 ? "in time" : "NOT in time") < 0;
}
"#,
    );
    let seen = moved(&project, "cc -o /tmp/queue queue.c -lrt && /tmp/queue");
    assert_eq!(seen["queue"], "in time");
}

#[test]
fn a_server_of_the_build_s_own_tells_the_moved_date() {
    let project = Project::empty();
    let script = "python3 - <<'END'
import email.utils, http.server, threading, time, urllib.request
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
answer = urllib.request.urlopen('http://127.0.0.1:%d/source.txt' % server.server_port)
date = email.utils.mktime_tz(email.utils.parsedate_tz(answer.headers['Date']))
print('date', date - int(time.time()))
END";
    let seen = moved(&project, script);
    assert!((-30..=0).contains(&number(&seen, "date")), "{seen:?}");
}

/// One listener on a chain of filters: a program that wants its own is told so by the kernel, and its
/// filters without one work.
#[test]
fn a_listener_of_its_own_is_refused_as_busy() {
    let project = Project::empty();
    let source = belljar_tests::repository().join("sandbox/src/clock/tests/programs/filters.c");
    project.write(
        "filters.c",
        std::fs::read_to_string(source).expect("the program"),
    );
    let script = "cc -o /tmp/filters filters.c && for how in plain errno listener; do \
        echo $how $(/tmp/filters $how /bin/echo fine); done";
    let seen = moved(&project, script);
    let wanted = [("errno", "fine"), ("listener", "EBUSY"), ("plain", "fine")];
    assert_eq!(
        seen,
        wanted.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
}

/// What the clock could not be moved for is in the result, by name, and the verdict is `incomplete`.
#[test]
fn what_is_not_covered_is_named_and_makes_the_verdict_incomplete() {
    let project = Project::empty();
    let programs = belljar_tests::repository().join("sandbox/src/clock/tests/programs");
    let source = std::fs::read_to_string(programs.join("waits.c")).expect("the program");
    project.write("waits.c", &source);
    let script = "cc -pthread -o /tmp/waits waits.c -lrt && echo same >out; \
        timeout 2 strace -f -o /dev/null -e trace=none /tmp/waits timer 0.2; true";
    let ran: Ran = project.belljar(["verify", "--", "sh", "-c", script]);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "incomplete", "{ran}");
    let result = evidence.document("result.json");
    let named = &result["runs"][1]["clock"]["uncovered"];
    assert_eq!(
        *named,
        serde_json::json!(["/tmp/waits: a wait can't be moved (EOPNOTSUPP)"]),
        "{ran}"
    );
}

/// Each kind of program against each call, on this machine's kernel; tier_vm does so on others.
#[test]
fn every_program_sees_the_moved_clock_by_every_call() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = coverage::Programs::build(folder.path()).with_runtimes(folder.path());
    let project = Project::empty();
    for file in &programs.files {
        let name = file.file_name().expect("a name");
        std::fs::copy(file, project.dir().join(name)).expect("a copy");
    }
    project.write("all.sh", programs.script());
    let ran = project.belljar(["verify", "-q", "--output", "out", "--", "sh", "all.sh"]);
    let evidence = project.evidence();
    let result = evidence.document("result.json");
    assert_eq!(
        result["runs"][1]["clock"]["uncovered"],
        serde_json::json!([]),
        "{ran}"
    );
    ran.exits(0);
    let table = coverage::table(&evidence.text("logs/b.log"), &result);
    coverage::compare("The host", &table);
}
