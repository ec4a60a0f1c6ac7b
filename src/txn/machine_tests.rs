//! The transitions of KIP-98 and KIP-360, one by one, and histories from seeds.

use super::*;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn no_id() -> Result<i64, ErrorCode> {
    panic!("no new producer id is needed")
}

fn give(init: Result<Init, ErrorCode>) -> Image {
    match init {
        Ok(Init::Give(image)) => image,
        other => panic!("{other:?}"),
    }
}

/// An id that its first producer has just initialized: producer id 7, epoch 0.
fn fresh() -> Txn {
    let mut txn = Txn::new(7, 1000, 1);
    let image = give(txn.init(None, 1000, 2, no_id));
    txn.written(image);
    txn
}

fn ongoing() -> Txn {
    let mut txn = fresh();
    let image = txn.add_partitions(7, 0, BTreeSet::from([tp(0), tp(1)]), 10).unwrap().unwrap();
    txn.written(image);
    txn
}

/// Writes the markers and the end.
fn finish(txn: &mut Txn) {
    let complete = txn.complete(30);
    for partition in txn.image().partitions.clone() {
        txn.marked(&partition);
    }
    txn.written(complete);
}

#[test]
fn a_transaction_from_begin_to_end() {
    let mut txn = fresh();
    assert_eq!((txn.state(), txn.image().epoch, txn.image().start_ms), (State::Empty, 0, -1));
    assert_eq!(txn.end(7, 0, true, 5), Err(ErrorCode::InvalidTxnState), "nothing was begun");
    let image = txn.add_partitions(7, 0, BTreeSet::from([tp(0)]), 10).unwrap().unwrap();
    assert_eq!(txn.add_partitions(7, 0, BTreeSet::from([tp(0)]), 11), Err(ErrorCode::ConcurrentTransactions));
    txn.written(image);
    assert_eq!(txn.add_partitions(7, 0, BTreeSet::from([tp(0)]), 12), Ok(None), "part of it already");
    let more = txn.add_partitions(7, 0, BTreeSet::from([tp(1)]), 13).unwrap().unwrap();
    assert_eq!((more.partitions.len(), more.start_ms, more.update_ms), (2, 10, 13));
    txn.written(more);
    assert_eq!(txn.verify(7, 0).map(BTreeSet::len), Ok(2));
    let decided = txn.end(7, 0, true, 20).unwrap().unwrap();
    assert_eq!((decided.state, decided.partitions.len()), (State::PrepareCommit, 2));
    txn.written(decided);
    assert_eq!(txn.verify(7, 0), Err(ErrorCode::ConcurrentTransactions));
    let complete = txn.complete(21);
    assert_eq!(txn.init(None, 1000, 22, no_id), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(txn.end(7, 0, true, 22), Err(ErrorCode::ConcurrentTransactions));
    txn.marked(&tp(0));
    txn.marked(&tp(1));
    txn.written(complete);
    assert_eq!((txn.state(), txn.image().partitions.len()), (State::CompleteCommit, 0));
    assert_eq!(txn.end(7, 0, true, 23), Ok(None), "a retry");
    assert_eq!(txn.end(7, 0, false, 23), Err(ErrorCode::InvalidTxnState));
    assert!(txn.verify(7, 0).unwrap().is_empty());
}

#[test]
fn wrong_producers_are_told_apart() {
    let mut txn = ongoing();
    assert_eq!(txn.end(8, 0, true, 20), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(txn.end(7, 1, true, 20), Err(ErrorCode::ProducerFenced));
    assert_eq!(txn.add_partitions(7, -1, BTreeSet::new(), 20), Err(ErrorCode::ProducerFenced));
    assert_eq!(txn.verify(8, 0), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    let mut txn = ongoing();
    let Ok(Init::Abort(image)) = txn.init(None, 1000, 20, no_id) else { panic!() };
    assert_eq!((image.state, image.epoch), (State::PrepareAbort, 1));
    assert_eq!(txn.end(7, 0, true, 21), Err(ErrorCode::ProducerFenced), "the epoch counts at once");
    txn.written(image);
    finish(&mut txn);
    assert_eq!(txn.state(), State::CompleteAbort);
    let image = give(txn.init(None, 1000, 40, no_id));
    assert_eq!((image.producer_id, image.epoch, image.last_epoch), (7, 2, -1));
}

#[test]
fn a_fence_that_could_not_be_written_raises_the_epoch_once() {
    let mut txn = ongoing();
    let image = txn.fence(20);
    assert_eq!(image.epoch, 1);
    txn.not_written(true);
    assert_eq!((txn.state(), txn.image().epoch), (State::Ongoing, 1));
    let image = txn.fence(30);
    assert_eq!(image.epoch, 1);
    txn.written(image);
    finish(&mut txn);
    assert_eq!(txn.image().epoch, 1);
}

#[test]
fn a_producer_goes_on_after_an_error_under_the_next_epoch() {
    let mut txn = fresh();
    let image = give(txn.init(Some((7, 0)), 1000, 5, no_id));
    assert_eq!((image.epoch, image.last_epoch), (1, 0));
    txn.written(image);
    let retry = give(txn.init(Some((7, 0)), 1000, 6, no_id));
    assert_eq!((retry.epoch, retry.last_epoch), (1, 0), "the answer was lost");
    txn.written(retry);
    assert_eq!(txn.init(Some((8, 0)), 1000, 7, no_id), Err(ErrorCode::ProducerFenced));
    // Another producer comes: the first is a zombie from now on.
    let image = give(txn.init(None, 1000, 8, no_id));
    txn.written(image);
    assert_eq!(txn.init(Some((7, 1)), 1000, 9, no_id), Err(ErrorCode::ProducerFenced));
}

#[test]
fn exhausted_epochs_lead_to_a_new_producer_id() {
    let mut image = fresh().image().clone();
    image.epoch = EXHAUSTED_EPOCH;
    let mut txn = Txn::restore(image);
    assert_eq!(
        txn.init(None, 1000, 5, || Err(ErrorCode::CoordinatorLoadInProgress)),
        Err(ErrorCode::CoordinatorLoadInProgress)
    );
    let next = give(txn.init(Some((7, EXHAUSTED_EPOCH)), 1000, 5, || Ok(9)));
    assert_eq!((next.producer_id, next.epoch, next.last_producer_id, next.last_epoch), (9, 0, 7, EXHAUSTED_EPOCH));
    txn.written(next);
    let retry = give(txn.init(Some((7, EXHAUSTED_EPOCH)), 1000, 6, no_id));
    assert_eq!((retry.producer_id, retry.epoch), (9, 0));
}

#[test]
fn the_clock() {
    let mut txn = ongoing();
    assert!(!txn.is_timed_out(1010) && txn.is_timed_out(1011), "open since 10, for 1000 ms at most");
    assert!(!txn.is_expired(i64::MAX, 0));
    let image = txn.fence(1011);
    assert!(!txn.is_timed_out(2000), "it is being aborted");
    txn.written(image);
    finish(&mut txn);
    assert!(!txn.is_expired(129, 100) && txn.is_expired(130, 100), "last used at 30");
    txn.bury();
    assert_eq!(txn.init(None, 1000, 131, no_id), Err(ErrorCode::ConcurrentTransactions));
    txn.not_written(false);
    assert_eq!(txn.pending(), None);
}

#[test]
fn names_and_numbers() {
    for state in State::ALL {
        assert_eq!(State::from_id(state as i8), Some(state));
        assert_eq!(State::from_name(state.name()), Some(state));
    }
    assert_eq!((State::from_id(8), State::from_name("Gone")), (None, None));
}

/// Random requests against the machine, with writes that fail; what a reader of the log would rely on holds throughout.
#[test]
fn random_histories_keep_the_rules() {
    for seed in 1..=500_u64 {
        let mut random = seed;
        let mut next = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut txn = Txn::new(0, 1000, 0);
        let mut logged: Option<Image> = None;
        let (mut ids, mut highest) = (1_i64.., (0, -1));
        for now in 1..200 {
            let (id, epoch) = (txn.image().producer_id, txn.image().epoch);
            // Mostly the producer itself, sometimes one that was fenced.
            let client = if next(4) > 0 { epoch } else { epoch - 1 };
            let mut fencing = false;
            let request = next(6);
            let image = match request {
                0 => match txn.init(None, 1000, now, || Ok(ids.next().unwrap())) {
                    Ok(Init::Give(image)) => Some(image),
                    Ok(Init::Abort(image)) => {
                        fencing = true;
                        Some(image)
                    }
                    Err(_) => None,
                },
                1 | 2 => txn.add_partitions(id, client, BTreeSet::from([tp(next(3) as i32)]), now).unwrap_or(None),
                3 => txn.end(id, client, next(2) == 0, now).unwrap_or(None),
                4 if txn.state() == State::Ongoing && next(3) == 0 => {
                    fencing = true;
                    Some(txn.fence(now))
                }
                _ => None,
            };
            let Some(image) = image else { continue };
            assert!(client == epoch || !(1..=3).contains(&request), "a fenced producer changed something");
            if next(5) == 0 {
                txn.not_written(fencing);
                continue;
            }
            if let Some(before) = &logged {
                let restored = matches!((before.state, image.state), (from, to) if to.may_follow(from));
                assert!(restored, "{before:?} then {image:?}");
            }
            assert!((image.producer_id, image.epoch) >= highest, "epochs never go back");
            highest = (image.producer_id, image.epoch);
            logged = Some(image.clone());
            txn.written(image);
            if matches!(txn.state(), State::PrepareCommit | State::PrepareAbort) {
                let complete = txn.complete(now);
                assert!(complete.partitions.is_empty());
                txn.image().partitions.clone().iter().for_each(|partition| txn.marked(partition));
                logged = Some(complete.clone());
                txn.written(complete);
            }
        }
    }
}
