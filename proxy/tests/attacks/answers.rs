//! Names that a rule allows, and that lead to addresses no rule names.

use belljar_model::Reason::{self, MetadataAddress, NoAnswer, PrivateAddress, SelfAddress};

use crate::row::{Door, Reply, Row, connect, lines};

/// (case, what, name, reasons); `world` says what each name resolves to.
const NAMES: &[(&str, &str, &str, &[Reason])] = &[
    (
        "59",
        "a private address",
        "private.example",
        &[PrivateAddress],
    ),
    (
        "64",
        "loopback",
        "loopback.example",
        &[PrivateAddress, SelfAddress],
    ),
    (
        "57",
        "the unspecified address",
        "unspecified.example",
        &[PrivateAddress],
    ),
    ("60", "metadata", "metadata.example", &[MetadataAddress]),
    (
        "60",
        "metadata, which a rule names",
        "insists.example",
        &[MetadataAddress],
    ),
    (
        "45",
        "an alias of a private address",
        "alias.example",
        &[PrivateAddress],
    ),
    (
        "47",
        "an allowed and a private address",
        "mixed.example",
        &[PrivateAddress],
    ),
    (
        "61",
        "a mapped address",
        "mapped.example",
        &[Reason::EmbedV6, PrivateAddress],
    ),
    (
        "62",
        "NAT64",
        "nat64.example",
        &[Reason::EmbedV6, MetadataAddress],
    ),
    (
        "65",
        "the machine's own address",
        "self.example",
        &[SelfAddress, PrivateAddress],
    ),
    ("63", "multicast", "multicast.example", &[PrivateAddress]),
    ("46", "no such name", "nothing.example", &[NoAnswer]),
];

/// The rows.
pub(crate) fn rows() -> Vec<Row> {
    let row = |case, name, door, steps, reasons, host| Row {
        case,
        name,
        door,
        steps,
        reply: Reply::Denied,
        reasons,
        host,
    };
    NAMES
        .iter()
        .flat_map(|(case, name, host, reasons)| {
            let get = lines(&format!("GET http://{host}/ HTTP/1.1\nHost: {host}\n\n"));
            let plain = lines(&format!("GET / HTTP/1.1\nHost: {host}\n\n"));
            [
                row(
                    case,
                    name,
                    Door::Http,
                    vec![connect(&format!("{host}:443"))],
                    *reasons,
                    *host,
                ),
                row(case, name, Door::Http, vec![get], *reasons, *host),
                row(
                    case,
                    name,
                    Door::Port(host, 80),
                    vec![plain],
                    *reasons,
                    *host,
                ),
            ]
        })
        .collect()
}
