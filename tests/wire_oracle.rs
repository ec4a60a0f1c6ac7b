//! Random messages, made by walking the schema, mean the same to us and to the `kafka-protocol` crate, which is generated
//! from Kafka's own definition: both read all of each and write it again to the same bytes.

#[path = "../build/messages.rs"]
#[allow(dead_code, reason = "the printer is not needed here")]
mod schema;

use std::path::Path;

use barnabas::wire::messages::reencode;
use barnabas::wire::{ApiKey, Reader};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schema::{Base, Field, Module, Versions};

/// Random messages for each message and version.
const ROUNDS: usize = 40;

/// Reads and writes a message of a version; also the versions that the crate knows.
struct Oracle {
    path: String,
    versions: Versions,
    reencode: fn(Bytes, i16) -> Result<Bytes, String>,
}

fn oracle<M: Message + Encodable + Decodable>(path: String) -> Oracle {
    let reencode = |mut bytes: Bytes, version| {
        let message = M::decode(&mut bytes, version).map_err(|e| format!("reading: {e}"))?;
        if !bytes.is_empty() {
            return Err(format!("{} bytes left over", bytes.len()));
        }
        let mut out = BytesMut::new();
        message.encode(&mut out, version).map_err(|e| format!("writing: {e}"))?;
        Ok(out.freeze())
    };
    Oracle { path, versions: (M::VERSIONS.min, M::VERSIONS.max), reencode }
}

macro_rules! oracles {
    ($($api:ident: $request:ident, $response:ident;)*) => {
        vec![$(
            oracle::<theirs::$request>(format!("{}::Request", ApiKey::$api.module())),
            oracle::<theirs::$response>(format!("{}::Response", ApiKey::$api.module())),
        )*]
    };
}

fn oracles() -> Vec<Oracle> {
    let mut all = oracles! {
        Produce: ProduceRequest, ProduceResponse;
        Fetch: FetchRequest, FetchResponse;
        ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
        Metadata: MetadataRequest, MetadataResponse;
        LeaderAndIsr: LeaderAndIsrRequest, LeaderAndIsrResponse;
        StopReplica: StopReplicaRequest, StopReplicaResponse;
        UpdateMetadata: UpdateMetadataRequest, UpdateMetadataResponse;
        ControlledShutdown: ControlledShutdownRequest, ControlledShutdownResponse;
        OffsetCommit: OffsetCommitRequest, OffsetCommitResponse;
        OffsetFetch: OffsetFetchRequest, OffsetFetchResponse;
        FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
        JoinGroup: JoinGroupRequest, JoinGroupResponse;
        Heartbeat: HeartbeatRequest, HeartbeatResponse;
        LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
        SyncGroup: SyncGroupRequest, SyncGroupResponse;
        DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
        ListGroups: ListGroupsRequest, ListGroupsResponse;
        SaslHandshake: SaslHandshakeRequest, SaslHandshakeResponse;
        ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
        CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
        DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
        DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse;
        InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
        AddPartitionsToTxn: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
        AddOffsetsToTxn: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
        EndTxn: EndTxnRequest, EndTxnResponse;
        WriteTxnMarkers: WriteTxnMarkersRequest, WriteTxnMarkersResponse;
        TxnOffsetCommit: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
        DescribeAcls: DescribeAclsRequest, DescribeAclsResponse;
        CreateAcls: CreateAclsRequest, CreateAclsResponse;
        DeleteAcls: DeleteAclsRequest, DeleteAclsResponse;
        DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
        AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
        AlterReplicaLogDirs: AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
        DescribeLogDirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
        SaslAuthenticate: SaslAuthenticateRequest, SaslAuthenticateResponse;
        CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
        CreateDelegationToken: CreateDelegationTokenRequest, CreateDelegationTokenResponse;
        RenewDelegationToken: RenewDelegationTokenRequest, RenewDelegationTokenResponse;
        ExpireDelegationToken: ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
        DescribeDelegationToken: DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
        DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse;
        ElectLeaders: ElectLeadersRequest, ElectLeadersResponse;
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
        AlterPartitionReassignments: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
        ListPartitionReassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
        OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse;
        DescribeClientQuotas: DescribeClientQuotasRequest, DescribeClientQuotasResponse;
        AlterClientQuotas: AlterClientQuotasRequest, AlterClientQuotasResponse;
        DescribeUserScramCredentials: DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
        AlterUserScramCredentials: AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
        AlterPartition: AlterPartitionRequest, AlterPartitionResponse;
        UpdateFeatures: UpdateFeaturesRequest, UpdateFeaturesResponse;
        Envelope: EnvelopeRequest, EnvelopeResponse;
        DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
        DescribeProducers: DescribeProducersRequest, DescribeProducersResponse;
        DescribeTransactions: DescribeTransactionsRequest, DescribeTransactionsResponse;
        ListTransactions: ListTransactionsRequest, ListTransactionsResponse;
        AllocateProducerIds: AllocateProducerIdsRequest, AllocateProducerIdsResponse;
        ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
        ConsumerGroupDescribe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    };
    assert_eq!(all.len(), 2 * ApiKey::ALL.len());
    all.push(oracle::<theirs::ConsumerProtocolSubscription>("consumer_protocol_subscription::Data".to_owned()));
    all.push(oracle::<theirs::ConsumerProtocolAssignment>("consumer_protocol_assignment::Data".to_owned()));
    all.push(oracle::<theirs::DefaultPrincipalData>("default_principal_data::Data".to_owned()));
    all
}

#[test]
fn random_messages_are_the_same_to_kafka_protocol() {
    let modules = schema::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(39);
    for Oracle { path, versions, reencode: theirs } in oracles() {
        let (name, root) = path.split_once("::").unwrap();
        let module = modules.iter().find(|m| m.rust_name() == name).unwrap();
        assert_eq!(module.versions, versions, "{path}");
        for version in versions.0..=versions.1 {
            for _ in 0..ROUNDS {
                let mut writer = Random { module, version, rng: &mut rng, out: Vec::new() };
                writer.put_struct(root, false);
                let message = Bytes::from(writer.out);
                let mut r = Reader::new(message.clone());
                let ours = reencode(&path, &mut r, version).unwrap().unwrap().into_bytes().unwrap();
                assert_eq!(r.left(), 0, "{path} v{version}: bytes left over");
                assert_eq!(ours, message, "{path} v{version}: ours");
                assert_eq!(theirs(message.clone(), version), Ok(message), "{path} v{version}: theirs");
            }
        }
    }
}

/// Records of group and transaction logs are not in the crate: they come back as they went.
#[test]
fn random_log_records_come_back() {
    let modules = schema::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(91);
    for module in modules.iter().filter(|m| m.key.is_none()) {
        for version in module.versions.0..=module.versions.1 {
            for _ in 0..ROUNDS {
                let mut writer = Random { module, version, rng: &mut rng, out: Vec::new() };
                writer.put_struct("Data", false);
                let message = Bytes::from(writer.out);
                let path = format!("{}::Data", module.rust_name());
                let ours = reencode(&path, &mut Reader::new(message.clone()), version).unwrap().unwrap();
                assert_eq!(ours.into_bytes().unwrap(), message, "{path} v{version}");
            }
        }
    }
}

/// Writes random values of one version, by the rules of the protocol and not by the code under test.
struct Random<'a> {
    module: &'a Module,
    version: i16,
    rng: &'a mut ChaCha8Rng,
    out: Vec<u8>,
}

impl Random<'_> {
    fn contains(&self, versions: Versions) -> bool {
        (versions.0..=versions.1).contains(&self.version)
    }

    fn flexible(&self) -> bool {
        self.module.flexible.is_some_and(|first| self.version >= first)
    }

    /// `other`: no field has its default, because a tagged field that has it would not be written again.
    fn put_struct(&mut self, name: &str, other: bool) {
        let (tagged, plain): (Vec<&Field>, Vec<&Field>) = self
            .module
            .find(name)
            .unwrap()
            .fields
            .iter()
            .filter(|f| self.contains(f.versions))
            .partition(|f| f.tag.is_some());
        plain.into_iter().for_each(|field| self.put_field(field, other));
        if !self.flexible() {
            return;
        }
        let mut chosen: Vec<&Field> = tagged.into_iter().filter(|_| self.rng.random()).collect();
        chosen.sort_by_key(|field| field.tag);
        self.put_varint(chosen.len() as u32);
        for field in chosen {
            let before = std::mem::take(&mut self.out);
            self.put_field(field, true);
            let value = std::mem::replace(&mut self.out, before);
            self.put_varint(field.tag.unwrap());
            self.put_varint(value.len() as u32);
            self.out.extend(value);
        }
    }

    fn put_field(&mut self, field: &Field, other: bool) {
        let null = !other && field.null.is_some_and(|null| self.contains(null)) && self.rng.random_bool(0.25);
        if field.array {
            let count = if other { 2 } else { self.rng.random_range(0..4) };
            self.put_length((!null).then_some(count), false);
            for _ in 0..if null { 0 } else { count } {
                self.put_value(field, false, other);
            }
        } else {
            self.put_value(field, null, other);
        }
    }

    fn put_value(&mut self, field: &Field, null: bool, other: bool) {
        match &field.base {
            Base::Bool => {
                let default = field.default.as_deref() == Some("true");
                let value = if other { !default } else { self.rng.random() };
                self.out.push(value.into());
            }
            Base::Number(name) => {
                let size = match name.as_str() {
                    "i8" => 1,
                    "i16" | "u16" => 2,
                    "i32" | "u32" => 4,
                    _ => 8,
                };
                // 0x55.. is nobody's default; the edges are commoner than chance has it.
                let byte =
                    if other { Some(0x55) } else { [None, None, Some(0), Some(0xff)][self.rng.random_range(0..4)] };
                for _ in 0..size {
                    let value = byte.unwrap_or_else(|| self.rng.random());
                    self.out.push(value);
                }
            }
            Base::Uuid => {
                let value: [u8; 16] = self.rng.random();
                self.out.extend(value);
            }
            Base::String => {
                let count = self.rng.random_range(usize::from(other)..6);
                let text: String = (0..count).map(|_| ['a', 'Z', '-', 'é', '∞'][self.rng.random_range(0..5)]).collect();
                self.put_length((!null).then_some(text.len()), true);
                self.out.extend(if null { &[] } else { text.as_bytes() });
            }
            Base::Bytes | Base::Records => {
                let count = self.rng.random_range(usize::from(other)..3000);
                self.put_length((!null).then_some(count), false);
                self.out.extend(std::iter::repeat_n(0xa5, if null { 0 } else { count }));
            }
            Base::Struct(name) => {
                if !field.array && field.null.is_some() {
                    self.out.push(if null { 0xff } else { 1 });
                }
                if !null {
                    self.put_struct(name, other);
                }
            }
        }
    }

    fn put_length(&mut self, length: Option<usize>, short: bool) {
        if self.flexible() {
            self.put_varint(length.map_or(0, |n| n as u32 + 1));
        } else if short {
            self.out.extend(length.map_or(-1, |n| n as i16).to_be_bytes());
        } else {
            self.out.extend(length.map_or(-1, |n| n as i32).to_be_bytes());
        }
    }

    fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
