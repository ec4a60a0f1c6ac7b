//! What is known about an API as a whole.

use std::fmt;
use std::ops::RangeInclusive;

use super::ApiKey;

pub(super) struct ApiInfo {
    pub name: &'static str,
    pub module: &'static str,
    pub versions: (i16, i16),
    pub flexible: Option<i16>,
    pub schema: &'static str,
}

impl ApiKey {
    /// The number on the wire.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// Kafka's name, as clients print it: `ListOffsets`.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Name of the API's module in [`super::messages`]: `list_offsets`.
    pub const fn module(self) -> &'static str {
        self.info().module
    }

    /// The API with this number.
    pub fn from_key(key: i16) -> Option<ApiKey> {
        ApiKey::ALL.binary_search_by_key(&key, |api| api.key()).ok().map(|index| ApiKey::ALL[index])
    }

    /// Versions that the schema describes; what a broker serves may be less.
    pub const fn versions(self) -> RangeInclusive<i16> {
        let (first, last) = self.info().versions;
        first..=last
    }

    /// The first flexible version (KIP-482): compact lengths and tagged fields.
    pub const fn flexible_from(self) -> Option<i16> {
        self.info().flexible
    }

    /// Is this version flexible?
    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_from().is_some_and(|first| version >= first)
    }

    /// Version of the header before a request of this version. Only ControlledShutdown v0 has a header without client id.
    pub fn request_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ControlledShutdown if version == 0 => 0,
            _ if self.is_flexible(version) => 2,
            _ => 1,
        }
    }

    /// Version of the header before a response of this version. ApiVersions always has 0: a client that asks in a version
    /// which the broker lacks must be able to read the answer (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != ApiKey::ApiVersions && self.is_flexible(version))
    }

    /// The text of the API's schema file, for people.
    pub const fn schema(self) -> &'static str {
        self.info().schema
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
