//! The finalized features of the cluster: `/feature`, followed by every broker and told to clients by ApiVersions.
//!
//! A ZooKeeper cluster finalizes nothing, but the version of the node is told all the same, as the epoch of the features.
//! Source: KIP-584, `kafka.server.FinalizedFeatureChangeListener`, `kafka.server.metadata.ZkMetadataCache`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::zk::data::{Data, FeatureNode};
use crate::zk::op::ZkError;
use crate::zk::path;
use crate::zk::remote::{Client, SessionEvent};

/// What the controller last finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizedFeatures {
    /// Name and highest finalized level.
    pub levels: BTreeMap<String, i16>,
    /// Version of `/feature`.
    pub epoch: i64,
}

/// The last known features; none while `/feature` is absent or disabled.
pub type FeatureCache = ArcSwapOption<FinalizedFeatures>;

/// Keeps a [`FeatureCache`] like `/feature`.
pub struct FeatureWatch {
    zk: Client,
    cache: Arc<FeatureCache>,
}

impl FeatureWatch {
    /// Watches the node and reads it.
    pub async fn start(zk: Client) -> Result<Self, ZkError> {
        let watch = Self { zk, cache: Arc::default() };
        watch.read().await?;
        Ok(watch)
    }

    /// What is kept up to date.
    pub fn cache(&self) -> Arc<FeatureCache> {
        self.cache.clone()
    }

    /// Follows the node until the client is closed. `events` must have been subscribed before [`Self::start`].
    pub async fn run(self, mut events: UnboundedReceiver<SessionEvent>) {
        while let Some(event) = events.recv().await {
            let news = match &event {
                SessionEvent::Watch(event) => event.path == path::FEATURE,
                SessionEvent::Established { .. } => true,
                _ => false,
            };
            // An expired session is followed by a new one, and the node is read again.
            if news
                && let Err(error) = self.read().await
                && error != ZkError::SessionExpired
            {
                tracing::error!(%error, "{} could not be read", path::FEATURE);
            }
        }
    }

    async fn read(&self) -> Result<(), ZkError> {
        // A watch on the data needs a node; the one on its existence sees the first controller create it.
        let node = match self.zk.exists(path::FEATURE, true).await? {
            Some(_) => self.zk.try_get(path::FEATURE, true).await?,
            None => None,
        };
        let features = node.and_then(|(data, stat)| match FeatureNode::decode(&data.unwrap_or_default()) {
            Ok(node) if node.enabled => {
                Some(Arc::new(FinalizedFeatures { levels: node.features, epoch: stat.version.into() }))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, "{} is unreadable", path::FEATURE);
                None
            }
        });
        self.cache.store(features);
        Ok(())
    }
}
