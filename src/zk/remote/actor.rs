//! The task that owns a session.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use zookeeper_client as zk;

use super::connect::{self, Pauses};
use super::link::{self, Failure};
use super::{Command, Options, SessionEvent, Shared, State};
use crate::zk::op::{Op, Outcome, Reply, Stat, WatchEvent, ZkError};
use crate::zk::session::{ArmId, Interest, Queue, Watches};

pub(super) struct Actor {
    options: Options,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    queue: Queue<Item>,
    batches: HashMap<u64, Batch>,
    last_batch: u64,
    watches: Watches,
    /// Those who want a new session.
    waiting: Vec<oneshot::Sender<i64>>,
}

/// One call of `run_all`.
struct Batch {
    outcomes: Vec<Outcome>,
    missing: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// One request.
struct Item {
    op: Arc<Op>,
    purpose: Purpose,
}

enum Purpose {
    /// The answer belongs into a batch at this index.
    Answer { batch: u64, index: usize },
    /// Was something missed while the link was down?
    Compare { newest: ArmId, all: bool },
    /// Nobody waits.
    Nothing,
}

struct InFlight {
    item: Item,
    armed: Option<ArmId>,
    request: link::Request,
    sent: Instant,
}

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// A persistent recursive watch of the server.
enum Root {
    Adding(Future<Result<zk::PersistentWatcher, zk::Error>>),
    Watching(Future<(zk::PersistentWatcher, zk::WatchedEvent)>),
    /// The server cannot do it: its one-shot watches are used below this root.
    Refused,
}

/// A client of the crate, until it gives up.
struct Link {
    client: zk::Client,
    state: Future<(zk::StateWatcher, zk::SessionState)>,
    roots: HashMap<String, Root>,
    in_flight: VecDeque<InFlight>,
    fired: mpsc::UnboundedReceiver<WatchEvent>,
    fire: mpsc::UnboundedSender<WatchEvent>,
}

/// Why a link ended.
enum End {
    /// The crate gave up; the server has not necessarily.
    GaveUp,
    Close(Option<oneshot::Sender<()>>),
}

impl Actor {
    pub(super) fn new(options: Options, shared: Arc<Shared>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self {
            options,
            shared,
            commands,
            queue: Queue::default(),
            batches: HashMap::new(),
            last_batch: 0,
            watches: Watches::default(),
            waiting: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, session: zk::Client) {
        let mut link = Link::new(session);
        loop {
            let end = poll_fn(|cx| self.poll(&mut link, cx)).await;
            link = match end {
                End::Close(reply) => {
                    let Link { client, roots, in_flight, .. } = link;
                    drop((roots, in_flight));
                    connect::close(client).await;
                    return self.closed(reply);
                }
                End::GaveUp => match self.reopen(link).await {
                    Ok(link) => link,
                    Err(reply) => return self.closed(reply),
                },
            };
        }
    }

    fn closed(mut self, reply: Option<oneshot::Sender<()>>) {
        self.shared.set_state(State::Closed);
        self.fail_all();
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    /// Everything that can be done now; ready when the link has ended.
    fn poll(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let mut progress = false;
            while let Poll::Ready(command) = self.commands.poll_recv(cx) {
                progress = true;
                match command {
                    Some(Command::Run { ops, reply }) => self.enqueue(ops, reply),
                    Some(Command::Forget { roots }) => self.forget(link, &roots),
                    Some(Command::NewSession { reply }) => {
                        let _ = reply.send(self.shared.session_id.load(Relaxed));
                    }
                    Some(Command::Close { reply }) => return Poll::Ready(End::Close(Some(reply))),
                    None => return Poll::Ready(End::Close(None)),
                }
            }
            progress |= self.poll_watches(link, cx);
            progress |= self.poll_answers(link, cx);
            if let Poll::Ready((states, state)) = link.state.as_mut().poll(cx) {
                progress = true;
                link.state = next_state(states);
                match state {
                    zk::SessionState::Disconnected => {
                        tracing::info!("Disconnected from ZooKeeper");
                        self.shared.set_state(State::Connecting);
                        self.shared.counts.disconnects.fetch_add(1, Relaxed);
                    }
                    zk::SessionState::SyncConnected | zk::SessionState::ConnectedReadOnly => {
                        self.connected();
                        let (paths, newest) = self.watches.snapshot();
                        link.watch_again(&paths, cx);
                        // Of one-shot watches the server itself tells what was missed.
                        let ours = paths.into_iter().filter(|path| !link.refused(path));
                        self.compare(ours, newest, false);
                    }
                    _ => return Poll::Ready(End::GaveUp),
                }
            }
            progress |= self.issue(link, cx);
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn connected(&self) {
        tracing::info!(session = format_args!("{:#x}", self.shared.session_id.load(Relaxed)), "Connected to ZooKeeper");
        self.shared.set_state(State::Connected);
        self.shared.counts.connects.fetch_add(1, Relaxed);
    }

    fn enqueue(&mut self, ops: Vec<Op>, reply: oneshot::Sender<Vec<Outcome>>) {
        self.last_batch += 1;
        let batch = self.last_batch;
        let missing = ops.len();
        if missing == 0 {
            let _ = reply.send(Vec::new());
            return;
        }
        let outcomes = vec![Err(ZkError::SessionExpired); missing];
        self.batches.insert(batch, Batch { outcomes, missing, reply });
        let item = |(index, op): (usize, Op)| Item { op: op.into(), purpose: Purpose::Answer { batch, index } };
        self.queue.push(ops.into_iter().enumerate().map(item).collect());
    }

    fn answer(&mut self, batch: u64, index: usize, outcome: Outcome) {
        let Some(waiting) = self.batches.get_mut(&batch) else { return };
        waiting.outcomes[index] = outcome;
        waiting.missing -= 1;
        if waiting.missing == 0
            && let Some(done) = self.batches.remove(&batch)
        {
            let _ = done.reply.send(done.outcomes);
        }
    }

    /// The session is over: everything that waits ends with SessionExpired, which its outcomes already say.
    fn fail_all(&mut self) {
        self.queue = Queue::default();
        for (_, batch) in self.batches.drain() {
            let _ = batch.reply.send(batch.outcomes);
        }
        self.watches.clear();
    }

    fn forget(&mut self, link: &mut Link, roots: &[String]) {
        for root in roots {
            self.watches.forget_under(root);
        }
        // Dropping a watcher tells the server.
        link.roots.retain(|root, watch| matches!(watch, Root::Refused) || self.watches.any_under(root));
    }

    /// Takes what the server's watches say.
    fn poll_watches(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let mut events = Vec::new();
        while let Poll::Ready(Some(event)) = link.fired.poll_recv(cx) {
            events.push(event);
        }
        link.roots.retain(|root, watch| {
            loop {
                match watch {
                    Root::Refused => return true,
                    Root::Adding(adding) => match adding.as_mut().poll(cx) {
                        Poll::Pending => return true,
                        Poll::Ready(Ok(watcher)) => *watch = Root::Watching(next_event(watcher)),
                        Poll::Ready(Err(error)) => {
                            progress = true;
                            if link::is_lost(&error) {
                                return false;
                            }
                            tracing::debug!(root, %error, "no recursive watch; one-shot watches are used");
                            *watch = Root::Refused;
                            return true;
                        }
                    },
                    Root::Watching(watching) => match watching.as_mut().poll(cx) {
                        Poll::Pending => return true,
                        Poll::Ready((_, event)) if event.session_state.is_terminated() => return false,
                        Poll::Ready((watcher, event)) => {
                            *watch = Root::Watching(next_event(watcher));
                            events.extend(link::from_event(event));
                        }
                    },
                }
                progress = true;
            }
        });
        progress |= !events.is_empty();
        for event in events {
            let fired = self.watches.happened(event);
            self.publish(fired);
        }
        progress
    }

    fn publish(&self, fired: Vec<WatchEvent>) {
        for event in fired {
            tracing::trace!(?event, "watch fired");
            self.shared.publish(SessionEvent::Watch(event));
        }
    }

    /// Takes the answers, which come in the order of the requests.
    fn poll_answers(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(first) = link.in_flight.front_mut() {
            let Poll::Ready(answer) = first.request.as_mut().poll(cx) else { break };
            let Some(request) = link.in_flight.pop_front() else { break };
            progress = true;
            // Events that the server sent before this answer go first.
            self.poll_watches(link, cx);
            self.answered(link, request, answer);
        }
        progress
    }

    fn answered(&mut self, link: &Link, request: InFlight, answer: link::Answer) {
        let InFlight { item, armed, sent, .. } = request;
        let (outcome, watcher) = match answer {
            Ok(answer) => answer,
            Err(Failure::Lost) => return self.queue.give_back(item),
        };
        let counts = &self.shared.counts;
        counts.requests.fetch_add(1, Relaxed);
        counts.request_micros.fetch_add(sent.elapsed().as_micros() as u64, Relaxed);
        if let Some(watcher) = watcher {
            let fire = link.fire.clone();
            tokio::spawn(async move { link::from_event(watcher.changed().await).map(|event| fire.send(event)) });
        }
        if let (Some(id), Some((path, interest))) = (armed, arms(&item.op)) {
            match (&outcome, &*item.op) {
                (Ok(reply), _) => self.watches.armed(path, interest, id, stat_of(reply)),
                (Err(ZkError::NoNode), Op::Exists { .. }) => self.watches.armed(path, interest, id, None),
                (Err(_), _) => self.watches.not_armed(path, interest, id),
            }
        }
        match item.purpose {
            Purpose::Answer { batch, index } => self.answer(batch, index, outcome),
            Purpose::Nothing => {}
            Purpose::Compare { newest, all } => {
                let now = match &outcome {
                    Ok(reply) => stat_of(reply),
                    Err(_) => None,
                };
                if let Op::Exists { path, .. } = &*item.op {
                    let fired = self.watches.compare(path, now, newest, all);
                    self.publish(fired);
                }
            }
        }
    }

    /// After a reconnect: asks for the state of armed paths, to find what was missed.
    fn compare(&mut self, paths: impl Iterator<Item = String>, newest: ArmId, all: bool) {
        let purpose = || Purpose::Compare { newest, all };
        let item = |path| Item { op: Op::Exists { path, watch: false }.into(), purpose: purpose() };
        self.queue.push(paths.map(item).collect());
    }

    /// Sends what may be sent.
    fn issue(&mut self, link: &mut Link, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while link.in_flight.len() < self.options.max_in_flight {
            let Some(item) = self.queue.next() else { break };
            let mut armed = None;
            let mut one_shot = false;
            if let Some((path, interest)) = arms(&item.op) {
                match link.root(path, cx) {
                    // Whether the server can watch recursively is known after one round trip.
                    Root::Adding(_) => {
                        self.queue.put_back(item);
                        break;
                    }
                    Root::Watching(_) => {}
                    // One watch of the server is enough for several reads.
                    Root::Refused => one_shot = !self.watches.is_armed(path, interest),
                }
                armed = Some(self.watches.arm(path, interest));
            }
            let request = link::request(link.client.clone(), item.op.clone(), one_shot);
            let mut request = InFlight { item, armed, request, sent: Instant::now() };
            // The first poll sends; an answer is taken in its turn.
            match request.request.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(answer) => request.request = Box::pin(std::future::ready(answer)),
            }
            link.in_flight.push_back(request);
            progress = true;
        }
        progress
    }

    /// The crate gave up on the session. Opens it again until a server says whether it lives; if not, waits until a new
    /// one is wanted. `Err` if the client is to be closed.
    async fn reopen(&mut self, link: Link) -> Result<Link, Option<oneshot::Sender<()>>> {
        self.shared.set_state(State::Connecting);
        let old = link.client.session().clone();
        for request in link.in_flight {
            self.queue.give_back(request.item);
        }
        drop(link.roots);
        let mut pauses = Pauses::new();
        loop {
            let options = self.options.clone();
            let attempt = connect::attempt(&options, options.servers.chroot(), Some(old.clone()));
            match self.meanwhile(attempt).await? {
                Ok(session) => {
                    tracing::info!(session = %session.session_id(), "the ZooKeeper session lives");
                    self.tell_waiting();
                    return Ok(self.revived(session));
                }
                Err(zk::Error::SessionExpired) => break,
                Err(zk::Error::AuthFailed) => self.auth_failed(),
                Err(error) => tracing::debug!(%error, "no ZooKeeper server answers"),
            }
            self.meanwhile(pauses.pause()).await?;
        }
        tracing::warn!(session = %old.id(), "Session expired");
        self.shared.set_state(State::Expired);
        self.shared.counts.expires.fetch_add(1, Relaxed);
        self.fail_all();
        self.shared.publish(SessionEvent::Expired);
        self.until_wanted().await?;
        let options = self.options.clone();
        let session = loop {
            let connected = connect::connected(&options, options.servers.chroot());
            match self.meanwhile(connected).await? {
                Some(session) => break session,
                None => self.auth_failed(),
            }
            self.meanwhile(pauses.pause()).await?;
        };
        let session_id = session.session_id().0;
        self.shared.session_id.store(session_id, Relaxed);
        self.shared.session_timeout_ms.store(session.session_timeout().as_millis() as u64, Relaxed);
        self.connected();
        self.shared.publish(SessionEvent::Established { session_id });
        self.tell_waiting();
        Ok(Link::new(session))
    }

    fn tell_waiting(&mut self) {
        let session_id = self.shared.session_id.load(Relaxed);
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(session_id);
        }
    }

    fn revived(&mut self, session: zk::Client) -> Link {
        self.connected();
        let link = Link::new(session);
        // The crate has forgotten how far this session had read: without a sync, another server could show the past.
        let sync = Item { op: Op::Sync { path: "/".into() }.into(), purpose: Purpose::Nothing };
        self.queue.put_back(sync);
        // The server's watches went with the old link: fire all, so that their owners arm them again.
        let (paths, newest) = self.watches.snapshot();
        self.compare(paths.into_iter(), newest, true);
        link
    }

    fn auth_failed(&self) {
        tracing::error!("ZooKeeper refuses our authentication");
        self.shared.set_state(State::AuthFailed);
        self.shared.counts.auth_failures.fetch_add(1, Relaxed);
        self.shared.publish(SessionEvent::AuthFailed);
    }

    /// Does `work` while requests are only queued. `Err` if the client is to be closed.
    async fn meanwhile<T>(
        &mut self,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, Option<oneshot::Sender<()>>> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                command = self.commands.recv() => match command {
                    Some(Command::Run { ops, reply }) => self.enqueue(ops, reply),
                    Some(Command::Forget { roots }) => roots.iter().for_each(|root| self.watches.forget_under(root)),
                    Some(Command::NewSession { reply }) => self.waiting.push(reply),
                    Some(Command::Close { reply }) => return Err(Some(reply)),
                    None => return Err(None),
                },
            }
        }
    }

    /// After expiry: refuses everything until a new session is wanted.
    async fn until_wanted(&mut self) -> Result<(), Option<oneshot::Sender<()>>> {
        while self.waiting.is_empty() {
            match self.commands.recv().await {
                Some(Command::Run { ops, reply }) => {
                    let _ = reply.send(vec![Err(ZkError::SessionExpired); ops.len()]);
                }
                Some(Command::Forget { .. }) => {}
                Some(Command::NewSession { reply }) => self.waiting.push(reply),
                Some(Command::Close { reply }) => return Err(Some(reply)),
                None => return Err(None),
            }
        }
        Ok(())
    }
}

impl Link {
    fn new(client: zk::Client) -> Self {
        let (fire, fired) = mpsc::unbounded_channel();
        let state = next_state(client.state_watcher());
        Self { client, state, roots: HashMap::new(), in_flight: VecDeque::new(), fired, fire }
    }

    /// The watch that covers `path`, asked for now if there is none.
    fn root(&mut self, path: &str, cx: &mut Context<'_>) -> &Root {
        let root = root_of(path);
        if !self.roots.contains_key(root) {
            let watch = self.add_watch(root.to_owned(), cx);
            self.roots.insert(root.to_owned(), watch);
        }
        &self.roots[root]
    }

    /// Asks for a recursive watch. The request is sent now, so it comes before whatever is sent later.
    fn add_watch(&self, root: String, cx: &mut Context<'_>) -> Root {
        let client = self.client.clone();
        let mut adding: Future<_> =
            Box::pin(async move { client.watch(&root, zk::AddWatchMode::PersistentRecursive).await });
        match adding.as_mut().poll(cx) {
            Poll::Pending => Root::Adding(adding),
            Poll::Ready(result) => Root::Adding(Box::pin(std::future::ready(result))),
        }
    }

    /// After a reconnect: asks for all recursive watches again, because the crate does not (it sends SetWatches, which
    /// has no place for them, where it should send SetWatches2).
    fn watch_again(&mut self, armed: &[String], cx: &mut Context<'_>) {
        let mut roots: BTreeSet<String> = armed.iter().map(|path| root_of(path).to_owned()).collect();
        roots.extend(self.roots.keys().cloned());
        roots.retain(|root| !self.refused(root));
        for root in roots {
            // The old watcher goes first, so that what its end sends cannot end the new one.
            self.roots.remove(&root);
            let watch = self.add_watch(root.clone(), cx);
            self.roots.insert(root, watch);
        }
    }

    fn refused(&self, path: &str) -> bool {
        matches!(self.roots.get(root_of(path)), Some(Root::Refused))
    }
}

/// Few watches for all paths: one for `/brokers/topics` and all below it, one for `/admin`, and so on.
fn root_of(path: &str) -> &str {
    let parts = if path.starts_with("/brokers/") || path.starts_with("/config/") { 2 } else { 1 };
    match path.match_indices('/').nth(parts) {
        Some((slash, _)) => &path[..slash],
        None => path,
    }
}

/// The path and interest of a read that arms a watch.
fn arms(op: &Op) -> Option<(&str, Interest)> {
    match op {
        Op::Exists { path, watch: true } | Op::GetData { path, watch: true } => Some((path, Interest::Node)),
        Op::GetChildren { path, watch: true } => Some((path, Interest::Children)),
        _ => None,
    }
}

fn stat_of(reply: &Reply) -> Option<&Stat> {
    match reply {
        Reply::Exists { stat } | Reply::Data { stat, .. } | Reply::Children { stat, .. } => Some(stat),
        _ => None,
    }
}

fn next_state(mut states: zk::StateWatcher) -> Future<(zk::StateWatcher, zk::SessionState)> {
    Box::pin(async move {
        let state = states.changed().await;
        (states, state)
    })
}

fn next_event(mut watcher: zk::PersistentWatcher) -> Future<(zk::PersistentWatcher, zk::WatchedEvent)> {
    Box::pin(async move {
        let event = watcher.changed().await;
        (watcher, event)
    })
}
