//! What is to be sent to each broker: one batch at a time, and everything that comes meanwhile goes with the next.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::BrokerId;
use crate::wait::{BoxFuture, Runtime};

/// Who carries a batch to a broker. Must end.
pub trait Carrier<T>: Send + Sync + 'static {
    fn carry(self: Arc<Self>, broker: BrokerId, batch: Vec<T>) -> BoxFuture<'static, ()>;
}

/// Items that wait, by broker; a broker is listed while a batch is on its way.
pub struct Lanes<T> {
    waiting: Arc<Mutex<HashMap<BrokerId, Vec<T>>>>,
    runtime: Arc<dyn Runtime>,
}

impl<T: Send + 'static> Lanes<T> {
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { waiting: Arc::default(), runtime }
    }

    /// Queues an item; it is sent at once if nothing is on its way to the broker.
    pub fn push(&self, carrier: &Arc<impl Carrier<T>>, broker: BrokerId, item: T) {
        {
            let mut waiting = self.waiting.lock();
            if let Some(queue) = waiting.get_mut(&broker) {
                queue.push(item);
                return;
            }
            waiting.insert(broker, vec![item]);
        }
        let (waiting, carrier) = (self.waiting.clone(), carrier.clone());
        self.runtime.spawn(Box::pin(async move {
            loop {
                let batch = {
                    let mut waiting = waiting.lock();
                    match waiting.get_mut(&broker).map(std::mem::take) {
                        Some(batch) if !batch.is_empty() => batch,
                        _ => {
                            waiting.remove(&broker);
                            return;
                        }
                    }
                };
                carrier.clone().carry(broker, batch).await;
            }
        }));
    }
}
