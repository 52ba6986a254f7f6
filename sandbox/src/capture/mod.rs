//! Reads a run's outputs.
