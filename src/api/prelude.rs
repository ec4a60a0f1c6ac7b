//! What every handler needs.

pub use std::sync::Arc;

pub use super::{Answer, RequestContext};
pub use crate::broker::Broker;
pub use crate::error::ErrorCode;
pub use crate::wire::{Records, Str, messages};
