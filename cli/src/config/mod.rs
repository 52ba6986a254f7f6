//! What was typed and what `belljar.toml` says, as one value.
