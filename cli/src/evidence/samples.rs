//! Values for tests: small, complete, with nothing of the moment in them.

use std::collections::BTreeMap;

use belljar_model::{
    Budgets, Clock, ClockReport, Counts, EndedBy, Label, Layer, LayerReport, OnDeny, Outputs, Plan,
    ResultDoc, ResultWhen, RunReport, RunWhen, Skew, Source, Streams, Tool, Usage, Variations,
    Verdict, Window, WorkspaceWish,
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
        allow: vec![],
        on_deny: OnDeny::Record,
        require: BTreeMap::new(),
        budgets: Budgets::default(),
        clock: Some(Clock { skew: Skew::Auto }),
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
            moved: run == Label::B,
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
        variations: Variations::default(),
        budgets: vec![],
        counts: Counts::default(),
        egress: BTreeMap::new(),
        hints: vec![],
        files: BTreeMap::new(),
        when: ResultWhen {
            started: "2024-01-01T00:00:00Z".into(),
            ended: "2024-01-01T00:00:01Z".into(),
            offset_s: Some(34_387_200),
            kernel: "6.12.0".into(),
        },
    }
}
