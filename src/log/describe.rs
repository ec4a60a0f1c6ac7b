//! What the log dirs hold, as DescribeLogDirs and the metrics show it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manager::Manager;
use crate::ids::{Offset, TopicPartition};

/// A log dir.
#[derive(Clone, Debug)]
pub struct DirInfo {
    /// Absolute.
    pub path: PathBuf,
    pub offline: bool,
    /// Nothing if the dir is offline.
    pub logs: Vec<LogInfo>,
}

/// A log in a dir.
#[derive(Clone, Debug)]
pub struct LogInfo {
    pub tp: TopicPartition,
    /// Bytes of all segments.
    pub size: u64,
    pub log_end: Offset,
    /// Is it a copy in progress, that will take the place of the log in another dir?
    pub future: bool,
}

/// The volume that a log dir is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    pub total_bytes: u64,
    /// Free for us.
    pub usable_bytes: u64,
}

impl Volume {
    /// Asks the file system that holds `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Self {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

impl Manager {
    /// All log dirs, in the order of the settings, and the logs in them.
    pub fn dirs(&self) -> Vec<DirInfo> {
        let mut infos: Vec<DirInfo> = self
            .dirs
            .iter()
            .map(|state| DirInfo { path: state.dir.path.clone(), offline: state.dir.is_offline(), logs: Vec::new() })
            .collect();
        for (future, map) in [(false, &self.logs), (true, &self.futures)] {
            for (tp, log) in map.read().iter() {
                let view = log.view();
                let home = self.dirs.iter().position(|state| Arc::ptr_eq(&state.dir, view.log_dir()));
                if let Some(info) = home.and_then(|home| infos.get_mut(home)).filter(|info| !info.offline) {
                    info.logs.push(LogInfo { tp: tp.clone(), size: view.size(), log_end: view.end_offset(), future });
                }
            }
        }
        infos
    }

    /// The paths of all log dirs, and whether each is offline.
    pub fn dir_states(&self) -> Vec<(PathBuf, bool)> {
        self.dirs.iter().map(|state| (state.dir.path.clone(), state.dir.is_offline())).collect()
    }
}
