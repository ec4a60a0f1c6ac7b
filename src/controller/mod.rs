//! The classic controller as a pure machine, and its shell.
//!
//! One broker of the cluster owns `/controller`; it elects leaders, reacts to brokers that come and go, creates and
//! deletes partitions and tells every broker what it needs to know (LeaderAndIsr, UpdateMetadata, StopReplica).
//!
//! - [`machine`]: `step(inputs) -> effects`. Inside it, ordinary `async fn` handlers, one file per subject, that await
//!   nothing but replies of ZooKeeper. No runtime, file, socket or clock is named there.
//! - [`driver`] carries the effects out, [`channel`] talks to one broker, [`handle`] is what request handlers use.
//!
//! Studied: apache/kafka `core/.../controller/` (KafkaController, ControllerChannelManager, the two state machines,
//! TopicDeletionManager, Election), 3.9. Where this controller differs on purpose, the place says so; the list:
//! 1. Fenced although `/controller` still names it (somebody wrote `/controller_epoch`): Kafka stays fenced for ever,
//!    this one resigns, deletes `/controller` and stands again.
//! 2. A created state node or an altered partition whose first reply was lost is recognised by reading it back.
//! 3. Calls that were queued when the controller moved are always answered (NOT_CONTROLLER).
//! 4. A `/controller` that vanished again before its change was read starts an election at once.
//! 5. A reassignment that cannot go on does not stop a failover; in Kafka the cluster then goes from controller to
//!    controller. One of a partition that was never created creates it.
//! 6. A deletion of a topic that is not known yet is not dropped before the list of topics was read again.

mod balance;
pub mod batch;
mod broker;
pub mod channel;
pub mod context;
mod deletion;
pub mod driver;
pub mod effect;
pub mod election;
pub mod event;
mod failover;
pub mod handle;
mod io;
mod isr;
pub mod machine;
mod partition_state;
mod producer_ids;
mod reassignment;
mod replica_state;
mod shutdown;
mod store;
mod topic;
pub mod versions;

pub use effect::{Answer, Effect, Snapshot};
pub use event::{Call, Input};
pub use handle::Handle;
pub use io::Settled;
pub use machine::{Machine, Options};
