//! Random scripts of ZooKeeper requests, and how a server's answers to them are written down for comparison.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use barnabas::zk::jute::{self, Jute, Reader, op_code};
use barnabas::zk::op::{Acl, Stat};
use bytes::Bytes;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::zk_raw::{Client, Nothing, Raw, Reply};

/// Sessions of a script.
const SESSIONS: usize = 3;
const STEPS: usize = 60;

#[derive(Debug, Clone)]
pub enum Action {
    /// One request and its reply.
    Call(usize, Request),
    /// Several requests written before the first reply is read.
    Pipeline(usize, Vec<Request>),
    /// A new connection for the same session; `watches` are asked for again, as of this many transactions ago.
    Reconnect { client: usize, watches: Vec<(u8, String)>, ago: i64 },
    /// The session ends, a new one takes its place.
    Close(usize),
}

#[derive(Debug, Clone)]
pub enum Request {
    Write(Write),
    Multi(Vec<Write>),
    MultiRead(Vec<(i32, String)>),
    Read { op: i32, path: String, watch: bool },
    PathOnly { op: i32, path: String },
    SetAcl { path: String, acl: Vec<Acl>, version: i32 },
    Watch { op: i32, path: String, mode: i32 },
    WhoAmI,
    Auth(&'static str, &'static str),
}

#[derive(Debug, Clone)]
pub enum Write {
    Create { op: i32, path: String, data: Option<&'static str>, acl: Vec<Acl>, flags: i32 },
    Delete { path: String, version: i32 },
    SetData { path: String, data: Option<&'static str>, version: i32 },
    Check { path: String, version: i32 },
}

// ---- generation -----------------------------------------------------------------------------------------------

pub fn generate(seed: u64) -> Vec<Action> {
    let mut random = Random { rng: ChaCha8Rng::seed_from_u64(seed), with_acl: seed.is_multiple_of(2) };
    let mut script: Vec<_> =
        ["~/a", "~/b", "~/a/x"].map(|path| random.first_node(path)).into_iter().flatten().collect();
    script.extend((0..STEPS).map(|_| random.action()));
    script
}

struct Random {
    rng: ChaCha8Rng,
    /// Lists other than `world:anyone` soon make everything unreachable: only in some scripts.
    with_acl: bool,
}

impl Random {
    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.rng).expect("something to choose from").clone()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Without nodes, most requests would only say that there are none.
    fn first_node(&mut self, path: &str) -> Option<Action> {
        let (path, acl) = (path.to_owned(), Acl::open());
        let create = Write::Create { op: op_code::CREATE, path, data: self.data(), acl, flags: 0 };
        self.chance(80).then_some(Action::Call(0, Request::Write(create)))
    }

    fn action(&mut self) -> Action {
        let client = self.rng.random_range(0..SESSIONS);
        match self.rng.random_range(0..100) {
            0..86 => Action::Call(client, self.request()),
            86..92 => {
                let count = self.rng.random_range(2..6);
                let mut requests: Vec<_> = (0..count).map(|_| self.request()).collect();
                // Apache ZooKeeper answers `auth` out of order, and judges writes that follow a `setACL` too closely
                // by the former list.
                requests.retain(|request| !matches!(request, Request::Auth(..) | Request::SetAcl { .. }));
                Action::Pipeline(client, requests)
            }
            92..97 => {
                let count = self.rng.random_range(0..6);
                let watches = (0..count).map(|_| (self.rng.random_range(0..5), self.path())).collect();
                Action::Reconnect { client, watches, ago: self.rng.random_range(0..6) }
            }
            _ => Action::Close(client),
        }
    }

    fn request(&mut self) -> Request {
        match self.rng.random_range(0..100) {
            0..45 => Request::Write(self.write(false)),
            45..52 => {
                let count = self.rng.random_range(0..5);
                Request::Multi((0..count).map(|_| self.write(true)).collect())
            }
            52..78 => {
                let op = self.one(&[op_code::EXISTS, op_code::GET_DATA, op_code::GET_CHILDREN, op_code::GET_CHILDREN2]);
                Request::Read { op, path: self.path(), watch: self.chance(70) }
            }
            78..84 => {
                let op = self.one(&[
                    op_code::GET_ACL,
                    op_code::SYNC,
                    op_code::GET_EPHEMERALS,
                    op_code::GET_ALL_CHILDREN_NUMBER,
                ]);
                Request::PathOnly { op, path: self.path() }
            }
            84..87 => {
                let count = self.rng.random_range(0..4);
                let read = |random: &mut Self| (random.one(&[op_code::GET_DATA, op_code::GET_CHILDREN]), random.path());
                Request::MultiRead((0..count).map(|_| read(self)).collect())
            }
            87..90 => Request::SetAcl { path: self.path(), acl: self.acl(), version: self.version() },
            90..97 => {
                let op = self.one(&[op_code::ADD_WATCH, op_code::REMOVE_WATCHES, op_code::CHECK_WATCHES]);
                let mode = self.rng.random_range(0..4);
                // Apache ZooKeeper breaks off when it looks for the parents of a path without slash.
                let path = self.path().replace("nowhere", "/nowhere");
                Request::Watch { op, path, mode }
            }
            97 => Request::WhoAmI,
            _ => Request::Auth(
                self.one(&["digest", "digest", "ip"]),
                self.one(&["ann:secret", "ann:secret", "bob:x", "nobody"]),
            ),
        }
    }

    fn write(&mut self, in_multi: bool) -> Write {
        match self.rng.random_range(0..100) {
            0..55 => {
                let op = match self.rng.random_range(0..20) {
                    0 => op_code::CREATE_CONTAINER,
                    1 => op_code::CREATE_TTL,
                    2..8 => op_code::CREATE2,
                    _ => op_code::CREATE,
                };
                let flags = match op {
                    op_code::CREATE_CONTAINER => 4,
                    op_code::CREATE_TTL => 5,
                    _ => self.one(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 9]),
                };
                Write::Create { op, path: self.path(), data: self.data(), acl: self.acl(), flags }
            }
            55..75 => Write::Delete { path: self.path(), version: self.version() },
            75..90 => Write::SetData { path: self.path(), data: self.data(), version: self.version() },
            // Alone, a successful check is never answered by Apache ZooKeeper: only within a multi.
            _ if in_multi => Write::Check { path: self.path(), version: self.version() },
            _ => Write::SetData { path: self.path(), data: self.data(), version: -1 },
        }
    }

    /// Few paths, so that requests meet; some that are none. `~` stands for the script's own root.
    fn path(&mut self) -> String {
        const GOOD: [&str; 13] = [
            "~/a",
            "~/a",
            "~/b",
            "~/a/x",
            "~/a/x",
            "~/a/y",
            "~/b/x",
            "~/a/x/1",
            "~/a/x/2",
            "~/b/x/1",
            "~/n-0000000001",
            "~/a/0000000000",
            "~",
        ];
        const ODD: [&str; 11] = [
            "/",
            "/zookeeper",
            "/zookeeper/quota",
            "~/",
            "~/a/",
            "~//b",
            "~/.",
            "~/a/..",
            "~/\u{1}",
            "~/\u{e001}",
            "nowhere",
        ];
        if self.chance(94) { self.one(&GOOD) } else { self.one(&ODD) }.to_owned()
    }

    fn version(&mut self) -> i32 {
        self.one(&[-1, -1, -1, 0, 0, 1, 2, 5])
    }

    fn data(&mut self) -> Option<&'static str> {
        self.one(&[None, Some(""), Some("x"), Some("{\"version\":1}")])
    }

    fn acl(&mut self) -> Vec<Acl> {
        let acl = |scheme: &str, id: &str, perms| Acl { perms, scheme: scheme.into(), id: id.into() };
        if !self.with_acl || self.chance(70) {
            return Acl::open();
        }
        let ann = "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="; // base64(sha1("ann:secret"))
        let lists = [
            vec![],
            vec![acl("world", "anyone", 1)],
            vec![acl("world", "anyone", 1)],
            vec![acl("world", "anyone", 30)],
            vec![acl("world", "anyone", 22), acl("digest", ann, 9)],
            vec![acl("digest", ann, 31)],
            vec![acl("world", "anyone", 1), acl("auth", "", 31), acl("world", "anyone", 1)],
            vec![acl("auth", "", 31)],
            vec![acl("ip", "127.0.0.0/8", 31)],
            vec![acl("ip", "10.0.0.0/33", 31)],
            vec![acl("ip", "10.1.2.3", 31), acl("world", "anyone", 5)],
            vec![acl("digest", ann, 31), acl("world", "anyone", 1)],
            vec![acl("digest", "ann", 31)],
            vec![acl("sasl", "kafka", 31)],
            vec![acl("world", "me", 31)],
        ];
        self.one(&lists)
    }
}

// ---- execution ------------------------------------------------------------------------------------------------

/// Runs a script under its own root node and writes down, per step, what all clients saw.
pub fn run(addr: SocketAddr, seed: u64, script: &[Action]) -> Vec<String> {
    let mut runner = Runner::new(addr, seed);
    let seen = script.iter().map(|action| runner.step(action)).collect();
    for client in &mut runner.clients {
        let _ = client.call(op_code::CLOSE_SESSION, &Nothing);
    }
    seen
}

/// What a new server shows of the nodes that it has from the start.
pub fn system_nodes(addr: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(addr, 30_000).expect("a session");
    let mut seen = Vec::new();
    for path in ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
        let mut read = |op| {
            let watch = jute::PathWatch { path: path.into(), watch: false };
            client.call(op, &watch).expect("a reply")
        };
        let data: jute::Data = read(op_code::GET_DATA).get();
        let mut children: jute::Children2 = read(op_code::GET_CHILDREN2).get();
        children.names.sort();
        let acl = client.call(op_code::GET_ACL, &jute::Path { path: path.into() }).expect("a reply");
        seen.push(format!("{path} {data:?} {children:?} {:?}", acl.get::<jute::AclReply>()));
    }
    client.call(op_code::CLOSE_SESSION, &Nothing).expect("a reply");
    seen
}

struct Runner {
    addr: SocketAddr,
    root: String,
    clients: Vec<Client>,
    /// Names of sessions, in order of their opening.
    names: BTreeMap<i64, usize>,
    /// Transaction that created the root: the others are counted from it.
    base_zxid: i64,
}

impl Runner {
    fn new(addr: SocketAddr, seed: u64) -> Self {
        let mut runner =
            Self { addr, root: format!("/s{seed}"), clients: Vec::new(), names: BTreeMap::new(), base_zxid: 0 };
        for _ in 0..SESSIONS {
            let client = runner.open();
            runner.clients.push(client);
        }
        let root = jute::CreateRequest { path: runner.root.clone(), data: None, acl: Acl::open(), flags: 0 };
        let reply = runner.clients[0].call(op_code::CREATE, &root).expect("the root can be created");
        assert_eq!(reply.header.err, 0);
        runner.base_zxid = reply.header.zxid;
        runner
    }

    fn open(&mut self) -> Client {
        let client = Client::connect(self.addr, 30_000).expect("the server accepts sessions");
        let name = self.names.len() + 1;
        self.names.insert(client.session, name);
        client
    }

    fn step(&mut self, action: &Action) -> String {
        let mut seen = match action {
            Action::Call(client, request) => self.pipeline(*client, std::slice::from_ref(request)),
            Action::Pipeline(client, requests) => self.pipeline(*client, requests),
            Action::Reconnect { client, watches, ago } => self.reconnect(*client, watches, *ago),
            Action::Close(client) => self.close(*client),
        };
        let is_close = matches!(action, Action::Close(_));
        // Whatever the servers sent because of this step has arrived once they answer these.
        for client in &mut self.clients {
            client.send(op_code::PING, &Nothing);
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            client.receive().expect("the server is alive");
            let mut events: Vec<_> =
                client.events.drain(..).map(|event| format!(" {}:{}", event.kind, event.path)).collect();
            if is_close {
                // The nodes of a session go in any order.
                events.sort();
            }
            seen.push_str(&format!("; {index}:{}", events.concat()));
        }
        seen
    }

    fn pipeline(&mut self, client: usize, requests: &[Request]) -> String {
        let mut sent = Vec::new();
        for request in requests {
            let (op, body) = encode(request, &self.root);
            sent.push((op, request, self.clients[client].send(op, &Raw(body))));
        }
        let mut seen = Vec::new();
        for (op, request, xid) in sent {
            let reply = self.clients[client].receive().expect("a reply");
            assert_eq!(reply.header.xid, xid);
            seen.push(self.describe(op, request, &reply));
        }
        seen.join(" | ")
    }

    fn reconnect(&mut self, client: usize, watches: &[(u8, String)], ago: i64) -> String {
        let new = self.clients[client].reconnect(self.addr).expect("the server accepts the session again");
        assert_eq!(new.session, self.clients[client].session, "the session is alive");
        self.clients[client] = new;
        let of = |kind: u8| -> Vec<String> {
            let chosen = watches.iter().filter(|(of, _)| *of == kind);
            chosen.map(|(_, path)| self.in_root(path)).collect()
        };
        let relative_zxid = self.clients[client].last_zxid - ago;
        let (data, exist, child) = (of(0), of(1), of(2));
        let mut body = Vec::new();
        jute::SetWatches { relative_zxid, data, exist, child }.write(&mut body);
        let op = if ago % 2 == 0 { op_code::SET_WATCHES } else { op_code::SET_WATCHES2 };
        if op == op_code::SET_WATCHES2 {
            jute::PersistentWatches { persistent: of(3), persistent_recursive: of(4) }.write(&mut body);
        }
        let reply = self.clients[client].call(op, &Raw(body)).expect("a reply");
        format!("setWatches {}", self.header(&reply))
    }

    fn close(&mut self, client: usize) -> String {
        let reply = self.clients[client].call(op_code::CLOSE_SESSION, &Nothing).expect("a reply");
        let seen = self.header(&reply);
        assert!(self.clients[client].is_closed());
        let expired = self.clients[client].reconnect(self.addr).expect("an answer to an expired session");
        assert_eq!((expired.session, expired.timeout_ms), (0, 0));
        let own = std::mem::take(&mut self.clients[client].events);
        let mut own: Vec<_> = own.into_iter().map(|event| format!(" {}:{}", event.kind, event.path)).collect();
        own.sort();
        self.clients[client] = self.open();
        format!("close {seen}{}", own.concat())
    }

    fn in_root(&self, path: &str) -> String {
        path.replace('~', &self.root)
    }

    // ---- description ------------------------------------------------------------------------------------------

    /// Transactions of this script count from its beginning; those before it are 0.
    fn zxid(&self, zxid: i64) -> i64 {
        if zxid == 0 { 0 } else { (zxid - self.base_zxid).max(-1) }
    }

    fn header(&self, reply: &Reply) -> String {
        format!("zxid {} err {}", self.zxid(reply.header.zxid), reply.header.err)
    }

    fn stat(&self, stat: &Stat) -> String {
        let owner = match stat.ephemeral_owner {
            0 => "-".to_owned(),
            session => self.names.get(&session).map_or(format!("{session:x}"), ToString::to_string),
        };
        let [c, m, p] = [stat.czxid, stat.mzxid, stat.pzxid].map(|zxid| self.zxid(zxid));
        format!(
            "c{c} m{m} p{p} v{} cv{} av{} owner {owner} len {} children {}",
            stat.version, stat.cversion, stat.aversion, stat.data_length, stat.num_children
        )
    }

    fn describe(&self, op: i32, request: &Request, reply: &Reply) -> String {
        let mut seen = format!("{op} {}", self.header(reply));
        if reply.header.err == 0 {
            let mut reader = Reader::new(&reply.body);
            seen.push_str(&match request {
                Request::Multi(_) | Request::MultiRead(_) => self.multi(&mut reader),
                Request::Read { path, .. } | Request::PathOnly { path, .. } if !path.starts_with('~') => {
                    // Shared by all scripts: its children and changes depend on the others.
                    reader = Reader::new(&[]);
                    String::new()
                }
                _ => self.body(op, &mut reader),
            });
            assert_eq!(reader.remaining(), 0, "{seen}");
        } else {
            assert!(reply.body.is_empty());
        }
        seen
    }

    fn multi(&self, reader: &mut Reader<'_>) -> String {
        let mut seen = String::new();
        loop {
            let header: jute::MultiHeader = reader.get().expect("a header");
            seen.push_str(&format!(" [{} {} {}", header.op, header.done, header.err));
            if header.done {
                return seen;
            }
            seen.push_str(&match header.op {
                op_code::ERROR => format!(" {:?}", reader.get::<jute::ErrorReply>().expect("an error")),
                op_code::CHECK => String::new(),
                op => self.body(op, reader),
            });
        }
    }

    fn body(&self, op: i32, reader: &mut Reader<'_>) -> String {
        fn get<T: Jute>(reader: &mut Reader<'_>) -> T {
            reader.get().expect("the body of this reply")
        }
        fn sorted(mut names: Vec<String>) -> Vec<String> {
            names.sort();
            names
        }
        match op {
            op_code::CREATE | op_code::SYNC => format!(" {}", get::<String>(reader)),
            op_code::CREATE2 | op_code::CREATE_CONTAINER | op_code::CREATE_TTL => {
                let jute::Created { path, stat } = get(reader);
                format!(" {path} {}", self.stat(&stat))
            }
            op_code::EXISTS | op_code::SET_DATA | op_code::SET_ACL => format!(" {}", self.stat(&get(reader))),
            op_code::GET_DATA => {
                let jute::Data { data, stat } = get(reader);
                format!(" {data:?} {}", self.stat(&stat))
            }
            op_code::GET_CHILDREN | op_code::GET_EPHEMERALS => format!(" {:?}", sorted(get(reader))),
            op_code::GET_CHILDREN2 => {
                let jute::Children2 { names, stat } = get(reader);
                format!(" {:?} {}", sorted(names), self.stat(&stat))
            }
            op_code::GET_ACL => {
                let jute::AclReply { acl, stat } = get(reader);
                let acl = acl.iter().map(|acl| format!("{}:{}:{}", acl.scheme, acl.id, acl.perms)).collect();
                format!(" {:?} {}", sorted(acl), self.stat(&stat))
            }
            op_code::GET_ALL_CHILDREN_NUMBER | op_code::ADD_WATCH => format!(" {}", get::<i32>(reader)),
            op_code::WHO_AM_I => {
                let clients = get::<jute::WhoAmI>(reader).clients;
                let clients = clients.iter().map(|client| format!("{}:{}", client.scheme, client.user)).collect();
                format!(" {:?}", sorted(clients))
            }
            _ => String::new(),
        }
    }
}

// ---- encoding -------------------------------------------------------------------------------------------------

fn encode(request: &Request, root: &str) -> (i32, Vec<u8>) {
    let in_root = |path: &str| path.replace('~', root);
    let mut out = Vec::new();
    let op = match request {
        Request::Write(write) => return encode_write(write, root),
        Request::Multi(writes) => {
            for write in writes {
                let (op, body) = encode_write(write, root);
                jute::MultiHeader { op, done: false, err: -1 }.write(&mut out);
                out.extend(body);
            }
            jute::MultiHeader { op: -1, done: true, err: -1 }.write(&mut out);
            op_code::MULTI
        }
        Request::MultiRead(reads) => {
            for (op, path) in reads {
                jute::MultiHeader { op: *op, done: false, err: -1 }.write(&mut out);
                jute::PathWatch { path: in_root(path), watch: false }.write(&mut out);
            }
            jute::MultiHeader { op: -1, done: true, err: -1 }.write(&mut out);
            op_code::MULTI_READ
        }
        Request::Read { op, path, watch } => {
            jute::PathWatch { path: in_root(path), watch: *watch }.write(&mut out);
            *op
        }
        Request::PathOnly { op, path } => {
            in_root(path).write(&mut out);
            *op
        }
        Request::SetAcl { path, acl, version } => {
            jute::SetAclRequest { path: in_root(path), acl: acl.clone(), version: *version }.write(&mut out);
            op_code::SET_ACL
        }
        Request::Watch { op, path, mode } => {
            jute::PathMode { path: in_root(path), mode: *mode }.write(&mut out);
            *op
        }
        Request::WhoAmI => op_code::WHO_AM_I,
        Request::Auth(scheme, auth) => {
            let auth = Some(Bytes::from_static(auth.as_bytes()));
            jute::AuthPacket { kind: 0, scheme: (*scheme).into(), auth }.write(&mut out);
            op_code::AUTH
        }
    };
    (op, out)
}

fn encode_write(write: &Write, root: &str) -> (i32, Vec<u8>) {
    let in_root = |path: &str| path.replace('~', root);
    let bytes = |data: &Option<&'static str>| data.map(|data| Bytes::from_static(data.as_bytes()));
    let mut out = Vec::new();
    let op = match write {
        Write::Create { op, path, data, acl, flags } => {
            let (path, acl) = (in_root(path), acl.clone());
            jute::CreateRequest { path, data: bytes(data), acl, flags: *flags }.write(&mut out);
            if *op == op_code::CREATE_TTL {
                1_000i64.write(&mut out);
            }
            *op
        }
        Write::Delete { path, version } => {
            jute::PathVersion { path: in_root(path), version: *version }.write(&mut out);
            op_code::DELETE
        }
        Write::SetData { path, data, version } => {
            jute::SetDataRequest { path: in_root(path), data: bytes(data), version: *version }.write(&mut out);
            op_code::SET_DATA
        }
        Write::Check { path, version } => {
            jute::PathVersion { path: in_root(path), version: *version }.write(&mut out);
            op_code::CHECK
        }
    };
    (op, out)
}
