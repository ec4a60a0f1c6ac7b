//! Transactions (KIP-98): the way of the leaders to the coordinator that knows them.
//!
//! - [`verifier`]: leaders ask the coordinator before a transaction begins in a partition (KIP-890).
//! - [`peers`]: connections to other brokers, one request at a time to each.

pub mod lanes;
pub mod peers;
pub mod verifier;
