//! Evidence: complete, the same for the same request, and silent about the host.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use belljar_tests::{Project, Ran};

use crate::{small, verify};

fn without_when(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("when");
            // digests of files that hold facts of the moment
            fields.remove("files");
            fields.values_mut().for_each(without_when);
        }
        Value::Array(items) => items.iter_mut().for_each(without_when),
        _ => {}
    }
}

fn all_files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.insert(path.to_str().expect("a path").to_owned());
        }
    }
    found
}

#[test]
fn result_json_names_every_other_file_by_its_digest() {
    let project = small();
    verify(&project, &[], "echo x >out; date >when").exits(3);
    let evidence = project.evidence();
    let dir = project.dir().join("artifacts");
    let prefix = format!("{}/", dir.display());
    let named: BTreeSet<String> = evidence.result["files"]
        .as_object()
        .expect("files")
        .keys()
        .cloned()
        .collect();
    let mut there: BTreeSet<String> = all_files(&dir)
        .iter()
        .map(|p| p.trim_start_matches(&prefix).to_owned())
        .collect();
    assert!(there.remove("result.json"));
    assert_eq!(named, there);
    for (name, digest) in evidence.result["files"].as_object().expect("files") {
        let sum = Ran::of(project.command("sha256sum").arg(dir.join(name)));
        let sum = sum
            .exits(0)
            .stdout
            .split(' ')
            .next()
            .expect("a digest")
            .to_owned();
        assert!(
            digest.as_str().expect("a digest").ends_with(&sum),
            "{name}: {digest} is {sum}"
        );
    }
}

#[test]
fn the_same_request_leaves_the_same_bytes_outside_when() {
    let pictures: Vec<Value> = (0..2)
        .map(|_| {
            let project = small();
            verify(&project, &[], "echo x >out").exits(0);
            let mut result = project.evidence().result;
            without_when(&mut result);
            result
        })
        .collect();
    assert_eq!(pictures[0], pictures[1]);
}

#[test]
fn evidence_tells_nothing_of_the_host() {
    let project = small();
    let secret = "hunter2-correct-horse";
    let ran = verify(
        &project,
        &["--env", &format!("TOKEN={secret}")],
        "echo x >out",
    );
    ran.exits(0);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("a hostname");
    let place = project.dir();
    let place = place
        .parent()
        .expect("a parent")
        .to_str()
        .expect("a path")
        .to_owned();
    for file in all_files(&project.dir().join("artifacts")) {
        let text = String::from_utf8_lossy(&fs::read(&file).expect("a file")).into_owned();
        for word in [secret, place.as_str(), "tester"] {
            assert!(!text.contains(word), "{word} in {file}");
        }
        let hostname = hostname.trim();
        assert!(
            hostname.len() < 4 || !text.contains(&format!("\"{hostname}\"")),
            "{hostname} in {file}"
        );
    }
    let env = &project.evidence().result["plan"]["env"];
    assert!(env["TOKEN"].is_string(), "its name is there: {env}");
}

#[test]
fn the_canary_and_the_held_are_listed() {
    let project = small();
    verify(&project, &[], "echo x >out").exits(0);
    let result = project.evidence().result;
    assert_eq!(
        result["variations"]["varied"][0], "time",
        "{:#}",
        result["variations"]
    );
    assert!(
        result["variations"]["held"]
            .as_array()
            .is_some_and(|h| !h.is_empty())
    );
    assert_eq!(result["variations"]["ineffective"], serde_json::json!([]));
    let readers = |run: usize| {
        result["runs"][run]["clock"]["readers"]
            .as_object()
            .expect("readers")
            .clone()
    };
    // A reader is true where it saw what it should: the real clock in A, the moved one in B.
    for run in [0, 1] {
        let of = readers(run);
        assert!(
            of.len() >= 5 && of.values().all(|as_it_should| as_it_should == true),
            "{of:?}"
        );
    }
    assert_eq!(result["runs"][0]["clock"]["moved"], false);
    assert_eq!(result["runs"][1]["clock"]["moved"], true);
}

#[test]
fn a_run_removes_an_earlier_pairs_comparison() {
    let project = small();
    verify(&project, &[], "echo x >out").exits(0);
    assert!(project.dir().join("artifacts/determinism").exists());
    project.belljar(["run", "--", "true"]).exits(0);
    assert!(!project.dir().join("artifacts/determinism").exists());
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let project = small();
    project.write("artifacts/mine.txt", "mine\n");
    verify(&project, &[], "echo x >out").exits(0);
    let kept = fs::read_to_string(project.dir().join("artifacts/mine.txt"));
    assert_eq!(kept.expect("mine.txt"), "mine\n");
}

#[test]
fn explain_shows_the_report_again() {
    let project = small();
    verify(&project, &[], "date +%s >out").exits(3);
    let text = project.belljar(["explain"]);
    assert!(
        text.stdout.contains("out") && text.stdout.contains("clock"),
        "{text}"
    );
    let markdown = project.belljar(["explain", "--format", "markdown"]);
    assert!(
        markdown.stdout.contains("out") && markdown.stdout.contains("clock"),
        "{markdown}"
    );
    let json = project.belljar(["explain", "--format", "json"]);
    serde_json::from_str::<Value>(&json.stdout).unwrap_or_else(|e| panic!("{e}\n{json}"));
    let nothing = Project::empty();
    nothing.belljar(["explain"]).exits(2);
}

#[test]
fn doctor_says_ok_where_a_run_works() {
    let project = small();
    let doctor = project.belljar(["doctor"]);
    doctor.exits(0);
    assert!(
        doctor.stdout.contains("seccomp") && doctor.stdout.contains("landlock"),
        "{doctor}"
    );
    project
        .belljar(["doctor", "--require", "landlock=99"])
        .exits(125);
}

#[test]
fn init_writes_a_file_that_the_next_run_accepts() {
    for (marker, content, named) in [
        ("Makefile", "all:\n\techo x >out\n", "make"),
        ("CMakeLists.txt", "project(x C)\n", "cmake"),
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\nversion = \"0.1.0\"\n",
            "cargo",
        ),
        ("go.mod", "module x.example\n", "go"),
        (
            "package.json",
            "{\"name\": \"x\", \"version\": \"1.0.0\"}\n",
            "npm",
        ),
        (
            "pyproject.toml",
            "[project]\nname = \"x\"\nversion = \"1\"\n",
            "python",
        ),
        ("build.sh", "echo x >out\n", ""),
    ] {
        let project = small();
        project.write(marker, content);
        for cache in [
            ".cargo/registry",
            ".npm/_cacache",
            "go/pkg/mod/cache/download",
            ".cache/pip",
        ] {
            Ran::of(
                project
                    .command("mkdir")
                    .arg("-p")
                    .arg(project.home().join(cache)),
            )
            .exits(0);
        }
        project.belljar(["init"]).exits(0);
        let file = fs::read_to_string(project.dir().join("belljar.toml")).expect("belljar.toml");
        assert!(file.contains(named), "{named} in\n{file}");
        // 6 where it names outputs that `true` does not make; never 2
        let ran = project.belljar(["run", "--", "true"]);
        assert!(
            [0, 6].contains(&ran.code),
            "{ran}
{file}"
        );
    }
}
