use super::*;

fn key(partition: i32) -> Key {
    Key { topic: Topic::Name("t".into()), partition }
}

fn asked(offset: i64) -> Asked {
    Asked {
        fetch_offset: Offset(offset),
        log_start: Offset(-1),
        leader_epoch: LeaderEpoch(-1),
        last_fetched_epoch: LeaderEpoch(-1),
        max_bytes: 100,
    }
}

fn ask(partitions: &[i32]) -> Vec<(Key, Asked)> {
    partitions.iter().map(|p| (key(*p), asked(0))).collect()
}

fn asking(session_id: i32, session_epoch: i32) -> Asking {
    Asking { session_id, session_epoch, uses_topic_ids: false, from_follower: false }
}

fn quiet(hw: i64) -> Answered {
    Answered { high_watermark: hw, log_start: 0, has_records: false, is_error: false, is_redirect: false }
}

fn finish(cache: &Cache, context: Context, answered: &[Answered], now: Millis) -> Finished {
    let mut n = 0;
    context.finish(cache, answered, now, &mut || {
        n += 1;
        n
    })
}

/// A session over partitions 0, 1, 2, each with high watermark 5 sent.
fn established(cache: &Cache) -> i32 {
    let context = cache.open(asking(0, 0), ask(&[0, 1, 2]), &[], 0).unwrap();
    let finished = finish(cache, context, &[quiet(5); 3], 0);
    assert_eq!(finished.include, [true; 3]);
    finished.session_id
}

#[test]
fn sessionless_full_requests_get_no_session() {
    let cache = Cache::new(80);
    let context = cache.open(asking(0, -1), ask(&[0]), &[], 0).unwrap();
    let finished = finish(&cache, context, &[quiet(5)], 0);
    assert_eq!((finished.session_id, cache.sizes()), (0, (0, 0)));
}

#[test]
fn incremental_answers_hold_only_news() {
    let cache = Cache::new(80);
    let id = established(&cache);
    assert!(id > 0);
    let context = cache.open(asking(id, 1), vec![], &[], 1).unwrap();
    assert_eq!(context.partitions.len(), 3);
    assert_eq!(finish(&cache, context, &[quiet(5); 3], 1).include, [false; 3]);

    let rows = [
        Answered { has_records: true, ..quiet(5) },
        Answered { is_redirect: true, ..quiet(5) },
        Answered { log_start: 1, ..quiet(5) },
    ];
    let context = cache.open(asking(id, 2), vec![], &[], 2).unwrap();
    assert_eq!(finish(&cache, context, &rows, 2).include, [true; 3]);
    let context = cache.open(asking(id, 3), vec![], &[], 3).unwrap();
    let order: Vec<i32> = context.partitions.iter().map(|(key, _)| key.partition).collect();
    assert_eq!(order, [1, 2, 0], "a partition that gave records moves to the end");
}

#[test]
fn recovery_from_an_error_is_reported() {
    let cache = Cache::new(80);
    let id = established(&cache);
    let error = Answered { is_error: true, high_watermark: -1, log_start: 0, ..quiet(0) };
    for (epoch, sent, want) in [(1, error, true), (2, error, true), (3, quiet(5), true), (4, quiet(5), false)] {
        let context = cache.open(asking(id, epoch), vec![], &[], 1).unwrap();
        assert_eq!(finish(&cache, context, &[sent, quiet(5), quiet(5)], 1).include[0], want, "epoch {epoch}");
    }
}

#[test]
fn requests_add_update_and_forget_partitions() {
    let cache = Cache::new(80);
    let id = established(&cache);
    let context = cache.open(asking(id, 1), vec![(key(1), asked(9)), (key(7), asked(3))], &[key(0)], 1).unwrap();
    let seen: Vec<(i32, i64)> = context.partitions.iter().map(|(k, a)| (k.partition, a.fetch_offset.0)).collect();
    assert_eq!(seen, [(1, 9), (2, 0), (7, 3)]);
    drop(context);
    let context = cache.open(asking(id, 2), vec![], &[key(1), key(2), key(7)], 1).unwrap();
    assert!(context.partitions.is_empty());
    assert_eq!(cache.sizes(), (0, 0), "an empty session ends");
    assert_eq!(finish(&cache, context, &[], 1).session_id, 0);
}

#[test]
fn session_errors() {
    let cache = Cache::new(80);
    let id = established(&cache);
    let open = |asking| cache.open(asking, vec![], &[], 0).err();
    assert_eq!(open(asking(id + 1, 1)), Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(open(asking(i32::MAX, 1)), Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(open(asking(-5, 1)), Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(open(asking(id, 2)), Some(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(open(Asking { uses_topic_ids: true, ..asking(id, 1) }), Some(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(open(asking(id, -1)), None, "closes the session");
    assert_eq!(open(asking(id, 1)), Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn a_full_request_replaces_the_session_it_names() {
    let cache = Cache::new(80);
    let id = established(&cache);
    let context = cache.open(asking(id, 0), ask(&[0]), &[], 0).unwrap();
    assert_eq!(cache.sizes().0, 0);
    assert_ne!(finish(&cache, context, &[quiet(5)], 0).session_id, 0);
}

#[test]
fn an_overtaken_request_gets_an_epoch_error() {
    let cache = Cache::new(80);
    let id = established(&cache);
    let slow = cache.open(asking(id, 1), vec![], &[], 0).unwrap();
    let _fast = cache.open(asking(id, 2), vec![], &[], 0).unwrap();
    assert_eq!(finish(&cache, slow, &[quiet(5); 3], 0).error, ErrorCode::InvalidFetchSessionEpoch);
}

#[test]
fn epoch_wraps_to_one() {
    assert_eq!(next_epoch(0), 1);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn full_shards_evict_by_age_then_worth() {
    // One slot per shard; eight sessions fill the cache.
    let cache = Cache::new(8);
    let create = |from_follower: bool, partitions: &[i32], now| {
        let context = cache.open(Asking { from_follower, ..asking(0, 0) }, ask(partitions), &[], now).unwrap();
        finish(&cache, context, &vec![quiet(5); partitions.len()], now).session_id
    };
    for _ in 0..8 {
        assert_ne!(create(false, &[0, 1], 0), 0);
    }
    for _ in 0..8 {
        assert_eq!(create(false, &[0, 1, 2], 1_000), 0, "young sessions stay, even if they are smaller");
    }
    for _ in 0..8 {
        assert_ne!(create(true, &[0], 1_000), 0, "a follower displaces a consumer");
    }
    for _ in 0..8 {
        assert_eq!(create(true, &[0, 1], 1_000), 0, "but not a young follower");
    }
    for _ in 0..8 {
        assert_ne!(create(false, &[0], 1_001 + EVICTABLE_AFTER_MS), 0, "stale sessions go first");
    }
    assert_eq!(cache.evictions(), 16);
}
