//! Groups of consumers: who is a member, who leads, what is assigned, and the offsets they committed.
//!
//! [`machine`] and its half `joining` decide, [`coordinator`] runs it, [`records`] is what lies in `__consumer_offsets`,
//! [`txn`] the offsets that belong to transactions.

pub mod coordinator;
mod joining;
mod load;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod member;
pub mod offsets;
pub mod records;
mod removal;
mod txn;

pub use coordinator::{Coordinator, GroupConfig};
