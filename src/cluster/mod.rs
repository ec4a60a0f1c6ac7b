//! What this broker knows of its cluster.

pub mod metadata;
pub mod registration;
