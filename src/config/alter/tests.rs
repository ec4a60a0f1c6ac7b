use super::*;

fn properties(entries: &[(&str, &str)]) -> Properties {
    entries.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn settings(given: &[(&str, &str)], broker: &[(&str, &str)], cluster: &[(&str, &str)]) -> Settings {
    let mut all = properties(&[("zookeeper.connect", "z:1"), ("broker.id", "0")]);
    all.extend(properties(given));
    let dynamic = DynamicConfig { broker: properties(broker), cluster: properties(cluster) };
    Settings::from_properties(all).unwrap().with_dynamic(dynamic).unwrap()
}

fn merged_topic(before: &[(&str, &str)], ops: &[(&str, Op, &str)]) -> Result<Properties, AlterError> {
    let mut topic = properties(before);
    merge_topic(&mut topic, ops.iter().map(|(name, op, value)| (*name, Some(*op), *value)))?;
    Ok(topic)
}

#[test]
fn operations_are_merged_in_their_order() {
    let before = [("retention.ms", "1"), ("cleanup.policy", "delete"), ("odd", "kept")];
    let after = merged_topic(
        &before,
        &[
            ("retention.ms", Op::Delete, ""),
            ("segment.bytes", Op::Set, "2000"),
            ("cleanup.policy", Op::Append, "compact,delete"),
            ("leader.replication.throttled.replicas", Op::Append, "0:1,1:1"),
            ("leader.replication.throttled.replicas", Op::Subtract, "0:1,9:9"),
            ("missing", Op::Delete, ""),
        ],
    );
    let expected = [
        ("cleanup.policy", "delete,compact"),
        ("leader.replication.throttled.replicas", "1:1"),
        ("odd", "kept"),
        ("segment.bytes", "2000"),
    ];
    assert_eq!(after, Ok(properties(&expected)));
    // Lists begin with Kafka's default, not with the broker's.
    let policy = |op, value| merged_topic(&[], &[("cleanup.policy", op, value)]).unwrap()["cleanup.policy"].clone();
    assert_eq!(policy(Op::Append, "compact"), "delete,compact");
    assert_eq!(policy(Op::Append, "delete"), "delete");
    assert_eq!(policy(Op::Subtract, "delete"), "");
    assert_eq!(policy(Op::Subtract, "compact"), "delete");
}

#[test]
fn only_lists_are_added_to() {
    let error = |name, op| merged_topic(&[], &[(name, op, "x")]).unwrap_err();
    let text = "Config value append is not allowed for config key: retention.ms";
    assert_eq!(error("retention.ms", Op::Append), AlterError::Config(text.into()));
    let text = "Config value subtract is not allowed for config key: retention.ms";
    assert_eq!(error("retention.ms", Op::Subtract), AlterError::Config(text.into()));
    assert_eq!(error("nonsense", Op::Append), AlterError::Unexpected);
    assert_eq!(merge_topic(&mut Properties::new(), [("retention.ms", None, "1")]), Err(AlterError::Unexpected));
}

#[test]
fn texts_are_split_as_java_does() {
    assert_eq!(split("a,b,,"), ["a", "b"]);
    assert_eq!(split(",a"), ["", "a"]);
    assert_eq!(split(""), [""]);
    assert_eq!(split(",,"), [""; 0]);
}

#[test]
fn topics_are_checked_in_the_words_of_kafka() {
    let broker = settings(&[], &[], &[]);
    let check = |name: &str, value: &str| check_topic(&properties(&[(name, value)]), &broker);
    assert_eq!(check("retention.ms", "5"), Ok(()));
    assert_eq!(check("nonsense", "5"), Err(AlterError::Config("Unknown topic config name: nonsense".into())));
    let text = "Invalid value x for configuration retention.ms: Not a number of type LONG";
    assert_eq!(check("retention.ms", "x"), Err(AlterError::Value(text.into())));
    assert!(matches!(check("remote.storage.enable", "true"), Err(AlterError::Value(_))));
    assert!(matches!(check("remote.log.copy.disable", "true"), Err(AlterError::Config(_))));
    assert!(matches!(check("min.compaction.lag.ms", "9223372036854775807"), Ok(())));
}

#[test]
fn brokers_are_checked_in_the_words_of_kafka() {
    let now = settings(&[("num.io.threads", "8"), ("log.retention.ms", "1000")], &[], &[]);
    let check = |level, entries: &[(&str, &str)]| match check_broker(&now, level, &properties(entries)) {
        Ok(()) => "fine".to_owned(),
        Err(AlterError::Request(text)) => text,
        Err(other) => panic!("{other:?}"),
    };
    for (entries, expected) in [
        (&[("broker.id", "7")][..], "Cannot update these configs dynamically: Set(broker.id)"),
        (
            &[("log.message.format.version", "2.0")],
            "Cannot update these configs dynamically: Set(log.message.format.version)",
        ),
        (
            &[("ssl.keystore.type", "JKS")],
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             HashSet(ssl.keystore.type)",
        ),
        (
            &[("message.max.bytes", "x")],
            "Invalid value x for configuration message.max.bytes: Not a number of type INT",
        ),
        (
            &[("leader.replication.throttled.rate", "-1")],
            "Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0",
        ),
        (
            &[("num.io.threads", "17")],
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for \
             num.io.threads=17, value should not be greater than double the current value 8 for configuration Invalid \
             dynamic configuration",
        ),
        (
            &[("log.cleaner.dedupe.buffer.size", "1000")],
            "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
        ),
        (
            &[("log.local.retention.ms", "2000")],
            "Invalid value org.apache.kafka.common.config.ConfigException: Invalid value 2000 for configuration \
             log.local.retention.ms: Value must not be more than log.retention.ms property value: 1000 for configuration \
             Invalid dynamic configuration",
        ),
        // Ours: Kafka changes them.
        (&[("listeners", "PLAINTEXT://:9999")], "Cannot update these configs dynamically: Set(listeners)"),
        (
            &[("listener.name.plaintext.ssl.keystore.type", "PEM")],
            "Cannot update these configs dynamically: Set(listener.name.plaintext.ssl.keystore.type)",
        ),
        // As they are, they are fine.
        (&[("listeners", "PLAINTEXT://:9092")], "fine"),
        (&[("num.io.threads", "16"), ("log.retention.ms", "5"), ("custom", "x"), ("min.insync.replicas", "2")], "fine"),
    ] {
        assert_eq!(check(Level::Broker, entries), expected, "{entries:?}");
    }
    assert_eq!(
        check(Level::Cluster, &[("advertised.listeners", "PLAINTEXT://a:1")]),
        "Cannot update these configs at default cluster level, broker id must be specified: Set(advertised.listeners)"
    );
}

#[test]
fn of_what_is_stored_only_the_valid_part_counts() {
    let stored = [
        ("broker.id", "7"),
        ("custom", "c"),
        ("listener.name.a.ssl.key.password", "keyLength:128,salt:x"),
        ("listeners", "PLAINTEXT://:1"),
        ("message.max.bytes", "x"),
        ("ssl.keystore.type", "JKS"),
        ("unclean.leader.election.enable", "true"),
    ];
    let names = |level| usable(level, &properties(&stored)).0.into_keys().collect::<Vec<_>>();
    assert_eq!(names(Level::Broker), ["custom", "listeners", "unclean.leader.election.enable"]);
    assert_eq!(names(Level::Cluster), ["custom", "unclean.leader.election.enable"]);
    assert_eq!(usable(Level::Broker, &properties(&stored)).1.len(), 4);
}

#[test]
fn both_levels_count_when_one_changes() {
    let now = settings(&[], &[("log.retention.ms", "7")], &[("log.retention.ms", "9"), ("log.segment.bytes", "5000")]);
    let wanted = properties(&[("log.segment.bytes", "6000")]);
    let then = now.with_dynamic(Level::Cluster.replaced(now.dynamic(), wanted)).unwrap();
    assert_eq!((then.log_config().retention_ms, then.log_config().segment_bytes), (7, 6000));
    let then = now.with_dynamic(Level::Broker.replaced(now.dynamic(), Properties::new())).unwrap();
    assert_eq!((then.log_config().retention_ms, then.log_config().segment_bytes), (9, 5000));
    let rate = ("replica.alter.log.dirs.io.max.bytes.per.second", "70");
    assert_eq!(move_bytes_per_s(now.dynamic()), i64::MAX);
    assert_eq!(move_bytes_per_s(settings(&[], &[], &[rate]).dynamic()), 70);
}
