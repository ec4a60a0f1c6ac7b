//! One connection: reads frames, starts their requests in order, sends the answers in order.
//!
//! Everything happens in one task, so the requests of a connection need no locks between them. The connection ends when
//! the client has closed its side and all answers are out, on any error, when it is idle for too long, and at shutdown.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::frame::{Frame, FrameError, FrameReader};
use super::in_flight::{Decided, InFlight};
use super::memory::Memory;
use super::metrics::{RequestMetrics, Times};
use super::quota::Place;
use super::send::Outbox;
use super::{Kind, Outcome, Peer, Service, Subject, Work};
use crate::limits::{
    COALESCED_ANSWER_BYTES, DISCARD_BEFORE_CLOSE_BYTES, REQUESTS_IN_FLIGHT_PER_CONNECTION, SEND_CHUNK_BYTES,
};

/// What all connections of a broker share.
pub(super) struct Shared {
    pub service: Arc<dyn Service>,
    pub memory: Arc<Memory>,
    /// `socket.request.max.bytes`.
    pub max_request_bytes: usize,
    /// `connections.max.idle.ms`; `None` for ever.
    pub max_idle: Option<Duration>,
    pub metrics: RequestMetrics,
    /// No further requests are read; those in flight are answered.
    pub drain: CancellationToken,
    /// Connection tasks, and requests that outlive their connection.
    pub tasks: TaskTracker,
}

struct Connection {
    incoming: OwnedReadHalf,
    outgoing: OwnedWriteHalf,
    peer: Peer,
    place: Place,
    shared: Arc<Shared>,
    reader: FrameReader,
    in_flight: InFlight,
    outbox: Outbox,
    /// Requests whose answers are in the outbox, and since when.
    sending: Vec<(Subject, Times, Instant)>,
    /// No further frame will come, or be read.
    ended: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: Peer, privileged: bool, place: Place, shared: Arc<Shared>) {
    let reader = FrameReader::new(shared.memory.clone(), peer.address, shared.max_request_bytes, privileged);
    let (in_flight, outbox) = (InFlight::default(), Outbox::default());
    let (sending, ended) = (Vec::new(), false);
    let (incoming, outgoing) = stream.into_split();
    let mut connection =
        Connection { incoming, outgoing, peer, place, shared, reader, in_flight, outbox, sending, ended };
    if let Err(error) = connection.run().await {
        debug!(peer = %connection.peer.address, listener = %connection.peer.listener, %error, "connection broke");
    }
    connection.close().await;
}

/// What happened to a connection.
enum Event {
    Sent(usize),
    Decided(Decided),
    Frame(Option<Frame>),
    Unreadable(FrameError),
    Drain,
    IdleCheck,
    Close,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        let mut sent_in_a_row = 0;
        let idle_check = sleep_until(self.idle_deadline());
        tokio::pin!(idle_check);
        while !(self.ended && self.in_flight.is_empty() && self.outbox.is_empty()) {
            // A client that always has something for us must not keep the thread.
            tokio::task::coop::consume_budget().await;
            let may_read = !self.ended && self.in_flight.len() < REQUESTS_IN_FLIGHT_PER_CONNECTION;
            let event = tokio::select! {
                biased;
                _ = self.place.activity.close.cancelled() => Event::Close,
                decided = self.in_flight.next(self.outbox.is_empty()) => Event::Decided(decided),
                sent = self.outbox.send_chunk(self.outgoing.as_ref()), if !self.outbox.is_empty() => Event::Sent(sent?),
                frame = self.reader.next(&mut self.incoming), if may_read => frame.map_or_else(Event::Unreadable, Event::Frame),
                _ = self.shared.drain.cancelled(), if !self.ended => Event::Drain,
                _ = &mut idle_check => Event::IdleCheck,
            };
            match event {
                Event::Sent(bytes) => {
                    self.place.activity.touch();
                    if self.outbox.is_empty() {
                        self.record_sent();
                    }
                    sent_in_a_row += bytes;
                    if sent_in_a_row >= SEND_CHUNK_BYTES {
                        sent_in_a_row = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Event::Decided(decided) => self.gather(decided),
                Event::Frame(Some(frame)) => {
                    self.place.activity.touch();
                    self.accept(frame);
                }
                Event::Frame(None) | Event::Drain => self.ended = true,
                Event::Unreadable(FrameError::Io(error)) => return Err(error),
                Event::Unreadable(error) => {
                    warn!(listener = %self.peer.listener, %error, "closing the connection");
                    self.ended = true;
                }
                Event::IdleCheck => {
                    if self.is_idle() {
                        debug!(peer = %self.peer.address, "closing an idle connection");
                        return Ok(());
                    }
                    let deadline = self.idle_deadline();
                    idle_check.as_mut().reset(deadline);
                }
                Event::Close => return Ok(()),
            }
        }
        Ok(())
    }

    /// Parses a frame and puts it in its place; one that is refused closes the connection when its turn comes.
    fn accept(&mut self, frame: Frame) {
        let Frame { bytes, charge } = frame;
        let len = bytes.len();
        match self.shared.service.accept(&self.peer, bytes) {
            Ok(work) => self.in_flight.push(work, len, Some(charge)),
            Err(reason) => {
                let Peer { address, listener } = &self.peer;
                warn!(peer = %address, %listener, %reason, "closing the connection because of an invalid request");
                let answer = Box::pin(async { Outcome::Close });
                self.in_flight.push(Work { kind: Kind::OnePhase, subject: None, answer }, len, None);
                self.ended = true;
            }
        }
    }

    /// Queues an answer and those after it that are decided too, as far as one write can take them.
    fn gather(&mut self, first: Decided) {
        let now = Instant::now();
        let mut next = Some(first);
        while let Some(Decided { outcome, subject, bytes, times }) = next {
            if let Some(subject) = subject {
                self.shared.metrics.decided(subject, bytes, times, now);
            }
            match outcome {
                Outcome::Send(message) => {
                    self.outbox.push(message);
                    self.sending.extend(subject.map(|subject| (subject, times, now)));
                }
                Outcome::Nothing => {}
                Outcome::Close => {
                    self.ended = true;
                    self.abandon_requests();
                }
            }
            let full = self.outbox.queued_bytes() >= COALESCED_ANSWER_BYTES;
            next = if full { None } else { self.in_flight.next_decided() };
        }
    }

    fn record_sent(&mut self) {
        let now = Instant::now();
        for (subject, times, taken) in self.sending.drain(..) {
            self.shared.metrics.sent(subject, times, taken, now);
        }
    }

    /// No answer will be sent any more: what has been started and must be finished goes on without the connection.
    fn abandon_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.in_flight);
        requests.abandon();
        if !requests.is_empty() {
            self.shared.tasks.spawn(requests.finish());
        }
    }

    fn is_idle(&self) -> bool {
        self.shared.max_idle.is_some_and(|limit| self.place.activity.idle_ms() as u128 >= limit.as_millis())
    }

    /// When the connection is idle for too long if nothing happens until then.
    fn idle_deadline(&self) -> tokio::time::Instant {
        const FAR: Duration = Duration::from_secs(86400 * 365);
        let limit = self.shared.max_idle.unwrap_or(FAR);
        let idle = Duration::from_millis(self.place.activity.idle_ms().max(0) as u64);
        tokio::time::Instant::now() + limit.saturating_sub(idle).max(Duration::from_millis(1))
    }

    /// Ends the stream after what has been sent.
    async fn close(mut self) {
        self.abandon_requests();
        let _ = self.outgoing.shutdown().await;
        discard_unread(&self.incoming);
    }
}

/// Throws away what has arrived: the kernel answers a close with unread bytes by a reset, which may overtake the answers.
fn discard_unread(stream: &OwnedReadHalf) {
    let mut scratch = [0; 4096];
    let mut discarded = 0;
    while let Ok(read @ 1..) = stream.try_read(&mut scratch) {
        discarded += read;
        if discarded >= DISCARD_BEFORE_CLOSE_BYTES {
            return;
        }
    }
}
