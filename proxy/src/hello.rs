//! The first message of a TLS client, read without answering it.
//!
//! The name in it is what a tunnel is held to, so everything two readers could read in two ways is
//! refused: more than one name, an extension twice, a hello that shares its record with something
//! else. Pure; gets all bytes read so far again and again, and looks at each record once.

/// No hello is longer, its record headers included.
pub const LONGEST: usize = 64 * 1024;

const RECORD_HEADER: usize = 5;
const LONGEST_FRAGMENT: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const MESSAGE_HEADER: usize = 4;

const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// Encrypted hellos: the drafts that were in use, the standard, and its forerunner ESNI.
const ENCRYPTED: [u16; 8] = [
    0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xfe0d, 0xfd00, 0xffce,
];

/// What a hello says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server's name, as it came.
    pub name: Option<Vec<u8>>,
    /// The protocols offered, in order.
    pub alpn: Vec<Vec<u8>>,
    /// There is a second hello in it that can't be read.
    pub encrypted: bool,
}

/// Why it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHello {
    /// Something else than TLS, or TLS that does not begin with a hello.
    #[error("{0}")]
    NotTls(&'static str),
    /// Nothing as new as TLS 1.2 is offered.
    #[error("{0}")]
    Old(&'static str),
    /// A hello, and a bad one.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads a hello as it comes in.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of whole records that are in `message`.
    at: usize,
    message: Vec<u8>,
}

impl Reader {
    /// Reads on in `bytes`, which begin with all that was given before; `None`: more is needed.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Hello>, BadHello> {
        // What is beyond is never looked at, whether it arrives at once or later.
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        while let Some((fragment, end)) = record(bytes, self.at)? {
            self.message.extend_from_slice(fragment);
            self.at = end;
            if let Some(&first) = self.message.first()
                && first != CLIENT_HELLO
            {
                return Err(BadHello::NotTls("the first message is no client hello"));
            }
            let Some(&[_, a, b, c]) = self.message.first_chunk::<MESSAGE_HEADER>() else {
                continue;
            };
            let whole = MESSAGE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if whole > LONGEST {
                return Err(BadHello::Malformed("the hello is too long"));
            }
            if self.message.len() > whole {
                return Err(BadHello::Malformed(
                    "something follows the hello in its record",
                ));
            }
            if self.message.len() == whole {
                return hello(&self.message[MESSAGE_HEADER..]).map(Some);
            }
        }
        if bytes.len() >= LONGEST {
            return Err(BadHello::Malformed("the hello is too long"));
        }
        Ok(None)
    }
}

/// The fragment of the record at `at`, and where it ends.
fn record(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, BadHello> {
    let rest = &bytes[at..];
    match rest {
        [HANDSHAKE, ..] | [] => {}
        // SSL 2: a length with its highest bit set, then its own hello's type.
        [0x80..=0xff, _, CLIENT_HELLO, ..] if at == 0 => {
            return Err(BadHello::Old("an SSL 2 hello"));
        }
        [0x80..=0xff, ..] if at == 0 && rest.len() < 3 => return Ok(None),
        [20 | 21 | 23, ..] => {
            return Err(BadHello::NotTls(
                "a record that is no handshake before the hello",
            ));
        }
        _ => return Err(BadHello::NotTls("no TLS record")),
    }
    if rest.get(1).is_some_and(|major| *major != 3) || rest.get(2).is_some_and(|minor| *minor > 4) {
        return Err(BadHello::NotTls("a record of no known version"));
    }
    let Some(&[_, _, _, high, low]) = rest.first_chunk::<RECORD_HEADER>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > LONGEST_FRAGMENT {
        return Err(BadHello::Malformed("a record of a length that can't be"));
    }
    let end = RECORD_HEADER + length;
    Ok(rest
        .get(RECORD_HEADER..end)
        .map(|fragment| (fragment, at + end)))
}

/// A reader of TLS vectors.
struct Cursor<'a>(&'a [u8]);

const CUT: BadHello = BadHello::Malformed("a length that leads past the end");

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], BadHello> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, BadHello> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Result<u16, BadHello> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// A vector with a length of one byte.
    fn short(&mut self) -> Result<Self, BadHello> {
        let n = self.u8()?;
        self.take(n.into()).map(Self)
    }

    /// A vector with a length of two.
    fn long(&mut self) -> Result<Self, BadHello> {
        let n = self.u16()?;
        self.take(n.into()).map(Self)
    }

    fn end(&self) -> Result<(), BadHello> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BadHello::Malformed("bytes that belong to nothing"))
        }
    }
}

fn hello(body: &[u8]) -> Result<Hello, BadHello> {
    let mut body = Cursor(body);
    let legacy = body.u16()?;
    body.take(32)?;
    if body.short()?.0.len() > 32 {
        return Err(BadHello::Malformed("a session number that is too long"));
    }
    let suites = body.long()?.0.len();
    if suites < 2 || suites % 2 != 0 {
        return Err(BadHello::Malformed("a list of ciphers that can't be"));
    }
    if body.short()?.0.is_empty() {
        return Err(BadHello::Malformed("no compression method"));
    }
    let mut hello = Hello::default();
    let mut versions = None;
    if !body.0.is_empty() {
        let mut extensions = body.long()?;
        body.end()?;
        let mut seen = Vec::new();
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let data = extensions.long()?;
            if seen.contains(&kind) {
                return Err(BadHello::Malformed("an extension twice"));
            }
            if seen.len() >= 256 {
                return Err(BadHello::Malformed("too many extensions"));
            }
            seen.push(kind);
            match kind {
                SERVER_NAME => hello.name = Some(name(data)?),
                ALPN => hello.alpn = protocols(data)?,
                SUPPORTED_VERSIONS => versions = Some(new_enough(data)?),
                kind if ENCRYPTED.contains(&kind) => hello.encrypted = true,
                _ => {}
            }
        }
    }
    match (versions, legacy) {
        (Some(true) | None, TLS12) => Ok(hello),
        (Some(false), _) => Err(BadHello::Old("no version from TLS 1.2 on is offered")),
        (None, ..TLS12) => Err(BadHello::Old("a version before TLS 1.2")),
        _ => Err(BadHello::Malformed(
            "two versions that contradict each other",
        )),
    }
}

/// Exactly one name, and that a host's.
fn name(mut data: Cursor<'_>) -> Result<Vec<u8>, BadHello> {
    let mut list = data.long()?;
    data.end()?;
    if list.u8()? != 0 {
        return Err(BadHello::Malformed("a server name that is no host"));
    }
    let name = list.long()?.0;
    list.end()
        .map_err(|_| BadHello::Malformed("more than one server name"))?;
    if name.is_empty() {
        return Err(BadHello::Malformed("an empty server name"));
    }
    Ok(name.to_vec())
}

fn protocols(mut data: Cursor<'_>) -> Result<Vec<Vec<u8>>, BadHello> {
    let mut list = data.long()?;
    data.end()?;
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.short()?.0;
        if protocol.is_empty() || protocols.len() >= 64 {
            return Err(BadHello::Malformed("a list of protocols that can't be"));
        }
        protocols.push(protocol.to_vec());
    }
    if protocols.is_empty() {
        return Err(BadHello::Malformed("a list of protocols that can't be"));
    }
    Ok(protocols)
}

/// Whether a version is offered that is let through.
fn new_enough(mut data: Cursor<'_>) -> Result<bool, BadHello> {
    let mut list = data.short()?;
    data.end()?;
    let mut found = false;
    if list.0.is_empty() {
        return Err(BadHello::Malformed("no version at all"));
    }
    while !list.0.is_empty() {
        let version = list.u16()?;
        found |= version == TLS12 || version == TLS13;
    }
    Ok(found)
}

/// The fatal alert that ends a TLS connection that is denied: `access_denied`, or
/// `unrecognized_name` where the name is what is wrong.
pub fn alert(name: bool) -> [u8; 7] {
    const UNRECOGNIZED_NAME: u8 = 112;
    const ACCESS_DENIED: u8 = 49;
    let what = if name {
        UNRECOGNIZED_NAME
    } else {
        ACCESS_DENIED
    };
    [21, 3, 3, 0, 2, 2, what]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(bytes: &[u8], width: usize) -> Vec<u8> {
        let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes()[4 - width..].to_vec();
        out.extend_from_slice(bytes);
        out
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), vector(data, 2)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let entry = [vec![0], vector(name, 2)].concat();
        extension(SERVER_NAME, &vector(&entry, 2))
    }

    fn versions(list: &[u16]) -> Vec<u8> {
        let list: Vec<u8> = list.iter().flat_map(|v| v.to_be_bytes()).collect();
        extension(SUPPORTED_VERSIONS, &vector(&list, 1))
    }

    fn message(legacy: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend_from_slice(&[7; 32]);
        body.extend(vector(&[1; 32], 1));
        body.extend(vector(&[0x13, 1, 0x13, 2], 2));
        body.extend(vector(&[0], 1));
        body.extend(vector(&extensions.concat(), 2));
        [vec![CLIENT_HELLO], vector(&body, 3)].concat()
    }

    fn records(message: &[u8], each: usize) -> Vec<u8> {
        message
            .chunks(each)
            .flat_map(|part| [vec![HANDSHAKE, 3, 1], vector(part, 2)].concat())
            .collect()
    }

    fn read(bytes: &[u8]) -> Result<Option<Hello>, BadHello> {
        Reader::default().read(bytes)
    }

    fn good() -> Vec<u8> {
        message(TLS12, &[sni(b"a.example"), versions(&[0x0a0a, TLS13])])
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        for each in [1, 3, 50, 16_000] {
            let bytes = records(&good(), each);
            let mut reader = Reader::default();
            for end in 0..bytes.len() {
                assert_eq!(reader.read(&bytes[..end]), Ok(None), "{each} {end}");
            }
            let hello = reader.read(&bytes).unwrap().unwrap();
            assert_eq!(hello.name.as_deref(), Some(&b"a.example"[..]));
            assert!(!hello.encrypted);
        }
    }

    #[test]
    fn what_follows_in_a_record_of_its_own_is_left_alone() {
        let mut bytes = records(&good(), 16_000);
        bytes.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
        assert!(read(&bytes).unwrap().is_some());
    }

    #[test]
    fn something_else_is_told_apart_early() {
        for other in [
            &b"SSH-2.0-x\r\n"[..],
            b"GET / HTTP/1.1\r\n",
            &[0],
            &[21, 3, 3, 0, 2, 1, 0],
            &[20, 3, 3, 0, 1, 1],
            &[23, 3, 3, 0, 1, 1],
            &[HANDSHAKE, 2],
            &[HANDSHAKE, 3, 9],
            &[HANDSHAKE, 3, 1, 0, 1, 2],
            &[0x80, 0x2e, 4],
        ] {
            assert!(matches!(read(other), Err(BadHello::NotTls(_))), "{other:?}");
        }
    }

    #[test]
    fn old_versions_are_old() {
        let old = |m: Vec<u8>| {
            let got = read(&records(&m, 16_000));
            assert!(matches!(got, Err(BadHello::Old(_))), "{got:?}");
        };
        for legacy in [0x0300, 0x0301, 0x0302] {
            old(message(legacy, &[sni(b"a.example")]));
        }
        old(message(
            TLS12,
            &[sni(b"a.example"), versions(&[0x0302, 0x0a0a])],
        ));
        assert!(matches!(
            read(&[0x80, 0x2e, 1, 0, 2]),
            Err(BadHello::Old(_))
        ));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let two = [
            vec![0],
            vector(b"a.example", 2),
            vec![0],
            vector(b"b.example", 2),
        ]
        .concat();
        let beside = [good(), vec![0]].concat();
        for (what, message) in [
            (
                "two names",
                message(TLS12, &[extension(SERVER_NAME, &vector(&two, 2))]),
            ),
            (
                "the extension twice",
                message(TLS12, &[sni(b"a.example"), sni(b"a.example")]),
            ),
            ("an empty name", message(TLS12, &[sni(b"")])),
            (
                "a name of another kind",
                message(TLS12, &[extension(SERVER_NAME, &vector(&[1, 0, 1, 65], 2))]),
            ),
            (
                "an empty list of names",
                message(TLS12, &[extension(SERVER_NAME, &[0, 0])]),
            ),
            (
                "bytes behind the list",
                message(TLS12, &[extension(SERVER_NAME, &[0, 4, 0, 0, 1, 65, 9])]),
            ),
            (
                "an empty protocol",
                message(TLS12, &[extension(ALPN, &[0, 1, 0])]),
            ),
            ("a new legacy version", message(TLS13, &[sni(b"a.example")])),
            (
                "an old one beside a new list",
                message(0x0301, &[versions(&[TLS13])]),
            ),
            ("another message in the record", beside),
        ] {
            let got = read(&records(&message, 16_000));
            assert!(
                matches!(got, Err(BadHello::Malformed(_))),
                "{what}: {got:?}"
            );
        }
        assert!(matches!(
            read(&[HANDSHAKE, 3, 1, 0, 0]),
            Err(BadHello::Malformed(_))
        ));
        assert!(matches!(
            read(&[HANDSHAKE, 3, 1, 0x40, 1]),
            Err(BadHello::Malformed(_))
        ));
    }

    #[test]
    fn a_hello_is_as_long_as_its_records() {
        let padded = message(TLS12, &[sni(b"a.example"), extension(21, &vec![0; 40_000])]);
        assert!(read(&records(&padded, 16_000)).unwrap().is_some());
        let bytes = records(&padded, 3);
        assert!(padded.len() < LONGEST && bytes.len() > LONGEST);
        let mut piecemeal = Reader::default();
        assert_eq!(piecemeal.read(&bytes[..LONGEST - 1]), Ok(None));
        assert_eq!(piecemeal.read(&bytes), read(&bytes));
        assert!(matches!(read(&bytes), Err(BadHello::Malformed(_))));
    }

    #[test]
    fn a_hello_has_an_end() {
        let endless = records(
            &[&[CLIENT_HELLO, 0, 0xff, 0xf0][..], &vec![0; LONGEST]].concat(),
            1000,
        );
        let got = read(&endless[..LONGEST]);
        assert!(matches!(got, Err(BadHello::Malformed(_))), "{got:?}");
        assert!(matches!(
            read(&[HANDSHAKE, 3, 1, 0, 4, CLIENT_HELLO, 1, 0, 0]),
            Err(BadHello::Malformed(_))
        ));
    }

    #[test]
    fn an_encrypted_hello_is_seen() {
        for kind in ENCRYPTED {
            let m = message(TLS12, &[sni(b"a.example"), extension(kind, &[0; 40])]);
            assert!(read(&records(&m, 16_000)).unwrap().unwrap().encrypted);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), tls: bool) {
            if tls && bytes.len() > 6 {
                let length = u16::try_from(bytes.len() - 5).unwrap().to_be_bytes();
                bytes[..6].copy_from_slice(&[HANDSHAKE, 3, 1, length[0], length[1], CLIENT_HELLO]);
            }
            let _ = read(&bytes);
        }

        #[test]
        fn a_hello_with_a_byte_changed_is_read_or_refused(at in 0usize..200, byte: u8, each in 1usize..300) {
            let mut bytes = records(&good(), each);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read(&bytes);
        }

        #[test]
        fn names_and_protocols_come_back(
            name in "[a-z0-9.-]{1,80}",
            alpn in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..5),
            each in 1usize..400,
        ) {
            let list: Vec<u8> = alpn.iter().flat_map(|p| vector(p, 1)).collect();
            let m = message(TLS12, &[extension(ALPN, &vector(&list, 2)), sni(name.as_bytes())]);
            let hello = read(&records(&m, each)).unwrap().unwrap();
            prop_assert_eq!(hello.name.as_deref(), Some(name.as_bytes()));
            prop_assert_eq!(hello.alpn, alpn);
        }
    }
}
