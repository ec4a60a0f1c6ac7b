//! Waiting without naming a runtime.
