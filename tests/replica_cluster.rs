//! Replication between brokers in one process: real logs, real messages, a scripted controller.

mod replica_support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use barnabas::api;
use barnabas::error::ErrorCode;
use barnabas::ids::{LeaderEpoch, Offset};
use barnabas::metrics::Metrics;
use barnabas::replica::Versions;
use barnabas::wire::messages::{delete_records, list_offsets, offset_for_leader_epoch, stop_replica};
use replica_support::*;

const BOTH: State<'static> = State { leader: 1, epoch: 0, version: 0, isr: &[1, 2], replicas: &[1, 2] };
const ALONE: State<'static> = State { leader: 1, epoch: 0, version: 0, isr: &[1], replicas: &[1, 2] };

#[tokio::test]
async fn acks_all_waits_for_the_follower_and_logs_are_equal() {
    let cluster = Cluster::new(&[1, 2], 2);
    cluster.announce(BOTH);
    for n in 0..20 {
        assert_eq!(cluster.node(1).produce(-1, &format!("value {n}")).await, n);
    }
    assert_eq!(offsets(cluster.node(1)), (Offset(20), Offset(20)));
    until("the follower learns the high watermark", || offsets(cluster.node(2)) == (Offset(20), Offset(20))).await;
    assert_eq!(cluster.node(1).log_file(), cluster.node(2).log_file());
    assert_eq!(cluster.node(1).epochs_file(), cluster.node(2).epochs_file());
}

/// replication.md of the notes, 3.2: three common records, five of the old leader's own, an unclean election.
async fn unclean_run(versions: Versions) {
    let cluster = Cluster::with_versions(&[1, 2], 1, versions);
    cluster.announce(BOTH);
    for n in 0..3 {
        cluster.node(1).produce(-1, &format!("common {n}")).await;
    }
    until("broker 2 knows what is committed", || offsets(cluster.node(2)) == (Offset(3), Offset(3))).await;
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    for n in 0..5 {
        cluster.node(1).produce(1, &format!("lost {n}")).await;
    }
    assert_eq!(offsets(cluster.node(1)).1, Offset(8));

    let unclean = State { leader: 2, epoch: 3, version: 5, isr: &[2], replicas: &[1, 2] };
    assert_eq!(cluster.node(2).leader_and_isr(unclean).error_code, 0);
    assert_eq!(cluster.node(2).produce(-1, "new").await, 3);
    cluster.announce_to(1, unclean);
    until("the old leader has the new leader's log", || {
        cluster.node(1).log_file() == cluster.node(2).log_file() && offsets(cluster.node(1)).1 == Offset(4)
    })
    .await;
    let epochs = cluster.node(1).epochs_file();
    assert_eq!(epochs, cluster.node(2).epochs_file());
    assert_eq!(epochs, "0\n2\n0 0\n3 3\n");
    // It may join again: it has everything since the new epoch began.
    until("the old leader is in sync again", || {
        cluster.node(2).partition().with_state(|state| state.isr().members().len() == 2)
    })
    .await;
}

#[tokio::test]
async fn divergence_is_found_while_fetching() {
    unclean_run(Versions::LATEST).await;
}

#[tokio::test]
async fn divergence_is_found_by_offset_for_leader_epoch() {
    unclean_run(Versions { fetch: 11, list_offsets: 5, offset_for_leader_epoch: 3, truncates_on_fetch: false }).await;
}

#[tokio::test]
async fn a_silent_follower_leaves_the_set_and_comes_back() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    cluster.node(1).produce(-1, "a").await;
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    // Nobody answers for broker 2: the write is committed when the set has shrunk.
    assert_eq!(cluster.node(1).produce(-1, "b").await, 1);
    assert_eq!(cluster.controller.asked.lock().last(), Some(&(0, vec![1])));
    cluster.node(2).cut.store(false, Ordering::SeqCst);
    until("the set is whole", || cluster.controller.asked.lock().last() == Some(&(0, vec![1, 2]))).await;
    assert_eq!(cluster.node(1).produce(-1, "c").await, 2);
}

#[tokio::test]
async fn a_refused_shrink_commits_nothing() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    *cluster.controller.refuse.lock() = Some(ErrorCode::FencedLeaderEpoch);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    let response = cluster.node(1).try_produce(-1, 1_500, "a").await.unwrap();
    assert_eq!((response.error_code, response.base_offset), (ErrorCode::RequestTimedOut.code(), 0));
    assert_eq!(cluster.controller.asked.lock().len(), 1, "waits for the controller's LeaderAndIsr");
    assert_eq!(offsets(cluster.node(1)), (Offset(0), Offset(1)));
}

#[tokio::test]
async fn too_few_replicas_in_sync() {
    let cluster = Cluster::new(&[1, 2], 2);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    cluster.announce(ALONE);
    let node = cluster.node(1);
    let refused = node.try_produce(-1, 1_000, "a").await.unwrap();
    assert_eq!(refused.error_code, ErrorCode::NotEnoughReplicas.code());
    assert_eq!((refused.base_offset, refused.log_start_offset), (-1, 0));
    assert_eq!(node.produce(1, "b").await, 0);
    assert_eq!(offsets(node), (Offset(0), Offset(1)), "written, but not committed");
}

#[tokio::test]
async fn acks_zero_is_silent_and_errors_close() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    assert!(cluster.node(1).try_produce(0, 0, "a").await.is_none());
    assert_eq!(offsets(cluster.node(1)).1, Offset(1));
    let misled = cluster.node(2).try_produce(1, 0, "a").await.unwrap();
    assert_eq!(misled.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!((misled.current_leader.leader_id, misled.current_leader.leader_epoch), (1, 0));
    assert_eq!(cluster.node(1).try_produce(7, 0, "a").await.unwrap().error_code, ErrorCode::InvalidRequiredAcks.code());
}

#[tokio::test]
async fn a_write_that_waits_learns_of_a_new_leader() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    *cluster.controller.refuse.lock() = Some(ErrorCode::FencedLeaderEpoch);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    let (answer, ()) = tokio::join!(cluster.node(1).try_produce(-1, 60_000, "a"), async {
        until("it is appended", || offsets(cluster.node(1)).1 == Offset(1)).await;
        cluster.announce(State { leader: 2, epoch: 1, version: 1, isr: &[2], replicas: &[1, 2] });
    });
    let answer = answer.unwrap();
    assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NotLeaderOrFollower.code(), 0));
    assert_eq!((answer.current_leader.leader_id, answer.current_leader.leader_epoch), (2, 1));
}

#[tokio::test]
async fn consumers_see_only_what_is_committed() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    *cluster.controller.refuse.lock() = Some(ErrorCode::FencedLeaderEpoch);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    cluster.node(1).produce(1, "a").await;
    let response = cluster.node(1).fetch(17, consumer_fetch(0, 0, 1)).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark, data.records.len()), (0, 0, 0));
    assert_eq!(data.aborted_transactions, None);

    // A parked fetch is answered when the follower has the record.
    let parked = cluster.node(1).fetch(17, consumer_fetch(0, 60_000, 1));
    let (response, ()) = tokio::join!(parked, async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cluster.node(2).cut.store(false, Ordering::SeqCst);
    });
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark), (0, 1));
    assert!(!data.records.is_empty());
}

#[tokio::test]
async fn long_polls_end_by_bytes_by_time_and_by_errors() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(ALONE);
    let node = cluster.node(1);
    let begin = std::time::Instant::now();
    let response = node.fetch(17, consumer_fetch(0, 50, 1)).await;
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!(response.responses[0].partitions[0].records.len(), 0);

    let size = batch("x").len() as i32;
    let (response, ()) = tokio::join!(node.fetch(17, consumer_fetch(0, 60_000, 2 * size)), async {
        node.produce(1, "x").await;
        node.produce(1, "y").await;
    });
    assert_eq!(response.responses[0].partitions[0].records.len() as i32, 2 * size, "not answered after the first");

    let response = node.fetch(17, consumer_fetch(9, 60_000, 1)).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark), (ErrorCode::OffsetOutOfRange.code(), -1));

    // Becoming a follower answers what is parked.
    let mut request = consumer_fetch(2, 60_000, 1);
    request.topics[0].partitions[0].current_leader_epoch = 0;
    let (response, ()) = tokio::join!(node.fetch(17, request), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cluster.announce(State { leader: 2, epoch: 1, version: 1, isr: &[2], replicas: &[1, 2] });
    });
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.error_code, ErrorCode::FencedLeaderEpoch.code());
    assert_eq!((data.current_leader.leader_id, data.current_leader.leader_epoch), (2, 1));
    assert_eq!(response.node_endpoints[0].port, 9002);
}

#[tokio::test]
async fn sessions_list_only_news() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(ALONE);
    let node = cluster.node(1);
    let mut request = consumer_fetch(0, 0, 1);
    request.session_epoch = 0;
    let first = node.fetch(17, request).await;
    assert!(first.session_id > 0);
    let mut request = consumer_fetch(0, 0, 1);
    (request.session_id, request.session_epoch) = (first.session_id, 1);
    request.topics.clear();
    assert!(node.fetch(17, request.clone()).await.responses.is_empty());
    node.produce(1, "a").await;
    request.session_epoch = 2;
    assert!(!node.fetch(17, request.clone()).await.responses[0].partitions[0].records.is_empty());
    assert_eq!(node.fetch(17, request).await.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
}

#[tokio::test]
async fn a_follower_whose_offset_is_gone_starts_again() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    cluster.announce(ALONE);
    for n in 0..6 {
        cluster.node(1).produce(1, &format!("{n}")).await;
    }
    cluster.node(1).partition().log().lock().increment_start_offset(Offset(4)).unwrap();
    cluster.node(2).cut.store(false, Ordering::SeqCst);
    until("it copies from the leader's start", || {
        let partition = cluster.node(2).partition();
        (partition.log_start(), partition.log_end()) == (Offset(4), Offset(6))
    })
    .await;
}

#[tokio::test]
async fn requests_of_old_controllers_and_old_lives_change_nothing() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(State { epoch: 5, ..ALONE });
    let node = cluster.node(1);
    let newer = State { epoch: 6, version: 9, ..ALONE };

    let mut request = leader_and_isr(newer);
    request.broker_epoch = 99;
    let response = node.manager.become_leader_or_follower(&request, 7);
    let stale = ErrorCode::StaleBrokerEpoch.code();
    assert_eq!((response.error_code, response.topics[0].partition_errors[0].error_code), (stale, stale));
    let mut request = leader_and_isr(newer);
    request.controller_epoch = 0;
    let response = node.manager.become_leader_or_follower(&request, 4);
    let stale = ErrorCode::StaleControllerEpoch.code();
    assert_eq!((response.error_code, response.partition_errors[0].error_code), (stale, stale));
    assert_eq!(node.partition().with_state(|state| state.leader_epoch()), LeaderEpoch(5));

    let outcome = |state| node.leader_and_isr(state).topics[0].partition_errors[0].error_code;
    assert_eq!(outcome(State { epoch: 5, ..newer }), ErrorCode::StaleControllerEpoch.code(), "the same epoch again");
    assert_eq!(outcome(State { epoch: 4, ..newer }), ErrorCode::StaleControllerEpoch.code());
    assert_eq!(outcome(State { replicas: &[2], ..newer }), ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(outcome(newer), 0);

    let stop = |controller_epoch, leader_epoch, delete_partition| {
        let state = stop_replica::StopReplicaPartitionState { partition_index: 0, leader_epoch, delete_partition };
        let topic = stop_replica::StopReplicaTopicState { topic_name: TOPIC.into(), partition_states: vec![state] };
        let request = stop_replica::Request { controller_epoch, topic_states: vec![topic], ..Default::default() };
        let response = node.manager.stop_replicas(&request);
        (response.error_code, response.partition_errors.first().map(|error| error.error_code))
    };
    assert_eq!(stop(0, 9, true), (ErrorCode::StaleControllerEpoch.code(), None));
    assert_eq!(stop(1, 5, true), (0, Some(ErrorCode::FencedLeaderEpoch.code())));
    assert_eq!(stop(1, -2, true), (0, Some(0)));
    assert_eq!(node.manager.partition(TOPIC, 0).err(), Some(ErrorCode::NotLeaderOrFollower));
    assert!(node.logs.all().is_empty());
}

#[tokio::test]
async fn offsets_by_timestamp_and_by_epoch() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    cluster.announce(State { epoch: 4, ..ALONE });
    let node = cluster.node(1);
    for n in 0..3 {
        node.produce(1, &format!("{n}")).await;
    }
    cluster.announce(State { epoch: 6, version: 1, isr: &[1, 2], ..ALONE });
    node.produce(1, "not committed").await;

    let list = |version, replica_id, timestamp| {
        let partition = list_offsets::ListOffsetsPartition { timestamp, ..Default::default() };
        let topic = list_offsets::ListOffsetsTopic { name: TOPIC.into(), partitions: vec![partition] };
        let request = list_offsets::Request { replica_id, topics: vec![topic], ..Default::default() };
        let context = context::<list_offsets::Request>(version);
        let answer = api::list_offsets::serve(&node.manager, &context, request).topics.remove(0).partitions.remove(0);
        (answer.error_code, answer.offset, answer.timestamp, answer.leader_epoch)
    };
    assert_eq!(list(9, -1, -1), (0, 3, -1, 6), "latest: the high watermark");
    assert_eq!(list(9, 2, -1), (0, 4, -1, 6), "to a replica the log's end");
    assert_eq!(list(9, -1, -2), (0, 0, -1, 4));
    assert_eq!(list(9, -1, -3), (0, 0, 1, 4), "the first of the largest timestamp");
    assert_eq!(list(9, -1, -4), (0, 0, -1, 4));
    assert_eq!(list(9, -1, -5), (0, -1, -1, -1));
    assert_eq!(list(9, -1, 1), (0, 0, 1, 4));
    assert_eq!(list(9, -1, 2), (0, -1, -1, -1), "no record is that late");
    for (version, timestamp) in [(6, -3), (7, -4), (8, -5), (9, -6)] {
        assert_eq!(list(version, -1, timestamp).0, ErrorCode::UnsupportedVersion.code(), "v{version} {timestamp}");
    }

    let ended = |current_leader_epoch, leader_epoch| {
        let partition =
            offset_for_leader_epoch::OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch };
        let topic = offset_for_leader_epoch::OffsetForLeaderTopic { topic: TOPIC.into(), partitions: vec![partition] };
        let request = offset_for_leader_epoch::Request { replica_id: 2, topics: vec![topic] };
        let answer = api::offset_for_leader_epoch::serve(&node.manager, request).topics.remove(0).partitions.remove(0);
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    };
    assert_eq!(ended(6, 6), (0, 6, 4));
    assert_eq!(ended(6, 5), (0, 4, 3), "the largest epoch below");
    assert_eq!(ended(6, 4), (0, 4, 3));
    assert_eq!(ended(6, 9), (0, -1, -1));
    assert_eq!(ended(5, 4).0, ErrorCode::FencedLeaderEpoch.code());
    assert_eq!(ended(7, 4).0, ErrorCode::UnknownLeaderEpoch.code());
}

#[tokio::test]
async fn metrics_show_the_partitions() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    cluster.announce(ALONE);
    cluster.node(1).produce(1, "a").await;
    let metrics = Metrics::default();
    barnabas::replica::metrics::register(&metrics, &cluster.node(1).manager);
    let page = metrics.render();
    for line in [
        "kafka_server_replicamanager_leadercount 1",
        "kafka_server_replicamanager_underreplicatedpartitions 1",
        "kafka_cluster_partition_insyncreplicascount{topic=\"t\",partition=\"0\"} 1",
        "kafka_log_log_logendoffset{topic=\"t\",partition=\"0\"} 1",
        "kafka_server_brokertopicmetrics_messagesin_total{topic=\"t\"} 1",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} in\n{page}");
    }
}

fn delete_records(topic: &str, offset: i64, timeout_ms: i32) -> delete_records::Request {
    let partition = delete_records::DeleteRecordsPartition { partition_index: 0, offset };
    let topic = delete_records::DeleteRecordsTopic { name: topic.into(), partitions: vec![partition] };
    delete_records::Request { topics: vec![topic], timeout_ms }
}

/// Error code and low watermark of the only partition.
async fn deleted(node: &Node, request: delete_records::Request) -> (i16, i64) {
    let response = api::delete_records::serve(&node.manager, request).await;
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.low_watermark)
}

#[tokio::test]
async fn deleted_records_are_gone_from_all_live_replicas() {
    let cluster = Cluster::new(&[1, 2], 1);
    cluster.announce(BOTH);
    for n in 0..10 {
        cluster.node(1).produce(-1, &format!("value {n}")).await;
    }
    let leader = cluster.node(1);
    let start = |broker| cluster.node(broker).partition().log_start();
    assert_eq!(deleted(leader, delete_records(TOPIC, 4, 30_000)).await, (0, 4));
    assert_eq!((start(1), start(2)), (Offset(4), Offset(4)));
    assert_eq!(cluster.node(2).epochs_file(), "0\n1\n0 4\n");
    // Below the log start there is nothing to do.
    assert_eq!(deleted(leader, delete_records(TOPIC, 2, 30_000)).await, (0, 4));
    assert_eq!(deleted(leader, delete_records(TOPIC, 11, 30_000)).await, (ErrorCode::OffsetOutOfRange.code(), -1));
    assert_eq!(deleted(leader, delete_records(TOPIC, -2, 30_000)).await, (ErrorCode::OffsetOutOfRange.code(), -1));
    let elsewhere = deleted(cluster.node(2), delete_records(TOPIC, 5, 30_000)).await;
    assert_eq!(elsewhere, (ErrorCode::NotLeaderOrFollower.code(), -1));
    let unknown = deleted(leader, delete_records("nowhere", 5, 30_000)).await;
    assert_eq!(unknown, (ErrorCode::UnknownTopicOrPartition.code(), -1));
    // A live replica that does not fetch holds the answer up.
    cluster.node(2).cut.store(true, Ordering::SeqCst);
    assert_eq!(deleted(leader, delete_records(TOPIC, 6, 50)).await, (ErrorCode::RequestTimedOut.code(), 4));
    let (answer, ()) = tokio::join!(deleted(leader, delete_records(TOPIC, -1, 60_000)), async {
        until("the leader's log start moved", || start(1) == Offset(10)).await;
        cluster.node(2).cut.store(false, Ordering::SeqCst);
    });
    assert_eq!(answer, (0, 10));
    assert_eq!((start(1), start(2)), (Offset(10), Offset(10)));
    let (answer, ()) = tokio::join!(deleted(leader, delete_records(TOPIC, 10, 60_000)), async {});
    assert_eq!(answer, (0, 10));
}
