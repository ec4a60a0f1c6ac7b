//! The embedded server: ZooKeeper's wire protocol over TCP around the pure [`Model`].
//!
//! For `quickstart`, for development and for tests: Kafka brokers, ZooKeeper's own shell and other clients can
//! connect to it. It is **neither replicated nor durable**: all nodes live in memory and end with the process. What
//! it logs at its start says so.

mod connection;
pub mod dispatch;
mod words;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::model::{Events, Model, SessionId, SessionInfo};
use crate::limits;
use crate::time::Clock;
use connection::Link;

/// How the server behaves; the defaults are ZooKeeper's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sessions time out after at least 2 and at most 20 ticks of this length, whatever clients ask for.
    pub tick_ms: i32,
    /// Longer packets end the connection (`jute.maxbuffer`).
    pub max_packet_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tick_ms: 2_000, max_packet_bytes: limits::ZK_PACKET_BYTES }
    }
}

/// A running embedded server. Dropping it does not stop it; [`Server::shutdown`] does.
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on `bind` (port 0: the system chooses one) with ZooKeeper's default options.
    pub async fn start(bind: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start_with(bind, Options::default()).await
    }

    /// Listens on `bind`.
    pub async fn start_with(bind: impl ToSocketAddrs, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let addr = listener.local_addr()?;
        info!(%addr, "embedded ZooKeeper listens: NOT replicated, NOT durable, all znodes end with this process");
        if !addr.ip().is_loopback() {
            warn!(%addr, "embedded ZooKeeper can be reached from other machines, and it authenticates nobody");
        }
        let shared = Arc::new(Shared::new(addr, options));
        shared.tasks.spawn(accept(listener, shared.clone()));
        shared.tasks.spawn(expire(shared.clone()));
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// For `zookeeper.connect`.
    pub fn connect_string(&self) -> String {
        self.addr.to_string()
    }

    /// Stops listening, cuts all connections and waits until everything has ended.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    // ---- for tests and fault injection ----------------------------------------------------------------------

    /// The living sessions.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.shared.state.lock().model.sessions()
    }

    /// Ends a session as if its time were over.
    pub fn expire_session(&self, session: SessionId) {
        let mut state = self.shared.state.lock();
        let events = state.model.close_session(session);
        state.deliver(&events);
        state.cut(session);
    }

    /// Cuts a session's connection; the session itself lives on.
    pub fn disconnect_session(&self, session: SessionId) {
        self.shared.state.lock().cut(session);
    }

    /// Cuts all connections; the sessions live on.
    pub fn disconnect_all(&self) {
        let mut state = self.shared.state.lock();
        for session in state.links.keys().copied().collect::<Vec<_>>() {
            state.cut(session);
        }
    }

    /// While false, new connections are closed at once.
    pub fn set_accepting(&self, accepting: bool) {
        self.shared.accepting.store(accepting, Ordering::Relaxed);
    }

    /// Looks at the model.
    pub fn inspect<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.shared.state.lock().model)
    }
}

/// What all connections share.
struct Shared {
    addr: SocketAddr,
    options: Options,
    clock: Clock,
    state: Mutex<State>,
    /// A session was opened that may expire before all others.
    session_opened: Notify,
    accepting: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The model, and where its sessions are connected. One lock around both: events and replies are put into the
/// queues of the connections in the order in which the model made them.
struct State {
    model: Model,
    links: HashMap<SessionId, Arc<Link>>,
    traffic: words::Traffic,
}

impl Shared {
    fn new(addr: SocketAddr, options: Options) -> Self {
        let clock = Clock;
        let wall_ms = clock.wall_ms();
        // Ahead of everything that clients of an earlier life of this server have seen, else they could not connect.
        let last_zxid = wall_ms.saturating_mul(1_000);
        // Unlike all ids given before: server number 1 and the time, as ZooKeeper does.
        let first_session = (1 << 56) | ((wall_ms << 16) & 0x00ff_ffff_ffff_ffff);
        let state = State {
            model: Model::new(last_zxid, first_session),
            links: HashMap::new(),
            traffic: words::Traffic::default(),
        };
        Self {
            addr,
            options,
            clock,
            state: Mutex::new(state),
            session_opened: Notify::new(),
            accepting: AtomicBool::new(true),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

impl State {
    fn deliver(&mut self, events: &Events) {
        for (session, event) in events {
            if let Some(link) = self.links.get(session) {
                self.traffic.sent += 1;
                link.send(dispatch::event_packet(event));
            }
        }
    }

    /// Cuts the session's connection, if it has one.
    fn cut(&mut self, session: SessionId) {
        if let Some(link) = self.links.remove(&session) {
            self.model.disconnect(session);
            link.cut();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) if shared.accepting.load(Ordering::Relaxed) => {
                shared.tasks.spawn(connection::serve(stream, peer, shared.clone()));
            }
            Ok(_) => {}
            Err(error) => {
                // Mostly "too many open files": it will not help to ask again at once.
                warn!(%error, "embedded ZooKeeper cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Ends sessions when their time is over.
async fn expire(shared: Arc<Shared>) {
    /// Containers are looked after at least this often.
    const LONGEST_SLEEP_MS: i64 = 10_000;
    loop {
        let sleep_ms = {
            let mut state = shared.state.lock();
            let now_ms = shared.clock.now_ms();
            let (expired, events) = state.model.tick(now_ms);
            state.deliver(&events);
            for session in expired {
                info!(%session, "session expired");
                state.cut(session);
            }
            let next_ms = state.model.next_expiry().map_or(LONGEST_SLEEP_MS, |expiry_ms| expiry_ms - now_ms);
            next_ms.clamp(1, LONGEST_SLEEP_MS) as u64
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(sleep_ms)) => {}
            () = shared.session_opened.notified() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}
