//! DescribeLogDirs (35), versions 0-4: what each log dir of this broker holds.
//!
//! - No list of topics asks for all.
//! - A dir that is offline answers KAFKA_STORAGE_ERROR. v4 tells the size of its volume and what is free, -1 if unknown.
//! - A partition that is being moved is listed twice: in its dir, and as the copy in the other.
//! - Studied: `KafkaApis.handleDescribeLogDirsRequest`, `ReplicaManager.describeLogDirs`.

use std::collections::{BTreeMap, HashSet};

use super::prelude::*;
use crate::ids::TopicPartition;
use crate::log::{DirInfo, LogInfo, Volume};
use messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic, Request, Response,
};

pub async fn handle(broker: &Arc<Broker>, _: &RequestContext, request: Request) -> Answer<Response> {
    let wanted: Option<HashSet<(Str, i32)>> = request.topics.map(|topics| {
        topics
            .into_iter()
            .flat_map(|topic| topic.partitions.into_iter().map(move |p| (topic.topic.clone(), p)))
            .collect()
    });
    let is_wanted = |tp: &TopicPartition| {
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&(Str::from(&tp.topic), tp.partition)))
    };
    let describe = |dir| describe(dir, Volume::of, is_wanted, |log| broker.replicas.offset_lag(log));
    let results = broker.logs.dirs().into_iter().map(describe).collect();
    Response { results, ..Response::default() }.into()
}

fn describe(
    dir: DirInfo,
    volume: impl Fn(&std::path::Path) -> std::io::Result<Volume>,
    is_wanted: impl Fn(&TopicPartition) -> bool,
    offset_lag: impl Fn(&LogInfo) -> i64,
) -> DescribeLogDirsResult {
    let log_dir = Str::from(dir.path.to_string_lossy().into_owned());
    let volume = if dir.offline { None } else { volume(&dir.path).ok() };
    let Some(volume) = volume else {
        let error_code = ErrorCode::KafkaStorageError.code();
        return DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() };
    };
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in dir.logs.iter().filter(|log| is_wanted(&log.tp)) {
        topics.entry(&log.tp.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: log.tp.partition,
            partition_size: log.size as i64,
            offset_lag: offset_lag(log),
            is_future_key: log.future,
        });
    }
    let topic = |(name, mut partitions): (&str, Vec<DescribeLogDirsPartition>)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.into(), partitions }
    };
    // More than an i64 can count is as good as its largest.
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: bytes(volume.total_bytes),
        usable_bytes: bytes(volume.usable_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Offset;

    const VOLUME: Volume = Volume { total_bytes: u64::MAX, usable_bytes: 7 };

    fn dir(offline: bool) -> DirInfo {
        let log = |topic: &str, partition, future| LogInfo {
            tp: TopicPartition::new(topic, partition),
            size: 100,
            log_end: Offset(5),
            future,
        };
        let logs = if offline { vec![] } else { vec![log("b", 1, true), log("a", 0, false), log("b", 0, false)] };
        DirInfo { path: "/d".into(), offline, logs }
    }

    #[test]
    fn a_live_dir_lists_what_was_asked_for() {
        let result = describe(dir(false), |_| Ok(VOLUME), |tp| &*tp.topic == "b", |log| if log.future { 3 } else { 0 });
        assert_eq!((result.error_code, &*result.log_dir), (0, "/d"));
        assert_eq!((result.total_bytes, result.usable_bytes), (i64::MAX, 7));
        let listed: Vec<(&str, Vec<_>)> = result
            .topics
            .iter()
            .map(|topic| (&*topic.name, topic.partitions.iter().map(|p| (p.partition_index, p.offset_lag)).collect()))
            .collect();
        assert_eq!(listed, [("b", vec![(0, 0), (1, 3)])]);
        assert!(result.topics[0].partitions[1].is_future_key);
    }

    #[test]
    fn a_dir_that_failed_or_cannot_tell_its_size() {
        let broken = |_: &std::path::Path| Err(std::io::Error::other("broken"));
        for result in
            [describe(dir(true), |_| Ok(VOLUME), |_| true, |_| 0), describe(dir(false), broken, |_| true, |_| 0)]
        {
            assert_eq!(result.error_code, 56);
            assert_eq!((result.total_bytes, result.usable_bytes, result.topics.len()), (-1, -1, 0));
        }
    }
}
