//! Replication: what a broker does with the partitions it hosts.
//!
//! - [`partition`] and [`isr`] (pure): roles, epochs, the in-sync set, the high watermark.
//! - [`fetch_plan`] and [`fetch_session`] (pure): what a Fetch may return, and what a session remembers.
//! - [`session_client`] and [`fetch_states`] (pure): the same from the follower's side.
//! - [`waits`]: who waits for a partition; [`alter_partition`]: changes of the in-sync set on their way to the controller.
//! - [`links`]: connections to leaders and to the controller.
//! - [`hosted`]: a partition with its log and its waits; [`reader`], [`offsets`]: what it answers;
//!   [`fetcher`], [`fetchers`]: how it is copied.
//! - [`txn`]: transactions are verified before they begin in a partition.
//! - `delete_records`: the log start, moved by request.
//! - `log_dirs`: where the replicas are, and moving them to another log dir.
//! - [`manager`]: all partitions, and what the controller may change; [`metrics`]: what it shows of them.

pub mod alter_partition;
mod changes;
mod delete_records;
mod env;
pub mod fetch_plan;
pub mod fetch_session;
pub mod fetch_states;
pub mod fetcher;
pub mod fetchers;
pub mod hosted;
mod hosted_map;
pub mod isr;
pub mod links;
mod log_dirs;
pub mod manager;
pub mod metrics;
pub mod offsets;
pub mod partition;
pub mod reader;
pub mod session_client;
mod settings;
pub mod txn;
pub mod waits;

pub use delete_records::RecordsDeleted;
pub use env::{Counters, Env, Versions};
pub use hosted::{LeaderAppendError, Partition};
pub use manager::{CommitWait, Counts, Manager, Options, Parts, RoleListener};
