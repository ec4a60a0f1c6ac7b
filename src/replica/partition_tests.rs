use super::*;
use ErrorCode::{
    FencedLeaderEpoch, NotEnoughReplicasAfterAppend, NotLeaderOrFollower, OperationNotAttempted, StaleControllerEpoch,
    UnknownLeaderEpoch, UnknownTopicOrPartition,
};
use proptest::prelude::*;

const ME: BrokerId = BrokerId(1);
const LAG: Millis = 1_000;

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn rules(min_insync_replicas: usize) -> Rules<'static> {
    Rules { lag_max_ms: LAG, min_insync_replicas, eligible: &|_| true }
}

fn new_state(leader: i32, epoch: i32, version: i32, isr: &[i32], replicas: &[i32]) -> NewState {
    NewState {
        leader: BrokerId(leader),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(version),
        controller_epoch: ControllerEpoch(1),
        isr: ids(isr),
        assignment: Assignment { replicas: ids(replicas), ..Default::default() },
    }
}

/// Leader in epoch 0 with log end 10 and nothing committed.
fn leader(isr: &[i32], min_isr: usize) -> PartitionState {
    let mut state = PartitionState::new(ME, Offset(0));
    state.become_leader(&new_state(1, 0, 0, isr, &[1, 2, 3]), Offset(10), 0, rules(min_isr)).unwrap();
    state
}

fn fetch(state: &mut PartitionState, broker: i32, offset: i64, log_end: i64, now: Millis) -> FollowerFetched {
    state
        .follower_fetched(BrokerId(broker), LeaderEpoch(-1), Offset(offset), Offset(0), Offset(log_end), now, rules(1))
        .unwrap()
}

#[test]
fn epochs_are_checked_before_leadership() {
    let mut state = PartitionState::new(ME, Offset(0));
    state.become_follower(&new_state(2, 5, 0, &[2], &[1, 2])).unwrap();
    let rows = [(-1, NotLeaderOrFollower), (4, FencedLeaderEpoch), (5, NotLeaderOrFollower), (6, UnknownLeaderEpoch)];
    for (asked, want) in rows {
        assert_eq!(state.check_leader(LeaderEpoch(asked)), Err(want), "{asked}");
    }
    state.become_leader(&new_state(1, 6, 1, &[1], &[1, 2]), Offset(0), 0, rules(1)).unwrap();
    assert_eq!(state.check_leader(LeaderEpoch(-1)), Ok(()));
    assert_eq!(state.check_leader(LeaderEpoch(6)), Ok(()));
}

#[test]
fn leader_and_isr_by_epoch() {
    let mut state = PartitionState::new(ME, Offset(0));
    assert_eq!(state.judge(LeaderEpoch(0), &ids(&[1])), Verdict::Apply, "a partition that nobody has told about");
    state.become_follower(&new_state(2, 5, 3, &[2], &[1, 2])).unwrap();
    assert_eq!(state.judge(LeaderEpoch(6), &ids(&[1, 2])), Verdict::Apply);
    assert_eq!(state.judge(LeaderEpoch(6), &ids(&[2])), Verdict::Refuse(UnknownTopicOrPartition));
    assert_eq!(state.judge(LeaderEpoch(5), &ids(&[1])), Verdict::SameEpoch);
    assert_eq!(state.judge(LeaderEpoch(4), &ids(&[1])), Verdict::Refuse(StaleControllerEpoch));
    assert_eq!(state.become_follower(&new_state(2, 6, 2, &[2], &[1, 2])), None, "older partition epoch");
    assert_eq!(state.become_leader(&new_state(1, 6, 2, &[1], &[1, 2]), Offset(0), 0, rules(1)), None);
    assert_eq!(state.leader_epoch(), LeaderEpoch(5));
}

#[test]
fn new_leader_waits_for_one_fetch_of_each_in_sync_member() {
    let mut state = leader(&[1, 2], 1);
    assert_eq!(state.high_watermark(), Offset(0));
    assert!(!state.latest_is_known());
    let fetched = fetch(&mut state, 2, 10, 10, 1);
    assert_eq!((fetched.hw_before, fetched.hw_moved), (Offset(0), true), "the answer carries the HW from before");
    assert_eq!(state.high_watermark(), Offset(10));
    assert!(state.latest_is_known());
}

#[test]
fn single_in_sync_leader_commits_at_once() {
    let mut state = leader(&[1], 1);
    assert_eq!(state.high_watermark(), Offset(10));
    assert!(state.appended(Offset(15), 1, rules(1)));
    assert_eq!(state.high_watermark(), Offset(15));
}

#[test]
fn high_watermark_stands_still_under_min_isr() {
    let mut state = leader(&[1], 2);
    assert_eq!(state.high_watermark(), Offset(0));
    assert!(!state.appended(Offset(20), 1, rules(2)));
    assert!(state.is_under_min_isr(2));
    // min.insync.replicas above the number of replicas counts as the number of replicas.
    let mut alone = PartitionState::new(ME, Offset(0));
    alone.become_leader(&new_state(1, 0, 0, &[1], &[1]), Offset(3), 0, rules(2)).unwrap();
    assert!(!alone.is_under_min_isr(2));
    assert_eq!(alone.high_watermark(), Offset(3));
}

#[test]
fn caught_up_replica_outside_the_set_holds_the_high_watermark() {
    let mut state = leader(&[1], 1);
    // Broker 2 fetches the end: it is caught up and asked for, so it counts from now on.
    let fetched = fetch(&mut state, 2, 10, 10, 1);
    assert_eq!(fetched.expand.as_ref().map(|p| p.isr.clone()), Some(ids(&[1, 2])));
    assert!(!state.appended(Offset(12), 2, rules(1)), "the joining replica has only 10");
    // A replica that may not join, because its broker is dead, does not hold anything back.
    let mut state = leader(&[1], 1);
    let dead = Rules { lag_max_ms: LAG, min_insync_replicas: 1, eligible: &|_| false };
    let fetched =
        state.follower_fetched(BrokerId(2), LeaderEpoch(-1), Offset(10), Offset(0), Offset(10), 1, dead).unwrap();
    assert_eq!(fetched.expand, None);
    assert!(state.appended(Offset(12), 2, dead));
    assert_eq!(state.high_watermark(), Offset(12));
    // It held back what was appended before its broker died: that goes on when the death is known, without an append.
    let mut state = leader(&[1], 1);
    fetch(&mut state, 2, 10, 10, 1);
    state.isr_answered(1, Err(ErrorCode::IneligibleReplica), Offset(10), 1, rules(1));
    assert!(!state.appended(Offset(12), 2, rules(1)));
    assert!(state.recheck(Offset(12), 3, dead));
    // Eligible again, but it lags for too long.
    assert!(state.appended(Offset(13), 2 + LAG, rules(1)));
}

#[test]
fn pending_shrink_still_holds_the_high_watermark() {
    let mut state = leader(&[1, 2], 1);
    let proposal = state.shrink(Offset(10), LAG + 1, rules(1)).unwrap();
    assert_eq!(proposal.isr, ids(&[1]));
    assert!(!state.appended(Offset(12), LAG + 2, rules(1)));
    let answer = Accepted { leader_epoch: LeaderEpoch(0), partition_epoch: PartitionEpoch(1), isr: ids(&[1]) };
    let done = state.isr_answered(proposal.ticket, Ok(answer), Offset(12), LAG + 3, rules(1));
    assert_eq!((done.settled, done.hw_moved), (Settled::Shrunk, true));
    assert_eq!((state.high_watermark(), state.partition_epoch()), (Offset(12), PartitionEpoch(1)));
}

#[test]
fn shrink_spares_those_who_caught_up_in_time() {
    let mut state = leader(&[1, 2, 3], 1);
    fetch(&mut state, 2, 10, 10, 500);
    assert_eq!(state.shrink(Offset(10), LAG, rules(1)), None, "in the set at election: caught up then");
    assert_eq!(state.shrink(Offset(10), LAG + 1, rules(1)).unwrap().isr, ids(&[1, 2]), "3 never fetched");
    assert_eq!(state.shrink(Offset(20), 5 * LAG, rules(1)), None, "one change at a time");
}

#[test]
fn last_caught_up_time_of_a_busy_partition() {
    let mut state = leader(&[1, 2], 1);
    // The leader always runs ahead, but each fetch reaches the end that the fetch before saw.
    fetch(&mut state, 2, 5, 10, 100);
    fetch(&mut state, 2, 10, 20, 900);
    fetch(&mut state, 2, 20, 30, 1_800);
    assert!(state.out_of_sync(Offset(40), 900 + LAG, LAG).is_empty(), "caught up at 900, when the end was 20");
    assert_eq!(state.out_of_sync(Offset(40), 901 + LAG, LAG), ids(&[2]));
}

#[test]
fn expand_needs_the_high_watermark_and_the_epoch_start() {
    let mut state = PartitionState::new(ME, Offset(4));
    state.become_leader(&new_state(1, 3, 0, &[1, 3], &[1, 2, 3]), Offset(10), 0, rules(1)).unwrap();
    assert_eq!(fetch(&mut state, 2, 6, 10, 1).expand, None, "above the high watermark, below the epoch's start");
    assert!(fetch(&mut state, 2, 10, 10, 2).expand.is_some());
    assert_eq!(fetch(&mut state, 2, 10, 10, 3).expand, None, "already asked for");
}

#[test]
fn replicas_that_are_not_assigned_are_refused() {
    let mut state = leader(&[1], 1);
    let mut ask =
        |epoch| state.follower_fetched(BrokerId(9), LeaderEpoch(epoch), Offset(0), Offset(0), Offset(10), 0, rules(1));
    assert_eq!(ask(-1), Err(NotLeaderOrFollower));
    assert_eq!(ask(0), Err(UnknownLeaderEpoch));
}

#[test]
fn acks_all_outcomes() {
    let mut state = leader(&[1, 2], 2);
    assert_eq!(state.committed(Offset(10), 2), Committed::NotYet);
    fetch(&mut state, 2, 10, 10, 1);
    assert_eq!(state.committed(Offset(10), 2), Committed::Done(ErrorCode::None));
    assert_eq!(state.committed(Offset(10), 3), Committed::Done(NotEnoughReplicasAfterAppend));
    state.become_follower(&new_state(2, 1, 1, &[2], &[1, 2, 3])).unwrap();
    assert_eq!(state.committed(Offset(10), 2), Committed::Done(NotLeaderOrFollower));
}

#[test]
fn follower_takes_the_leaders_high_watermark_within_its_log() {
    let mut state = PartitionState::new(ME, Offset(3));
    state.become_follower(&new_state(2, 0, 0, &[2], &[1, 2])).unwrap();
    assert!(state.leader_hw_seen(Offset(9), Offset(0), Offset(7)));
    assert_eq!(state.high_watermark(), Offset(7));
    assert!(state.log_bounds_changed(Offset(0), Offset(5)));
    assert_eq!(state.high_watermark(), Offset(5));
    assert!(!state.leader_hw_seen(Offset(5), Offset(0), Offset(7)));
}

#[test]
fn unchanged_epoch_changes_only_assignment_and_set() {
    let mut state = leader(&[1, 2], 1);
    fetch(&mut state, 2, 10, 10, 1);
    let again = state.become_leader(&new_state(1, 0, 4, &[1, 2, 4], &[1, 2, 4]), Offset(12), 9, rules(1)).unwrap();
    assert_eq!(again, BecameLeader { newly_leader: false, new_epoch: false, hw_moved: false });
    assert_eq!(state.epoch_start(), Some(Offset(10)));
    assert_eq!(state.remotes().iter().map(|r| (r.broker.0, r.log_end.0)).collect::<Vec<_>>(), [(2, 10), (4, -1)]);
}

/// One step of the random history.
#[derive(Clone, Debug)]
enum Step {
    Append(i64),
    Fetch { broker: i32, behind: i64 },
    Shrink,
    Answer { accept: bool },
    NewEpoch { isr: Vec<i32> },
    Wait(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..5i64).prop_map(Step::Append),
        6 => (2..4i32, 0..4i64).prop_map(|(broker, behind)| Step::Fetch { broker, behind }),
        1 => Just(Step::Shrink),
        3 => any::<bool>().prop_map(|accept| Step::Answer { accept }),
        1 => prop::sample::subsequence(vec![2, 3], 0..=2).prop_map(|isr| Step::NewEpoch { isr }),
        2 => (0..1_500i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// The high watermark never passes the log end of anybody in the maximal set, and never goes back at a leader.
    #[test]
    fn high_watermark_never_passes_the_maximal_set(steps in prop::collection::vec(step(), 1..120), min_isr in 1..3usize) {
        let mut state = PartitionState::new(ME, Offset(0));
        let (mut end, mut now, mut epoch) = (0i64, 0, 0);
        state.become_leader(&new_state(1, 0, 0, &[1, 2, 3], &[1, 2, 3]), Offset(0), 0, rules(min_isr)).unwrap();
        let mut ends = [0i64; 4];
        let mut pending: Option<Proposal> = None;
        for step in steps {
            let before = state.high_watermark();
            match step {
                Step::Append(n) => { end += n; state.appended(Offset(end), now, rules(min_isr)); }
                Step::Fetch { broker, behind } => {
                    let at = ends[broker as usize].max(end - behind);
                    ends[broker as usize] = at;
                    let fetched = state.follower_fetched(
                        BrokerId(broker), LeaderEpoch(epoch), Offset(at), Offset(0), Offset(end), now, rules(min_isr)).unwrap();
                    pending = fetched.expand.or(pending);
                }
                Step::Shrink => pending = state.shrink(Offset(end), now, rules(min_isr)).or(pending),
                Step::Answer { accept } => if let Some(proposal) = pending.take() {
                    let answer = if accept {
                        Ok(Accepted {
                            leader_epoch: proposal.leader_epoch,
                            partition_epoch: PartitionEpoch(proposal.partition_epoch.0 + 1),
                            isr: proposal.isr,
                        })
                    } else { Err(OperationNotAttempted) };
                    state.isr_answered(proposal.ticket, answer, Offset(end), now, rules(min_isr));
                },
                Step::NewEpoch { isr } => {
                    epoch += 1;
                    let version = state.partition_epoch().0 + 1;
                    // The controller elects with a set that contains nobody who lacks a committed record.
                    let isr: Vec<i32> = std::iter::once(1)
                        .chain(isr.into_iter().filter(|b| ends[*b as usize] >= before.0)).collect();
                    state.become_leader(&new_state(1, epoch, version, &isr, &[1, 2, 3]), Offset(end), now, rules(min_isr));
                }
                Step::Wait(ms) => now += ms,
            }
            let hw = state.high_watermark();
            prop_assert!(hw >= before);
            prop_assert!(hw.0 <= end);
            for broker in [2, 3] {
                if state.isr().maximal_contains(BrokerId(broker)) {
                    prop_assert!(hw.0 <= ends[broker as usize], "hw {hw} end of {broker} {}", ends[broker as usize]);
                }
            }
        }
    }
}
