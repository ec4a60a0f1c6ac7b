//! Any bytes as the small text files of a log dir and of a partition: what can be read is written the same way.

use std::collections::BTreeMap;

use barnabas::config::LogConfig;
use barnabas::log::checkpoint::{OffsetCheckpoint, epochs_text, read_epochs, write_epochs};
use barnabas::log::inspect::check::{Context, Finding, Repair, Report, Totals};
use barnabas::log::inspect::verify::verify;
use barnabas::log::meta::{MetaProperties, read_topic_id, write_topic_id};
use barnabas::log::{Epochs, stored_broker_id};

use super::input::Input;
use super::partition::{Partition, append, ask};

struct Ignored;

impl Report for Ignored {
    fn finding(&mut self, finding: Finding) {
        assert!(!finding.what.is_empty());
    }

    fn repair(&mut self, _: Repair) {}
}

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let bytes = input.rest();
    let partition = Partition::new();
    let dir = partition.log_dir();
    match kind % 4 {
        0 => {
            let name = "recovery-point-offset-checkpoint";
            std::fs::write(dir.join(name), bytes).unwrap();
            let file = OffsetCheckpoint::new(dir, name);
            if let Ok(offsets) = file.read() {
                file.write(&offsets).unwrap();
                assert_eq!(file.read().unwrap(), offsets);
            }
            assert_eq!(OffsetCheckpoint::new(dir, "none").read().unwrap(), BTreeMap::new());
        }
        1 => epochs(&partition, bytes),
        2 => {
            std::fs::write(dir.join("meta.properties"), bytes).unwrap();
            if let Ok(Some(MetaProperties { broker_id: Some(id), cluster_id: Some(cluster) })) =
                MetaProperties::read(dir)
            {
                assert_eq!(stored_broker_id(&[dir.to_owned()]).ok().flatten().map(|stored| stored.0), Some(id));
                MetaProperties::write(dir, id, &cluster, "a date").unwrap();
                let again = MetaProperties { broker_id: Some(id), cluster_id: Some(cluster) };
                assert_eq!(MetaProperties::read(dir).unwrap(), Some(again));
            }
        }
        _ => {
            partition.write("partition.metadata", bytes);
            if let Ok(Some(id)) = read_topic_id(&partition.path()) {
                assert!(!id.is_zero());
                write_topic_id(&partition.path(), id).unwrap();
                assert_eq!(read_topic_id(&partition.path()).unwrap(), Some(id));
                let log = partition.open(&LogConfig::default(), true).expect("a partition with a sound id");
                assert_eq!(log.topic_id(), id);
            }
        }
    }
    let _ = verify(dir, &Context::default(), &mut Totals::default(), &mut Ignored);
}

fn epochs(partition: &Partition, bytes: &[u8]) {
    partition.write("leader-epoch-checkpoint", bytes);
    let path = partition.path().join("leader-epoch-checkpoint");
    let Ok(entries) = read_epochs(&path) else {
        assert!(partition.open(&LogConfig::default(), true).is_err());
        return;
    };
    write_epochs(&path, &entries).unwrap();
    assert_eq!(read_epochs(&path).unwrap(), entries);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), epochs_text(&entries));
    let sorted = Epochs::from_entries(entries);
    assert!(sorted.entries().is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
    assert_eq!(Epochs::from_entries(sorted.entries().iter().copied()), sorted);
    let mut log = partition.open(&LogConfig::default(), true).expect("a partition with sound epochs");
    append(&mut log);
    ask(&log);
    assert!(log.epochs().entries().is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
    log.close().expect("a clean stop");
}
