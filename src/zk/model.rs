//! ZooKeeper as a pure model.
