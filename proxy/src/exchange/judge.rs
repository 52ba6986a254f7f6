//! What a request is about, and whether the policy lets it pass.

use belljar_model::door::Decision;
use belljar_model::{Reason, Rule};

use super::{Context, Denial, Scheme, Source};
use crate::authority::Authority;
use crate::http::{RequestHead, Target};
use crate::policy::canonical_path;

/// A request that may pass.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) authority: Authority,
    /// The canonical path, with the query as it came.
    pub(super) target: String,
    pub(super) rule: Option<u32>,
    pub(super) websocket: bool,
    pub(super) expects: bool,
    /// The label of the credential to put in.
    pub(super) credential: Option<String>,
}

/// Headers by which a server may be made to read another method than the one that was judged.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];
/// Another path.
const PATH_OVERRIDES: [&str; 3] = ["x-original-url", "x-rewrite-url", "x-original-uri"];
/// Another host.
const HOST_OVERRIDES: [&str; 4] = [
    "x-forwarded-host",
    "x-host",
    "x-original-host",
    "x-forwarded-server",
];

/// Judges a request and says in the record what it is about.
pub(super) fn judge(
    head: &RequestHead,
    context: &Context,
    decision: &mut Decision,
) -> Result<Judged, Denial> {
    let (authority, raw_target) = whom(head, context, decision)?;
    crate::door::about(decision, &authority, head.host().map(str::as_bytes));
    if decision
        .exchange
        .raw
        .as_ref()
        .is_some_and(|raw| Authority::parse(raw.as_bytes(), Some(context.scheme.port())).is_ok())
    {
        // It differs by its port alone.
        decision.exchange.raw = None;
    }
    let (raw_path, query) = match raw_target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw_target.as_str(), None),
    };
    let path = if raw_path == "*" {
        "*".to_owned()
    } else {
        canonical_path(raw_path).map_err(|e| {
            decision.exchange.path = Some(crate::log::shown(raw_path.as_bytes()));
            Denial::new(Reason::BadRequest, format!("path: {e}"))
        })?
    };
    decision.exchange.path = Some(shown(&path, query).into());
    let policy = &context.shared.policy;
    let verdict = policy.request(&authority, &head.method, &path);
    crate::door::judged(decision, &verdict, &authority);
    if !verdict.allow {
        return Err(Denial::new(verdict.reason, ""));
    }
    let rule = verdict.rule.and_then(|n| policy.rule(n));
    let websocket = protocol(head, rule, context)?;
    body(head, rule)?;
    overrides(head, rule)?;
    let may_push = |path: &str| {
        let repository = path.rsplit_once("/info/refs").map_or(path, |(r, _)| r);
        let pack = match repository.strip_suffix("/git-receive-pack") {
            Some(_) => repository.to_owned(),
            None => format!("{repository}/git-receive-pack"),
        };
        policy.request(&authority, "POST", &pack).allow
    };
    hidden_service(head, &path, query, rule, may_push)?;
    let expects = expects(head)?;
    let plain = context.scheme == Scheme::Http;
    let credential = context
        .shared
        .relay
        .secrets
        .route(head, &raw_target, &authority, &path, plain)
        .map_err(|label| Denial::new(Reason::SecretMisroute, format!("credential {label}")))?;
    decision.exchange.credential.clone_from(&credential);
    Ok(Judged {
        target: match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        },
        authority,
        rule: verdict.rule,
        websocket,
        expects,
        credential,
    })
}

/// The one authority that target, `Host` and connection agree on, and the target's path and query.
fn whom(
    head: &RequestHead,
    context: &Context,
    decision: &mut Decision,
) -> Result<(Authority, String), Denial> {
    let port = context.scheme.port();
    let parse = |text: &str, what| {
        Authority::parse(text.as_bytes(), Some(port))
            .map_err(|e| Denial::new(Reason::BadRequest, format!("{what}: {e}")))
    };
    let form = |why| Err(Denial::new(Reason::FormDenied, why));
    let (authority, target) = match (&head.target, &context.fixed) {
        (Target::Absolute { authority, path }, None) => {
            decision.host = authority.as_str().into();
            (parse(authority, "target")?, path.clone())
        }
        (_, None) => return form("this door takes absolute targets only"),
        (Target::Origin(path), Some(fixed)) => (fixed.clone(), path.clone()),
        (Target::Asterisk, Some(fixed)) => (fixed.clone(), "*".into()),
        (Target::Absolute { .. } | Target::Authority(_), Some(_)) => {
            return form("this connection takes origin targets only");
        }
    };
    if let Some(host) = head.host() {
        let named = parse(host, "Host")?;
        if named != authority {
            decision.exchange.raw = Some(crate::log::shown(host.as_bytes()));
            crate::door::about(decision, &authority, Some(host.as_bytes()));
            return Err(Denial::new(
                Reason::AuthorityMismatch,
                format!("Host is not {authority}"),
            ));
        }
    }
    Ok((authority, target))
}

/// Whether it becomes a WebSocket; every other change of protocol is denied.
fn protocol(head: &RequestHead, rule: Option<&Rule>, context: &Context) -> Result<bool, Denial> {
    if head.method == "TRACE" || head.method == "CONNECT" {
        return Err(Denial::new(Reason::MethodNotAllowed, "never allowed"));
    }
    let wanted = head.headers.list("upgrade");
    // An offer that a server may pass over (Java's client makes it of every request in the clear). It
    // is never handed on, so nobody takes it up.
    if !head.upgrades() || wanted == ["h2c"] {
        return Ok(false);
    }
    let live = matches!(context.shared.relay.source, Source::Servers);
    let may = live && rule.is_some_and(|r| r.websocket) && head.method == "GET";
    if may && wanted == ["websocket"] && !head.framing.has_body() {
        return Ok(true);
    }
    Err(Denial::new(Reason::UpgradeDenied, wanted.join(", ")))
}

/// A body where none belongs can carry anything out.
fn body(head: &RequestHead, rule: Option<&Rule>) -> Result<(), Denial> {
    let bodiless = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
    if bodiless && head.framing.has_body() && rule.is_some_and(|r| !any_method(r)) {
        let why = format!("a body on {}", head.method);
        return Err(Denial::new(Reason::MethodNotAllowed, why));
    }
    Ok(())
}

fn any_method(rule: &Rule) -> bool {
    rule.methods.iter().any(|m| m == "*")
}

fn overrides(head: &RequestHead, rule: Option<&Rule>) -> Result<(), Denial> {
    let found = |names: &[&'static str]| names.iter().copied().find(|n| head.headers.has(n));
    if let Some(name) = found(&HOST_OVERRIDES) {
        return Err(Denial::new(Reason::AuthorityMismatch, name));
    }
    let Some(rule) = rule else { return Ok(()) };
    if let Some(name) = found(&METHOD_OVERRIDES)
        && !any_method(rule)
    {
        return Err(Denial::new(Reason::MethodNotAllowed, name));
    }
    if let Some(name) = found(&PATH_OVERRIDES)
        && !(any_method(rule) && rule.paths.is_empty())
    {
        return Err(Denial::new(Reason::PathNotAllowed, name));
    }
    Ok(())
}

/// What hides in a request that looks like any other: name look-ups, and pushes of git.
fn hidden_service(
    head: &RequestHead,
    path: &str,
    query: Option<&str>,
    rule: Option<&Rule>,
    may_push: impl Fn(&str) -> bool,
) -> Result<(), Denial> {
    let named = rule.is_some_and(|r| !r.paths.is_empty());
    let parameters = || query.unwrap_or_default().split('&');
    let dns_type = ["accept", "content-type"]
        .iter()
        .flat_map(|name| head.headers.list(name))
        .any(|kind| kind.starts_with("application/dns-"));
    let doh =
        dns_type || path.ends_with("/dns-query") || parameters().any(|p| p.starts_with("dns="));
    if doh && !named {
        return Err(Denial::new(
            Reason::DohSuspect,
            "a name look-up inside HTTP",
        ));
    }
    let push = path.ends_with("/git-receive-pack")
        || parameters().any(|p| p.eq_ignore_ascii_case("service=git-receive-pack"));
    if push && !(named && may_push(path)) {
        return Err(Denial::new(
            Reason::PathNotAllowed,
            "a push of git needs a rule with this path and POST",
        ));
    }
    Ok(())
}

fn expects(head: &RequestHead) -> Result<bool, Denial> {
    match head.headers.get("expect") {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(head.framing.has_body()),
        Some(_) => Err(Denial::new(Reason::BadRequest, "Expect")),
    }
}

/// A path for records: of a query only the names of its parameters.
fn shown(path: &str, query: Option<&str>) -> String {
    let Some(query) = query else {
        return path.to_owned();
    };
    let names: Vec<&str> = query
        .split('&')
        .map(|p| p.split_once('=').map_or("", |(name, _)| name))
        .collect();
    format!("{path}?{}", names.join("&"))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn no_value_of_a_query_is_shown() {
        assert_eq!(shown("/x", None), "/x");
        assert_eq!(shown("/x", Some("a=1&token=s3cret")), "/x?a&token");
        // A lone word may be the secret itself.
        assert_eq!(shown("/x", Some("s3cret")), "/x?");
    }
}
