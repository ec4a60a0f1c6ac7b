//! `barnabas apis`: what a broker offers.

use crate::api::OFFERED;
use crate::wire::ApiKey;
use std::fmt::Write;

/// The list: key, name, versions offered, versions that the schemas describe.
pub fn page() -> String {
    let mut page = format!("{:>3}  {:<28} {:<9} {}\n", "key", "API", "offered", "Kafka 3.9.1 with ZooKeeper");
    for &api in ApiKey::ALL {
        let offered = OFFERED.iter().find(|offer| offer.api == api);
        let offered = offered.map_or("-".to_owned(), |offer| format!("{}-{}", offer.first, offer.last));
        let (known, name) = (api.versions(), api.name());
        writeln!(page, "{:>3}  {name:<28} {offered:<9} {}-{}", api.key(), known.start(), known.end())
            .expect("a string takes everything");
    }
    page
}
