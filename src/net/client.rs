//! Our side of a connection to another broker: fetchers, the controller's channels, requests to the controller, tests.
//!
//! One request at a time with [`Connection::call`]; or several, by [`Connection::send`] and as many [`Connection::receive`]
//! in the same order. A call that fails or is dropped half way leaves the stream at an unknown place, so the connection
//! refuses further use and has to be opened again.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::limits::CLIENT_MAX_ANSWER_BYTES;
use crate::net::send::Outbox;
use crate::wire::frame::{decode_response, encode_request};
use crate::wire::{Request, Str, WireError};

/// How a connection is opened and how long it waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time for the name look-up and the TCP handshake (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// Time from the first byte of a request to the last byte of its answer (`request.timeout.ms` and its relatives).
    pub request_timeout: Duration,
    /// `SO_RCVBUF`; `None` leaves it to the system (Kafka's -1).
    pub receive_buffer_bytes: Option<u32>,
    /// `SO_SNDBUF`; `None` leaves it to the system.
    pub send_buffer_bytes: Option<u32>,
}

impl Default for Options {
    /// Kafka's defaults: 10 s to connect (`socket.connection.setup.timeout.ms`), 30 s for an answer
    /// (`request.timeout.ms`), buffers of the system.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("no connection to {address} within {after:?}")]
    ConnectTimeout { address: String, after: Duration },
    #[error("no answer within {after:?}")]
    RequestTimeout { after: Duration },
    /// The other broker closed the connection, as Kafka does for requests that it cannot parse or does not offer.
    #[error("the broker closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("an answer to request {got} came where {expected} was expected")]
    Correlation { expected: i32, got: i32 },
    #[error("the announced length {0} of an answer is out of bounds")]
    AnswerLength(i32),
    /// An earlier request failed or was given up; open a new connection.
    #[error("the connection was given up by an earlier request")]
    Unusable,
}

/// A connection to a broker. Dropping it closes it.
pub struct Connection {
    stream: BufReader<TcpStream>,
    client_id: Option<Str>,
    options: Options,
    next_correlation_id: i32,
    /// Correlation id of the oldest request without answer.
    next_answer_id: i32,
    usable: bool,
}

impl Connection {
    /// Connects to `host:port`, trying each address of the name in turn.
    ///
    /// # Errors
    /// [`ClientError::Connect`] with the last cause, or [`ClientError::ConnectTimeout`].
    pub async fn connect(host: &str, port: u16, client_id: &str, options: Options) -> Result<Self, ClientError> {
        let address = || format!("{host}:{port}");
        let stream = match timeout(options.connect_timeout, open(host, port, &options)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(ClientError::Connect { address: address(), source }),
            Err(_) => return Err(ClientError::ConnectTimeout { address: address(), after: options.connect_timeout }),
        };
        Ok(Self {
            stream: BufReader::new(stream),
            client_id: Some(client_id.into()),
            options,
            next_correlation_id: 0,
            next_answer_id: 0,
            usable: true,
        })
    }

    /// Sends a request and waits for its answer, at most `request_timeout`.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        self.call_within(self.options.request_timeout, version, request).await
    }

    /// As [`call`](Self::call), with a limit of its own.
    pub async fn call_within<R: Request>(
        &mut self,
        limit: Duration,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let exchange = async {
            self.send(version, request).await?;
            self.receive::<R>(version).await
        };
        match timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::RequestTimeout { after: limit }),
        }
    }

    /// Sends a request without waiting. For requests that get no answer (produce with acks=0) use
    /// [`send_only`](Self::send_only).
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<(), ClientError> {
        let correlation_id = self.next_correlation_id;
        let message = encode_request(version, correlation_id, self.client_id.as_ref(), request)?;
        self.begin()?;
        let mut outbox = Outbox::default();
        outbox.push(message);
        outbox.send_all(self.stream.get_ref()).await?;
        self.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        self.usable = true;
        Ok(())
    }

    /// Sends a request to which no answer will come.
    pub async fn send_only<R: Request>(&mut self, version: i16, request: &R) -> Result<(), ClientError> {
        self.send(version, request).await?;
        self.next_answer_id = self.next_correlation_id;
        Ok(())
    }

    /// Waits, without limit, for the answer to the oldest request that has none yet.
    pub async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, ClientError> {
        let expected = self.next_answer_id;
        self.begin()?;
        let frame = self.read_frame().await?;
        let (got, response) = decode_response::<R>(frame, version)?;
        if got != expected {
            return Err(ClientError::Correlation { expected, got });
        }
        self.next_answer_id = expected.wrapping_add(1) & i32::MAX;
        self.usable = true;
        Ok(response)
    }

    /// Address of the broker.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().peer_addr()
    }

    /// May further requests be sent? False after a failed or dropped one.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Marks the stream as being in the middle of something, until the caller marks it usable again.
    fn begin(&mut self) -> Result<(), ClientError> {
        if std::mem::replace(&mut self.usable, false) { Ok(()) } else { Err(ClientError::Unusable) }
    }

    async fn read_frame(&mut self) -> Result<Bytes, ClientError> {
        let closed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ClientError::Closed,
            _ => ClientError::Io(error),
        };
        let length = self.stream.read_i32().await.map_err(closed)?;
        let announced = usize::try_from(length).ok().filter(|&n| n <= CLIENT_MAX_ANSWER_BYTES);
        let announced = announced.ok_or(ClientError::AnswerLength(length))?;
        let mut frame = BytesMut::with_capacity(announced);
        let mut rest = (&mut self.stream).take(announced as u64);
        while frame.len() < announced {
            if rest.read_buf(&mut frame).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
        Ok(frame.freeze())
    }
}

async fn open(host: &str, port: u16, options: &Options) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match open_address(address, options).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_address(address: SocketAddr, options: &Options) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}
