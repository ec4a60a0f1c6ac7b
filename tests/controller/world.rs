//! A cluster in one process: several controllers, the ZooKeeper model between them, and brokers that only answer.
//! Everything happens in one order that is the same each time; what matters is written down in short lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas::controller::batch::{Answered, Rpc};
use barnabas::controller::effect::Effect;
use barnabas::controller::event::CallId;
use barnabas::controller::{Answer, Call, Input, Machine, Options, Settled, Snapshot};
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerEpoch, BrokerId, ControllerEpoch, PartitionEpoch, TopicPartition, ZkVersion};
use barnabas::wire::messages::leader_and_isr::{self, LeaderAndIsrPartitionError, LeaderAndIsrTopicError};
use barnabas::wire::messages::stop_replica::{self, StopReplicaPartitionError};
use barnabas::wire::messages::update_metadata;
use barnabas::zk::data::{BrokerRegistration, Data, Endpoint, PartitionState};
use barnabas::zk::model::{Events, Model, SessionId};
use barnabas::zk::op::{Acl, CreateMode, Op, Outcome, Reply, Write, ZkError};
use barnabas::zk::path;

const WALL_MS: i64 = 1_700_000_000_000;

/// A process with a controller.
pub struct Node {
    machine: Machine,
    pub session: SessionId,
    inbox: VecDeque<Input>,
    /// Operations under way: id of the batch, what is to be done, what is done.
    zk: Option<(u64, VecDeque<Op>, Vec<Outcome>)>,
    channels: BTreeMap<BrokerId, BrokerEpoch>,
    pub paused: bool,
    pub snapshot: Snapshot,
    pub timer_ms: Option<i64>,
    pub broker_epoch: BrokerEpoch,
}

/// What a broker does with the controller's requests.
#[derive(Default)]
pub struct Receiver {
    muted: bool,
    offline: BTreeSet<TopicPartition>,
    /// Leader and leader epoch of each replica that it was told to have.
    pub hosted: BTreeMap<TopicPartition, (i32, i32)>,
    /// Leader of each partition, as last heard by UpdateMetadata.
    pub heard: BTreeMap<TopicPartition, i32>,
    /// Highest controller epoch seen.
    term: i32,
}

/// See the module.
pub struct World {
    pub model: Model,
    /// Session of tools and request handlers.
    admin: SessionId,
    pub nodes: BTreeMap<i32, Node>,
    pub receivers: BTreeMap<i32, Receiver>,
    /// Requests that were not answered yet: sender, term, receiver.
    unanswered: Vec<(i32, ControllerEpoch, BrokerId, Rpc)>,
    pub log: Vec<String>,
    pub answers: BTreeMap<CallId, Answer>,
    next_call: CallId,
    /// Writes that will be applied twice, because their first reply is lost: counts down.
    pub lose_reply_in: Option<usize>,
    pub show_reads: bool,
    /// Every request to ZooKeeper, in the notation of the recorded traces.
    pub requests: Vec<(i32, String)>,
    pub options: fn(i32) -> Options,
}

impl World {
    pub fn new() -> Self {
        let mut model = Model::new(0, 100);
        let admin = model.open_session([0; 16], 1_000_000, None, 0);
        let mut world = Self {
            model,
            admin,
            nodes: BTreeMap::new(),
            receivers: BTreeMap::new(),
            unanswered: Vec::new(),
            log: Vec::new(),
            answers: BTreeMap::new(),
            next_call: 0,
            lose_reply_in: None,
            show_reads: false,
            requests: Vec::new(),
            options: |id| Options::new(BrokerId(id), 7),
        };
        for path in path::PERSISTENT {
            let mut parents = vec![path];
            while let Some(parent) = path::parent(parents[parents.len() - 1]).filter(|parent| *parent != "/") {
                parents.push(parent);
            }
            for path in parents.into_iter().rev() {
                let _ = world.try_write(create(path, None));
            }
        }
        world
    }

    // ---- the tools' side ------------------------------------------------------------------------------------

    /// A write of somebody who is no controller; fails the test if it fails.
    pub fn write(&mut self, write: Write) {
        let text = format!("{write:?}");
        if let Err(error) = self.try_write(write) {
            panic!("{text}: {error}");
        }
    }

    pub fn try_write(&mut self, write: Write) -> Outcome {
        let (outcome, events) = self.model.apply(self.admin, Op::Write(write), WALL_MS);
        self.deliver(events);
        outcome
    }

    pub fn data(&self, path: &str) -> Option<String> {
        let (data, ..) = self.model.inspect(path)?;
        Some(String::from_utf8_lossy(&data.unwrap_or_default()).into_owned())
    }

    pub fn set(&mut self, path: &str, data: impl Into<bytes::Bytes>) {
        self.write(Write::SetData { path: path.into(), data: Some(data.into()), version: ZkVersion::NONE });
    }

    // ---- processes ------------------------------------------------------------------------------------------

    /// Starts a broker's process: session, registration, controller.
    pub fn start(&mut self, id: i32) {
        let session = self.model.open_session([1; 16], 6_000, None, 0);
        let node = Node {
            machine: Machine::new((self.options)(id)),
            session,
            inbox: VecDeque::from([Input::Start]),
            zk: None,
            channels: BTreeMap::new(),
            paused: false,
            snapshot: Snapshot::default(),
            timer_ms: None,
            broker_epoch: BrokerEpoch::NONE,
        };
        self.nodes.insert(id, node);
        self.receivers.insert(id, Receiver::default());
        self.register(id).expect("registered");
        self.retry_unanswered();
    }

    fn register(&mut self, id: i32) -> Result<BrokerEpoch, String> {
        let registration = BrokerRegistration {
            version: 5,
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: format!("host{id}"),
                port: 9092,
                protocol: "PLAINTEXT".into(),
            }],
            rack: None,
            jmx_port: -1,
            timestamp_ms: WALL_MS,
            features: BTreeMap::new(),
        };
        let path = path::broker(BrokerId(id));
        let session = self.nodes[&id].session;
        let create =
            Write::Create { path, data: Some(registration.encode()), mode: CreateMode::Ephemeral, acl: Acl::open() };
        let (outcome, events) = self.model.apply(session, Op::Write(create), WALL_MS);
        self.deliver(events);
        outcome.map_err(|error| error.to_string())?;
        let epoch = BrokerEpoch(self.model.last_zxid());
        self.nodes.get_mut(&id).expect("a node").broker_epoch = epoch;
        Ok(epoch)
    }

    /// The process dies and its session ends.
    pub fn kill(&mut self, id: i32) {
        let node = self.nodes.remove(&id).expect("a node");
        self.receivers.remove(&id);
        self.unanswered.retain(|(from, ..)| *from != id);
        let events = self.model.close_session(node.session);
        self.deliver(events);
    }

    /// The server ends the session; the process does not know yet.
    pub fn end_session(&mut self, id: i32) {
        let events = self.model.close_session(self.nodes[&id].session);
        self.deliver(events);
    }

    /// The process learns that its session has ended, and gets a new one.
    pub fn learn_expiry(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).expect("a node");
        // What is with the old session ends with it.
        if let Some((batch, todo, mut done)) = node.zk.take() {
            done.extend(todo.iter().map(|_| Err(ZkError::SessionExpired)));
            node.inbox.push_back(Input::Settled { id: batch, result: Settled::Zk(done) });
        }
        node.inbox.retain(|input| !matches!(input, Input::Watch(_)));
        node.inbox.push_back(Input::Expired);
        self.step(id);
        let session = self.model.open_session([2; 16], 6_000, None, 0);
        let node = self.nodes.get_mut(&id).expect("a node");
        node.session = session;
        node.inbox.push_back(Input::Established);
    }

    pub fn mute(&mut self, id: i32, muted: bool) {
        self.receivers.entry(id).or_default().muted = muted;
        self.retry_unanswered();
    }

    /// These replicas of a broker lie in a directory that has failed.
    pub fn fail_dir(&mut self, id: i32, partition: TopicPartition) {
        self.receivers.entry(id).or_default().offline.insert(partition);
    }

    pub fn input(&mut self, id: i32, input: Input) {
        self.nodes.get_mut(&id).expect("a node").inbox.push_back(input);
    }

    /// The node that believes to be the controller, the newest term first.
    pub fn controller(&self) -> Option<i32> {
        let active = self.nodes.iter().filter(|(_, node)| node.snapshot.active);
        active.max_by_key(|(_, node)| node.snapshot.epoch).map(|(id, _)| *id)
    }

    pub fn call(&mut self, to: i32, call: Call) -> CallId {
        self.next_call += 1;
        self.input(to, Input::Call { id: self.next_call, call });
        self.next_call
    }

    // ---- time -----------------------------------------------------------------------------------------------

    /// Goes on until nothing is left to do: in each round every process takes its inputs, or else does one operation.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let ids: Vec<i32> = self.nodes.keys().copied().collect();
            let mut idle = true;
            for id in ids {
                idle &= !self.advance(id);
            }
            if idle {
                return;
            }
        }
        panic!("the cluster does not come to rest: {:#?}", &self.log[self.log.len().saturating_sub(30)..]);
    }

    /// One turn of one process; false if it has nothing to do.
    pub fn advance(&mut self, id: i32) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        if node.paused {
            return false;
        }
        if !node.inbox.is_empty() {
            self.step(id);
            return true;
        }
        let Some((batch, todo, done)) = &mut node.zk else { return false };
        match todo.pop_front() {
            Some(op) => {
                let outcome = self.apply(id, op);
                let node = self.nodes.get_mut(&id).expect("a node");
                if let Some((_, _, done)) = &mut node.zk {
                    done.push(outcome);
                }
            }
            None => {
                let settled = Input::Settled { id: *batch, result: Settled::Zk(std::mem::take(done)) };
                node.zk = None;
                node.inbox.push_back(settled);
            }
        }
        true
    }

    fn step(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).expect("a node");
        let inputs: Vec<Input> = node.inbox.drain(..).collect();
        for effect in node.machine.step(WALL_MS, inputs) {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: i32, effect: Effect) {
        let node = self.nodes.get_mut(&id).expect("a node");
        match effect {
            Effect::Zk { id: batch, ops } => node.zk = Some((batch, ops.into(), Vec::new())),
            Effect::Register { id: wait } => {
                let epoch = self.register(id);
                self.input(id, Input::Settled { id: wait, result: Settled::Registered(epoch) });
            }
            Effect::OpenChannel(target) => {
                node.channels.insert(target.id, target.epoch);
            }
            Effect::CloseChannel(broker) => {
                node.channels.remove(&broker);
                self.unanswered.retain(|(from, _, to, _)| (*from, *to) != (id, broker));
            }
            Effect::CloseChannels => {
                node.channels.clear();
                self.unanswered.retain(|(from, ..)| *from != id);
            }
            Effect::Send { term, broker, rpc } => {
                assert!(node.channels.contains_key(&broker), "{id} sends to {broker} without a channel");
                let text = self.describe(&rpc);
                self.log.push(format!("{id} -> {broker} {text}"));
                self.unanswered.push((id, term, broker, rpc));
                self.retry_unanswered();
            }
            Effect::Answer { id: call, answer } => {
                assert!(self.answers.insert(call, answer).is_none(), "call {call} is answered twice");
            }
            Effect::StartTimer { after_ms } => node.timer_ms = Some(after_ms),
            Effect::CancelTimer => node.timer_ms = None,
            Effect::Publish(snapshot) => {
                if snapshot.active != node.snapshot.active {
                    let what =
                        if snapshot.active { format!("leads, epoch {}", snapshot.epoch) } else { "resigns".into() };
                    self.log.push(format!("{id} {what}"));
                }
                node.snapshot = (*snapshot).clone();
            }
            Effect::UncleanElection(partition) => self.log.push(format!("{id} elects a leader of {partition} unclean")),
            Effect::Working(_) | Effect::Stopped => {}
        }
    }

    fn deliver(&mut self, events: Events) {
        for (session, event) in events {
            if let Some(node) = self.nodes.values_mut().find(|node| node.session == session) {
                node.inbox.push_back(Input::Watch(event));
            }
        }
    }

    /// Lets every request reach its receiver that can take it.
    fn retry_unanswered(&mut self) {
        for (from, term, broker, rpc) in std::mem::take(&mut self.unanswered) {
            let Some(receiver) = self.receivers.get_mut(&broker.0).filter(|receiver| !receiver.muted) else {
                self.unanswered.push((from, term, broker, rpc));
                continue;
            };
            receiver.take(&rpc);
            let answer = receiver.answer(&rpc);
            self.input(from, Input::Response { term, broker, answer });
        }
    }

    // ---- ZooKeeper ------------------------------------------------------------------------------------------

    fn apply(&mut self, id: i32, op: Op) -> Outcome {
        let session = self.nodes[&id].session;
        let writes = matches!(op, Op::Write(_) | Op::Multi(_));
        self.requests.push((id, trace(&op)));
        let before = self.state_written(&op).and_then(|partition| self.state(&partition));
        let (mut outcome, events) = self.model.apply(session, op.clone(), WALL_MS);
        self.deliver(events);
        if writes || self.show_reads {
            let text = self.describe_op(&op, &outcome);
            self.log.push(format!("{id} {text}"));
        }
        if let (Some(partition), Some(before)) = (self.state_written(&op), before)
            && let Some(after) = self.state(&partition)
        {
            assert!(after.0.leader_epoch >= before.0.leader_epoch, "{partition}: the leader epoch went back");
            assert!(after.0.controller_epoch >= before.0.controller_epoch, "{partition}: a fenced controller wrote");
        }
        if writes && let Some(left) = self.lose_reply_in.as_mut() {
            *left -= 1;
            if *left == 0 {
                self.lose_reply_in = None;
                let (again, events) = self.model.apply(session, op.clone(), WALL_MS);
                self.deliver(events);
                let text = self.describe_op(&op, &again);
                self.log.push(format!("{id} {text} (reply lost, sent again)"));
                outcome = again;
            }
        }
        outcome
    }

    fn state_written(&self, op: &Op) -> Option<TopicPartition> {
        match op {
            Op::Multi(writes) => path::parse_state(writes.get(1)?.path()),
            _ => None,
        }
    }

    /// The state of a partition and its epoch, as in ZooKeeper.
    pub fn state(&self, partition: &TopicPartition) -> Option<(PartitionState, PartitionEpoch)> {
        let (data, stat, _) = self.model.inspect(&path::state(partition))?;
        let state = PartitionState::decode(&data.unwrap_or_default()).expect("a state");
        Some((state, PartitionEpoch(stat.version)))
    }

    fn describe_op(&self, op: &Op, outcome: &Outcome) -> String {
        let error = |result: &Result<Reply, ZkError>| match result {
            Ok(_) => String::new(),
            Err(error) => format!(" -> {error:?}"),
        };
        match (op, outcome) {
            (Op::Multi(writes), Ok(Reply::Multi(results))) => match writes.as_slice() {
                [Write::Check { path, .. }, write] if path == path::CONTROLLER_EPOCH => {
                    if results[0].is_err() {
                        return format!("FENCED {}", describe_write(write));
                    }
                    format!("{}{}", describe_write(write), error(&results[1]))
                }
                _ => {
                    let all: Vec<String> =
                        writes.iter().zip(results).map(|(w, r)| describe_write(w) + &error(r)).collect();
                    all.join(" + ")
                }
            },
            (Op::Multi(writes), _) => {
                let all: Vec<String> = writes.iter().map(describe_write).collect();
                all.join(" + ") + &error(outcome)
            }
            (Op::Write(write), _) => format!("unfenced {}{}", describe_write(write), error(outcome)),
            (Op::GetData { path, watch }, _) => format!("get {path} {watch}"),
            (Op::Exists { path, watch }, _) => format!("exists {path} {watch}"),
            (Op::GetChildren { path, watch }, _) => format!("children {path} {watch}"),
            other => format!("{other:?}"),
        }
    }

    // ---- requests -------------------------------------------------------------------------------------------

    fn describe(&self, rpc: &Rpc) -> String {
        match rpc {
            Rpc::LeaderAndIsr { request, .. } => {
                let mut text = String::from("lisr");
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        let mark = if state.is_new { " new" } else { "" };
                        let move_ = if state.adding_replicas.is_empty() && state.removing_replicas.is_empty() {
                            String::new()
                        } else {
                            format!(" +{:?} -{:?}", state.adding_replicas, state.removing_replicas)
                        };
                        text += &format!(
                            " {}-{}(leader {} le {} isr {:?} pe {}{mark}{move_})",
                            topic.topic_name,
                            state.partition_index,
                            state.leader,
                            state.leader_epoch,
                            state.isr,
                            state.partition_epoch
                        );
                    }
                }
                text
            }
            Rpc::UpdateMetadata { request, .. } => {
                let brokers: Vec<i32> = request.live_brokers.iter().map(|broker| broker.id).collect();
                let mut text = format!("umr {brokers:?}");
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        let offline = if state.offline_replicas.is_empty() {
                            String::new()
                        } else {
                            format!(" off {:?}", state.offline_replicas)
                        };
                        text += &format!(" {}-{}({}{offline})", topic.topic_name, state.partition_index, state.leader);
                    }
                }
                text
            }
            Rpc::StopReplica { request, .. } => {
                let mut text = String::from("stop");
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        let mark = if state.delete_partition { " delete" } else { "" };
                        text += &format!(
                            " {}-{}(le {}{mark})",
                            topic.topic_name, state.partition_index, state.leader_epoch
                        );
                    }
                }
                text
            }
        }
    }

    /// The lines written since the last call; equal requests to several brokers, and equal lines, in one.
    pub fn take_log(&mut self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut group: Option<(String, Vec<String>, String)> = None;
        let flush = |group: &mut Option<(String, Vec<String>, String)>, lines: &mut Vec<String>| {
            if let Some((from, to, what)) = group.take() {
                lines.push(format!("{from} -> {} {what}", to.join(",")));
            }
        };
        for line in std::mem::take(&mut self.log) {
            let sent = line.split_once(" -> ").filter(|(from, _)| from.parse::<i32>().is_ok());
            let Some((from, (to, what))) = sent.and_then(|(from, rest)| Some((from, rest.split_once(' ')?))) else {
                flush(&mut group, &mut lines);
                lines.push(line);
                continue;
            };
            match &mut group {
                Some((before, receivers, same))
                    if before == from && same == what && !receivers.contains(&to.to_owned()) =>
                {
                    receivers.push(to.into());
                }
                _ => {
                    flush(&mut group, &mut lines);
                    group = Some((from.into(), vec![to.into()], what.into()));
                }
            }
        }
        flush(&mut group, &mut lines);
        lines
    }
}

impl Receiver {
    /// Does what a broker would do, as far as tests look at it.
    fn take(&mut self, rpc: &Rpc) {
        let term = match rpc {
            Rpc::LeaderAndIsr { request, .. } => request.controller_epoch,
            Rpc::UpdateMetadata { request, .. } => request.controller_epoch,
            Rpc::StopReplica { request, .. } => request.controller_epoch,
        };
        if term < self.term {
            return;
        }
        self.term = term;
        match rpc {
            Rpc::LeaderAndIsr { request, .. } => {
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        let name = TopicPartition::new(&*topic.topic_name, state.partition_index);
                        let told = self.hosted.entry(name).or_insert((-1, -1));
                        if state.leader_epoch > told.1 {
                            *told = (state.leader, state.leader_epoch);
                        }
                    }
                }
            }
            Rpc::UpdateMetadata { request, .. } => {
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        let name = TopicPartition::new(&*topic.topic_name, state.partition_index);
                        if state.leader == -2 {
                            self.heard.remove(&name)
                        } else {
                            self.heard.insert(name, state.leader)
                        };
                    }
                }
            }
            Rpc::StopReplica { request, .. } => {
                for topic in &request.topic_states {
                    for state in topic.partition_states.iter().filter(|state| state.delete_partition) {
                        self.hosted.remove(&TopicPartition::new(&*topic.topic_name, state.partition_index));
                    }
                }
            }
        }
    }

    fn answer(&self, rpc: &Rpc) -> Answered {
        match rpc {
            Rpc::LeaderAndIsr { request, .. } => {
                let topics = request.topic_states.iter().map(|topic| LeaderAndIsrTopicError {
                    topic_id: topic.topic_id,
                    partition_errors: topic
                        .partition_states
                        .iter()
                        .map(|state| {
                            let name = TopicPartition::new(&*topic.topic_name, state.partition_index);
                            let failed = self.offline.contains(&name);
                            let error = if failed { ErrorCode::KafkaStorageError } else { ErrorCode::None };
                            LeaderAndIsrPartitionError {
                                partition_index: state.partition_index,
                                error_code: error.code(),
                                ..Default::default()
                            }
                        })
                        .collect(),
                });
                Answered::LeaderAndIsr(leader_and_isr::Response { topics: topics.collect(), ..Default::default() })
            }
            Rpc::UpdateMetadata { .. } => Answered::UpdateMetadata(update_metadata::Response::default()),
            Rpc::StopReplica { request, .. } => {
                let mut partition_errors = Vec::new();
                for topic in &request.topic_states {
                    for state in &topic.partition_states {
                        partition_errors.push(StopReplicaPartitionError {
                            topic_name: topic.topic_name.clone(),
                            partition_index: state.partition_index,
                            error_code: 0,
                        });
                    }
                }
                let response = stop_replica::Response { partition_errors, ..Default::default() };
                Answered::StopReplica { request: request.clone(), response }
            }
        }
    }
}

pub fn create(path: &str, data: Option<bytes::Bytes>) -> Write {
    Write::Create { path: path.into(), data, mode: CreateMode::Persistent, acl: Acl::open() }
}

fn describe_write(write: &Write) -> String {
    match write {
        Write::Create { path, data, .. } => format!("create {}", describe_node(path, data)),
        Write::SetData { path, data, version } => {
            let at = if version.is_none() { String::new() } else { format!(" at {version}") };
            format!("set {}{at}", describe_node(path, data))
        }
        Write::Delete { path, .. } => format!("delete {path}"),
        Write::Check { path, version } => format!("check {path} {version}"),
    }
}

fn describe_node(path: &str, data: &Option<bytes::Bytes>) -> String {
    let Some(data) = data else { return path.into() };
    if let Some(partition) = path::parse_state(path) {
        let state = PartitionState::decode(data).expect("a state");
        let recovering = if state.recovering { " recovering" } else { "" };
        return format!(
            "{partition} leader {} isr {:?} le {} ce {}{recovering}",
            state.leader, state.isr, state.leader_epoch, state.controller_epoch
        );
    }
    format!("{path} {}", String::from_utf8_lossy(data))
}

/// A request as the recorded traces write it.
fn trace(op: &Op) -> String {
    let flag = |watch: &bool| if *watch { "True" } else { "False" };
    match op {
        Op::Exists { path, watch } => format!("exists {path} watch={}", flag(watch)),
        Op::GetData { path, watch } => format!("getData {path} watch={}", flag(watch)),
        Op::GetChildren { path, watch } => format!("getChildren2 {path} watch={}", flag(watch)),
        Op::Write(write) => trace_write(write),
        Op::Multi(writes) => format!("multi {{{}}}", writes.iter().map(trace_write).collect::<Vec<_>>().join(" ; ")),
        other => format!("{other:?}"),
    }
}

fn trace_write(write: &Write) -> String {
    let text = |data: &Option<bytes::Bytes>| match data {
        None => "None".to_owned(),
        Some(data) => format!("b'{}'", String::from_utf8_lossy(data)),
    };
    match write {
        Write::Check { path, version } => format!("check {path} v={version}"),
        Write::Delete { path, version } => format!("delete {path} v={version}"),
        Write::SetData { path, data, version } => format!("setData {path} data={} v={version}", text(data)),
        Write::Create { path, data, mode, .. } => {
            let flags = i32::from(mode.is_ephemeral()) + 2 * i32::from(mode.is_sequential());
            format!("create {path} data={} acl=['world:anyone:31'] flags={flags}", text(data))
        }
    }
}
