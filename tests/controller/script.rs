//! The language of the scenarios.

use barnabas::controller::event::Election;
use barnabas::controller::{Answer, Call, Input};
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerEpoch, TopicId, TopicPartition};
use barnabas::wire::messages::alter_partition::{self, BrokerState, PartitionData, TopicData};
use barnabas::wire::messages::alter_partition_reassignments::{self, ReassignablePartition, ReassignableTopic};
use barnabas::wire::messages::{allocate_producer_ids, controlled_shutdown, list_partition_reassignments};
use barnabas::zk::data::{Data, EntityConfig, TopicAssignment, TopicPartitionReplicas};
use barnabas::zk::op::{WatchEvent, WatchKind};
use barnabas::zk::path;

use crate::world::{World, create};

/// Runs a scenario and returns it with what really happens.
pub fn run(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix('>') {
            out += line;
            out.push('\n');
            let answer = perform(&mut world, command.trim());
            world.settle();
            for line in world.take_log() {
                out += &format!("  {line}\n");
            }
            if let Some(describe) = answer {
                out += &format!("  = {}\n", describe(&mut world));
            }
        } else if line.is_empty() || line.starts_with('#') {
            out += line;
            out.push('\n');
        }
    }
    out
}

type Later = Box<dyn FnOnce(&mut World) -> String>;

fn perform(world: &mut World, command: &str) -> Option<Later> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (verb, args) = words.split_first().expect("a command");
    let number = |index: usize| -> i32 { args[index].parse().expect("a number") };
    match *verb {
        "start" => {
            for id in args {
                world.start(id.parse().expect("an id"));
                world.settle();
            }
        }
        "kill" => args.iter().for_each(|id| world.kill(id.parse().expect("an id"))),
        "bounce" => {
            world.kill(number(0));
            world.start(number(0));
        }
        "pause" => world.nodes.get_mut(&number(0)).expect("a node").paused = true,
        "resume" => world.nodes.get_mut(&number(0)).expect("a node").paused = false,
        "end-session" => world.end_session(number(0)),
        "learn-expiry" => {
            world.nodes.get_mut(&number(0)).expect("a node").paused = false;
            world.learn_expiry(number(0));
        }
        "expire" => {
            world.end_session(number(0));
            world.learn_expiry(number(0));
        }
        // Lets one process go on for some turns only.
        "turns" => {
            world.nodes.get_mut(&number(0)).expect("a node").paused = false;
            for _ in 0..number(1) {
                world.advance(number(0));
            }
            world.nodes.get_mut(&number(0)).expect("a node").paused = true;
        }
        "mute" => world.mute(number(0), true),
        "unmute" => world.mute(number(0), false),
        "topic" => {
            create_topic(world, args[0], &lists(args), true);
        }
        "topic-without-id" => create_topic(world, args[0], &lists(args), false),
        "partitions" => {
            let path = path::topic(args[0]);
            let old = TopicAssignment::decode(world.data(&path).expect("a topic").as_bytes()).expect("an assignment");
            let assignment = TopicAssignment { topic_id: old.topic_id, partitions: partitions(&lists(args)) };
            world.set(&path, assignment.encode());
        }
        "config" => {
            let (key, value) = args[1].split_once('=').expect("key=value");
            let config = EntityConfig([(key.to_owned(), value.to_owned())].into());
            world.set(&path::topic_config(args[0]), config.encode());
        }
        "unclean-enabled" => {
            let controller = world.controller().expect("a controller");
            world.input(controller, Input::UncleanElection { topic: Some(args[0].into()), enabled: true });
        }
        "delete" => world.write(create(&path::delete_topic(args[0]), None)),
        "create" => world.write(create(args[0], args.get(1).map(|data| data.to_string().into()))),
        "set" => world.set(args[0], args[1].to_owned()),
        "remove" => world
            .write(barnabas::zk::op::Write::Delete { path: args[0].into(), version: barnabas::ids::ZkVersion::NONE }),
        "show" => {
            let path = args[0].to_owned();
            let show = move |world: &mut World| {
                let data = world.data(&path).unwrap_or_else(|| "no such node".into());
                if data.is_empty() { "no data".into() } else { data }
            };
            return Some(Box::new(show));
        }
        "tree" => {
            let root = args[0].to_owned();
            let show = move |world: &mut World| {
                let below = world.model.paths().into_iter().filter(|path| path.starts_with(&root));
                below.collect::<Vec<_>>().join(" ")
            };
            return Some(Box::new(show));
        }
        "gauges" => {
            let show = |world: &mut World| {
                let controller = world.controller().expect("a controller");
                let s = &world.nodes[&controller].snapshot;
                format!(
                    "controller {controller} epoch {} brokers {} topics {} partitions {} offline {} imbalance {} to delete {}/{} ineligible {}/{} reassigning {}",
                    s.epoch,
                    s.active_brokers,
                    s.topics,
                    s.partitions,
                    s.offline_partitions,
                    s.preferred_replica_imbalance,
                    s.topics_to_delete,
                    s.replicas_to_delete,
                    s.topics_ineligible_to_delete,
                    s.replicas_ineligible_to_delete,
                    s.reassigning
                )
            };
            return Some(Box::new(show));
        }
        "lose-reply" => world.lose_reply_in = Some(args.first().map_or(1, |n| n.parse().expect("a number"))),
        "timer" => {
            let controller = world.controller().expect("a controller");
            let after = world.nodes.get_mut(&controller).expect("a node").timer_ms.take();
            world.input(controller, Input::TimerEnded);
            return Some(Box::new(move |world| {
                let next = world.nodes[&controller].timer_ms;
                format!("was after {after:?}, next after {next:?}")
            }));
        }
        "fail-dir" => {
            let id = number(0);
            for partition in &args[1..] {
                world.fail_dir(id, parse_partition(partition));
            }
            let data = format!(r#"{{"version":1,"broker":{id},"event":1}}"#);
            world.write(create("/log_dir_event_notification/log_dir_event_0000000000", Some(data.into())));
        }
        "watch" => {
            let controller = world.controller().expect("a controller");
            let kind = match args[0] {
                "created" => WatchKind::Created,
                "deleted" => WatchKind::Deleted,
                "data" => WatchKind::DataChanged,
                _ => WatchKind::ChildrenChanged,
            };
            world.input(controller, Input::Watch(WatchEvent { kind, path: args[1].into() }));
        }
        "reads" => world.show_reads = args[0] == "on",
        _ => return Some(ask(world, verb, args)),
    }
    None
}

/// Calls of request handlers; `@N` as last word asks broker N instead of the controller.
fn ask(world: &mut World, verb: &str, args: &[&str]) -> Later {
    let (args, to) = match args.split_last() {
        Some((last, rest)) if last.starts_with('@') => (rest, last[1..].parse().expect("an id")),
        _ => (args, world.controller().expect("a controller")),
    };
    let number = |index: usize| -> i32 { args[index].parse().expect("a number") };
    let epoch_of = |world: &World, id: i32| world.nodes.get(&id).map_or(BrokerEpoch(1), |node| node.broker_epoch).0;
    let call = match verb {
        "shutdown" => {
            let id = number(0);
            let broker_epoch = named(args, "epoch").unwrap_or_else(|| epoch_of(world, id));
            Call::ControlledShutdown(controlled_shutdown::Request { broker_id: id, broker_epoch })
        }
        "producer-ids" => {
            let id = number(0);
            let broker_epoch = named(args, "epoch").unwrap_or_else(|| epoch_of(world, id));
            Call::AllocateProducerIds(allocate_producer_ids::Request { broker_id: id, broker_epoch })
        }
        "elect" => {
            let election = if args[0] == "unclean" { Election::Unclean } else { Election::Preferred };
            let partitions = (args[1] != "all").then(|| args[1..].iter().map(|text| parse_partition(text)).collect());
            Call::ElectLeaders { election, partitions }
        }
        "alter" => alter(world, args),
        "reassign" | "cancel" => {
            let partition = parse_partition(args[0]);
            let replicas = (verb == "reassign").then(|| lists(args)[0].clone());
            let partition = ReassignableTopic {
                name: (&*partition.topic).into(),
                partitions: vec![ReassignablePartition { partition_index: partition.partition, replicas }],
            };
            Call::AlterPartitionReassignments(alter_partition_reassignments::Request {
                topics: vec![partition],
                ..Default::default()
            })
        }
        "list" => Call::ListPartitionReassignments(list_partition_reassignments::Request::default()),
        other => panic!("no command {other}"),
    };
    let id = world.call(to, call);
    Box::new(move |world| match world.answers.remove(&id) {
        Some(answer) => describe_answer(answer),
        None => "no answer yet".into(),
    })
}

/// `alter LEADER PARTITION le N pe N isr A,B [recovering] [epoch N] [version N] [unknown-id]`
fn alter(world: &World, args: &[&str]) -> Call {
    let leader: i32 = args[0].parse().expect("an id");
    let partition = parse_partition(args[1]);
    let version = named(args, "version").unwrap_or(3) as i16;
    let get = |name| named(args, name).expect("a number") as i32;
    let isr: Vec<i32> = word_after(args, "isr").expect("an isr").split(',').map(|id| id.parse().unwrap()).collect();
    let data = PartitionData {
        partition_index: partition.partition,
        leader_epoch: get("le"),
        new_isr: isr.clone(),
        new_isr_with_epochs: isr.iter().map(|id| BrokerState { broker_id: *id, broker_epoch: -1 }).collect(),
        leader_recovery_state: args.contains(&"recovering").into(),
        partition_epoch: get("pe"),
    };
    let topic = TopicAssignment::decode(world.data(&path::topic(&partition.topic)).unwrap_or_default().as_bytes());
    let topic_id = topic.ok().and_then(|topic| topic.topic_id).unwrap_or_default();
    let topic_id =
        if args.contains(&"unknown-id") { TopicId::parse("VzGSjRX8RNWpzEASN8-ICg").unwrap() } else { topic_id };
    let known = world.nodes.get(&leader).map_or(1, |node| node.broker_epoch.0);
    let request = alter_partition::Request {
        broker_id: leader,
        broker_epoch: named(args, "epoch").unwrap_or(known),
        topics: vec![TopicData { topic_name: (&*partition.topic).into(), topic_id, partitions: vec![data] }],
    };
    Call::AlterPartition { version, request }
}

fn describe_answer(answer: Answer) -> String {
    let name = |code: i16| ErrorCode::from_code(code).name();
    match answer {
        Answer::ControlledShutdown(response) => {
            let left = response.remaining_partitions.iter();
            let left: Vec<String> = left.map(|p| format!("{}-{}", p.topic_name, p.partition_index)).collect();
            format!("{} remaining {left:?}", name(response.error_code))
        }
        Answer::AllocateProducerIds(response) => {
            format!("{} {}+{}", name(response.error_code), response.producer_id_start, response.producer_id_len)
        }
        Answer::ElectLeaders(Err(error)) => error.name().into(),
        Answer::ElectLeaders(Ok(results)) => {
            let describe = |(partition, result): (TopicPartition, Result<_, (ErrorCode, String)>)| match result {
                Ok(leader) => format!("{partition} {leader}"),
                Err((error, text)) => format!("{partition} {} ({text})", error.name()),
            };
            results.into_iter().map(describe).collect::<Vec<_>>().join("; ")
        }
        Answer::AlterPartition(response) if response.error_code != 0 => name(response.error_code).into(),
        Answer::AlterPartition(response) => {
            let mut parts = Vec::new();
            for p in response.topics.iter().flat_map(|topic| &topic.partitions) {
                parts.push(match p.error_code {
                    0 => {
                        let recovering = if p.leader_recovery_state == 1 { " recovering" } else { "" };
                        format!(
                            "leader {} le {} isr {:?} pe {}{recovering}",
                            p.leader_id, p.leader_epoch, p.isr, p.partition_epoch
                        )
                    }
                    code => name(code).into(),
                });
            }
            parts.join("; ")
        }
        Answer::AlterPartitionReassignments(response) if response.error_code != 0 => name(response.error_code).into(),
        Answer::AlterPartitionReassignments(response) => {
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            let describe = |p: &alter_partition_reassignments::ReassignablePartitionResponse| {
                let text = p.error_message.as_deref().map(|text| format!(" ({text})")).unwrap_or_default();
                format!("{}{text}", name(p.error_code))
            };
            partitions.map(describe).collect::<Vec<_>>().join("; ")
        }
        Answer::ListPartitionReassignments(response) => {
            let mut parts = vec![name(response.error_code).to_owned()];
            for topic in &response.topics {
                for p in &topic.partitions {
                    parts.push(format!(
                        "{}-{} {:?} +{:?} -{:?}",
                        topic.name, p.partition_index, p.replicas, p.adding_replicas, p.removing_replicas
                    ));
                }
            }
            parts.join(" ")
        }
    }
}

fn create_topic(world: &mut World, name: &str, replicas: &[Vec<i32>], with_id: bool) {
    // Ids that tell their topic.
    let id = with_id.then(|| TopicId::from_random([name.as_bytes()[0]; 16]).expect("an id"));
    let config = create(&path::topic_config(name), Some(EntityConfig::default().encode()));
    world.write(config);
    let assignment = TopicAssignment { topic_id: id, partitions: partitions(replicas) };
    world.write(create(&path::topic(name), Some(assignment.encode())));
}

fn partitions(replicas: &[Vec<i32>]) -> std::collections::BTreeMap<i32, TopicPartitionReplicas> {
    let ids = |ids: &Vec<i32>| ids.iter().map(|id| barnabas::ids::BrokerId(*id)).collect();
    let partition = |(index, list): (usize, &Vec<i32>)| (index as i32, TopicPartitionReplicas::new(ids(list)));
    replicas.iter().enumerate().map(partition).collect()
}

/// The lists in brackets: `[1,2] [2,1]`.
fn lists(args: &[&str]) -> Vec<Vec<i32>> {
    let inner = args.iter().filter_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    let ids = |text: &str| text.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().expect("an id")).collect();
    inner.map(ids).collect()
}

fn word_after<'a>(args: &[&'a str], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|word| *word == name)?;
    args.get(at + 1).copied()
}

fn named(args: &[&str], name: &str) -> Option<i64> {
    word_after(args, name).map(|text| text.parse().expect("a number"))
}

fn parse_partition(text: &str) -> TopicPartition {
    let (topic, partition) = text.rsplit_once('-').expect("topic-partition");
    TopicPartition::new(topic, partition.parse().expect("a number"))
}
