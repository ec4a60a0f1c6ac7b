//! Access control lists: the schemes `world`, `auth`, `digest` and `ip`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine;
use sha1::{Digest, Sha1};

use crate::zk::op::{Acl, ZkError};

pub const PERM_READ: i32 = 1;
pub const PERM_WRITE: i32 = 2;
pub const PERM_CREATE: i32 = 4;
pub const PERM_DELETE: i32 = 8;
pub const PERM_ADMIN: i32 = 16;

/// Something that a connection has proved to be.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Identity {
    /// `ip` or `digest`.
    pub scheme: String,
    /// Address, or `user:digest`.
    pub id: String,
}

impl Identity {
    /// The identity that a connection has from its address.
    pub fn from_address(address: std::net::IpAddr) -> Self {
        Self { scheme: "ip".into(), id: address.to_canonical().to_string() }
    }

    /// The identity behind `user:password`: `user:base64(sha1(user:password))`
    /// (`DigestAuthenticationProvider.generateDigest`).
    pub fn from_digest_credentials(credentials: &[u8]) -> Self {
        let text = String::from_utf8_lossy(credentials);
        let user = text.split(':').next().unwrap_or_default();
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(text.as_bytes()));
        Self { scheme: "digest".into(), id: format!("{user}:{digest}") }
    }

    /// The user's name as `whoAmI` tells it.
    pub fn user(&self) -> &str {
        if self.scheme == "digest" { self.id.split(':').next().unwrap_or_default() } else { &self.id }
    }
}

/// Checks and completes a list that a client wants to set: duplicates go, `auth` becomes the client's own
/// identities (`PrepRequestProcessor.fixupACL`).
pub(super) fn complete(wanted: &[Acl], caller: &[Identity]) -> Result<Arc<[Acl]>, ZkError> {
    let mut list: Vec<Acl> = Vec::with_capacity(wanted.len());
    for (index, acl) in wanted.iter().enumerate() {
        if wanted[..index].contains(acl) {
            continue;
        }
        match (acl.scheme.as_str(), acl.id.as_str()) {
            ("world", "anyone") => list.push(acl.clone()),
            ("auth", _) => {
                // An address alone is not an authentication.
                let proved = caller.iter().filter(|identity| identity.scheme != "ip");
                let before = list.len();
                list.extend(proved.map(|identity| Acl {
                    perms: acl.perms,
                    scheme: identity.scheme.clone(),
                    id: identity.id.clone(),
                }));
                if list.len() == before {
                    return Err(ZkError::InvalidAcl);
                }
            }
            ("digest", id) if is_user_and_digest(id) => list.push(acl.clone()),
            ("ip", id) if Network::parse(id).is_some() => list.push(acl.clone()),
            _ => return Err(ZkError::InvalidAcl),
        }
    }
    if list.is_empty() { Err(ZkError::InvalidAcl) } else { Ok(list.into()) }
}

/// Java's `split(":")` drops empty parts at the end.
fn is_user_and_digest(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// May a caller with these identities do one of `perms`?
pub(super) fn check_permission(acl: &[Acl], perms: i32, caller: &[Identity]) -> Result<(), ZkError> {
    let grants = |entry: &Acl| match entry.scheme.as_str() {
        _ if entry.perms & perms == 0 => false,
        "world" => entry.id == "anyone",
        "ip" => {
            let network = Network::parse(&entry.id);
            let mut addresses = caller.iter().filter(|identity| identity.scheme == "ip");
            network.is_some_and(|network| addresses.any(|address| network.contains(&address.id)))
        }
        scheme => caller.iter().any(|identity| identity.scheme == scheme && identity.id == entry.id),
    };
    if acl.is_empty() || acl.iter().any(grants) { Ok(()) } else { Err(ZkError::NoAuth) }
}

/// What somebody without ADMIN sees of a list.
pub(super) fn mask_digests(acl: &[Acl]) -> Vec<Acl> {
    let mask = |entry: &Acl| match entry.id.split_once(':') {
        Some((user, _)) if entry.scheme == "digest" => Acl { id: format!("{user}:x"), ..entry.clone() },
        _ => entry.clone(),
    };
    acl.iter().map(mask).collect()
}

/// `address` or `address/bits`; IPv4 only, as in ZooKeeper 3.8.
struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok()?),
            None => (text, 32),
        };
        let mask = match bits {
            0 => 0,
            1..=32 => u32::MAX << (32 - bits),
            _ => return None,
        };
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { address: u32::from(address) & mask, mask })
    }

    fn contains(&self, address: &str) -> bool {
        address.parse::<Ipv4Addr>().is_ok_and(|address| u32::from(address) & self.mask == self.address)
    }
}
