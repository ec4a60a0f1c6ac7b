//! A client of the embedded ZooKeeper sends any packets: each is answered or refused.

use barnabas::zk::model::Model;
use barnabas::zk::server::dispatch::answer;

pub fn check(bytes: &[u8]) {
    let mut model = Model::default();
    let session = model.open_session([0; 16], 6_000, None, 0);
    let mut rest = bytes;
    // The first byte of each packet is its length.
    while let Some((length, tail)) = rest.split_first() {
        let (packet, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        match answer(&mut model, session, packet, 0) {
            Ok(answered) if answered.close => return,
            Ok(answered) => assert!(answered.reply.len() >= 20),
            Err(_) => return,
        }
    }
}
