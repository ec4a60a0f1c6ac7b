//! Going down in order, so that no leader is missed and the next start needs no recovery.
//! Studied: `kafka.server.KafkaServer.{controlledShutdown, shutdown}`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::metrics::{Stage, stage};
use super::{Broker, Started};
use crate::config::keys;
use crate::error::ErrorCode;
use crate::net::client::{Connection, Options as ClientOptions};
use crate::wire::messages::controlled_shutdown;

/// Time for requests in flight to be answered once no new ones are taken.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

impl Started {
    /// Hands leaderships over, answers what is in flight, writes everything down, and leaves the cluster.
    pub async fn stop(self) {
        let id = self.broker.id;
        tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] shutting down");
        if self.broker.settings.get(keys::CONTROLLED_SHUTDOWN_ENABLE) {
            stage(&self.broker.metrics, Stage::PendingControlledShutdown);
            self.broker.controlled_shutdown().await;
        }
        stage(&self.broker.metrics, Stage::ShuttingDown);
        self.server.stop_accepting();
        self.broker.controller.shutdown().await;
        for task in &self.tasks {
            task.abort();
        }
        self.server.close(DRAIN_GRACE).await;
        self.broker.replicas.shutdown();
        let (logs, housekeeper) = (self.broker.logs.clone(), self.housekeeper);
        let cleaner = self.broker.cleaner.clone();
        let close = move || {
            cleaner.stop();
            drop(housekeeper);
            logs.shutdown();
        };
        if let Err(error) = tokio::task::spawn_blocking(close).await {
            tracing::error!(target: "kafka.log.LogManager", %error, "The logs could not be closed; the next start recovers them");
        }
        self.broker.zk.close().await;
        stage(&self.broker.metrics, Stage::NotRunning);
        tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] shut down completed");
    }
}

impl Broker {
    /// Asks the controller to move this broker's leaderships elsewhere; goes down anyway if that does not succeed.
    async fn controlled_shutdown(self: &Arc<Self>) {
        let retries = self.settings.get(keys::CONTROLLED_SHUTDOWN_MAX_RETRIES).max(0);
        let backoff_ms = self.settings.get(keys::CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS).max(0) as u64;
        for left in (0..=retries).rev() {
            match self.try_controlled_shutdown().await {
                Ok(()) => {
                    tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={}] Controlled shutdown request returned successfully", self.id);
                    return;
                }
                Err(reason) if left > 0 => {
                    tracing::warn!(target: "kafka.server.KafkaServer", reason, left, "Retrying controlled shutdown after the previous attempt failed");
                    tokio::time::sleep(Duration::from_millis(backoff_ms)).await;
                }
                Err(reason) => {
                    tracing::warn!(target: "kafka.server.KafkaServer", reason, "Proceeding to do an unclean shutdown as all the controlled shutdown attempts failed")
                }
            }
        }
    }

    async fn try_controlled_shutdown(&self) -> Result<(), String> {
        let settings = self.settings.current();
        let listener = &settings.inter_broker_listener().name;
        let image = self.metadata.image();
        let controller = image.controller_id.ok_or("no controller is known")?;
        let endpoint = image.endpoint(controller, listener).ok_or("the controller's address is not known")?;
        let options = ClientOptions::from_settings(&settings, keys::CONTROLLER_SOCKET_TIMEOUT_MS, -1);
        let request = controlled_shutdown::Request {
            broker_id: self.id.0,
            broker_epoch: self.broker_epoch.load(Ordering::Acquire),
        };
        let call = async {
            let mut connection =
                Connection::connect(&endpoint.host, endpoint.port as u16, &self.id.to_string(), options).await?;
            connection.call(3, &request).await
        };
        let answer = call.await.map_err(|error| error.to_string())?;
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None if answer.remaining_partitions.is_empty() => Ok(()),
            ErrorCode::None => {
                Err(format!("{} partitions are still led by this broker", answer.remaining_partitions.len()))
            }
            error => Err(format!("the controller answered {error}")),
        }
    }
}
