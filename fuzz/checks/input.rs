//! Reading the fuzzer's bytes, and making batches of them that get past the first check.

use barnabas::record::{Codec, Compression, HEADER_BYTES};

/// The bytes that are left. What is missing reads as zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A length of two bytes, and so many bytes as are there of it.
    pub fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.short()).min(self.0.len());
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        piece
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The pieces as [`Input::piece`] reads them, then the rest; for seeds.
pub fn pieces(head: &[u8], pieces: &[&[u8]], rest: &[u8]) -> Vec<u8> {
    let mut out = head.to_vec();
    for piece in pieces {
        out.extend((piece.len() as u16).to_be_bytes());
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(rest);
    out
}

/// Gives every whole batch and message the CRC of its bytes.
pub fn with_crcs(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut rest = &mut out[..];
    while rest.len() >= 17 {
        let size = i32::from_be_bytes(rest[8..12].try_into().unwrap());
        let Some(size) = usize::try_from(size).ok().and_then(|size| size.checked_add(12)) else { break };
        if size < 17 || size > rest.len() {
            break;
        }
        let (batch, tail) = rest.split_at_mut(size);
        rest = tail;
        match batch[16] {
            2 if size >= HEADER_BYTES => {
                let crc = crc32c::crc32c(&batch[21..]);
                batch[17..21].copy_from_slice(&crc.to_be_bytes());
            }
            0 | 1 => {
                let crc = crc32fast::hash(&batch[16..]);
                batch[12..16].copy_from_slice(&crc.to_be_bytes());
            }
            _ => {}
        }
    }
    out
}

pub fn codec(byte: u8) -> Codec {
    Codec::from_id(i16::from(byte % 5)).expect("five codecs")
}

/// A v2 batch of a header and of records that are not compressed yet. Length, codec and CRC are set.
pub fn compressed_batch(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    if bytes.len() < HEADER_BYTES {
        return bytes.to_vec();
    }
    let (header, records) = bytes.split_at(HEADER_BYTES);
    let mut out = header.to_vec();
    out.extend(Compression::from(codec).compress(records));
    let length = (out.len() - 12) as i32;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[16] = 2;
    out[22] = (out[22] & !7) | codec.id() as u8;
    with_crcs(&out)
}

/// A wrapper of a message set.
pub fn wrapper(magic: u8, codec: Codec, offset: i64, set: &[u8]) -> Vec<u8> {
    let value = Compression::from(codec).compress(set);
    let mut out = offset.to_be_bytes().to_vec();
    out.extend([0; 8]); // size and CRC, below
    out.extend([magic, codec.id() as u8]);
    if magic > 0 {
        out.extend(1_000i64.to_be_bytes());
    }
    out.extend((-1i32).to_be_bytes());
    out.extend((value.len() as i32).to_be_bytes());
    out.extend(value);
    let size = (out.len() - 12) as i32;
    out[8..12].copy_from_slice(&size.to_be_bytes());
    with_crcs(&out)
}
