//! The broker: everything that one process of a cluster owns.
