//! Other people's source, and one project of each kind of tool.

use std::{path::PathBuf, process::Command};

use belljar_tests::{Project, Ran, repository};

/// Real source, fetched once and kept.
fn corpus(name: &str) -> PathBuf {
    let ran = Ran::of(Command::new(repository().join("scripts/corpus")).arg(name));
    let line = ran.exits(0).stdout.trim_end().to_owned();
    PathBuf::from(line.split_once(' ').expect("NAME FOLDER").1)
}

/// Verifies a build and expects the one good verdict, with these among its outputs.
#[track_caller]
fn is_reproducible(project: &Project, command: &[&str], outputs: &[&str]) {
    let ran = project.belljar([&["verify", "--"], command].concat());
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    let found = evidence.outputs();
    for output in outputs {
        assert!(found.contains(*output), "{output} among {found:?}");
    }
}

#[track_caller]
fn debian(name: &str, script: &str, outputs: &[&str]) {
    let project = Project::empty();
    project.add(corpus(name));
    is_reproducible(&project, &["sh", "-c", script], outputs);
}

#[test]
fn zlib() {
    debian(
        "zlib",
        "./configure && make",
        &["libz.a", "libz.so.1.2.13", "minigzip"],
    );
}

#[test]
fn lua() {
    debian(
        "lua5.4",
        "make linux",
        &["src/lua", "src/luac", "src/liblua.a"],
    );
}

#[test]
fn xxhash() {
    debian("xxhash", "make", &["xxhsum", "libxxhash.a"]);
}

#[test]
fn bzip2() {
    debian("bzip2", "make", &["bzip2", "libbz2.a"]);
}

#[test]
fn tree() {
    debian("tree", "make", &["tree"]);
}

#[test]
fn gnu_hello_with_configure() {
    debian(
        "hello",
        "./configure && make",
        &["hello", "Makefile", "config.h"],
    );
}

/// Cargo and its toolchain come from the home of whoever runs the tests.
#[test]
fn a_cargo_program_with_vendored_crates_and_a_rustup_in_home() {
    let project = Project::empty_for_caller();
    project.add(corpus("cargo"));
    let vendored = std::fs::read_dir(project.dir().join("vendor"))
        .expect("vendor")
        .count();
    assert!(vendored >= 50, "{vendored} crates");
    let home = std::env::var_os("HOME").expect("HOME");
    let cargo = PathBuf::from(&home).join(".cargo/bin");
    assert!(cargo.join("rustup").exists(), "a rustup in HOME");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", cargo.display());
    let ran = Ran::of(
        project
            .belljar_command(["verify", "--", "cargo", "build", "--offline"])
            .env("HOME", home)
            .env("PATH", path),
    );
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    assert!(
        evidence.outputs().contains("target/debug/census"),
        "{:?}",
        evidence.outputs()
    );
}

#[test]
fn a_static_go_program() {
    let project = Project::copy_of("fixtures/projects/go");
    is_reproducible(
        &project,
        &["env", "CGO_ENABLED=0", "go", "build", "-o", "echo", "."],
        &["echo"],
    );
}

#[test]
fn a_java_class_tree_and_its_jar() {
    let project = Project::copy_of("fixtures/projects/java");
    let main = "classes/org/example/shapes/Main.class";
    is_reproducible(&project, &["sh", "build.sh"], &[main, "shapes.jar"]);
}

#[test]
fn a_python_wheel() {
    let project = Project::copy_of("fixtures/projects/python");
    let wheel = "python3 -m pip wheel --no-build-isolation --no-deps --no-index -w dist .";
    is_reproducible(
        &project,
        &["sh", "-c", wheel],
        &["dist/tally-1.0-py3-none-any.whl"],
    );
}

#[test]
fn an_npm_tarball() {
    let project = Project::copy_of("fixtures/projects/npm");
    is_reproducible(&project, &["npm", "pack"], &["example-pad-1.0.0.tgz"]);
}
