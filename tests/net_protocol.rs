//! What a broker does with bytes: bad input as Kafka 3.9.1 was seen to treat it, order of pipelined requests, lost clients.

mod net_toy;

use std::time::Duration;

use barnabas::net::client::{ClientError, Connection, Options};
use barnabas::wire::frame::encode_request;
use barnabas::wire::messages::{api_versions, fetch, metadata, produce};
use net_toy::{LISTENER, Raw, SOON, bytes, frame, hex, start_default, with_length};
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
/// Body of Metadata v1 for no topics.
const NO_TOPICS: &[u8] = &[0, 0, 0, 0];

fn produce(name: i32, acks: i16, how: &str) -> produce::Request {
    produce::Request { acks, timeout_ms: name, transactional_id: Some(how.into()), ..Default::default() }
}

fn produce_frame(name: i32, acks: i16, how: &str) -> Vec<u8> {
    bytes(encode_request(3, name, None, &produce(name, acks, how)).unwrap())
}

fn metadata_frame(correlation_id: i32) -> Vec<u8> {
    frame(METADATA, 1, correlation_id, b"me", NO_TOPICS)
}

fn long_poll() -> fetch::Request {
    fetch::Request { max_wait_ms: 1000, ..Default::default() }
}

#[tokio::test]
async fn lengths_out_of_bounds_close_at_once() {
    let (_toy, _server, address) = start_default().await;
    let tls_hello = hex("16 03 01 00 c8 01 00 00 c4 03 03");
    let inputs: [&[u8]; 6] = [
        &104_857_601i32.to_be_bytes(),
        &(-1i32).to_be_bytes(),
        &[0, 0, 0, 0],
        b"GET / HTTP/1.0\r\n\r\n",
        &tls_hello,
        &[0, 0, 0, 3, 0, 18, 0],
    ];
    for input in inputs {
        let mut client = Raw::connect(address).await;
        client.send(input).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn what_is_not_offered_closes_at_once() {
    let (_toy, _server, address) = start_default().await;
    // Unknown keys, unknown versions, and an API of the schema that the table does not list.
    for (key, version) in [(999, 0), (-1, 0), (METADATA, 99), (0, -1), (0, 2), (10, 0)] {
        let mut client = Raw::connect(address).await;
        client.send(&frame(key, version, 16, b"me", NO_TOPICS)).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_parsed_close() {
    let (_toy, _server, address) = start_default().await;
    let negative_topics = [&[0xff; 4][..], &[0; 9], &[0xff; 4]].concat();
    for (key, version, body) in [
        (METADATA, 1, &[0, 0][..]),
        (METADATA, 1, &[0x7f, 0xff, 0xff, 0xff]),
        (1, 4, &[&negative_topics[..], &[0xff; 4]].concat()),
    ] {
        let mut client = Raw::connect(address).await;
        client.send(&frame(key, version, 1, b"me", body)).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_the_first_form() {
    let (_toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    // Version 99 has a flexible header, with its (empty) tagged fields.
    for (version, rest) in [(99, &[0][..]), (-1, &[])] {
        client.send(&frame(API_VERSIONS, version, 0x0102_0304, b"me", rest)).await;
        assert_eq!(client.answer().await, hex("01020304 0023 00000001 0012 0000 0004"));
    }
    client.send(&metadata_frame(7)).await;
    assert_eq!(client.answer().await[..4], 7i32.to_be_bytes());
}

#[tokio::test]
async fn api_versions_has_the_shape_of_kafkas() {
    let (_toy, _server, address) = start_default().await;
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames");
    for name in ["ApiVersions-v0-0", "ApiVersions-v1-0", "ApiVersions-v2-0", "ApiVersions-v3-0", "ApiVersions-v4-0"] {
        let mut client = Raw::connect(address).await;
        let request = std::fs::read(golden.join(format!("{name}.req.bin"))).unwrap();
        let recorded = std::fs::read(golden.join(format!("{name}.resp.bin"))).unwrap();
        client.send(&request).await;
        let answer = client.answer().await;
        // Correlation id and no error; then as many entries as we have; at the end what follows them.
        assert_eq!(answer[..6], recorded[4..10], "{name}");
        let version = request[7];
        let tail = if version == 0 {
            0
        } else if version < 3 {
            4
        } else {
            5
        };
        assert_eq!(answer[answer.len() - tail..answer.len() - tail + tail.min(4)], vec![0; tail.min(4)], "{name}");
        let entry = if version < 3 { 6 } else { 7 };
        let count_bytes = if version < 3 { 4 } else { 1 };
        assert_eq!(answer.len(), 6 + count_bytes + net_toy::TABLE.len() * entry + tail, "{name}");
    }
}

#[tokio::test]
async fn improper_software_names_are_refused_politely() {
    let (_toy, _server, address) = start_default().await;
    let mut client = Connection::connect("127.0.0.1", address.port(), "me", Options::default()).await.unwrap();
    let request = api_versions::Request { client_software_name: "-bad-".into(), client_software_version: "1".into() };
    let response = client.call(3, &request).await.unwrap();
    assert_eq!((response.error_code, response.api_keys.len()), (42, 0));
    let request = api_versions::Request { client_software_name: "good".into(), client_software_version: "1".into() };
    assert_eq!(client.call(3, &request).await.unwrap().api_keys.len(), net_toy::TABLE.len());
}

#[tokio::test]
async fn odd_but_harmless_requests_are_answered() {
    let (_toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    let null_client_id = hex("0003 0001 00000005 ffff 00000000");
    let strange_null = hex("0003 0001 00000006 fffe 00000000");
    for (correlation_id, request) in [
        (3, frame(METADATA, 1, 3, b"me", &[NO_TOPICS, &[9, 9, 9, 9]].concat())),
        (4, frame(METADATA, 1, 4, b"\xc3\x28", NO_TOPICS)),
        (5, with_length(&null_client_id)),
        (6, with_length(&strange_null)),
    ] {
        client.send(&request).await;
        assert_eq!(client.answer().await[..4], i32::to_be_bytes(correlation_id));
    }
    // Unknown tagged fields of a flexible header are skipped.
    client.send(&with_length(&hex("0003 0009 00000007 0002 6d65 01 63 02 abcd 01 00 00 00 00"))).await;
    assert_eq!(client.answer().await[..4], 7i32.to_be_bytes());
}

#[tokio::test]
async fn two_requests_in_one_write_get_two_answers_in_order() {
    let (_toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    client.send(&[metadata_frame(1), metadata_frame(2)].concat()).await;
    assert_eq!(client.answer().await[..4], 1i32.to_be_bytes());
    assert_eq!(client.answer().await[..4], 2i32.to_be_bytes());
}

#[tokio::test]
async fn a_half_closed_connection_gets_its_answers() {
    let (toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    client.send(&[produce_frame(1, -1, "wait"), metadata_frame(2)].concat()).await;
    client.half_close().await;
    toy.seen("append 1").await;
    toy.gate.notify_one();
    assert_eq!(client.answer().await[..4], 1i32.to_be_bytes());
    assert_eq!(client.answer().await[..4], 2i32.to_be_bytes());
    client.closed().await;
}

#[tokio::test]
async fn a_part_of_a_frame_waits_or_ends_with_the_stream() {
    let (_toy, _server, address) = start_default().await;
    let whole = metadata_frame(1);
    for cut in [1, 4, 5, 9, whole.len() - 1] {
        let mut client = Raw::connect(address).await;
        client.send(&whole[..cut]).await;
        client.still_open().await;
        client.half_close().await;
        client.closed().await;
    }
    let mut client = Raw::connect(address).await;
    for byte in whole {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.answer().await;
}

#[tokio::test]
async fn a_bad_request_behind_good_ones_lets_them_be_answered() {
    let (toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    client.send(&[produce_frame(1, -1, "wait"), frame(999, 0, 2, b"", &[]), metadata_frame(3)].concat()).await;
    toy.seen("append 1").await;
    toy.gate.notify_one();
    assert_eq!(client.answer().await[..4], 1i32.to_be_bytes());
    client.closed().await;
    assert!(!toy.log().contains(&"metadata".to_owned()));
}

#[tokio::test]
async fn produces_overlap_and_others_wait_their_turn() {
    let (toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    let requests = [produce_frame(1, -1, "wait"), produce_frame(2, 1, ""), metadata_frame(3), produce_frame(4, 1, "")];
    client.send(&requests.concat()).await;
    toy.seen("append 2").await;
    assert_eq!(toy.log(), ["append 1", "append 2"]);
    toy.gate.notify_one();
    for correlation_id in 1..=4 {
        assert_eq!(client.answer().await[..4], i32::to_be_bytes(correlation_id));
    }
    let expected = ["append 1", "append 2", "acknowledge 1", "produce 1 over", "metadata", "append 4"];
    assert_eq!(toy.log(), expected);
}

#[tokio::test]
async fn no_acks_means_no_answer_and_a_failure_closes() {
    let (toy, _server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    client.send(&[produce_frame(1, 0, ""), metadata_frame(2)].concat()).await;
    assert_eq!(client.answer().await[..4], 2i32.to_be_bytes());
    client.send(&[metadata_frame(3), produce_frame(4, 0, "close"), produce_frame(5, 1, "")].concat()).await;
    assert_eq!(client.answer().await[..4], 3i32.to_be_bytes());
    client.closed().await;
    assert!(!toy.log().contains(&"append 5".to_owned()), "an unacknowledged produce is a barrier");
}

#[tokio::test]
async fn a_lost_client_drops_long_polls_and_finishes_the_rest() {
    let (toy, _server, address) = start_default().await;
    let reset = |client: Raw| client.0.set_zero_linger().unwrap();
    let mut client = Raw::connect(address).await;
    client.send(&bytes(encode_request(4, 1, None, &long_poll()).unwrap())).await;
    toy.seen("fetch waits").await;
    reset(client);
    toy.seen("fetch over").await;
    assert!(!toy.log().contains(&"fetch wakes".to_owned()));
    let mut client = Raw::connect(address).await;
    client.send(&produce_frame(1, -1, "wait")).await;
    toy.seen("append 1").await;
    reset(client);
    toy.gate.notify_one();
    toy.seen("acknowledge 1").await;
}

#[tokio::test]
async fn our_client_speaks_to_our_server() {
    let (toy, server, address) = start_default().await;
    let mut client = Connection::connect("localhost", address.port(), "me", Options::default()).await.unwrap();
    for version in 1..=12 {
        let request = metadata::Request { topics: Some(Vec::new()), ..Default::default() };
        let response = client.call(version, &request).await.unwrap();
        assert_eq!(response.cluster_id.as_deref(), (version >= 2).then_some("me"));
    }
    client.send_only(3, &produce(1, 0, "")).await.unwrap();
    client.send(3, &produce(2, 1, "")).await.unwrap();
    client.send(3, &produce(3, 1, "")).await.unwrap();
    assert_eq!(client.receive::<produce::Request>(3).await.unwrap().throttle_time_ms, 2);
    assert_eq!(client.receive::<produce::Request>(3).await.unwrap().throttle_time_ms, 3);
    let slow = client.call_within(Duration::from_millis(20), 3, &produce(4, -1, "wait")).await;
    assert!(matches!(slow, Err(ClientError::RequestTimeout { .. })));
    let after = client.call(3, &produce(5, 1, "")).await;
    assert!(matches!(after, Err(ClientError::Unusable)));
    toy.gate.notify_one();
    drop(client);
    let mut client = Connection::connect("127.0.0.1", address.port(), "me", Options::default()).await.unwrap();
    assert!(matches!(client.call(0, &metadata::Request::default()).await, Err(ClientError::Wire(_)) | Ok(_)));
    server.close(SOON).await;
    let mut client_error = client.call(1, &metadata::Request::default()).await.unwrap_err();
    for _ in 0..2 {
        assert!(
            matches!(client_error, ClientError::Closed | ClientError::Io(_) | ClientError::Unusable),
            "{client_error:?}"
        );
        client_error = client.call(1, &metadata::Request::default()).await.unwrap_err();
    }
    let refused = Connection::connect("127.0.0.1", address.port(), "me", Options::default()).await;
    assert!(matches!(refused, Err(ClientError::Connect { .. })));
}

#[tokio::test]
async fn closing_waits_for_requests_in_flight() {
    let (toy, server, address) = start_default().await;
    let mut client = Raw::connect(address).await;
    let mut idle = Raw::connect(address).await;
    client.send(&produce_frame(1, -1, "wait")).await;
    toy.seen("append 1").await;
    let closing = tokio::spawn(async move {
        server.close(SOON).await;
        server.connection_count(LISTENER)
    });
    idle.closed().await;
    assert!(!closing.is_finished());
    toy.gate.notify_one();
    assert_eq!(client.answer().await[..4], 1i32.to_be_bytes());
    client.closed().await;
    assert_eq!(closing.await.unwrap(), 0);
}

#[tokio::test]
async fn garbage_never_stops_the_listener() {
    let (_toy, server, address) = start_default().await;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for round in 0..300 {
        let mut client = Raw::connect(address).await;
        let mut input = metadata_frame(round);
        match round % 3 {
            // Pure noise, noise behind a good length, and a good request with flipped bytes.
            0 => input = (0..random.random_range(1..200)).map(|_| random.random()).collect(),
            1 => input = with_length(&(0..random.random_range(1..200)).map(|_| random.random()).collect::<Vec<u8>>()),
            _ => (0..3).for_each(|_| {
                let place = random.random_range(0..input.len());
                input[place] ^= 1 << random.random_range(0..8);
            }),
        }
        let _ = client.0.write_all(&input).await;
        let _ = client.0.shutdown().await;
        let mut sink = Vec::new();
        let _ = timeout(SOON, client.0.read_to_end(&mut sink)).await.expect("the broker closes");
    }
    let mut client = Raw::connect(address).await;
    client.send(&metadata_frame(1)).await;
    client.answer().await;
    drop(client);
    server.close(SOON).await;
    assert_eq!(server.memory().used(), 0);
}

#[tokio::test]
async fn requests_are_counted_under_kafkas_names() {
    let (toy, server, address) = start_default().await;
    let mut client = Connection::connect("127.0.0.1", address.port(), "me", Options::default()).await.unwrap();
    client.call(1, &metadata::Request::default()).await.unwrap();
    client.call(11, &fetch::Request { replica_id: -1, ..Default::default() }).await.unwrap();
    client.call(11, &fetch::Request { replica_id: 2, ..Default::default() }).await.unwrap();
    drop(client);
    server.close(SOON).await;
    let page = toy.metrics.render();
    for line in [
        "kafka_network_requestmetrics_requests_total{request=\"Metadata\",version=\"1\"} 1",
        "kafka_network_requestmetrics_totaltimems_count{request=\"Fetch\"} 2",
        "kafka_network_requestmetrics_totaltimems_count{request=\"FetchConsumer\"} 1",
        "kafka_network_requestmetrics_totaltimems_count{request=\"FetchFollower\"} 1",
        "kafka_network_socketserver_memorypoolused 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}
