//! Group coordinator.
