//! What a client is told of a denial: the reason's code and the rule's number, in one shape, and
//! nothing else. What was wrong in particular is in the record.

use belljar_model::Reason;

use crate::authority::{Authority, Host};

/// The whole answer to an HTTP client.
pub fn forbidden(reason: Reason, rule: Option<u32>) -> Vec<u8> {
    answer("403 Forbidden", reason, rule)
}

/// The same with another status line.
pub fn answer(status: &str, reason: Reason, rule: Option<u32>) -> Vec<u8> {
    let rule = rule.map_or("none".into(), |n| n.to_string());
    let body = format!("belljar: denied ({}, rule {rule})\n", reason.name());
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The rule that would allow it, for reasons that a rule can do something about.
pub fn hint(reason: Reason, authority: &Authority) -> Option<String> {
    let host = match authority.host() {
        Host::Name(name) => name.clone(),
        Host::Address(ip) => ip.to_string(),
    };
    let port = authority.port();
    match reason {
        Reason::HostNotAllowed | Reason::PortNotAllowed | Reason::IpLiteral => Some(format!(
            "add [[egress.allow]] host = \"{host}\", ports = [{port}]"
        )),
        Reason::NotTls => Some(format!(
            "add raw = true to the rule for {host}, if this has to be let through unseen"
        )),
        Reason::EchPresent => Some("switch encrypted hellos (ECH) off in the client".into()),
        Reason::BudgetExceeded => Some(format!("raise max_up or max_down of the rule for {host}")),
        _ => None,
    }
}
