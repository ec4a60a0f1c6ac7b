//! JSON of the znodes.
