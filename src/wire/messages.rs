//! One module for each API and internal record, under Kafka's names in snake case, printed by `build.rs` from
//! `schema/*.messages`. `Request` and `Response` (`Data` for a record) are the roots; other structs have Kafka's names.

#![allow(missing_docs, unused_variables, clippy::all)]

use bytes::Bytes;

use super::api_key::ApiInfo;
use super::write::required;
use super::{Message, Out, Reader, Records, Str, WireError};
use crate::ids::Uuid;

fn again<M: Message>(r: &mut Reader, version: i16) -> Result<Out, WireError> {
    let mut out = Out::new();
    M::read(r, version)?.write(&mut out, version)?;
    Ok(out)
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
