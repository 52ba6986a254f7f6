//! The chunked coding, taken apart. Extensions and trailers are held to their form and dropped.

use super::{BadHead, Fault, scan};

/// Hexadecimal digits of a chunk's size: 2^60 is more than anybody sends.
const MOST_DIGITS: usize = 15;
/// Bytes of extensions in one chunk's line.
const MOST_EXTENSION: usize = 256;
/// Bytes of all trailers.
const MOST_TRAILER: usize = 8 * 1024;

/// Takes a chunked body apart, in whatever pieces it arrives.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    size: u64,
    digits: usize,
    extra: usize,
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the first byte of a trailer line, or of the empty line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// What one look at the bytes gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are used up.
    pub used: usize,
    /// How many of them are body: the last ones.
    pub data: usize,
    /// The body is over.
    pub done: bool,
}

impl Chunked {
    /// Takes bytes until there is a run of body, the body is over, or nothing is left.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Step, BadHead> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.state == State::Done {
                return Ok(self.step(at, 0));
            }
            if self.state == State::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                let n = left.min(bytes.len() - at);
                self.size -= n as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                self.offset = self.offset.saturating_add(n);
                return Ok(self.step(at + n, n));
            }
            self.next(*byte)
                .map_err(|fault| BadHead::new(fault, self.offset))?;
            self.offset = self.offset.saturating_add(1);
        }
        Ok(self.step(bytes.len(), 0))
    }

    fn step(&self, used: usize, data: usize) -> Step {
        Step {
            used,
            data,
            done: self.state == State::Done,
        }
    }

    fn next(&mut self, byte: u8) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err(Fault::ChunkSize);
                }
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => byte - b'A' + 10,
                };
                self.size = self.size * 16 + u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b' '..=b'~' | b'\t') if self.extra < MOST_EXTENSION => {
                self.extra += 1;
                State::Extension
            }
            (State::Extension, _) => return Err(Fault::ChunkExtension),
            (State::SizeLf, b'\n') if self.size == 0 => {
                self.extra = 0;
                State::Trailer
            }
            (State::SizeLf, b'\n') => State::Data,
            (State::Size | State::SizeLf, _) => return Err(Fault::ChunkSize),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                (self.digits, self.extra) = (0, 0);
                State::Size
            }
            (State::Data | State::DataCr | State::DataLf | State::Done, _) => {
                return Err(Fault::ChunkEnd);
            }
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer | State::TrailerName, byte) if scan::token(byte) => State::TrailerName,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerName, b':') | (State::TrailerValue, b'\t' | b' '..=b'~' | 128..) => {
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Done,
            (
                State::Trailer
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf,
                _,
            ) => return Err(Fault::Trailer),
        };
        if matches!(self.state, State::TrailerName | State::TrailerValue) {
            self.extra += 1;
            if self.extra > MOST_TRAILER {
                return Err(Fault::Trailer);
            }
        }
        Ok(())
    }
}
