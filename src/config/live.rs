//! The settings of a running broker: another snapshot after each change of its dynamic ones.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::alter::{self, Level};
use super::key::FromValue;
use super::settings::Properties;
use super::{ConfigErrors, Key, LogConfig, Settings};

/// The current [`Settings`]; readers never wait.
pub struct Live {
    current: ArcSwap<Settings>,
    changing: Mutex<()>,
}

impl Live {
    pub fn new(settings: Arc<Settings>) -> Live {
        Live { current: ArcSwap::new(settings), changing: Mutex::new(()) }
    }

    /// The settings that hold now.
    pub fn current(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// The value of a key that holds now.
    pub fn get<T: FromValue>(&self, key: Key<T>) -> T {
        self.current.load().get(key)
    }

    /// The defaults of topics that hold now.
    pub fn log_config(&self) -> LogConfig {
        self.current.load().log_config()
    }

    /// Takes over what ZooKeeper has for this broker, or for all; returns the snapshots before and after. What is not
    /// valid is left out with a message, as in Kafka; what is valid but cannot be done leaves everything as it was.
    pub fn change(&self, level: Level, stored: &Properties) -> Result<(Arc<Settings>, Arc<Settings>), ConfigErrors> {
        let (usable, left_out) = alter::usable(level, stored);
        for (name, reason) in left_out {
            tracing::error!(name, reason, "A dynamic setting in ZooKeeper is ignored");
        }
        let _changing = self.changing.lock();
        let old = self.current();
        let new = Arc::new(old.with_dynamic(level.replaced(old.dynamic(), usable))?);
        self.current.store(new.clone());
        Ok((old, new))
    }
}
