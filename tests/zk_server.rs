//! The embedded ZooKeeper as its clients see it: connections, sessions, hostile bytes, four-letter words.

mod zk_raw;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use barnabas::zk::jute::{self, Jute, op_code};
use barnabas::zk::model::SessionId;
use barnabas::zk::op::Acl;
use barnabas::zk::server::{Options, Server};
use tokio::runtime::Runtime;
use zk_raw::{Client, Nothing, Raw};

/// A server for one test.
struct Embedded {
    runtime: Runtime,
    server: Option<Server>,
}

impl Embedded {
    fn start(options: Options) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start_with("127.0.0.1:0", options)).expect("a port is free");
        Self { runtime, server: Some(server) }
    }

    fn with_tick(tick_ms: i32) -> Self {
        Self::start(Options { tick_ms, ..Options::default() })
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("runs until dropped")
    }

    fn addr(&self) -> SocketAddr {
        self.server().addr()
    }

    fn client(&self) -> Client {
        Client::connect(self.addr(), 10_000).expect("a session")
    }

    fn word(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(self.addr()).expect("the server listens");
        stream.write_all(word.as_bytes()).expect("four letters can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let server = self.server.take().expect("runs until dropped");
        self.runtime.block_on(server.shutdown());
    }
}

fn create(path: &str, flags: i32) -> jute::CreateRequest {
    jute::CreateRequest { path: path.into(), data: None, acl: Acl::open(), flags }
}

fn watch(path: &str) -> jute::PathWatch {
    jute::PathWatch { path: path.into(), watch: true }
}

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHILDREN_CHANGED: i32 = 4;

fn events(client: &mut Client) -> Vec<(i32, String)> {
    client.events.drain(..).map(|event| (event.kind, event.path)).collect()
}

#[test]
fn session_time_outs_are_negotiated_within_2_to_20_ticks() {
    let embedded = Embedded::with_tick(1_000);
    for (asked, given) in [(-5, 2_000), (1, 2_000), (6_000, 6_000), (i32::MAX, 20_000)] {
        assert_eq!(Client::connect(embedded.addr(), asked).unwrap().timeout_ms, given);
    }
}

#[test]
fn replies_come_in_order_and_after_the_events_that_they_imply() {
    let embedded = Embedded::with_tick(2_000);
    let mut client = embedded.client();
    client.call(op_code::CREATE, &create("/a", 0)).unwrap();
    client.call(op_code::GET_CHILDREN2, &watch("/a")).unwrap();
    let xids: Vec<_> = (0..200).map(|_| client.send(op_code::CREATE, &create("/a/n-", 2))).collect();
    for (number, xid) in xids.into_iter().enumerate() {
        let reply = client.receive().unwrap();
        assert_eq!(reply.header.xid, xid);
        assert_eq!(reply.get::<String>(), format!("/a/n-{number:010}"));
        let expected = if number == 0 { vec![(CHILDREN_CHANGED, "/a".to_owned())] } else { vec![] };
        assert_eq!(events(&mut client), expected);
    }
}

#[test]
fn a_session_survives_its_connection_but_not_its_time() {
    let embedded = Embedded::with_tick(50);
    let mut owner = Client::connect(embedded.addr(), 300).unwrap();
    let mut observer = Client::connect(embedded.addr(), 1_000).unwrap();
    owner.call(op_code::CREATE, &create("/mine", 1)).unwrap();
    embedded.server().disconnect_session(SessionId(owner.session));
    assert!(owner.is_closed());
    let mut owner = owner.reconnect(embedded.addr()).unwrap();
    assert_eq!(owner.timeout_ms, 300);
    owner.ping().unwrap();
    let stat: barnabas::zk::op::Stat = observer.call(op_code::EXISTS, &watch("/mine")).unwrap().get();
    assert_eq!(stat.ephemeral_owner, owner.session);

    // The owner falls silent; the observer does not.
    while observer.events.is_empty() {
        observer.ping().unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(events(&mut observer), [(DELETED, "/mine".to_owned())]);
    assert!(owner.is_closed());
    let expired = owner.reconnect(embedded.addr()).unwrap();
    assert_eq!((expired.session, expired.timeout_ms), (0, 0));
}

#[test]
fn a_new_connection_takes_the_session_from_the_old_one() {
    let embedded = Embedded::with_tick(2_000);
    let mut old = embedded.client();
    old.call(op_code::EXISTS, &watch("/later")).unwrap();
    let mut new = old.reconnect(embedded.addr()).unwrap();
    assert!(old.is_closed());
    // Watches went with the connection; the client asks again.
    new.call(op_code::CREATE, &create("/later", 0)).unwrap();
    assert_eq!(events(&mut new), []);
    let missed = jute::SetWatches { relative_zxid: 0, exist: vec!["/later".into()], ..Default::default() };
    new.call(op_code::SET_WATCHES, &missed).unwrap();
    assert_eq!(events(&mut new), [(CREATED, "/later".to_owned())]);

    let wrong = jute::ConnectRequest {
        timeout_ms: 10_000,
        session_id: new.session,
        password: Some(vec![0; 16].into()),
        ..Default::default()
    };
    assert_eq!(Client::hello(embedded.addr(), wrong).unwrap().session, 0);
    new.ping().expect("a wrong password does no harm");
}

#[test]
fn faults_can_be_injected() {
    let embedded = Embedded::with_tick(2_000);
    let (mut one, mut two) = (embedded.client(), embedded.client());
    one.call(op_code::CREATE, &create("/mine", 1)).unwrap();
    two.call(op_code::EXISTS, &watch("/mine")).unwrap();
    embedded.server().expire_session(SessionId(one.session));
    assert!(one.is_closed());
    two.ping().unwrap();
    assert_eq!(events(&mut two), [(DELETED, "/mine".to_owned())]);

    embedded.server().set_accepting(false);
    embedded.server().disconnect_all();
    assert!(two.is_closed());
    assert!(two.reconnect(embedded.addr()).is_err());
    embedded.server().set_accepting(true);
    assert_eq!(two.reconnect(embedded.addr()).unwrap().session, two.session);
    assert_eq!(embedded.server().sessions().len(), 1);
}

#[test]
fn a_client_from_the_future_is_sent_away() {
    let embedded = Embedded::with_tick(2_000);
    let request = jute::ConnectRequest { last_zxid_seen: i64::MAX, timeout_ms: 10_000, ..Default::default() };
    assert!(Client::hello(embedded.addr(), request).is_err());
}

#[test]
fn hostile_bytes_end_their_connection_only() {
    let embedded = Embedded::start(Options { max_packet_bytes: 1 << 16, ..Options::default() });
    let mut good = embedded.client();
    for bytes in
        [&b"\xff\xff\xff\xff"[..], b"\x7f\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x02xx", b"\0\x01\0\x01"]
    {
        let mut stream = TcpStream::connect(embedded.addr()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // Closed or reset.
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "{bytes:?}");
    }
    for bytes in [&b"\x7f\xff\xff\xff"[..], b"\0\0\0\x04\0\0\0\x01", b"\0\0\0\0", b"\0\x01\0\x01"] {
        let mut client = embedded.client();
        client.send_raw(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    // What has a header but no sense gets an answer.
    let mut client = embedded.client();
    for (op, body) in [(op_code::CREATE, &b"\x7f\xff\xff\xff"[..]), (op_code::MULTI, b"\0\0"), (op_code::GET_DATA, b"")]
    {
        assert_eq!(client.call(op, &Raw(body.to_vec())).unwrap().header.err, -5);
    }
    let mut many = Vec::new();
    for _ in 0..3 {
        i32::MAX.write(&mut many);
    }
    assert_eq!(client.call(op_code::SET_WATCHES, &Raw(many)).unwrap().header.err, -5);
    // An unknown request is answered and ends the connection, as by the original.
    assert_eq!(client.call(99, &Nothing).unwrap().header.err, -6);
    assert!(client.is_closed());
    good.ping().unwrap();
}

#[test]
fn a_packet_of_four_mebibytes_is_taken() {
    let embedded = Embedded::with_tick(2_000);
    let mut client = embedded.client();
    let data = vec![7; (4 << 20) - 100];
    client.call(op_code::CREATE, &create("/big", 0)).unwrap();
    let set = jute::SetDataRequest { path: "/big".into(), data: Some(data.clone().into()), version: 0 };
    assert_eq!(client.call(op_code::SET_DATA, &set).unwrap().header.err, 0);
    let reply: jute::Data = client.call(op_code::GET_DATA, &watch("/big")).unwrap().get();
    assert_eq!(reply.data.unwrap(), data);
}

#[test]
fn a_client_that_does_not_read_is_not_served_without_end() {
    let embedded = Embedded::with_tick(2_000);
    let mut client = embedded.client();
    let set = jute::CreateRequest { data: Some(vec![7; 1 << 20].into()), ..create("/big", 0) };
    client.call(op_code::CREATE, &set).unwrap();
    // 256 MiB of answers are asked for; the server keeps few of them and goes on as they are read.
    let xids: Vec<_> = (0..256).map(|_| client.send(op_code::GET_DATA, &watch("/big"))).collect();
    let mut other = embedded.client();
    other.ping().unwrap();
    for xid in xids {
        assert_eq!(client.receive().unwrap().header.xid, xid);
    }
}

#[test]
fn four_letter_words() {
    let embedded = Embedded::with_tick(2_000);
    let mut client = embedded.client();
    client.call(op_code::CREATE, &create("/mine", 1)).unwrap();
    let session = SessionId(client.session).to_string();
    let expected = [
        ("ruok", "imok".to_owned()),
        ("isro", "rw".to_owned()),
        ("srvr", "Zookeeper version: 3.8.4".to_owned()),
        ("srvr", "Mode: standalone\nNode count: 6\n".to_owned()),
        ("stat", format!("(sid={session})")),
        ("mntr", "zk_ephemerals_count\t1\n".to_owned()),
        ("dump", format!("{session}:\n\t/mine\n")),
        ("cons", session.clone()),
        ("conf", "tickTime=2000\n".to_owned()),
        ("wchs", "Total watches:0".to_owned()),
        ("envi", "zookeeper.version=3.8.4".to_owned()),
        ("wchp", "not in the whitelist".to_owned()),
    ];
    for (word, part) in expected {
        let answer = embedded.word(word);
        assert!(answer.contains(&part), "{word}: {answer}");
    }
}
