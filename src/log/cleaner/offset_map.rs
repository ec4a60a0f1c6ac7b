//! The last offset of every key: a hash table of fixed size that holds hashes instead of keys.
//!
//! Kafka hashes with MD5. The table is never on disk, so the hash is free to choose: this one is two SipHash values
//! under random keys (the standard library's), 128 bits like MD5, several times faster on short keys, and unlike MD5
//! nobody can make two keys collide on purpose. Source of the rules: `SkimpyOffsetMap` of Kafka 3.9.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Bytes of memory for each key: its hash and its offset.
pub const ENTRY_BYTES: usize = 24;

/// See the head of the file.
pub struct OffsetMap {
    /// Two words of hash and the offset plus one; 0 there is an empty slot. Memory that was never touched costs nothing.
    table: Vec<[u64; 3]>,
    hashes: [RandomState; 2],
    len: usize,
    max_len: usize,
}

impl OffsetMap {
    /// A map in `bytes` of memory that is full when `load_factor` of its slots are taken; it takes at least one key.
    pub fn new(bytes: usize, load_factor: f64) -> Self {
        let slots = (bytes / ENTRY_BYTES).max(2);
        let max_len = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        Self { table: vec![[0; 3]; slots], hashes: [RandomState::new(), RandomState::new()], len: 0, max_len }
    }

    pub fn is_full(&self) -> bool {
        self.len >= self.max_len
    }

    /// Keys in the map, as a part of its slots.
    pub fn utilization(&self) -> f64 {
        self.len as f64 / self.table.len() as f64
    }

    /// The slot of a key, and whether it is taken.
    fn slot(&self, key: &[u8]) -> (usize, [u64; 2], bool) {
        let hash = [0, 1].map(|n| {
            let mut hasher: std::hash::DefaultHasher = self.hashes[n].build_hasher();
            hasher.write(key);
            hasher.finish()
        });
        // The high bits of the product: a slot below the length without a division.
        let mut slot = ((u128::from(hash[0]) * self.table.len() as u128) >> 64) as usize;
        loop {
            let [first, second, next] = self.table[slot];
            if next == 0 || [first, second] == hash {
                return (slot, hash, next != 0);
            }
            slot = if slot + 1 == self.table.len() { 0 } else { slot + 1 };
        }
    }

    /// Notes the offset of a key, which replaces an earlier one. The map must not be full.
    pub fn put(&mut self, key: &[u8], offset: i64) {
        debug_assert!(!self.is_full() && offset >= 0);
        let (slot, [first, second], taken) = self.slot(key);
        self.table[slot] = [first, second, offset as u64 + 1];
        self.len += usize::from(!taken);
    }

    /// The last offset that was noted for a key.
    pub fn get(&self, key: &[u8]) -> Option<i64> {
        let (slot, _, taken) = self.slot(key);
        taken.then(|| (self.table[slot][2] - 1) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_last_offset_of_each_key_until_it_is_full() {
        let mut map = OffsetMap::new(1000 * ENTRY_BYTES, 0.9);
        let mut offset = 0;
        for round in 0..3 {
            for n in 0..899 {
                map.put(format!("key-{n}").as_bytes(), offset);
                offset += 1;
            }
            assert!(!map.is_full(), "{round}");
        }
        for n in 0..899 {
            assert_eq!(map.get(format!("key-{n}").as_bytes()), Some(2 * 899 + n));
        }
        assert_eq!(map.get(b""), None);
        map.put(b"", 0);
        assert_eq!(map.get(b""), Some(0));
        assert!(map.is_full() && map.get(b"nobody").is_none());
        assert!((map.utilization() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn the_smallest_map_takes_a_key() {
        let mut map = OffsetMap::new(0, 0.0);
        assert!(!map.is_full());
        map.put(b"a", 1);
        assert!(map.is_full());
        assert_eq!((map.get(b"a"), map.get(b"b")), (Some(1), None));
    }
}
