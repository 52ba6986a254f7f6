//! What a build may touch, what it leaves, and where that goes.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use belljar_tests::{Project, Ran, belljar_bin};

use crate::{run, small, verify};

/// Names, sizes, modes and times of everything in a folder but the evidence.
fn picture(project: &Project) -> String {
    let find = "find . -mindepth 1 -path ./artifacts -prune -o -printf '%p %y %s %m %T@ %l\\n' | sort; find . -path ./artifacts -prune -o -type f -print0 | sort -z | xargs -0 sha256sum";
    Ran::of(project.command("sh").args(["-c", find]))
        .exits(0)
        .stdout
        .clone()
}

#[test]
fn the_hosts_tree_is_untouched_by_verify() {
    let project = small();
    project.write("dir/a", "a\n").write("dir/b", "b\n");
    // the evidence folder is there already, so that its making does not touch the folder around it
    project.write("artifacts/README.md", "kept\n");
    let before = picture(&project);
    verify(
        &project,
        &[],
        "rm -r dir; echo more >>source.txt; mkdir new; echo x >new/x; chmod 700 .",
    )
    .exits(0);
    assert_eq!(picture(&project), before);
}

#[test]
fn run_exports_its_outputs_after_a_pass() {
    let project = small();
    let script = "mkdir -p out/deep; echo made >out/deep/file; chmod 755 out/deep/file; ln -s deep/file out/link; echo changed >source.txt";
    run(&project, &[], script).exits(0);
    let dir = project.dir();
    assert_eq!(
        fs::read_to_string(dir.join("out/deep/file")).expect("made"),
        "made\n"
    );
    assert_eq!(
        fs::metadata(dir.join("out/deep/file"))
            .expect("made")
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    assert_eq!(
        fs::read_link(dir.join("out/link"))
            .expect("a link")
            .to_str(),
        Some("deep/file")
    );
    assert_eq!(
        fs::read_to_string(dir.join("source.txt")).expect("changed"),
        "changed\n"
    );
    // they belong to who owns the folder, and that user can change them
    Ran::of(
        project
            .command("sh")
            .args(["-c", "echo again >out/deep/file && rm -r out"]),
    )
    .exits(0);
}

#[test]
fn a_failing_run_exports_nothing() {
    let project = small();
    run(&project, &[], "echo made >out; exit 1").exits(1);
    assert!(!project.dir().join("out").exists());
}

#[test]
fn export_deletes_nothing() {
    let project = small();
    run(&project, &[], "rm source.txt; echo made >out").exits(0);
    assert!(project.dir().join("source.txt").exists());
    assert!(project.dir().join("out").exists());
}

#[test]
fn no_export_and_export_elsewhere() {
    let project = small();
    run(&project, &["--no-export"], "echo made >out").exits(0);
    assert!(!project.dir().join("out").exists());
    let to = project.beside("exported");
    run(
        &project,
        &["--export", to.to_str().expect("a path")],
        "echo made >out",
    )
    .exits(0);
    assert_eq!(
        fs::read_to_string(to.join("out")).expect("exported"),
        "made\n"
    );
    assert!(!project.dir().join("out").exists());
}

#[test]
fn verify_exports_only_what_is_reproducible() {
    let project = small();
    let to = project.beside("exported");
    let to = to.to_str().expect("a path");
    verify(&project, &["--export", to], "date +%s >out").exits(3);
    assert!(!project.beside("exported/out").exists());
    verify(&project, &["--export", to], "echo same >out").exits(0);
    assert_eq!(
        fs::read_to_string(project.beside("exported/out")).expect("exported"),
        "same\n"
    );
}

/// The user edits a file while the build that also changed it runs: belljar leaves the edit alone
/// and says which file it was.
#[test]
fn a_file_that_changed_on_the_host_meanwhile_is_refused_by_name() {
    let project = small();
    let mut belljar = project
        .belljar_command([
            "run",
            "--",
            "sh",
            "-c",
            "echo started; echo build >source.txt; sleep 3",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut first = [0; 8];
    std::io::Read::read_exact(belljar.stdout.as_mut().expect("stdout"), &mut first)
        .expect("a line");
    project.write("source.txt", "edited meanwhile\n");
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    assert_ne!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("source.txt"), "{ran}");
    let kept = fs::read_to_string(project.dir().join("source.txt")).expect("source.txt");
    assert_eq!(kept, "edited meanwhile\n");
}

#[test]
fn a_piped_run_keeps_its_streams_apart_and_passes_stdin_on() {
    let project = small();
    let mut belljar = project
        .belljar_command(["run", "-q", "--", "sh", "-c", "cat; echo to-err >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    std::io::Write::write_all(belljar.stdin.as_mut().expect("stdin"), b"from-in\n")
        .expect("a line");
    drop(belljar.stdin.take());
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    ran.exits(0);
    assert_eq!(ran.stdout, "from-in\n");
    assert_eq!(ran.stderr, "to-err\n");
}

#[test]
fn verify_has_no_terminal_and_an_empty_stdin() {
    let project = small();
    let ran = verify(&project, &[], "wc -c | tee bytes; tty || true");
    ran.exits(0);
    assert!(
        ran.stdout.contains("0\n") && ran.stdout.contains("not a tty"),
        "{ran}"
    );
}

/// A leaves a file wherever it can write; B must find none of them.
#[test]
fn a_and_b_share_no_writable_state() {
    let project = small();
    let script = "for d in . /tmp \"$HOME\" /dev/shm /run; do \
        [ ! -e $d/trace ] || echo $d >>seen; touch $d/trace 2>/dev/null || true; done; touch seen; cat seen";
    let ran = verify(&project, &[], script);
    ran.exits(0);
    assert_eq!(ran.stdout, "", "{ran}");
    let log = project.evidence().text("logs/b.log");
    assert!(!log.contains('/'), "{log}");
}

/// A warm ccache would hand A's objects to B and hide the leak.
#[test]
fn a_configured_ccache_hides_nothing() {
    let project = small();
    let cache = project.home().join(".cache/ccache");
    let config = project.home().join(".config/ccache/ccache.conf");
    for dir in [&cache, &config.parent().expect("a parent").to_owned()] {
        Ran::of(project.command("mkdir").arg("-p").arg(dir)).exits(0);
    }
    let line = format!("echo 'sloppiness = time_macros' >{}", config.display());
    Ran::of(project.command("sh").args(["-c", &line])).exits(0);
    project.write("stamp.c", "const char stamp[] = __DATE__ \" \" __TIME__;\n");
    // outside, the second compilation comes from the cache, and the stamps agree
    let twice = "CCACHE_SLOPPINESS=time_macros ccache gcc -c -o one.o stamp.c; sleep 1.1; CCACHE_SLOPPINESS=time_macros ccache gcc -c -o two.o stamp.c; cmp one.o two.o; rm one.o two.o";
    Ran::of(project.command("sh").args(["-c", twice])).exits(0);
    let ran = verify(
        &project,
        &["--env", "CCACHE_SLOPPINESS=time_macros"],
        "ccache gcc -c -o stamp.o stamp.c",
    );
    ran.exits(3);
}

#[test]
fn the_evidence_folder_is_not_seen_by_the_build() {
    let project = small();
    run(&project, &[], "echo one >out").exits(0);
    assert!(project.dir().join("artifacts/result.json").exists());
    let ran = run(&project, &[], "ls -A");
    assert!(!ran.exits(0).stdout.contains("artifacts"), "{ran}");
}

#[test]
fn a_folder_of_git_is_the_root_and_ignored_files_are_hidden_on_demand() {
    let project = small();
    let git = "git init -q . && git config user.email t@t.example && git config user.name t && \
        echo ignored.txt >.gitignore && git add . && git commit -qm one && mkdir -p sub && echo i >ignored.txt && echo n >sub/new.txt";
    Ran::of(project.command("sh").args(["-c", git])).exits(0);
    let list = [
        "run",
        "--workdir",
        "sub",
        "--",
        "sh",
        "-c",
        "pwd; ls -A .. ; git status --short",
    ];
    let ran = project.belljar(list);
    assert!(ran.exits(0).stdout.starts_with("/build/sub\n"), "{ran}");
    assert!(
        ran.stdout.contains("ignored.txt") && ran.stdout.contains("?? ./"),
        "{ran}"
    );
    let ran = project.belljar([&["run", "--source", "git"], &list[1..]].concat());
    assert!(!ran.exits(0).stdout.contains("ignored.txt"), "{ran}");
    assert!(
        ran.stdout.contains("?? ./"),
        "untracked files are there\n{ran}"
    );
}

/// A warm download cache serves a build that has no network.
#[test]
fn a_warm_cargo_cache_serves_the_build() {
    let project = Project::empty_for_caller();
    project
        .write("Cargo.toml", "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nitoa = \"1\"\n")
        .write("src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(7)) }\n");
    let home = std::env::var_os("HOME").expect("HOME");
    let path = format!(
        "{}/.cargo/bin:/usr/local/bin:/usr/bin:/bin",
        home.to_str().expect("a path")
    );
    let with = |command: &mut std::process::Command| {
        Ran::of(command.env("HOME", &home).env("PATH", &path))
    };
    with(project.command("cargo").arg("fetch")).exits(0);
    let cold = with(&mut project.belljar_command(["run", "--", "cargo", "build"]));
    assert_ne!(cold.code, 0, "{cold}");
    assert!(
        cold.stderr.contains("--cache"),
        "a refused fetch says what to do\n{cold}"
    );
    let warm =
        with(&mut project.belljar_command(["run", "--cache", "cargo", "--", "cargo", "build"]));
    warm.exits(0);
    assert!(project.dir().join("target/debug/one").exists());
}

#[test]
fn json_on_stdout_is_result_json() {
    let project = small();
    let ran = run(
        &project,
        &["--json"],
        "echo built >&2; echo to-out; echo x >out",
    );
    let printed: serde_json::Value =
        serde_json::from_str(&ran.exits(0).stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    assert_eq!(printed, project.evidence().result);
}

#[test]
fn quiet_says_nothing_of_a_pass() {
    let project = small();
    let ran = run(&project, &["-q"], "echo x >out");
    assert_eq!(
        (ran.code, ran.stderr.as_str(), ran.stdout.as_str()),
        (0, "", ""),
        "{ran}"
    );
}

/// On a terminal the build has one, too.
#[test]
fn run_on_a_terminal_gives_the_build_a_terminal() {
    let project = small();
    let line = format!(
        "{} run -- sh -c 'tty; test -t 0 && test -t 1 && echo on-a-terminal'",
        belljar_bin().display()
    );
    let ran = Ran::of(project.command("script").args(["-qec", &line, "/dev/null"]));
    assert!(ran.exits(0).stdout.contains("on-a-terminal"), "{ran}");
    assert!(ran.stdout.contains("/dev/pts/0"), "its own\n{ran}");
}

#[test]
fn a_run_that_the_policy_gates_exports_nothing() {
    let script = "echo made >out; python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)' || true";
    let project = small();
    run(&project, &["--on-deny", "fail"], script).exits(4);
    assert!(!project.dir().join("out").exists());
    run(&project, &[], script).exits(0);
    assert!(project.dir().join("out").exists());
}
