//! Paths of the znodes.
