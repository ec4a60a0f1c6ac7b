//! Replication: what a broker does with the partitions it hosts.
//!
//! - [`partition`] and [`isr`] (pure): roles, epochs, the in-sync set, the high watermark.
//! - [`fetch_plan`] and [`fetch_session`] (pure): what a Fetch may return, and what a session remembers.
//! - [`session_client`] and [`fetch_states`] (pure): the same from the follower's side.
//! - [`waits`]: who waits for a partition; [`alter_partition`]: changes of the in-sync set on their way to the controller.
//! - [`links`]: connections to leaders and to the controller.

pub mod alter_partition;
mod env;
pub mod fetch_plan;
pub mod fetch_session;
pub mod fetch_states;
pub mod isr;
pub mod links;
pub mod partition;
pub mod session_client;
pub mod waits;

pub use env::{Counters, Env, Versions};
