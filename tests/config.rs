//! Settings against what a live Kafka 3.9.1 broker says about its own.

use barnabas::config::describe::{self, Entry};
use barnabas::config::{DynamicConfig, LogConfig, Mode, Settings, Support, docs, keys, topic};
use serde_json::Value as Json;
use std::collections::BTreeMap;

fn golden(name: &str) -> String {
    let path = format!("{}/tests/golden/config/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn golden_rows(name: &str) -> Vec<Json> {
    let text = golden(name);
    let (_origin, json) = text.split_once('\n').unwrap();
    serde_json::from_str(json).unwrap()
}

fn properties(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Settings with what no broker can do without, and these.
fn settings(entries: &[(&str, &str)]) -> Settings {
    let mut all = properties(&[("zookeeper.connect", "127.0.0.1:2181"), ("broker.id", "0")]);
    all.extend(properties(entries));
    Settings::from_properties(all).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(entries: &[(&str, &str)]) -> String {
    let mut all = properties(&[("zookeeper.connect", "127.0.0.1:2181"), ("broker.id", "0")]);
    all.extend(properties(entries));
    Settings::from_properties(all).unwrap_err().to_string()
}

/// The row as Kafka's admin client would print it.
fn printed(entry: &Entry) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|s| format!("ConfigSynonym(name={}, value={}, source={})", s.name, text(&s.value), s.source.name()))
        .collect();
    format!(
        "{} = {} {} {} s={} ro={} [{}]",
        entry.name,
        text(&entry.value),
        entry.kind.map_or("UNKNOWN", |kind| kind.name()),
        entry.source.name(),
        entry.sensitive,
        entry.read_only,
        synonyms.join(", ")
    )
}

#[test]
fn the_table_of_broker_keys_is_that_of_kafka() {
    let rows = golden_rows("broker-configs.json");
    let table: Vec<_> = keys::of_kafka().collect();
    assert_eq!(table.iter().map(|key| key.name).collect::<Vec<_>>(), rows.iter().map(name).collect::<Vec<_>>());
    for (key, row) in table.iter().zip(&rows) {
        assert_eq!(key.kind.name(), row["type"], "{}", key.name);
        assert_eq!(key.default, row["default"].as_str(), "{}", key.name);
        assert_eq!(key.default_value().render().as_deref(), row["default"].as_str(), "{}", key.name);
        assert_eq!(key.mode.name(), row["mode"], "{}", key.name);
        assert_eq!(key.mode == Mode::Internal, row["internal"], "{}", key.name);
        assert_eq!(key.valid.to_string(), row["valid"], "{}", key.name);
        if key.mode != Mode::Internal {
            assert_eq!(key.importance.name(), row["importance"], "{}", key.name);
            assert_eq!(key.sensitive(), row["sensitive"], "{}", key.name);
            assert_eq!(!key.mode.dynamic(), row["wire_read_only"], "{}", key.name);
        }
    }
}

fn name(row: &Json) -> &str {
    row["name"].as_str().unwrap()
}

#[test]
fn the_table_of_topic_keys_is_that_of_kafka() {
    let rows = golden_rows("topic-configs.json");
    let described = describe::topic(&properties(&[("retention.ms", "604800000")]), &settings(&[]));
    assert_eq!(topic::TOPIC_KEYS.len(), rows.len());
    for ((key, row), entry) in topic::TOPIC_KEYS.iter().zip(&rows).zip(&described) {
        assert_eq!((key.name, key.kind.name(), key.default), (name(row), text(row, "type"), text(row, "default")));
        assert_eq!(
            (key.valid.to_string().as_str(), key.importance.name()),
            (text(row, "valid"), text(row, "importance"))
        );
        assert_eq!(entry.value.as_deref(), row["value"].as_str(), "{}", key.name);
        assert_eq!(entry.source.name(), row["source"], "{}", key.name);
        let synonyms: Vec<String> = entry.synonyms.iter().map(|s| format!("{}|{}", s.name, s.source.name())).collect();
        assert_eq!(Json::from(synonyms), row["synonyms"], "{}", key.name);
    }
}

fn text<'a>(row: &'a Json, field: &str) -> &'a str {
    row[field].as_str().unwrap()
}

#[test]
fn a_broker_describes_itself_as_kafka_does() {
    let golden = golden("described.txt");
    let given: BTreeMap<String, String> = golden
        .lines()
        .filter_map(|line| line.strip_prefix("# > ")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let dynamic = DynamicConfig { broker: properties(&[("log.retention.ms", "99000")]), ..DynamicConfig::default() };
    let settings = Settings::from_properties(given).unwrap().with_dynamic(dynamic).unwrap();
    let overrides = properties(&[("segment.ms", "5000"), ("min.insync.replicas", " 2 ")]);
    let broker =
        describe::broker(&settings).iter().map(|entry| format!("broker {}", printed(entry))).collect::<Vec<_>>();
    let topic =
        describe::topic(&overrides, &settings).iter().map(|entry| format!("topic {}", printed(entry))).collect();
    let mut ours = [broker, topic].concat();
    ours.sort();
    let mut theirs: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    theirs.sort();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn bad_topic_configs_are_refused_in_the_words_of_kafka() {
    for line in golden("bad-topic-configs.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (given, expected) = line.split_once('\t').unwrap();
        let overrides = given.split(';').map(|entry| entry.split_once('=').unwrap()).collect::<Vec<_>>();
        let said = match LogConfig::default().validate(&properties(&overrides)) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{given}");
    }
}

#[test]
fn values_are_typed_and_derived() {
    let settings = settings(&[
        ("listeners", "PLAINTEXT://:9092,in://10.0.0.1:9093"),
        ("advertised.listeners", "PLAINTEXT://broker.example:9092,IN://10.0.0.1:9093"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,IN:PLAINTEXT"),
        ("inter.broker.listener.name", "in"),
        ("log.dirs", "/a, /b"),
        ("log.retention.hours", "1"),
        ("log.retention.minutes", "2"),
        ("log.roll.jitter.hours", "1"),
        ("broker.rack", "r1"),
        ("inter.broker.protocol.version", "2.8"),
    ]);
    assert_eq!(settings.get(keys::NUM_NETWORK_THREADS), 3);
    assert_eq!(settings.get(keys::BROKER_RACK).as_deref(), Some("r1"));
    assert_eq!(settings.get(keys::NODE_ID), 0);
    assert_eq!(settings.listeners().len(), 2);
    assert_eq!(settings.inter_broker_listener().to_string(), "IN://10.0.0.1:9093");
    assert_eq!(settings.log_dirs(), ["/a", "/b"].map(std::path::PathBuf::from));
    assert_eq!(settings.log_config().retention_ms, 120_000);
    assert_eq!(settings.log_config().segment_jitter_ms, 3_600_000);
    assert_eq!(settings.log_config().segment_ms, 604_800_000);
    assert_eq!(settings.zookeeper_connect(), "127.0.0.1:2181");
    assert_eq!(settings.zookeeper_connection_timeout_ms(), 18_000);
    assert_eq!(settings.inter_broker_protocol().name(), "2.8-IV1");
    let defaults = Settings::from_properties(properties(&[("zookeeper.connect", "z:1/chroot")])).unwrap();
    assert_eq!(defaults.log_dirs(), [std::path::PathBuf::from("/tmp/kafka-logs")]);
    assert_eq!(defaults.listeners()[0].to_string(), "PLAINTEXT://:9092");
    assert_eq!(defaults.log_config(), LogConfig::default());
    for key in keys::TABLE {
        let value = defaults.value_of(key.name);
        key.valid.check(key.name, &value).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn what_kafka_refuses_is_refused() {
    for (given, expected) in [
        (&[("broker.id", "1001")][..], "broker.id must be greater than or equal to -1 and not greater than"),
        (
            &[("broker.id", "-1"), ("broker.id.generation.enable", "false")],
            "broker.id must be greater than or equal to 0",
        ),
        (&[("node.id", "7")], "You must set `node.id` to the same value as `broker.id`."),
        (&[("zookeeper.connect", "")], "zookeeper.connect is empty"),
        (
            &[("num.network.threads", "0")],
            "Invalid value 0 for configuration num.network.threads: Value must be at least 1",
        ),
        (
            &[("num.partitions", "many")],
            "Invalid value many for configuration num.partitions: Not a number of type INT",
        ),
        (&[("listeners", "PLAINTEXT://a:1,PLAINTEXT://b:2")], "Each listener must have a different name"),
        (&[("listeners", "PLAINTEXT://a:1,X://b:2")], "No security protocol defined for listener X"),
        (&[("listeners", "")], "listeners is empty"),
        (&[("advertised.listeners", "PLAINTEXT://0.0.0.0:1")], "cannot use the nonroutable meta-address 0.0.0.0"),
        (&[("listeners", "PLAINTEXT://0.0.0.0:1")], "cannot use the nonroutable meta-address 0.0.0.0"),
        (&[("inter.broker.listener.name", "SSL")], "inter.broker.listener.name must be a listener name defined in"),
        (
            &[("inter.broker.listener.name", "X")],
            "Listener with name X defined in inter.broker.listener.name not found",
        ),
        (
            &[("inter.broker.listener.name", "PLAINTEXT"), ("security.inter.broker.protocol", "PLAINTEXT")],
            "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.",
        ),
        (&[("inter.broker.protocol.version", "9")], "Version 9 is not a valid version"),
        (&[("inter.broker.protocol.version", "2.3")], "brokers of 2.4-IV0 to 3.9-IV0"),
        (&[("log.retention.ms", "0")], "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"),
        (&[("log.dirs", "/a,/a")], "one directory stands there twice"),
        (&[("log.roll.ms", "0")], "log.roll.ms must be greater than or equal to 1"),
        (&[("log.cleaner.threads", "128")], "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."),
        (
            &[("controller.listener.names", "C")],
            "controller.listener.names must be empty when not running in KRaft mode",
        ),
        (
            &[("group.coordinator.rebalance.protocols", "consumer")],
            "Disabling the 'classic' protocol is not supported.",
        ),
        (&[("max.connections.per.ip.overrides", "a")], "`a` is not host:count"),
        (
            &[("listener.name.plaintext.num.network.threads", "x")],
            "listener.name.plaintext.num.network.threads: Not a number",
        ),
        (&[("barnabas.metrics.listener", "x")], "is not host:port"),
    ] {
        let said = errors(given);
        assert!(said.contains(expected), "{given:?}: {said}");
    }
    let missing = Settings::from_properties(properties(&[])).unwrap_err().to_string();
    assert!(missing.contains("Missing required configuration `zookeeper.connect`"), "{missing}");
    // All problems at once.
    assert_eq!(errors(&[("broker.id", "1001"), ("log.retention.ms", "0")]).lines().count(), 2);
}

#[test]
fn what_would_weaken_security_or_durability_stops_the_start() {
    for (key, value) in [
        ("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer"),
        ("listeners", "SSL://:9093"),
        ("zookeeper.set.acl", "true"),
        ("zookeeper.ssl.client.enable", "true"),
        ("control.plane.listener.name", "CONTROLLER"),
        ("process.roles", "broker"),
        ("zookeeper.metadata.migration.enable", "true"),
        ("ssl.client.auth", "required"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", "very secret"),
        ("delegation.token.secret.key", "very secret"),
        ("create.topic.policy.class.name", "a.B"),
    ] {
        let mut given = vec![(key, value)];
        if key == "listeners" {
            given.push(("security.inter.broker.protocol", "SSL"));
        }
        let said = errors(&given);
        assert!(said.contains("not supported yet") && said.contains(key), "{said}");
        assert!(!said.contains("very secret"), "{said}");
    }
    // A default that is written out asks for nothing.
    settings(&[("authorizer.class.name", ""), ("zookeeper.set.acl", "FALSE"), ("sasl.enabled.mechanisms", "GSSAPI")]);
}

#[test]
fn what_is_not_honoured_is_named() {
    let settings = settings(&[
        ("background.threads", "2"),
        ("num.partitions", "2"),
        ("controller.quorum.voters", "1@a:1"),
        ("my.plugin", "x"),
        ("listener.name.plaintext.max.connections", "7"),
        ("listener.name.plaintext.num.network.threads", "7"),
    ]);
    assert_eq!(settings.ignored(), ["background.threads", "listener.name.plaintext.num.network.threads"]);
    assert_eq!(settings.unknown(), ["my.plugin"]);
}

#[test]
fn dynamic_layers_win_in_order_and_are_refused_whole() {
    let settings = settings(&[("message.max.bytes", "1000"), ("min.insync.replicas", "1")]);
    let cluster = properties(&[("message.max.bytes", "2000"), ("min.insync.replicas", "2")]);
    let broker = properties(&[("message.max.bytes", "3000")]);
    let layered = settings.with_dynamic(DynamicConfig { broker, cluster: cluster.clone() }).unwrap();
    assert_eq!(layered.log_config().max_message_bytes, 3000);
    assert_eq!(layered.log_config().min_insync_replicas, 2);
    let defaults = describe::cluster_default(&layered);
    assert_eq!(
        defaults.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["message.max.bytes", "min.insync.replicas"]
    );
    assert!(defaults.iter().all(|entry| entry.source == describe::Source::DynamicDefaultBroker));
    let bad = DynamicConfig { broker: properties(&[("message.max.bytes", "-1")]), cluster };
    assert!(settings.with_dynamic(bad).is_err());
}

#[test]
fn the_page_about_settings_is_up_to_date() {
    let path = format!("{}/docs/config.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == docs::page(), "docs/config.md is old; write it again: barnabas docs config > docs/config.md");
}

/// The source files outside of `src/config`.
fn sources(directory: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("src/config") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn a_key_is_honoured_if_and_only_if_something_reads_it() {
    /// Honoured keys whose readers are still to be written.
    const PENDING: &[&str] = &[];
    /// Read through methods of `Settings` or `LogConfig`, or by the checks.
    const DERIVED: &[&str] = &[
        "advertised.listeners",
        "controller.listener.names",
        "inter.broker.listener.name",
        "inter.broker.protocol.version",
        "listener.security.protocol.map",
        "listeners",
        "log.dir",
        "log.dirs",
        "node.id",
        "security.inter.broker.protocol",
        "zookeeper.connect",
        "zookeeper.connection.timeout.ms",
    ];
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let of_topics: Vec<&str> = topic::TOPIC_KEYS.iter().flat_map(|key| key.broker_keys).copied().collect();
    for key in keys::TABLE {
        let constant = format!("keys::{}", key.name.replace('.', "_").to_uppercase());
        let read = files.iter().any(|text| {
            text.match_indices(&constant).any(|(at, _)| {
                !text[at + constant.len()..].starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric())
            })
        });
        let honoured = key.support == Support::Honoured;
        if read && !honoured {
            wrong.push(format!("{} is read, so the table should call it honoured", key.name));
        }
        let elsewhere = [DERIVED, PENDING, &of_topics].iter().any(|names| names.contains(&key.name));
        if honoured && !read && !elsewhere {
            wrong.push(format!("{} is called honoured, but nothing reads it", key.name));
        }
    }
    for key in topic::TOPIC_KEYS.iter().filter(|key| key.support == Support::Honoured) {
        let field = format!(".{}", key.name.replace('.', "_"));
        if !files.iter().any(|text| text.contains(&field)) && !PENDING.contains(&key.name) {
            wrong.push(format!("the topic key {} is called honoured, but nothing reads it", key.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Status, standard output and standard error of the program.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_barnabas")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_bad_file_stops_the_start_with_file_line_key_and_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    std::fs::write(&file, "# one\nzookeeper.connect=a:1\nnum.partitions : none\nbroker.id=0\n").unwrap();
    let path = file.to_str().unwrap();
    let (status, _, said) = program(&["server", path, "--override", "log.dirs=/a"]);
    assert_eq!(status, 1);
    let expected = format!("{path}:3: Invalid value none for configuration num.partitions: Not a number of type INT");
    assert!(said.contains(&expected), "{said}");
    let (status, said, _) = program(&["config", "check", path, "--override", "num.partitions=3"]);
    assert_eq!((status, said), (0, format!("{path}: the broker would start\n")));
    let (status, _, said) = program(&["server", path, "--override", "broker.id=-2", "--override", "num.partitions=1"]);
    assert_eq!(status, 1);
    assert!(said.contains("--override: broker.id must be greater than or equal to -1"), "{said}");
    let (status, _, said) = program(&["server", "no-such-file"]);
    assert_eq!(status, 1);
    assert!(said.contains("no-such-file: No such file"), "{said}");
}
