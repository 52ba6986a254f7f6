//! The question of a DNS query, and the answer that there is no such name.
//!
//! Pure, and as small as observation needs: one question is read, none is ever passed on.

use belljar_model::OsText;

const HEADER: usize = 12;
/// A name's longest form (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// Queries are a few dozen bytes; nobody reads more of one.
pub(crate) const LONGEST_QUERY: usize = 512;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name in lower case, labels separated by dots; `.` for the root. A dot inside a label
    /// stands as `\.`.
    pub(crate) name: OsText,
    /// The type of record.
    pub(crate) kind: u16,
    /// Where the question ends.
    end: usize,
}

/// Type `A`.
pub(crate) const A: u16 = 1;
/// Type `AAAA`.
pub(crate) const AAAA: u16 = 28;

/// Reads the question of a query; `None` if `packet` is no query with one plain question.
pub(crate) fn question(packet: &[u8]) -> Option<Question> {
    let header = packet.first_chunk::<HEADER>()?;
    let (is_answer, operation) = (header[2] & 0x80 != 0, (header[2] >> 3) & 0xf);
    if is_answer || operation != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut name = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer is a compression pointer, which a first name can't have, or nothing at all.
        if length > 63 || at + length > HEADER + LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        for byte in packet.get(at..at + length)? {
            if *byte == b'.' {
                name.push(b'\\');
            }
            name.push(byte.to_ascii_lowercase());
        }
        at += length;
    }
    if name.is_empty() {
        name.push(b'.');
    }
    let kind = u16::from_be_bytes(*packet.get(at..)?.first_chunk()?);
    // After the type: the class.
    let end = at + 4;
    (packet.len() >= end).then(|| Question {
        name: name.into(),
        kind,
        end,
    })
}

impl Question {
    /// The answer that the name does not exist, to the packet that asked for it.
    pub(crate) fn no_such_name(&self, packet: &[u8]) -> Vec<u8> {
        let mut reply = packet[..self.end.min(packet.len())].to_vec();
        if let Some(header) = reply.first_chunk_mut::<HEADER>() {
            // An answer; recursion asked as it was asked; available; NXDOMAIN; one question, nothing else.
            header[2] = 0x80 | (header[2] & 0x01);
            header[3] = 0x80 | 3;
            header[6..].fill(0);
        }
        reply
    }

    /// The name of the type of record, or its number.
    pub(crate) fn kind_name(&self) -> String {
        let name = match self.kind {
            A => "a",
            2 => "ns",
            5 => "cname",
            6 => "soa",
            12 => "ptr",
            15 => "mx",
            16 => "txt",
            AAAA => "aaaa",
            33 => "srv",
            65 => "https",
            255 => "any",
            other => return format!("type{other}"),
        };
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn query(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in labels {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend_from_slice(label);
        }
        packet.push(0);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        packet
    }

    #[test]
    fn a_question_is_read() {
        let q = question(&query(&[b"Index", b"CRATES", b"example"], A)).unwrap();
        assert_eq!(q.name.to_string(), "index.crates.example");
        assert_eq!(q.kind_name(), "a");
        assert_eq!(question(&query(&[], 255)).unwrap().name.to_string(), ".");
        let odd = question(&query(&[b"a.b\n", b"test"], 99)).unwrap();
        assert_eq!(odd.name.as_bytes(), b"a\\.b\n.test");
        assert_eq!(odd.kind_name(), "type99");
    }

    #[test]
    fn what_is_no_query_is_none() {
        let good = query(&[b"x", b"example"], A);
        for cut in 0..good.len() {
            assert_eq!(question(&good[..cut]), None, "{cut}");
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            question(&bad)
        };
        assert_eq!(with(2, 0x81), None, "an answer");
        assert_eq!(with(2, 0x11), None, "another operation");
        assert_eq!(with(5, 2), None, "two questions");
        assert_eq!(with(12, 0xc0), None, "a pointer");
        let label = [b'a'; 63];
        assert!(question(&query(&[&label, &label, &label], A)).is_some());
        assert_eq!(question(&query(&[&label, &label, &label, &label], A)), None);
    }

    #[test]
    fn the_answer_is_no_such_name_to_the_same_question() {
        let mut asked = query(&[b"x", b"example"], AAAA);
        let end = asked.len();
        // An EDNS record, which is not repeated.
        asked.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        let reply = question(&asked).unwrap().no_such_name(&asked);
        assert_eq!(
            reply[..12],
            [0x12, 0x34, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(reply[12..], asked[12..end]);
    }

    proptest! {
        #[test]
        fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(q) = question(&packet) {
                prop_assert!(q.name.as_bytes().len() <= 2 * LONGEST_NAME);
                prop_assert!(q.no_such_name(&packet).len() <= packet.len());
            }
        }

        #[test]
        fn any_name_is_read(labels in prop::collection::vec("[a-z0-9_-]{1,30}", 1..6), kind: u16) {
            let bytes: Vec<_> = labels.iter().map(String::as_bytes).collect();
            let q = question(&query(&bytes, kind)).unwrap();
            prop_assert_eq!((q.name.to_string(), q.kind), (labels.join("."), kind));
        }
    }
}
