//! An open proxy: it lets everybody do everything. The suite has to fail before it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use belljar_proxy::Doors;

use crate::world::{ORIGIN, reply};

/// Serves the doors.
pub(crate) fn serve(doors: Doors) {
    let udp = doors.dns_udp;
    thread::spawn(move || {
        let mut buf = [0; 1500];
        while let Ok((n, from)) = udp.recv_from(&mut buf) {
            if let Some(raw) = reply(&anything(&buf[..n]), |_| vec![Ipv4Addr::LOCALHOST.into()]) {
                let _ = udp.send_to(&raw, from);
            }
        }
    });
    each(doors.dns_tcp, |mut client| {
        let mut buf = [0; 1500];
        if let Ok(n @ 2..) = client.read(&mut buf)
            && let Some(raw) = reply(&anything(&buf[2..n]), |_| vec![Ipv4Addr::LOCALHOST.into()])
        {
            let length = u16::try_from(raw.len()).unwrap_or(0).to_be_bytes();
            let _ = client.write_all(&[length.to_vec(), raw].concat());
        }
    });
    each(doors.http, http);
    each(doors.socks, socks);
    for (port, listener) in doors.ports {
        each(listener, move |client| {
            join(client, (ORIGIN, port).into(), &[]);
        });
    }
}

/// Whatever is asked, an address is the answer.
fn anything(query: &[u8]) -> Vec<u8> {
    let mut query = query.to_vec();
    if let Some(end) = query.get(12..).and_then(|q| q.iter().position(|b| *b == 0)) {
        query.truncate(12 + end + 1);
        query.extend([0, 1, 0, 1]);
    }
    query
}

fn each(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(client));
        }
    });
}

fn http(mut client: TcpStream) {
    let mut buf = vec![0; 64 * 1024];
    let Ok(n @ 1..) = client.read(&mut buf) else {
        return;
    };
    let text = String::from_utf8_lossy(&buf[..n]).into_owned();
    if text.starts_with("CONNECT") {
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let early = text.split_once("\r\n\r\n").map_or("", |(_, rest)| rest);
        return join(client, (ORIGIN, 80).into(), early.as_bytes());
    }
    join(client, (ORIGIN, 80).into(), &buf[..n]);
}

fn socks(mut client: TcpStream) {
    let mut buf = [0; 600];
    if !matches!(client.read(&mut buf), Ok(1..)) {
        return;
    }
    let _ = client.write_all(&[5, 0]);
    if !matches!(client.read(&mut buf), Ok(1..)) {
        return;
    }
    let _ = client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    join(client, (ORIGIN, 80).into(), &[]);
}

fn join(client: TcpStream, to: SocketAddr, first: &[u8]) {
    let Ok(mut server) = TcpStream::connect(to) else {
        return;
    };
    let _ = server.write_all(first);
    let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
    });
    let mut client = client;
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}
