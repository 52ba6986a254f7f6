//! SOCKS5 (RFC 1928) as far as it is spoken here: no authentication, `CONNECT` alone.
//!
//! Pure; gets all bytes read so far again and again.

use std::net::IpAddr;

/// A greeting and a request are no longer together.
pub const LONGEST: usize = 2 + 255 + 4 + 1 + 255 + 2;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;

/// What is sent back to a greeting: the method taken, or that there is none.
pub const GREETED: [u8; 2] = [VERSION, NO_AUTHENTICATION];
/// None of the methods that were offered is spoken here.
pub const NO_METHOD: [u8; 2] = [VERSION, 0xff];

/// What is sent back to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is connected.
    Succeeded = 0,
    /// No rule allows it.
    NotAllowed = 2,
    /// It can't be reached.
    HostUnreachable = 4,
    /// Another command than `CONNECT`.
    CommandUnknown = 7,
    /// An address of no known kind.
    AddressUnknown = 8,
}

impl Reply {
    /// Its bytes; the address in it is nobody's.
    pub fn bytes(self) -> [u8; 10] {
        [VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Whom a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(IpAddr),
    /// A name, as it came.
    Name(Vec<u8>),
}

/// Why it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSocks {
    /// Something else, or an older version.
    #[error("{0}")]
    Version(&'static str),
    /// Only methods of authentication that are not spoken here.
    #[error("no method without authentication is offered")]
    Method,
    /// `BIND`, `UDP ASSOCIATE` or none.
    #[error("{0}")]
    Command(&'static str),
    /// An address of no known kind.
    #[error("{0}")]
    Address(&'static str),
    /// A name without a letter.
    #[error("an empty name")]
    Empty,
}

impl BadSocks {
    /// What to say to the client, if it would understand it.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Version(_) | Self::Method => None,
            Self::Command(_) => Some(Reply::CommandUnknown),
            Self::Address(_) => Some(Reply::AddressUnknown),
            Self::Empty => Some(Reply::NotAllowed),
        }
    }
}

/// Reads a greeting; where it ends.
pub fn greeting(bytes: &[u8]) -> Result<Option<usize>, BadSocks> {
    match bytes.first() {
        None => return Ok(None),
        Some(&VERSION) => {}
        Some(4) => return Err(BadSocks::Version("SOCKS4")),
        Some(_) => return Err(BadSocks::Version("no SOCKS")),
    }
    let Some(&count) = bytes.get(1) else {
        return Ok(None);
    };
    let end = 2 + usize::from(count);
    let Some(methods) = bytes.get(2..end) else {
        return Ok(None);
    };
    if !methods.contains(&NO_AUTHENTICATION) {
        return Err(BadSocks::Method);
    }
    Ok(Some(end))
}

/// Reads a request; whom it names, the port, and where it ends.
pub fn request(bytes: &[u8]) -> Result<Option<(Target, u16, usize)>, BadSocks> {
    if bytes.first().is_some_and(|version| *version != VERSION) {
        return Err(BadSocks::Version("another version than in the greeting"));
    }
    match bytes.get(1) {
        None => return Ok(None),
        Some(1) => {}
        Some(2) => return Err(BadSocks::Command("BIND")),
        Some(3) => return Err(BadSocks::Command("UDP ASSOCIATE")),
        Some(_) => return Err(BadSocks::Command("no known command")),
    }
    if bytes.get(2).is_some_and(|reserved| *reserved != 0) {
        return Err(BadSocks::Command("a reserved byte is set"));
    }
    let Some((&kind, rest)) = bytes.get(3..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    let (target, rest) = match kind {
        1 => match rest.split_first_chunk::<4>() {
            Some((ip, rest)) => (Target::Address(IpAddr::from(*ip)), rest),
            None => return Ok(None),
        },
        4 => match rest.split_first_chunk::<16>() {
            Some((ip, rest)) => (Target::Address(IpAddr::from(*ip)), rest),
            None => return Ok(None),
        },
        3 => {
            let Some((&length, rest)) = rest.split_first() else {
                return Ok(None);
            };
            if length == 0 {
                return Err(BadSocks::Empty);
            }
            match rest.split_at_checked(length.into()) {
                Some((name, rest)) => (Target::Name(name.to_vec()), rest),
                None => return Ok(None),
            }
        }
        _ => return Err(BadSocks::Address("no known kind of address")),
    };
    let Some((port, rest)) = rest.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let end = bytes.len() - rest.len();
    Ok(Some((target, u16::from_be_bytes(*port), end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_greeting_needs_a_method_without_authentication() {
        assert_eq!(greeting(&[]), Ok(None));
        assert_eq!(greeting(&[5]), Ok(None));
        assert_eq!(greeting(&[5, 2, 2]), Ok(None));
        assert_eq!(greeting(&[5, 2, 2, 0, 5]), Ok(Some(4)));
        assert_eq!(greeting(&[5, 1, 1]), Err(BadSocks::Method), "GSSAPI");
        assert_eq!(greeting(&[5, 1, 2]), Err(BadSocks::Method), "a password");
        assert_eq!(greeting(&[5, 0]), Err(BadSocks::Method));
        assert!(matches!(
            greeting(&[4, 1]),
            Err(BadSocks::Version("SOCKS4"))
        ));
        assert!(matches!(greeting(b"GET / "), Err(BadSocks::Version(_))));
    }

    #[test]
    fn only_connect_is_a_request() {
        let of = |command: u8| request(&[5, command, 0, 1, 192, 0, 2, 1, 0, 80]);
        assert_eq!(
            of(1),
            Ok(Some((Target::Address([192, 0, 2, 1].into()), 80, 10)))
        );
        for command in [0, 2, 3, 4, 255] {
            let refused = of(command).unwrap_err();
            assert_eq!(refused.reply(), Some(Reply::CommandUnknown));
        }
        let refused = request(&[5, 1, 0, 2, 0]).unwrap_err();
        assert_eq!(refused.reply(), Some(Reply::AddressUnknown));
        assert!(request(&[5, 1, 0, 3, 0, 0, 80]).is_err(), "an empty name");
        assert!(request(&[5, 1, 1, 1]).is_err(), "a reserved byte");
        assert!(request(&[4, 1]).is_err());
    }

    #[test]
    fn a_name_is_given_as_it_came() {
        let mut bytes = vec![5, 1, 0, 3, 12];
        bytes.extend_from_slice(b"evil\0.x.test");
        bytes.extend_from_slice(&[1, 187, b'!']);
        assert_eq!(
            request(&bytes),
            Ok(Some((Target::Name(b"evil\0.x.test".to_vec()), 443, 19)))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(end)) = greeting(&bytes) {
                prop_assert!(end <= bytes.len());
            }
            if let Ok(Some((_, _, end))) = request(&bytes) {
                prop_assert!(end <= bytes.len());
            }
        }

        #[test]
        fn requests_come_back_whole(name in prop::collection::vec(any::<u8>(), 1..256), port: u16) {
            let mut bytes = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
            bytes.extend_from_slice(&name);
            bytes.extend_from_slice(&port.to_be_bytes());
            for end in 0..bytes.len() {
                prop_assert_eq!(request(&bytes[..end]), Ok(None));
            }
            let whole = bytes.len();
            prop_assert_eq!(request(&bytes), Ok(Some((Target::Name(name), port, whole))));
        }
    }
}
