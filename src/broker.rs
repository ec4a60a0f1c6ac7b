//! The broker: everything that one process of a cluster owns.

/// A running broker.
pub struct Broker {}
