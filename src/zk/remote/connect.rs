//! Connect strings, the first connection, the chroot.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_client as zk;

use super::Options;
use super::link::{self, Failure};
use crate::zk::op::{Acl, CreateMode, Op, Reply, Write, ZkError};
use crate::zk::path;

/// Entries in the list of servers that the crate gets. It doubles its pause after each round through the list, and
/// waits at most a second within one: a short list would sleep through the rest of the session's life.
const SERVERS_PER_ROUND: usize = 16;

/// Longest pause between two attempts of ours.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// `zookeeper.connect`: servers, and a chroot behind the last one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectString {
    /// `host:port`.
    servers: Vec<String>,
    /// Empty, or a path that begins with a slash.
    chroot: String,
}

/// A connect string that cannot be understood.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("invalid zookeeper.connect {text:?}: {reason}")]
pub struct InvalidConnectString {
    text: String,
    reason: &'static str,
}

impl ConnectString {
    /// Empty, or the path in front of all paths.
    pub fn chroot(&self) -> &str {
        &self.chroot
    }

    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// What the crate is given, with or without the chroot.
    fn for_crate(&self, chroot: &str) -> String {
        let rounds = SERVERS_PER_ROUND.div_ceil(self.servers.len());
        format!("{}{chroot}", vec![self.servers.join(","); rounds].join(","))
    }
}

impl FromStr for ConnectString {
    type Err = InvalidConnectString;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidConnectString { text: text.into(), reason };
        let (hosts, chroot) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot };
        if chroot.ends_with('/') || chroot.contains("//") {
            return Err(invalid("the chroot has an empty part"));
        }
        if chroot.split('/').any(|part| part == "." || part == "..") {
            return Err(invalid("the chroot is relative"));
        }
        let servers: Vec<_> = hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
        if servers.is_empty() {
            return Err(invalid("no server"));
        }
        let servers = servers.into_iter().map(|server| {
            let port_at = server.rfind(':').filter(|&colon| !server[colon..].contains(']'));
            let (host, port) = match port_at {
                Some(colon) => (&server[..colon], &server[colon + 1..]),
                None => (server, "2181"),
            };
            if host.is_empty() || host.starts_with('[') != host.ends_with(']') {
                return Err(invalid("a server without host"));
            }
            match port.parse::<u16>() {
                Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
                _ => Err(invalid("a port that is no number")),
            }
        });
        Ok(Self { servers: servers.collect::<Result<_, _>>()?, chroot: chroot.into() })
    }
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.servers.join(","), self.chroot)
    }
}

/// Why there is no first session.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// Kafka's words, which scripts look for.
    #[error(
        "Timed out waiting for connection while in state: CONNECTING ({servers}, {timeout_ms} ms). Does ZooKeeper run there, and is zookeeper.connect right?"
    )]
    TimedOut { servers: ConnectString, timeout_ms: u32 },
    #[error("Auth failed either before or while connecting to {servers}")]
    AuthFailed { servers: ConnectString },
    #[error("the chroot {chroot} cannot be created: {source}")]
    Chroot { chroot: String, source: ZkError },
}

/// The first session of a client, the chroot made before it.
pub(super) async fn first_session(options: &Options) -> Result<zk::Client, ConnectError> {
    let servers = || options.servers.clone();
    let connecting = async {
        if options.create_chroot && !options.servers.chroot.is_empty() {
            create_chroot(options).await?;
        }
        let chroot = &options.servers.chroot;
        connected(options, chroot).await.ok_or_else(|| ConnectError::AuthFailed { servers: servers() })
    };
    let limit_ms = options.connection_timeout_ms;
    match timeout(Duration::from_millis(limit_ms.into()), connecting).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut { servers: servers(), timeout_ms: limit_ms }),
    }
}

/// One attempt at each server: a new session, or `old` again.
pub(super) async fn attempt(
    options: &Options,
    chroot: &str,
    old: Option<zk::SessionInfo>,
) -> Result<zk::Client, zk::Error> {
    let mut connector = zk::Client::connector()
        .with_session_timeout(Duration::from_millis(options.session_timeout_ms.into()))
        .with_fail_eagerly();
    if let Some(old) = old {
        connector = connector.with_session(old);
    }
    connector.connect(&options.servers.for_crate(chroot)).await
}

/// Pauses between attempts: short at first, so that a start is not held up by a server that is just coming up.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(Duration::from_millis(50))
    }

    pub(super) async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(MAX_PAUSE);
    }
}

/// A new session, however long it takes; `None` if the servers refuse our authentication.
pub(super) async fn connected(options: &Options, chroot: &str) -> Option<zk::Client> {
    let mut pauses = Pauses::new();
    loop {
        match attempt(options, chroot, None).await {
            Ok(session) => return Some(session),
            Err(zk::Error::AuthFailed) => return None,
            Err(error) => tracing::debug!(servers = %options.servers, %error, "no ZooKeeper server answers yet"),
        }
        pauses.pause().await;
    }
}

/// As Kafka does: a session of its own, without chroot, that looks for the chroot and creates it with its parents.
async fn create_chroot(options: &Options) -> Result<(), ConnectError> {
    let chroot = options.servers.chroot.as_str();
    let failed = |source| ConnectError::Chroot { chroot: chroot.into(), source };
    'session: loop {
        let Some(session) = connected(options, "").await else {
            return Err(ConnectError::AuthFailed { servers: options.servers.clone() });
        };
        // The path to create next; when it is there, its child on the way to the chroot.
        let mut exists = true;
        let mut target = chroot;
        loop {
            let op = match exists {
                true => Op::Exists { path: chroot.into(), watch: false },
                false => Op::Write(Write::Create {
                    path: target.into(),
                    data: None,
                    mode: CreateMode::Persistent,
                    acl: Acl::open(),
                }),
            };
            let outcome = match link::request(session.clone(), op.into(), false).await {
                Ok((outcome, _)) => outcome,
                Err(Failure::Lost) => continue 'session,
            };
            match outcome {
                Ok(Reply::Exists { .. }) => return Ok(close(session).await),
                Err(ZkError::NoNode) if exists => exists = false,
                Ok(_) | Err(ZkError::NodeExists) if target == chroot => return Ok(close(session).await),
                Ok(_) | Err(ZkError::NodeExists) => {
                    let end =
                        chroot[target.len() + 1..].find('/').map_or(chroot.len(), |slash| target.len() + 1 + slash);
                    target = &chroot[..end];
                }
                Err(ZkError::NoNode) => match path::parent(target) {
                    Some(parent) if parent != "/" => target = parent,
                    _ => return Err(failed(ZkError::NoNode)),
                },
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// Ends a session and waits until the server knows, for a moment at most.
pub(super) async fn close(session: zk::Client) {
    let mut states = session.state_watcher();
    drop(session);
    let closed = async { while !states.changed().await.is_terminated() {} };
    if timeout(Duration::from_secs(2), closed).await.is_err() {
        tracing::warn!("a ZooKeeper session could not be closed; it ends when it expires");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<String>, String), InvalidConnectString> {
        text.parse::<ConnectString>().map(|parsed| (parsed.servers, parsed.chroot))
    }

    #[test]
    fn connect_strings() {
        let ok =
            |servers: &[&str], chroot: &str| Ok((servers.iter().map(|s| s.to_string()).collect(), chroot.to_string()));
        assert_eq!(parse("h"), ok(&["h:2181"], ""));
        assert_eq!(parse("a:1, b,[::1]:3,[::2]/x/y"), ok(&["a:1", "b:2181", "[::1]:3", "[::2]:2181"], "/x/y"));
        assert_eq!(parse("h:1/"), ok(&["h:1"], ""));
        for bad in ["", "/x", "h:x", "h:0", ":1", "h/x/", "h/x//y", "h/../x", "h:99999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let shown: ConnectString = "a,b:5/c".parse().unwrap();
        assert_eq!(shown.to_string(), "a:2181,b:5/c");
    }

    #[test]
    fn the_crate_gets_a_long_list() {
        let string: ConnectString = "a:1,b:2,c:3/x".parse().unwrap();
        let given = string.for_crate(string.chroot());
        assert_eq!(given.split(',').count(), 18);
        assert!(given.ends_with("c:3/x"));
    }
}
