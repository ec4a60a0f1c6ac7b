//! Barnabas: a broker that takes the place of Apache Kafka in a ZooKeeper-coordinated cluster.
//!
//! Pure machines in the middle, thin shells around them, one table for each thing that Kafka lists.
//! Start reading at [`controller`], [`replica`] and [`log`]; `docs/architecture.md` is the map.

pub mod api;
pub mod broker;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod error;
pub mod group;
pub mod ids;
pub mod internal_log;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod net;
pub mod producer_ids;
pub mod record;
pub mod replica;
pub mod time;
pub mod txn;
pub mod wait;
pub mod wire;
pub mod zk;
