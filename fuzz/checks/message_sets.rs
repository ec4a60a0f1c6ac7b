//! Any bytes as messages of magic 0 and 1, by themselves and in wrappers: read, checked for an append to topics of every
//! format, converted for old consumers.

use barnabas::record::{Record, batches};
use bytes::Bytes;

use super::input::{Input, codec, with_crcs, wrapper};
use super::prepared;

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let target_magic = (input.byte() % 3) as i8;
    let options = prepared::options(&mut input, target_magic);
    let (mode, source) = (input.byte(), input.byte());
    let magic = source >> 7;
    let offset = i64::from(source >> 3 & 15);
    let bytes = Bytes::from(match mode % 4 {
        0 => input.rest().to_vec(),
        1 => with_crcs(input.rest()),
        2 => wrapper(magic, codec(source & 7), offset, input.rest()),
        _ => wrapper(magic, codec(source & 7), offset, &with_crcs(input.rest())),
    });
    for batch in batches(bytes.clone()).map_while(Result::ok).filter(|batch| batch.header.magic < 2) {
        let _ = batch.first_offset();
        let Ok(messages) = batch.messages() else { continue };
        let Ok(records) = batch.records() else { panic!("messages can be read, but not as records") };
        for (message, record) in messages.zip(records) {
            let (Ok(message), Ok(record)) = (message, record) else { break };
            let _ = message.crc_holds();
            let as_record: Record = message.into_record();
            assert_eq!(as_record, record);
        }
    }
    prepared::check_append(&bytes, &options);
    prepared::check_down_conversion(&bytes, offset);
}
