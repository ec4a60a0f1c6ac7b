//! What must hold for any bytes: the targets of the fuzzer. `tests/storage_hostile.rs` runs those of storage, too.

pub mod batches;
pub mod checkpoints;
pub mod coordinator_records;
pub mod indexes;
pub mod input;
pub mod message_sets;
pub mod partition;
pub mod partition_dir;
pub mod prepared;
pub mod request_frame;
pub mod seeds;
pub mod snapshots;
pub mod zk_packet;
