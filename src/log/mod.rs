//! The log: segments, indexes and checkpoints on disk.
