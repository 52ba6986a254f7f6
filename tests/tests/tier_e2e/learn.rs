//! `belljar egress learn` as a whole, and the one step that a refused build is told. No name is asked for and no public
//! address: what is learned of those is proven against the proxy's policy in `cli`.

use std::fs;

use crate::{run, small};

/// Connects to what no rule can allow, and to an address that is nobody's.
const REACH: &str = "
import socket
for host, port in ((\"169.254.169.254\", 80), (\"192.0.2.7\", 8443)):
    try:
        socket.create_connection((host, port), 5)
        print(\"connected\")
    except OSError as e:
        print(\"refused\")
";

#[test]
fn what_stays_denied_is_listed_and_not_allowed() {
    let project = small();
    project.write("reach.py", REACH);
    let ran = project.belljar(["egress", "learn", "--", "python3", "reach.py"]);
    ran.exits(0);
    let comments = ran.stdout.lines().filter(|l| l.starts_with('#'));
    let denied: Vec<&str> = comments
        .filter(|l| l.contains("metadata_address"))
        .collect();
    assert_eq!(denied.len(), 1, "{ran}");
    assert!(denied[0].contains("169.254.169.254:80 by /"), "{ran}");
    let rule = |l: &str| l.starts_with("[[egress.allow]]");
    assert!(!ran.stdout.lines().any(rule), "{ran}");
    // The rule that a person may decide on is there as a comment.
    assert!(ran.stdout.contains("#     host = \"192.0.2.7\""), "{ran}");
    assert!(!ran.stdout.contains("connected"), "{ran}");
}

#[test]
fn rules_go_into_a_new_file_and_over_no_other() {
    let project = small();
    let learn = |file: &str, script: &str| {
        project.belljar([
            "egress", "learn", "--output", file, "--", "sh", "-c", script,
        ])
    };
    let ran = learn("rules.toml", "exit 3");
    ran.exits(3);
    assert_eq!(ran.stdout, "", "{ran}");
    let rules = fs::read_to_string(project.dir().join("rules.toml")).expect("the rules");
    assert!(rules.contains("exit status 3: it may need more"), "{rules}");
    fs::write(project.dir().join("mine.toml"), "mine\n").expect("a file");
    let ran = learn("mine.toml", "touch ran");
    ran.exits(2);
    assert!(ran.stderr.contains("is there already"), "{ran}");
    let mine = fs::read_to_string(project.dir().join("mine.toml")).expect("it");
    assert_eq!(mine, "mine\n");
}

#[test]
fn a_build_that_failed_over_a_refusal_is_told_one_step() {
    let project = small();
    project.write("reach.py", REACH);
    let ran = run(&project, &[], "python3 reach.py; exit 1");
    ran.exits(1);
    assert!(
        ran.stderr.contains("2 calls to the outside denied"),
        "{ran}"
    );
    assert!(ran.stderr.contains("--allow 192.0.2.7:8443"), "{ran}");
    assert!(!ran.stderr.contains("--allow 169.254"), "{ran}");
    let result = project.evidence().document("result.json");
    let refused = &result["network"]["refused"];
    assert_eq!(refused["total"], 2, "{refused:#}");
    let sarif = project.evidence().document("security/egress.sarif");
    let results = sarif["runs"][0]["results"].as_array().map(Vec::len);
    assert_eq!(results, Some(2), "{sarif:#}");
    let ocsf = project.evidence().text("security/egress.ocsf.ndjson");
    assert_eq!(ocsf.lines().count(), 2, "{ocsf}");
}
