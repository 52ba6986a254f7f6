//! Hellos of TLS clients.

use rustls::server::Acceptor;

use super::cuts;
use crate::hello::{Hello, LONGEST, Reader};

/// A hello is read the same in whatever pieces it arrives, a hello that says the same is read as the
/// same, and where a TLS server reads a name in it too, it is that name.
pub fn hello(bytes: &[u8]) {
    let whole = Reader::default().read(bytes);
    let mut reader = Reader::default();
    let pieces = cuts(bytes.len(), usize::MAX).chain([bytes.len()]);
    let said = pieces
        .map(|end| reader.read(&bytes[..end]))
        .find(|said| !matches!(said, Ok(None)));
    assert_eq!(said.unwrap_or(Ok(None)), whole);
    let Ok(Some(hello)) = whole else { return };
    let again = written(&hello);
    if again.len() <= LONGEST {
        assert_eq!(Reader::default().read(&again), Ok(Some(hello.clone())));
    }
    as_a_server_reads_it(bytes, &hello);
}

fn as_a_server_reads_it(mut bytes: &[u8], hello: &Hello) {
    let mut server = Acceptor::default();
    while !bytes.is_empty() {
        if server.read_tls(&mut bytes).is_err() {
            return;
        }
        match server.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let its = accepted.client_hello();
                if let Some(name) = its.server_name() {
                    let ours = hello.name.as_deref().unwrap_or_default();
                    assert!(ours.eq_ignore_ascii_case(name.as_bytes()), "{name}");
                }
                let offered = its.alpn().into_iter().flatten();
                assert!(offered.eq(hello.alpn.iter().map(Vec::as_slice)));
                return;
            }
            Err(_) => return,
        }
    }
}

/// A plain hello that says the same.
fn written(hello: &Hello) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = &hello.name {
        let entry = [vec![0], vector(name, 2)].concat();
        extensions.extend([vec![0, 0], vector(&vector(&entry, 2), 2)].concat());
    }
    if !hello.alpn.is_empty() {
        let list: Vec<_> = hello.alpn.iter().flat_map(|p| vector(p, 1)).collect();
        extensions.extend([vec![0, 16], vector(&vector(&list, 2), 2)].concat());
    }
    if hello.encrypted {
        extensions.extend([0xfe, 0x0d, 0, 0]);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    if !extensions.is_empty() {
        body.extend(vector(&extensions, 2));
    }
    let message = [vec![1], vector(&body, 3)].concat();
    message
        .chunks(99)
        .flat_map(|part| [vec![22, 3, 1], vector(part, 2)].concat())
        .collect()
}

fn vector(bytes: &[u8], width: usize) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&length[8 - width..], bytes].concat()
}
