//! Snapshots of the folder, proof that no name breaks out of the page, and that foreign forms are kept.

mod forms;

use belljar_model::{
    Ask, EgressLayer, EgressVerdict, EgressWhen, Label, Layer, OsText, Policy, Probe, Proc, Reason,
    Rule, Tls,
};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};

use super::super::network;
use super::*;

fn record(run: Label, seq: u64, host: &[u8], exe: &[u8], class: Class) -> EgressRecord {
    EgressRecord {
        schema: EgressRecord::SCHEMA.into(),
        run,
        seq,
        layer: EgressLayer::Dns,
        event: "query".into(),
        verdict: EgressVerdict::Deny,
        reason: Reason::DnsNameDenied,
        class,
        ask: Ask {
            family: "inet".into(),
            protocol: "udp".into(),
            host: host.into(),
            port: 53,
        },
        exchange: belljar_model::Exchange::default(),
        proc: Proc {
            comm: "curl".into(),
            exe: exe.into(),
            exe_sha256: None,
            argv: vec!["curl".into(), "https://pkg.example/".into()],
            argv_cut: false,
            chain: vec![vec!["make".into()]],
            attrib: "notify".into(),
        },
        racy: false,
        repeated: 0,
        hint: None,
        when: EgressWhen {
            ts: "2026-01-02T03:04:05Z".into(),
            since_start_ns: 1,
            pid: 7,
            answers: vec![],
            dialled: None,
            bytes: None,
            took_us: None,
        },
    }
}

fn plan(on_deny: OnDeny, allow: Vec<Rule>) -> Plan {
    Plan {
        egress: Policy {
            allow,
            ..Policy::default()
        },
        on_deny,
        ..super::super::samples::plan()
    }
}

fn selftest(holes: usize) -> SelfTest {
    let probe = |n: usize| Probe {
        run: Label::A,
        attempt: format!("attempt {n}"),
        denied: n >= holes,
        answer: if n >= holes { "ENETUNREACH" } else { "reached" }.into(),
    };
    SelfTest::of((0..24).map(probe).collect())
}

fn layers() -> Vec<LayerReport> {
    vec![
        LayerReport::full(Layer::NetNamespace, "own, loopback only"),
        LayerReport {
            state: belljar_model::State::Partial,
            why: Some("the kernel is 6.1".into()),
            wanted: "abi 9".into(),
            ..LayerReport::full(Layer::Landlock, "abi 2")
        },
    ]
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(files[name].clone()).unwrap()
}

fn busy() -> BTreeMap<String, Vec<u8>> {
    let records = [
        record(
            Label::A,
            0,
            b"pkg.example",
            b"/usr/bin/curl",
            Class::External,
        ),
        record(Label::A, 1, b"127.0.0.1", b"/usr/bin/make", Class::Loopback),
        record(
            Label::A,
            2,
            b"pkg.example",
            b"/usr/bin/curl",
            Class::External,
        ),
        record(
            Label::B,
            0,
            b"pkg.example",
            b"/usr/bin/curl",
            Class::External,
        ),
        record(
            Label::B,
            1,
            b"<b>|`x`\n@all",
            b"/build/\xff",
            Class::External,
        ),
    ];
    let allow = vec![Rule {
        host: "*.mirror.example".into(),
        ports: vec![443],
        methods: vec!["GET".into()],
        paths: vec![],
        addresses: vec![],
        tls: Tls::Tunnel,
        raw: false,
        websocket: false,
        max_up: 1024,
        max_down: None,
        reason: Some("why".into()),
    }];
    folder(
        &records,
        &selftest(0),
        &plan(OnDeny::Fail, allow),
        &layers(),
        0,
    )
}

/// The folder as a command would write it.
fn folder(
    records: &[EgressRecord],
    selftest: &SelfTest,
    plan: &Plan,
    layers: &[LayerReport],
    lost: u64,
) -> BTreeMap<String, Vec<u8>> {
    let records: Vec<_> = records.iter().collect();
    render(&Scene {
        records: &records,
        network: &network::report(plan, &records, true),
        selftest,
        plan,
        layers,
        lost,
        started: "2026-01-02T03:04:00Z",
    })
}

#[test]
fn a_pair_with_denials() {
    let files = busy();
    insta::assert_snapshot!("summary", text(&files, "summary.md"));
    insta::assert_snapshot!("egress", text(&files, "egress.ndjson"));
    insta::assert_snapshot!("policy", text(&files, "policy.toml"));
    insta::assert_snapshot!(
        "manifest",
        text(&files, "manifest.json").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

#[test]
fn a_quiet_run() {
    let files = folder(
        &[],
        &selftest(0),
        &plan(OnDeny::Record, vec![]),
        &layers(),
        0,
    );
    insta::assert_snapshot!("quiet", text(&files, "summary.md"));
    assert_eq!(text(&files, "egress.ndjson"), "");
}

#[test]
fn holes_and_losses_are_said() {
    let files = folder(
        &[],
        &selftest(2),
        &plan(OnDeny::Record, vec![]),
        &layers(),
        3,
    );
    insta::assert_snapshot!("holes", text(&files, "summary.md"));
}

#[test]
fn the_manifest_names_every_other_file_by_its_digest() {
    let files = busy();
    let manifest: SecurityManifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let names: Vec<_> = files.keys().filter(|n| *n != "manifest.json").collect();
    assert_eq!(manifest.files.keys().collect::<Vec<_>>(), names);
    for (name, digest) in &manifest.files {
        assert_eq!(*digest, Sha256::of(&files[name]));
    }
    let spans: Vec<_> = manifest
        .runs
        .iter()
        .map(|r| (r.first, r.last, r.count))
        .collect();
    assert_eq!(spans, [(0, 2, 3), (0, 1, 2)]);
}

#[test]
fn lines_read_back() {
    let files = busy();
    let lines = text(&files, "egress.ndjson");
    let back: Vec<EgressRecord> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(back.len(), 5);
    assert_eq!(back[4].ask.host, OsText::from(&b"<b>|`x`\n@all"[..]));
}

/// What an independent parser makes of a page: its rows, and whether it holds anything but
/// headings, paragraphs, lists, tables, strong text and code.
fn cells(page: &str) -> Vec<usize> {
    let mut rows = Vec::new();
    for event in Parser::new_ext(page, Options::all()) {
        match event {
            Event::Html(h) | Event::InlineHtml(h) => panic!("html: {h}"),
            Event::Start(Tag::TableRow | Tag::TableHead) => rows.push(0),
            Event::Start(Tag::TableCell) => *rows.last_mut().unwrap() += 1,
            Event::Start(
                Tag::Heading { .. }
                | Tag::Paragraph
                | Tag::List(_)
                | Tag::Item
                | Tag::Table(_)
                | Tag::Strong
                | Tag::CodeBlock(_),
            )
            | Event::End(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::SoftBreak => {}
            other => panic!("{other:?} in {page}"),
        }
    }
    rows
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(vec![
        "`",
        "``",
        "|",
        "\\|",
        "\\",
        "\n",
        "\r\n",
        "<script>",
        "](http://x.example)",
        "@all",
        "#1",
        "**",
        "_",
        "&#10;",
        "\u{202e}",
        "\u{2028}",
        "$x$",
        "[^1]",
        "---",
        "- ",
        "> ",
        "\t",
    ]);
    prop_oneof![
        prop::collection::vec(nasty, 0..12).prop_map(|parts| parts.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_the_page(names in prop::collection::vec((hostile(), hostile()), 0..40), why in hostile()) {
        let records: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, (host, exe))| record(Label::A, n as u64, host, exe, Class::External))
            .collect();
        let mut walls = layers();
        walls[1].why = Some(String::from_utf8_lossy(&why).into_owned());
        let mut probes = selftest(30);
        probes.probes[0].answer = String::from_utf8_lossy(&why).into_owned();
        let page = text(&folder(&records, &probes, &plan(OnDeny::Fail, vec![]), &walls, 9), "summary.md");
        prop_assert!(page.lines().count() <= summary::MAX_LINES, "{page}");
        let rows = cells(&page);
        let groups: std::collections::BTreeSet<_> = names.iter().collect();
        let shown = groups.len().min(16);
        let head = usize::from(shown > 0);
        let expected: Vec<_> = std::iter::repeat_n(6, shown + head).collect();
        prop_assert_eq!(rows, expected, "{}", page);
    }

    #[test]
    fn a_line_is_a_line(host in hostile(), exe in hostile()) {
        let bytes = ndjson(&[&record(Label::A, 0, &host, &exe, Class::External)]);
        prop_assert_eq!(bytes.split(|b| *b == b'\n').count(), 2);
        prop_assert!(bytes.iter().all(|b| *b >= b' ' || *b == b'\n'));
    }
}
