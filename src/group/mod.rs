//! Group coordinator.

pub mod machine;
pub mod member;
pub mod offsets;
