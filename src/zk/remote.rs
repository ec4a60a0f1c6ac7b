//! A real ensemble behind the vocabulary of [`crate::zk::op`], through the crate zookeeper-client.
//!
//! What is added to the crate, and why:
//! - **Requests** wait in one [`Queue`](super::session::Queue) and at most `zookeeper.max.in.flight.requests` are with
//!   the server; the crate's own queue has no bound. A request whose answer is lost with the link is sent again, as in
//!   `kafka.zk.KafkaZkClient`; so it may be applied twice, or report the success of its own first try as an error.
//! - **Watches** are one-shot for the caller, but the server holds only a few persistent recursive ones, because the
//!   crate cannot restore more than 128 KiB of watched paths after a reconnect. After a reconnect these few are asked
//!   for again (which the crate forgets), every armed path is compared with the server (`exists`), and what changed in
//!   between fires. Servers before 3.6 get one-shot watches.
//! - **Expiry** is only what a server says. The crate also declares it by its own clock; then the session is opened
//!   again with its id and password until a server answers.
//! - A node without data cannot be written: the crate sends an empty text for `None`. Reading gives `None` for both.
//!
//! A task owns the session; [`Client`] is a handle to it. Order of events and answers: an event is delivered before the
//! answer to any request that the server answered later (servers from 3.6 on).

mod actor;
pub mod calls;
mod connect;
mod link;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub use super::session::SessionEvent;
pub use connect::{ConnectError, ConnectString, InvalidConnectString};

use super::op::{Op, Outcome, ZkError};

/// How to reach the ensemble.
#[derive(Clone, Debug)]
pub struct Options {
    /// `zookeeper.connect`.
    pub servers: ConnectString,
    /// `zookeeper.session.timeout.ms`; the server may choose another.
    pub session_timeout_ms: u32,
    /// `zookeeper.connection.timeout.ms`: for the first connection only; later ones are waited for without limit.
    pub connection_timeout_ms: u32,
    /// `zookeeper.max.in.flight.requests`.
    pub max_in_flight: usize,
    /// Create a missing chroot, as a broker does; without it the chroot must exist.
    pub create_chroot: bool,
}

impl Options {
    /// Kafka's defaults.
    pub fn new(servers: ConnectString) -> Self {
        Self {
            servers,
            session_timeout_ms: 18_000,
            connection_timeout_ms: 18_000,
            max_in_flight: 10,
            create_chroot: true,
        }
    }
}

/// State of the session, as `SessionExpireListener.SessionState` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    Connecting,
    Connected,
    Expired,
    AuthFailed,
    Closed,
}

impl State {
    /// Kafka's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Expired => "EXPIRED",
            Self::AuthFailed => "AUTH_FAILED",
            Self::Closed => "CLOSED",
        }
    }
}

/// Counts for the metrics of `SessionExpireListener` and `ZooKeeperClientMetrics`; they only grow.
#[derive(Debug, Default)]
pub struct Counts {
    pub disconnects: AtomicU64,
    pub connects: AtomicU64,
    pub expires: AtomicU64,
    pub auth_failures: AtomicU64,
    /// Answered requests, and the time from sending to answer of all of them.
    pub requests: AtomicU64,
    pub request_micros: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    session_id: AtomicI64,
    session_timeout_ms: AtomicU64,
    state: AtomicU8,
    counts: Counts,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<SessionEvent>>>,
}

impl Shared {
    fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    fn publish(&self, event: SessionEvent) {
        self.subscribers.lock().retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }
}

enum Command {
    Run { ops: Vec<Op>, reply: oneshot::Sender<Vec<Outcome>> },
    Forget { roots: Vec<String> },
    NewSession { reply: oneshot::Sender<i64> },
    Close { reply: oneshot::Sender<()> },
}

/// A session with an ensemble; clones share it. The session is closed by [`Client::close`] or when the last clone is
/// dropped.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Client {
    /// Opens a session; must be called within a tokio runtime. The receiver gets every [`SessionEvent`] from now on.
    pub async fn connect(options: Options) -> Result<(Client, mpsc::UnboundedReceiver<SessionEvent>), ConnectError> {
        let session = connect::first_session(&options).await?;
        let (sender, commands) = mpsc::unbounded_channel();
        let (subscriber, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            session_id: AtomicI64::new(session.session_id().0),
            session_timeout_ms: AtomicU64::new(session.session_timeout().as_millis() as u64),
            state: AtomicU8::new(State::Connected as u8),
            counts: Counts { connects: AtomicU64::new(1), ..Counts::default() },
            subscribers: Mutex::new(vec![subscriber]),
        });
        tokio::spawn(actor::Actor::new(options, shared.clone(), commands).run(session));
        Ok((Client { shared, commands: sender }, events))
    }

    /// Runs one operation. Waits as long as the link is down; fails with [`ZkError::SessionExpired`] once the session
    /// is over.
    pub async fn run(&self, op: Op) -> Outcome {
        self.run_all(vec![op]).await.pop().unwrap_or(Err(ZkError::SessionExpired))
    }

    /// Runs operations back to back, without waiting for one answer before the next is sent; the server applies them
    /// in order. Answers are in the order of `ops`. Dropping the future does not stop them.
    pub async fn run_all(&self, ops: Vec<Op>) -> Vec<Outcome> {
        let count = ops.len();
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Run { ops, reply }).is_ok();
        match answer.await {
            Ok(outcomes) if sent => outcomes,
            _ => vec![Err(ZkError::SessionExpired); count],
        }
    }

    /// Another receiver of every [`SessionEvent`] from now on.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<SessionEvent> {
        let (subscriber, events) = mpsc::unbounded_channel();
        self.shared.subscribers.lock().push(subscriber);
        events
    }

    /// After [`SessionEvent::Expired`]: opens a new session, however long it takes, and returns its id, after
    /// [`SessionEvent::Established`]. Requests made meanwhile wait for it. With a session alive: returns its id.
    pub async fn new_session(&self) -> i64 {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::NewSession { reply });
        answer.await.unwrap_or_else(|_| self.session_id())
    }

    /// Disarms the watches on these paths and everything below them, without events. A controller that resigns so
    /// spares itself, and the server, the changes that it does not want to see any more.
    pub fn forget_watches(&self, roots: &[&str]) {
        let roots = roots.iter().map(|&root| root.to_owned()).collect();
        let _ = self.commands.send(Command::Forget { roots });
    }

    /// Ends the session; its ephemeral nodes go at once. Later requests end with [`ZkError::SessionExpired`].
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Close { reply });
        let _ = answer.await;
    }

    /// Id of the current (or expired) session.
    pub fn session_id(&self) -> i64 {
        self.shared.session_id.load(Relaxed)
    }

    /// The session time-out that the server granted.
    pub fn session_timeout_ms(&self) -> u64 {
        self.shared.session_timeout_ms.load(Relaxed)
    }

    pub fn state(&self) -> State {
        let state = self.shared.state.load(Relaxed);
        [State::Connecting, State::Connected, State::Expired, State::AuthFailed]
            .into_iter()
            .find(|&known| known as u8 == state)
            .unwrap_or(State::Closed)
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}
