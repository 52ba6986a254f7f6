//! `belljar egress check`: what the policy makes of a URL. Pure: nothing is resolved, nothing is
//! sent; what a name resolves to is judged in a run.

use std::process::ExitCode;

use belljar_model::{CheckDoc, Reason, Tls, exit};
use belljar_proxy::authority::{Authority, Host};
use belljar_proxy::policy::{Compiled, Verdict, canonical_target};
use belljar_sandbox::plan::{Caller, Real, places};

use crate::args::CheckArgs;
use crate::config;
use crate::errors::CommandError;
use crate::evidence::network::rules::Wanted;

/// A URL, read as the proxy reads requests.
struct Asked {
    tls: bool,
    to: Authority,
    path: String,
}

/// Judges one URL.
pub fn run(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let caller = Caller::read().map_err(|e| {
        CommandError::usage(format!("could not read the current folder: {e:?}"))
            .hint("change into a folder that exists")
    })?;
    let found = places(".".as_ref(), None, &caller, &Real)?;
    let file = config::find(args.config.as_deref(), &found.workdir, &found.root)?;
    let (policy, _) = file.egress.policy(&args.allow, false)?;
    let answer = answer(&Compiled::new(&policy)?, &args.url, &args.method)?;
    let text = if args.json {
        crate::evidence::json(&answer)
    } else {
        text(&answer).into_bytes()
    };
    super::print(&text)?;
    Ok(ExitCode::from(if answer.allow {
        exit::OK
    } else {
        exit::POLICY
    }))
}

fn answer(policy: &Compiled, url: &str, method: &str) -> Result<CheckDoc, CommandError> {
    let asked = read(url)?;
    let first = policy.authority(&asked.to);
    let tunnel = |verdict: &Verdict| {
        let rule = verdict.rule.and_then(|place| policy.rule(place));
        rule.is_some_and(|rule| rule.raw || (asked.tls && rule.tls == Tls::Tunnel))
    };
    let unseen = first.allow && tunnel(&first);
    let verdict = if unseen {
        first
    } else {
        policy.request(&asked.to, method, &asked.path)
    };
    Ok(CheckDoc {
        schema: CheckDoc::SCHEMA.into(),
        allow: verdict.allow,
        reason: verdict.reason,
        rule: verdict.rule.map(|place| place + 1),
        host: asked.to.host().to_string(),
        port: asked.to.port(),
        method: method.into(),
        fix: fix(&verdict, &asked, method),
        path: asked.path,
        unseen,
    })
}

fn read(url: &str) -> Result<Asked, CommandError> {
    let wrong = |why: &str| {
        CommandError::usage(format!(
            "`{}` is no URL to check: {why}",
            url.escape_debug()
        ))
        .hint("such as https://crates.example/index/config.json")
    };
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let (tls, rest) = match lower.as_str() {
        "https://" => (true, &url[8..]),
        start if start.starts_with("http://") => (false, &url[7..]),
        _ => return Err(wrong("it begins with neither http:// nor https://")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let port = if tls { 443 } else { 80 };
    let to = Authority::parse(authority.as_bytes(), Some(port));
    let to = to.map_err(|e| wrong(&e.to_string()))?;
    // A fragment is never sent.
    let target = target.split('#').next().unwrap_or_default();
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    let target = canonical_target(&target).map_err(|e| wrong(&e.to_string()))?;
    Ok(Asked {
        tls,
        to,
        path: target.path,
    })
}

/// What would allow it; nothing for what no rule can allow.
fn fix(verdict: &Verdict, asked: &Asked, method: &str) -> Option<String> {
    let rule = verdict.rule.map_or(0, |place| place + 1);
    let port = asked.to.port();
    match verdict.reason {
        Reason::HostNotAllowed | Reason::IpLiteral | Reason::PrivateAddress | Reason::EmbedV6 => {
            let ports = if matches!(asked.to.host(), Host::Name(_)) && matches!(port, 80 | 443) {
                Vec::new()
            } else {
                vec![port]
            };
            let wanted = Wanted {
                host: asked.to.host().to_string(),
                ports,
                methods: match method {
                    "GET" | "HEAD" => Vec::new(),
                    method => vec![method.into()],
                },
                ..Wanted::default()
            };
            Some(format!("add\n{}", wanted.toml()))
        }
        Reason::PortNotAllowed => Some(format!("add {port} to `ports` of rule {rule}")),
        Reason::MethodNotAllowed if !matches!(method, "CONNECT" | "TRACE") => Some(format!(
            "add \"{}\" to `methods` of rule {rule}",
            method.escape_debug()
        )),
        Reason::PathNotAllowed => Some(format!("add \"{}\" to `paths` of rule {rule}", asked.path)),
        _ => None,
    }
}

fn text(of: &CheckDoc) -> String {
    let what = format!(
        "{} {}:{}{}",
        of.method.escape_debug(),
        of.host,
        of.port,
        of.path
    );
    if of.allow {
        let rule = of.rule.unwrap_or_default();
        let unseen = if of.unseen {
            "; TLS is not opened, so any method and path pass"
        } else {
            ""
        };
        return format!("allowed: {what} (rule {rule}{unseen})\n");
    }
    let near = match of.rule {
        Some(rule) => format!("; rule {rule} came nearest"),
        None => String::new(),
    };
    let fix = of.fix.as_deref().unwrap_or("no rule can allow it");
    format!(
        "denied: {what} ({}{near})\nfix: {}\n",
        of.reason.name(),
        fix.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use std::path::Path;

    fn said(toml: &str, method: &str, url: &str) -> String {
        let file = read(Path::new("belljar.toml"), toml).unwrap();
        let (policy, _) = file.egress.policy(&[], false).unwrap();
        match answer(&Compiled::new(&policy).unwrap(), url, method) {
            Ok(answer) => text(&answer),
            Err(e) => e.to_string(),
        }
    }

    const RULES: &str = "[[egress.allow]]\nhost = \"a.test\"\n\n[[egress.allow]]\nhost = \"b.test\"\npaths = [\"/ok/**\"]\n";

    #[test]
    fn what_is_said() {
        let asked = [
            ("GET", "https://a.test/x"),
            ("POST", "https://A.test.:443/x"),
            ("POST", "http://a.test/x"),
            ("GET", "https://b.test/ok/../no?secret=1"),
            ("GET", "https://b.test/ok/yes"),
            ("GET", "https://a.test:8443"),
            ("GET", "https://c.test?x"),
            ("PUT", "https://c.test:444/"),
            ("GET", "http://10.0.0.1/"),
            ("GET", "http://169.254.169.254/latest"),
            ("GET", "http://127.1/"),
            ("GET", "https://u@a.test/"),
            ("GET", "ftp://a.test/"),
            ("GET", "https://b.test/%252e"),
        ];
        let said: Vec<_> = asked
            .iter()
            .map(|(method, url)| format!("$ {method} {url}\n{}", said(RULES, method, url)))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
