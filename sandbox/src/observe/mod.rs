//! Turns what the listener saw into records.
