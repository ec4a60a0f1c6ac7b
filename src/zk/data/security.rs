//! ACLs and delegation tokens, as AclAuthorizer and the token manager keep them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Data, DataError, from_json, to_json};

/// One ACL of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AclEntry {
    pub principal: String,
    /// `Allow` or `Deny`.
    #[serde(rename = "permissionType")]
    pub permission: String,
    pub host: String,
    /// `Read`, `ClusterAction`, ...
    pub operation: String,
}

/// `/kafka-acl/TYPE/NAME` and `/kafka-acl-extended/prefixed/TYPE/NAME`, version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AclList {
    pub acls: Vec<AclEntry>,
    version: i32,
}

impl AclList {
    pub fn new(acls: Vec<AclEntry>) -> Self {
        Self { acls, version: 1 }
    }
}

impl Data for AclList {
    fn encode(&self) -> Bytes {
        to_json(self)
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let list: Self = from_json(data)?;
        if list.version != 1 {
            return Err(DataError::Version { what: "an ACL list", version: list.version.into() });
        }
        Ok(list)
    }
}

/// `/kafka-acl-extended-changes/acl_changes_N`, version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AclChange {
    version: i32,
    /// `TOPIC`, `GROUP`, ...
    #[serde(rename = "resourceType")]
    pub resource_type: String,
    pub name: String,
    /// `PREFIXED`.
    #[serde(rename = "patternType")]
    pub pattern_type: String,
}

impl Data for AclChange {
    fn encode(&self) -> Bytes {
        to_json(self)
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        from_json(data)
    }
}

/// `/delegation_token/tokens/ID`. Versions 1 and 2 have no requester, which then is the owner; 3 is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegationToken {
    #[serde(rename = "issueTimestamp")]
    pub issued_ms: i64,
    /// Principals, sanitized; so are `token_requester` and `owner`.
    pub renewers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_requester: Option<String>,
    pub token_id: String,
    pub owner: String,
    #[serde(rename = "expiryTimestamp")]
    pub expires_ms: i64,
    #[serde(rename = "maxTimestamp")]
    pub max_ms: i64,
    pub version: i32,
}

impl Data for DelegationToken {
    fn encode(&self) -> Bytes {
        to_json(self)
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let token: Self = from_json(data)?;
        if !(1..=3).contains(&token.version) {
            return Err(DataError::Version { what: "a delegation token", version: token.version.into() });
        }
        Ok(token)
    }
}
