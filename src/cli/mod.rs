//! The command line.
pub mod quickstart;
pub mod zookeeper;
