//! Reading of the protocol's types from a frame. Lengths are checked against the bytes left before anything is allocated.

use bytes::{Buf, Bytes};
use nom::number::complete as number;
use nom::{IResult, Parser};

use super::{Records, Str, WireError};
use crate::ids::Uuid;

/// The longest string that Kafka reads, in bytes.
const MAX_STRING_BYTES: usize = 0x7fff;

/// The unread rest of a frame. What is read from it shares the frame's memory.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    pub fn new(frame: Bytes) -> Self {
        Self { rest: frame }
    }

    /// Number of bytes not yet read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The unread bytes.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Runs a parser of nom that needs `size` bytes.
    fn parse<T>(&mut self, size: usize, parser: impl Fn(&[u8]) -> IResult<&[u8], T, ()>) -> Result<T, WireError> {
        match parser(&self.rest) {
            Ok((rest, value)) => {
                let read = self.rest.len() - rest.len();
                self.rest.advance(read);
                Ok(value)
            }
            Err(_) => Err(WireError::Truncated { needed: size, left: self.left() }),
        }
    }

    pub fn bool(&mut self) -> Result<bool, WireError> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, WireError> {
        self.parse(1, |input| number::i8(input))
    }

    pub fn i16(&mut self) -> Result<i16, WireError> {
        self.parse(2, |input| number::be_i16(input))
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.parse(2, |input| number::be_u16(input))
    }

    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.parse(4, |input| number::be_i32(input))
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.parse(4, |input| number::be_u32(input))
    }

    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.parse(8, |input| number::be_i64(input))
    }

    pub fn f64(&mut self) -> Result<f64, WireError> {
        self.parse(8, |input| number::be_f64(input))
    }

    pub fn uuid(&mut self) -> Result<Uuid, WireError> {
        self.parse(16, |input| number::be_u128.map(Uuid).parse(input))
    }

    /// An unsigned number in groups of seven bits, lowest first. Bits beyond 32 are dropped, as in Kafka.
    pub fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.parse(1, |input| number::u8(input))?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Varint)
    }

    /// The next `length` bytes of the frame, shared.
    pub fn take(&mut self, length: usize) -> Result<Bytes, WireError> {
        if length > self.left() {
            return Err(WireError::Truncated { needed: length, left: self.left() });
        }
        Ok(self.rest.split_to(length))
    }

    /// A compact length is stored plus one, 0 being null; of the others each negative one is null.
    fn length(
        &mut self,
        flexible: bool,
        plain: fn(&mut Self) -> Result<i32, WireError>,
    ) -> Result<Option<usize>, WireError> {
        if flexible {
            Ok(self.varint()?.checked_sub(1).map(|n| n as usize))
        } else {
            Ok(usize::try_from(plain(self)?).ok())
        }
    }

    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Str>, WireError> {
        match self.length(flexible, |r| r.i16().map(i32::from))? {
            None => Ok(None),
            Some(length) if length > MAX_STRING_BYTES => Err(WireError::Length(length as i64)),
            Some(length) => Ok(Some(Str::from_utf8_lossy(self.take(length)?))),
        }
    }

    pub fn string(&mut self, flexible: bool) -> Result<Str, WireError> {
        self.nullable_string(flexible)?.ok_or(WireError::Null("a string"))
    }

    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, WireError> {
        self.length(flexible, Self::i32)?.map(|length| self.take(length)).transpose()
    }

    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, WireError> {
        self.nullable_bytes(flexible)?.ok_or(WireError::Null("a byte field"))
    }

    pub fn records(&mut self, flexible: bool) -> Result<Records, WireError> {
        Ok(self.nullable_bytes(flexible)?.map_or(Records::Null, Records::Bytes))
    }

    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<Vec<T>>, WireError> {
        let Some(count) = self.length(flexible, Self::i32)? else { return Ok(None) };
        if count > self.left() {
            // Every element has at least one byte.
            return Err(WireError::Truncated { needed: count, left: self.left() });
        }
        // A hostile count costs no more memory than the frame itself; honest arrays of small elements fit at once.
        let mut elements = Vec::with_capacity(count.min(self.left() / size_of::<T>().max(1) + 1));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub fn array<T>(
        &mut self,
        flexible: bool,
        element: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        self.nullable_array(flexible, element)?.ok_or(WireError::Null("an array"))
    }

    /// A struct that may be null: a signed byte, negative for null, comes before it.
    pub fn nullable_struct<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        if self.i8()? < 0 { Ok(None) } else { read(self).map(Some) }
    }

    /// The tagged fields at the end of a flexible struct (KIP-482); each gets a reader for its own bytes.
    pub fn tags(&mut self, mut field: impl FnMut(u32, &mut Reader) -> Result<(), WireError>) -> Result<(), WireError> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            field(tag, &mut Reader::new(self.take(size)?))?;
        }
        Ok(())
    }

    /// Passes over tagged fields of which none is known.
    pub fn skip_tags(&mut self) -> Result<(), WireError> {
        self.tags(|_, _| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn hostile_lengths_are_errors() {
        assert!(matches!(reader(b"\x7f\xff\xff\xff").array(false, Reader::i32), Err(WireError::Truncated { .. })));
        assert!(matches!(reader(b"\xff\xff\xff\xff\x0f").bytes(true), Err(WireError::Truncated { .. })));
        assert_eq!(reader(b"\xff\xff\xff\xff\xff\x01").varint(), Err(WireError::Varint));
        assert_eq!(reader(b"\xff\xfe").string(false), Err(WireError::Null("a string")));
        assert_eq!(reader(b"\xff\xfe").nullable_string(false), Ok(None));
        assert_eq!(reader(b"\x81\x80\x02").string(true), Err(WireError::Length(0x8000)));
        assert!(matches!(reader(b"\xff\xff\xff\xff\x0f\x00\x00").skip_tags(), Err(WireError::Truncated { .. })));
    }

    #[test]
    fn unknown_tags_are_skipped() {
        let mut r = reader(b"\x01\x07\x02abz");
        r.skip_tags().unwrap();
        assert_eq!(r.into_rest(), "z");
    }
}
