//! One client connection: hello, requests in order, replies and events in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Shared, dispatch, words};
use crate::limits;
use crate::time::os_random;
use crate::zk::jute::{self, Jute, Reader};
use crate::zk::model::{Identity, SessionId};

/// The sending side of a connection, as others see it.
pub(super) struct Link {
    pub(super) peer: SocketAddr,
    packets: mpsc::UnboundedSender<Vec<u8>>,
    unsent_bytes: AtomicUsize,
    sent_some: Notify,
    cut: CancellationToken,
}

impl Link {
    /// Queues a packet. A client that does not read for a long time is cut off.
    pub(super) fn send(&self, packet: Vec<u8>) {
        let unsent = self.unsent_bytes.fetch_add(packet.len(), Ordering::Relaxed) + packet.len();
        // Fails only if the connection is ending anyway.
        let _ = self.packets.send(packet);
        if unsent > limits::ZK_UNSENT_BYTES_FATAL {
            warn!(peer = %self.peer, unsent, "client does not read what it asked for, cutting it off");
            self.cut();
        }
    }

    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits until the client has read most of what was sent to it: no new request is read before.
    async fn has_room(&self) {
        while self.unsent_bytes.load(Ordering::Relaxed) > limits::ZK_UNSENT_BYTES {
            self.sent_some.notified().await;
        }
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let hello = tokio::time::timeout(Duration::from_millis(limits::ZK_HANDSHAKE_MS), greet(&mut stream, peer, &shared));
    let hello = tokio::select! {
        hello = hello => hello,
        () = shared.stop.cancelled() => return,
    };
    match hello {
        Ok(Ok(Some(Hello { session, link, queue }))) => {
            debug!(%session, %peer, "connected");
            if let Err(error) = converse(stream, session, &link, queue, &shared).await {
                debug!(%session, %peer, %error, "connection ended");
            }
            let mut state = shared.state.lock();
            // The session may have moved on to another connection meanwhile.
            if state.links.get(&session).is_some_and(|current| Arc::ptr_eq(current, &link)) {
                state.cut(session);
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => debug!(%peer, %error, "no session"),
        Err(_elapsed) => debug!(%peer, "client said nothing"),
    }
}

struct Hello {
    session: SessionId,
    link: Arc<Link>,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// The first packet: opens a session or takes one over; or four letters, which are answered.
async fn greet(stream: &mut TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<Option<Hello>> {
    let mut first = [0; 4];
    stream.read_exact(&mut first).await?;
    if let Some(text) = words::answer(first, shared) {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    let packet = read_packet_after(first, stream, shared.options.max_packet_bytes).await?;
    let mut reader = Reader::new(&packet);
    let request: jute::ConnectRequest = reader.get().map_err(io::Error::other)?;
    let knows_read_only = reader.remaining() > 0;

    let (packets, queue) = mpsc::unbounded_channel();
    let link = Arc::new(Link {
        peer,
        packets,
        unsent_bytes: AtomicUsize::new(0),
        sent_some: Notify::new(),
        cut: CancellationToken::new(),
    });
    let timeout_ms = request.timeout_ms.clamp(shared.options.tick_ms * 2, shared.options.tick_ms * 20);
    // Nothing is awaited from here to the return of a `Hello`, so that no session is left without its connection.
    let opened = open(&request, timeout_ms, &link, shared)?;
    let response = match &opened {
        Some((session, password)) => jute::ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session.0,
            password: Some(password.clone()),
        },
        // Expired.
        None => jute::ConnectResponse { password: Some(Bytes::from_static(&[0; 16])), ..Default::default() },
    };
    let packet = jute::packet(|out| {
        response.write(out);
        if knows_read_only {
            false.write(out);
        }
    });
    match opened {
        Some((session, _)) => {
            link.send(packet);
            Ok(Some(Hello { session, link, queue }))
        }
        None => {
            info!(session = %SessionId(request.session_id), %peer, "session has expired");
            stream.write_all(&packet).await?;
            stream.shutdown().await?;
            Ok(None)
        }
    }
}

/// Opens a session or takes one over; `None` if it is not there any more.
fn open(
    request: &jute::ConnectRequest,
    timeout_ms: i32,
    link: &Arc<Link>,
    shared: &Shared,
) -> io::Result<Option<(SessionId, Bytes)>> {
    let address = Some(Identity::from_address(link.peer.ip()));
    let now_ms = shared.clock.now_ms();
    let mut state = shared.state.lock();
    if request.last_zxid_seen > state.model.last_zxid() {
        return Err(io::Error::other("the client has seen a later state than ours"));
    }
    let (session, password) = if request.session_id == 0 {
        let password: [u8; 16] = os_random();
        let session = state.model.open_session(password, timeout_ms, address, now_ms);
        (session, Bytes::copy_from_slice(&password))
    } else {
        let session = SessionId(request.session_id);
        let password = request.password.clone().unwrap_or_default();
        if !state.model.reopen_session(session, &password, timeout_ms, address, now_ms) {
            return Ok(None);
        }
        if let Some(former) = state.links.remove(&session) {
            former.cut();
        }
        (session, password)
    };
    state.links.insert(session, link.clone());
    drop(state);
    shared.session_opened.notify_one();
    Ok(Some((session, password)))
}

/// Requests and replies until the session closes (`Ok`) or the connection breaks.
async fn converse(
    mut stream: TcpStream,
    session: SessionId,
    link: &Arc<Link>,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
    shared: &Shared,
) -> io::Result<()> {
    /// A client that has said goodbye has this long to read what is still under way.
    const GOODBYE: Duration = Duration::from_secs(1);
    let (reading, writing) = stream.split();
    let mut writer = std::pin::pin!(write_packets(writing, queue, link));
    tokio::select! {
        read = read_requests(tokio::io::BufReader::new(reading), session, link, shared) => read?,
        written = &mut writer => return written,
        () = link.cut.cancelled() => return Err(io::ErrorKind::ConnectionAborted.into()),
        () = shared.stop.cancelled() => return Ok(()),
    }
    // An empty packet ends the queue.
    let _ = link.packets.send(Vec::new());
    tokio::time::timeout(GOODBYE, writer).await.unwrap_or(Ok(()))
}

async fn read_requests(
    mut reading: impl AsyncRead + Unpin,
    session: SessionId,
    link: &Link,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        link.has_room().await;
        let mut first = [0; 4];
        reading.read_exact(&mut first).await?;
        let packet = read_packet_after(first, &mut reading, shared.options.max_packet_bytes).await?;
        let received = Instant::now();
        let wall_ms = shared.clock.wall_ms();
        let mut state = shared.state.lock();
        if !state.model.touch(session, shared.clock.now_ms()) {
            return Err(io::Error::other("the session has expired"));
        }
        let answered = dispatch::answer(&mut state.model, session, &packet, wall_ms).map_err(io::Error::other)?;
        state.deliver(&answered.events);
        link.send(answered.reply);
        state.traffic.count(received.elapsed());
        if answered.close {
            // Not before the reply: nobody else may write to this connection any more.
            state.links.remove(&session);
            state.model.disconnect(session);
            return Ok(());
        }
    }
}

async fn read_packet_after(
    length: [u8; 4],
    reading: &mut (impl AsyncRead + Unpin),
    max_bytes: usize,
) -> io::Result<Vec<u8>> {
    let length = i32::from_be_bytes(length);
    let length = usize::try_from(length).ok().filter(|length| *length <= max_bytes);
    let length = length.ok_or_else(|| io::Error::other("unreasonable length of a packet"))?;
    // Grows with what arrives, not with what is announced.
    let mut packet = Vec::new();
    reading.take(length as u64).read_to_end(&mut packet).await?;
    if packet.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(packet) }
}

/// Sends what is queued, several packets at once, until an empty one comes.
async fn write_packets(
    mut writing: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    link: &Link,
) -> io::Result<()> {
    const AT_ONCE: usize = 64;
    let mut packets = Vec::with_capacity(AT_ONCE);
    while queue.recv_many(&mut packets, AT_ONCE).await > 0 {
        let is_last = packets.iter().any(Vec::is_empty);
        let sent = packets.iter().map(Vec::len).sum();
        match packets.as_slice() {
            [packet] => writing.write_all(packet).await?,
            several => writing.write_all(&several.concat()).await?,
        }
        packets.clear();
        link.unsent_bytes.fetch_sub(sent, Ordering::Relaxed);
        link.sent_some.notify_one();
        if is_last {
            return writing.shutdown().await;
        }
    }
    Ok(())
}
