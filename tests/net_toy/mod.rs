//! A small server behind the real network part and dispatcher, and a client of raw bytes.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barnabas::api::{Answer, Dispatcher, RequestContext, api_versions};
use barnabas::metrics::Metrics;
use barnabas::net::listener::{Server, ServerOptions};
use barnabas::wire::messages::{api_versions as versions, fetch, metadata, produce};
use barnabas::wire::{FileSlice, Out, Part, Records};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub const LISTENER: &str = "PLAINTEXT";
/// Longer than anything should take.
pub const SOON: Duration = Duration::from_secs(20);

/// Writes down what happens to its requests, and lets them wait.
pub struct Toy {
    log: watch::Sender<Vec<String>>,
    /// What waiting requests wait for; one permit lets one request go.
    pub gate: Notify,
    /// Source of fetched records: fetch offset and max bytes are position and length in it.
    pub file: Mutex<Option<Arc<File>>>,
    pub metrics: Metrics,
}

impl Toy {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            log: watch::Sender::new(Vec::new()),
            gate: Notify::new(),
            file: Mutex::default(),
            metrics: Metrics::default(),
        })
    }

    fn note(&self, what: impl Into<String>) {
        self.log.send_modify(|log| log.push(what.into()));
    }

    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits until this has been written down.
    pub async fn seen(&self, what: &str) {
        let mut log = self.log.subscribe();
        let seen = log.wait_for(|log| log.iter().any(|line| line == what));
        timeout(SOON, seen).await.unwrap_or_else(|_| panic!("{what}: not in {:?}", self.log())).unwrap();
    }
}

struct OnDrop<'a>(&'a Toy, String);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.note(std::mem::take(&mut self.1));
    }
}

barnabas::apis! {
    pub static TABLE: Toy;

    produce      => handle_produce,  3..=11, two_phase if |request| request.acks != 0;
    fetch        => handle_fetch,    4..=17, long_poll;
    metadata     => handle_metadata, 0..=12, one_phase;
    api_versions => handle_versions, 0..=4,  one_phase;
}

async fn handle_versions(_: &Arc<Toy>, ctx: &RequestContext, request: versions::Request) -> Answer<versions::Response> {
    api_versions::respond(ctx.api_version, &request, TABLE).into()
}

/// Answers at once; the cluster id is the client id.
async fn handle_metadata(toy: &Arc<Toy>, ctx: &RequestContext, _: metadata::Request) -> Answer<metadata::Response> {
    toy.note("metadata");
    metadata::Response { cluster_id: Some(ctx.client_id().into()), ..Default::default() }.into()
}

/// The transactional id says what happens: "wait" waits for the gate, "close" closes. The timeout names it in the log.
async fn handle_produce(toy: &Arc<Toy>, _: &RequestContext, request: produce::Request) -> Answer<produce::Response> {
    let (name, how) = (request.timeout_ms, request.transactional_id.as_deref());
    toy.note(format!("append {name}"));
    if how == Some("wait") {
        let _dropped = OnDrop(toy, format!("produce {name} over"));
        toy.gate.notified().await;
        toy.note(format!("acknowledge {name}"));
    }
    match (how, request.acks) {
        (Some("close"), _) => Answer::Close,
        (_, 0) => Answer::NoReply,
        _ => produce::Response { throttle_time_ms: name, ..Default::default() }.into(),
    }
}

/// Waits for the gate if max_wait_ms is not 0, then answers with the slices of the file that are asked for.
async fn handle_fetch(toy: &Arc<Toy>, _: &RequestContext, request: fetch::Request) -> Answer<fetch::Response> {
    if request.max_wait_ms > 0 {
        let _dropped = OnDrop(toy, "fetch over".into());
        toy.note("fetch waits");
        toy.gate.notified().await;
        toy.note("fetch wakes");
    }
    let file = toy.file.lock().clone();
    let read = |partition: &fetch::FetchPartition| {
        let (position, len) = (partition.fetch_offset as u64, partition.partition_max_bytes as usize);
        let slice = file.clone().map(|file| Part::File(FileSlice { file, position, len }));
        let records = Records::Rope(slice.into_iter().collect());
        fetch::PartitionData { partition_index: partition.partition, records, ..Default::default() }
    };
    let topic = |topic: &fetch::FetchTopic| fetch::FetchableTopicResponse {
        topic: topic.topic.clone(),
        partitions: topic.partitions.iter().map(read).collect(),
        ..Default::default()
    };
    fetch::Response { responses: request.topics.iter().map(topic).collect(), ..Default::default() }.into()
}

/// A server of the toy with these options.
pub async fn start(options: ServerOptions) -> (Arc<Toy>, Server) {
    let (toy, server) = (Toy::new(), Server::bind(options).await.unwrap());
    server.serve(Dispatcher::new(toy.clone(), TABLE), &toy.metrics);
    (toy, server)
}

pub async fn start_default() -> (Arc<Toy>, Server, SocketAddr) {
    let (toy, server) = start(ServerOptions::loopback(LISTENER)).await;
    let address = server.address(LISTENER).unwrap();
    (toy, server, address)
}

/// A client of raw bytes.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// One answer, without its length.
    pub async fn answer(&mut self) -> Vec<u8> {
        let read = async {
            let length = self.0.read_i32().await?;
            let mut frame = vec![0; length as usize];
            self.0.read_exact(&mut frame).await.map(|_| frame)
        };
        timeout(SOON, read).await.expect("an answer comes").unwrap()
    }

    /// The broker closes without sending anything more; an orderly end, not a reset.
    pub async fn closed(&mut self) {
        let mut byte = [0];
        let read = timeout(SOON, self.0.read(&mut byte)).await.expect("the broker closes");
        assert_eq!(read.unwrap(), 0);
    }

    /// Nothing comes for a moment, and the connection still works.
    pub async fn still_open(&mut self) {
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(50), self.0.read(&mut byte)).await.is_err());
    }
}

/// A frame of a header v1 and a body.
pub fn frame(api_key: i16, version: i16, correlation_id: i32, client_id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frame = [&api_key.to_be_bytes()[..], &version.to_be_bytes(), &correlation_id.to_be_bytes()].concat();
    frame.extend_from_slice(&(client_id.len() as i16).to_be_bytes());
    frame.extend_from_slice(client_id);
    frame.extend_from_slice(body);
    with_length(&frame)
}

pub fn with_length(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as i32).to_be_bytes()[..], frame].concat()
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter(u8::is_ascii_hexdigit).map(|d| (d as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn bytes(out: Out) -> Vec<u8> {
    out.into_bytes().unwrap().to_vec()
}
