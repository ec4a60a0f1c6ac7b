//! The offset and the time index of a segment, against its batches as they pass by.

use crate::record::BatchHeader;

/// What is wrong with an index, with the byte of the entry.
pub type IndexFault = (Option<u64>, String);

/// Entries as they lie in the file, the zeros at the end of an index that was not closed left out. `first` says whether zeros
/// are a real entry if they come first.
fn entries<const N: usize>(bytes: &[u8], first: bool) -> (Vec<[u8; N]>, Option<IndexFault>) {
    let mut entries: Vec<[u8; N]> = bytes.chunks_exact(N).map(|entry| entry.try_into().expect("N bytes")).collect();
    let len = entries.len();
    let sound = usize::from(first && len == 1);
    while entries.len() > sound && entries.last().is_some_and(|entry| *entry == [0; N]) {
        entries.pop();
    }
    let at = |count: usize| Some((count * N) as u64);
    let fault = if !bytes.len().is_multiple_of(N) {
        Some((at(len), format!("{} bytes are no whole number of entries", bytes.len())))
    } else if entries.len() < len {
        Some((at(entries.len()), format!("{} entries of zeros: the index was not closed", len - entries.len())))
    } else {
        None
    };
    (entries, fault)
}

fn int(entry: &[u8], at: usize) -> i64 {
    i64::from(i32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes")))
}

/// An offset index being checked, and what it would be if it were built anew.
pub struct OffsetIndexCheck {
    base: i64,
    entries: Vec<[u8; 8]>,
    next: usize,
    last_offset: i64,
    interval_bytes: u64,
    last_entry_at: u64,
    pub fault: Option<IndexFault>,
    pub rebuilt: Vec<u8>,
}

impl OffsetIndexCheck {
    /// `bytes` is the file, `None` if there is none.
    pub fn new(bytes: Option<&[u8]>, base: i64, interval_bytes: u64) -> Self {
        let (entries, fault) = match bytes {
            Some(bytes) => entries(bytes, false),
            None => (Vec::new(), Some((None, "is missing".to_owned()))),
        };
        Self {
            base,
            entries,
            next: 0,
            last_offset: base - 1,
            interval_bytes,
            last_entry_at: 0,
            fault,
            rebuilt: Vec::new(),
        }
    }

    fn wrong(&mut self, what: String) {
        let at = (self.next * 8) as u64;
        self.fault.get_or_insert((Some(at), what));
    }

    /// Told each batch in order. Returns whether a new index gets an entry for it.
    pub fn batch(&mut self, position: u64, header: &BatchHeader) -> bool {
        let last = header.last_offset();
        while let Some(entry) = self.entries.get(self.next).filter(|entry| int(*entry, 4) <= position as i64) {
            let (offset, at) = (self.base + int(entry, 0), int(entry, 4));
            if at != position as i64 {
                self.wrong(format!("offset {offset} leads to position {at}, where no batch begins"));
            } else if offset <= self.last_offset {
                self.wrong(format!("offset {offset} leads to position {at}, past the batch that holds it"));
            } else if offset < header.base_offset {
                self.wrong(format!("offset {offset} leads to a batch that begins at {}", header.base_offset));
            }
            self.next += 1;
        }
        self.last_offset = last;
        let due = position - self.last_entry_at > self.interval_bytes;
        if due {
            self.rebuilt.extend_from_slice(&((last - self.base) as i32).to_be_bytes());
            self.rebuilt.extend_from_slice(&(position as i32).to_be_bytes());
            self.last_entry_at = position;
        }
        due
    }

    pub fn finish(&mut self) {
        if let Some(entry) = self.entries.get(self.next) {
            let (offset, at) = (self.base + int(entry, 0), int(entry, 4));
            self.wrong(format!("offset {offset} leads to position {at}, past the last batch"));
        }
        let offsets = self.entries.iter().map(|entry| int(entry, 0));
        if self.fault.is_none() && !offsets.is_sorted_by(|a, b| a < b) {
            self.fault = Some((None, "offsets do not grow".to_owned()));
        }
    }
}

/// A time index being checked, and what it would be if it were built anew.
pub struct TimeIndexCheck {
    base: i64,
    entries: Vec<[u8; 12]>,
    next: usize,
    /// Largest timestamp so far and the last offset of its batch.
    largest: (i64, i64),
    pub fault: Option<IndexFault>,
    pub rebuilt: Vec<u8>,
    rebuilt_to: i64,
}

impl TimeIndexCheck {
    pub fn new(bytes: Option<&[u8]>, base: i64) -> Self {
        let (entries, fault) = match bytes {
            // A record of 1970.
            Some(bytes) => entries(bytes, true),
            None => (Vec::new(), Some((None, "is missing".to_owned()))),
        };
        Self { base, entries, next: 0, largest: (-1, base), fault, rebuilt: Vec::new(), rebuilt_to: -1 }
    }

    fn wrong(&mut self, what: String) {
        let at = (self.next * 12) as u64;
        self.fault.get_or_insert((Some(at), what));
    }

    fn entry(entry: &[u8; 12]) -> (i64, i64) {
        (i64::from_be_bytes(entry[..8].try_into().expect("eight bytes")), int(entry, 8))
    }

    /// Told each batch in order, and whether the offset index gets an entry for it.
    pub fn batch(&mut self, header: &BatchHeader, indexed: bool) {
        let last = header.last_offset();
        if header.max_timestamp > self.largest.0 {
            self.largest = (header.max_timestamp, last);
        }
        while let Some(entry) = self.entries.get(self.next) {
            let (timestamp, relative) = Self::entry(entry);
            let offset = self.base + relative;
            if offset > last {
                break;
            }
            if header.is_wrapper() && offset < last {
                // Inside, where only decompressing tells.
            } else if offset < header.base_offset {
                self.wrong(format!("timestamp {timestamp} leads to offset {offset}, which no batch holds"));
            } else if timestamp != header.max_timestamp {
                let real = header.max_timestamp;
                self.wrong(format!("timestamp {timestamp} leads to offset {offset}, where the largest is {real}"));
            } else if timestamp < self.largest.0 {
                let (largest, at) = self.largest;
                self.wrong(format!("timestamp {timestamp} at offset {offset}: {largest} came before, at {at}"));
            }
            self.next += 1;
        }
        if indexed {
            self.add_largest();
        }
    }

    fn add_largest(&mut self) {
        let (timestamp, offset) = self.largest;
        if timestamp > self.rebuilt_to {
            self.rebuilt.extend_from_slice(&timestamp.to_be_bytes());
            self.rebuilt.extend_from_slice(&((offset - self.base) as i32).to_be_bytes());
            self.rebuilt_to = timestamp;
        }
    }

    pub fn finish(&mut self) {
        if let Some(entry) = self.entries.get(self.next) {
            let (timestamp, relative) = Self::entry(entry);
            let offset = self.base + relative;
            self.wrong(format!("timestamp {timestamp} leads to offset {offset}, past the last batch"));
        }
        let in_order = self.entries.iter().map(Self::entry).is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        if self.fault.is_none() && !in_order {
            self.fault = Some((None, "timestamps and offsets do not both grow".to_owned()));
        }
        self.add_largest();
    }
}
