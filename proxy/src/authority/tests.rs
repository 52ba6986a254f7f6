use proptest::prelude::*;

use super::*;

fn host(text: &str) -> Result<String, HostError> {
    Host::parse(text.as_bytes()).map(|h| h.to_string())
}

#[test]
fn one_spelling() {
    for (text, want) in [
        ("example.test", "example.test"),
        ("EXAMPLE.Test", "example.test"),
        ("example.test.", "example.test"),
        ("localhost", "localhost"),
        ("3com.test", "3com.test"),
        ("a-b.c--d.test", "a-b.c--d.test"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("a\u{3002}example.test", "a.example.test"),
        ("ｅxample.test", "example.test"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("0x7f.test", "0x7f.test"),
        ("1.2.3.4.test", "1.2.3.4.test"),
    ] {
        assert_eq!(host(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn refused() {
    let label = "a".repeat(64);
    let long = format!("{}a", "abcdefg.".repeat(32));
    for (text, want) in [
        ("", HostError::Empty),
        (".", HostError::EmptyLabel),
        ("..", HostError::EmptyLabel),
        (".example.test", HostError::EmptyLabel),
        ("a..test", HostError::EmptyLabel),
        ("example.test..", HostError::EmptyLabel),
        ("a\u{3002}\u{3002}test", HostError::EmptyLabel),
        ("example.test\u{3002}", HostError::EmptyLabel),
        ("evil\0.example.test", HostError::Control),
        ("example.test\r", HostError::Control),
        ("example\n.test", HostError::Control),
        ("example.test\t", HostError::Control),
        ("example.test\x7f", HostError::Control),
        ("example.test ", HostError::Space),
        (" example.test", HostError::Space),
        ("user@example.test", HostError::Userinfo),
        ("%65xample.test", HostError::Percent),
        ("example.test%00", HostError::Percent),
        ("evil.test\\example.test", HostError::Delimiter),
        ("example.test/", HostError::Delimiter),
        ("example.test#x", HostError::Delimiter),
        ("example.test?x", HostError::Delimiter),
        ("a_b.test", HostError::Underscore),
        ("_dmarc.test", HostError::Underscore),
        ("a,b.test", HostError::Character),
        ("a*.test", HostError::Character),
        ("*.test", HostError::Character),
        ("-a.test", HostError::Hyphen),
        ("a-.test", HostError::Hyphen),
        ("ab--c.test", HostError::Hyphen),
        ("xn--a.test", HostError::Idna),
        ("xn--.test", HostError::Idna),
        ("xn--example-.test", HostError::Idna),
        ("a\u{200d}b.test", HostError::Idna),
        ("a\u{202e}b.test", HostError::Idna),
        ("a\u{ff05}00.test", HostError::Idna),
        ("a\u{ff0f}b.test", HostError::Idna),
        ("127.1", HostError::Ipv4Spelling),
        ("127.0.1", HostError::Ipv4Spelling),
        ("0", HostError::Ipv4Spelling),
        ("2130706433", HostError::Ipv4Spelling),
        ("0x7f000001", HostError::Ipv4Spelling),
        ("0X7F000001", HostError::Ipv4Spelling),
        ("0x", HostError::Ipv4Spelling),
        ("0177.0.0.1", HostError::Ipv4Spelling),
        ("127.0.0.01", HostError::Ipv4Spelling),
        ("127.0.0.0x1", HostError::Ipv4Spelling),
        ("127.0.0.1.", HostError::Ipv4Spelling),
        ("256.1.1.1", HostError::Ipv4Spelling),
        ("1.2.3.4.5", HostError::Ipv4Spelling),
        ("a.test.1", HostError::Ipv4Spelling),
        ("１２７.０.０.１", HostError::Ipv4Spelling),
        ("fe80::1%eth0", HostError::Zone),
        ("fe80::1%25eth0", HostError::Zone),
        ("[::1]", HostError::Brackets),
        ("::1::", HostError::Ipv6),
        (":", HostError::Ipv6),
        ("example.test:443", HostError::Ipv6),
        (label.as_str(), HostError::TooLong),
        (long.as_str(), HostError::TooLong),
    ] {
        assert_eq!(host(text), Err(want), "{text:?}");
    }
    assert_eq!(Host::parse(b"a\xff.test"), Err(HostError::Idna));
    assert_eq!(Host::parse(&[b'a'; 4096]), Err(HostError::TooLong));
}

#[test]
fn authorities() {
    let parse =
        |text: &str, default| Authority::parse(text.as_bytes(), default).map(|a| a.to_string());
    for (text, default, want) in [
        ("example.test:443", None, "example.test:443"),
        ("EXAMPLE.test.:443", None, "example.test:443"),
        ("example.test", Some(80), "example.test:80"),
        ("192.0.2.7:1", None, "192.0.2.7:1"),
        ("[2001:DB8::1]:65535", None, "[2001:db8::1]:65535"),
        ("[2001:db8::1]", Some(443), "[2001:db8::1]:443"),
        ("[::ffff:192.0.2.7]:80", None, "[::ffff:192.0.2.7]:80"),
    ] {
        assert_eq!(parse(text, default).as_deref(), Ok(want), "{text}");
    }
    for (text, want) in [
        ("", HostError::Empty),
        (":443", HostError::Empty),
        ("example.test", HostError::NoPort),
        ("[::1]", HostError::NoPort),
        ("example.test:", HostError::Port),
        ("example.test:0", HostError::Port),
        ("example.test:00443", HostError::Port),
        ("example.test:0443", HostError::Port),
        ("example.test:65536", HostError::Port),
        ("example.test:99999999999999999999", HostError::Port),
        ("example.test:+443", HostError::Port),
        ("example.test:-1", HostError::Port),
        ("example.test: 443", HostError::Port),
        ("example.test:443 ", HostError::Port),
        ("example.test:443\0", HostError::Port),
        ("example.test:https", HostError::Port),
        ("example.test:0x1bb", HostError::Port),
        ("example.test:٤", HostError::Port),
        ("example.test:443:443", HostError::Brackets),
        ("2001:db8::1", HostError::Brackets),
        ("[::1", HostError::Brackets),
        ("[::1]443", HostError::Brackets),
        ("[::1]x:443", HostError::Brackets),
        ("[[::1]]:443", HostError::Brackets),
        ("[example.test]:443", HostError::Ipv6),
        ("[192.0.2.7]:443", HostError::Ipv6),
        ("[]:443", HostError::Ipv6),
        ("[fe80::1%25eth0]:443", HostError::Zone),
        ("[::1]:", HostError::Port),
        ("user@example.test:443", HostError::Userinfo),
        ("user:pass@example.test:443", HostError::Userinfo),
        ("example.test:443@evil.test", HostError::Userinfo),
        ("http://example.test:80", HostError::Brackets),
        ("example.test/:443", HostError::Delimiter),
        ("127.1:80", HostError::Ipv4Spelling),
    ] {
        assert_eq!(parse(text, None), Err(want), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_canonical_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        crate::check::authority(&bytes);
    }

    #[test]
    fn names_do_not_care_for_case_and_a_last_dot(name in "[a-z0-9]{1,9}(-[a-z0-9]{1,3})?(\\.[a-z][a-z0-9]{0,9}){0,3}") {
        let plain = Host::parse(name.as_bytes());
        prop_assert_eq!(&Host::parse(name.to_ascii_uppercase().as_bytes()), &plain);
        if plain.is_ok() {
            prop_assert_eq!(&Host::parse(format!("{name}.").as_bytes()), &plain);
        }
    }

    #[test]
    fn unicode_does_not_care_for_case(name in "[äöüßéàçñøλжд]{1,8}") {
        let name = format!("{name}.test");
        let lower = Host::parse(name.to_lowercase().as_bytes());
        prop_assert!(lower.is_ok());
        prop_assert_eq!(Host::parse(lower.clone().unwrap().to_string().as_bytes()), lower);
    }

    #[test]
    fn no_spelling_of_an_ipv4_address_is_a_name(parts in prop::collection::vec((any::<u32>(), 0usize..5), 1..5), dot: bool) {
        let spelled: Vec<_> = parts.iter().map(|(n, how)| match how {
            0 => format!("{n}"),
            1 => format!("0{n:o}"),
            2 => format!("0x{n:x}"),
            3 => format!("0X{n:X}"),
            _ => format!("{}", n % 256),
        }).collect();
        let text = format!("{}{}", spelled.join("."), if dot { "." } else { "" });
        if let Ok(host) = Host::parse(text.as_bytes()) {
            let ip: Ipv4Addr = text.parse().unwrap();
            prop_assert_eq!(host, Host::Address(ip.into()));
        }
    }

    #[test]
    fn addresses_come_back(v6: u128, v4: u32, port in 1u16..) {
        for ip in [IpAddr::from(Ipv6Addr::from(v6)), IpAddr::from(Ipv4Addr::from(v4))] {
            prop_assert_eq!(Host::parse(ip.to_string().as_bytes()), Ok(ip.into()));
            let to = Authority::new(ip.into(), port);
            prop_assert_eq!(Authority::parse(to.to_string().as_bytes(), None), Ok(to));
        }
    }
}
