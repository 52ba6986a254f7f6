//! The moved clock.
