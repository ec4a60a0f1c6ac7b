//! ZooKeeper: one vocabulary, one model, three users.

pub mod data;
pub mod jute;
pub mod model;
pub mod op;
pub mod path;
pub mod remote;
pub mod schema;
pub mod server;
pub mod session;
