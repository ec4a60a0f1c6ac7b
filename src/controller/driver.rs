//! The shell of the machine: a task that owns it, carries its effects out, and feeds it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use crate::controller::channel::{self, Channel};
use crate::controller::effect::{Answer, Effect};
use crate::controller::event::{CallId, ControllerState, Input};
use crate::controller::handle::{Command, Handle, Shown};
use crate::controller::io::Settled;
use crate::controller::machine::{Machine, Options};
use crate::ids::{BrokerEpoch, BrokerId, TopicPartition};
use crate::time::{Clock, Millis};
use crate::zk::path;
use crate::zk::remote::{Client, SessionEvent};

/// Registers this broker under `/brokers/ids`, as often as it takes, and gives its new epoch.
pub type Register = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<BrokerEpoch, String>> + Send>> + Send + Sync>;

/// Is told what the controller does; for metrics and for the log of events.
pub trait Observer: Send + Sync {
    /// Work on an event of this kind is done.
    fn worked(&self, _state: ControllerState, _took_ms: Millis) {}
    /// A leader was elected that was not in the ISR.
    fn unclean_election(&self, _partition: &TopicPartition) {}
    /// Shall [`Self::stepped`] be called?
    fn wants_steps(&self) -> bool {
        false
    }
    /// One step of the machine, which the same inputs would repeat.
    fn stepped(&self, _inputs: &[Input], _effects: &[Effect]) {}
}

/// An observer that looks away.
pub struct Unobserved;

impl Observer for Unobserved {}

/// What a controller needs besides its settings.
pub struct Shell {
    pub options: Options,
    /// The session that has registered the broker.
    pub zk: Client,
    /// Registration after the session was lost. The driver asks for the new session itself, once the controller has
    /// resigned.
    pub register: Register,
    pub channel: channel::Options,
    pub clock: Clock,
    pub observer: Arc<dyn Observer>,
}

/// Starts the controller of a registered broker. Must be called within a tokio runtime; the broker must be able to take
/// the controller's requests soon, or they are repeated.
pub fn start(shell: Shell) -> Handle {
    let (commands, inbox) = mpsc::unbounded_channel();
    let shown = Arc::new(Shown::default());
    let handle = Handle::new(commands.clone(), shown.clone());
    let driver = Driver {
        machine: Machine::new(shell.options.clone()),
        events: shell.zk.subscribe(),
        shell,
        // Weak, or the driver would keep itself from seeing that every handle is gone.
        answers: commands.downgrade(),
        inbox,
        shown,
        channels: HashMap::new(),
        calls: HashMap::new(),
        next_call: 0,
        timer: None,
        working: None,
    };
    tokio::spawn(driver.run());
    handle
}

struct Driver {
    machine: Machine,
    shell: Shell,
    answers: mpsc::WeakUnboundedSender<Command>,
    inbox: mpsc::UnboundedReceiver<Command>,
    events: mpsc::UnboundedReceiver<SessionEvent>,
    shown: Arc<Shown>,
    channels: HashMap<BrokerId, Channel>,
    calls: HashMap<CallId, oneshot::Sender<Answer>>,
    next_call: CallId,
    timer: Option<Pin<Box<Sleep>>>,
    working: Option<(ControllerState, Millis)>,
}

impl Driver {
    async fn run(mut self) {
        let mut inputs = vec![Input::Start];
        loop {
            let expired = inputs.iter().any(|input| matches!(input, Input::Expired));
            let wall_ms = self.shell.clock.wall_ms();
            let effects = self.step(wall_ms, std::mem::take(&mut inputs));
            for effect in effects {
                if matches!(effect, Effect::Stopped) {
                    return;
                }
                self.carry_out(effect);
            }
            if expired {
                // Only now: the controller has resigned.
                let zk = self.shell.zk.clone();
                tokio::spawn(async move { zk.new_session().await });
            }
            let queued = self.channels.values().map(Channel::depth).sum();
            self.shown.channel_queue_size.store(queued, Relaxed);
            if !self.gather(&mut inputs).await {
                return;
            }
        }
    }

    fn step(&mut self, wall_ms: Millis, inputs: Vec<Input>) -> Vec<Effect> {
        let seen = self.shell.observer.wants_steps().then(|| inputs.clone());
        let effects = self.machine.step(wall_ms, inputs);
        if let Some(seen) = seen {
            self.shell.observer.stepped(&seen, &effects);
        }
        effects
    }

    /// Waits for inputs and takes all there are; false if nobody can send any more.
    async fn gather(&mut self, inputs: &mut Vec<Input>) -> bool {
        while inputs.is_empty() {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => inputs.extend(of_session(event)),
                    None => return false,
                },
                command = self.inbox.recv() => match command {
                    Some(command) => self.take(command, inputs),
                    None => return false,
                },
                () = ended(&mut self.timer) => {
                    self.timer = None;
                    inputs.push(Input::TimerEnded);
                }
            }
        }
        while let Ok(event) = self.events.try_recv() {
            inputs.extend(of_session(event));
        }
        while let Ok(command) = self.inbox.try_recv() {
            self.take(command, inputs);
        }
        self.shown.queue_size.store(self.inbox.len(), Relaxed);
        true
    }

    fn take(&mut self, command: Command, inputs: &mut Vec<Input>) {
        match command {
            Command::Input(input) => inputs.push(input),
            Command::Call(call, reply) => {
                self.next_call += 1;
                self.calls.insert(self.next_call, reply);
                inputs.push(Input::Call { id: self.next_call, call });
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Zk { id, ops } => {
                let zk = self.shell.zk.clone();
                self.settle(id, async move { Settled::Zk(zk.run_all(ops).await) });
            }
            Effect::Register { id } => {
                let registering = (self.shell.register)();
                self.settle(id, async move { Settled::Registered(registering.await) });
            }
            Effect::OpenChannel(target) => {
                let answers = self.answers.clone();
                let on_answer = move |term, broker, answer| {
                    if let Some(answers) = answers.upgrade() {
                        let _ = answers.send(Command::Input(Input::Response { term, broker, answer }));
                    }
                };
                let id = target.id;
                let channel = Channel::open(target, self.shell.channel.clone(), Arc::new(on_answer));
                self.channels.insert(id, channel);
            }
            Effect::CloseChannel(id) => {
                self.channels.remove(&id);
            }
            Effect::CloseChannels => {
                self.channels.clear();
                // A broker that is not the controller does not look at these.
                self.shell.zk.forget_watches(&WATCHED_BY_CONTROLLER);
            }
            Effect::Send { term, broker, rpc } => {
                if let Some(channel) = self.channels.get(&broker) {
                    channel.send(term, rpc);
                }
            }
            Effect::Answer { id, answer } => {
                if let Some(reply) = self.calls.remove(&id) {
                    // The asker may have gone.
                    let _ = reply.send(answer);
                }
            }
            Effect::StartTimer { after_ms } => {
                let after = Duration::from_millis(u64::try_from(after_ms).unwrap_or(0));
                self.timer = Some(Box::pin(tokio::time::sleep_until(Instant::now() + after)));
            }
            Effect::CancelTimer => self.timer = None,
            Effect::Publish(snapshot) => self.shown.snapshot.store(snapshot),
            Effect::Working(state) => self.working(state),
            Effect::UncleanElection(partition) => self.shell.observer.unclean_election(&partition),
            Effect::Stopped => {}
        }
    }

    /// Starts the work and sees to it that its result comes back. Its first step is taken here, so that requests to
    /// ZooKeeper are handed over in the order of the effects, and none gets into a later session.
    fn settle(&self, id: u64, work: impl Future<Output = Settled> + Send + 'static) {
        let mut work = Box::pin(work);
        let first = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let answers = self.answers.clone();
        let send = move |result| {
            if let Some(answers) = answers.upgrade() {
                let _ = answers.send(Command::Input(Input::Settled { id, result }));
            }
        };
        match first {
            Poll::Ready(result) => send(result),
            Poll::Pending => {
                tokio::spawn(async move { send(work.await) });
            }
        }
    }

    fn working(&mut self, state: ControllerState) {
        let now = self.shell.clock.now_ms();
        if let Some((before, since)) = self.working.take() {
            self.shell.observer.worked(before, now - since);
        }
        if state != ControllerState::Idle {
            self.working = Some((state, now));
        }
        self.shown.state.store(state as u8, Relaxed);
    }
}

/// What only the controller watches. The other watches of its broker, `/controller` first, stay.
const WATCHED_BY_CONTROLLER: [&str; 7] = [
    path::BROKER_IDS,
    path::BROKER_TOPICS,
    path::DELETE_TOPICS,
    path::REASSIGN_PARTITIONS,
    path::PREFERRED_REPLICA_ELECTION,
    path::ISR_CHANGES,
    path::LOG_DIR_EVENTS,
];

fn of_session(event: SessionEvent) -> Option<Input> {
    match event {
        SessionEvent::Watch(fired) => Some(Input::Watch(fired)),
        SessionEvent::Expired => Some(Input::Expired),
        SessionEvent::Established { .. } => Some(Input::Established),
        SessionEvent::AuthFailed => None,
    }
}

async fn ended(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
