//! Replication: partitions, ISR, fetchers.
