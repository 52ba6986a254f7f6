//! The policy, compiled: what may be reached, and why not.
//!
//! Pure: it is given canonical hosts and paths, and resolves and dials nothing. Rules only allow, so
//! a rule that is added never takes away what another one gives; of several rules that allow, the
//! first decides how.

mod credential;
mod error;
mod glob;
mod net;
mod path;
mod rule;

use std::net::IpAddr;

use belljar_model::{EgressVerdict, Fetch, Policy, Reason, Rule as Given, Tls};

pub use error::{Fault, Place, PolicyError};
pub use glob::Glob;
pub use path::{PathError, Target, canonical_path, canonical_target};
use rule::Rule;

use crate::address::classify;
use crate::authority::{Authority, Host};

/// What the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may leave.
    pub allow: bool,
    /// The rule that allows it, or came nearest to it: its place from 0.
    pub rule: Option<u32>,
    /// Why.
    pub reason: Reason,
    /// What the verdict would be if the policy were not being learned.
    pub would: Option<EgressVerdict>,
}

/// A policy that was read whole and found sound.
#[derive(Debug, Clone)]
pub struct Compiled {
    policy: Policy,
    rules: Vec<Rule>,
}

impl Compiled {
    /// Compiles a policy, or says what is wrong with it. It is never taken in part.
    pub fn new(policy: &Policy) -> Result<Self, PolicyError> {
        let mut policy = policy.clone();
        let mut rules: Vec<Rule> = Vec::with_capacity(policy.allow.len());
        for (place, given) in policy.allow.iter_mut().enumerate() {
            let rule = Rule::new(given).and_then(|rule| {
                replayable(policy.fetch, &rule)?;
                shadowed(&rules, &rule)?;
                Ok(rule)
            });
            let rule = rule.map_err(|fault| PolicyError {
                place: Place::Rule(place),
                fault,
            })?;
            given.clone_from(rule.model());
            rules.push(rule);
        }
        for (label, credential) in &mut policy.credential {
            credential::check(label, credential, &rules, policy.fetch).map_err(|fault| {
                PolicyError {
                    place: Place::Credential(label.clone()),
                    fault,
                }
            })?;
        }
        limits(&policy).map_err(|fault| PolicyError {
            place: Place::Limits,
            fault,
        })?;
        Ok(Self { policy, rules })
    }

    /// The policy in its canonical form: this is what a plan holds.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A rule by its place from 0, in its canonical form.
    pub fn rule(&self, place: u32) -> Option<&Given> {
        self.compiled(place).map(Rule::model)
    }

    fn compiled(&self, place: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(place).ok()?)
    }

    /// Host and port.
    pub fn authority(&self, to: &Authority) -> Verdict {
        self.decide(to.host(), |rule| rule.refuses(to, None))
    }

    /// Host, port, method and canonical path.
    pub fn request(&self, to: &Authority, method: &str, path: &str) -> Verdict {
        self.decide(to.host(), |rule| rule.refuses(to, Some((method, path))))
    }

    /// Whether any rule is for this host, whatever port.
    pub fn name(&self, host: &Host) -> Verdict {
        let refuses = |rule: &Rule| (!rule.host(host)).then_some(Reason::HostNotAllowed);
        let verdict = self.decide(host, refuses);
        match verdict.reason {
            Reason::HostNotAllowed => denied(Reason::DnsNameDenied, None),
            _ => verdict,
        }
    }

    /// Whether a host that this rule allows may be at these addresses: all of them are public, or
    /// named by the rule. What is only being learned has no rule yet: there any rule may have named
    /// them.
    pub fn answers(&self, rule: Option<u32>, answers: &[IpAddr]) -> Result<(), (IpAddr, Reason)> {
        let rule = rule.and_then(|place| self.compiled(place));
        let learned = rule.is_none() && self.policy.fetch == Fetch::Learn;
        for ip in answers {
            if let Some(reason) = classify(*ip).reason()
                && !rule.is_some_and(|rule| rule.names(*ip))
                && !(learned && self.rules.iter().any(|rule| rule.names(*ip)))
            {
                return Err((*ip, reason));
            }
        }
        Ok(())
    }

    /// The first rule that does not refuse decides; of refusals, the deepest is told.
    fn decide(&self, host: &Host, refuses: impl Fn(&Rule) -> Option<Reason>) -> Verdict {
        if rule::is_metadata(host) {
            return denied(Reason::MetadataAddress, None);
        }
        let mut deepest = (depth(Reason::HostNotAllowed), Reason::HostNotAllowed, None);
        for (rule, place) in self.rules.iter().zip(0u32..) {
            let Some(reason) = refuses(rule) else {
                return Verdict {
                    allow: true,
                    rule: Some(place),
                    reason: Reason::Allowed,
                    would: (self.policy.fetch == Fetch::Learn).then_some(EgressVerdict::Allow),
                };
            };
            if depth(reason) > deepest.0 {
                deepest = (depth(reason), reason, Some(place));
            }
        }
        let (_, mut reason, near) = deepest;
        let mut public = true;
        if let (Host::Address(ip), Reason::HostNotAllowed) = (host, reason) {
            let kind = classify(*ip).reason();
            public = kind.is_none();
            reason = kind.unwrap_or(Reason::IpLiteral);
        }
        if self.policy.fetch == Fetch::Learn && public {
            return Verdict {
                allow: true,
                rule: None,
                reason: Reason::Learned,
                would: Some(EgressVerdict::Deny),
            };
        }
        denied(reason, near)
    }
}

fn denied(reason: Reason, near: Option<u32>) -> Verdict {
    Verdict {
        allow: false,
        rule: near,
        reason,
        would: None,
    }
}

/// How far a request got.
fn depth(reason: Reason) -> u8 {
    match reason {
        Reason::PortNotAllowed => 1,
        Reason::MethodNotAllowed => 2,
        Reason::PathNotAllowed => 3,
        _ => 0,
    }
}

/// What is served from a recording has to be seen while it is recorded: TLS always is then.
fn replayable(fetch: Fetch, rule: &Rule) -> Result<(), Fault> {
    if fetch == Fetch::Replayed && rule.model().raw {
        return Err(Fault::Replay("`raw = true`"));
    }
    Ok(())
}

/// The first rule for a connection says what is done with it, before its requests are seen.
fn shadowed(earlier: &[Rule], rule: &Rule) -> Result<(), Fault> {
    for (place, first) in earlier.iter().enumerate() {
        if !first.covers(rule) {
            continue;
        }
        let void = if rule.model().raw && !first.model().raw {
            "`raw`"
        } else if rule.model().tls == Tls::Inspect && first.model().tls != Tls::Inspect {
            "inspection"
        } else {
            continue;
        };
        return Err(Fault::Shadowed {
            earlier: place,
            what: void,
        });
    }
    Ok(())
}

fn limits(policy: &Policy) -> Result<(), Fault> {
    let limits = &policy.limits;
    let zeros = [
        (limits.connections == 0, "connections"),
        (limits.head_bytes == 0, "head_bytes"),
        (limits.head_ms == 0, "head_timeout"),
        (limits.idle_ms == 0, "idle_timeout"),
        (limits.total_bytes == Some(0), "total_bytes"),
    ];
    match zeros.iter().find(|(zero, _)| *zero) {
        Some((_, key)) => Err(Fault::Zero(key)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
