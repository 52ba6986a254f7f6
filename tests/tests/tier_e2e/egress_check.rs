//! `belljar egress check` as a person and a script use it.

use belljar_tests::{Project, Ran};
use serde_json::Value;

const POLICY: &str = "[[egress.allow]]\nhost = \"files.example\"\npaths = [\"/dist/**\"]\n";

fn check(project: &Project, args: &[&str]) -> Ran {
    project.belljar([&["egress", "check"], args].concat())
}

#[test]
fn exit_codes_tell_allowed_denied_and_wrong() {
    let project = Project::empty();
    project.write("belljar.toml", POLICY);
    let ran = check(&project, &["https://files.example/dist/a.tar"]);
    assert!(ran.exits(0).stdout.starts_with("allowed: "), "{ran}");
    let ran = check(&project, &["https://files.example/other"]);
    assert!(ran.exits(4).stdout.contains("path_not_allowed"), "{ran}");
    let ran = check(&project, &["https://api.example:8443/"]);
    assert!(
        ran.exits(4).stdout.contains("host = \"api.example\""),
        "{ran}"
    );
    let flag = [
        "--allow",
        "api.example:443,8443",
        "https://api.example:8443/",
    ];
    check(&project, &flag).exits(0);
    let ran = check(&project, &["files.example"]);
    assert!(ran.exits(2).stderr.contains("no URL to check"), "{ran}");
}

#[test]
fn a_policy_with_a_mistake_is_no_answer() {
    let project = Project::empty();
    project.write("belljar.toml", POLICY.replace("paths", "pahts"));
    let ran = check(&project, &["https://files.example/dist/a.tar"]);
    assert!(
        ran.exits(2).stderr.contains("did you mean `paths`?"),
        "{ran}"
    );
    assert_eq!(ran.stdout, "", "{ran}");
}

#[test]
fn the_document_has_the_same_answer() {
    let project = Project::empty();
    project.write("belljar.toml", POLICY);
    let ran = check(&project, &["--json", "https://FILES.example/other?x=1"]);
    let document: Value = serde_json::from_str(&ran.exits(4).stdout).expect("a document");
    assert_eq!(document["schema"], "belljar.check/1");
    assert_eq!(document["allow"], false);
    assert_eq!(document["reason"], "path_not_allowed");
    assert_eq!(document["rule"], 1);
    assert_eq!(document["path"], "/other");
    let ran = check(&project, &["--json", "https://files.example/dist/a.tar"]);
    let document: Value = serde_json::from_str(&ran.exits(0).stdout).expect("a document");
    assert_eq!(document["allow"], true);
}
