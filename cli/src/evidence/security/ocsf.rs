//! `security/egress.ocsf.ndjson`: the same decisions for a collector of security events, one OCSF 1.8.0
//! event a line. Only what meant the outside is here; `egress.ndjson` has the rest.
//!
//! The form says where times, process ids and byte counts stand, so they are not under `when` here.

use belljar_model::{
    EgressLayer, EgressRecord, EgressVerdict, OsText, Plan, Probe, Reason, SelfTest,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::network::{denied, passed};

const VERSION: &str = "1.8.0";
/// Characters of a command line.
const MAX_LINE: usize = 1024;

/// Renders the events; `started` is when the command began, for what has no time of its own.
pub fn render(
    records: &[&EgressRecord],
    selftest: &SelfTest,
    plan: &Plan,
    started: &str,
) -> Vec<u8> {
    let holes = selftest.probes.iter().filter(|p| !p.denied);
    let holes = holes.map(|probe| hole(probe, started));
    let outside = records.iter().filter(|r| denied(r) || let_through(r));
    let events = outside.flat_map(|record| {
        let misrouted = record.reason == Reason::SecretMisroute;
        [
            Some(event(record, plan)),
            misrouted.then(|| misroute(record)),
        ]
    });
    let mut out = Vec::new();
    for event in holes.chain(events.flatten()) {
        // Values always serialise: writing to memory can't fail.
        let _ = serde_json::to_writer(&mut out, &event);
        out.push(b'\n');
    }
    out
}

fn let_through(record: &EgressRecord) -> bool {
    let external = record.class == belljar_model::Class::External;
    passed(record) || (external && record.verdict == EgressVerdict::Allow)
}

/// Class, its name, activity, its name.
type Kind = (u64, &'static str, u64, &'static str);

fn kind(record: &EgressRecord) -> Kind {
    let network = (4001, "Network Activity");
    let http = (4002, "HTTP Activity");
    match (record.layer, record.exchange.method.as_deref()) {
        (EgressLayer::Dns, _) => (4003, "DNS Activity", 1, "Query"),
        (EgressLayer::Proxy, Some(method)) => {
            let (activity, name) = match method {
                "CONNECT" => (1, "Connect"),
                "DELETE" => (2, "Delete"),
                "GET" => (3, "Get"),
                "HEAD" => (4, "Head"),
                "OPTIONS" => (5, "Options"),
                "POST" => (6, "Post"),
                "PUT" => (7, "Put"),
                "TRACE" => (8, "Trace"),
                "PATCH" => (9, "Patch"),
                _ => (99, "Other"),
            };
            (http.0, http.1, activity, name)
        }
        _ if denied(record) => (network.0, network.1, 5, "Refuse"),
        _ => (network.0, network.1, 6, "Traffic"),
    }
}

fn event(record: &EgressRecord, plan: &Plan) -> Value {
    let kind = kind(record);
    let mut event = frame(kind, 4, "Network Activity", millis(&record.when.ts));
    let refused = denied(record);
    let (action, disposition) = match (refused, record.reason) {
        (true, _) => ((2, "Denied"), (2, "Blocked")),
        (false, Reason::Learned) => ((3, "Observed"), (17, "Logged")),
        (false, _) => ((1, "Allowed"), (1, "Allowed")),
    };
    let severity = match (refused, record.reason) {
        (true, Reason::MetadataAddress | Reason::SecretMisroute) => (4, "High"),
        (true, _) => (3, "Medium"),
        (false, _) => (1, "Informational"),
    };
    let status = if refused {
        (2, "Failure")
    } else {
        (1, "Success")
    };
    put(&mut event, "action", action);
    put(&mut event, "disposition", disposition);
    put(&mut event, "severity", severity);
    put(&mut event, "status", status);
    event.insert("status_detail".into(), record.reason.name().into());
    event.insert("metadata".into(), metadata(record));
    event.insert("actor".into(), json!({ "process": process(record) }));
    event.insert(
        "src_endpoint".into(),
        json!({ "name": "belljar", "uid": format!("run-{}", record.run.lower()) }),
    );
    event.insert("connection_info".into(), connection(record));
    match kind.0 {
        4003 => dns(&mut event, record),
        class => {
            event.insert("dst_endpoint".into(), endpoint(record));
            if class == 4002 {
                http(&mut event, record);
            }
        }
    }
    if let Some(rule) = record.exchange.rule {
        let named = plan
            .egress
            .allow
            .get(rule as usize)
            .map(|r| r.host.as_str());
        let name = named.unwrap_or("unknown");
        let rule = json!({ "uid": rule.to_string(), "name": name });
        event.insert("firewall_rule".into(), rule);
    }
    if let Some(bytes) = record.when.bytes {
        let traffic = json!({ "bytes_out": bytes.up, "bytes_in": bytes.down });
        event.insert("traffic".into(), traffic);
    }
    if let Some(took) = record.when.took_us {
        event.insert("duration".into(), (took / 1000).into());
    }
    event.insert("unmapped".into(), unmapped(record));
    Value::Object(event)
}

/// What every event has.
fn frame(kind: Kind, category: u64, named: &str, time: i64) -> Map<String, Value> {
    let (class, class_name, activity, activity_name) = kind;
    let mut event = Map::new();
    for (key, value) in [
        ("category_uid", json!(category)),
        ("category_name", json!(named)),
        ("class_uid", json!(class)),
        ("class_name", json!(class_name)),
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("type_uid", json!(class * 100 + activity)),
        ("time", json!(time)),
    ] {
        event.insert(key.into(), value);
    }
    event
}

/// A number of the form's lists and its caption.
fn put(event: &mut Map<String, Value>, key: &str, (id, caption): (u64, &str)) {
    event.insert(format!("{key}_id"), id.into());
    event.insert(key.into(), caption.into());
}

fn product() -> Value {
    json!({ "name": "belljar", "vendor_name": "belljar", "version": env!("CARGO_PKG_VERSION") })
}

fn metadata(record: &EgressRecord) -> Value {
    json!({
        "version": VERSION,
        "product": product(),
        "profiles": ["host", "security_control"],
        "log_name": "egress.ndjson",
        "event_code": record.reason.name(),
        "sequence": record.seq,
        "uid": format!("{}-{}", record.run.lower(), record.seq),
    })
}

fn process(record: &EgressRecord) -> Value {
    let proc = &record.proc;
    let base = proc.exe.as_bytes().rsplit(|b| *b == b'/').next();
    let mut file = json!({
        "name": text(&OsText::from(base.unwrap_or_default())),
        "path": text(&proc.exe),
        "type_id": 1,
    });
    if let Some(digest) = proc.exe_sha256 {
        file["hashes"] = json!([
            { "algorithm_id": 3, "algorithm": "SHA-256", "value": digest.to_string() }
        ]);
    }
    let lineage: Vec<String> = proc
        .chain
        .iter()
        .filter_map(|argv| argv.first())
        .map(text)
        .collect();
    let mut process = json!({
        "pid": record.when.pid,
        "name": text(&proc.comm),
        "cmd_line": line(&proc.argv),
        "file": file,
    });
    if !lineage.is_empty() {
        process["lineage"] = json!(lineage);
    }
    process
}

fn line(argv: &[OsText]) -> String {
    let words: Vec<String> = argv.iter().map(ToString::to_string).collect();
    words.join(" ").chars().take(MAX_LINE).collect()
}

fn text(value: &OsText) -> String {
    value.to_string().chars().take(MAX_LINE).collect()
}

fn connection(record: &EgressRecord) -> Value {
    let ask = &record.ask;
    let mut info = json!({
        "direction_id": 2,
        "direction": "Outbound",
        "protocol_name": ask.protocol,
    });
    let number = match &*ask.protocol {
        "tcp" | "tls" | "http" => Some(6),
        "udp" => Some(17),
        _ => None,
    };
    if let Some(number) = number {
        info["protocol_num"] = json!(number);
    }
    match &*ask.family {
        "inet" => info["protocol_ver_id"] = json!(4),
        "inet6" => info["protocol_ver_id"] = json!(6),
        _ => {}
    }
    info
}

fn endpoint(record: &EgressRecord) -> Value {
    let host = text(&record.ask.host);
    let key = match (host.parse::<std::net::IpAddr>(), &*record.ask.family) {
        (Ok(_), _) => "ip",
        (Err(_), "inet" | "inet6") => "hostname",
        (Err(_), _) => "name",
    };
    let mut endpoint = Map::from_iter([(key.to_owned(), Value::from(host))]);
    if let Some(dialled) = record.when.dialled.filter(|_| key == "hostname") {
        endpoint.insert("ip".into(), dialled.ip().to_string().into());
    }
    if record.ask.port != 0 {
        endpoint.insert("port".into(), record.ask.port.into());
    }
    Value::Object(endpoint)
}

fn dns(event: &mut Map<String, Value>, record: &EgressRecord) {
    event.insert(
        "dst_endpoint".into(),
        json!({ "ip": "127.0.0.1", "port": 53 }),
    );
    event.insert(
        "query".into(),
        json!({ "hostname": text(&record.ask.host) }),
    );
    let rcode = match (denied(record), record.reason) {
        (false, _) => (0, "NoError"),
        (true, Reason::DnsTypeDenied) => (5, "Refused"),
        (true, _) => (3, "NXDomain"),
    };
    put(event, "rcode", rcode);
    let answers: Vec<Value> = record
        .when
        .answers
        .iter()
        .map(|a| json!({ "rdata": a.to_string(), "type": if a.is_ipv4() { "A" } else { "AAAA" } }))
        .collect();
    if !answers.is_empty() {
        event.insert("answers".into(), answers.into());
    }
}

/// The form's own methods; others are under `unmapped`.
const METHODS: [&str; 9] = [
    "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH",
];

fn http(event: &mut Map<String, Value>, record: &EgressRecord) {
    let exchange = &record.exchange;
    let mut request = Map::new();
    if let Some(method) = exchange.method.as_deref().filter(|m| METHODS.contains(m)) {
        request.insert("http_method".into(), method.into());
    }
    if let Some(path) = &exchange.path {
        let path = text(path);
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut url =
            json!({ "hostname": text(&record.ask.host), "port": record.ask.port, "path": path });
        if !query.is_empty() {
            url["query_string"] = query.into();
        }
        request.insert("url".into(), url);
    }
    event.insert("http_request".into(), request.into());
    if let Some(status) = exchange.status {
        event.insert("http_response".into(), json!({ "code": status }));
    }
}

/// What the form has no place for.
fn unmapped(record: &EgressRecord) -> Value {
    let exchange = &record.exchange;
    let mut rest = json!({
        "schema": record.schema,
        "layer": record.layer,
        "event": record.event,
        "attrib": record.proc.attrib,
        "racy": record.racy,
    });
    for (key, value) in [
        ("sni", exchange.sni.as_ref().map(text)),
        (
            "method",
            exchange.method.clone().filter(|m| !METHODS.contains(&&**m)),
        ),
        ("credential", exchange.credential.clone()),
        ("detail", exchange.detail.clone()),
        (
            "body_sha256",
            exchange.body.map(|digest| digest.to_string()),
        ),
    ] {
        if let Some(value) = value {
            rest[key] = value.into();
        }
    }
    if exchange.replayed {
        rest["replayed"] = true.into();
    }
    rest
}

/// A way out that the self-test found.
fn hole(probe: &Probe, started: &str) -> Value {
    let uid = format!("run-{}: {}", probe.run.lower(), probe.attempt);
    let evidence = json!({ "data": { "attempt": probe.attempt, "answer": probe.answer } });
    let about = (
        "a way out of the sandbox was found by its self-test",
        (5, "Critical"),
    );
    finding(&uid, about, millis(started), &evidence, "selftest.json")
}

/// A secret on its way to where it does not belong.
fn misroute(record: &EgressRecord) -> Value {
    let uid = format!("{}-{}", record.run.lower(), record.seq);
    let evidence = json!({ "process": process(record), "dst_endpoint": endpoint(record) });
    let about = (Reason::SecretMisroute.meaning(), (4, "High"));
    finding(
        &uid,
        about,
        millis(&record.when.ts),
        &evidence,
        "egress.ndjson",
    )
}

fn finding(
    uid: &str,
    (title, severity): (&str, (u64, &str)),
    time: i64,
    evidence: &Value,
    log: &str,
) -> Value {
    let mut event = frame(
        (2004, "Detection Finding", 1, "Create"),
        2,
        "Findings",
        time,
    );
    put(&mut event, "severity", severity);
    event.insert("finding_info".into(), json!({ "uid": uid, "title": title }));
    event.insert("evidences".into(), json!([evidence]));
    event.insert(
        "metadata".into(),
        json!({ "version": VERSION, "product": product(), "log_name": log }),
    );
    Value::Object(event)
}

/// Milliseconds since 1970, as the form has times; 0 where the time can't be read.
fn millis(time: &str) -> i64 {
    time.parse::<Timestamp>()
        .map_or(0, Timestamp::as_millisecond)
}
