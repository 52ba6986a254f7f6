//! From the policy as it is written in the plan to what is asked at every door. Whatever could mean
//! more than its writer thought is refused here, before anything runs.

use belljar_model::{Fetch, Policy, Rule, Tls};

use super::path::Glob;
use crate::address::Network;
use crate::authority::Host;

/// A policy, ready to be asked.
#[derive(Debug)]
pub struct Compiled {
    pub(super) policy: Policy,
    pub(super) rules: Vec<CompiledRule>,
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    pub(super) whom: Whom,
    pub(super) ports: Vec<u16>,
    pub(super) methods: Vec<String>,
    pub(super) paths: Vec<Glob>,
    pub(super) addresses: Vec<Network>,
}

/// Whom a rule is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Exactly(Host),
    /// Every name below this suffix.
    Below(String),
}

/// Why a policy is refused: which rule, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{whose}: {why}")]
pub struct PolicyError {
    /// `rule 2 (host)`, or the credential's label.
    pub whose: String,
    /// What is wrong.
    pub why: String,
    /// The one thing to do.
    pub hint: String,
}

/// A sentence, and what to do.
type Wrong = (String, &'static str);

impl Compiled {
    /// Checks every rule, and readies it.
    pub fn new(policy: &Policy) -> Result<Self, PolicyError> {
        let mut rules = Vec::with_capacity(policy.allow.len());
        for (n, rule) in policy.allow.iter().enumerate() {
            let compiled = compile(rule, policy.fetch).map_err(|(why, hint)| PolicyError {
                whose: format!("rule {n} ({})", rule.host.escape_debug()),
                why,
                hint: hint.into(),
            })?;
            rules.push(compiled);
        }
        let compiled = Self {
            policy: policy.clone(),
            rules,
        };
        compiled.check_credentials()?;
        Ok(compiled)
    }

    /// A credential goes to one host, which a rule allows and in whose requests it can be put.
    fn check_credentials(&self) -> Result<(), PolicyError> {
        for (label, credential) in &self.policy.credential {
            let wrong = |why: &str, hint: &str| PolicyError {
                whose: format!("credential {}", label.escape_debug()),
                why: why.into(),
                hint: hint.into(),
            };
            let host = Host::parse(credential.host.as_bytes())
                .map_err(|e| wrong(&e.to_string(), "name the one host that it is for"))?;
            if credential.paths.iter().any(|p| Glob::parse(p).is_none()) {
                return Err(wrong("a path is no glob", PATHS));
            }
            let served = self
                .rules
                .iter()
                .zip(&self.policy.allow)
                .any(|(rule, given)| {
                    rule.whom == Whom::Exactly(host.clone())
                        && rule.ports.contains(&credential.port)
                        && (given.tls == Tls::Inspect || credential.port == 80)
                });
            if !served {
                return Err(wrong(
                    "no rule allows its host and port by name, with requests to be seen",
                    "add a rule for this very host with `inspect = true`",
                ));
            }
        }
        Ok(())
    }
}

const PATHS: &str = "begin with `/`, write `*` within a segment and `**` across";

fn compile(rule: &Rule, fetch: Fetch) -> Result<CompiledRule, Wrong> {
    if rule.ports.is_empty() || rule.ports.contains(&0) {
        return Err((
            "a port is missing or 0".into(),
            "give ports from 1 to 65535",
        ));
    }
    if rule.raw && (rule.tls == Tls::Inspect || !rule.paths.is_empty() || rule.websocket) {
        let why = "`raw` lets anything pass, so nothing of it can be inspected";
        return Err((why.into(), "leave out `raw`, or what is to be inspected"));
    }
    if rule.raw && fetch == Fetch::Replayed {
        let why = "what passes a `raw` rule can't be recorded, and `verify` serves its second run from the recording";
        return Err((why.into(), "fetch it before, or use `belljar run`"));
    }
    for method in &rule.methods {
        let token = method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if method != "*" && (method.is_empty() || !token) {
            let why = format!("`{}` is no method", method.escape_debug());
            return Err((why, "write methods in upper case, or `*`"));
        }
        if method == "CONNECT" || method == "TRACE" {
            return Err((format!("{method} is never let through"), "leave it out"));
        }
    }
    let glob = |text: &String| {
        Glob::parse(text)
            .ok_or_else(|| (format!("`{}` is no path glob", text.escape_debug()), PATHS))
    };
    let network = |text: &String| {
        Network::parse(text).ok_or_else(|| {
            let why = format!("`{}` is no address and no network", text.escape_debug());
            (
                why,
                "write 10.0.0.5 or 10.0.0.0/8, without bits beyond the prefix",
            )
        })
    };
    Ok(CompiledRule {
        whom: whom(&rule.host)?,
        ports: rule.ports.clone(),
        methods: rule.methods.clone(),
        paths: rule.paths.iter().map(glob).collect::<Result<_, _>>()?,
        addresses: rule
            .addresses
            .iter()
            .map(network)
            .collect::<Result<_, _>>()?,
    })
}

fn whom(text: &str) -> Result<Whom, Wrong> {
    let exact = "name the host, or `*.` and a domain that is one owner's";
    let Some(suffix) = text.strip_prefix("*.") else {
        if text.contains('*') {
            let why = "a star stands for whole labels in front, and nowhere else";
            return Err((why.into(), exact));
        }
        let host = Host::parse(text.as_bytes()).map_err(|e| (e.to_string(), exact))?;
        return Ok(Whom::Exactly(host));
    };
    let host = Host::parse(suffix.as_bytes()).map_err(|e| (e.to_string(), exact))?;
    let Host::Name(suffix) = host else {
        return Err(("an address has no names below it".into(), exact));
    };
    // What everybody can register in belongs to nobody in particular.
    let shared = psl::suffix_str(&suffix).is_none_or(|public| public == suffix);
    if shared {
        return Err((format!("anybody can have a name below `{suffix}`"), exact));
    }
    Ok(Whom::Below(suffix))
}
