//! Reading the groups of a partition of `__consumer_offsets` back.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::coordinator::{Coordinator, Held, Shard};
use super::machine::Group;
use super::records::{self, Entry};
use crate::error::ErrorCode;
use crate::ids::Offset;
use crate::record::{self, EndMarker, EndTxn};

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
        let mut from = self.log.start(shard.partition)?;
        while let Some(bytes) = self.log.read(shard.partition, from, self.config.load_buffer_bytes)? {
            let before = from;
            for batch in record::batches(bytes) {
                let Ok(batch) = batch else { return Err(ErrorCode::CorruptMessage) };
                from = Offset(batch.header.next_offset());
                let transactional = batch.header.attributes.transactional();
                if batch.header.attributes.control() {
                    if let Some(marker) = EndMarker::of(&batch) {
                        let commit = marker.end == EndTxn::Commit;
                        groups.values_mut().for_each(|held| held.offsets.end(batch.header.producer_id, commit));
                    }
                    continue;
                }
                let producer_id = transactional.then_some(batch.header.producer_id);
                let records = batch.records().map_err(|_| ErrorCode::CorruptMessage)?;
                for record in records {
                    let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                    let Some(key) = record.key else { continue };
                    match records::parse(key, record.value) {
                        Ok(entry) => self.replay(entry, Offset(record.offset), producer_id, groups),
                        Err(error) => tracing::warn!(target: "kafka.coordinator.group", partition = shard.partition,
                            offset = record.offset, %error, "Skipping a record that cannot be read"),
                    }
                }
            }
            if from <= before {
                break; // A batch that does not end after its start would be read for ever.
            }
        }
        groups.retain(|_, held| {
            held.machine.protocol_type.is_some() || held.machine.size() > 0 || !held.offsets.is_empty()
        });
        Ok(())
    }

    /// `producer_id` is that of a transaction to which the record belongs.
    fn replay(&self, entry: Entry, at: Offset, producer_id: Option<i64>, groups: &mut HashMap<String, Held>) {
        match entry {
            Entry::Offset { group, partition, committed } => {
                let held = groups.entry(group).or_insert_with_key(|id| Held::new(id));
                match (committed, producer_id) {
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
