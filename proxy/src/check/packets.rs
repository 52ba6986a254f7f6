//! Small messages: questions to the name server, SOCKS5, and what the proxy tells the supervisor.

use std::net::{IpAddr, Ipv4Addr};

use belljar_model::door::{FromProxy, ToProxy};
use serde::{Serialize, de::DeserializeOwned};

use super::stable;
use crate::dns::{Answer, LONGEST_QUERY, not_understood, question};
use crate::socks::{LONGEST, Target, greeting, request};

const ANSWERS: [Answer; 5] = [
    Answer::Address(Ipv4Addr::new(127, 66, 1, 0)),
    Answer::NoData,
    Answer::NoSuchName,
    Answer::Refused,
    Answer::Failed,
];

/// A question has one answer that repeats it as it came, is short, and is itself no question; the
/// name in it is the one that was read.
pub fn dns(packet: &[u8]) {
    if let Some(reply) = not_understood(packet) {
        assert_eq!(reply[..2], packet[..2]);
        assert_eq!(not_understood(&reply), None);
        assert!(question(&reply).is_err());
    }
    let Ok(asked) = question(packet) else { return };
    assert!(packet.len() <= LONGEST_QUERY);
    let name = packet[12..].iter().position(|b| *b == 0);
    for answer in ANSWERS {
        let Some(reply) = asked.answer(answer) else {
            panic!("a question without an answer");
        };
        assert!(reply.len() <= 512);
        assert_eq!(reply[..2], packet[..2]);
        assert_eq!(not_understood(&reply), None);
        assert!(question(&reply).is_err());
        // Labels, their end, type and class. A NUL may be a byte of a label: up to the first one.
        let end = 12 + name.unwrap_or_default();
        assert_eq!(reply[12..end], packet[12..end]);
        let mut back = reply;
        back[2] &= 0x7f;
        back[6..8].fill(0);
        if answer == Answer::NoData {
            let Ok(again) = question(&back) else {
                panic!("a question that is not one when it comes back");
            };
            assert_eq!(
                (again.name, again.kind, again.internet),
                (asked.name.clone(), asked.kind, asked.internet)
            );
        }
    }
}

/// Greetings and requests are read the same in whatever pieces they arrive, and written again are the
/// same bytes.
pub fn socks(bytes: &[u8]) {
    let _ = stable(bytes, greeting, |end| *end);
    let Ok(Some((target, port, end))) = stable(bytes, request, |(_, _, end)| *end) else {
        return;
    };
    assert!(end <= LONGEST);
    let mut again = vec![5, 1, 0];
    match target {
        Target::Address(IpAddr::V4(ip)) => {
            again.push(1);
            again.extend(ip.octets());
        }
        Target::Address(IpAddr::V6(ip)) => {
            again.push(4);
            again.extend(ip.octets());
        }
        Target::Name(name) => {
            assert!((1..=255).contains(&name.len()));
            again.push(3);
            again.extend(u8::try_from(name.len()));
            again.extend(name);
        }
    }
    again.extend(port.to_be_bytes());
    assert_eq!(again, bytes[..end]);
}

/// What is read of the channel to the supervisor is written as what is read as the same.
pub fn message(bytes: &[u8]) {
    comes_back::<FromProxy>(bytes);
    comes_back::<ToProxy>(bytes);
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else {
        return;
    };
    let again = serde_json::to_vec(&read).and_then(|text| serde_json::from_slice(&text));
    assert_eq!(again.ok(), Some(read));
}
