//! Credentials: read on the host by label, put into the requests they are bound to, and looked for
//! wherever they do not belong. Their values are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use belljar_model::{Credential, Scheme};
use data_encoding::BASE64;

use crate::authority::{Authority, Host};
use crate::http::RequestHead;
use crate::policy::Glob;
use crate::{ProxyError, http};

/// No value is longer.
const LONGEST: u64 = 64 * 1024;
/// A value that is shorter is found everywhere, and looked for nowhere.
const SHORTEST_SEARCHED: usize = 8;
/// What a build writes where the value of a credential belongs, followed by its label.
const PLACEHOLDER: &[u8] = b"belljar-credential:";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This descriptor of this process.
    Fd(u32),
    /// This file.
    File(PathBuf),
    /// What this command writes.
    Command(Vec<String>),
    /// This variable of this process.
    Env(String),
}

/// A value. Not printed, and cleared when it is dropped.
struct Secret(Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

struct Bound {
    host: Host,
    port: u16,
    /// None: every path.
    paths: Vec<Glob>,
    header: String,
    /// The header's value, whole.
    value: Secret,
    /// The value in every spelling it may be echoed in.
    needles: Vec<Secret>,
}

/// All credentials of a run.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Bound>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Reads the values of the policy's credentials.
    pub fn read(
        credentials: &BTreeMap<String, Credential>,
        origins: &BTreeMap<String, Origin>,
    ) -> Result<Self, ProxyError> {
        let mut all = BTreeMap::new();
        for (label, credential) in credentials {
            let origin = origins.get(label).ok_or_else(|| {
                ProxyError::new(
                    format!("the credential {label} comes from nowhere"),
                    "say fd, file, command or env",
                )
            })?;
            let value = value(origin).map_err(|e| {
                ProxyError::new(
                    format!("can't read the credential {label}: {e}"),
                    "see that it can be read by the user who starts belljar",
                )
            })?;
            all.insert(label.clone(), bind(label, credential, value)?);
        }
        Ok(Self(all))
    }

    /// The label of the credential to put into this request, if there is one; or the label of one that
    /// is asked for where it is not bound.
    pub(crate) fn route(
        &self,
        head: &RequestHead,
        target: &str,
        authority: &Authority,
        path: &str,
        plain: bool,
    ) -> Result<Option<String>, String> {
        let bound = |bound: &&Bound| {
            bound.host == *authority.host()
                && bound.port == authority.port()
                // In the clear only where the binding says so, by a port that is not that of TLS.
                && !(plain && bound.port == 443)
                && (bound.paths.is_empty() || bound.paths.iter().any(|glob| glob.matches(path)))
        };
        let here = self
            .0
            .iter()
            .find(|(_, b)| bound(b))
            .map(|(label, _)| label);
        let asked = head
            .headers
            .iter()
            .map(|h| h.value.as_slice())
            .chain([target.as_bytes()])
            .find_map(placeholder);
        if let Some(label) = asked
            && here.is_none_or(|h| *h != label)
        {
            return Err(label);
        }
        // The value itself, in the hands of the build: it came by another way than this.
        for header in head.headers.iter() {
            if let Some((label, _)) = self.0.iter().find(|(_, b)| b.is_in(&header.value)) {
                return Err(label.clone());
            }
        }
        Ok(here.cloned())
    }

    /// The header that carries it.
    pub(crate) fn header(&self, label: &str) -> Option<(&str, &[u8])> {
        let bound = self.0.get(label)?;
        Some((&bound.header, &bound.value.0))
    }

    /// Whether a value is in these bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        self.0.values().any(|bound| bound.is_in(bytes))
    }

    /// A search through bytes that come in pieces.
    pub(crate) fn search(&self) -> Search<'_> {
        Search {
            secrets: self,
            held: Vec::new(),
        }
    }

    fn needles(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .values()
            .flat_map(|b| &b.needles)
            .map(|n| n.0.as_slice())
    }
}

impl Bound {
    fn is_in(&self, bytes: &[u8]) -> bool {
        self.needles.iter().any(|n| find(bytes, &n.0))
    }
}

/// See [`Secrets::search`].
pub(crate) struct Search<'a> {
    secrets: &'a Secrets,
    /// The end of what came, as far as it may be the beginning of a value.
    held: Vec<u8>,
}

impl Search<'_> {
    /// What may pass of the bytes so far, and whether a value is in them.
    pub(crate) fn pass(&mut self, data: &[u8], over: bool) -> (Vec<u8>, bool) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(data);
        let found = self.secrets.holds(&bytes);
        if !over {
            let held = self
                .secrets
                .needles()
                .map(|needle| overlap(&bytes, needle))
                .max()
                .unwrap_or(0);
            self.held = bytes.split_off(bytes.len() - held);
        }
        (bytes, found)
    }
}

/// How long the end of the bytes is that a value may begin with.
fn overlap(bytes: &[u8], needle: &[u8]) -> usize {
    (1..needle.len().min(bytes.len() + 1))
        .rev()
        .find(|n| bytes.ends_with(&needle[..*n]))
        .unwrap_or(0)
}

fn find(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| b == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

fn placeholder(bytes: &[u8]) -> Option<String> {
    let at = bytes
        .windows(PLACEHOLDER.len())
        .position(|w| w == PLACEHOLDER)?;
    let label: Vec<u8> = bytes[at + PLACEHOLDER.len()..]
        .iter()
        .copied()
        .take_while(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        .take(64)
        .collect();
    Some(String::from_utf8_lossy(&label).into_owned())
}

fn bind(label: &str, credential: &Credential, value: Secret) -> Result<Bound, ProxyError> {
    let wrong = |why: String| {
        ProxyError::new(
            format!("the credential {label} {why}"),
            "see [egress.credential] in docs/egress.md",
        )
    };
    let printable = |b: &u8| (32..127).contains(b);
    if value.0.is_empty() || !value.0.iter().all(printable) {
        return Err(wrong(
            "is empty, or is not one line of printable text".into(),
        ));
    }
    let header = http::header_name(&credential.header)
        .ok_or_else(|| wrong("names no header that can carry it".into()))?;
    let host = Host::parse(credential.host.as_bytes())
        .map_err(|e| wrong(format!("is bound to no host: {e}")))?;
    let mut paths = Vec::new();
    for path in &credential.paths {
        match Glob::parse(path) {
            Ok(Some(glob)) => paths.push(glob),
            _ => return Err(wrong(format!("is bound to no path glob: {path:?}"))),
        }
    }
    let written = match &credential.scheme {
        Scheme::Plain => value.0.clone(),
        Scheme::Bearer => [b"Bearer ".as_slice(), &value.0].concat(),
        Scheme::Basic { user } => {
            let pair = Secret([user.as_bytes(), b":", &value.0].concat());
            format!("Basic {}", BASE64.encode(&pair.0)).into_bytes()
        }
    };
    let mut needles = Vec::new();
    if value.0.len() >= SHORTEST_SEARCHED {
        if let Scheme::Basic { .. } = credential.scheme {
            needles.push(Secret(written["Basic ".len()..].to_vec()));
        }
        needles.push(Secret(
            BASE64
                .encode(&value.0)
                .trim_end_matches('=')
                .as_bytes()
                .to_vec(),
        ));
        needles.push(value);
    }
    Ok(Bound {
        host,
        port: credential.port,
        paths,
        header,
        value: Secret(written),
        needles,
    })
}

fn value(origin: &Origin) -> io::Result<Secret> {
    let mut value = Secret(Vec::new());
    let mut take = |from: &mut dyn Read| from.take(LONGEST + 1).read_to_end(&mut value.0);
    match origin {
        // A descriptor is opened anew by its name: nothing here may take it over.
        Origin::Fd(fd) => take(&mut File::open(format!("/proc/self/fd/{fd}"))?)?,
        Origin::File(path) => take(&mut File::open(path)?)?,
        Origin::Env(name) => {
            let text = std::env::var(name).map_err(io::Error::other)?;
            take(&mut text.as_bytes())?
        }
        Origin::Command(words) => {
            let (program, arguments) = words
                .split_first()
                .ok_or_else(|| io::Error::other("the command is empty"))?;
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            let read = child.stdout.take().map_or(Ok(0), |mut out| take(&mut out));
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("the command failed: {status}")));
            }
            read?
        }
    };
    if value.0.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too long"));
    }
    while matches!(value.0.last(), Some(b'\n' | b'\r')) {
        value.0.pop();
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_request;

    fn secrets() -> Secrets {
        let credential = Credential {
            host: "a.example".into(),
            port: 443,
            paths: vec!["/private/**".into()],
            header: "authorization".into(),
            scheme: Scheme::Bearer,
        };
        let bound = bind("forge", &credential, Secret(b"s3cret-value".to_vec()));
        Secrets([("forge".to_owned(), bound.ok().unwrap())].into())
    }

    fn route(header: &str, at: &str, path: &str, plain: bool) -> Result<Option<String>, String> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{header}\r\n");
        let (head, _) = parse_request(text.as_bytes(), 999).unwrap().unwrap();
        let authority = Authority::parse(at.as_bytes(), None).unwrap();
        secrets().route(&head, path, &authority, path, plain)
    }

    #[test]
    fn it_goes_where_it_is_bound_and_nowhere_else() {
        let here = Ok(Some("forge".to_owned()));
        let (a, path) = ("a.example:443", "/private/x");
        assert_eq!(route("", a, path, false), here);
        assert_eq!(route("", a, "/public/x", false), Ok(None));
        assert_eq!(route("", "a.example:8443", path, false), Ok(None));
        assert_eq!(route("", "b.example:443", path, false), Ok(None));
        assert_eq!(route("", a, path, true), Ok(None));
        let asks = "X: Bearer belljar-credential:forge\r\n";
        assert_eq!(route(asks, a, path, false), here);
        for at in ["b.example:443", "a.example:80"] {
            assert_eq!(route(asks, at, path, false), Err("forge".into()));
        }
        assert_eq!(route(asks, a, "/public/x", false), Err("forge".into()));
        assert_eq!(
            route("X: belljar-credential:other\r\n", a, path, false),
            Err("other".into())
        );
        assert_eq!(
            route("X: is s3cret-value ours\r\n", "b.example:443", "/", false),
            Err("forge".into())
        );
    }

    #[test]
    fn an_echo_is_found_in_any_pieces_and_not_let_through() {
        let secrets = secrets();
        let text = b"xxs3cs3cret-value yy";
        for piece in 1..text.len() {
            let (mut search, mut passed, mut found) = (secrets.search(), Vec::new(), false);
            for data in text.chunks(piece) {
                let (bytes, hit) = search.pass(data, false);
                if hit {
                    found = true;
                    break;
                }
                passed.extend(bytes);
            }
            assert!(found, "by {piece}");
            assert!(b"xxs3c".starts_with(&passed[..]), "by {piece}: {passed:?}");
        }
        let mut search = secrets.search();
        let (mut all, _) = search.pass(b"ends with s3c", false);
        all.extend(search.pass(b"", true).0);
        assert_eq!(all, b"ends with s3c");
    }

    #[test]
    fn no_value_is_printed() {
        assert_eq!(format!("{:?}", secrets()), "{\"forge\"}");
    }
}
