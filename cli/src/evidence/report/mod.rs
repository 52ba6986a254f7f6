//! What people read: the text on a terminal and the Markdown summary, from the documents alone.

pub mod escape;
pub mod markdown;
pub mod text;
pub mod words;
