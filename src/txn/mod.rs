//! Transactions (KIP-98): the coordinator of transactional ids, and the leaders' way to it.
//!
//! - [`machine`] (pure): states and transitions of a transactional id; [`records`]: what lies in `__transaction_state`.
//! - [`coordinator`] runs the machines; [`roles`] loads and unloads them with the leadership; [`completion`] sends the
//!   markers that end a transaction; [`expiry`] does what the clock asks for.
//! - [`verifier`]: leaders ask the coordinator before a transaction begins in a partition (KIP-890).
//! - [`peers`] and [`lanes`]: connections to other brokers, one request at a time to each.

mod completion;
pub mod coordinator;
mod expiry;
pub mod lanes;
pub mod machine;
pub mod peers;
pub mod records;
mod roles;
pub mod verifier;

pub use coordinator::{Coordinator, TxnConfig, TxnParts};
