//! From request packet to reply: decodes, asks the model, encodes. Pure, so that it can be fuzzed and simulated.

use crate::time::Millis;
use crate::zk::jute::{self, Jute, JuteError, Reader, op_code};
use crate::zk::model::{Events, Identity, Model, NodeKind, OldWatches, SessionId, Step, WatchMode, WatchTarget};
use crate::zk::op::{Op, Reply, Stat, WatchEvent, WatchKind, ZkError};

/// `KeeperException.Code.RECONFIGDISABLED`; nothing of ours asks for reconfigurations.
const RECONFIG_DISABLED: i32 = -123;

/// What to send after a request, and whether that was the last request of its connection.
#[derive(Debug)]
pub struct Answered {
    /// To be sent before the reply, to whomever it concerns.
    pub events: Events,
    /// With its length in front.
    pub reply: Vec<u8>,
    pub close: bool,
}

/// Error number of a failed request, or the body of the reply.
type Body = Result<Vec<u8>, i32>;

/// Carries out one request of a living session. `packet` comes without its length; an error means that it has not even
/// a header.
pub fn answer(model: &mut Model, session: SessionId, packet: &[u8], wall_ms: Millis) -> Result<Answered, JuteError> {
    let mut reader = Reader::new(packet);
    let header: jute::RequestHeader = reader.get()?;
    let mut call = Call { model, session, wall_ms, events: Vec::new(), close: false };
    let body = call.run(header.op, &mut reader).unwrap_or_else(|_| call.refuse(header.op, ZkError::MarshallingError));
    let (events, close) = (call.events, call.close);
    // Authentication is no part of the order of transactions.
    let zxid = if matches!(header.op, op_code::AUTH | op_code::SASL) { 0 } else { model.last_zxid() };
    let reply = jute::packet(|out| {
        let err = body.as_ref().err().copied().unwrap_or(0);
        jute::ReplyHeader { xid: header.xid, zxid, err }.write(out);
        out.extend(body.unwrap_or_default());
    });
    Ok(Answered { events, reply, close })
}

/// The packet of a watch event.
pub fn event_packet(event: &WatchEvent) -> Vec<u8> {
    let kind = match event.kind {
        WatchKind::Created => 1,
        WatchKind::Deleted => 2,
        WatchKind::DataChanged => 3,
        WatchKind::ChildrenChanged => 4,
    };
    jute::packet(|out| {
        jute::ReplyHeader { xid: jute::NOTIFICATION_XID, zxid: -1, err: 0 }.write(out);
        // 3: SyncConnected.
        jute::WatcherEvent { kind, state: 3, path: event.path.clone() }.write(out);
    })
}

struct Call<'a> {
    model: &'a mut Model,
    session: SessionId,
    wall_ms: Millis,
    events: Events,
    close: bool,
}

impl Call<'_> {
    /// The outer error is a request that cannot be read.
    fn run(&mut self, op: i32, reader: &mut Reader<'_>) -> Result<Body, JuteError> {
        Ok(match op {
            op_code::PING => Ok(Vec::new()),
            op_code::CREATE
            | op_code::CREATE2
            | op_code::CREATE_CONTAINER
            | op_code::CREATE_TTL
            | op_code::DELETE
            | op_code::SET_DATA
            | op_code::CHECK => {
                let step = read_step(op, reader)?;
                let (outcome, events) = self.model.write(self.session, step, self.wall_ms);
                self.events = events;
                outcome.map(|reply| encode_result(op, &reply)).map_err(code)
            }
            op_code::MULTI => Ok(self.multi(reader)?),
            op_code::MULTI_READ => Ok(self.multi_read(reader)?),
            op_code::SET_ACL => {
                let jute::SetAclRequest { path, acl, version } = reader.get()?;
                self.apply(op, Op::SetAcl { path, acl, version: version.into() })
            }
            op_code::EXISTS | op_code::GET_DATA | op_code::GET_CHILDREN | op_code::GET_CHILDREN2 => {
                let op_of_model = read_read(op, reader)?;
                self.apply(op, op_of_model)
            }
            op_code::GET_ACL => {
                let jute::Path { path } = reader.get()?;
                self.apply(op, Op::GetAcl { path })
            }
            op_code::SYNC => {
                let jute::Path { path } = reader.get()?;
                self.apply(op, Op::Sync { path })
            }
            op_code::GET_EPHEMERALS => {
                let jute::Path { path } = reader.get()?;
                Ok(encode(&jute::Children { names: self.model.ephemerals(self.session, &path) }))
            }
            op_code::GET_ALL_CHILDREN_NUMBER => {
                let jute::Path { path } = reader.get()?;
                self.model.count_below(self.session, &path).map(|count| encode(&jute::Count { count })).map_err(code)
            }
            op_code::ADD_WATCH => {
                let jute::PathMode { path, mode } = reader.get()?;
                let mode = match mode {
                    0 => WatchMode::Persistent,
                    1 => WatchMode::PersistentRecursive,
                    _ => return Ok(Err(code(ZkError::MarshallingError))),
                };
                self.model.add_watch(self.session, &path, mode);
                Ok(encode(&jute::ErrorReply { err: 0 }))
            }
            op_code::CHECK_WATCHES | op_code::REMOVE_WATCHES => {
                let jute::PathMode { path, mode } = reader.get()?;
                let target = match mode {
                    1 => WatchTarget::Children,
                    2 => WatchTarget::Data,
                    3 => WatchTarget::Any,
                    _ => return Ok(Err(code(ZkError::MarshallingError))),
                };
                let done = match op {
                    op_code::CHECK_WATCHES => self.model.check_watch(&path, target),
                    _ => self.model.remove_watch(self.session, &path, target),
                };
                done.map(|()| Vec::new()).map_err(code)
            }
            op_code::SET_WATCHES | op_code::SET_WATCHES2 => {
                let jute::SetWatches { relative_zxid, data, exist, child } = reader.get()?;
                let jute::PersistentWatches { persistent, persistent_recursive } =
                    if op == op_code::SET_WATCHES2 { reader.get()? } else { jute::PersistentWatches::default() };
                let old = OldWatches { relative_zxid, data, exist, child, persistent, persistent_recursive };
                self.events = self.model.set_watches(self.session, &old);
                Ok(Vec::new())
            }
            op_code::WHO_AM_I => {
                let client = |identity: &Identity| jute::ClientInfo {
                    scheme: identity.scheme.clone(),
                    user: identity.user().to_owned(),
                };
                let clients = self.model.identities(self.session).iter().map(client).collect();
                Ok(encode(&jute::WhoAmI { clients }))
            }
            op_code::AUTH => self.authenticate(reader.get()?),
            op_code::SASL => {
                self.close = true;
                Err(code(ZkError::AuthFailed))
            }
            op_code::CLOSE_SESSION => {
                self.events = self.model.close_session(self.session);
                self.close = true;
                Ok(Vec::new())
            }
            op_code::RECONFIG => {
                self.model.spend_transaction();
                Err(RECONFIG_DISABLED)
            }
            _ => {
                self.close = true;
                Err(code(ZkError::Unimplemented))
            }
        })
    }

    /// A request that could not be read. Writes take a transaction number before they are read.
    fn refuse(&mut self, op: i32, error: ZkError) -> Body {
        let is_write = matches!(
            op,
            op_code::CREATE
                | op_code::CREATE2
                | op_code::CREATE_CONTAINER
                | op_code::CREATE_TTL
                | op_code::DELETE
                | op_code::SET_DATA
                | op_code::SET_ACL
                | op_code::CHECK
                | op_code::MULTI
        );
        if is_write {
            self.model.spend_transaction();
        }
        Err(code(error))
    }

    fn apply(&mut self, op_code: i32, op: Op) -> Body {
        let (outcome, events) = self.model.apply(self.session, op, self.wall_ms);
        self.events = events;
        outcome.map(|reply| encode_result(op_code, &reply)).map_err(code)
    }

    fn multi(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, JuteError> {
        let (mut ops, mut steps) = (Vec::new(), Vec::new());
        while let Some(op) = next_part(reader)? {
            match read_step(op, reader)? {
                // Within a multi, the original finds unknown flags while it reads.
                Step::Refused(ZkError::BadArguments) => return Err(JuteError::UnexpectedType(op)),
                step => steps.push(step),
            }
            ops.push(op);
        }
        let (results, events) = self.model.multi(self.session, steps, self.wall_ms);
        self.events = events;
        let mut body = Vec::new();
        // All or nothing: after a failure every part is an error, those before the failing one with code 0.
        let failed = results.iter().any(Result::is_err);
        for (op, result) in ops.into_iter().zip(&results) {
            match result {
                Ok(reply) if !failed => write_part(&mut body, op, &encode_result(op, reply)),
                Ok(_) => write_error_part(&mut body, 0),
                Err(error) => write_error_part(&mut body, code(*error)),
            }
        }
        jute::MultiHeader { op: op_code::ERROR, done: true, err: -1 }.write(&mut body);
        Ok(body)
    }

    fn multi_read(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, JuteError> {
        let mut reads = Vec::new();
        while let Some(op) = next_part(reader)? {
            reads.push((op, read_read(op, reader)?));
        }
        let mut body = Vec::new();
        for (op, read) in reads {
            match self.apply(op, read) {
                // The parts answer what the same requests answer alone.
                Ok(part) => write_part(&mut body, op, &part),
                Err(error) => write_error_part(&mut body, error),
            }
        }
        jute::MultiHeader { op: op_code::ERROR, done: true, err: -1 }.write(&mut body);
        Ok(body)
    }

    fn authenticate(&mut self, packet: jute::AuthPacket) -> Body {
        match packet.scheme.as_str() {
            "digest" => {
                let identity = Identity::from_digest_credentials(&packet.auth.unwrap_or_default());
                self.model.add_identity(self.session, identity);
                Ok(Vec::new())
            }
            // The connection has that identity from the start.
            "ip" => Ok(Vec::new()),
            _ => {
                self.close = true;
                Err(code(ZkError::AuthFailed))
            }
        }
    }
}

fn code(error: ZkError) -> i32 {
    error as i32
}

fn encode(record: &impl Jute) -> Vec<u8> {
    let mut out = Vec::new();
    record.write(&mut out);
    out
}

/// Type of the next part of a multi; `None` at its end.
fn next_part(reader: &mut Reader<'_>) -> Result<Option<i32>, JuteError> {
    let header: jute::MultiHeader = reader.get()?;
    Ok((!header.done).then_some(header.op))
}

fn write_part(body: &mut Vec<u8>, op: i32, result: &[u8]) {
    let op = if matches!(op, op_code::CREATE_CONTAINER | op_code::CREATE_TTL) { op_code::CREATE2 } else { op };
    jute::MultiHeader { op, done: false, err: 0 }.write(body);
    body.extend_from_slice(result);
}

fn write_error_part(body: &mut Vec<u8>, err: i32) {
    jute::MultiHeader { op: op_code::ERROR, done: false, err }.write(body);
    jute::ErrorReply { err }.write(body);
}

fn read_step(op: i32, reader: &mut Reader<'_>) -> Result<Step, JuteError> {
    Ok(match op {
        op_code::CREATE | op_code::CREATE2 | op_code::CREATE_CONTAINER | op_code::CREATE_TTL => {
            let jute::CreateRequest { path, data, acl, flags } = reader.get()?;
            if op == op_code::CREATE_TTL {
                let _ttl_ms: i64 = reader.get()?;
            }
            let kind = match flags {
                _ if op == op_code::CREATE_CONTAINER => NodeKind::Container,
                0 | 2 | 4 => NodeKind::Persistent,
                1 | 3 => NodeKind::Ephemeral,
                // Nodes with a time to live need `zookeeper.extendedTypesEnabled`.
                5 | 6 => return Ok(Step::Refused(ZkError::Unimplemented)),
                _ => return Ok(Step::Refused(ZkError::BadArguments)),
            };
            if op == op_code::CREATE_TTL {
                return Ok(Step::Refused(ZkError::BadArguments));
            }
            Step::Create { path, data, kind, sequential: matches!(flags, 2 | 3), acl }
        }
        op_code::DELETE => {
            let jute::PathVersion { path, version } = reader.get()?;
            Step::Delete { path, version }
        }
        op_code::SET_DATA => {
            let jute::SetDataRequest { path, data, version } = reader.get()?;
            Step::SetData { path, data, version }
        }
        op_code::CHECK => {
            let jute::PathVersion { path, version } = reader.get()?;
            Step::Check { path, version }
        }
        // Not a part that a multi may have.
        _ => return Err(JuteError::UnexpectedType(op)),
    })
}

fn read_read(op: i32, reader: &mut Reader<'_>) -> Result<Op, JuteError> {
    let jute::PathWatch { path, watch } = reader.get()?;
    Ok(match op {
        op_code::EXISTS => Op::Exists { path, watch },
        op_code::GET_DATA => Op::GetData { path, watch },
        op_code::GET_CHILDREN | op_code::GET_CHILDREN2 => Op::GetChildren { path, watch },
        _ => return Err(JuteError::UnexpectedType(op)),
    })
}

/// The body of a successful reply; `op` decides how much of it is told.
fn encode_result(op: i32, reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Created { path, .. } if op == op_code::CREATE => encode(path),
        Reply::Created { path, stat } => {
            encode(&jute::Created { path: path.clone(), stat: stat.unwrap_or_else(Stat::default) })
        }
        Reply::Set { stat } | Reply::Exists { stat } => encode(stat),
        Reply::Data { data, stat } => encode(&jute::Data { data: data.clone(), stat: *stat }),
        Reply::Children { names, .. } if op == op_code::GET_CHILDREN => encode(names),
        Reply::Children { names, stat } => encode(&jute::Children2 { names: names.clone(), stat: *stat }),
        Reply::Acl { acl, stat } => encode(&jute::AclReply { acl: acl.clone(), stat: *stat }),
        Reply::Synced { path } => encode(path),
        Reply::Deleted | Reply::Checked | Reply::Multi(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::zk::op::Acl;

    /// A request with something of everything, and a multi around it.
    fn packets() -> Vec<Vec<u8>> {
        let create = jute::CreateRequest { path: "/a/b".into(), data: None, acl: Acl::open(), flags: 2 };
        let watches = jute::SetWatches { data: vec!["/a".into(), "/b".into()], ..jute::SetWatches::default() };
        let path_watch = jute::PathWatch { path: "/a".into(), watch: true };
        let packet = |op: i32, fill: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            jute::RequestHeader { xid: 1, op }.write(&mut out);
            fill(&mut out);
            out
        };
        vec![
            packet(op_code::CREATE, &|out| create.write(out)),
            packet(op_code::SET_WATCHES2, &|out| {
                watches.write(out);
                jute::PersistentWatches::default().write(out);
            }),
            packet(op_code::GET_CHILDREN2, &|out| path_watch.write(out)),
            packet(op_code::MULTI, &|out| {
                jute::MultiHeader { op: op_code::CREATE2, done: false, err: -1 }.write(out);
                create.write(out);
                jute::MultiHeader { op: op_code::ERROR, done: true, err: -1 }.write(out);
            }),
        ]
    }

    proptest! {
        /// Whatever comes, there is one well-formed reply, or the packet had no header.
        #[test]
        fn damaged_requests_are_answered(
            packets in prop::collection::vec(
                (0..4usize, any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()), 1..8),
            op in -12..120i32,
        ) {
            let mut model = Model::default();
            let session = model.open_session([0; 16], 6_000, None, 0);
            for (which, at, value, end) in packets {
                let mut packet = self::packets().swap_remove(which);
                let at = at.index(packet.len());
                packet[at] = value;
                packet.truncate(end.index(packet.len()) + 1);
                if value % 4 == 0 && packet.len() >= 8 {
                    packet[4..8].copy_from_slice(&op.to_be_bytes());
                }
                let Ok(answered) = answer(&mut model, session, &packet, 0) else {
                    prop_assert!(packet.len() < 8);
                    continue;
                };
                let len = i32::from_be_bytes(answered.reply[..4].try_into().unwrap());
                prop_assert_eq!(len as usize, answered.reply.len() - 4);
                let header: jute::ReplyHeader = Reader::new(&answered.reply[4..]).get().unwrap();
                prop_assert_eq!(&header.xid.to_be_bytes()[..], &packet[..4]);
                if answered.close {
                    break;
                }
            }
        }
    }
}
