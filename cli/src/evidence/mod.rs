//! What a command leaves: the documents, their folder, and the way back from a folder to them.

pub mod dir;
pub mod error;
pub mod far;
pub mod folder;
pub mod kept;
pub mod network;
pub mod read;
pub mod report;
#[cfg(test)]
pub mod samples;
pub mod security;
pub mod story;
pub mod verdict;

pub use error::EvidenceError;

/// A document as it is written: indented JSON with a newline at the end, maps sorted.
pub fn json<T: serde::Serialize>(document: &T) -> Vec<u8> {
    // The model's types always serialise; an empty document would fail its digest and its schema.
    let mut bytes = serde_json::to_vec_pretty(document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
