//! What this broker knows of its cluster.

pub mod assign;
pub mod auto_create;
pub mod features;
pub mod metadata;
pub mod registration;
pub mod topics;
pub mod watch;
