//! The compression streams of record batches: gzip, snappy in xerial framing, LZ4 frames, zstd.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// The most bytes that one batch may decompress to where they are held at once (Kafka has no such bound; walks that
/// hold nothing have none here either).
pub const DECOMPRESSED_LIMIT_BYTES: usize = 256 << 20;

/// Input bytes per snappy block, as Kafka's writer cuts them.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;
/// Most bytes that a single snappy block may decompress to; a raw block's length field is not to be trusted.
const SNAPPY_BLOCK_LIMIT_BYTES: usize = 64 << 20;
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// A codec, by its id in a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// A codec and the level at which we compress with it; the codec's default if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub codec: Codec,
    pub level: Option<i32>,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self { codec, level: None }
    }
}

/// Why compressed records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("unknown compression codec {0}")]
    UnknownCodec(i16),
    #[error("{codec:?} stream cannot be decompressed: {source}")]
    Stream { codec: Codec, source: io::Error },
    #[error("batch decompresses to more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

impl Codec {
    pub fn from_id(id: i16) -> Option<Self> {
        Some(match id {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return None,
        })
    }

    pub fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name; `none` for no compression.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// By the names that `compression.type` takes; `uncompressed` is no compression there.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" | "uncompressed" => Codec::None,
            "gzip" => Codec::Gzip,
            "snappy" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            _ => return None,
        })
    }

    /// A stream of the decompressed bytes; holds at most a codec window or a block at a time.
    pub(super) fn reader<'a>(self, bytes: &'a [u8]) -> Result<Box<dyn Read + 'a>, CodecError> {
        let failed = |source| CodecError::Stream { codec: self, source };
        Ok(match self {
            Codec::None => Box::new(bytes),
            Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Codec::Snappy => Box::new(SnappyReader::new(bytes)),
            Codec::Lz4 => {
                check_lz4_frame(bytes).map_err(failed)?;
                Box::new(Lz4Reader(Some(lz4::Decoder::new(bytes).map_err(failed)?)))
            }
            Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(failed)?),
        })
    }

    /// Decompresses all of it, at most `limit_bytes`. Without a codec it is the same buffer.
    pub fn decompress(self, bytes: &Bytes, limit_bytes: usize) -> Result<Bytes, CodecError> {
        if self == Codec::None {
            return Ok(bytes.clone());
        }
        let mut out = Vec::with_capacity((bytes.len() * 2).min(limit_bytes));
        self.decompress_into(bytes, &mut out, limit_bytes)?;
        Ok(out.into())
    }

    /// Replaces what is in `out` by the decompressed bytes, at most `limit_bytes`.
    pub fn decompress_into(self, bytes: &[u8], out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), CodecError> {
        out.clear();
        self.reader(bytes)?
            .take(limit_bytes as u64 + 1)
            .read_to_end(out)
            .map_err(|source| CodecError::Stream { codec: self, source })?;
        if out.len() > limit_bytes { Err(CodecError::TooLarge { limit_bytes }) } else { Ok(()) }
    }
}

impl Compression {
    /// Compresses as Kafka's own writers frame it.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        self.try_compress(bytes).expect("compressing into memory cannot fail")
    }

    fn try_compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self.codec {
            Codec::None => Ok(bytes.to_vec()),
            Codec::Gzip => {
                let level = match self.level {
                    Some(level @ 0..=9) => flate2::Compression::new(level as u32),
                    _ => flate2::Compression::default(),
                };
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Codec::Snappy => Ok(compress_snappy(bytes)),
            Codec::Lz4 => {
                // What Kafka's reader takes: independent blocks of 64 KiB, no checksums.
                let mut encoder = lz4::EncoderBuilder::new()
                    .block_mode(lz4::BlockMode::Independent)
                    .block_size(lz4::BlockSize::Max64KB)
                    .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
                    .checksum(lz4::ContentChecksum::NoChecksum)
                    .level(self.level.unwrap_or(9).max(0) as u32)
                    .build(Vec::new())?;
                encoder.write_all(bytes)?;
                let (out, result) = encoder.finish();
                result.map(|()| out)
            }
            Codec::Zstd => zstd::stream::encode_all(bytes, self.level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)),
        }
    }
}

/// Refuses what Kafka's reader refuses: other versions, and blocks that depend on earlier ones.
fn check_lz4_frame(bytes: &[u8]) -> io::Result<()> {
    let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    match bytes {
        [a, b, c, d, flags, ..] if [*a, *b, *c, *d] == LZ4_MAGIC => match flags {
            flags if flags >> 6 != 1 => invalid("unsupported LZ4 frame version"),
            flags if flags & 0x20 == 0 => invalid("LZ4 blocks depend on each other"),
            _ => Ok(()),
        },
        _ => invalid("not an LZ4 frame"),
    }
}

/// The LZ4 frame of a magic 0 wrapper with the header checksum that the format asks for: the clients of that time
/// computed it over the wrong bytes, and it is not verified (KAFKA-3160). What is no such frame stays as it is.
pub(super) fn lz4_frame_of_magic_0(frame: &Bytes) -> Bytes {
    let has_content_size = frame.get(4).is_some_and(|flags| flags & 8 != 0);
    let checksum_at = if has_content_size { 14 } else { 6 };
    if frame.len() <= checksum_at {
        return frame.clone();
    }
    let mut fixed = frame.to_vec();
    fixed[checksum_at] = lz4_header_checksum(&frame[4..checksum_at]);
    fixed.into()
}

/// Gives a frame of our own the header checksum that the clients of magic 0 expect.
pub(super) fn lz4_frame_with_checksum_of_magic_0(frame: &mut [u8]) {
    frame[6] = lz4_header_checksum(&frame[..6]);
}

/// Second byte of the xxHash32 (seed 0) of fewer than 16 bytes.
fn lz4_header_checksum(bytes: &[u8]) -> u8 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u32);
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    for word in words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = hash.wrapping_add(word.wrapping_mul(PRIMES[2])).rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in tail {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4])).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    ((hash ^ (hash >> 16)) >> 8) as u8
}

/// An LZ4 stream that knows whether its frame came to an end; the crate's decoder takes the end of its input for it.
struct Lz4Reader<'a>(Option<lz4::Decoder<&'a [u8]>>);

impl Read for Lz4Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.0 else { return Ok(0) };
        let read = decoder.read(out)?;
        if read == 0 && !out.is_empty() {
            let (_, finished) = self.0.take().expect("just used").finish();
            // The crate says "interrupted", which readers take as "try again".
            finished.map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "LZ4 frame is cut off"))?;
        }
        Ok(read)
    }
}

fn compress_snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + bytes.len() / 2);
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(SNAPPY_BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut out[at + 4..]).expect("the buffer holds the largest possible block");
        out[at..at + 4].copy_from_slice(&(len as i32).to_be_bytes());
        out.truncate(at + 4 + len);
    }
    out
}

/// Reads xerial streams (repeated headers too) and, without the magic, one raw block.
struct SnappyReader<'a> {
    rest: &'a [u8],
    raw: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> SnappyReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, raw: !bytes.starts_with(&XERIAL_MAGIC), block: Vec::new(), at: 0 }
    }

    /// The next compressed block, or `None` at the end.
    fn next_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        let truncated = || io::Error::new(io::ErrorKind::UnexpectedEof, "snappy stream is cut off");
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.raw {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        while self.rest.starts_with(&XERIAL_MAGIC) {
            self.rest = self.rest.get(16..).ok_or_else(truncated)?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (len, after) = self.rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| truncated())?;
        let block = after.get(..len).ok_or_else(truncated)?;
        self.rest = &after[len..];
        Ok(Some(block))
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            let Some(compressed) = self.next_block()? else { return Ok(0) };
            let len = snap::raw::decompress_len(compressed).map_err(io::Error::other)?;
            if len > SNAPPY_BLOCK_LIMIT_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "snappy block is too large"));
            }
            self.block.resize(len, 0);
            self.at = 0;
            snap::raw::Decoder::new().decompress(compressed, &mut self.block).map_err(io::Error::other)?;
        }
        let len = (&self.block[self.at..]).read(out)?;
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut data: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for len in [0, 1, 100, 40_000, data.len()] {
            data.truncate(len.max(1));
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                let compressed = Bytes::from(Compression::from(codec).compress(&data[..len.min(data.len())]));
                let back = codec.decompress(&compressed, 1 << 20).unwrap();
                assert_eq!(back, data[..len.min(data.len())], "{codec:?}");
            }
            data = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        }
    }

    #[test]
    fn bombs_and_garbage_are_errors() {
        let zeros = vec![0u8; 10 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bomb = Bytes::from(Compression::from(codec).compress(&zeros));
            assert!(matches!(codec.decompress(&bomb, 1 << 20), Err(CodecError::TooLarge { .. })), "{codec:?}");
            assert!(codec.decompress(&Bytes::from_static(b"this is not compressed"), 1 << 20).is_err(), "{codec:?}");
            assert!(codec.decompress(&bomb.slice(..bomb.len() / 2), 20 << 20).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn lz4_frame_is_kafkas() {
        let out = Compression::from(Codec::Lz4).compress(b"hello hello hello hello");
        assert_eq!(out[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        let mut linked = lz4::EncoderBuilder::new().block_mode(lz4::BlockMode::Linked).build(Vec::new()).unwrap();
        linked.write_all(b"hello").unwrap();
        assert!(Codec::Lz4.decompress(&Bytes::from(linked.finish().0), 1000).is_err());
    }

    #[test]
    fn lz4_header_checksums() {
        assert_eq!(lz4_header_checksum(&[0x60, 0x40]), 0x82);
        // What the clients of magic 0 hashed: the frame's magic as well.
        assert_eq!(lz4_header_checksum(&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]), 0x1a);
        let mut frame = Compression::from(Codec::Lz4).compress(b"hello hello hello hello");
        frame[6] = 0x1a;
        let frame = Bytes::from(frame);
        assert!(Codec::Lz4.decompress(&frame, 100).is_err());
        assert_eq!(Codec::Lz4.decompress(&lz4_frame_of_magic_0(&frame), 100).unwrap().len(), 23);
    }

    #[test]
    fn snappy_takes_raw_blocks_and_repeated_streams() {
        let raw = Bytes::from(snap::raw::Encoder::new().compress_vec(b"raw block").unwrap());
        assert_eq!(Codec::Snappy.decompress(&raw, 100).unwrap(), b"raw block"[..]);
        let mut twice = compress_snappy(b"one,");
        twice.extend(compress_snappy(b"two"));
        assert_eq!(Codec::Snappy.decompress(&twice.into(), 100).unwrap(), b"one,two"[..]);
    }
}
