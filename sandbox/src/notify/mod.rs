//! The one seccomp listener and its handlers.
