//! Producer ids on the broker's side: a block of them at a time, from the active controller (KIP-730).
//!
//! An id is taken from the block at hand. When nine tenths of it are used the next block is asked for in the background;
//! with no block at hand the caller is told to try again while the request is under way. So the first producer of a fresh
//! broker waits one retry, as in Kafka (`RPCProducerIdManager`).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::cluster::metadata::MetadataCache;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, ProducerId};
use crate::net::client::{ClientError, Connection, Options};
use crate::time::{Clock, Millis};
use crate::wait::{BoxFuture, Runtime};
use crate::wire::messages::allocate_producer_ids::Request;

/// After a block was refused, the pause before another is asked for.
const RETRY_BACKOFF_MS: Millis = 50;

/// Why there is no block.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    #[error("no controller is known")]
    NoController,
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("the controller says {0}")]
    Refused(ErrorCode),
    #[error("the controller gave {len} ids from {start}")]
    BadBlock { start: i64, len: i32 },
}

/// Where blocks come from.
pub trait Blocks: Send + Sync + 'static {
    /// A block that nobody else has or gets.
    fn next(&self) -> BoxFuture<'static, Result<Range<i64>, AllocateError>>;
}

/// The producer ids of a broker.
pub struct ProducerIds {
    state: Mutex<State>,
    blocks: Box<dyn Blocks>,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
}

/// The block in use and the one to follow.
#[derive(Default)]
struct State {
    /// Ids not yet given out.
    current: Range<i64>,
    /// From here on the next block is wanted.
    prefetch_from: i64,
    next: Option<Range<i64>>,
    asking: bool,
    not_before_ms: Millis,
}

impl State {
    /// The next id, and whether a block has to be asked for now.
    fn take(&mut self, now_ms: Millis) -> (Option<i64>, bool) {
        if self.current.is_empty()
            && let Some(next) = self.next.take()
        {
            self.prefetch_from = next.start + (next.end - next.start) * 9 / 10;
            self.current = next;
        }
        let id = self.current.next();
        let wanted = id.is_none_or(|id| id >= self.prefetch_from);
        let ask = wanted && self.next.is_none() && !self.asking && now_ms >= self.not_before_ms;
        self.asking |= ask;
        (id, ask)
    }

    fn granted(&mut self, block: Range<i64>) {
        self.asking = false;
        self.next = Some(block);
    }

    fn refused(&mut self, now_ms: Millis) {
        self.asking = false;
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
    }
}

impl ProducerIds {
    pub fn new(blocks: impl Blocks, runtime: Arc<dyn Runtime>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), blocks: Box::new(blocks), runtime, clock })
    }

    /// An id that no other producer of the cluster has.
    ///
    /// # Errors
    /// `COORDINATOR_LOAD_IN_PROGRESS` while there is no block; one has been asked for.
    pub fn next(self: &Arc<Self>) -> Result<ProducerId, ErrorCode> {
        let (id, ask) = self.state.lock().take(self.clock.now_ms());
        if ask {
            let (ids, block) = (self.clone(), self.blocks.next());
            self.runtime.spawn(Box::pin(async move { ids.receive(block.await) }));
        }
        id.map(ProducerId).ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    fn receive(&self, block: Result<Range<i64>, AllocateError>) {
        match block {
            Ok(block) => {
                info!(first = block.start, last = block.end - 1, "received a block of producer ids");
                self.state.lock().granted(block);
            }
            Err(error) => {
                warn!(%error, "no block of producer ids; the next InitProducerId asks again");
                self.state.lock().refused(self.clock.now_ms());
            }
        }
    }
}

/// Blocks by AllocateProducerIds from whoever is controller, also when that is this broker.
pub struct ControllerBlocks {
    pub broker_id: BrokerId,
    /// Epoch of this broker's registration: the controller refuses an old one.
    pub broker_epoch: Arc<AtomicI64>,
    pub metadata: Arc<MetadataCache>,
    /// Name of the inter-broker listener.
    pub listener: Arc<str>,
    pub options: Options,
}

impl Blocks for ControllerBlocks {
    fn next(&self) -> BoxFuture<'static, Result<Range<i64>, AllocateError>> {
        let image = self.metadata.image();
        let endpoint = image.controller_id.and_then(|controller| image.endpoint(controller, &self.listener)).cloned();
        let request = Request { broker_id: self.broker_id.0, broker_epoch: self.broker_epoch.load(Ordering::Acquire) };
        let (client_id, options) = (self.broker_id.to_string(), self.options.clone());
        Box::pin(async move {
            let endpoint = endpoint.ok_or(AllocateError::NoController)?;
            // One block lasts for 1,000 producers, so a connection is not kept.
            let mut controller = Connection::connect(&endpoint.host, endpoint.port as u16, &client_id, options).await?;
            let response = controller.call(0, &request).await?;
            let (start, len) = (response.producer_id_start, response.producer_id_len);
            match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {}
                error => return Err(AllocateError::Refused(error)),
            }
            match start.checked_add(i64::from(len)) {
                Some(end) if start >= 0 && len > 0 => Ok(start..end),
                _ => Err(AllocateError::BadBlock { start, len }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(state: &mut State, count: usize) -> Vec<(Option<i64>, bool)> {
        (0..count).map(|_| state.take(0)).collect()
    }

    #[test]
    fn the_first_caller_starts_the_request() {
        let mut state = State::default();
        assert_eq!(ids(&mut state, 2), [(None, true), (None, false)]);
        state.granted(0..1000);
        assert_eq!(ids(&mut state, 3), [(Some(0), false), (Some(1), false), (Some(2), false)]);
    }

    #[test]
    fn the_next_block_is_asked_for_before_the_end() {
        let mut state = State::default();
        state.take(0);
        state.granted(0..10);
        let asked: Vec<i64> = ids(&mut state, 10).into_iter().filter_map(|(id, ask)| id.filter(|_| ask)).collect();
        assert_eq!(asked, [9]);
        assert_eq!(state.take(0), (None, false), "used up while the request is under way");
        state.granted(20..30);
        assert_eq!(state.take(0), (Some(20), false));
    }

    #[test]
    fn a_refusal_is_not_repeated_at_once() {
        let mut state = State::default();
        state.take(0);
        state.refused(100);
        assert_eq!(state.take(100 + RETRY_BACKOFF_MS - 1), (None, false));
        assert_eq!(state.take(100 + RETRY_BACKOFF_MS), (None, true));
    }
}
