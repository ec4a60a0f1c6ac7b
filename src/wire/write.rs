//! Writing of the protocol's types to a rope.

use bytes::{BufMut, Bytes};

use super::{Out, Part, Records, Str, WireError};
use crate::ids::Uuid;

/// The value, where a version has no way to write null.
pub(super) fn required<'a, T>(value: &'a Option<T>, name: &'static str) -> Result<&'a T, WireError> {
    value.as_ref().ok_or(WireError::Null(name))
}

impl Out {
    pub fn put_bool(&mut self, value: bool) {
        self.put_i8(i8::from(value));
    }

    pub fn put_i8(&mut self, value: i8) {
        self.buffer().put_i8(value);
    }

    pub fn put_i16(&mut self, value: i16) {
        self.buffer().put_i16(value);
    }

    pub fn put_u16(&mut self, value: u16) {
        self.buffer().put_u16(value);
    }

    pub fn put_i32(&mut self, value: i32) {
        self.buffer().put_i32(value);
    }

    pub fn put_u32(&mut self, value: u32) {
        self.buffer().put_u32(value);
    }

    pub fn put_i64(&mut self, value: i64) {
        self.buffer().put_i64(value);
    }

    pub fn put_f64(&mut self, value: f64) {
        self.buffer().put_f64(value);
    }

    pub fn put_uuid(&mut self, value: Uuid) {
        self.buffer().put_slice(&value.to_bytes());
    }

    /// An unsigned number in groups of seven bits, lowest first.
    pub fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer().put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer().put_u8(value as u8);
    }

    /// A length of four bytes, or a compact one; `None` is null.
    fn put_length(&mut self, flexible: bool, length: Option<usize>) -> Result<(), WireError> {
        let too_long = || WireError::TooLong(length.unwrap_or_default());
        let signed = length.map_or(Ok(-1), i32::try_from).map_err(|_| too_long())?;
        if flexible {
            // -1 becomes 0, the compact null.
            self.put_varint(signed.wrapping_add(1) as u32);
        } else {
            self.put_i32(signed);
        }
        Ok(())
    }

    pub fn put_nullable_string(&mut self, flexible: bool, value: Option<&Str>) -> Result<(), WireError> {
        let Some(text) = value else {
            if flexible {
                self.put_varint(0)
            } else {
                self.put_i16(-1)
            }
            return Ok(());
        };
        let length = i16::try_from(text.len()).map_err(|_| WireError::StringTooLong(text.len()))?;
        if flexible {
            self.put_varint(length as u32 + 1)
        } else {
            self.put_i16(length)
        }
        self.buffer().put_slice(text.as_bytes());
        Ok(())
    }

    pub fn put_string(&mut self, flexible: bool, value: &Str) -> Result<(), WireError> {
        self.put_nullable_string(flexible, Some(value))
    }

    pub fn put_nullable_bytes(&mut self, flexible: bool, value: Option<&Bytes>) -> Result<(), WireError> {
        self.put_length(flexible, value.map(Bytes::len))?;
        if let Some(bytes) = value {
            self.put_shared(bytes);
        }
        Ok(())
    }

    pub fn put_bytes(&mut self, flexible: bool, value: &Bytes) -> Result<(), WireError> {
        self.put_nullable_bytes(flexible, Some(value))
    }

    pub fn put_records(&mut self, flexible: bool, value: &Records) -> Result<(), WireError> {
        self.put_length(flexible, (*value != Records::Null).then(|| value.len()))?;
        match value {
            Records::Null => {}
            Records::Bytes(bytes) => self.put_shared(bytes),
            Records::Rope(parts) => {
                for part in parts {
                    match part {
                        Part::Bytes(bytes) => self.put_shared(bytes),
                        file => self.put_part(file.clone()),
                    }
                }
            }
        }
        Ok(())
    }

    pub fn put_nullable_array<T>(
        &mut self,
        flexible: bool,
        value: Option<&Vec<T>>,
        element: impl Fn(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.put_length(flexible, value.map(Vec::len))?;
        value.into_iter().flatten().try_for_each(|e| element(self, e))
    }

    pub fn put_array<T>(
        &mut self,
        flexible: bool,
        value: &Vec<T>,
        element: impl Fn(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.put_nullable_array(flexible, Some(value), element)
    }

    pub fn put_nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        write: impl Fn(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.put_i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| write(self, value))
    }

    /// The tagged fields of a flexible struct, in the order of their tags.
    pub(super) fn put_tags(&mut self, mut tags: Vec<(u32, Out)>) {
        tags.sort_by_key(|(tag, _)| *tag);
        self.put_varint(tags.len() as u32);
        for (tag, value) in tags {
            self.put_varint(tag);
            self.put_varint(value.len() as u32);
            self.put_rope(value);
        }
    }
}
