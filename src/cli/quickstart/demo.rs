//! The demonstration: through the front door, with the same protocol that any client speaks.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::error::ErrorCode;
use crate::ids::Uuid;
use crate::net::client::{Connection, Options};
use crate::record::{self, BatchBuilder};
use crate::wire::Records;
use crate::wire::messages::{create_topics, fetch, metadata, produce};

pub const PARTITIONS: i32 = 3;
const RECORDS_PER_PARTITION: usize = 100;
/// Time for the brokers to come up and for each further step.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// What the demonstration did.
pub struct Shown {
    pub produced: usize,
    pub consumed: usize,
    /// Broker that leads partition 0.
    pub leader_of_first: i32,
}

/// Waits for all brokers, creates the topic, produces and consumes. `check` says whether the processes still live.
pub async fn run(ports: &[u16], topic: &str, mut check: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Shown> {
    let all_there = |answer: &metadata::Response| answer.brokers.len() == ports.len() && answer.controller_id >= 0;
    for port in ports {
        ask_until(*port, &[], &mut check, all_there).await.context("waiting for the brokers to see each other")?;
    }
    let seen = ask_until(ports[0], &[], &mut check, all_there).await?;
    let port_of: BTreeMap<i32, u16> = seen.brokers.iter().map(|b| (b.node_id, b.port as u16)).collect();
    create_topic(port_of[&seen.controller_id], topic, ports.len() as i16).await?;

    // A topic that an earlier cluster has left in ZooKeeper has only its last leader in sync at first.
    let ready = |answer: &metadata::Response| {
        answer.topics.iter().all(|t| t.error_code == 0 && t.partitions.len() == PARTITIONS as usize)
            && (answer.topics.iter().flat_map(|t| &t.partitions))
                .all(|p| p.leader_id >= 0 && p.isr_nodes.len() == ports.len())
    };
    let seen = ask_until(ports[0], &[topic], &mut check, ready)
        .await
        .context("waiting until every replica of the topic is in sync")?;
    let topic_id = seen.topics[0].topic_id;
    let leaders: BTreeMap<i32, i32> =
        seen.topics[0].partitions.iter().map(|p| (p.partition_index, p.leader_id)).collect();
    let (mut produced, mut consumed) = (0, 0);
    for (partition, leader) in &leaders {
        let mut leader = connect(port_of[leader]).await?;
        produced += produce(&mut leader, topic, *partition).await?;
        consumed += consume(&mut leader, topic, topic_id, *partition).await?;
    }
    Ok(Shown { produced, consumed, leader_of_first: leaders[&0] })
}

async fn connect(port: u16) -> anyhow::Result<Connection> {
    Ok(Connection::connect("127.0.0.1", port, "quickstart", Options::default()).await?)
}

/// Asks one broker for metadata until the answer is as wanted.
async fn ask_until(
    port: u16,
    topics: &[&str],
    check: &mut impl FnMut() -> anyhow::Result<()>,
    wanted: impl Fn(&metadata::Response) -> bool,
) -> anyhow::Result<metadata::Response> {
    let request = metadata::Request {
        topics: Some(
            topics
                .iter()
                .map(|name| metadata::MetadataRequestTopic { name: Some((*name).into()), ..Default::default() })
                .collect(),
        ),
        allow_auto_topic_creation: false,
        ..metadata::Request::default()
    };
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        check()?;
        let last = match connect(port).await {
            Ok(mut connection) => match connection.call(12, &request).await {
                Ok(answer) if wanted(&answer) => return Ok(answer),
                Ok(answer) => format!("{} brokers, controller {}", answer.brokers.len(), answer.controller_id),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if tokio::time::Instant::now() > end {
            bail!("the broker on port {port} is not ready after {PATIENCE:?}: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn create_topic(controller_port: u16, topic: &str, replication_factor: i16) -> anyhow::Result<()> {
    let request = create_topics::Request {
        topics: vec![create_topics::CreatableTopic {
            name: topic.into(),
            num_partitions: PARTITIONS,
            replication_factor,
            ..Default::default()
        }],
        timeout_ms: PATIENCE.as_millis() as i32,
        ..create_topics::Request::default()
    };
    let answer = connect(controller_port).await?.call(7, &request).await?;
    let result = answer.topics.first().context("CreateTopics answered without the topic")?;
    match ErrorCode::from_code(result.error_code) {
        ErrorCode::None | ErrorCode::TopicAlreadyExists => Ok(()),
        error => bail!("creating topic {topic}: {error} {}", result.error_message.as_deref().unwrap_or("")),
    }
}

fn value(partition: i32, n: usize) -> String {
    format!("message {n} of partition {partition}")
}

async fn produce(leader: &mut Connection, topic: &str, partition: i32) -> anyhow::Result<usize> {
    let now_ms = crate::time::Clock.wall_ms();
    let mut batch = BatchBuilder::new();
    for n in 0..RECORDS_PER_PARTITION {
        batch.push(now_ms, None, Some(value(partition, n).as_bytes()), &[]);
    }
    let request = produce::Request {
        acks: -1,
        timeout_ms: PATIENCE.as_millis() as i32,
        topic_data: vec![produce::TopicProduceData {
            name: topic.into(),
            partition_data: vec![produce::PartitionProduceData {
                index: partition,
                records: Records::Bytes(batch.build()),
            }],
        }],
        ..produce::Request::default()
    };
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = leader.call_within(PATIENCE, 11, &request).await?;
        let result = &answer.responses[0].partition_responses[0];
        match ErrorCode::from_code(result.error_code) {
            ErrorCode::None => return Ok(RECORDS_PER_PARTITION),
            // The leader may hear of its new partition a moment later than the broker that was asked for metadata.
            error @ (ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower)
                if tokio::time::Instant::now() < end =>
            {
                tracing::debug!(%error, "producing again");
                tokio::time::sleep(PAUSE).await;
            }
            error => bail!("producing to {topic}-{partition}: {error}"),
        }
    }
}

/// Reads the last records of the partition back and compares them, in order.
async fn consume(leader: &mut Connection, topic: &str, topic_id: Uuid, partition: i32) -> anyhow::Result<usize> {
    let (mut offset, mut got) = (0, Vec::new());
    loop {
        let request = fetch::Request {
            max_wait_ms: 100,
            min_bytes: 1,
            session_epoch: -1,
            topics: vec![fetch::FetchTopic {
                topic: topic.into(),
                topic_id,
                partitions: vec![fetch::FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                }],
            }],
            ..fetch::Request::default()
        };
        let answer = leader.call(17, &request).await?;
        let result = &answer.responses.first().context("Fetch answered without the topic")?.partitions[0];
        if result.error_code != 0 {
            bail!("fetching {topic}-{partition}: {}", ErrorCode::from_code(result.error_code));
        }
        let Records::Bytes(bytes) = &result.records else { break };
        if bytes.is_empty() {
            break;
        }
        for batch in record::batches(bytes.clone()) {
            let batch = batch?;
            batch.check_crc()?;
            for record in batch.records()? {
                got.push(record?.value.unwrap_or_else(Bytes::new));
            }
            offset = batch.header.next_offset();
        }
    }
    // An earlier run with the same directory may have left records before ours.
    let ours = &got[got.len().saturating_sub(RECORDS_PER_PARTITION)..];
    Ok((0..RECORDS_PER_PARTITION)
        .filter(|n| ours.get(*n).is_some_and(|v| v == value(partition, *n).as_bytes()))
        .count())
}
