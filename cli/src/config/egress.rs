//! `[egress]` of `belljar.toml` and `--allow`, as one policy: defaults filled in, everything
//! canonical, and nothing of where a credential comes from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use belljar_model::{Credential, EgressLimits, Fetch, Policy, Rule, Scheme, Tls};
use belljar_proxy::credential::Origin;
use belljar_proxy::policy::{Compiled, PolicyError};
use serde::Deserialize;

use super::below;
use super::file::one;
use crate::args::values::{Allowed, Count, Size, WallTime};
use crate::errors::CommandError;

/// `[egress]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// For rules that do not say it.
    pub tls: Option<Tls>,
    /// Whether the build is told of the proxy by its variables.
    pub proxy_env: Option<bool>,
    pub limits: Limits,
    pub allow: Vec<Allow>,
    pub credential: BTreeMap<String, Bound>,
}

/// `[egress.limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[serde(deserialize_with = "one")]
    pub connections: Option<Count>,
    #[serde(deserialize_with = "one")]
    pub head_bytes: Option<Size>,
    #[serde(deserialize_with = "one")]
    pub head_timeout: Option<WallTime>,
    #[serde(deserialize_with = "one")]
    pub idle_timeout: Option<WallTime>,
    #[serde(deserialize_with = "one")]
    pub total_bytes: Option<Size>,
}

/// `[[egress.allow]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    pub host: String,
    pub port: Option<u16>,
    pub ports: Option<Vec<u16>>,
    pub methods: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
    #[serde(default)]
    pub addresses: Vec<String>,
    pub tls: Option<Tls>,
    #[serde(default)]
    pub raw: bool,
    #[serde(default)]
    pub websocket: bool,
    #[serde(default, deserialize_with = "one")]
    pub max_up: Option<Size>,
    #[serde(default, deserialize_with = "one")]
    pub max_down: Option<Size>,
    pub reason: Option<String>,
}

/// `[egress.credential.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub host: String,
    pub port: Option<u16>,
    #[serde(default)]
    pub paths: Vec<String>,
    pub header: Option<String>,
    pub scheme: Option<SchemeName>,
    pub user: Option<String>,
    pub file: Option<PathBuf>,
    pub fd: Option<u32>,
    pub command: Option<Vec<String>>,
    pub env: Option<String>,
}

/// How a credential is written into its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    Plain,
    Bearer,
    Basic,
}

impl Egress {
    /// Files that it names as the folder of `belljar.toml` sees them.
    pub(super) fn below(&mut self, dir: &Path) {
        for bound in self.credential.values_mut() {
            bound.file = bound.file.take().map(|file| below(dir, file));
        }
    }

    /// The policy, and where its credentials come from. Flags add to the file's rules, behind them.
    pub fn policy(
        &self,
        flags: &[Allowed],
        replayed: bool,
    ) -> Result<(Policy, BTreeMap<String, Origin>), CommandError> {
        let mut policy = Policy {
            limits: self.limits.filled(),
            no_proxy_env: self.proxy_env == Some(false),
            ..Policy::default()
        };
        let mut origins = BTreeMap::new();
        for (label, bound) in &self.credential {
            let (credential, origin) = bound.read(label)?;
            policy.credential.insert(label.clone(), credential);
            origins.insert(label.clone(), origin);
        }
        for (place, allow) in self.allow.iter().enumerate() {
            let rule = allow.rule(self, replayed);
            let rule = rule.map_err(|(why, hint)| {
                CommandError::usage(format!("egress rule {}: {why}", place + 1)).hint(hint)
            })?;
            policy.allow.push(rule);
        }
        for flag in flags {
            let tls = if replayed {
                Some(Tls::Inspect)
            } else {
                self.tls
            };
            policy.allow.push(Rule {
                tls: tls.unwrap_or_default(),
                ..flag.0.clone()
            });
        }
        if replayed && !policy.allow.is_empty() {
            policy.fetch = Fetch::Replayed;
        }
        let compiled = Compiled::new(&policy)?;
        Ok((compiled.policy().clone(), origins))
    }
}

impl From<PolicyError> for CommandError {
    fn from(e: PolicyError) -> Self {
        Self::usage(e.to_string()).hint(e.fault.hint())
    }
}

impl Limits {
    fn filled(&self) -> EgressLimits {
        let default = EgressLimits::default();
        let ms = |time: Option<WallTime>, otherwise| {
            time.map_or(otherwise, |WallTime(t)| {
                u64::try_from(t.as_millis()).unwrap_or(u64::MAX)
            })
        };
        EgressLimits {
            connections: self.connections.map_or(default.connections, |Count(n)| n),
            head_bytes: self.head_bytes.map_or(default.head_bytes, |Size(n)| {
                u32::try_from(n).unwrap_or(u32::MAX)
            }),
            head_ms: ms(self.head_timeout, default.head_ms),
            idle_ms: ms(self.idle_timeout, default.idle_ms),
            total_bytes: self.total_bytes.map(|Size(n)| n),
        }
    }
}

/// A sentence, and what to do.
type Wrong = (String, &'static str);

impl Allow {
    fn rule(&self, all: &Egress, replayed: bool) -> Result<Rule, Wrong> {
        let ports = match (self.port, &self.ports) {
            (Some(_), Some(_)) => {
                return Err((
                    "`port` and `ports` are both there".into(),
                    "leave one of them out",
                ));
            }
            (Some(port), None) => vec![port],
            (None, Some(ports)) => ports.clone(),
            (None, None) => Rule::PORTS.into(),
        };
        if self.paths.as_ref().is_some_and(Vec::is_empty) {
            let why = "`paths` is empty, and would allow no path";
            return Err((why.into(), "leave `paths` out for every path"));
        }
        let tls = self.tls(all, &ports, replayed)?;
        let default = || Rule::METHODS.map(str::to_owned).to_vec();
        Ok(Rule {
            host: self.host.clone(),
            ports,
            methods: self.methods.clone().unwrap_or_else(default),
            paths: self.paths.clone().unwrap_or_default(),
            addresses: self.addresses.clone(),
            tls,
            raw: self.raw,
            websocket: self.websocket,
            max_up: self.max_up.map_or(Rule::MAX_UP, |Size(n)| n),
            max_down: self.max_down.map(|Size(n)| n),
            reason: self.reason.clone(),
        })
    }

    /// Whether TLS is opened: where it is said, or where something has to be seen.
    fn tls(&self, all: &Egress, ports: &[u16], replayed: bool) -> Result<Tls, Wrong> {
        let credential = |c: &Bound| c.host == self.host && ports.contains(&c.port());
        let sees = [
            (self.methods.is_some(), "`methods`"),
            (self.paths.is_some(), "`paths`"),
            (self.websocket, "`websocket`"),
            (all.credential.values().any(credential), "a credential"),
        ];
        let sees = sees.iter().find(|(is, _)| *is).map(|(_, what)| *what);
        let pair = "`belljar verify` records what run A fetches, and has to see it";
        match (self.raw, self.tls, sees) {
            (true, ..) if replayed => Err((
                format!("{pair}; `raw` lets anything pass unseen"),
                "fetch it before with `belljar run`, and verify without the rule",
            )),
            (true, _, Some(what)) => Err((
                format!("`raw` lets anything pass unseen, so it can't stand with {what}"),
                "leave one of them out, or make two rules with different ports",
            )),
            (true, tls, None) => Ok(tls.unwrap_or_default()),
            (false, Some(Tls::Tunnel), _) if replayed => Err((
                format!("{pair}; `tls = \"tunnel\"` lets TLS pass unseen"),
                "leave `tls` out, or use `belljar run`",
            )),
            (false, Some(Tls::Tunnel), Some(what)) => Err((
                format!("{what} can't be held to where TLS passes unseen"),
                "leave `tls = \"tunnel\"` out",
            )),
            (false, _, Some(_)) => Ok(Tls::Inspect),
            (false, ..) if replayed => Ok(Tls::Inspect),
            (false, tls, None) => Ok(tls.or(all.tls).unwrap_or_default()),
        }
    }
}

impl Bound {
    fn port(&self) -> u16 {
        self.port.unwrap_or(443)
    }

    fn read(&self, label: &str) -> Result<(Credential, Origin), CommandError> {
        let wrong = |why: &str, hint: &str| {
            let label = label.escape_debug();
            CommandError::usage(format!("egress credential `{label}`: {why}")).hint(hint)
        };
        let origins = [
            self.file.clone().map(Origin::File),
            self.fd.map(Origin::Fd),
            self.command.clone().map(Origin::Command),
            self.env.clone().map(Origin::Env),
        ];
        let mut origins = origins.into_iter().flatten();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return Err(wrong(
                "its value comes from exactly one of `file`, `fd`, `command` and `env`",
                "name the one place that has it; the value itself never stands in the file",
            ));
        };
        if matches!(&origin, Origin::Command(words) if words.is_empty()) {
            return Err(wrong(
                "its command has no word",
                "such as [\"pass\", \"show\", \"x\"]",
            ));
        }
        let scheme = match (self.scheme.unwrap_or(SchemeName::Bearer), &self.user) {
            (SchemeName::Basic, Some(user)) => Scheme::Basic { user: user.clone() },
            (SchemeName::Basic, None) => {
                return Err(wrong(
                    "`scheme = \"basic\"` needs a user",
                    "add user = \"NAME\"",
                ));
            }
            (_, Some(_)) => {
                return Err(wrong(
                    "a user belongs to `scheme = \"basic\"` alone",
                    "leave `user` out",
                ));
            }
            (SchemeName::Bearer, None) => Scheme::Bearer,
            (SchemeName::Plain, None) => Scheme::Plain,
        };
        let credential = Credential {
            host: self.host.clone(),
            port: self.port(),
            paths: self.paths.clone(),
            header: self
                .header
                .clone()
                .unwrap_or_else(|| "authorization".into()),
            scheme,
        };
        Ok((credential, origin))
    }
}

#[cfg(test)]
mod tests;
