//! What holds for any bytes: the bodies of the fuzz targets in `fuzz/`, which the tests run too.
//!
//! Each panics where the parser breaks its word.

mod hello;
mod http;
mod packets;
mod policy;
mod recording;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

pub use hello::hello;
pub use http::{chunked, request, response};
pub use packets::{dns, message, socks};
pub use policy::policy;
pub use recording::recording;

use crate::authority::{Authority, Host};
use crate::policy::{Glob, canonical_path, canonical_target};

/// A target's body.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 11] = [
    ("authority", authority),
    ("chunked", chunked),
    ("dns", dns),
    ("hello", hello),
    ("message", message),
    ("path", path),
    ("policy", policy),
    ("recording", recording),
    ("request", request),
    ("response", response),
    ("socks", socks),
];

/// Reads all bytes, and holds the reader to its word: what it says of a beginning is what it says of
/// the whole, whatever arrives when. `end` is where a thing that was read ends.
fn stable<T: PartialEq + Debug, E: PartialEq + Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Option<T>, E>,
    end: impl Fn(&T) -> usize,
) -> Result<Option<T>, E> {
    let whole = read(bytes);
    let needed = match &whole {
        Ok(Some(thing)) => end(thing),
        Ok(None) | Err(_) => usize::MAX,
    };
    assert!(needed == usize::MAX || needed <= bytes.len());
    for cut in cuts(bytes.len(), needed) {
        let said = read(&bytes[..cut]);
        if cut >= needed || !matches!(said, Ok(None)) {
            assert_eq!(said, whole, "after {cut} of {} bytes", bytes.len());
        }
    }
    whole
}

/// Places to cut so many bytes at, in order: all of a few, some of many, and those around `one`.
fn cuts(length: usize, one: usize) -> impl Iterator<Item = usize> {
    let step = length.div_ceil(48).max(1);
    let near = one.saturating_sub(2)..=one.saturating_add(1);
    (0..length).filter(move |at| at % step == 0 || near.contains(at) || at + 2 >= length)
}

/// A host or an authority that is read is canonical, and no name is an address to another reader.
pub fn authority(bytes: &[u8]) {
    if let Ok(host) = Host::parse(bytes) {
        canonical_host(&host);
    }
    for default in [None, Some(443)] {
        let Ok(to) = Authority::parse(bytes, default) else {
            continue;
        };
        canonical_host(to.host());
        assert_ne!(to.port(), 0);
        let again = Authority::parse(to.to_string().as_bytes(), None);
        assert_eq!(again.as_ref(), Ok(&to));
    }
}

fn canonical_host(host: &Host) {
    let text = host.to_string();
    assert_eq!(Host::parse(text.as_bytes()).as_ref(), Ok(host));
    let Host::Name(name) = host else { return };
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    assert!(name.bytes().all(known) && name.len() <= 253);
    assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
    let last = name.rsplit('.').next().unwrap_or_default();
    assert!(
        !last.bytes().all(|b| b.is_ascii_digit()) && !last.starts_with("0x")
            || last.bytes().any(|b| b > b'f')
    );
}

/// A path that is read is canonical, has no dot segment for any reader, and keeps to its glob.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(path) = canonical_path(text) {
        assert_eq!(canonical_path(&path).as_ref(), Ok(&path));
        assert!(path.starts_with('/') && !path.starts_with("//"));
        assert!(
            path.bytes()
                .all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b))
        );
        let read = path.replace("%2F", "/");
        assert!(!read.split('/').any(|s| matches!(s, "." | "..")));
        let everything = Glob::parse("/**").ok().flatten();
        let shut = path.contains("%2F");
        assert!(everything.is_some_and(|all| all.matches(&path) != shut));
    }
    if let Ok(target) = canonical_target(text) {
        assert_eq!(canonical_target(&target.forward()).as_ref(), Ok(&target));
    }
    if let Ok(Some(glob)) = Glob::parse(text)
        && !glob.text().contains('*')
    {
        assert!(glob.matches(glob.text()));
    }
}
