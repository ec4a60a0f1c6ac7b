//! The vocabulary of ZooKeeper: what can be asked, what comes back, what a watch says.
//!
//! Shared by the pure model, the embedded server, the real client and the controller machine, so that the same
//! operation means the same thing in production, in tests and in the simulation. Only what Kafka brokers, tools
//! and old clients use is here (reference: Apache ZooKeeper 3.8 programmer's guide; kafka.zk.KafkaZkClient).

use bytes::Bytes;

use crate::ids::ZkVersion;

/// ZooKeeper's error codes, as numbered by `org.apache.zookeeper.KeeperException.Code`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum ZkError {
    /// Collateral of another operation's failure inside a multi.
    RuntimeInconsistency = -2,
    /// The link broke while the request was under way: it may or may not have been applied. Client side only.
    ConnectionLoss = -4,
    MarshallingError = -5,
    Unimplemented = -6,
    BadArguments = -8,
    NoNode = -101,
    NoAuth = -102,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    InvalidAcl = -114,
    AuthFailed = -115,
    SessionMoved = -118,
    NotReadOnly = -119,
    NoWatcher = -121,
}

impl std::fmt::Display for ZkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?} ({})", *self as i32)
    }
}

impl std::error::Error for ZkError {}

/// The Stat structure of a znode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Transaction that created the node; of a broker's registration: the broker epoch.
    pub czxid: i64,
    /// Transaction that last changed the data.
    pub mzxid: i64,
    /// Creation time, ms since 1970.
    pub ctime: i64,
    /// Time of the last change of the data, ms since 1970.
    pub mtime: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the children.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Owning session of an ephemeral node, else 0.
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    /// Transaction that last changed the children.
    pub pzxid: i64,
}

/// How a node is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CreateMode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
}

impl CreateMode {
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    pub fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential)
    }
}

/// One entry of an access control list.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Acl {
    /// Bits: 1 read, 2 write, 4 create, 8 delete, 16 admin.
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

impl Acl {
    /// `world:anyone:cdrwa`, what Kafka uses unless `zookeeper.set.acl` is on.
    pub fn open() -> Vec<Acl> {
        vec![Acl { perms: 31, scheme: "world".into(), id: "anyone".into() }]
    }
}

/// A write, alone or inside a multi. `data: None` is a node without data (length -1 on the wire), which Kafka
/// creates for parents and which is not the same as an empty string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    Create {
        path: String,
        data: Option<Bytes>,
        mode: CreateMode,
        acl: Vec<Acl>,
    },
    Delete {
        path: String,
        version: ZkVersion,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: ZkVersion,
    },
    /// Succeeds if the node's data version is `version`; only inside a multi.
    Check {
        path: String,
        version: ZkVersion,
    },
}

impl Write {
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::Check { path, .. } => path,
        }
    }
}

/// A request of one session. `watch` asks for one event when the answer would change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Write(Write),
    /// All or nothing, in order.
    Multi(Vec<Write>),
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    /// Children and Stat (`getChildren2`).
    GetChildren {
        path: String,
        watch: bool,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: ZkVersion,
    },
    Sync {
        path: String,
    },
}

/// What a successful operation returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Path of the created node (with the sequence number, if sequential) and, where known, its Stat.
    Created {
        path: String,
        stat: Option<Stat>,
    },
    Deleted,
    Set {
        stat: Stat,
    },
    Checked,
    Multi(Vec<Result<Reply, ZkError>>),
    Exists {
        stat: Stat,
    },
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    /// Names of the children (no order) and the parent's Stat.
    Children {
        names: Vec<String>,
        stat: Stat,
    },
    Acl {
        acl: Vec<Acl>,
        stat: Stat,
    },
    Synced {
        path: String,
    },
}

/// The answer to an [`Op`]. A failed multi is `Ok(Reply::Multi(..))` with an error per operation: those before the
/// failing one `Err` with code 0 on the wire are given as `Ok(Reply::Checked)`, the failing one its error, those
/// after it [`ZkError::RuntimeInconsistency`].
pub type Outcome = Result<Reply, ZkError>;

/// What happened to a watched path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum WatchKind {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
}

/// A fired watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchEvent {
    pub kind: WatchKind,
    pub path: String,
}
