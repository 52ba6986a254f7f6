//! Which outputs differ, at which bytes, and why.
//!
//! Pure but for the readers it is given: it opens nothing by itself, never reads a clock, runs
//! nothing. `tree` compares two manifests, `bytes` finds the differing regions of two readers,
//! `explain` names causes, `report` renders.
#![forbid(unsafe_code)]
