//! Text as a Java program prints it: decoding of UTF-8, JSON of Jackson, order of Scala's hash tables.

use std::fmt::Write;

const REPLACEMENT: &str = "\u{fffd}";

/// Appends bytes as Java's `new String(bytes, UTF_8)` reads them: what is malformed becomes U+FFFD. As Rust's lossy
/// decoding, but for encoded surrogates, which are one replacement in Java and three here.
pub fn push_utf8(out: &mut String, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(chunk) = rest.utf8_chunks().next() else { return };
        out.push_str(chunk.valid());
        let mut taken = chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() {
            out.push_str(REPLACEMENT);
            let from = &rest[chunk.valid().len()..];
            if let [0xed, 0xa0..=0xbf, tail @ ..] = from {
                taken = chunk.valid().len() + if matches!(tail, [0x80..=0xbf, ..]) { 3 } else { 2 };
            }
        }
        rest = &rest[taken..];
    }
}

/// Appends a JSON string with Jackson's escapes.
pub fn push_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => write!(out, "\\u{:04X}", c as u32).expect("a string takes everything"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The order in which a Scala 2.13 `mutable.HashMap` or `HashSet` is walked, given the hashes of its elements.
#[derive(Debug)]
pub struct ScalaTable {
    hashes: Vec<u32>,
    capacity: usize,
}

impl Default for ScalaTable {
    fn default() -> Self {
        Self { hashes: Vec::new(), capacity: 16 }
    }
}

impl ScalaTable {
    /// Told before a collection of `count` elements is added.
    pub fn size_hint(&mut self, count: usize) {
        let target = ((count + 1) as f64 / 0.75) as usize;
        self.capacity = self.capacity.max(target.next_power_of_two());
    }

    /// Adds an element that is not there yet; elements are numbered from 0.
    pub fn add(&mut self, hash: i32) {
        if self.hashes.len() + 1 >= self.capacity * 3 / 4 {
            self.capacity *= 2;
        }
        let hash = hash as u32;
        self.hashes.push(hash ^ (hash >> 16));
    }

    /// The numbers of the elements, in the order of a walk.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.hashes.len()).collect();
        order.sort_by_key(|index| {
            let hash = self.hashes[*index];
            (hash as usize & (self.capacity - 1), hash as i32)
        });
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java(bytes: &[u8]) -> String {
        let mut out = String::new();
        push_utf8(&mut out, bytes);
        out
    }

    #[test]
    fn utf8_as_java_reads_it() {
        assert_eq!(java("grüße 漢 🦀".as_bytes()), "grüße 漢 🦀");
        assert_eq!(java(b"a\xffb\xc3"), "a\u{fffd}b\u{fffd}");
        // Figures of OpenJDK 17.
        for (bytes, replaced) in [
            (&b"\xed\xa0\x80"[..], 1),
            (b"\xed\xa0", 1),
            (b"\xed\xa0x", 1),
            (b"\xe0\x80\x80", 3),
            (b"\xf0\x9f\xa6", 1),
            (b"\xf5\x80\x80\x80", 4),
            (b"\xc0\x80", 2),
        ] {
            assert_eq!(java(bytes).matches(REPLACEMENT).count(), replaced, "{bytes:x?}");
        }
    }

    #[test]
    fn json_as_jackson_writes_it() {
        let mut out = String::new();
        push_json_text(&mut out, "a\"\\\n\u{1f}\u{7f}ü");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u001F\u{7f}ü\"");
    }
}
