//! Partitions on disk, exactly as Kafka writes them: a synchronous library that knows no sockets and no runtime.
//!
//! - [`Log`] is one partition: segments, leader epochs, producer state; [`LogHandle`] puts a lock around it, and
//!   [`LogView`] is what readers see without that lock.
//! - [`Manager`] is all partitions of a broker, over its log dirs.
//!
//! Every file can be taken over from a Kafka 3.9.1 broker, and by one.

mod append_messages;
pub mod checkpoint;
pub mod cleaner;
mod describe;
mod dir;
mod disk;
mod epochs;
mod error;
mod flush;
mod handle;
mod housekeeper;
mod index;
pub mod inspect;
mod load;
#[allow(clippy::module_inception)]
mod log;
mod manager;
pub mod meta;
mod mover;
mod moves;
mod names;
mod notes;
pub mod open_files;
pub mod producers;
mod progress;
mod replace;
mod retention;
mod scan;
mod segment;
pub mod snapshot;
mod split;
mod start;
mod truncate;
mod txn_index;
mod verification;
mod view;

pub use self::log::{AppendInfo, LeaderAppend, Log, Shared};
pub use describe::{DirInfo, LogInfo, Volume};
pub use dir::{LogDir, OnFailure};
pub use epochs::Epochs;
pub use error::{AppendError, FollowerAppendError, OpenError, ReadError, StorageError};
pub use handle::LogHandle;
pub use housekeeper::{Housekeeper, Schedule};
pub use load::{OpenOptions, open};
pub use manager::Manager;
pub use meta::MetaProperties;
pub use mover::{Mover, MoverOptions};
pub use moves::MoveError;
pub use progress::LoadProgress;
pub use start::{ManagerOptions, StartError, stored_broker_id};
pub use txn_index::AbortedTxn;
pub use verification::{Guard, TxnCheck};
pub use view::{FoundTimestamp, LogPosition, LogView, Read};
