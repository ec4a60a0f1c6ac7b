//! The coroutine's plumbing: a mailbox between `step` and the handlers.
//!
//! There is one task and one thing it can wait for at a time: the next event, or the replies of the batch it sent last.
//! So no waker is needed, and no combinator; a handler is resumed by the poll in the `step` that brought its replies.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use crate::controller::effect::Effect;
use crate::controller::event::{Event, Input};
use crate::ids::{BrokerEpoch, Uuid};
use crate::time::Millis;
use crate::zk::op::{Op, Outcome, ZkError};

/// The answer to an effect that has one.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Outcomes of the operations of a batch, one each.
    Zk(Vec<Outcome>),
    /// The epoch of this broker's registration.
    Registered(Result<BrokerEpoch, String>),
}

/// Why a handler could not go on.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub(super) enum Fail {
    /// The fence of a write did not hold: another controller has been elected.
    #[error("the controller has moved to another broker")]
    Moved,
    /// Everything the handler knows is void.
    #[error("the ZooKeeper session has expired")]
    SessionExpired,
    #[error("{path}: {error}")]
    Zk { path: String, error: ZkError },
    #[error("{0}")]
    Other(String),
}

/// The handlers' end.
#[derive(Clone)]
pub(super) struct Io(Arc<Mutex<Mailbox>>);

struct Mailbox {
    wall_ms: Millis,
    random: u64,
    events: VecDeque<Event>,
    effects: Vec<Effect>,
    next_id: u64,
    waiting: Option<Waiting>,
    /// Counts the sessions: one that ended makes all waits of the handler that saw it fail.
    session: u64,
    session_alive: bool,
    /// The session that the running handler works in.
    handler_session: u64,
}

struct Waiting {
    id: u64,
    ops: usize,
    result: Option<Settled>,
}

impl Io {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Mailbox {
            wall_ms: 0,
            random: seed,
            events: VecDeque::new(),
            effects: Vec::new(),
            next_id: 0,
            waiting: None,
            session: 0,
            session_alive: true,
            handler_session: 0,
        })))
    }

    /// Takes an input in. Calls that an expiry or a shutdown throws away are returned: they must be answered.
    pub fn deliver(&self, input: Input) -> Vec<Event> {
        let mut mailbox = self.0.lock();
        let event = match input {
            Input::Start => Event::Startup,
            Input::Settled { id, result } => {
                mailbox.settle(id, result);
                return Vec::new();
            }
            Input::Watch(fired) => match Event::of_watch(&fired) {
                Some(event) => event,
                None => return Vec::new(),
            },
            Input::Expired => {
                mailbox.session += 1;
                mailbox.session_alive = false;
                return mailbox.preempt(Event::Expire);
            }
            Input::Established => {
                mailbox.session_alive = true;
                Event::RegisterBrokerAndReelect
            }
            Input::Response { term, broker, answer } => Event::Response { term, broker, answer },
            Input::TimerEnded => Event::AutoPreferredReplicaLeaderElection,
            Input::Call { id, call } => Event::Call { id, call },
            Input::UncleanElection { topic, enabled } => Event::UncleanLeaderElection { topic, enabled },
            Input::Shutdown => return mailbox.preempt(Event::Shutdown),
        };
        mailbox.events.push_back(event);
        Vec::new()
    }

    /// Sets the calendar time, which only JSON needs.
    pub fn set_wall_ms(&self, wall_ms: Millis) {
        self.0.lock().wall_ms = wall_ms;
    }

    pub fn wall_ms(&self) -> Millis {
        self.0.lock().wall_ms
    }

    /// A topic id: random, and the same for the same seed.
    pub fn random_topic_id(&self) -> Uuid {
        let mut mailbox = self.0.lock();
        loop {
            let bytes = [mailbox.random(), mailbox.random()].map(u64::to_be_bytes).concat();
            let bytes = bytes.try_into().expect("two times eight bytes");
            if let Some(id) = Uuid::from_random(bytes) {
                return id;
            }
        }
    }

    pub fn take_effects(&self) -> Vec<Effect> {
        std::mem::take(&mut self.0.lock().effects)
    }

    pub fn emit(&self, effect: Effect) {
        self.0.lock().effects.push(effect);
    }

    /// Puts an event behind those that wait.
    pub fn enqueue(&self, event: Event) {
        self.0.lock().events.push_back(event);
    }

    /// The next event; the caller is done with the one before.
    pub async fn next_event(&self) -> Event {
        poll_fn(|_| {
            let mut mailbox = self.0.lock();
            mailbox.handler_session = mailbox.session;
            mailbox.events.pop_front().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Runs the operations, in order and pipelined, and waits for all outcomes.
    pub async fn zk_all(&self, ops: Vec<Op>) -> Result<Vec<Outcome>, Fail> {
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let count = ops.len();
        match self.ask(count, |id| Effect::Zk { id, ops }).await? {
            Settled::Zk(outcomes) if outcomes.contains(&Err(ZkError::SessionExpired)) => Err(Fail::SessionExpired),
            Settled::Zk(outcomes) => Ok(outcomes),
            Settled::Registered(_) => Err(Fail::Other("a registration answered a batch".into())),
        }
    }

    /// Runs one operation.
    pub async fn zk(&self, op: Op) -> Result<Outcome, Fail> {
        let mut outcomes = self.zk_all(vec![op]).await?;
        Ok(outcomes.pop().expect("one outcome for one operation"))
    }

    /// Registers this broker.
    pub async fn register(&self) -> Result<BrokerEpoch, Fail> {
        match self.ask(0, |id| Effect::Register { id }).await? {
            Settled::Registered(result) => result.map_err(Fail::Other),
            Settled::Zk(_) => Err(Fail::Other("a batch answered a registration".into())),
        }
    }

    async fn ask(&self, ops: usize, effect: impl FnOnce(u64) -> Effect) -> Result<Settled, Fail> {
        {
            let mut mailbox = self.0.lock();
            if mailbox.expired() {
                return Err(Fail::SessionExpired);
            }
            mailbox.next_id += 1;
            let id = mailbox.next_id;
            mailbox.waiting = Some(Waiting { id, ops, result: None });
            mailbox.effects.push(effect(id));
        }
        poll_fn(|_| {
            let mut mailbox = self.0.lock();
            if mailbox.expired() {
                mailbox.waiting = None;
                return Poll::Ready(Err(Fail::SessionExpired));
            }
            match mailbox.waiting.as_mut().and_then(|waiting| waiting.result.take()) {
                Some(result) => Poll::Ready(Ok(result)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Mailbox {
    fn expired(&self) -> bool {
        !self.session_alive || self.handler_session != self.session
    }

    fn settle(&mut self, id: u64, result: Settled) {
        let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.id == id) else { return };
        if let Settled::Zk(outcomes) = &result {
            assert_eq!(outcomes.len(), waiting.ops, "a batch has one outcome per operation");
        }
        waiting.result = Some(result);
    }

    fn preempt(&mut self, event: Event) -> Vec<Event> {
        let dropped: Vec<Event> = self.events.drain(..).collect();
        self.events.push_back(event);
        // A broker that stops stays on its way even if its session ends meanwhile.
        if dropped.iter().any(|event| matches!(event, Event::Shutdown)) {
            self.events.push_back(Event::Shutdown);
        }
        dropped
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
