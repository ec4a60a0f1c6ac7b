//! Checkpoint files: text, a version line, a count line, then one entry a line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use super::disk;
use crate::ids::TopicPartition;

/// Reads a checkpoint's entries. A missing or empty file has none; a malformed one is an error.
fn read_lines<T>(path: &Path, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let malformed =
        || io::Error::new(io::ErrorKind::InvalidData, format!("malformed checkpoint file {}", path.display()));
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    if version.trim() != "0" {
        return Err(malformed());
    }
    let count: usize = lines.next().and_then(|line| line.trim().parse().ok()).ok_or_else(malformed)?;
    let entries: Vec<T> = lines.map(parse).collect::<Option<_>>().ok_or_else(malformed)?;
    if entries.len() == count { Ok(entries) } else { Err(malformed()) }
}

/// `topic partition offset` lines of one log dir.
#[derive(Debug)]
pub struct OffsetCheckpoint {
    path: PathBuf,
}

impl OffsetCheckpoint {
    pub fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(name) }
    }

    pub fn read(&self) -> io::Result<BTreeMap<TopicPartition, i64>> {
        let entries = read_lines(&self.path, |line| {
            let mut words = line.split_whitespace();
            let (topic, partition, offset) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            words.next().is_none().then(|| (TopicPartition::new(topic, partition), offset))
        })?;
        Ok(entries.into_iter().collect())
    }

    pub fn write(&self, offsets: &BTreeMap<TopicPartition, i64>) -> io::Result<()> {
        let mut text = format!("0\n{}\n", offsets.len());
        for (tp, offset) in offsets {
            let _ = writeln!(text, "{} {} {offset}", tp.topic, tp.partition);
        }
        disk::replace(&self.path, text.as_bytes())
    }
}

/// Reads a leader epoch checkpoint: (epoch, start offset) pairs.
pub fn read_epochs(path: &Path) -> io::Result<Vec<(i32, i64)>> {
    read_lines(path, |line| {
        let (epoch, start) = line.trim().split_once(' ')?;
        Some((epoch.parse().ok()?, start.parse().ok()?))
    })
}

/// The text of a leader epoch checkpoint.
pub fn epochs_text(epochs: &[(i32, i64)]) -> String {
    let mut text = format!("0\n{}\n", epochs.len());
    for (epoch, start) in epochs {
        let _ = writeln!(text, "{epoch} {start}");
    }
    text
}

/// Replaces a leader epoch checkpoint.
pub fn write_epochs(path: &Path, epochs: &[(i32, i64)]) -> io::Result<()> {
    disk::replace(path, epochs_text(epochs).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_there_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = OffsetCheckpoint::new(dir.path(), "check");
        assert!(file.read().unwrap().is_empty());
        let offsets = BTreeMap::from([(TopicPartition::new("a", 0), 5), (TopicPartition::new("b-c", 17), 0)]);
        file.write(&offsets).unwrap();
        assert_eq!(file.read().unwrap(), offsets);
        assert_eq!(std::fs::read_to_string(dir.path().join("check")).unwrap(), "0\n2\na 0 5\nb-c 17 0\n");
        std::fs::write(dir.path().join("check"), "").unwrap();
        assert!(file.read().unwrap().is_empty());
        for garbage in ["garbage", "1\n0\n", "0\n2\na 0 5\n", "0\n1\na 0\n", "0\nx\n"] {
            std::fs::write(dir.path().join("check"), garbage).unwrap();
            assert!(file.read().is_err(), "{garbage:?}");
        }
    }
}
