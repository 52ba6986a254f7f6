//! The evidence folder under bad conditions, and what is said and shown of a run.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use belljar_tests::{Project, Ran, eventually, repository};
use serde_json::Value;

use crate::{run, small, verify};

fn staging_left(project: &Project) -> Vec<String> {
    let names = fs::read_dir(project.dir().join("artifacts"))
        .into_iter()
        .flatten();
    names
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|n| n.starts_with(".belljar"))
        .collect()
}

#[test]
fn a_folder_that_can_not_be_written_changes_the_code_and_not_the_verdict() {
    let project = small();
    project.write("artifacts/README.md", "mine\n");
    let folder = project.dir().join("artifacts");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).expect("a mode");
    let ran = verify(&project, &[], "echo x >out");
    ran.exits(6);
    assert!(
        ran.stderr.contains("evidence is not written") && ran.stderr.contains("EACCES"),
        "{ran}"
    );
    assert!(ran.stderr.contains("belljar: reproducible"), "{ran}");
    verify(&project, &[], "date +%N >out").exits(6);
    run(&project, &[], "exit 3").exits(6);
    let left = fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(left, 1);
}

#[test]
fn folders_of_others_are_not_replaced() {
    let project = small();
    project.write("artifacts/logs/mine.txt", "mine\n");
    let ran = run(&project, &[], "true");
    ran.exits(6);
    assert!(ran.stderr.contains("logs in the evidence folder"), "{ran}");
    assert_eq!(
        fs::read(project.dir().join("artifacts/logs/mine.txt")).expect("it"),
        b"mine\n"
    );
}

#[test]
fn explain_names_what_does_not_belong() {
    let project = small();
    verify(&project, &[], "echo x >out; date +%N >when").exits(3);
    project.belljar(["explain"]).exits(0);
    let artifacts = project.dir().join("artifacts");
    fs::write(artifacts.join("logs/a.log"), "forged\n").expect("a log");
    fs::write(artifacts.join("security/more.json"), "{}\n").expect("a file");
    let ran = project.belljar(["explain"]);
    ran.exits(3);
    assert!(
        ran.stderr
            .contains("logs/a.log does not belong to this result"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("security/more.json does not belong"),
        "{ran}"
    );
    fs::write(artifacts.join("result.json"), "{}").expect("a result");
    project.belljar(["explain"]).exits(3);
}

#[test]
fn differing_files_are_kept() {
    let project = small();
    let script = "mkdir -p sub; date +%s%N >'sub/a b'; echo same >same";
    verify(&project, &[], script).exits(3);
    let kept = project.dir().join("artifacts/determinism/kept");
    let of = |run: &str| fs::read_to_string(kept.join(run).join("sub/a b")).expect("a kept file");
    assert_ne!(of("a"), of("b"));
    assert!(!kept.join("a/same").exists());
}

#[test]
fn two_at_one_time_leave_one_whole_result() {
    let project = small();
    let commands: Vec<_> = (0..4)
        .map(|n| {
            let script = format!("echo {n}; echo {n} >out{n}");
            let mut command =
                project.belljar_command(["run", "--no-export", "--", "sh", "-c", &script]);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("belljar starts")
        })
        .collect();
    for command in commands {
        Ran::from(command.wait_with_output().expect("belljar ends")).exits(0);
    }
    project.belljar(["explain"]).exits(0);
    assert_eq!(staging_left(&project), [""; 0]);
}

/// Killed at every point of its life: what is there then is the old result, the new one, or
/// named as not belonging; and the next command puts it right.
#[test]
fn a_kill_at_any_moment_leaves_no_result_that_lies() {
    let project = small();
    run(&project, &[], "echo old").exits(0);
    let whole = Instant::now();
    run(&project, &[], "echo old").exits(0);
    let whole = whole.elapsed();
    let mut codes = Vec::new();
    for step in 0..24 {
        let mut command = project.belljar_command(["run", "--", "echo", "new"]);
        let mut belljar = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("belljar starts");
        std::thread::sleep(whole * step / 20);
        let _ = belljar.kill();
        belljar.wait().expect("belljar ends");
        let ran = project.belljar(["explain"]);
        assert!([0, 3].contains(&ran.code), "{ran}");
        codes.push(ran.code);
    }
    // The processes of the last one that was killed may take a moment to be gone.
    eventually(Duration::from_secs(20), || {
        run(&project, &[], "echo last").exits(0);
        project.belljar(["explain"]).exits(0);
        staging_left(&project).is_empty()
    });
    assert!(codes.contains(&0), "{codes:?}");
}

#[test]
fn json_is_the_result_and_alone_on_stdout() {
    let project = small();
    for verb in ["run", "verify"] {
        let ran = project.belljar([verb, "--json", "--", "sh", "-c", "echo shown; echo x >out"]);
        ran.exits(0);
        let file =
            fs::read_to_string(project.dir().join("artifacts/result.json")).expect("result.json");
        assert_eq!(ran.stdout, file, "{ran}");
        assert!(ran.stderr.contains("shown\n"), "{ran}");
    }
}

#[test]
fn what_is_shown_of_a_pair() {
    let script = "echo out; echo err >&2; echo x >file";
    let times = |text: &str, word: &str| text.lines().filter(|l| *l == word).count();
    for (options, shown) in [(&[][..], 1), (&["-v"], 2), (&["-q"], 0)] {
        let project = small();
        let ran = verify(&project, options, script);
        ran.exits(0);
        assert_eq!(
            (times(&ran.stdout, "out"), times(&ran.stderr, "err")),
            (shown, shown),
            "{options:?} {ran}"
        );
        assert_eq!(ran.own_lines().is_empty(), options == ["-q"], "{ran}");
        for log in ["logs/a.log", "logs/b.log"] {
            let log = project.evidence().text(log);
            assert_eq!((times(&log, "out"), times(&log, "err")), (1, 1), "{log}");
        }
    }
}

#[test]
fn a_run_passes_every_byte_on() {
    let project = small();
    let ran = run(&project, &["-q"], "printf 'a\\001\\rb'; printf c >&2");
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("a\u{1}\rb", "c")
    );
    let mut command =
        project.belljar_command(["run", "-q", "--", "head", "-c", "20000000", "/dev/zero"]);
    let mut big = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut all = Vec::new();
    big.stdout
        .take()
        .expect("stdout")
        .read_to_end(&mut all)
        .expect("output");
    assert!(big.wait().expect("belljar ends").success());
    assert_eq!(all.len(), 20_000_000);
    assert_eq!(project.evidence().text("logs/a.log").len(), 20_000_000);
}

/// As without belljar: the build is told by SIGPIPE.
#[test]
fn a_reader_that_has_had_enough_ends_the_build() {
    let project = small();
    let mut command = project.belljar_command(["run", "-q", "--", "yes"]);
    let mut belljar = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    drop(belljar.stdout.take());
    assert_eq!(belljar.wait().expect("belljar ends").code(), Some(141));
    assert_eq!(project.evidence().ended_by(), "signal");
}

/// Somebody stopped the pager and then pressed Ctrl-C.
#[test]
fn a_reader_that_stands_still_keeps_no_signal_from_the_build() {
    let project = small();
    let mut command = project.belljar_command(["run", "-q", "--timeout", "60s", "--", "yes"]);
    let mut belljar = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    std::thread::sleep(Duration::from_millis(500));
    let started = Instant::now();
    // The second one says that the reader has had long enough, too.
    for _ in 0..2 {
        let id = belljar.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .expect("kill starts")
                .success()
        );
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(belljar.wait().expect("belljar ends").code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(project.evidence().ended_by(), "interrupt");
}

#[test]
fn an_interrupt_in_run_b_ends_in_130_with_a_whole_result() {
    let project = small();
    // Run B sees another year than the one in which this was written.
    let year = Ran::of(project.command("date").arg("+%Y")).stdout;
    let script = format!(
        "echo x >out; [ $(date -u +%Y) = {} ] || sleep 60",
        year.trim()
    );
    let mut command =
        project.belljar_command(["verify", "--skew", "400d", "--", "sh", "-c", &script]);
    let belljar = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let log = project.dir().join("artifacts");
    eventually(Duration::from_secs(30), || {
        fs::read_dir(&log)
            .into_iter()
            .flatten()
            .flatten()
            .any(|e| e.path().join("logs/b.log").exists())
    });
    std::thread::sleep(Duration::from_millis(500));
    let id = belljar.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .expect("kill starts")
            .success()
    );
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    ran.exits(130);
    let evidence = project.evidence();
    assert_eq!(
        (evidence.ended_by(), evidence.verdict()),
        ("interrupt", "incomplete")
    );
    project.belljar(["explain"]).exits(0);
}

/// By the registry, as somebody else's program would look them up.
fn follows_its_schema(document: &Value) {
    let read = |name: &str| -> Value {
        let text = fs::read(repository().join("schema").join(name)).expect("a schema");
        serde_json::from_slice(&text).expect("JSON")
    };
    let registry = read("registry.json");
    let documents = registry["documents"].as_array().expect("documents");
    let found = documents.iter().find(|d| d["schema"] == document["schema"]);
    let found = found.unwrap_or_else(|| panic!("{} is not in the registry", document["schema"]));
    let schema = read(found["file"].as_str().expect("a file"));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<_> = validator
        .iter_errors(document)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?} in {document:#}");
}

#[test]
fn every_document_of_a_real_pair_follows_its_schema() {
    let project = small();
    let script = "echo x >out; date +%N >when; ln -s out link; mkfifo pipe; ln out hard; chmod 4755 out; rm source.txt; \
        python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)' || true";
    verify(&project, &["--timeout", "5m", "--disk", "1G"], script).exits(3);
    let evidence = project.evidence();
    follows_its_schema(&evidence.result);
    follows_its_schema(&evidence.result["plan"]);
    let mut documents = 0;
    for name in evidence.result["files"].as_object().expect("files").keys() {
        let json = Path::new(name).extension().is_some_and(|e| e == "json");
        if json && !name.contains("kept/") {
            follows_its_schema(&evidence.document(name));
            documents += 1;
        }
    }
    assert!(documents >= 5, "{documents}");
    let records = evidence.text("security/egress.ndjson");
    assert!(records.lines().count() >= 2, "{records}");
    for line in records.lines() {
        follows_its_schema(&serde_json::from_str(line).expect("JSON"));
    }
    for command in [&["explain", "--format", "json"][..], &["doctor", "--json"]] {
        let ran = project.belljar(command);
        follows_its_schema(&serde_json::from_str(&ran.exits(0).stdout).expect("JSON"));
    }
}
