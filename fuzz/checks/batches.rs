//! Any bytes as record batches: read, checked for an append, converted for old consumers.

use barnabas::record::{
    Batch, BatchBuilder, BatchHeader, EndMarker, HEADER_BYTES, Record, RecordError, batches, check_produce,
    raw_records, walk, write_thinned,
};
use bytes::Bytes;

use super::input::{Input, codec, compressed_batch, with_crcs};
use super::prepared;

/// Records that are built anew; more only cost time.
const REBUILT_RECORDS: usize = 2_000;

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let options = prepared::options(&mut input, 2);
    let (mode, source) = (input.byte(), input.byte());
    let bytes = Bytes::from(match mode % 3 {
        0 => input.rest().to_vec(),
        1 => with_crcs(input.rest()),
        _ => compressed_batch(codec(source), input.rest()),
    });
    for batch in batches(bytes.clone()).map_while(Result::ok).filter(|batch| batch.header.magic == 2) {
        look_at(&batch);
    }
    for version in [2, 3, 7] {
        let _ = check_produce(&bytes, version);
    }
    prepared::check_append(&bytes, &options);
    prepared::check_down_conversion(&bytes, i64::from(source));
}

fn look_at(batch: &Batch) {
    let header = &batch.header;
    assert_eq!(header.encode()[..], batch.bytes[..HEADER_BYTES]);
    assert_eq!(header.size(), batch.bytes.len());
    assert_eq!(BatchHeader::read(&batch.bytes).expect("it was read before"), *header);
    assert_eq!(header.compute_crc(&batch.payload()) == header.crc, batch.check_crc().is_ok());
    let _ = EndMarker::of(batch);
    let (mut walked, mut deltas_grow, mut last_delta) = (0, true, -1);
    let walk = walk(batch, |record| {
        walked += 1;
        deltas_grow &= record.offset_delta > last_delta;
        last_delta = record.offset_delta;
    });
    let records = batch.records().and_then(|records| records.collect::<Result<Vec<Record>, RecordError>>());
    if header.records_count >= 0 {
        // What a producer is told and what a consumer can read are the same.
        assert_eq!(walk.is_ok(), records.is_ok(), "{walk:?} {:?}", records.as_ref().err());
    }
    let (Ok(()), Ok(records)) = (walk, records) else { return };
    assert_eq!(records.len(), walked);
    if deltas_grow && !records.is_empty() && records.len() <= REBUILT_RECORDS {
        build_anew(batch, &records);
        thin(batch);
    }
}

/// The same records in a batch of our own.
fn build_anew(batch: &Batch, records: &[Record]) {
    let header = &batch.header;
    let mut builder =
        BatchBuilder::new().base_offset(header.base_offset).compression(header.attributes.codec().unwrap());
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        let delta = record.offset.wrapping_sub(header.base_offset) as i32;
        builder.push_at(delta, record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    let built = Batch::read(&builder.build()).expect("a sound batch").expect("a whole batch");
    built.check_crc().expect("the CRC of a batch of ours");
    let again: Vec<Record> = built.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(again, records);
}

/// As compaction does: every other record goes.
fn thin(batch: &Batch) {
    let header = &batch.header;
    let plain = header.attributes.codec().unwrap().decompress(&batch.payload(), 1 << 24);
    let Ok(plain) = plain else { return };
    let Ok(raw) = raw_records(header, &plain).collect::<Result<Vec<_>, _>>() else { return };
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    let count = raw.len().div_ceil(2);
    let thinned = write_thinned(header, raw.into_iter().step_by(2), None, &mut scratch, &mut out);
    let again = Batch::read(&out.into()).expect("a sound batch").expect("a whole batch");
    assert_eq!(again.header, thinned);
    again.check_crc().expect("the CRC of a thinned batch");
    assert_eq!(again.records().unwrap().map(Result::unwrap).count(), count);
}
