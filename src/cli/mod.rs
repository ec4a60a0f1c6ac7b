//! The command line.
pub mod zookeeper;
