//! Which brokers get the replicas of new partitions: Kafka's algorithm, without and with racks.
//!
//! Leaders go round robin from a start; each further replica goes a shift away from the leader, and the shift grows by
//! one whenever all brokers have led once, so that no pair of brokers shares more than it must. With racks, brokers are
//! taken from the racks in turn, and a rack gets a second replica only when every rack has one.
//! Source: `org.apache.kafka.admin.AdminUtils`, KIP-36.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::ErrorCode;
use crate::ids::BrokerId;

/// A broker that can take replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub id: BrokerId,
    pub rack: Option<String>,
}

/// Partition -> replicas, the preferred leader first.
pub type Assignment = BTreeMap<i32, Vec<BrokerId>>;

/// Where an assignment begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Place of the first leader among the brokers; any number, taken modulo.
    pub leader: usize,
    /// Distance of the second replica from the leader, less one.
    pub shift: usize,
    /// Number of the first partition.
    pub partition: i32,
}

impl Start {
    /// A random start, as for a new topic.
    pub fn random() -> Self {
        let random = || u32::from_ne_bytes(crate::time::os_random()) as usize;
        Self { leader: random(), shift: random(), partition: 0 }
    }
}

/// Why no assignment can be made. The texts are seen by users of the admin client.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum AssignError {
    #[error("Number of partitions must be larger than 0.")]
    Partitions,
    #[error("Replication factor must be larger than 0.")]
    ReplicationFactor,
    #[error("Replication factor: {wanted} larger than available brokers: {available}.")]
    TooFewBrokers { wanted: i32, available: usize },
    #[error(
        "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information."
    )]
    MixedRacks,
}

impl From<&AssignError> for ErrorCode {
    fn from(error: &AssignError) -> Self {
        match error {
            AssignError::Partitions => ErrorCode::InvalidPartitions,
            AssignError::ReplicationFactor | AssignError::TooFewBrokers { .. } => ErrorCode::InvalidReplicationFactor,
            AssignError::MixedRacks => ErrorCode::UnknownServerError,
        }
    }
}

/// Assigns `partitions` new partitions with `replication_factor` replicas each.
pub fn assign(
    brokers: &[Candidate],
    partitions: i32,
    replication_factor: i32,
    start: Start,
) -> Result<Assignment, AssignError> {
    if partitions <= 0 {
        return Err(AssignError::Partitions);
    }
    if replication_factor <= 0 {
        return Err(AssignError::ReplicationFactor);
    }
    let too_few = || AssignError::TooFewBrokers { wanted: replication_factor, available: brokers.len() };
    let replicas = usize::try_from(replication_factor).map_err(|_| too_few())?;
    if replicas > brokers.len() {
        return Err(too_few());
    }
    let arranged = match brokers.iter().filter(|broker| broker.rack.is_some()).count() {
        0 => by_id(brokers),
        racked if racked == brokers.len() => by_rack(brokers),
        _ => return Err(AssignError::MixedRacks),
    };
    let racks = arranged.iter().map(|broker| broker.rack.as_deref()).collect::<BTreeSet<_>>();
    let count = arranged.len();
    let mut shift = start.shift % count;
    let mut assignment = Assignment::new();
    for partition in (start.partition.max(0)..).take(partitions as usize) {
        let number = partition as usize;
        if number > 0 && number.is_multiple_of(count) {
            shift += 1;
        }
        let leader = (number + start.leader % count) % count;
        let mut chosen = vec![arranged[leader].id];
        let mut used_racks = BTreeSet::from([arranged[leader].rack.as_deref()]);
        // With one rack, or none, the rack never decides and this walks the brokers one by one.
        let mut step = shift * racks.len();
        while chosen.len() < replicas {
            let broker = arranged[(leader + 1 + step % (count - 1)) % count];
            step += 1;
            let rack = broker.rack.as_deref();
            let rack_is_free = !used_racks.contains(&rack) || used_racks.len() == racks.len();
            if rack_is_free && !chosen.contains(&broker.id) {
                chosen.push(broker.id);
                used_racks.insert(rack);
            }
        }
        assignment.insert(partition, chosen);
    }
    Ok(assignment)
}

/// Assigns partitions that are added to a topic: from where partition 0 begins, with as many replicas as it has.
pub fn assign_more(existing: &Assignment, brokers: &[Candidate], total: i32) -> Result<Assignment, AssignError> {
    let first = existing.get(&0).map(Vec::as_slice).unwrap_or_default();
    let start = match first.first() {
        Some(&leader) => by_id(brokers).iter().position(|broker| broker.id >= leader).unwrap_or(0),
        None => 0,
    };
    let count = existing.len() as i32;
    assign(brokers, total - count, first.len() as i32, Start { leader: start, shift: start, partition: count })
}

fn by_id(brokers: &[Candidate]) -> Vec<&Candidate> {
    let mut sorted: Vec<_> = brokers.iter().collect();
    sorted.sort_by_key(|broker| broker.id);
    sorted
}

/// One broker of each rack in turn; racks by name, brokers of a rack by id.
fn by_rack(brokers: &[Candidate]) -> Vec<&Candidate> {
    let mut racks: BTreeMap<Option<&str>, Vec<&Candidate>> = BTreeMap::new();
    for broker in by_id(brokers) {
        racks.entry(broker.rack.as_deref()).or_default().push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|round| racks.values().filter_map(move |rack| rack.get(round).copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(ids: &[i32]) -> Vec<Candidate> {
        ids.iter().map(|&id| Candidate { id: BrokerId(id), rack: None }).collect()
    }

    fn racked(brokers: &[(i32, &str)]) -> Vec<Candidate> {
        brokers.iter().map(|&(id, rack)| Candidate { id: BrokerId(id), rack: Some(rack.into()) }).collect()
    }

    fn lists(assignment: &Assignment) -> Vec<Vec<i32>> {
        assignment.values().map(|replicas| replicas.iter().map(|id| id.0).collect()).collect()
    }

    fn at(leader: usize, partition: i32) -> Start {
        Start { leader, shift: leader, partition }
    }

    /// The table in the head comment of Kafka's AdminUtils.
    #[test]
    fn five_brokers_ten_partitions() {
        let assignment = assign(&plain(&[4, 0, 3, 1, 2]), 10, 3, at(0, 0)).unwrap();
        let expected = [
            [0, 1, 2],
            [1, 2, 3],
            [2, 3, 4],
            [3, 4, 0],
            [4, 0, 1],
            [0, 2, 3],
            [1, 3, 4],
            [2, 4, 0],
            [3, 0, 1],
            [4, 1, 2],
        ];
        assert_eq!(lists(&assignment), expected);
    }

    /// The rack example there: 0 rack1, 1 rack3, 2 rack3, 3 rack2, 4 rack2, 5 rack1 is arranged as 0 3 1 5 4 2.
    #[test]
    fn six_brokers_on_three_racks() {
        let brokers = racked(&[(0, "rack1"), (1, "rack3"), (2, "rack3"), (3, "rack2"), (4, "rack2"), (5, "rack1")]);
        let order: Vec<_> = by_rack(&brokers).iter().map(|broker| broker.id.0).collect();
        assert_eq!(order, [0, 3, 1, 5, 4, 2]);
        let assignment = assign(&brokers, 7, 3, at(0, 0)).unwrap();
        let expected = [[0, 3, 1], [3, 1, 5], [1, 5, 4], [5, 4, 2], [4, 2, 0], [2, 0, 3], [0, 4, 2]];
        assert_eq!(lists(&assignment), expected);
    }

    #[test]
    fn racks_are_spread_and_no_broker_is_taken_twice() {
        let brokers = racked(&[(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c"), (6, "c")]);
        for leader in 0..7 {
            for rf in 1..=7 {
                for replicas in
                    assign(&brokers, 30, rf, Start { leader, shift: leader * 3, partition: 4 }).unwrap().values()
                {
                    let ids: BTreeSet<_> = replicas.iter().collect();
                    assert_eq!(ids.len(), rf as usize);
                    let racks: BTreeSet<_> = replicas.iter().map(|id| brokers[id.0 as usize].rack.as_deref()).collect();
                    assert_eq!(racks.len(), (rf as usize).min(3), "{replicas:?}");
                }
            }
        }
    }

    #[test]
    fn leaders_are_even() {
        let assignment = assign(&plain(&[1, 2, 3]), 9, 2, Start::random()).unwrap();
        for id in 1..=3 {
            assert_eq!(assignment.values().filter(|replicas| replicas[0].0 == id).count(), 3);
            assert_eq!(assignment.values().filter(|replicas| replicas[1].0 == id).count(), 3);
        }
    }

    #[test]
    fn one_broker() {
        assert_eq!(lists(&assign(&plain(&[7]), 2, 1, Start::random()).unwrap()), [[7], [7]]);
    }

    #[test]
    fn more_partitions_go_on_from_the_first() {
        let existing = Assignment::from([(0, vec![BrokerId(1), BrokerId(2)]), (1, vec![BrokerId(2), BrokerId(0)])]);
        let more = assign_more(&existing, &plain(&[0, 1, 2]), 4).unwrap();
        // Start 1, shift 1: partition 2 is led by place (2 + 1) % 3 = 0, its second replica two further.
        assert_eq!(more, Assignment::from([(2, vec![BrokerId(0), BrokerId(2)]), (3, vec![BrokerId(1), BrokerId(2)])]));
        // The first leader is gone for good: the next id above takes its place.
        assert!(assign_more(&existing, &plain(&[0, 2]), 3).is_ok());
    }

    #[test]
    fn what_cannot_be_assigned() {
        let start = at(0, 0);
        let brokers = plain(&[1, 2]);
        assert_eq!(assign(&brokers, 0, 1, start), Err(AssignError::Partitions));
        assert_eq!(assign(&brokers, 1, 0, start), Err(AssignError::ReplicationFactor));
        assert_eq!(assign(&brokers, 1, 3, start), Err(AssignError::TooFewBrokers { wanted: 3, available: 2 }));
        assert_eq!(assign(&[], 1, 1, start), Err(AssignError::TooFewBrokers { wanted: 1, available: 0 }));
        let mixed = [plain(&[1]), racked(&[(2, "a")])].concat();
        assert_eq!(assign(&mixed, 1, 1, start), Err(AssignError::MixedRacks));
        assert_eq!(ErrorCode::from(&AssignError::MixedRacks), ErrorCode::UnknownServerError);
    }
}
