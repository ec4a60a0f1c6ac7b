//! Binding and accepting.
//!
//! [`Server::bind`] opens all listeners, so that ports are known early; [`Server::serve`] starts answering, when the broker
//! is ready to; connections that come in between wait in the backlog. [`Server::drain`] and [`Server::close`] end it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::connection::{Shared, serve};
use super::memory::Memory;
use super::metrics::RequestMetrics;
use super::quota::{ConnectionLimits, Connections};
use super::{Peer, Service};
use crate::limits::ACCEPT_BACKOFF;
use crate::metrics::{Counter, Metrics};
use crate::time::Clock;

/// A listener as configured.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Name, upper case as in `listeners`.
    pub name: Arc<str>,
    /// Empty for all interfaces.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// `listener.name.<name>.max.connections`, else `usize::MAX`.
    pub max_connections: usize,
}

/// Everything that the network part of a broker is told. Names in code font are Kafka's settings.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub listeners: Vec<ListenerOptions>,
    pub limits: ConnectionLimits,
    /// `connections.max.idle.ms`; `None` for ever (negative).
    pub max_idle: Option<Duration>,
    /// `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// `queued.max.request.bytes`; see [`Memory::new`].
    pub request_memory_bytes: i64,
    /// `socket.receive.buffer.bytes`; `None` for the system's (-1).
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.send.buffer.bytes`; `None` for the system's (-1).
    pub send_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
}

impl ServerOptions {
    /// One listener with Kafka's defaults, on a port of the system's choice.
    pub fn loopback(listener: &str) -> Self {
        let name: Arc<str> = listener.into();
        Self {
            listeners: vec![ListenerOptions {
                name: name.clone(),
                host: "127.0.0.1".into(),
                port: 0,
                max_connections: usize::MAX,
            }],
            limits: ConnectionLimits {
                max_connections: usize::MAX,
                max_connections_per_ip: usize::MAX,
                per_ip_overrides: HashMap::new(),
                inter_broker_listener: name,
            },
            max_idle: Some(Duration::from_secs(600)),
            max_request_bytes: 100 << 20,
            request_memory_bytes: -1,
            receive_buffer_bytes: Some(100 << 10),
            send_buffer_bytes: Some(100 << 10),
            backlog: 50,
        }
    }
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {name}://{host}:{port}: {source}")]
pub struct BindError {
    pub name: Arc<str>,
    pub host: String,
    pub port: u16,
    pub source: io::Error,
}

/// The listeners of a broker and their connections.
pub struct Server {
    options: ServerOptions,
    /// Not yet serving.
    bound: Mutex<Vec<(Arc<str>, TcpListener)>>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    memory: Arc<Memory>,
    connections: Arc<Connections>,
    /// Accepting ends.
    stop_accepting: CancellationToken,
    /// Reading ends.
    drain: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Opens all listeners; nothing is accepted yet.
    pub async fn bind(options: ServerOptions) -> Result<Self, BindError> {
        let connections = Connections::new(options.limits.clone());
        let (mut bound, mut addresses) = (Vec::new(), Vec::new());
        for listener in &options.listeners {
            let ListenerOptions { name, host, port, max_connections } = listener;
            let fail = |source| BindError { name: name.clone(), host: host.clone(), port: *port, source };
            let socket = listen(host, *port, &options).await.map_err(fail)?;
            addresses.push((name.clone(), socket.local_addr().map_err(fail)?));
            bound.push((name.clone(), socket));
            connections.add_listener(name, *max_connections);
        }
        let memory = Memory::new(options.request_memory_bytes);
        let (stop_accepting, drain, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        Ok(Self { options, bound: Mutex::new(bound), addresses, memory, connections, stop_accepting, drain, tasks })
    }

    /// Where a listener listens; with the port that the system chose for 0.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| **name == *listener).map(|&(_, address)| address)
    }

    /// Begins to accept connections, once.
    pub fn serve(&self, service: Arc<dyn Service>, metrics: &Metrics) {
        let metrics = RequestMetrics::new(metrics.clone());
        metrics.show_memory(&self.memory);
        let shared = Arc::new(Shared {
            service,
            memory: self.memory.clone(),
            max_request_bytes: self.options.max_request_bytes,
            max_idle: self.options.max_idle,
            metrics,
            drain: self.drain.clone(),
            tasks: self.tasks.clone(),
        });
        for (name, socket) in self.bound.lock().drain(..) {
            let blocked_ns = shared.metrics.blocked_acceptor(&name);
            let (shared, connections) = (shared.clone(), self.connections.clone());
            let acceptor = Acceptor { name, shared, connections, blocked_ns };
            let stopped = self.stop_accepting.clone().cancelled_owned();
            self.tasks.spawn(async move {
                tokio::select! {
                    _ = stopped => {}
                    _ = acceptor.run(socket) => {}
                }
            });
        }
    }

    /// The request memory, for metrics.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The names of the listeners.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Arc<str>> {
        self.addresses.iter().map(|(name, _)| name)
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Open connections of a listener.
    pub fn connection_count(&self, listener: &str) -> usize {
        self.connections.count(listener)
    }

    /// Closes the listening sockets; open connections stay.
    pub fn stop_accepting(&self) {
        self.stop_accepting.cancel();
        self.bound.lock().clear();
    }

    /// Stops accepting and reading, waits until every request in flight is answered and every connection closed, at most
    /// `grace`. Connections that take longer are closed without their answers.
    pub async fn close(&self, grace: Duration) {
        self.stop_accepting();
        self.drain.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.connections.close_all();
            let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        }
    }
}

/// The accept loop of one listener.
struct Acceptor {
    name: Arc<str>,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    blocked_ns: Counter,
}

impl Acceptor {
    async fn run(self, socket: TcpListener) {
        info!(listener = %self.name, "awaiting connections");
        loop {
            match socket.accept().await {
                Ok((stream, address)) => self.admit(stream, address).await,
                // The client was gone before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(listener = %self.name, %error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// Waits for a place and starts the connection.
    async fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let before = Instant::now();
        let place = self.connections.admit(&self.name, address.ip(), Clock).await;
        self.blocked_ns.add(before.elapsed().as_nanos() as u64);
        let Some(place) = place else {
            info!(listener = %self.name, peer = %address, "rejected a connection: too many from this address");
            return;
        };
        if let Err(error) = prepare(&stream) {
            // Typically the client has closed the connection while it waited for its place.
            warn!(listener = %self.name, peer = %address, %error, "cannot set up a connection");
            return;
        }
        let peer = Peer { address, listener: self.name.clone() };
        let privileged = self.connections.is_protected(&self.name);
        self.shared.tasks.spawn(serve(stream, peer, privileged, place, self.shared.clone()));
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    Ok(rustix::net::sockopt::set_socket_keepalive(stream, true)?)
}

async fn listen(host: &str, port: u16, options: &ServerOptions) -> io::Result<TcpListener> {
    if host.is_empty() {
        // One socket for IPv6 and IPv4; only IPv4 where the system has no IPv6.
        return listen_at((Ipv6Addr::UNSPECIFIED, port).into(), options)
            .or_else(|_| listen_at(([0, 0, 0, 0], port).into(), options));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match listen_at(address, options) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_at(address: SocketAddr, options: &ServerOptions) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit both; the receive window is agreed upon in the handshake, so later would be too late.
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    socket.listen(options.backlog)
}
