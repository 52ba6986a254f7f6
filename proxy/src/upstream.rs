//! The host's own proxy, for those who sit behind one: which destinations go through it, and how it
//! is asked.
//!
//! It is always asked by `CONNECT`, for ports of plain HTTP as well, so that what is said to the
//! destination stays between the two ends. Its URL may hold a password, which is shown nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ProxyError;

/// No answer of such a proxy is longer.
const LONGEST_ANSWER: usize = 8 * 1024;

/// The host's proxies, and what does not go through them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Upstream {
    plain: Option<Server>,
    tls: Option<Server>,
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}:{})", self.host, self.port)
    }
}

/// An entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
enum Direct {
    All,
    /// The name itself and every name below it, or only those below it.
    Name {
        suffix: String,
        below: bool,
        port: Option<u16>,
    },
    Network {
        network: IpAddr,
        bits: u8,
        port: Option<u16>,
    },
}

impl Upstream {
    /// From the host's variables; the lower-case spelling is looked at first, as curl does.
    pub(crate) fn new(variables: &BTreeMap<String, String>) -> Result<Self, ProxyError> {
        let of = |name: &str| {
            let lower = variables.get(&name.to_ascii_lowercase());
            lower
                .or_else(|| variables.get(name))
                .map(|v| (name.to_owned(), v.as_str()))
        };
        let server = |names: [&str; 2]| {
            let found = names.into_iter().find_map(of);
            found
                .map(|(name, url)| Server::parse(&name, url))
                .transpose()
        };
        let direct = of("NO_PROXY").map_or(Vec::new(), |(_, list)| {
            list.split([',', ' ', '\t'])
                .filter(|entry| !entry.is_empty())
                .map(direct)
                .collect()
        });
        Ok(Self {
            plain: server(["HTTP_PROXY", "ALL_PROXY"])?,
            tls: server(["HTTPS_PROXY", "ALL_PROXY"])?,
            direct,
        })
    }

    /// The proxy for a destination; `None`: it is dialled directly. Port 80 is plain HTTP, every
    /// other one counts as TLS.
    pub(crate) fn server(&self, name: &str, address: Option<IpAddr>, port: u16) -> Option<&Server> {
        let server = if port == 80 { &self.plain } else { &self.tls };
        let direct = || self.direct.iter().any(|d| d.matches(name, address, port));
        server.as_ref().filter(|_| !direct())
    }
}

impl Direct {
    fn matches(&self, name: &str, address: Option<IpAddr>, at: u16) -> bool {
        match (self, address) {
            (Self::All, _) => true,
            (
                Self::Name {
                    suffix,
                    below,
                    port,
                },
                None,
            ) => {
                let inside = name
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.ends_with('.') || (rest.is_empty() && !below));
                inside && port.is_none_or(|port| port == at)
            }
            (
                Self::Network {
                    network,
                    bits,
                    port,
                },
                Some(address),
            ) => within(address, *network, *bits) && port.is_none_or(|port| port == at),
            _ => false,
        }
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            (a.to_bits() ^ n.to_bits())
                .checked_shr(32 - bits)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            (a.to_bits() ^ n.to_bits())
                .checked_shr(128 - bits)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

fn direct(entry: &str) -> Direct {
    if entry == "*" {
        return Direct::All;
    }
    if let Some((network, bits)) = entry.split_once('/')
        && let (Ok(network), Ok(bits)) = (bare(network).parse::<IpAddr>(), bits.parse::<u8>())
        && bits <= if network.is_ipv4() { 32 } else { 128 }
    {
        return Direct::Network {
            network,
            bits,
            port: None,
        };
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse::<u16>().ok())
        }
        _ => (entry, None),
    };
    if let Ok(network) = bare(host).parse::<IpAddr>() {
        let bits = if network.is_ipv4() { 32 } else { 128 };
        return Direct::Network {
            network,
            bits,
            port,
        };
    }
    let suffix = host.trim_start_matches('*').trim_start_matches('.');
    Direct::Name {
        suffix: suffix.trim_end_matches('.').to_ascii_lowercase(),
        // As in Go; curl takes the name without its dot as well.
        below: host.starts_with('.') || host.starts_with('*'),
        port,
    }
}

/// Without brackets.
fn bare(address: &str) -> &str {
    address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address)
}

impl Server {
    fn parse(variable: &str, url: &str) -> Result<Self, ProxyError> {
        let refused = |why: &str| {
            ProxyError::new(
                format!("can't use the proxy of {variable}: {why}"),
                format!("set {variable} to http://HOST:PORT, or unset it"),
            )
        };
        let rest = match url.split_once("://") {
            Some(("http" | "HTTP", rest)) => rest,
            Some(("https" | "HTTPS", _)) => {
                return Err(refused("a proxy that is spoken to by TLS is not supported"));
            }
            Some(_) => return Err(refused("only HTTP proxies are supported")),
            None => url,
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (
                host,
                port.parse().map_err(|_| refused("its port is no number"))?,
            ),
            _ => (place, 80),
        };
        let host = bare(host).to_ascii_lowercase();
        if host.is_empty() || port == 0 {
            return Err(refused("it names no host"));
        }
        let authorization = user
            .map(|user| {
                let user = decode(user).ok_or_else(|| refused("its user is badly encoded"))?;
                Ok(format!("Basic {}", BASE64.encode(&user)))
            })
            .transpose()?;
        Ok(Self {
            host,
            port,
            authorization,
        })
    }

    /// Asks for a connection to `target` (`host:port`) on a connection to this proxy.
    pub(crate) async fn connect(&self, stream: &mut TcpStream, target: &str) -> Result<(), String> {
        let mut ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(value) = &self.authorization {
            ask.push_str("Proxy-Authorization: ");
            ask.push_str(value);
            ask.push_str("\r\n");
        }
        ask.push_str("\r\n");
        let broken = |_| "the host's proxy broke off".to_owned();
        stream.write_all(ask.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= LONGEST_ANSWER {
                return Err("the host's proxy answers without an end".into());
            }
            // One by one: what follows the head is the destination's.
            answer.push(stream.read_u8().await.map_err(broken)?);
        }
        match status(&answer) {
            Some(200..=299) => Ok(()),
            Some(status) => Err(format!("the host's proxy answers {status}")),
            None => Err("the host's proxy does not answer as one".into()),
        }
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(_)) => response.code,
        _ => None,
    }
}

/// Undoes percent-encoding. Control characters don't belong into a header.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect()
    }

    #[test]
    fn a_proxy_is_chosen_by_port_and_spelling() {
        let up = Upstream::new(&variables(&[
            ("HTTPS_PROXY", "http://upper.example:1"),
            ("https_proxy", "http://user:p%40ss@lower.example:3128/"),
            ("HTTP_PROXY", "plain.example"),
        ]))
        .unwrap();
        let tls = up.server("a.example", None, 443).unwrap();
        assert_eq!((tls.host.as_str(), tls.port), ("lower.example", 3128));
        assert_eq!(tls.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        let plain = up.server("a.example", None, 80).unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("plain.example", 80));
        assert!(!format!("{up:?}").contains("dXNlc"));
        let six = Upstream::new(&variables(&[("all_proxy", "http://[2001:db8::1]:8080")])).unwrap();
        assert_eq!(six.server("a", None, 80).unwrap().host, "2001:db8::1");
    }

    #[test]
    fn what_is_no_plain_proxy_is_refused_without_its_password() {
        for url in [
            "https://u:secret@p.example",
            "socks5://u:secret@p.example:1080",
            "http://u:secret@",
            "http://u:secret@p.example:x",
            "http://u:secret%zz@p.example",
        ] {
            let error = Upstream::new(&variables(&[("HTTPS_PROXY", url)])).unwrap_err();
            assert!(
                error.why.contains("HTTPS_PROXY") && !error.why.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_proxy_is_read_as_others_read_it() {
        let up = Upstream::new(&variables(&[
            ("HTTPS_PROXY", "http://p.example:1"),
            ("NO_PROXY", "a.example, .b.example,*.c.example 192.0.2.0/24,198.51.100.7,[2001:db8::]/32,d.example:8443"),
        ]))
        .unwrap();
        let direct = |name: &str, port| up.server(name, None, port).is_none();
        for (name, port, expected) in [
            ("a.example", 443, true),
            ("x.a.example", 443, true),
            ("xa.example", 443, false),
            ("b.example", 443, false),
            ("x.b.example", 443, true),
            ("x.c.example", 443, true),
            ("d.example", 443, false),
            ("d.example", 8443, true),
            ("192.0.2.example", 443, false),
        ] {
            assert_eq!(direct(name, port), expected, "{name}:{port}");
        }
        for (address, expected) in [
            ("192.0.2.200", true),
            ("192.0.3.1", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(
                up.server(address, Some(ip), 443).is_none(),
                expected,
                "{address}"
            );
        }
        let all = variables(&[("http_proxy", "http://p.example"), ("no_proxy", "*")]);
        assert!(Upstream::new(&all).unwrap().server("a", None, 80).is_none());
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(url in ".{0,60}", list in ".{0,60}", port: u16) {
            if let Ok(up) = Upstream::new(&variables(&[("HTTPS_PROXY", &url), ("NO_PROXY", &list)])) {
                let _ = up.server("a.example", None, port);
                let _ = up.server("::1", Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])), port);
            }
        }
    }
}
