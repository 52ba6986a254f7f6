//! The name server's questions and answers.
//!
//! A question is read twice: by hand, which takes one plain question and no compression, and by
//! hickory, which reads everything else of the packet. Nothing that is asked here is ever passed on.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

const HEADER: usize = 12;
/// A name's longest form (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// Questions are a few dozen bytes; this is what is answered without a fragment.
pub const LONGEST_QUERY: usize = 1232;
/// Seconds that an answer holds: longer than any build, since a name keeps its address for the run.
const TTL: u32 = 86_400;

/// One question.
#[derive(Debug)]
pub struct Question {
    /// The name in lower case, labels separated by dots, as far as it is one; a dot inside of a
    /// label stands as `\.`, the root as `.`.
    pub name: Vec<u8>,
    /// The type of record.
    pub kind: RecordType,
    /// Whether it is about the internet's class.
    pub internet: bool,
    query: Message,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The address.
    Address(Ipv4Addr),
    /// The name is there, and nothing of this type.
    NoData,
    /// There is no such name.
    NoSuchName,
    /// This is not answered here.
    Refused,
    /// There is nothing left to answer with.
    Failed,
}

/// Why a packet is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuestion(pub &'static str);

/// Reads a packet with one plain question.
pub fn question(packet: &[u8]) -> Result<Question, BadQuestion> {
    if packet.len() > LONGEST_QUERY {
        return Err(BadQuestion("a question that is too long"));
    }
    let header = packet
        .first_chunk::<HEADER>()
        .ok_or(BadQuestion("no DNS header"))?;
    if header[2] & 0x80 != 0 {
        return Err(BadQuestion("an answer"));
    }
    if header[4..6] != [0, 1] {
        return Err(BadQuestion("not exactly one question"));
    }
    if header[6..10] != [0; 4] {
        return Err(BadQuestion("a question with answers in it"));
    }
    let name = plain_name(&packet[HEADER..])?;
    let query = Message::from_vec(packet).map_err(|_| BadQuestion("no DNS message"))?;
    if query.metadata.op_code != OpCode::Query {
        return Err(BadQuestion("another operation than a query"));
    }
    let [asked] = query.queries.as_slice() else {
        return Err(BadQuestion("not exactly one question"));
    };
    if !query.additionals.is_empty() || query.signature.is_some() {
        return Err(BadQuestion("a question with records in it"));
    }
    Ok(Question {
        kind: asked.query_type(),
        internet: asked.query_class() == DNSClass::IN,
        name,
        query,
    })
}

fn plain_name(bytes: &[u8]) -> Result<Vec<u8>, BadQuestion> {
    const CUT: BadQuestion = BadQuestion("a name without an end");
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at).ok_or(CUT)?);
        at += 1;
        if length == 0 {
            break;
        }
        if length > 63 {
            return Err(BadQuestion("a name with a pointer in it"));
        }
        if at + length >= LONGEST_NAME {
            return Err(BadQuestion("a name that is too long"));
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        for byte in bytes.get(at..at + length).ok_or(CUT)? {
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
    Ok(name)
}

impl Question {
    /// The packet to send back. It always fits in a datagram: there is one record at most.
    pub fn answer(&self, answer: Answer) -> Option<Vec<u8>> {
        let asked = &self.query.metadata;
        let mut reply = Message::new(asked.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = match answer {
            Answer::Address(_) | Answer::NoData => ResponseCode::NoError,
            Answer::NoSuchName => ResponseCode::NXDomain,
            Answer::Refused => ResponseCode::Refused,
            Answer::Failed => ResponseCode::ServFail,
        };
        let query = self.query.queries.first()?;
        reply.add_query(query.clone());
        if let Answer::Address(ip) = answer {
            let name = query.name().clone();
            reply.add_answer(Record::from_rdata(name, TTL, RData::A(A(ip))));
        }
        if self.query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(u16::try_from(LONGEST_QUERY).unwrap_or(512));
            reply.set_edns(edns);
        }
        reply.to_vec().ok()
    }

    /// The type's name in lower case, or `typeN`.
    pub fn kind_name(&self) -> String {
        self.kind.to_string().to_ascii_lowercase()
    }
}

/// What is said to a packet that is no question: that it is none, if it could be one.
pub fn not_understood(packet: &[u8]) -> Option<[u8; HEADER]> {
    let header = packet.first_chunk::<HEADER>()?;
    // Answers are never answered: two servers could go on for ever.
    if header[2] & 0x80 != 0 {
        return None;
    }
    let operation = header[2] & 0x78;
    let code = if operation == 0 { 1 } else { 4 };
    let mut reply = [0; HEADER];
    reply[..2].copy_from_slice(&header[..2]);
    reply[2] = 0x80 | operation | (header[2] & 1);
    reply[3] = 0x80 | code;
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 0];
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
    fn a_question_is_read_and_answered() {
        let asked = query(&[b"Index", b"CRATES", b"example"], 1);
        let q = question(&asked).unwrap();
        assert_eq!(q.name, b"index.crates.example");
        assert_eq!(q.kind_name(), "a");
        let ip = Ipv4Addr::new(127, 66, 1, 0);
        let reply = q.answer(Answer::Address(ip)).unwrap();
        assert_eq!(reply[..4], [0x12, 0x34, 0x81, 0x80]);
        // The name's case comes back as it was asked: some clients check it.
        assert_eq!(reply[12..asked.len()], asked[12..]);
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(reply.answers[0].data.ip_addr(), Some(ip.into()));
        for (answer, code) in [
            (Answer::NoData, ResponseCode::NoError),
            (Answer::NoSuchName, ResponseCode::NXDomain),
            (Answer::Refused, ResponseCode::Refused),
            (Answer::Failed, ResponseCode::ServFail),
        ] {
            let reply = Message::from_vec(&q.answer(answer).unwrap()).unwrap();
            assert_eq!(reply.metadata.response_code, code);
            assert!(reply.answers.is_empty());
        }
    }

    #[test]
    fn an_extended_question_gets_an_extended_answer() {
        let mut asked = query(&[b"x", b"example"], 28);
        asked[11] = 1;
        asked.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        let reply = question(&asked).unwrap().answer(Answer::NoData).unwrap();
        assert!(Message::from_vec(&reply).unwrap().edns.is_some());
    }

    #[test]
    fn what_is_no_plain_question_is_refused() {
        let good = query(&[b"x", b"example"], 1);
        for cut in 0..good.len() {
            assert!(question(&good[..cut]).is_err(), "{cut}");
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            question(&bad).unwrap_err().0
        };
        assert_eq!(with(2, 0x81), "an answer");
        assert_eq!(with(5, 2), "not exactly one question");
        assert_eq!(with(5, 0), "not exactly one question");
        assert_eq!(with(7, 1), "a question with answers in it");
        assert_eq!(with(9, 1), "a question with answers in it");
        assert_eq!(with(12, 0xc0), "a name with a pointer in it");
        assert_eq!(with(12, 0x40), "a name with a pointer in it");
        assert_eq!(with(2, 0x29), "another operation than a query");
        let mut extra = good.clone();
        extra[11] = 1;
        extra.extend_from_slice(&[1, b'y', 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
        assert!(question(&extra).is_err());
        let label = [b'a'; 63];
        assert!(question(&query(&[&label, &label, &label, &label], 1)).is_err());
        assert!(question(&[good.clone(), vec![0; LONGEST_QUERY]].concat()).is_err());
    }

    #[test]
    fn another_class_is_seen() {
        let mut chaos = query(&[b"x", b"example"], 1);
        *chaos.last_mut().unwrap() = 3;
        assert!(!question(&chaos).unwrap().internet);
    }

    #[test]
    fn odd_names_are_shown_and_the_root_is_a_dot() {
        assert_eq!(
            question(&query(&[b"a.b\n", b"test"], 1)).unwrap().name,
            b"a\\.b\n.test"
        );
        assert_eq!(question(&query(&[], 2)).unwrap().name, b".");
    }

    #[test]
    fn an_answer_is_not_answered() {
        let mut packet = query(&[b"x"], 1);
        packet[5] = 2;
        assert_eq!(
            not_understood(&packet).unwrap()[..4],
            [0x12, 0x34, 0x81, 0x81]
        );
        packet[2] |= 0x80;
        assert_eq!(not_understood(&packet), None);
        assert_eq!(not_understood(&packet[..5]), None);
    }

    proptest! {
        #[test]
        fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..1300)) {
            let _ = not_understood(&packet);
            let _ = question(&packet);
        }

        #[test]
        fn a_question_with_bytes_changed_is_read_or_refused(
            changes in prop::collection::vec((0usize..60, any::<u8>()), 0..6),
        ) {
            let mut packet = query(&[b"x", b"example"], 1);
            packet.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
            for (at, byte) in changes {
                let at = at % packet.len();
                packet[at] = byte;
            }
            if let Ok(q) = question(&packet) {
                let reply = q.answer(Answer::Address(Ipv4Addr::LOCALHOST)).unwrap();
                prop_assert!(reply.len() <= 512);
            }
        }

        #[test]
        fn any_name_is_read(labels in prop::collection::vec("[a-z0-9_-]{1,30}", 1..6), kind: u16) {
            let bytes: Vec<_> = labels.iter().map(String::as_bytes).collect();
            let q = question(&query(&bytes, kind));
            // OPT and TSIG are no types to ask for.
            if let Ok(q) = q {
                prop_assert_eq!(q.name, labels.join(".").into_bytes());
                prop_assert_eq!(u16::from(q.kind), kind);
            }
        }
    }
}
