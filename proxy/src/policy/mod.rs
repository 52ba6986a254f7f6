//! What the policy says of a destination, a request, an answer. Compiled once, never changed, and the
//! same for every door.

mod compile;
mod path;

pub use compile::{Compiled, PolicyError};
pub use path::{BadPath, canonical_path};

use std::net::IpAddr;

use belljar_model::{EgressVerdict, Fetch, Reason, Rule};

use crate::address::{Kind, classify, is_metadata_name};
use crate::authority::{Authority, Host};
use compile::{CompiledRule, Whom};

/// What the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It may go on.
    pub allow: bool,
    /// The rule that decided, by its place in the policy.
    pub rule: Option<u32>,
    /// Why.
    pub reason: Reason,
    /// What it would be if the policy were not being learned.
    pub would: Option<EgressVerdict>,
}

/// How near the nearest rule came; the nearest one names the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Miss {
    Host,
    Port,
    Method,
    Path,
}

impl Compiled {
    /// Host and port.
    pub fn authority(&self, authority: &Authority) -> Verdict {
        self.judge(authority.host(), |rule| rule.misses_port(authority.port()))
    }

    /// Host, port, method and path; the path is canonical ([`canonical_path`]), without its query.
    pub fn request(&self, authority: &Authority, method: &str, path: &str) -> Verdict {
        self.judge(authority.host(), |rule| {
            rule.misses_port(authority.port())
                .or_else(|| rule.misses_method(method))
                .or_else(|| rule.misses_path(path))
        })
    }

    /// Whether any rule names this host, on whatever port: whether its name is answered.
    pub fn name(&self, host: &Host) -> Verdict {
        let verdict = self.judge(host, |_| None);
        match verdict.reason {
            Reason::HostNotAllowed => Verdict {
                reason: Reason::DnsNameDenied,
                ..verdict
            },
            _ => verdict,
        }
    }

    /// Whether all addresses that a name resolved to may be dialled under the rule; the first that may
    /// not, and why. Metadata never is, whatever a rule says.
    pub fn answers(&self, rule: Option<u32>, answers: &[IpAddr]) -> Result<(), (IpAddr, Reason)> {
        let rule = rule.and_then(|n| self.rules.get(usize::try_from(n).ok()?));
        for address in answers {
            let kind = classify(*address);
            let Some(reason) = kind.reason() else {
                continue;
            };
            let named = rule.is_some_and(|r| r.addresses.iter().any(|n| n.holds(*address)));
            if kind == Kind::Metadata || !named {
                return Err((*address, reason));
            }
        }
        Ok(())
    }

    /// A rule as it was given.
    pub fn rule(&self, n: u32) -> Option<&Rule> {
        let n = usize::try_from(n).ok()?;
        self.policy.allow.get(n)
    }

    /// The policy as it was given.
    pub fn policy(&self) -> &belljar_model::Policy {
        &self.policy
    }

    fn judge(&self, host: &Host, misses: impl Fn(&CompiledRule) -> Option<Miss>) -> Verdict {
        if let Some(reason) = never(host) {
            return deny(None, reason);
        }
        let mut nearest = (Miss::Host, None);
        for (n, rule) in self.rules.iter().enumerate() {
            if !rule.whom.is(host) {
                continue;
            }
            let n = u32::try_from(n).ok();
            match misses(rule) {
                None => {
                    return Verdict {
                        allow: true,
                        rule: n,
                        reason: Reason::Allowed,
                        would: None,
                    };
                }
                Some(miss) if miss > nearest.0 => nearest = (miss, n),
                Some(_) => {}
            }
        }
        let (miss, rule) = nearest;
        let denied = deny(rule, reason(miss, host));
        match (self.policy.fetch, host) {
            // An address is learned too, if it is public; what a name resolves to is looked at later.
            (Fetch::Learn, Host::Address(address)) if classify(*address) != Kind::Public => denied,
            (Fetch::Learn, _) => Verdict {
                allow: true,
                rule: None,
                reason: Reason::Learned,
                would: Some(EgressVerdict::Deny),
            },
            _ => denied,
        }
    }
}

fn deny(rule: Option<u32>, reason: Reason) -> Verdict {
    Verdict {
        allow: false,
        rule,
        reason,
        would: None,
    }
}

/// What no rule can allow.
fn never(host: &Host) -> Option<Reason> {
    let metadata = match host {
        Host::Name(name) => is_metadata_name(name),
        Host::Address(address) => classify(*address) == Kind::Metadata,
    };
    metadata.then_some(Reason::MetadataAddress)
}

fn reason(miss: Miss, host: &Host) -> Reason {
    match (miss, host) {
        (Miss::Host, Host::Address(address)) => {
            classify(*address).reason().unwrap_or(Reason::IpLiteral)
        }
        (Miss::Host, Host::Name(_)) => Reason::HostNotAllowed,
        (Miss::Port, _) => Reason::PortNotAllowed,
        (Miss::Method, _) => Reason::MethodNotAllowed,
        (Miss::Path, _) => Reason::PathNotAllowed,
    }
}

impl CompiledRule {
    fn misses_port(&self, port: u16) -> Option<Miss> {
        (!self.ports.contains(&port)).then_some(Miss::Port)
    }

    fn misses_method(&self, method: &str) -> Option<Miss> {
        let named = self.methods.iter().any(|m| m == "*" || m == method);
        (!named).then_some(Miss::Method)
    }

    fn misses_path(&self, path: &str) -> Option<Miss> {
        let named = self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(path));
        (!named).then_some(Miss::Path)
    }
}

impl Whom {
    fn is(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exactly(own), host) => own == host,
            // By whole labels, and not the suffix itself.
            (Self::Below(suffix), Host::Name(name)) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests;
