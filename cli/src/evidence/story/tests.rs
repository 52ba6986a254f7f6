use std::path::Path;

use belljar_model::{Blake3, Class, EgressVerdict, EntryWhen, OnDeny, Scratch, Sha256};
use serde_json::Value;

use super::*;
use crate::errors::Class as ErrorClass;
use crate::evidence::read::Evidence;
use crate::evidence::samples;
use belljar_sandbox::plan::Ids;

fn entry(path: &str, kind: EntryKind, scratch: bool) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        xattrs: BTreeMap::new(),
        hardlink_group: None,
        scratch: scratch.then(|| Scratch { rule: "*.d".into() }),
        flag: None,
        when: EntryWhen { mtime_ns: 1 },
    }
}

fn file() -> EntryKind {
    EntryKind::File {
        size: 1,
        blake3: Blake3([1; 32]),
        sha256: Sha256::of(b"x"),
    }
}

/// A file, a folder and a scratch file.
fn manifest(run: Label) -> Manifest {
    Manifest {
        schema: Manifest::SCHEMA.into(),
        run,
        entries: vec![
            entry("d", EntryKind::Dir, false),
            entry("d/x", file(), false),
            entry("x.d", file(), true),
        ],
        scratch_list: "1".into(),
        left_out: 0,
        deleted: vec![],
    }
}

/// One run with everything that it left.
struct Left {
    report: RunReport,
    manifest: Manifest,
    egress: Vec<EgressRecord>,
    budgets: Vec<BudgetReport>,
    selftest: Vec<Probe>,
}

impl Left {
    fn of(run: Label) -> Self {
        Self {
            report: samples::run(run),
            manifest: manifest(run),
            egress: vec![
                samples::record(run, Class::External),
                samples::record(run, Class::Loopback),
            ],
            budgets: vec![],
            selftest: vec![samples::probe(run)],
        }
    }
    fn told(&self) -> Told<'_> {
        Told {
            report: &self.report,
            budgets: &self.budgets,
            egress: &self.egress,
            selftest: &self.selftest,
            manifest: Some(&self.manifest),
        }
    }
}

fn when() -> ResultWhen {
    samples::result("verify").when
}

fn story<'a>(
    plan: &'a Plan,
    runs: Vec<Told<'a>>,
    differences: Option<&'a Differences>,
) -> Story<'a> {
    let b = runs.get(1).map(|run| run.facts(plan));
    let judgement = verdict::pair(plan, runs[0].facts(plan), b, differences, &[]);
    Story {
        command: "verify",
        plan,
        runs,
        differences,
        judgement,
        far: None,
        hints: vec![],
        when: when(),
    }
}

#[test]
fn outputs_and_differences_are_counted_by_path() {
    let mut plan = samples::plan();
    let mut differences = samples::differences();
    let again = differences.items[0].clone();
    differences.items.push(again);
    let (a, b) = (Left::of(Label::A), Left::of(Label::B));
    let counts = story(&plan, vec![a.told(), b.told()], Some(&differences))
        .document()
        .counts;
    assert_eq!(
        (counts.outputs, counts.scratch),
        (1, 1),
        "a folder is no output"
    );
    assert_eq!((counts.differences, counts.scratch_differences), (2, 1));
    assert_eq!(a.told().facts(&plan).outputs, Some(1));
    plan.outputs.strict = true;
    assert_eq!(a.told().facts(&plan).outputs, Some(2));
}

#[test]
fn denials_are_what_is_external_and_denied() {
    let plan = samples::plan();
    let mut a = Left::of(Label::A);
    a.egress.push(samples::record(Label::A, Class::Probe));
    let mut allowed = samples::record(Label::A, Class::External);
    allowed.verdict = EgressVerdict::Allow;
    a.egress.push(allowed);
    assert_eq!(a.told().facts(&plan).denied, 1);
    a.selftest[0].denied = false;
    assert_eq!(a.told().facts(&plan).holes, 1);
}

#[test]
fn a_budget_that_b_hit_is_hit() {
    let plan = samples::plan();
    let budget = |hit| BudgetReport {
        name: "memory".into(),
        asked: 1,
        held_by: "cgroup2".into(),
        hit,
    };
    let (mut a, mut b) = (Left::of(Label::A), Left::of(Label::B));
    (a.budgets, b.budgets) = (vec![budget(false)], vec![budget(true)]);
    b.report.ended_by = EndedBy::Oom;
    let doc = story(&plan, vec![a.told(), b.told()], None).document();
    assert_eq!(doc.budgets, [budget(true)]);
    assert!(
        doc.hints.iter().any(|h| h.contains("--memory")),
        "{:?}",
        doc.hints
    );
}

#[test]
fn a_refused_fetch_is_named_where_the_build_failed() {
    let mut plan = samples::plan();
    let none = Differences {
        items: vec![],
        ..samples::differences()
    };
    let (mut a, b) = (Left::of(Label::A), Left::of(Label::B));
    let hints = |plan: &Plan, a: &Left, runs: usize| {
        let runs = [a.told(), b.told()][..runs].to_vec();
        story(plan, runs, Some(&none)).document().hints
    };
    assert_eq!(hints(&plan, &a, 2), [""; 0], "the build passed without it");
    plan.on_deny = OnDeny::Fail;
    let wanted = "it needs the network: allow it with `--allow 192.0.2.1:443`; `belljar egress learn` writes the rules for all that it asks for; `--cache` does without";
    assert_eq!(hints(&plan, &a, 2), [wanted]);
    plan.on_deny = OnDeny::Record;
    a.report.status = Some(1);
    assert_eq!(hints(&plan, &a, 1), [wanted]);
}

#[test]
fn no_outputs_come_with_what_to_do() {
    let plan = samples::plan();
    let none = Differences {
        items: vec![],
        ..samples::differences()
    };
    let (mut a, mut b) = (Left::of(Label::A), Left::of(Label::B));
    (a.manifest.entries, b.manifest.entries) = (vec![], vec![]);
    let hints = story(&plan, vec![a.told(), b.told()], Some(&none))
        .document()
        .hints;
    assert!(hints[0].contains("`--source git`"), "{hints:?}");
}

#[test]
fn a_command_that_did_not_run_is_told() {
    let plan = samples::plan();
    let no_run = NoRun {
        class: ErrorClass::Setup,
        sentence: "could not".into(),
    };
    let judgement = verdict::single(&plan, no_facts(&no_run), &[]);
    let story = Story {
        command: "run",
        plan: &plan,
        runs: vec![],
        differences: None,
        judgement,
        far: None,
        hints: vec!["do".into()],
        when: when(),
    };
    let doc = story.document();
    assert_eq!(
        (doc.ended_by, doc.exit_code, doc.runs.len()),
        (EndedBy::Setup, 125, 0)
    );
    assert_eq!(
        (doc.incomplete, doc.hints),
        (vec!["could not".to_owned()], vec!["do".to_owned()])
    );
}

fn schema_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "result.json" => "result-1.json",
        "determinism/manifest-a.json" | "determinism/manifest-b.json" => "manifest-1.json",
        "determinism/differences.json" => "differences-1.json",
        "security/selftest.json" => "selftest-1.json",
        "security/manifest.json" => "security-1.json",
        "security/egress.ndjson" => "egress-1.json",
        _ => return None,
    })
}

fn check(schema: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../schema")
        .join(schema);
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?} in {value:#}");
}

/// Writes a whole pair and reads it back: what is there, that it follows `schema/`, and that the
/// same story leaves the same bytes.
#[test]
fn a_pair_leaves_documents_that_follow_their_schemas() {
    let plan = samples::plan();
    let differences = samples::differences();
    let (a, b) = (Left::of(Label::A), Left::of(Label::B));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let mut digests = Vec::new();
    for folder in ["one", "two"] {
        let story = story(&plan, vec![a.told(), b.told()], Some(&differences));
        let mut doc = story.document();
        let owner = Ids {
            uid: 1000,
            gid: 1000,
        };
        let mut staging = Staging::open(&root.join(folder), &root, owner).unwrap();
        story.write(&doc, &mut staging).unwrap();
        staging.commit(&mut doc).unwrap();
        let evidence = Evidence::open(&root.join(folder)).unwrap();
        assert_eq!(evidence.strays(), []);
        assert_eq!(evidence.result, doc);
        digests.push(doc.files.clone());
        for name in doc.files.keys().map(String::as_str).chain(["result.json"]) {
            let Some(schema) = schema_of(name) else {
                continue;
            };
            let text = std::fs::read_to_string(root.join(folder).join(name)).unwrap();
            assert!(text.ends_with('\n'), "{name}");
            let lines = if name.ends_with(".ndjson") {
                text.lines().collect()
            } else {
                vec![&*text]
            };
            for line in lines {
                check(schema, &serde_json::from_str(line).unwrap());
            }
        }
    }
    assert_eq!(digests[0], digests[1]);
    let names: Vec<_> = digests[0].keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "determinism/differences.json",
            "determinism/manifest-a.json",
            "determinism/manifest-b.json",
            "determinism/summary.md",
            "security/egress.ndjson",
            "security/egress.ocsf.ndjson",
            "security/egress.sarif",
            "security/manifest.json",
            "security/policy.toml",
            "security/selftest.json",
            "security/summary.md",
        ]
    );
}

/// A request of run B that run A did not make.
fn missed() -> EgressRecord {
    let mut record = samples::record(Label::B, Class::External);
    record.layer = belljar_model::EgressLayer::Proxy;
    record.reason = belljar_model::Reason::ReplayMiss;
    record
}

#[test]
fn drift_is_a_finding_and_gates_only_by_the_policy() {
    let mut plan = samples::plan();
    plan.egress.fetch = belljar_model::Fetch::Replayed;
    let none = Differences {
        items: vec![],
        ..samples::differences()
    };
    let (mut a, mut b) = (Left::of(Label::A), Left::of(Label::B));
    (a.egress, b.egress) = (vec![], vec![missed()]);
    let doc = |plan: &Plan| story(plan, vec![a.told(), b.told()], Some(&none)).document();
    let found = doc(&plan);
    assert_eq!(
        found.verdict,
        Some(Verdict::Reproducible),
        "it is about outputs"
    );
    assert_eq!(found.network.unwrap().drift.only_b.total, 1);
    plan.on_deny = OnDeny::Fail;
    let found = doc(&plan);
    assert_eq!(
        (found.verdict, found.exit_code),
        (Some(Verdict::PolicyViolation), 4)
    );
    let hint = found.hints.join(" ");
    assert!(hint.contains("does not ask for the same twice"), "{hint}");
}

#[test]
fn what_was_let_through_never_gates() {
    let mut plan = samples::plan();
    plan.on_deny = OnDeny::Fail;
    let none = Differences {
        items: vec![],
        ..samples::differences()
    };
    let (mut a, mut b) = (Left::of(Label::A), Left::of(Label::B));
    for (left, reason) in [
        (&mut a, belljar_model::Reason::Allowed),
        (&mut b, belljar_model::Reason::Replayed),
    ] {
        left.egress = vec![missed()];
        left.egress[0].run = left.report.run;
        (left.egress[0].verdict, left.egress[0].reason) = (EgressVerdict::Allow, reason);
    }
    let doc = story(&plan, vec![a.told(), b.told()], Some(&none)).document();
    assert_eq!(doc.verdict, Some(Verdict::Reproducible));
    assert_eq!(doc.network.map(|n| (n.denied, n.allowed)), Some((0, 2)));
}
