//! Reading the groups of a partition of `__consumer_offsets` back.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::coordinator::{Coordinator, Held, Shard};
use super::machine::Group;
use super::records::{self, Entry};
use crate::error::ErrorCode;
use crate::ids::Offset;
use crate::internal_log::for_each_batch;
use crate::record::{EndMarker, EndTxn};

impl Coordinator {
    pub(super) fn load(&self, shard: &Shard) {
        let started = self.clock.now_ms();
        let mut groups: HashMap<String, Held> = HashMap::new();
        if let Err(error) = self.read_log(shard, &mut groups) {
            tracing::error!(target: "kafka.coordinator.group", partition = shard.partition, %error,
                "Error loading offsets from __consumer_offsets; groups of this partition start empty");
        }
        let count = groups.len();
        {
            let mut state = shard.state.lock();
            if shard.closed.load(Ordering::Relaxed) {
                return;
            }
            state.groups = groups;
            state.loading = false;
            state.loaded();
        }
        tracing::info!(target: "kafka.coordinator.group", partition = shard.partition, epoch = %shard.epoch, groups = count,
            ms = self.clock.now_ms() - started, "Finished loading offsets and group metadata from __consumer_offsets-{}", shard.partition);
    }

    fn read_log(&self, shard: &Shard, groups: &mut HashMap<String, Held>) -> Result<(), ErrorCode> {
        for_each_batch(&*self.log, shard.partition, self.config.load_buffer_bytes, |batch| {
            let producer_id = batch.header.producer_id;
            if batch.header.attributes.control() {
                if let Some(marker) = EndMarker::of(batch) {
                    let commit = marker.end == EndTxn::Commit;
                    groups.values_mut().for_each(|held| held.offsets.end(producer_id, commit));
                }
                return Ok(());
            }
            let in_txn_of = batch.header.attributes.transactional().then_some(producer_id);
            for record in batch.records().map_err(|_| ErrorCode::CorruptMessage)? {
                let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                let Some(key) = record.key else { continue };
                match records::parse(key, record.value) {
                    Ok(entry) => self.replay(entry, Offset(record.offset), in_txn_of, groups),
                    Err(error) => tracing::warn!(target: "kafka.coordinator.group", partition = shard.partition,
                        offset = record.offset, %error, "Skipping a record that cannot be read"),
                }
            }
            Ok(())
        })?;
        groups.retain(|_, held| {
            held.machine.protocol_type.is_some() || held.machine.size() > 0 || !held.offsets.is_empty()
        });
        Ok(())
    }

    /// `in_txn_of` is the producer of the transaction to which the record belongs.
    fn replay(&self, entry: Entry, at: Offset, in_txn_of: Option<i64>, groups: &mut HashMap<String, Held>) {
        match entry {
            Entry::Offset { group, partition, committed } => {
                let held = groups.entry(group).or_insert_with_key(|id| Held::new(id));
                match (committed, in_txn_of) {
                    (Some(committed), None) => held.offsets.apply(partition, at, committed),
                    (Some(committed), Some(id)) => held.offsets.begin(id, partition, Some(at), committed),
                    (None, _) => {
                        held.offsets.remove(&partition);
                    }
                }
            }
            Entry::Group { group, value } => {
                let machine = match &value {
                    Some(value) => records::restore(&group, value, self.clock.now_ms()),
                    None => Group::new(group.clone()),
                };
                groups.entry(group).or_insert_with_key(|id| Held::new(id)).machine = machine;
            }
            Entry::Unknown { version } => tracing::warn!(target: "kafka.coordinator.group", version, offset = %at,
                "Ignoring a record of a newer group protocol"),
        }
    }
}
