//! Values for tests: small, complete, with nothing of the moment in them.

use std::collections::BTreeMap;

use belljar_model::{
    Ask, Budgets, Cause, Class, Clock, ClockReport, Confidence, Counts, Difference, DifferenceKind,
    Differences, EgressLayer, EgressRecord, EgressVerdict, EgressWhen, EndedBy, Label, Layer,
    LayerReport, OnDeny, Outputs, Plan, Probe, Proc, Reason, Region, ResultDoc, ResultWhen,
    RunReport, RunWhen, Skew, Source, State, Streams, Tool, Usage, Variation, Variations, Verdict,
    Window, WorkspaceWish,
};

pub fn plan() -> Plan {
    Plan {
        schema: Plan::SCHEMA.into(),
        command: vec!["make".into()],
        cwd: "".into(),
        source: Source::Tree,
        workspace: WorkspaceWish::Auto,
        env: BTreeMap::new(),
        files: vec![],
        caches: vec![],
        outputs: Outputs::default(),
        egress: belljar_model::Policy::default(),
        on_deny: OnDeny::Record,
        require: BTreeMap::new(),
        budgets: Budgets::default(),
        clock: Some(Clock {
            skew: Skew::Auto,
            far: false,
        }),
        streams: Streams::Pipes,
        source_date_epoch: None,
    }
}

pub fn run(run: Label) -> RunReport {
    RunReport {
        run,
        ended_by: EndedBy::Command,
        status: Some(0),
        signal: None,
        workspace: "overlay".into(),
        layers: vec![LayerReport::full(Layer::Seccomp, "3 filters")],
        clock: ClockReport {
            moved: run != Label::A,
            readers: BTreeMap::from([("clock_gettime".into(), true)]),
            uncovered: vec![],
        },
        records_lost: 0,
        when: RunWhen {
            window: Window {
                start_ns: 1,
                end_ns: 2,
            },
            usage: Usage::default(),
        },
    }
}

pub fn result(command: &str) -> ResultDoc {
    let plan = plan();
    ResultDoc {
        schema: ResultDoc::SCHEMA.into(),
        tool: Tool {
            name: "belljar".into(),
            version: "0.1.0".into(),
        },
        command: command.into(),
        verdict: (command == "verify").then_some(Verdict::Reproducible),
        incomplete: vec![],
        ended_by: EndedBy::Command,
        exit_code: 0,
        plan_digest: plan.digest(),
        plan,
        runs: vec![run(Label::A), run(Label::B)],
        far: None,
        variations: Variations::default(),
        budgets: vec![],
        counts: Counts::default(),
        egress: BTreeMap::new(),
        network: None,
        hints: vec![],
        files: BTreeMap::new(),
        when: ResultWhen {
            started: "2024-01-01T00:00:00Z".into(),
            ended: "2024-01-01T00:00:01Z".into(),
            offset_s: Some(34_387_200),
            far_offset_s: None,
            network: None,
            kernel: "6.12.0".into(),
        },
    }
}

pub fn differences() -> Differences {
    let cause = Cause {
        slug: "clock".into(),
        variation: Some(Variation::Time),
        confidence: Confidence::Proven,
        evidence: "the date of run A at 0x10 in A, that of run B in B".into(),
        offset: Some(16),
        process: None,
        fix: "set SOURCE_DATE_EPOCH".into(),
    };
    let unknown = Cause {
        slug: "unknown".into(),
        variation: None,
        confidence: Confidence::Unknown,
        evidence: "nothing that was varied is in the bytes".into(),
        fix: String::new(),
        ..cause.clone()
    };
    let content = DifferenceKind::Content {
        size_a: 20,
        size_b: 21,
        regions: vec![Region {
            offset: 16,
            len: 4,
            offset_b: 16,
            len_b: 4,
            a: "2024".into(),
            b: "2025".into(),
        }],
        regions_total: 1,
    };
    let item = |path: &str, gating, kind, causes| Difference {
        path: path.into(),
        gating,
        kind,
        causes,
    };
    let mode = DifferenceKind::Mode {
        a: "644".into(),
        b: "755".into(),
    };
    Differences {
        schema: Differences::SCHEMA.into(),
        compared: 3,
        items: vec![
            item("hello", true, content, vec![cause]),
            item("lib/x.so", true, DifferenceKind::OnlyInB, vec![unknown]),
            item("hello.d", false, mode, vec![]),
        ],
    }
}

/// A result of each kind, by name.
pub fn stories() -> Vec<(&'static str, ResultDoc, Option<Differences>)> {
    let base = |verdict: Option<Verdict>| {
        let mut doc = result(if verdict.is_some() { "verify" } else { "run" });
        doc.verdict = verdict;
        doc.exit_code = verdict.map_or(0, Verdict::exit_code);
        doc.counts = Counts {
            outputs: 3,
            scratch: 2,
            ..Counts::default()
        };
        doc.variations = Variations {
            varied: vec![Variation::Time],
            held: vec!["hostname".into(), "user".into()],
            ineffective: vec![],
        };
        doc
    };
    let failed = |doc: &mut ResultDoc, n: usize| doc.runs[n].status = Some(2);

    let mut differs = base(Some(Verdict::Differs));
    (
        differs.counts.differences,
        differs.counts.scratch_differences,
    ) = (2, 1);
    differs.runs[0].layers.push(LayerReport {
        state: State::Partial,
        wanted: "abi 9".into(),
        why: Some("the kernel is older".into()),
        fix: Some("use kernel 6.18".into()),
        ..LayerReport::full(Layer::Landlock, "abi 7")
    });

    let mut build = base(Some(Verdict::BuildFailed));
    build.runs.pop();
    failed(&mut build, 0);
    build.variations.varied.clear();
    build.variations.ineffective = vec![Variation::Time];
    build.egress = BTreeMap::from([(Class::External, 2)]);
    build.hints = vec![
        "it needs the network: allow it with `--allow files.example:443`; `--cache` does without"
            .into(),
    ];

    let mut varied = base(Some(Verdict::FailsUnderVariation));
    varied.runs[1].ended_by = EndedBy::Signal;
    (varied.runs[1].status, varied.runs[1].signal) = (None, Some(11));

    let mut policy = base(Some(Verdict::PolicyViolation));
    policy.ended_by = EndedBy::Policy;
    policy.egress = BTreeMap::from([(Class::External, 1)]);

    let mut incomplete = base(Some(Verdict::Incomplete));
    incomplete.variations.varied.clear();
    incomplete.variations.ineffective = vec![Variation::Time];
    incomplete.incomplete = vec![
        "the build left no outputs".into(),
        "no canary read the clock in run B".into(),
    ];
    incomplete.hints = vec!["nothing was rebuilt: clean first, or use `--source git`".into()];

    let mut single = base(None);
    single.runs.pop();
    single.variations.varied.clear();
    let mut setup = single.clone();
    setup.runs.clear();
    (setup.exit_code, setup.ended_by) = (125, EndedBy::Setup);
    setup.incomplete = vec!["could not mount the overlay: EPERM (Operation not permitted)".into()];

    vec![
        ("reproducible", base(Some(Verdict::Reproducible)), None),
        ("differs", differs, Some(differences())),
        ("build-failed", build, None),
        ("fails-under-variation", varied, None),
        ("policy-violation", policy, None),
        ("incomplete", incomplete, None),
        ("run", single, None),
        ("not-set-up", setup, None),
    ]
}

/// Everything that a build could have filled in is made to do harm.
pub fn hostile() -> (ResultDoc, Differences) {
    let bad = "x\n\nINJECTED\r\u{1b}[31m\u{1b}]0;t\u{7}\u{202e}\n# h\n<img src=x>[a](http://a.example)![i](b)`|`**b**@all\n| a |\n";
    let (_, mut doc, differences) = stories().swap_remove(1);
    let mut differences = differences.unwrap();
    let text = || bad.to_owned();
    doc.plan.command = vec![bad.into()];
    doc.incomplete = vec![text()];
    doc.hints = vec![text()];
    doc.variations.held = vec![text()];
    for layer in &mut doc.runs[0].layers {
        (layer.wanted, layer.got) = (text(), text());
        (layer.why, layer.fix) = (Some(text()), Some(text()));
    }
    let kinds = [
        DifferenceKind::Type {
            a: text(),
            b: text(),
        },
        DifferenceKind::Mode {
            a: text(),
            b: text(),
        },
        DifferenceKind::Target {
            a: bad.into(),
            b: bad.into(),
        },
        DifferenceKind::Xattr { name: bad.into() },
        DifferenceKind::Deleted { only_in: text() },
    ];
    let mut one = differences.items[0].clone();
    one.path = bad.into();
    let cause = &mut one.causes[0];
    (cause.slug, cause.evidence, cause.fix) = (text(), text(), text());
    differences.items = kinds
        .into_iter()
        .map(|kind| Difference {
            kind,
            ..one.clone()
        })
        .collect();
    (doc, differences)
}

pub fn record(run: Label, class: Class) -> EgressRecord {
    EgressRecord {
        schema: EgressRecord::SCHEMA.into(),
        run,
        seq: 0,
        layer: EgressLayer::Notify,
        event: "connect".into(),
        verdict: EgressVerdict::Deny,
        reason: Reason::IpLiteral,
        class,
        ask: Ask {
            family: "inet".into(),
            protocol: "tcp".into(),
            host: "192.0.2.1".into(),
            port: 443,
        },
        exchange: belljar_model::Exchange::default(),
        proc: Proc {
            comm: "curl".into(),
            exe: "/usr/bin/curl".into(),
            exe_sha256: None,
            argv: vec!["curl".into()],
            argv_cut: false,
            chain: vec![vec!["make".into()]],
            attrib: "notify".into(),
        },
        racy: false,
        repeated: 0,
        hint: None,
        when: EgressWhen {
            ts: "2024-01-01T00:00:00Z".into(),
            since_start_ns: 5,
            pid: 7,
            answers: vec![],
            dialled: None,
            bytes: None,
            took_us: None,
        },
    }
}

pub fn probe(run: Label) -> Probe {
    Probe {
        run,
        attempt: "tcp connect 192.0.2.1:9".into(),
        denied: true,
        answer: "ENETUNREACH".into(),
    }
}
