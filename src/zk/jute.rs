//! The serialization of ZooKeeper ("jute") and the records of its client protocol.
//!
//! Big-endian integers; strings, buffers and vectors are preceded by a 4-byte length. A length of -1 is "none",
//! which matters only for buffers: a node without data is not the same as one with empty data. Every packet has a
//! 4-byte length in front. The records follow `zookeeper.jute` of release 3.8; both directions are here, since the
//! tests have a client of their own.

use bytes::Bytes;

use super::op::{Acl, Stat};

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JuteError {
    #[error("the record ends too early")]
    Truncated,
    #[error("unreasonable length {0}")]
    Length(i32),
    #[error("type {0} has no place here")]
    UnexpectedType(i32),
}

/// Bytes still to be read.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    pub fn get<T: Jute>(&mut self) -> Result<T, JuteError> {
        T::read(self)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], JuteError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(JuteError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JuteError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(JuteError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Bytes after a length; `None` for -1.
    fn counted(&mut self) -> Result<Option<&'a [u8]>, JuteError> {
        match i32::read(self)? {
            -1 => Ok(None),
            len => self.take(usize::try_from(len).map_err(|_| JuteError::Length(len))?).map(Some),
        }
    }
}

/// Something with a serialized form.
pub trait Jute: Sized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError>;
    fn write(&self, out: &mut Vec<u8>);
}

impl Jute for i32 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        reader.array().map(Self::from_be_bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Jute for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        reader.array().map(Self::from_be_bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Jute for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        reader.array::<1>().map(|[byte]| byte != 0)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

/// "None" reads as empty. Bytes that are no UTF-8 become U+FFFD, as in Java; no path may contain that.
impl Jute for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(String::from_utf8_lossy(reader.counted()?.unwrap_or_default()).into_owned())
    }

    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as i32).write(out);
        out.extend_from_slice(self.as_bytes());
    }
}

/// Copied out of the packet, so that a small node does not keep a large packet in memory.
impl Jute for Option<Bytes> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(reader.counted()?.map(Bytes::copy_from_slice))
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => (-1i32).write(out),
            Some(bytes) => {
                (bytes.len() as i32).write(out);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// "None" reads as empty.
impl<T: Jute> Jute for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
        let count = match i32::read(reader)? {
            -1 => 0,
            count => usize::try_from(count).map_err(|_| JuteError::Length(count))?,
        };
        // Each element takes bytes of the packet, so a false count ends in `Truncated`, not in a large allocation.
        let mut list = Vec::with_capacity(count.min(reader.remaining() / 4));
        for _ in 0..count {
            list.push(T::read(reader)?);
        }
        Ok(list)
    }

    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as i32).write(out);
        for element in self {
            element.write(out);
        }
    }
}

/// Implements [`Jute`] field by field.
macro_rules! fields {
    ($name:ident { $($field:ident),* }) => {
        impl Jute for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, JuteError> {
                let _ = &reader;
                Ok(Self { $($field: reader.get()?),* })
            }

            fn write(&self, out: &mut Vec<u8>) {
                let _ = &out;
                $(self.$field.write(out);)*
            }
        }
    };
}

/// Declares records: their fields are public and come in this order.
macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Default)]
        pub struct $name { $(pub $field: $kind),* }
        fields!($name { $($field),* });
    )* };
}

fields!(Acl { perms, scheme, id });
fields!(Stat {
    czxid,
    mzxid,
    ctime,
    mtime,
    version,
    cversion,
    aversion,
    ephemeral_owner,
    data_length,
    num_children,
    pzxid
});

records! {
    /// First packet of a client. Newer clients append a boolean `readOnly`, and then expect one in the answer.
    ConnectRequest { protocol_version: i32, last_zxid_seen: i64, timeout_ms: i32, session_id: i64, password: Option<Bytes> }
    /// A timeout and session of 0 mean that the session has expired.
    ConnectResponse { protocol_version: i32, timeout_ms: i32, session_id: i64, password: Option<Bytes> }
    RequestHeader { xid: i32, op: i32 }
    ReplyHeader { xid: i32, zxid: i64, err: i32 }
    /// In front of every part of a multi, and, with `done`, at its end.
    MultiHeader { op: i32, done: bool, err: i32 }
    WatcherEvent { kind: i32, state: i32, path: String }
    AuthPacket { kind: i32, scheme: String, auth: Option<Bytes> }
    CreateRequest { path: String, data: Option<Bytes>, acl: Vec<Acl>, flags: i32 }
    CreateTtlRequest { path: String, data: Option<Bytes>, acl: Vec<Acl>, flags: i32, ttl_ms: i64 }
    /// Delete and check.
    PathVersion { path: String, version: i32 }
    SetDataRequest { path: String, data: Option<Bytes>, version: i32 }
    SetAclRequest { path: String, acl: Vec<Acl>, version: i32 }
    /// Exists, getData, getChildren and getChildren2.
    PathWatch { path: String, watch: bool }
    /// Requests and replies that hold only a path: getACL, sync, getEphemerals, getAllChildrenNumber, created.
    Path { path: String }
    /// AddWatch (mode), checkWatches and removeWatches (type).
    PathMode { path: String, mode: i32 }
    SetWatches { relative_zxid: i64, data: Vec<String>, exist: Vec<String>, child: Vec<String> }
    /// Follows [`SetWatches`] in setWatches2.
    PersistentWatches { persistent: Vec<String>, persistent_recursive: Vec<String> }
    Created { path: String, stat: Stat }
    Data { data: Option<Bytes>, stat: Stat }
    Children { names: Vec<String> }
    Children2 { names: Vec<String>, stat: Stat }
    AclReply { acl: Vec<Acl>, stat: Stat }
    Count { count: i32 }
    ClientInfo { scheme: String, user: String }
    WhoAmI { clients: Vec<ClientInfo> }
    ErrorReply { err: i32 }
}

/// Request types (`ZooDefs.OpCode`).
pub mod op_code {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
    /// Type of a failed part in the reply to a multi.
    pub const ERROR: i32 = -1;
}

/// `xid` of a watch event, in place of a request's.
pub const NOTIFICATION_XID: i32 = -1;

/// A packet: the length, then whatever `fill` appends.
pub fn packet(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    fill(&mut out);
    let len = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back() {
        let acl = vec![Acl { perms: 31, scheme: "world".into(), id: "anyone".into() }];
        let request = CreateRequest { path: "/a".into(), data: None, acl, flags: 3 };
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        assert_eq!(&bytes[..10], b"\0\0\0\x02/a\xff\xff\xff\xff");
        assert_eq!(CreateRequest::read(&mut Reader::new(&bytes)), Ok(request));
        for len in 0..bytes.len() {
            assert_eq!(CreateRequest::read(&mut Reader::new(&bytes[..len])), Err(JuteError::Truncated));
        }
    }

    #[test]
    fn hostile_lengths_are_refused_without_allocating() {
        let read = |len: i32| Vec::<String>::read(&mut Reader::new(&len.to_be_bytes()));
        assert_eq!(read(i32::MAX), Err(JuteError::Truncated));
        assert_eq!(read(-2), Err(JuteError::Length(-2)));
        assert_eq!(read(-1), Ok(vec![]));
        let read = |len: i32| Option::<Bytes>::read(&mut Reader::new(&len.to_be_bytes()));
        assert_eq!(read(i32::MAX), Err(JuteError::Truncated));
        assert_eq!(read(i32::MIN), Err(JuteError::Length(i32::MIN)));
        assert_eq!(read(-1), Ok(None));
        assert_eq!(read(0), Ok(Some(Bytes::new())));
    }
}
