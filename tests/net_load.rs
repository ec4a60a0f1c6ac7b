//! Floods, slow clients, many connections, large files: what must stay bounded and what must stay whole.

mod net_toy;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use barnabas::net::client::{ClientError, Connection, Options};
use barnabas::net::listener::{ListenerOptions, ServerOptions};
use barnabas::wire::Records;
use barnabas::wire::frame::encode_request;
use barnabas::wire::messages::{fetch, metadata, produce};
use net_toy::{LISTENER, Raw, SOON, bytes, start};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const MIB: usize = 1 << 20;

fn loopback() -> ServerOptions {
    ServerOptions::loopback(LISTENER)
}

async fn connect(port: u16) -> Connection {
    Connection::connect("127.0.0.1", port, "me", Options::default()).await.unwrap()
}

fn any_metadata() -> metadata::Request {
    metadata::Request { topics: Some(Vec::new()), ..Default::default() }
}

/// A produce of this many bytes of records.
fn large_produce(how: &str, len: usize) -> produce::Request {
    let partition = produce::PartitionProduceData { index: 0, records: Records::Bytes(vec![1; len].into()) };
    let topic = produce::TopicProduceData { name: "t".into(), partition_data: vec![partition] };
    produce::Request { acks: -1, transactional_id: Some(how.into()), topic_data: vec![topic], ..Default::default() }
}

#[tokio::test]
async fn a_flood_of_produce_waits_and_replication_goes_on() {
    let memory = 8 * MIB;
    let (toy, server) = start(ServerOptions { request_memory_bytes: memory as i64, ..loopback() }).await;
    let port = server.address(LISTENER).unwrap().port();
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut client = connect(port).await;
        flood.push(tokio::spawn(async move { client.call(3, &large_produce("wait", MIB - 4096)).await }));
    }
    // Seven fit; the others are held back in their sockets.
    while server.memory().used() < 7 * MIB - 64 * 1024 {
        tokio::task::yield_now().await;
    }
    let mut follower = connect(port).await;
    let answered = timeout(SOON, follower.call(11, &fetch::Request::default())).await;
    answered.expect("a fetch is not held up by produces").unwrap();
    assert!(server.memory().used() <= memory);
    let appended = toy.log().iter().filter(|line| line.starts_with("append")).count();
    assert!(appended <= 7, "{appended} requests fit into the memory");
    for client in flood {
        toy.gate.notify_one();
        // Each permit lets one produce go; the freed memory lets another in.
        while !client.is_finished() {
            toy.gate.notify_one();
            tokio::task::yield_now().await;
        }
        client.await.unwrap().unwrap();
    }
    assert_eq!(server.memory().used(), 0);
}

#[tokio::test]
async fn slow_frames_give_way_when_memory_is_short() {
    let memory = 4 * MIB;
    let (_toy, server) = start(ServerOptions { request_memory_bytes: memory as i64, ..loopback() }).await;
    let address = server.address(LISTENER).unwrap();
    // Each announces 64 MiB, sends a little, and stops.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut client = Raw::connect(address).await;
        client.send(&(64 * MIB as i32).to_be_bytes()).await;
        client.send(&[0, 0, 0, 3]).await;
        client.send(&vec![0; 200 * 1024]).await;
        slow.push(client);
    }
    while server.memory().available() > memory / 4 {
        tokio::task::yield_now().await;
    }
    let mut honest = connect(address.port()).await;
    honest.call(3, &large_produce("", MIB)).await.expect("an honest request gets through");
    assert!(server.connection_count(LISTENER) < 41, "somebody had to go");
    drop(slow);
    drop(honest);
    server.close(SOON).await;
    assert_eq!(server.memory().used(), 0);
}

#[tokio::test]
async fn announced_lengths_cost_nothing() {
    let (_toy, server) = start(loopback()).await;
    let address = server.address(LISTENER).unwrap();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Raw::connect(address).await;
        client.send(&(100 * MIB as i32).to_be_bytes()).await;
        client.send(&[0, 0, 0, 3, 0, 0]).await;
        clients.push(client);
    }
    for client in &mut clients[..3] {
        client.still_open().await;
    }
    assert!(server.memory().used() <= 100 * 16 * 1024);
}

#[tokio::test]
async fn records_are_sent_from_files() {
    let (toy, server) = start(loopback()).await;
    let port = server.address(LISTENER).unwrap().port();
    let content: Vec<u8> = (0..8 * MIB as u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    *toy.file.lock() = Some(Arc::new(file.try_clone().unwrap()));
    let slices = [(0, 10), (4096, 5 * MIB + 1), (1, 0), (7 * MIB + 3, MIB - 3)];
    let partitions = slices.map(|(position, len)| fetch::FetchPartition {
        fetch_offset: position as i64,
        partition_max_bytes: len as i32,
        ..Default::default()
    });
    let topic = |partitions: &[fetch::FetchPartition]| fetch::FetchTopic {
        topic: "t".into(),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    let request = fetch::Request { topics: vec![topic(&partitions)], ..Default::default() };
    let mut client = connect(port).await;
    for _ in 0..3 {
        client.send(11, &request).await.unwrap();
    }
    for _ in 0..3 {
        let response = client.receive::<fetch::Request>(11).await.unwrap();
        for (partition, (position, len)) in response.responses[0].partitions.iter().zip(slices) {
            let Records::Bytes(records) = &partition.records else { panic!("records are bytes") };
            assert!(records[..] == content[position..position + len]);
        }
    }
    // A file that has become shorter than promised: the stream cannot go on.
    file.set_len(MIB as u64).unwrap();
    assert!(matches!(client.call(11, &request).await, Err(ClientError::Closed | ClientError::Io(_))));
    let mut other = connect(port).await;
    other.call(1, &any_metadata()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_slowly_disturbs_nobody() {
    let (toy, server) = start(loopback()).await;
    let address = server.address(LISTENER).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(32 * MIB as u64).unwrap();
    *toy.file.lock() = Some(Arc::new(file));
    let partition = fetch::FetchPartition { partition_max_bytes: 32 * MIB as i32, ..Default::default() };
    let topic = fetch::FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let request =
        bytes(encode_request(11, 1, None, &fetch::Request { topics: vec![topic], ..Default::default() }).unwrap());
    let mut lazy = Vec::new();
    for _ in 0..20 {
        let mut client = Raw::connect(address).await;
        client.send(&request).await;
        lazy.push(client);
    }
    let mut busy = connect(address.port()).await;
    for _ in 0..100 {
        busy.call(1, &any_metadata()).await.unwrap();
    }
    for client in &mut lazy[..2] {
        assert!(client.answer().await.len() > 32 * MIB);
    }
}

#[tokio::test]
async fn a_thousand_connections() {
    let (_toy, server) = start(ServerOptions { backlog: 2000, ..loopback() }).await;
    let address = server.address(LISTENER).unwrap();
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(connect(address.port()).await);
    }
    for client in clients.iter_mut().step_by(97) {
        client.call(1, &any_metadata()).await.unwrap();
    }
    assert_eq!(server.memory().used(), 0, "idle connections hold no request memory");
    server.close(SOON).await;
    assert_eq!(server.connection_count(LISTENER), 0);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let (_toy, server) = start(ServerOptions { max_idle: Some(Duration::from_millis(300)), ..loopback() }).await;
    let address = server.address(LISTENER).unwrap();
    let mut idle = Raw::connect(address).await;
    let mut half_way = Raw::connect(address).await;
    half_way.send(&[0, 0]).await;
    let mut busy = connect(address.port()).await;
    let talk = async {
        for _ in 0..12 {
            busy.call(1, &any_metadata()).await.expect("a busy connection stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(talk, idle.closed(), half_way.closed());
}

#[tokio::test]
async fn one_address_gets_so_many_connections() {
    let mut options = loopback();
    options.limits.max_connections_per_ip = 6;
    let (_toy, server) = start(options).await;
    let address = server.address(LISTENER).unwrap();
    let mut served = Vec::new();
    for _ in 0..6 {
        let mut client = connect(address.port()).await;
        client.call(1, &any_metadata()).await.unwrap();
        served.push(client);
    }
    for _ in 0..3 {
        Raw::connect(address).await.closed().await;
    }
    served.pop();
    while server.connection_count(LISTENER) == 6 {
        tokio::task::yield_now().await;
    }
    connect(address.port()).await.call(1, &any_metadata()).await.unwrap();
}

#[tokio::test]
async fn brokers_get_in_when_clients_fill_the_house() {
    let mut options = loopback();
    let listener = |name: &str| ListenerOptions { name: name.into(), ..options.listeners[0].clone() };
    options.listeners = vec![listener("INNER"), listener("OUTER")];
    options.limits.inter_broker_listener = "INNER".into();
    options.limits.max_connections = 2;
    options.limits.per_ip_overrides = HashMap::new();
    let (_toy, server) = start(options).await;
    let outer = server.address("OUTER").unwrap();
    let mut idle = Raw::connect(outer).await;
    while server.connection_count("OUTER") < 1 {
        tokio::task::yield_now().await;
    }
    let mut busy = connect(outer.port()).await;
    busy.call(1, &any_metadata()).await.unwrap();
    let mut late = connect(outer.port()).await;
    let waits = tokio::time::timeout(Duration::from_millis(50), late.call(1, &any_metadata())).await;
    assert!(waits.is_err(), "accepting waits for a place");
    let mut broker = connect(server.address("INNER").unwrap().port()).await;
    broker.call(1, &any_metadata()).await.unwrap();
    idle.closed().await;
}

#[tokio::test]
async fn a_refused_port_says_which() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = loopback();
    options.listeners[0].port = taken.local_addr().unwrap().port();
    let error = barnabas::net::listener::Server::bind(options).await.err().expect("the port is taken");
    assert!(error.to_string().contains(&format!("PLAINTEXT://127.0.0.1:{}", taken.local_addr().unwrap().port())));
}

#[tokio::test]
async fn a_stalled_write_is_no_reason_to_stop_reading_the_rest() {
    // A request split over many small writes, with other requests between the halves on other connections.
    let (_toy, server) = start(loopback()).await;
    let address = server.address(LISTENER).unwrap();
    let whole = bytes(encode_request(3, 1, None, &large_produce("", 300_000)).unwrap());
    let mut client = Raw::connect(address).await;
    for piece in whole.chunks(7001) {
        client.0.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await[..4], 1i32.to_be_bytes());
    assert_eq!(server.memory().used(), 0);
}
