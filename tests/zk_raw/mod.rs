//! A tiny blocking ZooKeeper client: no retries, no cache, every packet visible.

#![allow(dead_code)] // Each test file uses its own part.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use barnabas::zk::jute::{self, Jute, Reader};
use bytes::Bytes;

/// Longer than any answer takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Client {
    stream: TcpStream,
    next_xid: i32,
    /// 0: the server says that the session has expired.
    pub session: i64,
    pub password: Bytes,
    pub timeout_ms: i32,
    /// Highest transaction that a reply has told of.
    pub last_zxid: i64,
    /// Watch events received and not yet taken, oldest first.
    pub events: Vec<jute::WatcherEvent>,
}

/// Header and body of a reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub header: jute::ReplyHeader,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn get<T: Jute>(&self) -> T {
        let mut reader = Reader::new(&self.body);
        let value = reader.get().expect("the reply is what was asked for");
        assert_eq!(reader.remaining(), 0, "the reply holds more than was asked for");
        value
    }
}

impl Client {
    /// Opens a session.
    pub fn connect(addr: SocketAddr, timeout_ms: i32) -> io::Result<Self> {
        Self::hello(addr, jute::ConnectRequest { timeout_ms, password: Some(vec![0; 16].into()), ..Default::default() })
    }

    /// Takes the session to a new connection.
    pub fn reconnect(&self, addr: SocketAddr) -> io::Result<Self> {
        let request = jute::ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session_id: self.session,
            password: Some(self.password.clone()),
        };
        Self::hello(addr, request)
    }

    pub fn hello(addr: SocketAddr, request: jute::ConnectRequest) -> io::Result<Self> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&jute::packet(|out| {
            request.write(out);
            false.write(out);
        }))?;
        let packet = read_packet(&mut stream)?;
        let mut reader = Reader::new(&packet);
        let response: jute::ConnectResponse = reader.get().map_err(io::Error::other)?;
        assert_eq!(reader.get::<bool>(), Ok(false), "not read-only");
        Ok(Self {
            stream,
            next_xid: 1,
            session: response.session_id,
            password: response.password.unwrap_or_default(),
            timeout_ms: response.timeout_ms,
            last_zxid: request.last_zxid_seen,
            events: Vec::new(),
        })
    }

    /// Sends a request without waiting; returns its xid.
    pub fn send(&mut self, op: i32, body: &impl Jute) -> i32 {
        let xid = match op {
            jute::op_code::PING => -2,
            jute::op_code::AUTH => -4,
            jute::op_code::SET_WATCHES | jute::op_code::SET_WATCHES2 => -8,
            _ => {
                self.next_xid += 1;
                self.next_xid
            }
        };
        let packet = jute::packet(|out| {
            jute::RequestHeader { xid, op }.write(out);
            body.write(out);
        });
        // A server that has closed the connection is noticed when its reply is missing.
        let _ = self.stream.write_all(&packet);
        xid
    }

    /// The next reply; events that come before it are kept.
    pub fn receive(&mut self) -> io::Result<Reply> {
        loop {
            let packet = read_packet(&mut self.stream)?;
            let mut reader = Reader::new(&packet);
            let header: jute::ReplyHeader = reader.get().map_err(io::Error::other)?;
            if header.xid == jute::NOTIFICATION_XID {
                self.events.push(reader.get().map_err(io::Error::other)?);
                continue;
            }
            self.last_zxid = self.last_zxid.max(header.zxid);
            return Ok(Reply { header, body: packet[packet.len() - reader.remaining()..].to_vec() });
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call(&mut self, op: i32, body: &impl Jute) -> io::Result<Reply> {
        let xid = self.send(op, body);
        let reply = self.receive()?;
        assert_eq!(reply.header.xid, xid, "replies come in order");
        Ok(reply)
    }

    /// Waits until everything that the server sent before now has arrived.
    pub fn ping(&mut self) -> io::Result<()> {
        self.call(jute::op_code::PING, &Nothing).map(drop)
    }

    /// Has the server closed the connection?
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0)) || self.stream.take_error().is_ok_and(|error| error.is_some())
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }
}

fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet)?;
    Ok(packet)
}

/// An empty body.
pub struct Nothing;

impl Jute for Nothing {
    fn read(_: &mut Reader<'_>) -> Result<Self, jute::JuteError> {
        Ok(Self)
    }

    fn write(&self, _: &mut Vec<u8>) {}
}

/// A body that is already serialized.
pub struct Raw(pub Vec<u8>);

impl Jute for Raw {
    fn read(_: &mut Reader<'_>) -> Result<Self, jute::JuteError> {
        unreachable!("only written")
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}
