use super::*;
use crate::ids::Uuid;
use crate::wait::ManualRuntime;

type Script = Vec<Result<wire::Response, LinkError>>;

#[derive(Default)]
struct Controller {
    answers: Mutex<Script>,
    seen: Mutex<Vec<(i16, wire::Request)>>,
}

impl ControllerLink for Arc<Controller> {
    fn alter_partition(
        &mut self,
        version: i16,
        request: wire::Request,
    ) -> BoxFuture<'_, Result<wire::Response, LinkError>> {
        self.seen.lock().push((version, request));
        let answer = self.answers.lock().remove(0);
        Box::pin(async move { answer })
    }
}

#[derive(Default)]
struct Leader {
    answers: Mutex<Vec<(TopicPartition, u64, Result<Accepted, ErrorCode>)>>,
}

impl IsrAnswers for Leader {
    fn isr_answered(&self, tp: &TopicPartition, ticket: u64, answer: Result<Accepted, ErrorCode>) -> Option<IsrChange> {
        self.answers.lock().push((tp.clone(), ticket, answer.clone()));
        (answer == Err(ErrorCode::NotController)).then(|| change(ticket, 7))
    }
}

fn change(ticket: u64, topic_id: u128) -> IsrChange {
    let isr = vec![BrokerId(1), BrokerId(2)];
    let proposal = Proposal { ticket, leader_epoch: LeaderEpoch(3), partition_epoch: PartitionEpoch(4), isr };
    IsrChange { topic_id: Uuid(topic_id), proposal }
}

fn answer(partitions: &[(i32, ErrorCode)]) -> Result<wire::Response, LinkError> {
    let partitions = partitions
        .iter()
        .map(|(index, error)| wire::ResponsePartitionData {
            partition_index: *index,
            error_code: error.code(),
            leader_epoch: 3,
            partition_epoch: 5,
            isr: vec![1, 2],
            ..Default::default()
        })
        .collect();
    let topic = wire::ResponseTopicData { topic_id: Uuid(7), partitions, ..Default::default() };
    Ok(wire::Response { topics: vec![topic], ..Default::default() })
}

fn start(script: Script) -> (Arc<IsrUpdates>, Arc<Controller>, Arc<Leader>, ManualRuntime) {
    let updates = Arc::new(IsrUpdates::default());
    let controller = Arc::new(Controller { answers: Mutex::new(script), ..Default::default() });
    let (leader, runtime) = (Arc::new(Leader::default()), ManualRuntime::new());
    let epoch = Arc::new(AtomicI64::new(99));
    let run = updates.clone().run(
        BrokerId(1),
        epoch,
        Box::new(controller.clone()),
        leader.clone(),
        Arc::new(runtime.clone()),
    );
    runtime.spawn(Box::pin(run));
    (updates, controller, leader, runtime)
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

#[test]
fn changes_go_out_together_and_answers_come_back() {
    let (updates, controller, leader, runtime) =
        start(vec![answer(&[(0, ErrorCode::None), (1, ErrorCode::FencedLeaderEpoch)])]);
    updates.submit(tp(0), change(1, 7));
    updates.submit(tp(1), change(2, 7));
    runtime.run(3);
    let seen = controller.seen.lock();
    assert_eq!(seen.len(), 1);
    let (version, request) = &seen[0];
    assert_eq!((*version, request.broker_id, request.broker_epoch), (3, 1, 99));
    assert_eq!(request.topics[0].partitions.len(), 2);
    assert_eq!(request.topics[0].partitions[0].new_isr_with_epochs.len(), 2);
    let accepted = Accepted {
        leader_epoch: LeaderEpoch(3),
        partition_epoch: PartitionEpoch(5),
        isr: vec![BrokerId(1), BrokerId(2)],
    };
    let answers = leader.answers.lock();
    assert_eq!(*answers, [(tp(0), 1, Ok(accepted)), (tp(1), 2, Err(ErrorCode::FencedLeaderEpoch))]);
}

#[test]
fn failures_of_the_whole_request_are_sent_again_later() {
    let refused = Ok(wire::Response { error_code: ErrorCode::StaleBrokerEpoch.code(), ..Default::default() });
    let (updates, controller, leader, runtime) =
        start(vec![refused, Err(LinkError::NoController), answer(&[(0, ErrorCode::None)])]);
    updates.submit(tp(0), change(1, 7));
    runtime.run(3);
    assert_eq!(controller.seen.lock().len(), 1, "waits before it tries again");
    for _ in 0..2 {
        runtime.advance(RETRY_AFTER_MS);
        runtime.run(3);
    }
    assert_eq!(controller.seen.lock().len(), 3);
    assert_eq!(leader.answers.lock().len(), 1);
}

#[test]
fn unclear_and_missing_answers_are_sent_again_at_once() {
    let (updates, controller, leader, runtime) =
        start(vec![answer(&[(0, ErrorCode::NotController)]), answer(&[(0, ErrorCode::None), (1, ErrorCode::None)])]);
    updates.submit(tp(0), change(1, 7));
    updates.submit(tp(1), change(2, 7));
    runtime.run(4);
    assert_eq!(controller.seen.lock()[1].1.topics[0].partitions.len(), 2);
    assert_eq!(leader.answers.lock().len(), 3);
    updates.stop();
    runtime.run(2);
}

#[test]
fn topics_without_ids_go_by_name() {
    let batch = BTreeMap::from([(tp(0), change(1, 0))]);
    let (version, request) = encode(BrokerId(1), 5, &batch);
    assert_eq!((version, request.topics[0].partitions[0].new_isr.clone()), (1, vec![1, 2]));
}
