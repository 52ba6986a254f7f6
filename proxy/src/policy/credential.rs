//! Credentials of a policy: where one may be put. Its value is known elsewhere.

use belljar_model::{Credential, Fetch, Scheme, Tls};

use super::error::Fault;
use super::rule::{Rule, globs, is_metadata};
use crate::authority::{Authority, Host};

/// Headers that say where a request goes, or how it is framed.
const NOT: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Holds a credential to one host that can be reached with TLS opened, and leaves it canonical.
pub(super) fn check(
    label: &str,
    credential: &mut Credential,
    rules: &[Rule],
    fetch: Fetch,
) -> Result<(), Fault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if label.is_empty() || label.len() > 64 || !label.bytes().all(plain) {
        return Err(Fault::Label);
    }
    let host = Host::parse(credential.host.as_bytes());
    let host = host.map_err(|_| Fault::CredentialHost(credential.host.clone()))?;
    if is_metadata(&host) {
        return Err(Fault::Metadata(host.to_string()));
    }
    credential.host = host.to_string();
    globs(&mut credential.paths)?;
    credential.header.make_ascii_lowercase();
    header(&credential.header)?;
    if let Scheme::Basic { user } = &credential.scheme
        && user.chars().any(|c| c == ':' || c.is_control())
    {
        return Err(Fault::User);
    }
    let port = credential.port;
    if port == 0 {
        return Err(Fault::PortZero);
    }
    let to = Authority::new(host, port);
    let used = |rule: &Rule| {
        rule.refuses(&to, None).is_none()
            && (rule.model().tls == Tls::Inspect || fetch == Fetch::Replayed)
    };
    if fetch != Fetch::Learn && !rules.iter().any(used) {
        return Err(Fault::Unused {
            host: credential.host.clone(),
            port,
        });
    }
    Ok(())
}

fn header(name: &str) -> Result<(), Fault> {
    let token =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    let fine = !name.is_empty() && name.len() <= 64 && name.bytes().all(token);
    if !fine || NOT.contains(&name) || name.starts_with("proxy-") {
        return Err(Fault::Header(name.into()));
    }
    Ok(())
}
