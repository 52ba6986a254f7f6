//! The table as a page of the documents, made from the rows themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::row::{Door, Reply, Row};
use crate::{answers, names, others, requests};

const HEAD: &str = "# Ways round the proxy, and what becomes of them

Each row is an attempt that `cargo test -p belljar-proxy --test attacks` makes against the real proxy at its real
doors, in a network of its own. It passes if the client gets what the fourth column says, a record with one of the
reasons names what was asked, and not a byte reaches the server (of a request whose head is allowed and whose body is
malformed, not a byte after the head). The same rows in front of an open proxy all fail; a test shows that too.

The number is a stable name for a class of attempts. This page is made from the rows; a test holds it to them.
";

/// The page.
pub(crate) fn page() -> String {
    let mut out = String::from(HEAD);
    let sections = [
        ("Names and addresses", names::rows()),
        ("Requests", requests::rows()),
        ("TLS, SOCKS and name queries", others::rows()),
        ("What a name resolves to", answers::rows()),
    ];
    let all: usize = sections.iter().map(|(_, rows)| rows.len()).sum();
    let _ = writeln!(out, "\n{all} attempts:");
    for (title, rows) in sections {
        let _ = write!(
            out,
            "\n## {title}\n\n| class | attempt | at | comes back | reasons |\n|---|---|---|---|---|\n"
        );
        for ((_, class, name, back, reasons), doors) in merged(&rows) {
            let _ = writeln!(
                out,
                "| {class} | {name} | {} | {back} | {reasons} |",
                doors.join(", ")
            );
        }
    }
    out
}

type Key = (u32, String, String, &'static str, String);

/// The same attempt at several doors is one line; lines are in the order of their classes.
fn merged(rows: &[Row]) -> BTreeMap<Key, Vec<&'static str>> {
    let mut lines: BTreeMap<Key, Vec<&'static str>> = BTreeMap::new();
    for row in rows {
        let reasons: Vec<_> = row
            .reasons
            .iter()
            .map(|r| format!("`{}`", r.name()))
            .collect();
        let key = (
            row.case.parse().unwrap_or(0),
            row.case.to_owned(),
            row.name.to_owned(),
            back(row.reply),
            reasons.join(", "),
        );
        let doors = lines.entry(key).or_default();
        if !doors.contains(&at(row.door)) {
            doors.push(at(row.door));
        }
    }
    lines
}

fn at(door: Door) -> &'static str {
    match door {
        Door::Http => "HTTP door",
        Door::Socks => "SOCKS door",
        Door::Port(..) => "a rule's port",
        Door::Bare(_) => "a rule's port, by no name",
        Door::Udp => "name server, UDP",
        Door::Tcp => "name server, TCP",
    }
}

fn back(reply: Reply) -> &'static str {
    match reply {
        Reply::Denied => "the proxy's page",
        Reply::Socks(_) => "a SOCKS error",
        Reply::SocksMethod => "no SOCKS method",
        Reply::Closed => "the end",
        Reply::Dns(3) => "NXDOMAIN",
        Reply::Dns(5) => "REFUSED",
        Reply::Dns(_) => "an error",
        Reply::Silence => "nothing",
    }
}

#[test]
fn the_page_is_that_of_the_rows() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/egress-attacks.md");
    if std::env::var_os("BELLJAR_UPDATE").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page(),
        "docs/egress-attacks.md is not that of the rows: BELLJAR_UPDATE=1 cargo test -p belljar-proxy --test attacks page"
    );
}
