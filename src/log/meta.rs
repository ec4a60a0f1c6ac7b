//! Identity files: `meta.properties` of a log dir and `partition.metadata` of a partition.

use std::io;
use std::path::Path;

use super::disk;
use super::names::{META_PROPERTIES, PARTITION_METADATA};
use crate::ids::{TopicId, Uuid};

/// What `meta.properties` says; files of old brokers say less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaProperties {
    pub broker_id: Option<i32>,
    pub cluster_id: Option<String>,
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

impl MetaProperties {
    /// Reads the file of a log dir; `None` if there is none. A file of version 1 belongs to a KRaft cluster and is an error.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(META_PROPERTIES);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut meta = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
            let Some((key, value)) = line.split_once(['=', ':']) else { continue };
            match (key.trim(), value.trim()) {
                ("version", "0") => {}
                ("version", version) => {
                    return Err(invalid(&path, &format!("version {version} is not of a ZooKeeper cluster")));
                }
                ("broker.id", id) => {
                    meta.broker_id = Some(id.parse().map_err(|_| invalid(&path, "broker.id is no number"))?)
                }
                ("cluster.id", id) => meta.cluster_id = Some(id.to_owned()),
                _ => {}
            }
        }
        Ok(Some(meta))
    }

    /// Replaces the file. `date` is a comment.
    pub fn write(dir: &Path, broker_id: i32, cluster_id: &str, date: &str) -> io::Result<()> {
        let text = format!("#\n#{date}\nbroker.id={broker_id}\nversion=0\ncluster.id={cluster_id}\n");
        disk::replace(&dir.join(META_PROPERTIES), text.as_bytes())
    }
}

/// Reads a partition's topic id; `None` if there is no file.
pub fn read_topic_id(partition_dir: &Path) -> io::Result<Option<TopicId>> {
    let path = partition_dir.join(PARTITION_METADATA);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    let id = match (lines.next(), lines.next()) {
        (Some("version: 0"), Some(line)) => line.strip_prefix("topic_id: ").and_then(Uuid::parse),
        _ => None,
    };
    id.filter(|id| !id.is_zero()).map(Some).ok_or_else(|| invalid(&path, "malformed"))
}

/// Writes a partition's topic id; the directory is left to be synced.
pub fn write_topic_id(partition_dir: &Path, id: TopicId) -> io::Result<()> {
    disk::put_in_place(&partition_dir.join(PARTITION_METADATA), format!("version: 0\ntopic_id: {id}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_properties() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(MetaProperties::read(dir.path()).unwrap(), None);
        MetaProperties::write(dir.path(), 1, "Jb9MOquXRjC0S-dZ1gX0kg", "Sat Nov 21 09:58:10 UTC 2026").unwrap();
        let meta = MetaProperties::read(dir.path()).unwrap().unwrap();
        assert_eq!((meta.broker_id, meta.cluster_id.as_deref()), (Some(1), Some("Jb9MOquXRjC0S-dZ1gX0kg")));
        std::fs::write(dir.path().join(META_PROPERTIES), "version=1\nnode.id=1\n").unwrap();
        assert!(MetaProperties::read(dir.path()).is_err());
    }

    #[test]
    fn topic_id() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_topic_id(dir.path()).unwrap(), None);
        let id = Uuid::parse("jUEeFJP9TmaK2W8yiFCUvg").unwrap();
        write_topic_id(dir.path(), id).unwrap();
        assert_eq!(read_topic_id(dir.path()).unwrap(), Some(id));
        assert_eq!(std::fs::metadata(dir.path().join(PARTITION_METADATA)).unwrap().len(), 43);
    }
}
