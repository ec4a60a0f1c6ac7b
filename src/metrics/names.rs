//! The metrics of Kafka that we know, once each.
//!
//! Names are those that the Prometheus JMX exporter gives Kafka's MBeans with its published rules for Kafka, in lower case,
//! so that dashboards made for Kafka work. `tests/metrics.rs` compares them with a live broker's.

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows: the count of a meter.
    Counter,
    /// Quantiles of the latest observations, as a gauge with the label `quantile`, and their number with the suffix `_count`.
    Histogram,
}

/// One line of the table.
#[derive(Debug)]
pub struct Metric {
    /// The MBean in Kafka.
    pub jmx: &'static str,
    /// The exported name.
    pub name: &'static str,
    pub kind: Kind,
    /// Names of the labels; some metrics also have one series without labels, the sum over all.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident: $kind:ident = $jmx:literal, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $help)]
        pub static $id: Metric = Metric {
            jmx: $jmx,
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// The table, in the order of the MBeans.
        pub static TABLE: &[&Metric] = &[$(&$id,)*];
    };
}

metrics! {
    // constant: kind = MBean, exported name, [labels], meaning
    PARTITION_AT_MIN_ISR: Gauge = "kafka.cluster:type=Partition,name=AtMinIsr,topic=<topic>,partition=<p>", "kafka_cluster_partition_atminisr", ["topic", "partition"], "1 if the in-sync replicas are exactly min.insync.replicas";
    PARTITION_IN_SYNC_REPLICAS_COUNT: Gauge = "kafka.cluster:type=Partition,name=InSyncReplicasCount,topic=<topic>,partition=<p>", "kafka_cluster_partition_insyncreplicascount", ["topic", "partition"], "in-sync replicas of a partition led here";
    PARTITION_LAST_STABLE_OFFSET_LAG: Gauge = "kafka.cluster:type=Partition,name=LastStableOffsetLag,topic=<topic>,partition=<p>", "kafka_cluster_partition_laststableoffsetlag", ["topic", "partition"], "records between the last stable offset and the high watermark";
    PARTITION_REPLICAS_COUNT: Gauge = "kafka.cluster:type=Partition,name=ReplicasCount,topic=<topic>,partition=<p>", "kafka_cluster_partition_replicascount", ["topic", "partition"], "assigned replicas of a partition led here";
    PARTITION_UNDER_MIN_ISR: Gauge = "kafka.cluster:type=Partition,name=UnderMinIsr,topic=<topic>,partition=<p>", "kafka_cluster_partition_underminisr", ["topic", "partition"], "1 if fewer replicas are in sync than min.insync.replicas";
    PARTITION_UNDER_REPLICATED: Gauge = "kafka.cluster:type=Partition,name=UnderReplicated,topic=<topic>,partition=<p>", "kafka_cluster_partition_underreplicated", ["topic", "partition"], "1 if a replica is not in sync";
    CONTROLLER_CHANNEL_MANAGER_QUEUE_SIZE: Gauge = "kafka.controller:type=ControllerChannelManager,name=QueueSize,broker-id=<broker>", "kafka_controller_controllerchannelmanager_queuesize", ["broker_id"], "requests of the controller that wait for a broker";
    CONTROLLER_CHANNEL_MANAGER_REQUEST_RATE_AND_QUEUE_TIME_MS: Histogram = "kafka.controller:type=ControllerChannelManager,name=RequestRateAndQueueTimeMs,broker-id=<broker>", "kafka_controller_controllerchannelmanager_requestrateandqueuetimems", ["broker_id"], "time that requests of the controller waited for a broker, in ms";
    CONTROLLER_CHANNEL_MANAGER_TOTAL_QUEUE_SIZE: Gauge = "kafka.controller:type=ControllerChannelManager,name=TotalQueueSize", "kafka_controller_controllerchannelmanager_totalqueuesize", [], "requests of the controller that wait, all brokers";
    CONTROLLER_EVENT_MANAGER_EVENT_QUEUE_SIZE: Gauge = "kafka.controller:type=ControllerEventManager,name=EventQueueSize", "kafka_controller_controllereventmanager_eventqueuesize", [], "events that wait for the controller";
    CONTROLLER_EVENT_MANAGER_EVENT_QUEUE_TIME_MS: Histogram = "kafka.controller:type=ControllerEventManager,name=EventQueueTimeMs", "kafka_controller_controllereventmanager_eventqueuetimems", [], "time that events waited for the controller, in ms";
    CONTROLLER_STATS_AUTO_LEADER_BALANCE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=AutoLeaderBalanceRateAndTimeMs", "kafka_controller_controllerstats_autoleaderbalancerateandtimems", [], "time of the controller for preferred-leader elections by itself, in ms";
    CONTROLLER_STATS_CONTROLLED_SHUTDOWN_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=ControlledShutdownRateAndTimeMs", "kafka_controller_controllerstats_controlledshutdownrateandtimems", [], "time of the controller for controlled shutdown, in ms";
    CONTROLLER_STATS_CONTROLLER_CHANGE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=ControllerChangeRateAndTimeMs", "kafka_controller_controllerstats_controllerchangerateandtimems", [], "time of the controller for taking office, in ms";
    CONTROLLER_STATS_CONTROLLER_SHUTDOWN_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=ControllerShutdownRateAndTimeMs", "kafka_controller_controllerstats_controllershutdownrateandtimems", [], "time of the controller for leaving office on request, in ms";
    CONTROLLER_STATS_ISR_CHANGE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=IsrChangeRateAndTimeMs", "kafka_controller_controllerstats_isrchangerateandtimems", [], "time of the controller for changes of in-sync replicas, in ms";
    CONTROLLER_STATS_LEADER_AND_ISR_RESPONSE_RECEIVED_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=LeaderAndIsrResponseReceivedRateAndTimeMs", "kafka_controller_controllerstats_leaderandisrresponsereceivedrateandtimems", [], "time of the controller for answers to LeaderAndIsr, in ms";
    CONTROLLER_STATS_LEADER_ELECTION_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=LeaderElectionRateAndTimeMs", "kafka_controller_controllerstats_leaderelectionrateandtimems", [], "time of the controller for leader election, in ms";
    CONTROLLER_STATS_LIST_PARTITION_REASSIGNMENT_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=ListPartitionReassignmentRateAndTimeMs", "kafka_controller_controllerstats_listpartitionreassignmentrateandtimems", [], "time of the controller for listing reassignments, in ms";
    CONTROLLER_STATS_LOG_DIR_CHANGE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=LogDirChangeRateAndTimeMs", "kafka_controller_controllerstats_logdirchangerateandtimems", [], "time of the controller for log dir change, in ms";
    CONTROLLER_STATS_MANUAL_LEADER_BALANCE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=ManualLeaderBalanceRateAndTimeMs", "kafka_controller_controllerstats_manualleaderbalancerateandtimems", [], "time of the controller for leader elections on request, in ms";
    CONTROLLER_STATS_PARTITION_REASSIGNMENT_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=PartitionReassignmentRateAndTimeMs", "kafka_controller_controllerstats_partitionreassignmentrateandtimems", [], "time of the controller for partition reassignment, in ms";
    CONTROLLER_STATS_TOPIC_CHANGE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=TopicChangeRateAndTimeMs", "kafka_controller_controllerstats_topicchangerateandtimems", [], "time of the controller for topic change, in ms";
    CONTROLLER_STATS_TOPIC_DELETION_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=TopicDeletionRateAndTimeMs", "kafka_controller_controllerstats_topicdeletionrateandtimems", [], "time of the controller for topic deletion, in ms";
    CONTROLLER_STATS_TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=TopicUncleanLeaderElectionEnableRateAndTimeMs", "kafka_controller_controllerstats_topicuncleanleaderelectionenablerateandtimems", [], "time of the controller for elections after a topic allowed unclean leaders, in ms";
    CONTROLLER_STATS_UNCLEAN_LEADER_ELECTION_ENABLE_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=UncleanLeaderElectionEnableRateAndTimeMs", "kafka_controller_controllerstats_uncleanleaderelectionenablerateandtimems", [], "time of the controller for elections after the cluster allowed unclean leaders, in ms";
    CONTROLLER_STATS_UNCLEAN_LEADER_ELECTIONS_PER_SEC: Counter = "kafka.controller:type=ControllerStats,name=UncleanLeaderElectionsPerSec", "kafka_controller_controllerstats_uncleanleaderelections_total", [], "leaders elected outside the in-sync replicas";
    CONTROLLER_STATS_UPDATE_FEATURES_RATE_AND_TIME_MS: Histogram = "kafka.controller:type=ControllerStats,name=UpdateFeaturesRateAndTimeMs", "kafka_controller_controllerstats_updatefeaturesrateandtimems", [], "time of the controller for update features, in ms";
    KAFKA_CONTROLLER_ACTIVE_BROKER_COUNT: Gauge = "kafka.controller:type=KafkaController,name=ActiveBrokerCount", "kafka_controller_kafkacontroller_activebrokercount", [], "live brokers, as the controller knows them";
    KAFKA_CONTROLLER_ACTIVE_CONTROLLER_COUNT: Gauge = "kafka.controller:type=KafkaController,name=ActiveControllerCount", "kafka_controller_kafkacontroller_activecontrollercount", [], "1 on the controller, 0 elsewhere";
    KAFKA_CONTROLLER_CONTROLLER_STATE: Gauge = "kafka.controller:type=KafkaController,name=ControllerState", "kafka_controller_kafkacontroller_controllerstate", [], "number of the event kind that the controller works on, 0 when idle";
    KAFKA_CONTROLLER_FENCED_BROKER_COUNT: Gauge = "kafka.controller:type=KafkaController,name=FencedBrokerCount", "kafka_controller_kafkacontroller_fencedbrokercount", [], "always 0 with ZooKeeper";
    KAFKA_CONTROLLER_GLOBAL_PARTITION_COUNT: Gauge = "kafka.controller:type=KafkaController,name=GlobalPartitionCount", "kafka_controller_kafkacontroller_globalpartitioncount", [], "partitions of the cluster";
    KAFKA_CONTROLLER_GLOBAL_TOPIC_COUNT: Gauge = "kafka.controller:type=KafkaController,name=GlobalTopicCount", "kafka_controller_kafkacontroller_globaltopiccount", [], "topics of the cluster";
    KAFKA_CONTROLLER_OFFLINE_PARTITIONS_COUNT: Gauge = "kafka.controller:type=KafkaController,name=OfflinePartitionsCount", "kafka_controller_kafkacontroller_offlinepartitionscount", [], "partitions without leader";
    KAFKA_CONTROLLER_PREFERRED_REPLICA_IMBALANCE_COUNT: Gauge = "kafka.controller:type=KafkaController,name=PreferredReplicaImbalanceCount", "kafka_controller_kafkacontroller_preferredreplicaimbalancecount", [], "partitions whose leader is not the preferred replica";
    KAFKA_CONTROLLER_REPLICAS_INELIGIBLE_TO_DELETE_COUNT: Gauge = "kafka.controller:type=KafkaController,name=ReplicasIneligibleToDeleteCount", "kafka_controller_kafkacontroller_replicasineligibletodeletecount", [], "replicas whose deletion has to wait";
    KAFKA_CONTROLLER_REPLICAS_TO_DELETE_COUNT: Gauge = "kafka.controller:type=KafkaController,name=ReplicasToDeleteCount", "kafka_controller_kafkacontroller_replicastodeletecount", [], "replicas to delete";
    KAFKA_CONTROLLER_TOPICS_INELIGIBLE_TO_DELETE_COUNT: Gauge = "kafka.controller:type=KafkaController,name=TopicsIneligibleToDeleteCount", "kafka_controller_kafkacontroller_topicsineligibletodeletecount", [], "topics whose deletion has to wait";
    KAFKA_CONTROLLER_TOPICS_TO_DELETE_COUNT: Gauge = "kafka.controller:type=KafkaController,name=TopicsToDeleteCount", "kafka_controller_kafkacontroller_topicstodeletecount", [], "topics to delete";
    KAFKA_CONTROLLER_ZK_MIGRATION_STATE: Gauge = "kafka.controller:type=KafkaController,name=ZkMigrationState", "kafka_controller_kafkacontroller_zkmigrationstate", [], "always 0: no migration to KRaft";
    GROUP_METADATA_MANAGER_NUM_GROUPS: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroups", "kafka_coordinator_group_groupmetadatamanager_numgroups", [], "groups coordinated here";
    GROUP_METADATA_MANAGER_NUM_GROUPS_COMPLETING_REBALANCE: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsCompletingRebalance", "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance", [], "groups that wait for the assignment of their leader";
    GROUP_METADATA_MANAGER_NUM_GROUPS_DEAD: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsDead", "kafka_coordinator_group_groupmetadatamanager_numgroupsdead", [], "groups about to be removed";
    GROUP_METADATA_MANAGER_NUM_GROUPS_EMPTY: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsEmpty", "kafka_coordinator_group_groupmetadatamanager_numgroupsempty", [], "groups without members";
    GROUP_METADATA_MANAGER_NUM_GROUPS_PREPARING_REBALANCE: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsPreparingRebalance", "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance", [], "groups that wait for members to join";
    GROUP_METADATA_MANAGER_NUM_GROUPS_STABLE: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsStable", "kafka_coordinator_group_groupmetadatamanager_numgroupsstable", [], "groups at work";
    GROUP_METADATA_MANAGER_NUM_OFFSETS: Gauge = "kafka.coordinator.group:type=GroupMetadataManager,name=NumOffsets", "kafka_coordinator_group_groupmetadatamanager_numoffsets", [], "committed offsets kept here";
    TRANSACTION_MARKER_CHANNEL_MANAGER_LOG_APPEND_RETRY_QUEUE_SIZE: Gauge = "kafka.coordinator.transaction:type=TransactionMarkerChannelManager,name=LogAppendRetryQueueSize", "kafka_coordinator_transaction_transactionmarkerchannelmanager_logappendretryqueuesize", [], "transactions whose end could not be logged yet";
    TRANSACTION_MARKER_CHANNEL_MANAGER_UNKNOWN_DESTINATION_QUEUE_SIZE: Gauge = "kafka.coordinator.transaction:type=TransactionMarkerChannelManager,name=UnknownDestinationQueueSize", "kafka_coordinator_transaction_transactionmarkerchannelmanager_unknowndestinationqueuesize", [], "markers for partitions without a known leader";
    LOG_LOG_END_OFFSET: Gauge = "kafka.log:type=Log,name=LogEndOffset,topic=<topic>,partition=<p>", "kafka_log_log_logendoffset", ["topic", "partition"], "offset of the next record of a log";
    LOG_LOG_START_OFFSET: Gauge = "kafka.log:type=Log,name=LogStartOffset,topic=<topic>,partition=<p>", "kafka_log_log_logstartoffset", ["topic", "partition"], "first offset of a log";
    LOG_NUM_LOG_SEGMENTS: Gauge = "kafka.log:type=Log,name=NumLogSegments,topic=<topic>,partition=<p>", "kafka_log_log_numlogsegments", ["topic", "partition"], "segments of a log";
    LOG_SIZE: Gauge = "kafka.log:type=Log,name=Size,topic=<topic>,partition=<p>", "kafka_log_log_size", ["topic", "partition"], "bytes of a log";
    LOG_CLEANER_DEAD_THREAD_COUNT: Gauge = "kafka.log:type=LogCleaner,name=DeadThreadCount", "kafka_log_logcleaner_deadthreadcount", [], "cleaner threads that died";
    LOG_CLEANER_CLEANER_RECOPY_PERCENT: Gauge = "kafka.log:type=LogCleaner,name=cleaner-recopy-percent", "kafka_log_logcleaner_cleaner_recopy_percent", [], "bytes written by the last cleaning, in percent of those read";
    LOG_CLEANER_MAX_BUFFER_UTILIZATION_PERCENT: Gauge = "kafka.log:type=LogCleaner,name=max-buffer-utilization-percent", "kafka_log_logcleaner_max_buffer_utilization_percent", [], "fullest cleaner buffer, in percent";
    LOG_CLEANER_MAX_CLEAN_TIME_SECS: Gauge = "kafka.log:type=LogCleaner,name=max-clean-time-secs", "kafka_log_logcleaner_max_clean_time_secs", [], "longest last cleaning, in s";
    LOG_CLEANER_MAX_COMPACTION_DELAY_SECS: Gauge = "kafka.log:type=LogCleaner,name=max-compaction-delay-secs", "kafka_log_logcleaner_max_compaction_delay_secs", [], "longest delay past max.compaction.lag.ms, in s";
    LOG_CLEANER_MANAGER_MAX_DIRTY_PERCENT: Gauge = "kafka.log:type=LogCleanerManager,name=max-dirty-percent", "kafka_log_logcleanermanager_max_dirty_percent", [], "dirtiest log, in percent";
    LOG_CLEANER_MANAGER_TIME_SINCE_LAST_RUN_MS: Gauge = "kafka.log:type=LogCleanerManager,name=time-since-last-run-ms", "kafka_log_logcleanermanager_time_since_last_run_ms", [], "time since the cleaner last ran, in ms";
    LOG_CLEANER_MANAGER_UNCLEANABLE_BYTES: Gauge = "kafka.log:type=LogCleanerManager,name=uncleanable-bytes,logDirectory=<dir>", "kafka_log_logcleanermanager_uncleanable_bytes", ["logDirectory"], "bytes of logs that cannot be cleaned";
    LOG_CLEANER_MANAGER_UNCLEANABLE_PARTITIONS_COUNT: Gauge = "kafka.log:type=LogCleanerManager,name=uncleanable-partitions-count,logDirectory=<dir>", "kafka_log_logcleanermanager_uncleanable_partitions_count", ["logDirectory"], "logs that cannot be cleaned";
    LOG_FLUSH_STATS_LOG_FLUSH_RATE_AND_TIME_MS: Histogram = "kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs", "kafka_log_logflushstats_logflushrateandtimems", [], "time of a log flush, in ms";
    LOG_MANAGER_LOG_DIRECTORY_OFFLINE: Gauge = "kafka.log:type=LogManager,name=LogDirectoryOffline,logDirectory=<dir>", "kafka_log_logmanager_logdirectoryoffline", ["logDirectory"], "1 if the directory is offline";
    LOG_MANAGER_OFFLINE_LOG_DIRECTORY_COUNT: Gauge = "kafka.log:type=LogManager,name=OfflineLogDirectoryCount", "kafka_log_logmanager_offlinelogdirectorycount", [], "directories that are offline";
    LOG_MANAGER_REMAINING_LOGS_TO_RECOVER: Gauge = "kafka.log:type=LogManager,name=remainingLogsToRecover,dir=<dir>", "kafka_log_logmanager_remaininglogstorecover", ["dir"], "logs that are still to be loaded; only while a broker starts";
    LOG_MANAGER_REMAINING_SEGMENTS_TO_RECOVER: Gauge = "kafka.log:type=LogManager,name=remainingSegmentsToRecover,dir=<dir>,threadNum=<n>", "kafka_log_logmanager_remainingsegmentstorecover", ["dir", "threadNum"], "segments of the log in hand that are still to be checked; only while a broker starts";
    ACCEPTOR_ACCEPTOR_BLOCKED_PERCENT: Counter = "kafka.network:type=Acceptor,name=AcceptorBlockedPercent,listener=<listener>", "kafka_network_acceptor_acceptorblockedpercent_count", ["listener"], "nanoseconds for which a listener could not accept";
    PROCESSOR_IDLE_PERCENT: Gauge = "kafka.network:type=Processor,name=IdlePercent,networkProcessor=<n>", "kafka_network_processor_idlepercent", ["networkProcessor"], "idle share of one network thread";
    REQUEST_CHANNEL_REQUEST_QUEUE_SIZE: Gauge = "kafka.network:type=RequestChannel,name=RequestQueueSize", "kafka_network_requestchannel_requestqueuesize", [], "requests that wait for a handler";
    REQUEST_CHANNEL_RESPONSE_QUEUE_SIZE: Gauge = "kafka.network:type=RequestChannel,name=ResponseQueueSize,processor=<n>", "kafka_network_requestchannel_responsequeuesize", ["processor"], "answers that wait to be sent";
    REQUEST_METRICS_DEPRECATED_REQUESTS_PER_SEC: Counter = "kafka.network:type=RequestMetrics,name=DeprecatedRequestsPerSec,request=<api>,version=<v>,clientSoftwareName=<name>,clientSoftwareVersion=<version>", "kafka_network_requestmetrics_deprecatedrequests_total", ["request", "version", "clientSoftwareName", "clientSoftwareVersion"], "requests of versions that newer releases drop";
    REQUEST_METRICS_ERRORS_PER_SEC: Counter = "kafka.network:type=RequestMetrics,name=ErrorsPerSec,request=<api>,error=<ERROR>", "kafka_network_requestmetrics_errors_total", ["request", "error"], "answers by error code";
    REQUEST_METRICS_LOCAL_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=LocalTimeMs,request=<api>", "kafka_network_requestmetrics_localtimems", ["request"], "time a request was worked on by its broker, in ms";
    REQUEST_METRICS_MESSAGE_CONVERSIONS_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=MessageConversionsTimeMs,request=<api>", "kafka_network_requestmetrics_messageconversionstimems", ["request"], "time for converting record formats, in ms";
    REQUEST_METRICS_REMOTE_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=RemoteTimeMs,request=<api>", "kafka_network_requestmetrics_remotetimems", ["request"], "time a request waited for others, in ms";
    REQUEST_METRICS_REQUEST_BYTES: Histogram = "kafka.network:type=RequestMetrics,name=RequestBytes,request=<api>", "kafka_network_requestmetrics_requestbytes", ["request"], "bytes of a request";
    REQUEST_METRICS_REQUEST_QUEUE_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=RequestQueueTimeMs,request=<api>", "kafka_network_requestmetrics_requestqueuetimems", ["request"], "time a request waited for a handler, in ms";
    REQUEST_METRICS_REQUESTS_PER_SEC: Counter = "kafka.network:type=RequestMetrics,name=RequestsPerSec,request=<api>,version=<v>", "kafka_network_requestmetrics_requests_total", ["request", "version"], "requests";
    REQUEST_METRICS_RESPONSE_QUEUE_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=ResponseQueueTimeMs,request=<api>", "kafka_network_requestmetrics_responsequeuetimems", ["request"], "time an answer waited to be sent, in ms";
    REQUEST_METRICS_RESPONSE_SEND_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=ResponseSendTimeMs,request=<api>", "kafka_network_requestmetrics_responsesendtimems", ["request"], "time for sending an answer, in ms";
    REQUEST_METRICS_TEMPORARY_MEMORY_BYTES: Histogram = "kafka.network:type=RequestMetrics,name=TemporaryMemoryBytes,request=<api>", "kafka_network_requestmetrics_temporarymemorybytes", ["request"], "bytes for converting record formats";
    REQUEST_METRICS_THROTTLE_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=ThrottleTimeMs,request=<api>", "kafka_network_requestmetrics_throttletimems", ["request"], "time a client was throttled for a request, in ms";
    REQUEST_METRICS_TOTAL_TIME_MS: Histogram = "kafka.network:type=RequestMetrics,name=TotalTimeMs,request=<api>", "kafka_network_requestmetrics_totaltimems", ["request"], "time from a request to its answer, in ms";
    SOCKET_SERVER_CONTROL_PLANE_EXPIRED_CONNECTIONS_KILLED_COUNT: Gauge = "kafka.network:type=SocketServer,name=ControlPlaneExpiredConnectionsKilledCount", "kafka_network_socketserver_controlplaneexpiredconnectionskilledcount", [], "closed connections of the control plane whose session had expired";
    SOCKET_SERVER_CONTROL_PLANE_NETWORK_PROCESSOR_AVG_IDLE_PERCENT: Gauge = "kafka.network:type=SocketServer,name=ControlPlaneNetworkProcessorAvgIdlePercent", "kafka_network_socketserver_controlplanenetworkprocessoravgidlepercent", [], "idle share of the control plane thread";
    SOCKET_SERVER_EXPIRED_CONNECTIONS_KILLED_COUNT: Gauge = "kafka.network:type=SocketServer,name=ExpiredConnectionsKilledCount", "kafka_network_socketserver_expiredconnectionskilledcount", [], "closed connections whose session had expired";
    SOCKET_SERVER_MEMORY_POOL_AVAILABLE: Gauge = "kafka.network:type=SocketServer,name=MemoryPoolAvailable", "kafka_network_socketserver_memorypoolavailable", [], "bytes left for requests";
    SOCKET_SERVER_MEMORY_POOL_USED: Gauge = "kafka.network:type=SocketServer,name=MemoryPoolUsed", "kafka_network_socketserver_memorypoolused", [], "bytes held by requests";
    SOCKET_SERVER_NETWORK_PROCESSOR_AVG_IDLE_PERCENT: Gauge = "kafka.network:type=SocketServer,name=NetworkProcessorAvgIdlePercent", "kafka_network_socketserver_networkprocessoravgidlepercent", [], "idle share of the network threads";
    ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_FAILURE_RATE: Counter = "kafka.server:type=AddPartitionsToTxnManager,name=VerificationFailureRate", "kafka_server_addpartitionstotxnmanager_verificationfailurerate_count", [], "failed verifications of transactional appends";
    ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_TIME_MS: Histogram = "kafka.server:type=AddPartitionsToTxnManager,name=VerificationTimeMs", "kafka_server_addpartitionstotxnmanager_verificationtimems", [], "time for verifying a transactional append, in ms";
    BROKER_TOPIC_METRICS_BYTES_IN_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_bytesin_total", ["topic"], "bytes produced";
    BROKER_TOPIC_METRICS_BYTES_OUT_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_bytesout_total", ["topic"], "bytes fetched by consumers";
    BROKER_TOPIC_METRICS_BYTES_REJECTED_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=BytesRejectedPerSec", "kafka_server_brokertopicmetrics_bytesrejected_total", [], "bytes refused";
    BROKER_TOPIC_METRICS_FAILED_FETCH_REQUESTS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec", "kafka_server_brokertopicmetrics_failedfetchrequests_total", [], "fetches of a partition that failed";
    BROKER_TOPIC_METRICS_FAILED_PRODUCE_REQUESTS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec", "kafka_server_brokertopicmetrics_failedproducerequests_total", [], "appends to a partition that failed";
    BROKER_TOPIC_METRICS_FETCH_MESSAGE_CONVERSIONS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=FetchMessageConversionsPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_fetchmessageconversions_total", ["topic"], "fetches whose records were converted";
    BROKER_TOPIC_METRICS_INVALID_MAGIC_NUMBER_RECORDS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=InvalidMagicNumberRecordsPerSec", "kafka_server_brokertopicmetrics_invalidmagicnumberrecords_total", [], "batches refused for their format";
    BROKER_TOPIC_METRICS_INVALID_MESSAGE_CRC_RECORDS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=InvalidMessageCrcRecordsPerSec", "kafka_server_brokertopicmetrics_invalidmessagecrcrecords_total", [], "batches refused for their checksum";
    BROKER_TOPIC_METRICS_INVALID_OFFSET_OR_SEQUENCE_RECORDS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=InvalidOffsetOrSequenceRecordsPerSec", "kafka_server_brokertopicmetrics_invalidoffsetorsequencerecords_total", [], "batches refused for their offsets";
    BROKER_TOPIC_METRICS_MESSAGES_IN_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_messagesin_total", ["topic"], "records produced";
    BROKER_TOPIC_METRICS_NO_KEY_COMPACTED_TOPIC_RECORDS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=NoKeyCompactedTopicRecordsPerSec", "kafka_server_brokertopicmetrics_nokeycompactedtopicrecords_total", [], "batches refused for a missing key";
    BROKER_TOPIC_METRICS_PRODUCE_MESSAGE_CONVERSIONS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=ProduceMessageConversionsPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_producemessageconversions_total", ["topic"], "appends whose records were converted";
    BROKER_TOPIC_METRICS_REASSIGNMENT_BYTES_IN_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=ReassignmentBytesInPerSec", "kafka_server_brokertopicmetrics_reassignmentbytesin_total", [], "bytes fetched for replicas that are being added";
    BROKER_TOPIC_METRICS_REASSIGNMENT_BYTES_OUT_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=ReassignmentBytesOutPerSec", "kafka_server_brokertopicmetrics_reassignmentbytesout_total", [], "bytes given to replicas that are being added";
    BROKER_TOPIC_METRICS_REPLICATION_BYTES_IN_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesInPerSec", "kafka_server_brokertopicmetrics_replicationbytesin_total", [], "bytes fetched as a follower";
    BROKER_TOPIC_METRICS_REPLICATION_BYTES_OUT_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesOutPerSec", "kafka_server_brokertopicmetrics_replicationbytesout_total", [], "bytes given to followers";
    BROKER_TOPIC_METRICS_TOTAL_FETCH_REQUESTS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_totalfetchrequests_total", ["topic"], "fetches of a partition";
    BROKER_TOPIC_METRICS_TOTAL_PRODUCE_REQUESTS_PER_SEC: Counter = "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec,topic=<topic>", "kafka_server_brokertopicmetrics_totalproducerequests_total", ["topic"], "appends to a partition";
    QUOTA_MUTATION_RATE: Gauge = "kafka.server:type=<resource>,client-id=<client>, mutation-rate", "kafka_server_quota_mutation_rate", ["resource", "clientId"], "partition changes of a client";
    QUOTA_THROTTLE_TIME: Gauge = "kafka.server:type=<resource>,client-id=<client>, throttle-time", "kafka_server_quota_throttle_time", ["resource", "clientId"], "time a client is throttled, in ms";
    QUOTA_TOKENS: Gauge = "kafka.server:type=<resource>,client-id=<client>, tokens", "kafka_server_quota_tokens", ["resource", "clientId"], "partition changes that a client has left";
    DELAYED_FETCH_METRICS_EXPIRES_PER_SEC: Counter = "kafka.server:type=DelayedFetchMetrics,name=ExpiresPerSec,fetcherType=<type>", "kafka_server_delayedfetchmetrics_expires_total", ["fetcherType"], "fetches that waited until their time was over";
    DELAYED_OPERATION_PURGATORY_NUM_DELAYED_OPERATIONS: Gauge = "kafka.server:type=DelayedOperationPurgatory,name=NumDelayedOperations,delayedOperation=<kind>", "kafka_server_delayedoperationpurgatory_numdelayedoperations", ["delayedOperation"], "requests that wait with a time-out";
    DELAYED_OPERATION_PURGATORY_PURGATORY_SIZE: Gauge = "kafka.server:type=DelayedOperationPurgatory,name=PurgatorySize,delayedOperation=<kind>", "kafka_server_delayedoperationpurgatory_purgatorysize", ["delayedOperation"], "watch entries of waiting requests";
    QUOTA_BYTE_RATE: Gauge = "kafka.server:type=<resource>,client-id=<client>, byte-rate", "kafka_server_quota_byte_rate", ["resource", "clientId"], "bytes per second of a client";
    FETCH_SESSION_CACHE_INCREMENTAL_FETCH_SESSION_EVICTIONS_PER_SEC: Counter = "kafka.server:type=FetchSessionCache,name=IncrementalFetchSessionEvictionsPerSec", "kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total", [], "fetch sessions pushed out by others";
    FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_PARTITIONS_CACHED: Gauge = "kafka.server:type=FetchSessionCache,name=NumIncrementalFetchPartitionsCached", "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached", [], "partitions in fetch sessions";
    FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_SESSIONS: Gauge = "kafka.server:type=FetchSessionCache,name=NumIncrementalFetchSessions", "kafka_server_fetchsessioncache_numincrementalfetchsessions", [], "fetch sessions";
    KAFKA_REQUEST_HANDLER_POOL_REQUEST_HANDLER_AVG_IDLE_PERCENT: Counter = "kafka.server:type=KafkaRequestHandlerPool,name=RequestHandlerAvgIdlePercent", "kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent_count", [], "idle nanoseconds of the request handlers";
    KAFKA_SERVER_BROKER_STATE: Gauge = "kafka.server:type=KafkaServer,name=BrokerState", "kafka_server_kafkaserver_brokerstate", [], "0 not running, 1 starting, 2 recovering, 3 running, 6 leaving, 7 shutting down";
    KAFKA_SERVER_LINUX_DISK_READ_BYTES: Gauge = "kafka.server:type=KafkaServer,name=linux-disk-read-bytes", "kafka_server_kafkaserver_linux_disk_read_bytes", [], "bytes this process read from disk";
    KAFKA_SERVER_LINUX_DISK_WRITE_BYTES: Gauge = "kafka.server:type=KafkaServer,name=linux-disk-write-bytes", "kafka_server_kafkaserver_linux_disk_write_bytes", [], "bytes this process wrote to disk";
    KAFKA_SERVER_YAMMER_METRICS_COUNT: Gauge = "kafka.server:type=KafkaServer,name=yammer-metrics-count", "kafka_server_kafkaserver_yammer_metrics_count", [], "series of this page";
    METADATA_LOADER_CURRENT_CONTROLLER_ID: Gauge = "kafka.server:type=MetadataLoader,name=CurrentControllerId", "kafka_server_metadataloader_currentcontrollerid", [], "id of the controller, -1 if unknown";
    REPLICA_ALTER_LOG_DIRS_MANAGER_DEAD_THREAD_COUNT: Gauge = "kafka.server:type=ReplicaAlterLogDirsManager,name=DeadThreadCount,clientId=<client>", "kafka_server_replicaalterlogdirsmanager_deadthreadcount", ["clientId"], "directory movers that died";
    REPLICA_ALTER_LOG_DIRS_MANAGER_FAILED_PARTITIONS_COUNT: Gauge = "kafka.server:type=ReplicaAlterLogDirsManager,name=FailedPartitionsCount,clientId=<client>", "kafka_server_replicaalterlogdirsmanager_failedpartitionscount", ["clientId"], "partitions whose move to another directory failed";
    REPLICA_ALTER_LOG_DIRS_MANAGER_MAX_LAG: Gauge = "kafka.server:type=ReplicaAlterLogDirsManager,name=MaxLag,clientId=<client>", "kafka_server_replicaalterlogdirsmanager_maxlag", ["clientId"], "largest lag of a move, in records";
    REPLICA_ALTER_LOG_DIRS_MANAGER_MIN_FETCH_RATE: Gauge = "kafka.server:type=ReplicaAlterLogDirsManager,name=MinFetchRate,clientId=<client>", "kafka_server_replicaalterlogdirsmanager_minfetchrate", ["clientId"], "slowest mover, in fetches per second";
    REPLICA_FETCHER_MANAGER_DEAD_THREAD_COUNT: Gauge = "kafka.server:type=ReplicaFetcherManager,name=DeadThreadCount,clientId=<client>", "kafka_server_replicafetchermanager_deadthreadcount", ["clientId"], "fetchers that died";
    REPLICA_FETCHER_MANAGER_FAILED_PARTITIONS_COUNT: Gauge = "kafka.server:type=ReplicaFetcherManager,name=FailedPartitionsCount,clientId=<client>", "kafka_server_replicafetchermanager_failedpartitionscount", ["clientId"], "partitions that fetchers gave up";
    REPLICA_FETCHER_MANAGER_MAX_LAG: Gauge = "kafka.server:type=ReplicaFetcherManager,name=MaxLag,clientId=<client>", "kafka_server_replicafetchermanager_maxlag", ["clientId"], "largest lag behind a leader, in records";
    REPLICA_FETCHER_MANAGER_MIN_FETCH_RATE: Gauge = "kafka.server:type=ReplicaFetcherManager,name=MinFetchRate,clientId=<client>", "kafka_server_replicafetchermanager_minfetchrate", ["clientId"], "slowest fetcher, in fetches per second";
    REPLICA_MANAGER_AT_MIN_ISR_PARTITION_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=AtMinIsrPartitionCount", "kafka_server_replicamanager_atminisrpartitioncount", [], "partitions led here with exactly min.insync.replicas in sync";
    REPLICA_MANAGER_FAILED_ISR_UPDATES_PER_SEC: Counter = "kafka.server:type=ReplicaManager,name=FailedIsrUpdatesPerSec", "kafka_server_replicamanager_failedisrupdates_total", [], "changes of in-sync replicas that were refused";
    REPLICA_MANAGER_ISR_EXPANDS_PER_SEC: Counter = "kafka.server:type=ReplicaManager,name=IsrExpandsPerSec", "kafka_server_replicamanager_isrexpands_total", [], "in-sync replicas that were extended";
    REPLICA_MANAGER_ISR_SHRINKS_PER_SEC: Counter = "kafka.server:type=ReplicaManager,name=IsrShrinksPerSec", "kafka_server_replicamanager_isrshrinks_total", [], "in-sync replicas that were reduced";
    REPLICA_MANAGER_LEADER_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=LeaderCount", "kafka_server_replicamanager_leadercount", [], "partitions led here";
    REPLICA_MANAGER_OFFLINE_REPLICA_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=OfflineReplicaCount", "kafka_server_replicamanager_offlinereplicacount", [], "replicas here that are offline";
    REPLICA_MANAGER_PARTITION_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=PartitionCount", "kafka_server_replicamanager_partitioncount", [], "replicas here";
    REPLICA_MANAGER_PARTITIONS_WITH_LATE_TRANSACTIONS_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=PartitionsWithLateTransactionsCount", "kafka_server_replicamanager_partitionswithlatetransactionscount", [], "partitions with a transaction that is open too long";
    REPLICA_MANAGER_PRODUCER_ID_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=ProducerIdCount", "kafka_server_replicamanager_produceridcount", [], "producers with state here";
    REPLICA_MANAGER_REASSIGNING_PARTITIONS: Gauge = "kafka.server:type=ReplicaManager,name=ReassigningPartitions", "kafka_server_replicamanager_reassigningpartitions", [], "partitions led here that are being moved";
    REPLICA_MANAGER_UNDER_MIN_ISR_PARTITION_COUNT: Gauge = "kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount", "kafka_server_replicamanager_underminisrpartitioncount", [], "partitions led here with too few in-sync replicas";
    REPLICA_MANAGER_UNDER_REPLICATED_PARTITIONS: Gauge = "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions", "kafka_server_replicamanager_underreplicatedpartitions", [], "partitions led here with a replica out of sync";
    QUOTA_REQUEST_TIME: Gauge = "kafka.server:type=<resource>,client-id=<client>, request-time", "kafka_server_quota_request_time", ["resource", "clientId"], "share of a thread that a client uses, in percent";
    SESSION_EXPIRE_LISTENER_SESSION_STATE: Gauge = "kafka.server:type=SessionExpireListener,name=SessionState", "kafka_server_sessionexpirelistener_sessionstate", [], "1 if the ZooKeeper session is connected";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_AUTH_FAILURES_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperAuthFailuresPerSec", "kafka_server_sessionexpirelistener_zookeeperauthfailures_total", [], "refused logins at ZooKeeper";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_DISCONNECTS_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperDisconnectsPerSec", "kafka_server_sessionexpirelistener_zookeeperdisconnects_total", [], "lost connections to ZooKeeper";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_EXPIRES_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperExpiresPerSec", "kafka_server_sessionexpirelistener_zookeeperexpires_total", [], "expired ZooKeeper sessions";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_READ_ONLY_CONNECTS_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperReadOnlyConnectsPerSec", "kafka_server_sessionexpirelistener_zookeeperreadonlyconnects_total", [], "connections to a read-only ZooKeeper";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_SASL_AUTHENTICATIONS_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperSaslAuthenticationsPerSec", "kafka_server_sessionexpirelistener_zookeepersaslauthentications_total", [], "SASL logins at ZooKeeper";
    SESSION_EXPIRE_LISTENER_ZOO_KEEPER_SYNC_CONNECTS_PER_SEC: Counter = "kafka.server:type=SessionExpireListener,name=ZooKeeperSyncConnectsPerSec", "kafka_server_sessionexpirelistener_zookeepersyncconnects_total", [], "connections to ZooKeeper";
    ZOO_KEEPER_CLIENT_METRICS_ZOO_KEEPER_REQUEST_LATENCY_MS: Histogram = "kafka.server:type=ZooKeeperClientMetrics,name=ZooKeeperRequestLatencyMs", "kafka_server_zookeeperclientmetrics_zookeeperrequestlatencyms", [], "time of a ZooKeeper request, in ms";
    THROTTLER_CLEANER_IO: Counter = "kafka.utils:type=Throttler,name=cleaner-io", "kafka_utils_throttler_cleaner_io_count", [], "bytes that the cleaner read and wrote";
}
