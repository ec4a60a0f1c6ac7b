//! The releases of Kafka that `inter.broker.protocol.version` may name.

use super::InvalidConfig;
use std::fmt;
use std::str::FromStr;

/// Every release known to Kafka 3.9.1 (`MetadataVersion`), oldest first.
pub const ALL: &[&str] = &[
    "0.8.0",
    "0.8.1",
    "0.8.2",
    "0.9.0",
    "0.10.0-IV0",
    "0.10.0-IV1",
    "0.10.1-IV0",
    "0.10.1-IV1",
    "0.10.1-IV2",
    "0.10.2-IV0",
    "0.11.0-IV0",
    "0.11.0-IV1",
    "0.11.0-IV2",
    "1.0-IV0",
    "1.1-IV0",
    "2.0-IV0",
    "2.0-IV1",
    "2.1-IV0",
    "2.1-IV1",
    "2.1-IV2",
    "2.2-IV0",
    "2.2-IV1",
    "2.3-IV0",
    "2.3-IV1",
    "2.4-IV0",
    "2.4-IV1",
    "2.5-IV0",
    "2.6-IV0",
    "2.7-IV0",
    "2.7-IV1",
    "2.7-IV2",
    "2.8-IV0",
    "2.8-IV1",
    "3.0-IV0",
    "3.0-IV1",
    "3.1-IV0",
    "3.2-IV0",
    "3.3-IV0",
    "3.3-IV1",
    "3.3-IV2",
    "3.3-IV3",
    "3.4-IV0",
    "3.5-IV0",
    "3.5-IV1",
    "3.5-IV2",
    "3.6-IV0",
    "3.6-IV1",
    "3.6-IV2",
    "3.7-IV0",
    "3.7-IV1",
    "3.7-IV2",
    "3.7-IV3",
    "3.7-IV4",
    "3.8-IV0",
    "3.9-IV0",
    "4.0-IV0",
    "4.0-IV1",
];

/// A release of Kafka's inter-broker protocol; ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release(u8);

impl Release {
    /// The oldest whose brokers can share a cluster with ours.
    pub const MIN: Release = Release::named("2.4-IV0");
    /// The newest with ZooKeeper; the default.
    pub const MAX: Release = Release::named("3.9-IV0");

    /// The release of this exact name; for constants, wrong names do not compile.
    pub const fn named(name: &str) -> Release {
        let mut index = 0;
        while index < ALL.len() {
            if same(ALL[index].as_bytes(), name.as_bytes()) {
                return Release(index as u8);
            }
            index += 1;
        }
        panic!("no such release")
    }

    /// Topics have ids (KIP-516).
    pub fn has_topic_ids(self) -> bool {
        self >= Release::named("2.8-IV0")
    }

    /// The leader recovery state exists (KIP-704).
    pub fn has_leader_recovery(self) -> bool {
        self >= Release::named("3.2-IV0")
    }

    /// Leaders change their ISR through the controller (KIP-497), and `/feature` is enabled.
    pub fn has_alter_partition(self) -> bool {
        self >= Release::named("2.7-IV2")
    }

    /// `/feature` has no minimum levels.
    pub fn has_feature_v2(self) -> bool {
        self >= Release::named("3.3-IV0")
    }

    /// The newest record format of this release.
    pub fn magic(self) -> i8 {
        if self >= Release::named("0.11.0-IV0") {
            2
        } else if self >= Release::named("0.10.0-IV0") {
            1
        } else {
            0
        }
    }

    /// The full name, as `3.9-IV0`.
    pub const fn name(self) -> &'static str {
        ALL[self.0 as usize]
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// `3.9`, `3.9.1` and `3.9-IV0` all mean 3.9-IV0; a name without `-IV` means the last of its release.
impl FromStr for Release {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Release, InvalidConfig> {
        let segments = if text.starts_with("0.") { 3 } else { 2 };
        let short: Vec<&str> = text.split('.').take(segments).collect();
        let short = short.join(".");
        let is_it =
            |name: &&str| **name == short || name.split_once("-IV").is_some_and(|(release, _)| release == short);
        match ALL.iter().rposition(|name| is_it(&name)) {
            Some(index) => Ok(Release(index as u8)),
            None => Err(InvalidConfig::Conflict(format!("Version {text} is not a valid version"))),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_the_last_of_a_release() {
        for (text, name) in [("3.9", "3.9-IV0"), ("3.9.1", "3.9-IV0"), ("3.7", "3.7-IV4"), ("2.8-IV0", "2.8-IV0")] {
            assert_eq!(text.parse::<Release>().unwrap().name(), name);
        }
        assert_eq!("0.10.2.1".parse::<Release>().unwrap().name(), "0.10.2-IV0");
        for bad in ["", "3", "3.9-IV7", "x", "5.0"] {
            assert!(bad.parse::<Release>().is_err(), "{bad}");
        }
        assert!(Release::MIN < Release::MAX);
        assert!(Release::MAX.has_feature_v2() && Release::named("2.7-IV2").has_alter_partition());
        assert!(!"2.6".parse::<Release>().unwrap().has_alter_partition());
    }
}
