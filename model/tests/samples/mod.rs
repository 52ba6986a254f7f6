//! One rich document of each kind; each is also read back and must come out as the same JSON.

use std::collections::BTreeMap;

use belljar_model::{
    Ask, Blake3, BudgetReport, Budgets, Bytes, CacheKind, Cause, CheckDoc, Class, CleanDoc, Clock,
    ClockReport, Confidence, Counts, Difference, DifferenceKind, Differences, DoctorDoc,
    DoctorFailure, EgressLayer, EgressRecord, EgressVerdict, EgressWhen, EndedBy, Entry, EntryKind,
    EntryWhen, EnvValue, FarOutcome, FarReport, FileRule, Findings, Label, Layer, LayerReport,
    Leftover, LeftoverKind, Manifest, NetworkReport, OnDeny, OneSided, OsText, Outputs, Plan,
    Probe, ProbeCount, Proc, Reason, Refused, Region, ReportDoc, Request, ResultDoc, ResultWhen,
    RunReport, RunWhen, Scratch, SecurityManifest, SelfTest, SeqRange, Sha256, Skew, Source, State,
    Streams, Tool, Usage, Variation, Variations, Verdict, Window, WorkspaceWish,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) fn all() -> Vec<(&'static str, Value)> {
    vec![
        (ResultDoc::SCHEMA, there_and_back(&result())),
        (Plan::SCHEMA, there_and_back(&plan())),
        (Manifest::SCHEMA, there_and_back(&manifest())),
        (Differences::SCHEMA, there_and_back(&differences())),
        (EgressRecord::SCHEMA, there_and_back(&egress())),
        (SelfTest::SCHEMA, there_and_back(&selftest())),
        (SecurityManifest::SCHEMA, there_and_back(&security())),
        (ReportDoc::SCHEMA, there_and_back(&report())),
        (DoctorDoc::SCHEMA, there_and_back(&doctor())),
        (CleanDoc::SCHEMA, there_and_back(&clean())),
        (CheckDoc::SCHEMA, there_and_back(&check())),
    ]
}

fn there_and_back<T: Serialize + DeserializeOwned>(document: &T) -> Value {
    let text = serde_json::to_string(document).unwrap();
    let back: T = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    serde_json::from_str(&text).unwrap()
}

fn plan() -> Plan {
    let hidden = EnvValue {
        value: "token".into(),
        public: false,
    };
    let shown = EnvValue {
        value: "C.UTF-8".into(),
        public: true,
    };
    Plan {
        schema: Plan::SCHEMA.into(),
        command: vec!["make".into(), OsText::from(&b"\xff\n\\"[..])],
        cwd: "sub".into(),
        source: Source::Git,
        workspace: WorkspaceWish::Overlay,
        env: BTreeMap::from([("LANG".into(), shown), ("TOKEN".into(), hidden)]),
        files: vec![FileRule {
            target: "/usr".into(),
            reason: "the system".into(),
        }],
        caches: vec![CacheKind::Cargo],
        outputs: Outputs {
            globs: vec!["out/**".into()],
            ..Outputs::default()
        },
        egress: belljar_model::Policy {
            allow: vec![belljar_model::Rule {
                host: "files.example".into(),
                ports: vec![443],
                methods: vec!["GET".into()],
                paths: vec![],
                addresses: vec![],
                tls: belljar_model::Tls::Tunnel,
                raw: false,
                websocket: false,
                max_up: 1024,
                max_down: None,
                reason: Some("why".into()),
            }],
            ..belljar_model::Policy::default()
        },
        on_deny: OnDeny::Fail,
        require: BTreeMap::from([(Layer::Landlock, Some("6".into())), (Layer::Cgroup, None)]),
        budgets: Budgets {
            memory_bytes: Some(1 << 32),
            ..Budgets::default()
        },
        clock: Some(Clock {
            skew: Skew::Auto,
            far: true,
        }),
        streams: Streams::Pipes,
        source_date_epoch: Some(0),
    }
}

fn run(run: Label) -> RunReport {
    RunReport {
        run,
        ended_by: EndedBy::Command,
        status: Some(0),
        signal: None,
        workspace: "overlay".into(),
        layers: vec![
            LayerReport::full(Layer::Seccomp, "3 filters"),
            LayerReport {
                state: State::Partial,
                why: Some("an older kernel".into()),
                fix: Some("use kernel 6.12".into()),
                ..LayerReport::full(Layer::Landlock, "abi 6")
            },
        ],
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

fn result() -> ResultDoc {
    let plan = plan();
    ResultDoc {
        schema: ResultDoc::SCHEMA.into(),
        tool: Tool {
            name: "belljar".into(),
            version: "0.1.0".into(),
        },
        command: "verify".into(),
        verdict: Some(Verdict::Incomplete),
        incomplete: vec!["no outputs".into()],
        ended_by: EndedBy::Command,
        exit_code: 6,
        plan_digest: plan.digest(),
        plan,
        runs: vec![run(Label::A), run(Label::B), run(Label::C)],
        far: Some(FarReport {
            outcome: FarOutcome::TimeBomb,
            why: Some("an output is another".into()),
            outputs: vec!["out/x".into()],
        }),
        variations: Variations {
            varied: vec![Variation::Time],
            held: vec!["hostname".into()],
            ineffective: vec![Variation::Uptime],
        },
        budgets: vec![BudgetReport {
            name: "memory".into(),
            asked: 1 << 32,
            held_by: "cgroup2".into(),
            hit: false,
        }],
        counts: Counts::default(),
        egress: BTreeMap::from([(Class::External, 2)]),
        network: Some(network()),
        hints: vec!["clean first".into()],
        files: BTreeMap::from([("logs/a.log".into(), Sha256::of(b""))]),
        when: ResultWhen {
            started: "2024-01-01T00:00:00Z".into(),
            ended: "2024-01-01T00:00:01Z".into(),
            offset_s: Some(34_387_200),
            far_offset_s: Some(504_921_600),
            network: Some(Bytes { up: 1, down: 2 }),
            kernel: "6.12.0".into(),
        },
    }
}

fn network() -> NetworkReport {
    let refused = Refused {
        host: "pkg.example".into(),
        port: 443,
        exe: "/usr/bin/curl".into(),
        reason: Reason::HostNotAllowed,
        count: 2,
        rule: Some("[[egress.allow]]\nhost = \"pkg.example\"\n".into()),
        flag: Some("--allow pkg.example".into()),
    };
    let request = Request {
        host: "pkg.example".into(),
        port: 443,
        method: Some("GET".into()),
        path: Some("/index?at".into()),
        count: 1,
    };
    NetworkReport {
        policy_sha256: belljar_model::Policy::default().digest(),
        denied: 2,
        allowed: 3,
        refused: Findings::of(vec![refused.clone()]),
        recorded: 3,
        served: 2,
        drift: OneSided {
            only_a: Findings::of(vec![request.clone()]),
            only_b: Findings::of(vec![request]),
        },
        denials: OneSided {
            only_a: Findings::none(),
            only_b: Findings::of(vec![refused]),
        },
        credentials: BTreeMap::from([("forge".into(), 1)]),
    }
}

fn entry(path: &[u8], kind: EntryKind) -> Entry {
    Entry {
        path: OsText::from(path),
        kind,
        mode: 0o644,
        xattrs: BTreeMap::new(),
        hardlink_group: None,
        scratch: None,
        flag: None,
        when: EntryWhen { mtime_ns: 1 },
    }
}

fn manifest() -> Manifest {
    let mut file = entry(
        b"a\xffb",
        EntryKind::File {
            size: 3,
            blake3: Blake3([7; 32]),
            sha256: Sha256::of(b"abc"),
        },
    );
    file.xattrs.insert("user.x".into(), Sha256::of(b"1"));
    file.hardlink_group = Some(0);
    let mut link = entry(b"link", EntryKind::Symlink { target: "a".into() });
    link.scratch = Some(Scratch { rule: "*.d".into() });
    Manifest {
        schema: Manifest::SCHEMA.into(),
        run: Label::A,
        entries: vec![file, entry(b"d", EntryKind::Dir), link],
        scratch_list: "1".into(),
        left_out: 0,
        deleted: vec!["gone".into()],
    }
}

fn differences() -> Differences {
    let cause = Cause {
        slug: "clock".into(),
        variation: Some(Variation::Time),
        confidence: Confidence::Proven,
        evidence: "a date at 0x10".into(),
        offset: Some(16),
        process: Some(vec!["cc".into()]),
        fix: "set SOURCE_DATE_EPOCH".into(),
    };
    let region = Region {
        offset: 16,
        len: 4,
        offset_b: 16,
        len_b: 4,
        a: OsText::from(&b"\x00\xff"[..]),
        b: "2025".into(),
    };
    let kinds = [
        DifferenceKind::OnlyInA,
        DifferenceKind::OnlyInB,
        DifferenceKind::Type {
            a: "file".into(),
            b: "dir".into(),
        },
        DifferenceKind::Mode {
            a: "644".into(),
            b: "755".into(),
        },
        DifferenceKind::Content {
            size_a: 20,
            size_b: 21,
            regions: vec![region],
            regions_total: 1,
        },
        DifferenceKind::Target {
            a: "x".into(),
            b: "y".into(),
        },
        DifferenceKind::Xattr {
            name: "user.x".into(),
        },
        DifferenceKind::HardLinks {
            a: vec!["x".into()],
            b: vec![],
        },
        DifferenceKind::Mtime { a_ns: 1, b_ns: 2 },
        DifferenceKind::Deleted {
            only_in: "a".into(),
        },
    ];
    let items = kinds.map(|kind| Difference {
        path: "out".into(),
        gating: true,
        kind,
        causes: vec![cause.clone()],
    });
    Differences {
        schema: Differences::SCHEMA.into(),
        compared: 4,
        items: items.into(),
    }
}

fn egress() -> EgressRecord {
    EgressRecord {
        schema: EgressRecord::SCHEMA.into(),
        run: Label::A,
        seq: 0,
        layer: EgressLayer::Notify,
        event: "connect".into(),
        verdict: EgressVerdict::Deny,
        reason: Reason::IpLiteral,
        class: Class::External,
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
            exe_sha256: Some(Sha256::of(b"")),
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

fn selftest() -> SelfTest {
    SelfTest::of(vec![Probe {
        run: Label::A,
        attempt: "tcp connect 192.0.2.1:9".into(),
        denied: true,
        answer: "ENETUNREACH".into(),
    }])
}

fn security() -> SecurityManifest {
    SecurityManifest {
        schema: SecurityManifest::SCHEMA.into(),
        tool: Tool {
            name: "belljar".into(),
            version: "0.1.0".into(),
        },
        files: BTreeMap::from([("egress.ndjson".into(), Sha256::of(b""))]),
        policy_sha256: belljar_model::Policy::default().digest(),
        records: BTreeMap::from([(Class::External, 1)]),
        external: BTreeMap::from([(EgressVerdict::Deny, 1)]),
        runs: vec![SeqRange {
            run: Label::A,
            first: 0,
            last: 0,
            count: 1,
        }],
        lost: 0,
        probes: ProbeCount { made: 1, denied: 1 },
        layers: vec![LayerReport::full(Layer::NetNamespace, "own")],
    }
}

fn report() -> ReportDoc {
    ReportDoc {
        schema: ReportDoc::SCHEMA.into(),
        result: result(),
        differences: Some(differences()),
        strays: vec!["logs/a.log does not belong to this result".into()],
    }
}

fn clean() -> CleanDoc {
    CleanDoc {
        schema: CleanDoc::SCHEMA.into(),
        removed: vec![Leftover {
            kind: LeftoverKind::Folder,
            name: "/var/tmp/belljar-abcdefghijkm".into(),
        }],
        alive: vec!["belljar-23456789abcd".into()],
        failures: doctor().failures,
    }
}

fn check() -> CheckDoc {
    CheckDoc {
        schema: CheckDoc::SCHEMA.into(),
        allow: false,
        reason: Reason::PathNotAllowed,
        rule: Some(2),
        host: "files.example".into(),
        port: 443,
        method: "GET".into(),
        path: "/dist/a.tar".into(),
        unseen: false,
        fix: Some("add \"/dist/a.tar\" to `paths` of rule 2".into()),
    }
}

fn doctor() -> DoctorDoc {
    DoctorDoc {
        schema: DoctorDoc::SCHEMA.into(),
        works: false,
        layers: run(Label::A).layers,
        failures: vec![DoctorFailure {
            what: "could not make a user namespace: EPERM".into(),
            fix: Some("allow it".into()),
        }],
    }
}
