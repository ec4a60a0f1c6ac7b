//! Zig-zag base-128 integers, as records use them.

use bytes::BufMut;

/// Why a variable-length integer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VarintError {
    /// The bytes ended inside it.
    End,
    /// It is longer than its type allows.
    TooLong,
}

/// Appends a 32-bit integer, 1 to 5 bytes.
pub fn put_varint(out: &mut impl BufMut, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a 64-bit integer, 1 to 10 bytes.
pub fn put_varlong(out: &mut impl BufMut, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_unsigned(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes that [`put_varint`] writes.
pub fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// Bytes that [`put_varlong`] writes.
pub fn varlong_len(value: i64) -> usize {
    unsigned_len(((value << 1) ^ (value >> 63)) as u64)
}

fn unsigned_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads an unsigned value of at most `bits` bits from a source of bytes.
fn unsigned<E: From<VarintError>>(mut next: impl FnMut() -> Result<u8, E>, max_bytes: u32) -> Result<u64, E> {
    let mut value = 0u64;
    for index in 0..max_bytes {
        let byte = next()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(VarintError::TooLong.into())
}

/// Reads a 32-bit integer byte by byte.
pub(super) fn varint<E: From<VarintError>>(next: impl FnMut() -> Result<u8, E>) -> Result<i32, E> {
    let raw = unsigned(next, 5)? as u32;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a 64-bit integer byte by byte.
pub(super) fn varlong<E: From<VarintError>>(next: impl FnMut() -> Result<u8, E>) -> Result<i64, E> {
    let raw = unsigned(next, 10)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for value in
            [0i64, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN]
        {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_len(value));
            let mut bytes = out.iter();
            assert_eq!(varlong(|| bytes.next().copied().ok_or(VarintError::End)), Ok(value));
            if let Ok(small) = i32::try_from(value) {
                let mut out = Vec::new();
                put_varint(&mut out, small);
                assert_eq!(out.len(), varint_len(small));
                let mut bytes = out.iter();
                assert_eq!(varint(|| bytes.next().copied().ok_or(VarintError::End)), Ok(small));
            }
        }
        assert_eq!(varint(|| Ok::<u8, VarintError>(0xff)), Err(VarintError::TooLong));
    }
}
