//! A reader with a look ahead and a look back.

use std::io::{self, Read};

/// Bytes ahead that a decision may rest on.
pub(super) const AHEAD: usize = 32 * 1024;

/// Bytes behind that are kept for context.
const BEHIND: usize = 256;

/// What is read in one go.
const BUFFER: usize = 128 * 1024;

pub(super) struct Stream<'r> {
    reader: &'r mut dyn Read,
    buf: Vec<u8>,
    /// Where in the buffer the stream stands.
    at: usize,
    /// Where the bytes in the buffer end.
    end: usize,
    /// Offset in the stream of `at`.
    offset: u64,
    ended: bool,
}

impl<'r> Stream<'r> {
    pub(super) fn new(reader: &'r mut dyn Read) -> Self {
        Self {
            reader,
            buf: vec![0; BUFFER],
            at: 0,
            end: 0,
            offset: 0,
            ended: false,
        }
    }

    /// Makes sure that [`AHEAD`] bytes are ahead, or all there are.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.ended || self.end - self.at >= AHEAD {
            return Ok(());
        }
        let keep = self.at.saturating_sub(BEHIND);
        self.buf.copy_within(keep..self.end, 0);
        self.at -= keep;
        self.end -= keep;
        while self.end < BUFFER {
            match self.reader.read(&mut self.buf[self.end..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(super) fn ahead(&self) -> &[u8] {
        &self.buf[self.at..self.end]
    }

    pub(super) fn behind(&self) -> &[u8] {
        &self.buf[self.at.saturating_sub(BEHIND)..self.at]
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether what is ahead is all there is.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the stream ends after `n` more bytes.
    pub(super) fn ends_after(&self, n: usize) -> bool {
        self.ended && self.end - self.at == n
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.at += n;
        self.offset += n as u64;
    }
}
