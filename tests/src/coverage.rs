//! Who sees the moved clock, by what call, on which kernel: one build of many programs, and the table
//! of what its second run printed.
//!
//! `docs/clock-coverage.md` holds a section for each kernel; a test compares its own with what it
//! saw. With `BELLJAR_TEST_WRITE=1` it writes the section instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Ran, repository};

/// Every way of `waits.c` to wait.
const WAITS: &str = "cond sem nanosleep tai-nanosleep raw-nanosleep timerfd timerfd-cancel timer tai-timer \
    requeue-pi lock-pi2 mq-receive mq-send mutex pi-mutex bitset waitv futex-wait";

/// The programs that a traced one can't be waited for in (see `docs/clock-calls.md`).
const NOT_TRACED: [&str; 2] = ["timer", "tai-timer"];

/// A kind of program: its name, and what of a shell runs it and prints `CALL NUMBER...` lines.
type Kind = (&'static str, String);

/// The programs, built in a folder.
#[derive(Debug)]
pub struct Programs {
    kinds: Vec<Kind>,
    /// What is to be beside the script: files of the folder.
    pub files: Vec<PathBuf>,
}

fn cc(folder: &Path, compiler: &str, name: &str, to: &str, flags: &[&str]) -> PathBuf {
    let source = repository().join("sandbox/src/clock/tests/programs");
    let to = folder.join(to);
    let mut command = Command::new(compiler);
    command.arg("-O1").args(flags).arg("-o").arg(&to);
    command.arg(source.join(name)).args(match name {
        "waits.c" => &["-lrt", "-pthread"][..],
        "readers.c" => &["-pthread"],
        _ => &[],
    });
    Ran::of(&mut command).exits(0);
    to
}

/// Readers, waits and System V objects of one compiler.
fn all_of(prefix: &str, id: &str, but: &[&str], objects: bool) -> String {
    let waits: Vec<_> = WAITS.split(' ').filter(|w| !but.contains(w)).collect();
    let objects = if objects {
        format!("./objects-{id}; ")
    } else {
        String::new()
    };
    format!(
        "{prefix} ./readers-{id}; {objects}for w in {}; do (echo wait-$w $({prefix} ./waits-{id} $w 0.3)) & done; wait",
        waits.join(" ")
    )
}

impl Programs {
    /// Builds, in `folder`, the programs that run on any kernel with the C libraries of this machine.
    ///
    /// # Panics
    /// If a compiler is missing or fails.
    pub fn build(folder: &Path) -> Self {
        const HEADERS: [&str; 4] = [
            "-idirafter",
            "/usr/include",
            "-idirafter",
            "/usr/include/x86_64-linux-gnu",
        ];
        let (mut kinds, mut files) = (Vec::new(), Vec::new());
        for (kind, id, compiler, flags) in [
            ("glibc", "g", "gcc", &[][..]),
            ("glibc static", "gs", "gcc", &["-static"]),
            ("musl", "m", "musl-gcc", &HEADERS),
            (
                "musl static",
                "ms",
                "musl-gcc",
                &[&HEADERS[..], &["-static"]].concat(),
            ),
        ] {
            for part in ["readers", "waits", "objects"] {
                let to = format!("{part}-{id}");
                files.push(cc(folder, compiler, &format!("{part}.c"), &to, flags));
            }
            kinds.push((kind, all_of("", id, &[], true)));
        }
        let bare = ["-nostdlib", "-static", "-fno-stack-protector"];
        let waits = [&bare[..], &["-DWAITS"]].concat();
        files.push(cc(folder, "gcc", "bare.c", "bare", &waits));
        files.push(cc(folder, "gcc", "bare.c", "bare-at-once", &bare));
        kinds.push(("no C library", "echo now $(./bare)".into()));
        kinds.push((
            "no C library, asks at once",
            "echo now $(./bare-at-once)".into(),
        ));

        let go = folder.join("now.go");
        let text = "package main\nimport (\"fmt\"; \"time\")\nfunc main() { fmt.Println(\"now\", time.Now().Unix()) }\n";
        fs::write(&go, text).expect("the Go source");
        let program = folder.join("now-go");
        Ran::of(
            Command::new("go")
                .args(["build", "-o"])
                .arg(&program)
                .arg(&go)
                .env("CGO_ENABLED", "0")
                .env("GO111MODULE", "off")
                .env("GOCACHE", folder.join("go-cache")),
        )
        .exits(0);
        files.push(program);
        kinds.push(("Go, static", "./now-go".into()));

        let rust = folder.join("now.rs");
        let text = "fn main() { let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH); println!(\"now {}\", t.unwrap().as_secs()); }\n";
        fs::write(&rust, text).expect("the Rust source");
        let program = folder.join("now-rust");
        Ran::of(
            Command::new("rustc")
                .args(["-C", "target-feature=+crt-static", "-o"])
                .arg(&program)
                .arg(&rust),
        )
        .exits(0);
        files.push(program);
        kinds.push(("Rust, static", "./now-rust".into()));
        let shell = "echo now $(date +%s); : >/tmp/made; echo file-time $(stat -c %Y /tmp/made)";
        kinds.push(("shell, date and stat", shell.into()));
        Self { kinds, files }
    }

    /// Adds those that only a whole system has.
    ///
    /// # Panics
    /// If `javac` is missing or fails.
    #[must_use]
    pub fn with_runtimes(mut self, folder: &Path) -> Self {
        let source = folder.join("Now.java");
        let text = "class Now { public static void main(String[] a) { System.out.println(\"now \" + System.currentTimeMillis() / 1000); } }\n";
        fs::write(&source, text).expect("the Java source");
        Ran::of(Command::new("javac").arg("-d").arg(folder).arg(&source)).exits(0);
        self.files.push(folder.join("Now.class"));
        let traced = all_of(
            "strace -f -o /dev/null -e trace=none",
            "g",
            &NOT_TRACED,
            false,
        );
        let debugged = "gdb -nx -batch -ex run --args date '+now %s' | grep '^now'";
        for (kind, script) in [
            ("glibc, traced", traced.as_str()),
            ("glibc, debugged", debugged),
            ("Java", "java -cp . Now"),
            (
                "node",
                "node -e 'console.log(\"now\", Math.floor(Date.now() / 1000))'",
            ),
            (
                "python",
                "python3 -c 'import time; print(\"now\", int(time.time()))'",
            ),
            ("perl", "perl -e 'print \"now \", time, \"\\n\"'"),
            ("bash", "bash -c 'echo now $EPOCHSECONDS'"),
        ] {
            self.kinds.push((kind, script.to_owned()));
        }
        self
    }

    /// A shell script that runs all of them and makes an output.
    pub fn script(&self) -> String {
        let mut script = String::from("echo same >out\n");
        for (kind, of) in &self.kinds {
            let _ = writeln!(
                script,
                "( {of} ) 2>/dev/null </dev/null | sed 's/^/{kind}|/'"
            );
        }
        script
    }
}

/// What became of each call in each kind of program: `call -> kind -> cell`.
pub type Table = BTreeMap<String, BTreeMap<String, &'static str>>;

/// Reads the table from what run B printed and its document, `runs[1]` of the result.
///
/// # Panics
/// If the document is not one.
pub fn table(log: &str, result: &Value) -> Table {
    let window = |run: usize| {
        let window = &result["runs"][run]["when"]["window"];
        let second = |name: &str| window[name].as_i64().expect("a time") / 1_000_000_000;
        second("start_ns") - 2..=second("end_ns") + 2
    };
    let (real, moved) = (window(0), window(1));
    let ahead = moved.start() - real.start();
    let mut table = Table::new();
    for line in log.lines() {
        let Some((kind, line)) = line.split_once('|') else {
            continue;
        };
        let mut words = line.split(' ');
        let call = words.next().unwrap_or_default();
        let numbers: Vec<i64> = words.filter_map(|w| w.parse().ok()).collect();
        // What a call says of a wrong pointer or of nothing is tested elsewhere.
        if call.starts_with("never-") || call.contains("fault") || call.contains("nowhere") {
            continue;
        }
        let cell = match numbers[..] {
            [seconds] if moved.contains(&seconds) => "moved",
            // B starts a little after A.
            [seconds] if (*real.start()..=*moved.end() - ahead + 600).contains(&seconds) => "real",
            [0..1_000_000_000] => "as it is",
            [0 | 110, 299..30_000] => "on time",
            [38, _] => "no such call",
            _ => "WRONG",
        };
        let row: &mut BTreeMap<_, _> = table.entry(call.to_owned()).or_default();
        row.insert(kind.to_owned(), cell);
    }
    table
}

/// The table for people: a row for each call, the programs that make it in columns.
pub fn page(table: &Table) -> String {
    let many = |kind: &str| table.values().filter(|row| row.contains_key(kind)).count() > 2;
    let kinds: BTreeSet<&String> = table.values().flat_map(BTreeMap::keys).collect();
    let (wide, narrow): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|kind| many(kind));
    let mut page = String::from("| call |");
    for kind in &wide {
        let _ = write!(page, " {kind} |");
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(wide.len()));
    page.push('\n');
    for (call, row) in table {
        if !wide.iter().any(|kind| row.contains_key(*kind)) {
            continue;
        }
        let _ = write!(page, "| {call} |");
        for kind in &wide {
            let _ = write!(page, " {} |", row.get(*kind).copied().unwrap_or("-"));
        }
        page.push('\n');
    }
    page.push_str("\n| program | reads |\n|---|---|\n");
    for kind in narrow {
        let cells = table
            .iter()
            .filter_map(|(call, row)| Some((call, row.get(kind)?)));
        let cells: Vec<_> = cells
            .map(|(call, cell)| format!("{call}: {cell}"))
            .collect();
        let _ = writeln!(page, "| {kind} | {} |", cells.join(", "));
    }
    page
}

const PAGE: &str = "docs/clock-coverage.md";

/// Compares a table with its section of the page, or writes it there.
///
/// # Panics
/// If they differ.
pub fn compare(section: &str, table: &Table) {
    let path = repository().join(PAGE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let head = format!("## {section}\n\n");
    let start = text.find(&head).map(|at| at + head.len());
    let end = start.map(|at| text[at..].find("\n## ").map_or(text.len(), |n| at + n));
    let mut table = table.clone();
    // Which hosts have a clock that may wake them is their own matter.
    if section.contains("host") {
        table.retain(|call, _| !call.contains("alarm"));
    }
    let seen = page(&table);
    if std::env::var_os("BELLJAR_TEST_WRITE").is_some() {
        let new = match start.zip(end) {
            Some((start, end)) => format!("{}{seen}{}", &text[..start], &text[end..]),
            None => format!("{text}\n{head}{seen}"),
        };
        fs::write(path, new).expect("the page");
        return;
    }
    let written = start.zip(end).map_or("", |(start, end)| &text[start..end]);
    // A host may be older than the one on which the page was written.
    let differs =
        |(a, b): (&str, &str)| a != b && (a != "no such call" || !section.contains("host"));
    let cells = |text: &str| -> Vec<String> {
        text.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let (a, b) = (cells(&seen), cells(written));
    let pairs = a
        .iter()
        .map(String::as_str)
        .zip(b.iter().map(String::as_str));
    assert!(
        a.len() == b.len() && !pairs.into_iter().any(differs),
        "{PAGE}, {section}, says\n{written}\nand this was seen:\n{seen}"
    );
}
