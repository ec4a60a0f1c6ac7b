//! Requests to ZooKeeper against those of a real controller (`tests/golden/zkops`).
//!
//! Kafka orders a pipelined batch by hash, this controller by name; so what is compared is the set of the requests, and
//! for each node the order of its writes.

use std::collections::BTreeMap;
use std::path::Path;

use barnabas::controller::Call;
use barnabas::ids::{BrokerId, ControllerEpoch, LeaderEpoch, TopicId, TopicPartition};
use barnabas::wire::messages::controlled_shutdown;
use barnabas::zk::data::{Data, EntityConfig, PartitionState, TopicAssignment, TopicPartitionReplicas};
use barnabas::zk::path;

use crate::world::{World, create};

/// The requests on a connection of a recorded trace.
fn recorded(file: &str, connection: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zkops").join(file);
    let text = std::fs::read_to_string(path).expect("a trace");
    let request = |line: &str| {
        let (_, rest) = line.split_once(&format!(" {connection} > xid="))?;
        Some(rest.split_once(' ')?.1.to_owned())
    };
    text.lines().filter_map(request).collect()
}

fn fenced(requests: Vec<String>) -> Vec<String> {
    requests.into_iter().filter(|request| request.starts_with("multi {check /controller_epoch")).collect()
}

fn compare(expected: Vec<String>, actual: Vec<String>) {
    let by_path = |requests: &[String]| {
        let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in requests {
            let what = request.split_once(" ; ").map_or(request.as_str(), |(_, write)| write);
            let path = what.split(' ').nth(1).unwrap_or_default().trim_end_matches('}');
            paths.entry(path.to_owned()).or_default().push(request.clone());
        }
        paths
    };
    assert!(!expected.is_empty());
    let (expected, actual) = (by_path(&expected), by_path(&actual));
    for path in expected.keys().chain(actual.keys()) {
        assert_eq!(expected.get(path), actual.get(path), "requests for {path}");
    }
}

/// What `id` asked of ZooKeeper since the last look.
fn asked(world: &mut World, id: i32) -> Vec<String> {
    let requests = std::mem::take(&mut world.requests);
    requests.into_iter().filter(|(from, _)| *from == id).map(|(_, request)| request).collect()
}

fn topic(world: &mut World, name: &str, replicas: &[&[i32]]) {
    let ids = |ids: &&[i32]| TopicPartitionReplicas::new(ids.iter().map(|id| BrokerId(*id)).collect());
    let partitions = replicas.iter().enumerate().map(|(index, replicas)| (index as i32, ids(replicas)));
    let assignment =
        TopicAssignment { topic_id: TopicId::from_random([name.as_bytes()[0]; 16]), partitions: partitions.collect() };
    world.write(create(&path::topic_config(name), Some(EntityConfig::default().encode())));
    world.write(create(&path::topic(name), Some(assignment.encode())));
}

/// A state node with a history: as many versions as said.
fn state(world: &mut World, topic: &str, partition: i32, leader: i32, epoch: i32, isr: &[i32], version: i32) {
    let partition = TopicPartition::new(topic, partition);
    let data = PartitionState {
        controller_epoch: ControllerEpoch(1),
        leader: BrokerId(leader),
        leader_epoch: LeaderEpoch(epoch),
        isr: isr.iter().map(|id| BrokerId(*id)).collect(),
        recovering: false,
    };
    if world.data(&path::partitions(topic)).is_none() {
        world.write(create(&path::partitions(topic), None));
    }
    world.write(create(&path::partition(&partition), None));
    world.write(create(&path::state(&partition), Some(data.encode())));
    for _ in 0..version {
        world.set(&path::state(&partition), data.encode());
    }
}

fn start(world: &mut World, ids: &[i32]) {
    for id in ids {
        world.start(*id);
        world.settle();
    }
    world.requests.clear();
}

#[test]
fn creates_a_topic_as_kafka_does() {
    let mut world = World::new();
    start(&mut world, &[0, 1, 2]);
    topic(&mut world, "t3", &[&[1, 2, 0], &[0, 1, 2], &[2, 0, 1]]);
    world.settle();
    let actual = asked(&mut world, 0);
    compare(fenced(recorded("create-topic.txt", "c1")), fenced(actual));
}

#[test]
fn deletes_a_topic_as_kafka_does() {
    let mut world = World::new();
    start(&mut world, &[0, 1, 2]);
    topic(&mut world, "t3", &[&[1, 2, 0], &[0, 1, 2], &[2, 0, 1], &[1, 2, 0]]);
    world.settle();
    world.requests.clear();
    world.write(create(&path::delete_topic("t3"), None));
    world.settle();
    let mut expected = recorded("delete-topic.txt", "c1");
    // Done by the handler of the request.
    expected.retain(|request| !request.starts_with("exists ") && !request.starts_with("create "));
    compare(expected, asked(&mut world, 0));
}

#[test]
fn takes_the_death_of_a_broker_as_kafka_does() {
    let mut world = World::new();
    start(&mut world, &[0, 1, 2]);
    topic(&mut world, "f", &[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]);
    topic(&mut world, "cmp", &[&[1, 2, 0]]);
    topic(&mut world, "one", &[&[2]]);
    topic(&mut world, "solo", &[&[2]]);
    world.settle();
    world.requests.clear();
    world.kill(2);
    world.settle();
    compare(recorded("follower-killed.txt", "c1"), asked(&mut world, 0));
}

#[test]
fn takes_over_as_kafka_does() {
    let mut world = World::new();
    start(&mut world, &[0]);
    topic(&mut world, "f", &[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]);
    topic(&mut world, "cmp", &[&[1, 2, 0]]);
    topic(&mut world, "one", &[&[2]]);
    topic(&mut world, "solo", &[&[2]]);
    topic(&mut world, "re", &[&[1, 0]]);
    // What the last controller left behind; it does not look at it.
    world.nodes.get_mut(&0).expect("the controller").paused = true;
    state(&mut world, "f", 0, 0, 1, &[0, 1, 2], 2);
    state(&mut world, "f", 1, 1, 1, &[1, 0, 2], 2);
    state(&mut world, "f", 2, 2, 2, &[0, 1, 2], 3);
    state(&mut world, "cmp", 0, 1, 1, &[1, 0, 2], 2);
    state(&mut world, "one", 0, 2, 2, &[2], 2);
    state(&mut world, "solo", 0, 2, 2, &[2], 2);
    state(&mut world, "re", 0, 0, 8, &[0, 1], 10);
    start(&mut world, &[1, 2]);
    world.kill(0);
    world.settle();
    let mut actual = asked(&mut world, 1);
    let mut expected = recorded("controller-killed.txt", "c2");
    for requests in [&mut expected, &mut actual] {
        // The claim holds the time; whether `/feature` is watched is another module's business.
        requests.retain(|request| !request.starts_with("multi {create /controller") && !request.contains("/feature"));
    }
    compare(expected, actual);
}

#[test]
fn relieves_a_broker_as_kafka_does() {
    let mut world = World::new();
    world.write(create(path::CONTROLLER_EPOCH, Some("0".into())));
    world.set(path::CONTROLLER_EPOCH, "1");
    topic(&mut world, "f", &[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]);
    topic(&mut world, "cmp", &[&[1, 2, 0]]);
    topic(&mut world, "one", &[&[2]]);
    topic(&mut world, "solo", &[&[2]]);
    state(&mut world, "f", 0, 1, 3, &[1, 0, 2], 5);
    state(&mut world, "f", 1, 1, 2, &[1, 0, 2], 4);
    state(&mut world, "f", 2, 2, 3, &[1, 0, 2], 5);
    state(&mut world, "cmp", 0, 1, 2, &[1, 0, 2], 4);
    state(&mut world, "one", 0, 2, 2, &[2], 2);
    state(&mut world, "solo", 0, 2, 2, &[2], 2);
    // Before the controller comes up all brokers must be there, or it elects others.
    for id in [1, 0, 2] {
        world.start(id);
    }
    world.settle();
    assert_eq!(world.nodes[&0].snapshot.controller, world.nodes[&1].snapshot.controller);
    let controller = world.controller().expect("a controller");
    world.requests.clear();
    let broker_epoch = world.nodes[&2].broker_epoch.0;
    world.call(controller, Call::ControlledShutdown(controlled_shutdown::Request { broker_id: 2, broker_epoch }));
    world.settle();
    world.kill(2);
    world.settle();
    compare(recorded("controlled-shutdown.txt", "c2"), asked(&mut world, controller));
}
