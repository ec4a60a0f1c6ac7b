//! The controller's line to one broker: a queue, one request in flight, and the same request again until it is answered or
//! the broker is gone (ControllerChannelManager, RequestSendThread). Receivers accept duplicates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::controller::batch::{Answered, Rpc};
use crate::controller::effect::Target;
use crate::ids::{BrokerId, ControllerEpoch};
use crate::net::client::{ClientError, Connection, Options as ClientOptions};

/// Pause after a failure.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How to reach brokers.
#[derive(Clone, Debug)]
pub struct Options {
    /// `controller.socket.timeout.ms` is both of its time-outs.
    pub client: ClientOptions,
    pub controller_id: BrokerId,
}

/// Where answers go.
pub(super) type OnAnswer = Arc<dyn Fn(ControllerEpoch, BrokerId, Answered) + Send + Sync>;

/// A running channel; dropping it stops it and throws its queue away.
pub(super) struct Channel {
    queue: mpsc::UnboundedSender<(ControllerEpoch, Rpc)>,
    depth: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Channel {
    pub fn open(target: Target, options: Options, on_answer: OnAnswer) -> Self {
        let (queue, requests) = mpsc::unbounded_channel();
        let depth = Arc::new(AtomicUsize::new(0));
        let sender = Sender { target, options, connection: None, depth: depth.clone() };
        let task = tokio::spawn(sender.run(requests, on_answer));
        Self { queue, depth, task }
    }

    pub fn send(&self, term: ControllerEpoch, rpc: Rpc) {
        self.depth.fetch_add(1, Relaxed);
        // The task ends only with the channel.
        let _ = self.queue.send((term, rpc));
    }

    /// Requests that are queued or in flight.
    pub fn depth(&self) -> usize {
        self.depth.load(Relaxed)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sender {
    target: Target,
    options: Options,
    connection: Option<Connection>,
    depth: Arc<AtomicUsize>,
}

impl Sender {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<(ControllerEpoch, Rpc)>, on_answer: OnAnswer) {
        while let Some((term, rpc)) = requests.recv().await {
            let answer = self.until_answered(&rpc).await;
            self.depth.fetch_sub(1, Relaxed);
            on_answer(term, self.target.id, answer);
        }
    }

    async fn until_answered(&mut self, rpc: &Rpc) -> Answered {
        loop {
            match self.try_once(rpc).await {
                Ok(answer) => return answer,
                Err(error) => {
                    self.connection = None;
                    let Target { id, host, port, .. } = &self.target;
                    warn!(target: "kafka.controller", "Controller {}'s connection to broker {host}:{port} (id: {id}) was unsuccessful: {error}", self.options.controller_id);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn try_once(&mut self, rpc: &Rpc) -> Result<Answered, ClientError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let Target { id, host, port, .. } = &self.target;
                let client_id = self.options.controller_id.to_string();
                // A port out of range is refused by the connect.
                let port_number = u16::try_from(*port).unwrap_or(0);
                let options = self.options.client.clone();
                let connection = Connection::connect(host, port_number, &client_id, options).await?;
                info!(target: "kafka.controller", "Controller {client_id} connected to {host}:{port} (id: {id}) for sending state change requests");
                self.connection.insert(connection)
            }
        };
        Ok(match rpc {
            Rpc::LeaderAndIsr { version, request } => {
                Answered::LeaderAndIsr(connection.call(*version, &**request).await?)
            }
            Rpc::UpdateMetadata { version, request } => {
                Answered::UpdateMetadata(connection.call(*version, &**request).await?)
            }
            Rpc::StopReplica { version, request } => {
                let response = connection.call(*version, &**request).await?;
                Answered::StopReplica { request: request.clone(), response }
            }
        })
    }
}
