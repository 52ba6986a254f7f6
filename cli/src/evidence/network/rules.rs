//! A rule as `belljar.toml` has it: the keys that were wanted, in one order, and nothing else.

use std::fmt::Write as _;

use belljar_proxy::authority::Host;

/// What a rule has to allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// A name or an address.
    pub host: String,
    /// Ports; empty: those of a rule that names none.
    pub ports: Vec<u16>,
    /// Methods; empty: those of a rule that names none.
    pub methods: Vec<String>,
    /// Paths; empty: any.
    pub paths: Vec<String>,
    /// Addresses that are not public.
    pub addresses: Vec<String>,
    /// Anything may be spoken.
    pub raw: bool,
    /// A request may become a WebSocket.
    pub websocket: bool,
    /// Bytes that may be sent, if not those of a rule that says nothing.
    pub max_up: Option<u64>,
}

impl Wanted {
    /// The table, its newline included.
    pub fn toml(&self) -> String {
        let mut out = format!("[[egress.allow]]\nhost = {}\n", quoted(&self.host));
        if !self.ports.is_empty() {
            let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
            let _ = writeln!(out, "ports = [{}]", ports.join(", "));
        }
        for (key, values) in [
            ("methods", &self.methods),
            ("paths", &self.paths),
            ("addresses", &self.addresses),
        ] {
            if !values.is_empty() {
                let values: Vec<_> = values.iter().map(|v| quoted(v)).collect();
                let _ = writeln!(out, "{key} = [{}]", values.join(", "));
            }
        }
        for (key, set) in [("raw", self.raw), ("websocket", self.websocket)] {
            if set {
                let _ = writeln!(out, "{key} = true");
            }
        }
        if let Some(max_up) = self.max_up {
            let _ = writeln!(out, "max_up = {max_up}");
        }
        out
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A host as a rule names it. Nothing else of what a build asked for comes into a rule.
pub fn host(asked: &[u8]) -> Option<String> {
    Host::parse(asked).ok().map(|host| host.to_string())
}

/// A method as a rule may name it.
pub fn method(asked: &str) -> Option<String> {
    let plain = !asked.is_empty() && asked.len() <= 32;
    let plain = plain && asked.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    // No rule lets these through.
    let plain = plain && !matches!(asked, "CONNECT" | "TRACE");
    plain.then(|| asked.to_owned())
}
