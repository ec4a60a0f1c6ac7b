//! Every znode of the captures decodes, and what we write in the same version has the same bytes.

use serde_json::Value;

use super::*;
use crate::ids::{BrokerId, ControllerEpoch, LeaderEpoch, TopicId};

/// Path without chroot and data of every node with data, of every capture.
fn golden() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/znodes");
    let mut nodes = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the captures are there").map(|entry| entry.unwrap().path()) {
        if entry.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let capture: Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
        for (path, node) in capture["nodes"].as_object().unwrap() {
            let Some(data) = node["data"].as_str() else { continue };
            let path =
                ["/sec/kafka", "/ibp26", "/ld"].iter().fold(path.as_str(), |p, root| p.strip_prefix(root).unwrap_or(p));
            nodes.push((path.to_owned(), data.to_owned()));
        }
    }
    assert!(nodes.len() > 500, "only {} nodes", nodes.len());
    nodes
}

fn check<T: Data + std::fmt::Debug>(prefix: &str, golden: &[(String, String)], exact: bool) {
    let mut seen = 0;
    for (path, data) in golden.iter().filter(|(path, _)| path.starts_with(prefix)) {
        let decoded = T::decode(data.as_bytes()).unwrap_or_else(|error| panic!("{path} {data}: {error}"));
        let encoded = decoded.encode();
        if exact {
            assert_eq!(std::str::from_utf8(&encoded).unwrap(), data, "{path}");
        } else {
            let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
            assert_eq!(parse(&encoded), parse(data.as_bytes()), "{path}");
        }
        seen += 1;
    }
    assert!(seen > 0, "no node below {prefix}");
}

#[test]
fn captures_decode_and_encode() {
    let golden = golden();
    check::<BrokerRegistration>("/brokers/ids/", &golden, true);
    check::<ClusterId>("/cluster/id", &golden, true);
    check::<Controller>(
        "/controller",
        &golden.iter().filter(|(p, _)| p == "/controller").cloned().collect::<Vec<_>>(),
        true,
    );
    check::<FeatureNode>("/feature", &golden, true);
    check::<ConfigChange>("/config/changes/", &golden, true);
    check::<ProducerIdBlock>("/latest_producer_id_block", &golden, true);
    check::<IsrChange>("/isr_change_notification/", &golden, true);
    check::<AclChange>("/kafka-acl-extended-changes/", &golden, true);
    check::<DelegationToken>("/delegation_token/tokens/", &golden, true);
    let (states, topics): (Vec<_>, Vec<_>) = golden
        .iter()
        .filter(|(path, _)| path.starts_with("/brokers/topics/"))
        .cloned()
        .partition(|(p, _)| p.ends_with("/state"));
    check::<PartitionState>("/brokers/topics/", &states, true);
    check::<TopicAssignment>("/brokers/topics/", &topics, true);
    for kind in ["topics", "brokers", "clients", "users", "ips"] {
        check::<EntityConfig>(&format!("/config/{kind}/"), &golden, true);
    }
    check::<AclList>("/kafka-acl/", &golden, false);
    for (path, data) in golden.iter().filter(|(path, _)| path == "/controller_epoch") {
        let epoch = decode_controller_epoch(data.as_bytes()).unwrap();
        assert_eq!(encode_controller_epoch(epoch), data, "{path}");
    }
}

#[test]
fn registrations_of_all_versions() {
    let v5 = BrokerRegistration {
        version: 5,
        endpoints: vec![
            Endpoint { listener: "IN".into(), host: "::1".into(), port: 9092, protocol: "SSL".into() },
            Endpoint { listener: "OUT".into(), host: "h".into(), port: 9093, protocol: "PLAINTEXT".into() },
        ],
        rack: Some("r1".into()),
        jmx_port: -1,
        timestamp_ms: 17,
        features: Default::default(),
    };
    let text = r#"{"features":{},"listener_security_protocol_map":{"IN":"SSL","OUT":"PLAINTEXT"},"endpoints":["IN://[::1]:9092","OUT://h:9093"],"rack":"r1","jmx_port":-1,"port":9093,"host":"h","version":5,"timestamp":"17"}"#;
    assert_eq!(v5.encode(), text);
    assert_eq!(BrokerRegistration::decode(text.as_bytes()), Ok(v5));

    let v1 = BrokerRegistration::decode(br#"{"version":1,"host":"a","port":9092,"jmx_port":9999,"timestamp":"2"}"#);
    let v1 = v1.unwrap();
    assert_eq!(v1.endpoints[0].to_string(), "PLAINTEXT://a:9092");
    assert_eq!((v1.jmx_port, v1.timestamp_ms), (9999, 2));
    let v2 = r#"{"jmx_port":-1,"timestamp":"1","endpoints":["SSL://b:1"],"host":null,"port":-1,"version":2,"x":{}}"#;
    assert_eq!(BrokerRegistration::decode(v2.as_bytes()).unwrap().endpoints[0].protocol, "SSL");
    for bad in ["{}", "[]", "", r#"{"version":0}"#, r#"{"version":5,"endpoints":["nonsense"]}"#] {
        assert!(BrokerRegistration::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_broker_without_plaintext_has_no_host() {
    let registration = BrokerRegistration {
        version: 4,
        endpoints: vec![Endpoint { listener: "SSL".into(), host: "h".into(), port: 1, protocol: "SSL".into() }],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 1,
        features: Default::default(),
    };
    let text = String::from_utf8(registration.encode().to_vec()).unwrap();
    assert!(text.contains(r#""port":-1,"host":null,"#), "{text}");
    assert!(!text.contains("features"), "{text}");
}

#[test]
fn topics_of_all_versions() {
    let seen = r#"{"partitions":{"0":[2,1,0]},"topic_id":"jUEeFJP9TmaK2W8yiFCUvg","adding_replicas":{"0":[2]},"removing_replicas":{"0":[0]},"version":3}"#;
    let topic = TopicAssignment::decode(seen.as_bytes()).unwrap();
    assert_eq!(topic.partitions[&0].adding, [BrokerId(2)]);
    assert_eq!(topic.encode(), seen);
    let old_tool = r#"{"removing_replicas":{},"partitions":{"1":[2,0],"0":[1,2]},"adding_replicas":{},"version":3}"#;
    assert_eq!(TopicAssignment::decode(old_tool.as_bytes()).unwrap().topic_id, None);
    let v1 = TopicAssignment::decode(br#"{"version":1,"partitions":{"10":[1],"9":[2]}}"#).unwrap();
    assert_eq!(v1.partitions.keys().copied().collect::<Vec<_>>(), [9, 10]);
    assert!(TopicAssignment::decode(br#"{"version":1,"partitions":{"x":[1]}}"#).is_err());
    assert!(TopicAssignment::decode(br#"{"version":3,"partitions":{},"topic_id":"short"}"#).is_err());
    let new = TopicAssignment::new(Some(TopicId::METADATA_TOPIC), &[(0, vec![BrokerId(1)])].into());
    assert_eq!(TopicAssignment::decode(&new.encode()), Ok(new));
}

#[test]
fn states_and_controllers() {
    let state = PartitionState {
        controller_epoch: ControllerEpoch(7),
        leader: BrokerId(1),
        leader_epoch: LeaderEpoch(3),
        isr: vec![BrokerId(1)],
        recovering: true,
    };
    let text = r#"{"controller_epoch":7,"leader":1,"version":1,"leader_recovery_state":1,"leader_epoch":3,"isr":[1]}"#;
    assert_eq!(state.encode(), text);
    let old = Controller::decode(br#"{"version":1,"brokerid":3,"timestamp":"5"}"#).unwrap();
    assert_eq!((old.broker_id, old.kraft_controller_epoch), (BrokerId(3), -1));
}

#[test]
fn old_changes_and_features() {
    let old = ConfigChange::decode(br#"{"version":1,"entity_type":"topics","entity_name":"t"}"#).unwrap();
    assert_eq!(old.entity_path, "topics/t");
    assert!(ConfigChange::decode(br#"{"version":1,"entity_type":"brokers","entity_name":"1"}"#).is_err());
    assert!(ConfigChange::decode(br#"{"version":3,"entity_path":"x"}"#).is_err());
    let text = r#"{"features":{"f":{"min_version_level":1,"max_version_level":2}},"version":1,"status":1}"#;
    assert_eq!(FeatureNode::decode(text.as_bytes()).unwrap().encode(), text);
}

#[test]
fn producer_id_blocks_follow_each_other() {
    let first = ProducerIdBlock::next(None, BrokerId(1)).unwrap().unwrap();
    assert_eq!((first.first, first.last), (0, 999));
    let second = ProducerIdBlock::next(Some(&first.encode()), BrokerId(2)).unwrap().unwrap();
    assert_eq!(second, ProducerIdBlock { broker: BrokerId(2), first: 1000, last: 1999 });
    assert_eq!(ProducerIdBlock::next(Some(&ProducerIdBlock::NONE_YET.encode()), BrokerId(1)), Ok(Some(first)));
    let spent = ProducerIdBlock { last: i64::MAX - 5, ..second };
    assert_eq!(ProducerIdBlock::next(Some(&spent.encode()), BrokerId(1)), Ok(None));
    assert!(ProducerIdBlock::next(Some(b"nonsense"), BrokerId(1)).is_err());
}
