//! Values that messages are made of, beside plain numbers.

use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::{Out, Part};

/// A UTF-8 string: a slice of the frame that it came in, or bytes of its own.
///
/// A slice keeps its whole frame alive; what outlives a request is copied into an `Arc<str>` or `String`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The string in these bytes, shared if they are UTF-8. What is not becomes U+FFFD, as in Java.
    pub fn from_utf8_lossy(bytes: Bytes) -> Self {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Self(bytes),
            Err(_) => Self::from(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor takes a `str` or checks the bytes, and `Bytes` never change.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self
    }
}

/// As `str` hashes, because of [`Borrow`].
impl std::hash::Hash for Str {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Arc<str>> for Str {
    fn from(text: Arc<str>) -> Self {
        Self::from(&*text)
    }
}

impl From<&Arc<str>> for Str {
    fn from(text: &Arc<str>) -> Self {
        Self::from(&**text)
    }
}

impl From<&Str> for Arc<str> {
    fn from(text: &Str) -> Self {
        Arc::from(text.as_str())
    }
}

impl From<Str> for Arc<str> {
    fn from(text: Str) -> Self {
        Arc::from(text.as_str())
    }
}

impl From<Str> for String {
    fn from(text: Str) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Record batches of one partition, untouched by the wire layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Records {
    #[default]
    Null,
    /// A slice of a frame, or batches made here.
    Bytes(Bytes),
    /// Pieces of log files, in order.
    Rope(Vec<Part>),
}

impl Records {
    /// Size in bytes; null counts as empty.
    pub fn len(&self) -> usize {
        match self {
            Records::Null => 0,
            Records::Bytes(bytes) => bytes.len(),
            Records::Rope(parts) => parts.iter().map(Part::len).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one piece; pieces of files are read. Errors: those of the file.
    pub fn into_bytes(self) -> io::Result<Bytes> {
        match self {
            Records::Null => Ok(Bytes::new()),
            Records::Bytes(bytes) => Ok(bytes),
            Records::Rope(parts) => {
                let mut out = Out::new();
                parts.into_iter().for_each(|part| out.put_part(part));
                out.into_bytes()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Records::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_share_their_frame_unless_they_are_not_utf8() {
        let frame = Bytes::from_static(b"ab\xffc");
        let shared = Str::from_utf8_lossy(frame.slice(0..2));
        assert_eq!(shared.as_ptr(), frame.as_ptr());
        assert_eq!(Str::from_utf8_lossy(frame), "ab\u{fffd}c");
    }
}
