//! The serialization of ZooKeeper.
