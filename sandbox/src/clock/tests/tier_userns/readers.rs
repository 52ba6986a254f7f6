//! Programs that read the clock.

use std::fs;
use std::path::Path;

use std::sync::Mutex;

use super::super::super::cover::{Covered, Coverer};
use super::super::super::elf::Elf;
use super::super::super::image::{Patch, Room};
use super::super::super::{own, process};
use super::*;
use crate::notify::{Answer, Call, Handler, Target};
use crate::sys::testing::{spawn_filtered, trap};

/// Readers of `readers.c` that must show the moved clock, apart from the alarm clock, which only
/// machines with a hardware clock have.
const MOVED: [&str; 13] = [
    "realtime",
    "coarse",
    "tai",
    "gettimeofday",
    "time",
    "time-stored",
    "thread",
    "raw-realtime",
    "raw-coarse",
    "raw-tai",
    "raw-gettimeofday",
    "raw-time",
    "raw-time-stored",
];

/// Asserts every line of `readers.c`'s output.
#[track_caller]
fn assert_all_read(ran: &Ran, offset: i64) {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let mut missing = MOVED.to_vec();
    for line in ran.text.lines() {
        let (name, value) = line.split_once(' ').expect("a name and a number");
        let value: i64 = value.parse().expect("a number");
        missing.retain(|m| *m != name);
        match name {
            "raw-fault" => assert_eq!(value, -1),
            "raw-gettimeofday-nowhere" => assert_eq!(value, 0),
            "monotonic" | "raw-monotonic" | "boottime" | "raw-boottime" => {
                // Far below any wall clock, moved or not.
                assert!(value < 1_000_000_000, "{line}");
            }
            // TAI may be ahead of the wall clock by the leap seconds.
            "tai" | "raw-tai" => ran.assert_reads(name, value - tai_ahead(), offset),
            _ => ran.assert_reads(name, value, offset),
        }
    }
    assert!(missing.is_empty(), "{missing:?}: {ran:?}");
}

fn tai_ahead() -> i64 {
    use nix::time::{ClockId, clock_gettime};
    let [tai, real] =
        [ClockId::CLOCK_TAI, ClockId::CLOCK_REALTIME].map(|c| clock_gettime(c).expect("a clock"));
    tai.tv_sec() - real.tv_sec()
}

fn moved_and_unmoved(program: &Path) {
    assert_all_read(&skewed(command(program, &[]), OFFSET), OFFSET);
    assert_all_read(&plain(command(program, &[])), 0);
}

#[test]
fn c_dynamic() {
    let folder = folder();
    moved_and_unmoved(&compile(folder.path(), "gcc", "readers.c", &["-pthread"]));
}

#[test]
fn c_static() {
    let folder = folder();
    moved_and_unmoved(&compile(
        folder.path(),
        "gcc",
        "readers.c",
        &["-pthread", "-static"],
    ));
}

#[test]
fn musl_dynamic() {
    let folder = folder();
    moved_and_unmoved(&compile(
        folder.path(),
        "musl-gcc",
        "readers.c",
        &["-pthread"],
    ));
}

#[test]
fn musl_static() {
    let folder = folder();
    moved_and_unmoved(&compile(
        folder.path(),
        "musl-gcc",
        "readers.c",
        &["-pthread", "-static"],
    ));
}

#[test]
fn into_the_past_and_by_nothing() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "readers.c", &["-pthread"]);
    for offset in [-1000 * 86_400, 0, 1] {
        assert_all_read(&skewed(command(&program, &[]), offset), offset);
    }
}

#[test]
fn where_only_a_tracer_may_write() {
    let folder = folder();
    for flags in [&["-pthread"][..], &["-pthread", "-static"]] {
        let program = compile(folder.path(), "gcc", "readers.c", flags);
        let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
        skewer.coverer.as_mut().expect("a vDSO").by_ptrace = true;
        let ran = skewed_by(command(&program, &[]), &Arc::new(skewer));
        assert_all_read(&ran, OFFSET);
        assert!(ran.counters.redirected >= 1, "by interrupting it: {ran:?}");
    }
}

#[test]
fn where_the_section_headers_had_to_go() {
    let folder = folder();
    let readers = compile(folder.path(), "gcc", "readers.c", &["-pthread"]);
    let waits = compile(folder.path(), "gcc", "waits.c", &["-pthread", "-lrt"]);
    let image = own::image().expect("a readable vDSO").expect("a vDSO");
    let at = Elf(image)
        .needed_end()
        .expect("sections")
        .next_multiple_of(16);
    for unwind in [true, false] {
        let room = Room {
            at,
            unwind,
            drops_sections: true,
        };
        let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
        let coverer = skewer.coverer.as_mut().expect("a vDSO");
        assert!(at < coverer.patch.blob.at, "further to the front");
        coverer.patch =
            Patch::in_room(image, OFFSET, Stamps::new(now(), OFFSET), room).expect("a patch");
        let skewer = Arc::new(skewer);
        assert_all_read(&skewed_by(command(&readers, &[]), &skewer), OFFSET);
        let ran = skewed_by(command(&waits, &["cond", "0.1"]), &skewer);
        assert!(ran.text.starts_with("110 "), "{ran:?}");
    }
}

#[test]
fn a_call_of_the_vdso_s_own_is_known() {
    // Where the clock can't be read from user space, the original makes a system call, to which
    // its hook adds the offset: it must not be moved itself.
    struct Look {
        coverer: Coverer,
        seen: Mutex<Vec<bool>>,
    }
    impl Handler for Look {
        fn wants(&self, nr: i32) -> bool {
            i64::from(nr) == libc::SYS_getpgrp
        }
        fn handle(&self, _: &Call, target: &Target<'_>) -> Answer {
            let base = process::vdso_base(target.tid())
                .expect("readable")
                .expect("a vDSO");
            let own = base + self.coverer.patch.own_calls[0];
            let mut seen = self.seen.lock().expect("unpoisoned");
            seen.push(self.coverer.is_own_call(target, own));
            assert_eq!(self.coverer.cover(target), Ok(Covered::At(base)));
            for ip in [own, own + 1, own + 4096, 0, u64::MAX] {
                seen.push(self.coverer.is_own_call(target, ip));
            }
            Answer::Continue
        }
    }
    let image = own::image().expect("a readable vDSO").expect("a vDSO");
    let look = Arc::new(Look {
        coverer: Coverer::new(
            Patch::new(image, OFFSET, Stamps::new(now(), OFFSET)).expect("a patch"),
        ),
        seen: Mutex::default(),
    });
    let perl = command("perl", &["-e", "syscall(111)"]);
    let (starting, listener) = spawn_filtered(perl, trap(&[libc::SYS_getpgrp])).expect("perl");
    let service = Service::start(listener, vec![Arc::clone(&look) as _]).expect("the service");
    starting.child().expect("perl").wait().expect("its end");
    assert_eq!(service.stop().failed, 0);
    let seen = look.seen.lock().expect("unpoisoned");
    assert_eq!(*seen, [false, true, false, false, false, false]);
}

#[test]
fn where_there_is_no_vdso() {
    // A kernel without one is not to be had here; what such a program does is to make raw calls.
    let folder = folder();
    let program = compile(folder.path(), "gcc", "readers.c", &["-pthread"]);
    let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
    skewer.coverer = None;
    let ran = skewed_by(command(program, &[]), &Arc::new(skewer));
    for line in ran.text.lines().filter(|l| l.starts_with("raw-real")) {
        let (name, value) = line.split_once(' ').expect("a name and a number");
        ran.assert_reads(name, value.parse().expect("a number"), OFFSET);
    }
}

/// Runs a command that prints seconds since the epoch as its last word, moved and unmoved.
#[track_caller]
fn prints_seconds(make: impl Fn() -> Command) {
    for (ran, offset) in [(skewed(make(), OFFSET), OFFSET), (plain(make()), 0)] {
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
        let last = ran.text.split_whitespace().last();
        let seconds = last.and_then(|w| w.parse().ok());
        let seconds = seconds.unwrap_or_else(|| panic!("no number: {ran:?}"));
        ran.assert_reads("it", seconds, offset);
    }
}

#[test]
fn go_static() {
    let folder = folder();
    let source = folder.path().join("clock.go");
    let text = r#"package main
import ("fmt"; "time")
func main() {
	other := make(chan int64)
	go func() { other <- time.Now().Unix() }()
	started := time.Now()
	time.Sleep(20 * time.Millisecond)
	if d := time.Since(started); d < 20*time.Millisecond || d > time.Minute { panic(d) }
	fmt.Println(<-other, time.Now().Unix())
}
"#;
    fs::write(&source, text).expect("the source");
    let program = folder.path().join("clock");
    let cache = folder.path().join("cache");
    build(
        command("go", &["build", "-o"])
            .arg(&program)
            .arg(&source)
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", &cache)
            .env("GO111MODULE", "off"),
    );
    prints_seconds(|| command(&program, &[]));
}

#[test]
fn java() {
    let folder = folder();
    let source = folder.path().join("Clock.java");
    let text = "class Clock { public static void main(String[] a) throws Exception { Thread.sleep(10); System.out.println(java.time.Instant.now().getEpochSecond() + \" \" + System.currentTimeMillis() / 1000); } }";
    fs::write(&source, text).expect("the source");
    build(command("javac", &["-d"]).arg(folder.path()).arg(&source));
    let path = folder.path().to_str().expect("a plain path");
    prints_seconds(|| command("java", &["-cp", path, "Clock"]));
}

#[test]
fn node() {
    prints_seconds(|| {
        command(
            "node",
            &[
                "-e",
                "setTimeout(() => console.log(Math.floor(Date.now() / 1000)), 10)",
            ],
        )
    });
}

#[test]
fn python() {
    let script = "import threading, time, datetime; t = threading.Thread(target=lambda: print(int(time.time()))); t.start(); t.join(); print(int(datetime.datetime.now().timestamp()))";
    prints_seconds(|| command("python3", &["-c", script]));
}

#[test]
fn perl() {
    prints_seconds(|| {
        command(
            "perl",
            &[
                "-MTime::HiRes",
                "-e",
                "print int(Time::HiRes::time()), ' ', time",
            ],
        )
    });
}

#[test]
fn bash_and_date() {
    prints_seconds(|| command("bash", &["-c", "echo $EPOCHSECONDS"]));
    prints_seconds(|| command("bash", &["-c", "printf '%(%s)T\n' -1"]));
    prints_seconds(|| command("sh", &["-c", "sh -c 'date +%s | cat' | cat"]));
}

#[test]
fn the_compiler_s_date() {
    let folder = folder();
    let source = folder.path().join("date.c");
    fs::write(
        &source,
        "int puts(const char *); int main(void) { return puts(__DATE__) < 0; }\n",
    )
    .expect("the source");
    let year = |ran: &Ran| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let printed = ran
            .text
            .split_whitespace()
            .last()
            .and_then(|y| y.parse::<i32>().ok());
        printed.unwrap_or_else(|| panic!("no year: {ran:?}"))
    };
    let script = format!(
        "cd '{}' && cc -o date date.c && ./date",
        folder.path().display()
    );
    // 800 days are two years and more.
    let unmoved = year(&plain(command("sh", &["-c", &script])));
    let moved = year(&skewed(command("sh", &["-c", &script]), 2 * OFFSET));
    assert!((2..=3).contains(&(moved - unmoved)), "{moved} {unmoved}");
}

#[test]
fn every_way_to_start_a_program() {
    let folder = folder();
    let readers = compile(folder.path(), "gcc", "readers.c", &["-pthread"]);
    let exec = compile(folder.path(), "gcc", "exec.c", &["-pthread"]);
    let readers = readers.to_str().expect("a plain path");
    for how in ["vfork", "spawn", "thread", "twice"] {
        assert_all_read(&skewed(command(&exec, &[how, readers]), OFFSET), OFFSET);
        assert_all_read(&plain(command(&exec, &[how, readers])), 0);
    }
}

#[test]
fn many_at_once() {
    let script = "for i in $(seq 100); do date +%s & done; wait";
    let ran = skewed(command("sh", &["-c", script]), OFFSET);
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let seconds: Vec<i64> = ran
        .text
        .lines()
        .map(|l| l.parse().expect("a number"))
        .collect();
    assert_eq!(seconds.len(), 100);
    for second in seconds {
        ran.assert_reads("date", second, OFFSET);
    }
}

#[test]
fn in_other_namespaces() {
    // As the sandbox has it: other user, process-id and mount namespaces than the supervisor's.
    prints_seconds(|| {
        command(
            "unshare",
            &[
                "--user",
                "--map-root-user",
                "--pid",
                "--mount",
                "--fork",
                "date",
                "+%s",
            ],
        )
    });
}
