//! What servers answered in run A, kept for the runs after it: bodies and an index in one file that
//! has no name.
//!
//! Bodies are appended in pieces as they arrive, several at a time; the index follows when the run is
//! over, and the last line says where it is and what its digest is. A file that was cut, or changed,
//! is no recording: there is no second source to fall back on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use belljar_model::{OsText, Reason, Sha256};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::authority::Authority;
use crate::http::{Framing, RequestHead, ResponseHead, parse_response};

/// The index's schema.
const SCHEMA: &str = "belljar.recording/1";
/// The last line, always as long as this.
const TRAILER: usize = 128;
/// An index is never longer.
const LONGEST_INDEX: u64 = 1 << 30;
/// Bytes of a body that are written at one time.
const HELD: usize = 64 * 1024;
/// Pieces are read so long at most.
const PIECE: u64 = 256 * 1024;
/// What is never kept of an answer.
const NOT_KEPT: [&str; 6] = [
    "set-cookie",
    "set-cookie2",
    "authorization",
    "proxy-authorization",
    "alt-svc",
    "content-length",
];

/// What an answer is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    method: String,
    scheme: String,
    authority: String,
    target: String,
    accept: Option<OsText>,
    accept_encoding: Option<OsText>,
    git_protocol: Option<OsText>,
    body: Sha256,
}

impl Key {
    /// Of a request with this canonical target and body.
    pub fn of(
        scheme: &str,
        authority: &Authority,
        target: &str,
        head: &RequestHead,
        body: [u8; 32],
    ) -> Self {
        let header = |name| head.headers.get(name).map(|value| value.to_vec().into());
        Self {
            method: head.method.clone(),
            scheme: scheme.into(),
            authority: authority.to_string(),
            target: target.into(),
            accept: header("accept"),
            accept_encoding: header("accept-encoding"),
            git_protocol: header("git-protocol"),
            body: Sha256(body),
        }
    }
}

/// An answer as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its status.
    pub status: u16,
    words: String,
    headers: Vec<(String, OsText)>,
    /// Where its body's pieces are: offset and length.
    pieces: Vec<(u64, u64)>,
    /// Its body's digest.
    pub sha256: Sha256,
    /// No server answered, for this reason: the client was told by the proxy, and is told so again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<Reason>,
}

impl Entry {
    /// Its body's length.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|(_, length)| length).sum()
    }

    /// Its body's pieces, none longer than fits into memory easily.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.pieces.iter().flat_map(|(offset, length)| {
            (0..length.div_ceil(PIECE))
                .map(move |n| (offset + n * PIECE, PIECE.min(length - n * PIECE)))
        })
    }

    /// Its head as a client is sent it.
    pub fn head(&self, framing: Framing, close: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {:03} {}\r\n", self.status, self.words).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if close {
            out.extend_from_slice(b"connection: close\r\n");
        }
        framing.write(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    schema: String,
    key: Key,
    /// In the order in which they were given.
    answers: Vec<Entry>,
}

impl Line {
    /// Whether all of it can be served: bodies that end where they have to, heads that are one.
    fn is_sound(&self, bodies: u64) -> bool {
        let within =
            |(at, length): &(u64, u64)| at.checked_add(*length).is_some_and(|end| end <= bodies);
        let sound = |entry: &Entry| {
            let head = entry.head(Framing::Empty, false);
            let read = parse_response(&head, usize::MAX, "HEAD");
            entry.pieces.iter().all(within)
                && matches!(read, Ok(Some((read, end)))
                    if end == head.len() && read.headers.iter().count() == entry.headers.len())
        };
        self.schema == SCHEMA && !self.answers.is_empty() && self.answers.iter().all(sound)
    }
}

/// A recording that is being made.
#[derive(Debug)]
pub struct Store {
    file: File,
    end: AtomicU64,
    index: Mutex<BTreeMap<Key, Vec<Entry>>>,
}

/// A body on its way into the recording.
#[derive(Debug)]
pub struct Body<'a> {
    store: &'a Store,
    /// What is not written yet: pieces that were as small as a server likes would make an index
    /// that is larger than what it is of.
    held: Vec<u8>,
    pieces: Vec<(u64, u64)>,
    digest: sha2::Sha256,
}

impl Body<'_> {
    /// Appends to it.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.digest.update(data);
        self.held.extend_from_slice(data);
        if self.held.len() >= HELD {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let length = self.held.len() as u64;
        let at = self.store.end.fetch_add(length, Ordering::Relaxed);
        self.store.file.write_all_at(&self.held, at)?;
        self.held.clear();
        match self.pieces.last_mut() {
            Some((offset, before)) if *offset + *before == at => *before += length,
            _ => self.pieces.push((at, length)),
        }
        Ok(())
    }
}

impl Store {
    /// Begins a recording in an empty file.
    pub fn new(file: File) -> Self {
        Self {
            file,
            end: AtomicU64::new(0),
            index: Mutex::default(),
        }
    }

    /// A body begins.
    pub fn begin(&self) -> Body<'_> {
        Body {
            store: self,
            held: Vec::new(),
            pieces: Vec::new(),
            digest: sha2::Sha256::new(),
        }
    }

    /// Keeps a whole answer; its body's digest.
    pub fn keep(&self, key: Key, head: &ResponseHead, mut body: Body<'_>) -> io::Result<Sha256> {
        body.flush()?;
        let mut headers = head.headers.clone();
        headers.drop_hop_by_hop();
        let kept = |name: &str| !NOT_KEPT.iter().any(|n| name.eq_ignore_ascii_case(n));
        let sha256 = Sha256(body.digest.finalize().into());
        let mut headers: Vec<(String, OsText)> = headers
            .iter()
            .filter(|h| kept(&h.name))
            .map(|h| (h.name.clone(), h.value.clone().into()))
            .collect();
        if key.method == "HEAD"
            && let Some(length) = head.headers.get("content-length")
        {
            // Of a body that was not sent, its length is part of the answer.
            headers.push(("content-length".into(), length.to_vec().into()));
        }
        let entry = Entry {
            status: head.status,
            words: head.words.clone(),
            headers,
            pieces: body.pieces,
            sha256,
            failed: None,
        };
        self.index().entry(key).or_default().push(entry);
        Ok(sha256)
    }

    /// Keeps that no server answered.
    pub fn fail(&self, key: Key, status: u16, reason: Reason) {
        let entry = Entry {
            status,
            words: String::new(),
            headers: Vec::new(),
            pieces: Vec::new(),
            sha256: Sha256::of(b""),
            failed: Some(reason),
        };
        self.index().entry(key).or_default().push(entry);
    }

    /// Writes the index: from now on it is a recording.
    pub fn finish(&self) -> io::Result<()> {
        let text = index(std::mem::take(&mut *self.index()))?;
        seal(&self.file, self.end.load(Ordering::Relaxed), &text)
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Entry>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of an index.
pub(crate) fn index(all: impl IntoIterator<Item = (Key, Vec<Entry>)>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for (key, answers) in all {
        let line = Line {
            schema: SCHEMA.into(),
            key,
            answers,
        };
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Puts an index and the last line behind bodies that end at `at`.
pub(crate) fn seal(file: &File, at: u64, text: &[u8]) -> io::Result<()> {
    file.write_all_at(text, at)?;
    let trailer = format!("{SCHEMA} {at} {} {}", text.len(), Sha256::of(text));
    let trailer = format!("{trailer:<width$}\n", width = TRAILER - 1);
    file.write_all_at(trailer.as_bytes(), at + text.len() as u64)
}

/// A finished recording.
#[derive(Debug)]
pub struct Tape {
    file: File,
    index: BTreeMap<Key, Vec<Entry>>,
    asked: Mutex<BTreeMap<Key, usize>>,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// It can't be read.
    #[error("can't read the recording: {0}")]
    Read(#[from] io::Error),
    /// It was cut or changed.
    #[error("the recording is damaged: {0}")]
    Damaged(&'static str),
}

impl Tape {
    /// Reads a recording's index.
    pub fn open(file: File) -> Result<Self, TapeError> {
        let length = file.metadata()?.len();
        let mut trailer = [0; TRAILER];
        let at = length
            .checked_sub(TRAILER as u64)
            .ok_or(TapeError::Damaged("it has no end"))?;
        file.read_exact_at(&mut trailer, at)?;
        let trailer =
            std::str::from_utf8(&trailer).map_err(|_| TapeError::Damaged("it has no end"))?;
        let words: Vec<&str> = trailer.split_ascii_whitespace().collect();
        let [schema, begin, size, digest] = words[..] else {
            return Err(TapeError::Damaged("it has no end"));
        };
        if schema != SCHEMA {
            return Err(TapeError::Damaged("it has another schema"));
        }
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| TapeError::Damaged("its end is no end"))
        };
        let (begin, size) = (number(begin)?, number(size)?);
        if begin.checked_add(size) != Some(at) || size > LONGEST_INDEX {
            return Err(TapeError::Damaged("its end is no end"));
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut text, begin)?;
        if Sha256::of(&text).to_string() != digest {
            return Err(TapeError::Damaged("its index has another digest"));
        }
        let mut index = BTreeMap::new();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|_| TapeError::Damaged("a line of its index is none"))?;
            if !line.is_sound(begin) || index.insert(line.key, line.answers).is_some() {
                return Err(TapeError::Damaged("a line of its index is none"));
            }
        }
        Ok(Self {
            file,
            index,
            asked: Mutex::default(),
        })
    }

    /// How many requests it answers.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it answers none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// All it has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Vec<Entry>)> {
        self.index.iter()
    }

    /// The answer to this request: for the n-th time it is asked the n-th one, then the last.
    pub fn next(&self, key: &Key) -> Option<Entry> {
        let answers = self.index.get(key)?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = asked.entry(key.clone()).or_default();
        let entry = answers.get(*n).or(answers.last())?;
        *n += 1;
        Some(entry.clone())
    }

    /// Holds a body to its digest, before a byte of it is served.
    pub fn verify(&self, entry: &Entry) -> io::Result<()> {
        let mut digest = sha2::Sha256::new();
        for piece in entry.pieces() {
            digest.update(self.read(piece)?);
        }
        if Sha256(digest.finalize().into()) == entry.sha256 {
            return Ok(());
        }
        Err(io::Error::other("a body has another digest"))
    }

    /// A piece of a body.
    pub fn read(&self, (at, length): (u64, u64)) -> io::Result<Vec<u8>> {
        let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut data, at)?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_request;

    fn key(target: &str) -> Key {
        let authority = Authority::parse(b"a.example:80", None).unwrap();
        let head = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let (head, _) = parse_request(head, 999).unwrap().unwrap();
        Key::of("http", &authority, target, &head, Sha256::of(b"").0)
    }

    fn keep(store: &Store, target: &str, body: &[u8]) {
        let text = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nETag: x\r\nContent-Length: 3\r\n\r\n";
        let (head, _) = parse_response(text, 999, "GET").unwrap().unwrap();
        let mut kept = store.begin();
        for piece in body.chunks(2) {
            kept.write(piece).unwrap();
        }
        store.keep(key(target), &head, kept).unwrap();
    }

    fn body(tape: &Tape, target: &str) -> Option<Vec<u8>> {
        let entry = tape.next(&key(target))?;
        tape.verify(&entry).unwrap();
        Some(entry.pieces().flat_map(|p| tape.read(p).unwrap()).collect())
    }

    #[test]
    fn the_nth_answer_then_the_last() {
        let file = tempfile::tempfile().unwrap();
        let store = Store::new(file.try_clone().unwrap());
        keep(&store, "/a", b"one");
        keep(&store, "/b", b"other");
        keep(&store, "/a", b"two");
        store.finish().unwrap();
        let tape = Tape::open(file).unwrap();
        for want in ["one", "two", "two"] {
            assert_eq!(body(&tape, "/a").unwrap(), want.as_bytes());
        }
        assert_eq!(body(&tape, "/b").unwrap(), b"other");
        assert_eq!(body(&tape, "/c"), None);
        let head = tape
            .next(&key("/a"))
            .unwrap()
            .head(Framing::Length(3), false);
        assert_eq!(
            String::from_utf8_lossy(&head),
            "HTTP/1.1 200 OK\r\nETag: x\r\ncontent-length: 3\r\n\r\n"
        );
    }

    #[test]
    fn bodies_that_come_in_crumbs_take_no_room_in_the_index() {
        let file = tempfile::tempfile().unwrap();
        let store = Store::new(file.try_clone().unwrap());
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        let (head, _) = parse_response(text, 999, "GET").unwrap().unwrap();
        let (mut one, mut two) = (store.begin(), store.begin());
        for _ in 0..100_000 {
            one.write(b"1").unwrap();
            two.write(b"2").unwrap();
        }
        store.keep(key("/1"), &head, one).unwrap();
        store.keep(key("/2"), &head, two).unwrap();
        store.finish().unwrap();
        let tape = Tape::open(file).unwrap();
        assert_eq!(body(&tape, "/1").unwrap(), vec![b'1'; 100_000]);
        assert_eq!(body(&tape, "/2").unwrap(), vec![b'2'; 100_000]);
        let entry = tape.next(&key("/1")).unwrap();
        assert!(entry.pieces.len() < 5, "{}", entry.pieces.len());
    }

    #[test]
    fn a_changed_byte_anywhere_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let store = Store::new(file.try_clone().unwrap());
        keep(&store, "/a", b"body");
        store.finish().unwrap();
        let length = file.metadata().unwrap().len();
        for at in 0..length {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            if at >= length - TRAILER as u64 && byte[0] == b' ' {
                continue;
            }
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            let good = Tape::open(file.try_clone().unwrap()).is_ok_and(|tape| {
                tape.next(&key("/a"))
                    .is_some_and(|entry| tape.verify(&entry).is_ok())
            });
            assert!(!good || at == length - 1, "byte {at} may be changed");
            file.write_all_at(&byte, at).unwrap();
        }
        file.set_len(length - 1).unwrap();
        assert!(Tape::open(file).is_err());
    }
}
