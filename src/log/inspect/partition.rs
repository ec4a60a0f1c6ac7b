//! What is in a partition's directory and in a log dir, by the names.

use std::path::{Path, PathBuf};

use super::InspectError;
use crate::log::names::{
    LOG, META_PROPERTIES, PartitionDirName, REMOTE_INDEX_CACHE, SNAPSHOT, parse_partition_dir, parse_segment_file,
    segment_file,
};

/// The files of a partition.
#[derive(Debug)]
pub struct PartitionFiles {
    pub path: PathBuf,
    /// Base offsets, ascending.
    pub segments: Vec<i64>,
    /// Offsets of snapshots, ascending.
    pub snapshots: Vec<i64>,
    /// Other files of a base offset, as (offset, extension).
    pub beside: Vec<(i64, String)>,
}

impl PartitionFiles {
    pub fn read(path: &Path) -> Result<Self, InspectError> {
        let mut files = Self { path: path.to_owned(), segments: Vec::new(), snapshots: Vec::new(), beside: Vec::new() };
        for entry in std::fs::read_dir(path).map_err(InspectError::file(path))? {
            let name = entry.map_err(InspectError::file(path))?.file_name();
            match name.to_str().and_then(parse_segment_file) {
                Some((base, LOG)) => files.segments.push(base),
                Some((offset, SNAPSHOT)) => files.snapshots.push(offset),
                Some((offset, extension)) => files.beside.push((offset, extension.to_owned())),
                None => {}
            }
        }
        files.segments.sort_unstable();
        files.snapshots.sort_unstable();
        files.beside.sort_unstable();
        Ok(files)
    }

    pub fn file(&self, offset: i64, extension: &str) -> PathBuf {
        self.path.join(segment_file(offset, extension))
    }

    /// How many files end in a suffix after their extension.
    pub fn ending_in(&self, suffix: &str) -> usize {
        self.beside.iter().filter(|(_, extension)| extension.rsplit('.').next() == Some(suffix)).count()
    }
}

/// A directory of a log dir.
#[derive(Debug)]
pub struct LogDirEntry {
    pub path: PathBuf,
    /// `None` if the name is none of ours.
    pub name: Option<PartitionDirName>,
}

/// Is this a log dir, rather than a partition's directory? One that is empty is.
pub fn is_log_dir(path: &Path) -> Result<bool, InspectError> {
    if path.join(META_PROPERTIES).exists() {
        return Ok(true);
    }
    Ok(PartitionFiles::read(path)?.segments.is_empty())
}

/// The directories in a log dir, by name.
pub fn log_dir_entries(path: &Path) -> Result<Vec<LogDirEntry>, InspectError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(InspectError::file(path))? {
        let entry = entry.map_err(InspectError::file(path))?;
        let name = entry.file_name();
        if name != REMOTE_INDEX_CACHE && entry.file_type().map_err(InspectError::file(path))?.is_dir() {
            entries.push(LogDirEntry { path: entry.path(), name: name.to_str().and_then(parse_partition_dir) });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}
