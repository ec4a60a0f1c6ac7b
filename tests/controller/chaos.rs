//! Random trouble for the controllers: deaths, pauses, lost sessions and replies, in random order and at random moments.
//! Afterwards everybody is well again, and all must agree. A failing seed is printed; `CHAOS_SEED=n` runs it
//! alone, `CHAOS_SEEDS=n` runs the first n.

use std::collections::BTreeSet;

use barnabas::controller::Call;
use barnabas::controller::event::Election;
use barnabas::ids::{BrokerId, TopicPartition};
use barnabas::wire::messages::alter_partition::{self, BrokerState, PartitionData, TopicData};
use barnabas::wire::messages::alter_partition_reassignments::{self, ReassignablePartition, ReassignableTopic};
use barnabas::wire::messages::controlled_shutdown;
use barnabas::zk::data::{Data, EntityConfig, TopicAssignment};
use barnabas::zk::path;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{World, create};

const BROKERS: [i32; 4] = [1, 2, 3, 4];

#[test]
fn everybody_agrees_after_the_trouble() {
    let seeds = match std::env::var("CHAOS_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => {
            let count = std::env::var("CHAOS_SEEDS").map_or(40, |count| count.parse().expect("a number"));
            (0..count).collect::<Vec<u64>>()
        }
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        if outcome.is_err() {
            panic!("seed {seed}");
        }
    }
}

struct Chaos {
    world: World,
    rng: ChaCha8Rng,
    /// Nodes whose session has ended without their knowledge.
    expired: BTreeSet<i32>,
    /// Nodes that have asked for a controlled shutdown: they are told less, and may not lead, until they come back.
    stopping: BTreeSet<i32>,
    topics: u32,
    marked: BTreeSet<String>,
}

fn run(seed: u64) {
    let mut world = World::new();
    for id in BROKERS {
        world.start(id);
    }
    world.settle();
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chaos =
        Chaos { world, rng, expired: BTreeSet::new(), stopping: BTreeSet::new(), topics: 0, marked: BTreeSet::new() };
    for _ in 0..60 {
        chaos.trouble();
        let turns = *[0, 1, 3, 10, 40, 400].choose(&mut chaos.rng).expect("a choice");
        chaos.turns(turns);
    }
    chaos.calm_down();
    chaos.check(false);
    chaos.heal();
    chaos.check(true);
}

impl Chaos {
    fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            let ids: Vec<i32> = self.world.nodes.keys().copied().collect();
            if let Some(id) = ids.choose(&mut self.rng) {
                self.world.advance(*id);
            }
        }
    }

    fn running(&mut self) -> Option<i32> {
        let ids: Vec<i32> = self.world.nodes.keys().copied().collect();
        ids.choose(&mut self.rng).copied()
    }

    fn topic_names(&self) -> Vec<String> {
        let paths = self.world.model.paths();
        let names = paths.iter().filter_map(|path| path::parse_topic(path));
        names.filter(|name| !self.marked.contains(*name)).map(str::to_owned).collect()
    }

    fn assignment(&self, topic: &str) -> TopicAssignment {
        TopicAssignment::decode(self.world.data(&path::topic(topic)).expect("a topic").as_bytes())
            .expect("an assignment")
    }

    fn some_partition(&mut self) -> Option<TopicPartition> {
        let name = self.topic_names().choose(&mut self.rng)?.clone();
        let partitions: Vec<i32> = self.assignment(&name).partitions.keys().copied().collect();
        Some(TopicPartition::new(name, *partitions.choose(&mut self.rng)?))
    }

    fn trouble(&mut self) {
        let down: Vec<i32> = BROKERS.into_iter().filter(|id| !self.world.nodes.contains_key(id)).collect();
        match self.rng.random_range(0..16) {
            0 | 1 => self.create_topic(),
            2 => {
                if let Some(name) = self.topic_names().choose(&mut self.rng) {
                    self.marked.insert(name.clone());
                    self.world.write(create(&path::delete_topic(name), None));
                }
            }
            3 => {
                if self.world.nodes.len() > 1
                    && let Some(id) = self.running()
                {
                    self.world.kill(id);
                    self.expired.remove(&id);
                    self.stopping.remove(&id);
                }
            }
            4 | 5 => {
                if let Some(id) = down.choose(&mut self.rng) {
                    self.world.start(*id);
                }
            }
            6 => {
                if let Some(id) = self.running() {
                    let node = self.world.nodes.get_mut(&id).expect("a node");
                    node.paused = !node.paused;
                }
            }
            7 => {
                if let Some(id) = self.running()
                    && self.expired.insert(id)
                {
                    self.world.end_session(id);
                }
            }
            8 => {
                if let Some(id) = self.expired.pop_first() {
                    self.world.nodes.get_mut(&id).expect("a node").paused = false;
                    self.world.learn_expiry(id);
                }
            }
            9 => self.world.lose_reply_in = Some(self.rng.random_range(1..6)),
            10 | 11 => self.alter_partition(),
            12 => self.shut_down(),
            13 => {
                if let (Some(partition), Some(id)) = (self.some_partition(), self.running()) {
                    let election = if self.rng.random() { Election::Preferred } else { Election::Unclean };
                    self.world.call(id, Call::ElectLeaders { election, partitions: Some(vec![partition]) });
                }
            }
            14 => self.reassign(),
            _ => {
                let up: Vec<i32> = self.world.receivers.keys().copied().collect();
                if let Some(id) = up.choose(&mut self.rng) {
                    let muted = self.rng.random();
                    self.world.mute(*id, muted);
                }
            }
        }
    }

    fn create_topic(&mut self) {
        self.topics += 1;
        let name = format!("t{}", self.topics);
        let partitions = (0..self.rng.random_range(1..4))
            .map(|index| {
                let mut ids = BROKERS;
                ids.shuffle(&mut self.rng);
                let count = self.rng.random_range(1..4);
                (index, ids[..count].iter().map(|id| BrokerId(*id)).collect())
            })
            .collect();
        self.world.write(create(&path::topic_config(&name), Some(EntityConfig::default().encode())));
        let id = barnabas::ids::TopicId::from_random([self.topics as u8; 16]);
        let assignment = TopicAssignment::new(id, &partitions);
        self.world.write(create(&path::topic(&name), Some(assignment.encode())));
    }

    /// A leader wants another ISR; it knows the state of the znode, or one that is a little old.
    fn alter_partition(&mut self) {
        let Some(partition) = self.some_partition() else { return };
        let Some((state, epoch)) = self.world.state(&partition) else { return };
        let (Some(node), Some(controller)) = (self.world.nodes.get(&state.leader.0), self.world.controller()) else {
            return;
        };
        let broker_epoch = node.broker_epoch.0;
        let assignment = self.assignment(&partition.topic);
        let mut isr: Vec<i32> = assignment.partitions[&partition.partition].replicas.iter().map(|id| id.0).collect();
        isr.retain(|id| *id == state.leader.0 || self.rng.random());
        let data = PartitionData {
            partition_index: partition.partition,
            leader_epoch: state.leader_epoch.0,
            new_isr_with_epochs: isr.iter().map(|id| BrokerState { broker_id: *id, broker_epoch: -1 }).collect(),
            partition_epoch: epoch.0 - i32::from(self.rng.random_ratio(1, 5)),
            ..PartitionData::default()
        };
        let topic_id = assignment.topic_id.expect("an id");
        let request = alter_partition::Request {
            broker_id: state.leader.0,
            broker_epoch,
            topics: vec![TopicData { topic_id, partitions: vec![data], ..TopicData::default() }],
        };
        self.world.call(controller, Call::AlterPartition { version: 3, request });
    }

    fn shut_down(&mut self) {
        if let (Some(id), Some(controller)) = (self.running(), self.world.controller()) {
            self.stopping.insert(id);
            let broker_epoch = self.world.nodes[&id].broker_epoch.0;
            let request = controlled_shutdown::Request { broker_id: id, broker_epoch };
            self.world.call(controller, Call::ControlledShutdown(request));
        }
    }

    fn reassign(&mut self) {
        let (Some(partition), Some(controller)) = (self.some_partition(), self.world.controller()) else { return };
        let mut ids = BROKERS;
        ids.shuffle(&mut self.rng);
        let count = self.rng.random_range(1..4);
        let replicas = self.rng.random_ratio(3, 4).then(|| ids[..count].to_vec());
        let topic = ReassignableTopic {
            name: (&*partition.topic).into(),
            partitions: vec![ReassignablePartition { partition_index: partition.partition, replicas }],
        };
        self.world.call(
            controller,
            Call::AlterPartitionReassignments(alter_partition_reassignments::Request {
                topics: vec![topic],
                ..Default::default()
            }),
        );
    }

    /// Whoever lives has a session and answers; the dead stay dead.
    fn calm_down(&mut self) {
        self.world.lose_reply_in = None;
        for node in self.world.nodes.values_mut() {
            node.paused = false;
        }
        while let Some(id) = self.expired.pop_first() {
            self.world.learn_expiry(id);
        }
        let up: Vec<i32> = self.world.nodes.keys().copied().collect();
        for id in up {
            self.world.mute(id, false);
        }
        self.world.settle();
    }

    /// Everybody is up, one after the other: brokers that were shutting down stay so until they come back.
    fn heal(&mut self) {
        for id in BROKERS {
            if self.world.nodes.contains_key(&id) {
                self.world.kill(id);
                self.stopping.remove(&id);
                self.world.settle();
            }
            self.world.start(id);
            self.world.settle();
        }
    }

    /// `all`: every broker is up.
    fn check(&self, all: bool) {
        let world = &self.world;
        let controllers: Vec<i32> =
            world.nodes.iter().filter(|(_, node)| node.snapshot.active).map(|(id, _)| *id).collect();
        assert_eq!(controllers.len(), 1, "controllers {controllers:?}");
        let snapshot = &world.nodes[&controllers[0]].snapshot;
        assert_eq!(world.data(path::CONTROLLER_EPOCH).expect("an epoch"), snapshot.epoch.to_string());
        assert_eq!(snapshot.active_brokers, world.nodes.len());
        assert!(!all || snapshot.offline_partitions == 0, "{snapshot:?}");
        let up = |id: &BrokerId| world.nodes.contains_key(&id.0);
        let well = |id: &BrokerId| up(id) && !self.stopping.contains(&id.0);

        let paths = world.model.paths();
        // A topic that is being moved waits with its deletion until the move is over.
        let left: Vec<_> = paths.iter().filter_map(|path| path::parse_delete_topic(path)).collect();
        assert!(!all || snapshot.reassigning > 0 || left.is_empty(), "not deleted: {left:?}");
        assert_eq!(snapshot.topics_to_delete, left.len());

        for topic in self.topic_names() {
            let assignment = self.assignment(&topic);
            for (index, known) in assignment.partitions {
                let partition = TopicPartition::new(&*topic, index);
                let Some((state, _)) = world.state(&partition) else {
                    assert!(!known.replicas.iter().any(well), "{partition} has no state");
                    continue;
                };
                let alive = state.isr.iter().filter(|id| up(id)).count();
                assert!(alive == state.isr.len() || state.isr.len() == 1, "{partition}: the dead in the ISR {state:?}");
                assert!(state.isr.iter().all(|id| known.replicas.contains(id)), "{partition}: {state:?} {known:?}");
                if state.isr.iter().any(well) {
                    assert!(up(&state.leader), "{partition}: no living leader {state:?}");
                    assert!(state.isr.contains(&state.leader), "{partition}: a leader outside of the ISR {state:?}");
                }
                for replica in known.replicas.iter().filter(|id| well(id)) {
                    let told = world.receivers[&replica.0].hosted.get(&partition);
                    let wanted = (state.leader.0, state.leader_epoch.0);
                    assert_eq!(told, Some(&wanted), "what {replica} was told of {partition}");
                }
                for (id, receiver) in &world.receivers {
                    let heard = receiver.heard.get(&partition);
                    assert_eq!(heard, Some(&state.leader.0), "what {id} has heard of {partition}");
                }
            }
        }
    }
}
