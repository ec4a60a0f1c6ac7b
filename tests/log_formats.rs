//! The older message formats, against log directories of real brokers and what Kafka's own tool prints for them.

mod log_support;

use std::path::{Path, PathBuf};

use barnabas::config::{CompressionType, LogConfig, TimestampType};
use barnabas::error::ErrorCode;
use barnabas::ids::Offset;
use barnabas::record::{Attributes, Batch, BatchBuilder, Codec, MessageSetBuilder, Record, batches, down_convert};
use bytes::Bytes;
use log_support::*;

/// The partition directories that hold, or may hold, messages before magic 2.
fn old_partitions() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log");
    let mut found = Vec::new();
    for dir in ["v0v1-on-3.9.1", "broker-0.8.2.2", "broker-0.10.2.2"] {
        let entries = std::fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.is_dir()));
    }
    found.sort();
    assert_eq!(found.len(), 22);
    found
}

/// The lines about messages in the dump beside a directory.
fn dumped(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.with_extension("dump.txt")).unwrap();
    let about = ["offset: ", "| offset: ", "baseOffset: "];
    text.lines().filter(|line| about.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A batch as `DumpLogSegments --deep-iteration --print-data-log` prints it.
fn dump(batch: &Batch, position: usize) -> Vec<String> {
    let header = &batch.header;
    let kind = match header.magic {
        0 => "NoTimestampType",
        _ if header.attributes.log_append_time() => "LogAppendTime",
        _ => "CreateTime",
    };
    let mut lines = vec![format!(
        "offset: {} position: {position} {kind}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
        header.last_offset(),
        header.max_timestamp,
        header.size(),
        header.magic,
        header.attributes.codec().unwrap().name(),
        header.crc,
        batch.check_crc().is_ok(),
    )];
    for message in batch.messages().unwrap() {
        let message = message.unwrap();
        let (crc, holds) = (message.crc(), message.crc_holds());
        assert!(message.codec == Some(Codec::None) && message.magic == header.magic);
        let record = message.into_record();
        let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
        let key = record.key.as_ref().map_or(String::new(), |key| format!(" key: {}", text(key)));
        let payload = record.value.as_ref().map_or(String::new(), |value| format!(" payload: {}", text(value)));
        lines.push(format!(
            "| offset: {} {kind}: {} keySize: {} valueSize: {} isValid: {holds} crc: {crc}}}{key}{payload}",
            record.offset,
            record.timestamp,
            size(&record.key),
            size(&record.value),
        ));
    }
    lines
}

#[test]
fn every_message_reads_as_kafka_dumps_it() {
    let mut count = 0;
    for dir in old_partitions() {
        let expected = dumped(&dir);
        let mut lines = Vec::new();
        let mut position = 0;
        for batch in all_batches(&dir) {
            if batch.header.magic == 2 {
                // Its header is compared elsewhere; here only the records count.
                let records: Vec<_> = batch.records().unwrap().map(|record| record.unwrap()).collect();
                assert_eq!(records.len(), expected.len() - 1);
                lines.extend(expected.iter().cloned());
                continue;
            }
            lines.extend(dump(&batch, position));
            position += batch.header.size();
        }
        assert_eq!(lines, expected, "{}", dir.display());
        count += lines.len();
    }
    assert!(count > 200, "only {count} lines");
}

#[test]
fn records_have_absolute_offsets_and_the_first_is_known() {
    for dir in old_partitions() {
        let mut next = 0;
        for batch in all_batches(&dir) {
            assert_eq!(batch.first_offset().unwrap(), next, "{}", dir.display());
            for record in batch.records().unwrap() {
                assert_eq!(record.unwrap().offset, next);
                next += 1;
            }
            assert_eq!(batch.header.next_offset(), next);
        }
    }
}

#[test]
fn logs_of_old_brokers_load_recover_and_read() {
    let config = LogConfig::default();
    for golden in old_partitions() {
        let expected = all_batches(&golden);
        let end = expected.last().unwrap().header.next_offset();
        for killed in [false, true] {
            let dir = tempdir();
            let path = dir.path().join("t-0");
            copy_dir(&golden, &path);
            let log = if killed { open_killed(&path, &config, 0) } else { open_clean(&path, &config) };
            assert_eq!(log.end_offset(), Offset(end), "{}", golden.display());
            assert_eq!(read_all(&log.view()), expected);
            let timestamp = expected[0].header.max_timestamp;
            if timestamp >= 0 {
                let found = log.view().offset_for_timestamp(1).unwrap().unwrap();
                assert_eq!(found.offset, Offset(0));
                let max = log.view().max_timestamp().unwrap().unwrap();
                let highest = expected.iter().map(|batch| batch.header.max_timestamp).max();
                assert_eq!(Some(max.timestamp), highest);
            }
        }
    }
}

#[test]
fn a_torn_tail_is_cut_before_the_message() {
    for golden in old_partitions() {
        let expected = all_batches(&golden);
        let (last, kept) = expected.split_last().unwrap();
        let dir = tempdir();
        let path = dir.path().join("t-0");
        copy_dir(&golden, &path);
        let file = log_files(&path).remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let log = open_killed(&path, &LogConfig::default(), 0);
        assert_eq!(log.end_offset(), Offset(last.first_offset().unwrap()), "{}", golden.display());
        assert_eq!(read_all(&log.view()), kept);
    }
}

/// A follower that copies a leader's old messages ends up with the leader's files.
#[test]
fn followers_copy_old_messages() {
    for golden in old_partitions() {
        let dir = tempdir();
        let path = dir.path().join("t-0");
        let mut log = open_clean(&path, &LogConfig::default());
        for batch in all_batches(&golden) {
            let info = log.append_as_follower(&batch.bytes).unwrap();
            assert_eq!(info.last_offset, Offset(batch.header.last_offset()));
        }
        log.close().unwrap();
        let (expected, actual) = (files(&golden), files(&path));
        for name in ["00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex"] {
            // Brokers before 0.10.1 wrote no time index.
            if let Some(expected) = expected.get(name) {
                assert!(*expected == actual[name], "{}: {name}", golden.display());
            }
        }
        assert!(log.epochs().is_empty() || all_batches(&golden)[0].header.magic == 2);
    }
}

/// An older message from the leader means that epochs cannot be trusted for truncation any more.
#[test]
fn an_old_message_makes_the_log_forget_its_epochs() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    log.append_as_leader(&batch_of(2, 1000, "new"), &client(3, 1000)).unwrap();
    assert!(!log.epochs().is_empty());
    let golden = old_partitions().into_iter().find(|path| path.ends_with("fmt0100-none-0")).unwrap();
    log.append_as_follower(&all_batches(&golden)[2].bytes).unwrap();
    assert!(log.epochs().is_empty());
    assert_eq!(log.end_offset(), Offset(3));
}

#[test]
fn hostile_wrappers_are_errors() {
    for golden in old_partitions() {
        for batch in all_batches(&golden) {
            for at in 0..batch.bytes.len() {
                let mut bytes = batch.bytes.to_vec();
                for flip in [0x01, 0x80, 0xff] {
                    bytes[at] ^= flip;
                    for batch in batches(bytes.clone().into()).flatten() {
                        _ = batch.first_offset();
                        if let Ok(records) = batch.records() {
                            records.for_each(drop);
                        }
                    }
                    bytes[at] ^= flip;
                }
            }
        }
    }
}

const CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];

fn old_config(magic: i8) -> LogConfig {
    let message_format_version = ["0.9.0", "0.10.0", "3.0-IV1"][magic as usize].to_owned();
    LogConfig { old_formats: true, message_format_version, ..LogConfig::default() }
}

fn partition_named(name: &str) -> PathBuf {
    old_partitions().into_iter().find(|path| path.ends_with(name)).unwrap()
}

fn records_of(batches: &[Batch]) -> Vec<Record> {
    batches.iter().flat_map(|batch| batch.records().unwrap()).map(|record| record.unwrap()).collect()
}

/// The messages of a golden batch as its producer sent them: offsets from 0.
fn message_set(records: &[Record], magic: i8, codec: Codec) -> Bytes {
    let mut builder = MessageSetBuilder::new(magic, codec.into(), None);
    for (offset, record) in records.iter().enumerate() {
        builder.push(offset as i64, record.timestamp, record.key.as_deref(), record.value.as_deref());
    }
    builder.build().into()
}

fn v2(records: &[Record], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new().compression(codec);
    for record in records {
        builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &[]);
    }
    builder.build()
}

/// What a leader stores of one append.
fn stored(config: &LogConfig, sent: &Bytes) -> Result<Vec<Batch>, ErrorCode> {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), config);
    let append = client(0, 1_700_000_020_000);
    for _ in 0..2 {
        log.append_as_leader(sent, &append).map_err(|error| ErrorCode::from(&error))?;
    }
    // The first append only moves the offsets of the second.
    let first = log.append_as_leader(sent, &append).unwrap().first_offset;
    Ok(read_all(&log.view()).into_iter().filter(|batch| batch.first_offset().unwrap() >= first.0).collect())
}

/// The broker of the golden dir got v2 batches and wrote old messages; so do we. Compressed bytes differ with the library.
#[test]
fn topics_kept_in_an_old_format_get_its_messages() {
    for (magic, era) in [(0, "fmt090"), (1, "fmt0100")] {
        for codec in CODECS {
            let golden = partition_named(&format!("{era}-{}-0", codec.name()));
            let expected = all_batches(&golden);
            let dir = tempdir();
            let path = dir.path().join("t-0");
            let mut log = open_clean(&path, &old_config(magic));
            log.assign_epoch(barnabas::ids::LeaderEpoch(0), Offset(0)).unwrap();
            // Batches of 6, 3 and 2 records were sent.
            let records = records_of(&expected);
            for part in [&records[..6], &records[6..9], &records[9..]] {
                log.append_as_leader(&v2(part, codec), &client(0, 1_700_000_020_000)).unwrap();
            }
            let actual = read_all(&log.view());
            assert_eq!(records_of(&actual), records);
            assert_eq!(actual.len(), expected.len());
            for (actual, expected) in actual.iter().zip(&expected) {
                assert_eq!(actual.header.base_offset, expected.header.base_offset);
                assert_eq!(actual.header.max_timestamp, expected.header.max_timestamp);
                assert_eq!(actual.header.attributes, expected.header.attributes);
                assert_eq!(actual.header.magic, magic);
                if codec == Codec::Lz4 {
                    // The head of the frame with its checksum, right or as it was then.
                    let frame = 26 + 8 * magic as usize;
                    assert_eq!(actual.bytes[frame..frame + 7], expected.bytes[frame..frame + 7]);
                }
            }
            log.close().unwrap();
            assert!(!path.join("leader-epoch-checkpoint").exists());
            if codec == Codec::None {
                let (mut expected, actual) = (files(&golden), files(&path));
                expected.remove("partition.metadata");
                assert_same_files(&expected, &actual, era);
            }
        }
    }
}

#[test]
fn old_sets_become_one_batch() {
    for (magic, name) in [(0, "fmt090-none-0"), (1, "fmt0100-none-0")] {
        let records = records_of(&all_batches(&partition_named(name)));
        for codec in CODECS {
            let found = stored(&LogConfig::default(), &message_set(&records, magic, codec)).unwrap();
            assert_eq!(found.len(), 1);
            let header = found[0].header;
            assert_eq!((header.magic, header.attributes, header.base_offset), (2, Attributes(codec.id()), 22));
            let expected: Vec<_> =
                records.iter().map(|record| Record { offset: record.offset + 22, ..record.clone() }).collect();
            assert_eq!(records_of(&found), expected);
            // And back, as a consumer of that time asks for it.
            let back = down_convert(&found[0].bytes, magic, 22).unwrap().concat();
            let back: Vec<_> = batches(back.into()).map(|batch| batch.unwrap()).collect();
            assert!(back.iter().all(|batch| batch.header.magic == magic && batch.check_crc().is_ok()));
            assert_eq!(records_of(&back), expected);
        }
    }
}

#[test]
fn the_up_converted_batch_is_kafkas() {
    // The 0.8.2.2 producer sent these five with gzip; Kafka's compressed bytes are its own.
    let expected = &all_batches(&partition_named("c08-upconv-v2-gzip-0"))[0];
    let sent = message_set(&records_of(std::slice::from_ref(expected)), 0, Codec::Gzip);
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    log.append_as_leader(&sent, &client(0, 1)).unwrap();
    let found = read_all(&log.view()).remove(0);
    let as_kafkas = barnabas::record::BatchHeader {
        crc: expected.header.crc,
        batch_length: expected.header.batch_length,
        ..found.header
    };
    assert_eq!(as_kafkas, expected.header);
    assert_eq!(records_of(&[found]), records_of(std::slice::from_ref(expected)));
}

#[test]
fn magic_1_is_kept_in_place_where_it_can_be() {
    let records = records_of(&all_batches(&partition_named("fmt0100-none-0")));
    for codec in CODECS {
        let sent = message_set(&records, 1, codec);
        let found = stored(&old_config(1), &sent).unwrap();
        let bytes: Vec<u8> = found.iter().flat_map(|batch| batch.bytes.to_vec()).collect();
        // Only the offsets differ.
        let sent: Vec<_> = batches(sent).map(|batch| batch.unwrap()).collect();
        assert_eq!(bytes.len(), sent.iter().map(|batch| batch.header.size()).sum::<usize>());
        for (sent, found) in sent.iter().zip(&found) {
            assert_eq!(sent.bytes[8..], found.bytes[8..]);
        }
        assert_eq!(found[0].first_offset().unwrap(), 22);

        // A stamping topic changes header fields, and inside a wrapper nothing.
        let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..old_config(1) };
        let stamped = stored(&config, &message_set(&records, 1, codec)).unwrap();
        for record in records_of(&stamped) {
            assert_eq!(record.timestamp, 1_700_000_020_000);
        }
        assert!(stamped.iter().all(|batch| batch.check_crc().is_ok() && batch.header.attributes.log_append_time()));
    }
}

#[test]
fn every_format_and_codec_becomes_every_other() {
    let records = records_of(&all_batches(&partition_named("fmt0100-none-0")));
    let types = [
        CompressionType::Producer,
        CompressionType::Uncompressed,
        CompressionType::Gzip,
        CompressionType::Snappy,
        CompressionType::Lz4,
    ];
    for magic in 0..=2 {
        for source in CODECS {
            let sent = if magic == 2 { v2(&records, source) } else { message_set(&records, magic, source) };
            for target_magic in 0..=2 {
                for compression_type in types {
                    let config = LogConfig { compression_type, ..old_config(target_magic) };
                    let found = stored(&config, &sent).unwrap();
                    assert!(found.iter().all(|batch| batch.check_crc().is_ok() && batch.header.magic == target_magic));
                    let what = format!("{magic} {source:?} {target_magic} {compression_type:?}");
                    let timeless = magic == 0 || target_magic == 0;
                    for (found, sent) in records_of(&found).iter().zip(&records) {
                        let timestamp = if timeless { -1 } else { sent.timestamp };
                        let expected = Record { offset: sent.offset + 22, timestamp, ..sent.clone() };
                        assert_eq!(*found, expected, "{what}");
                    }
                    assert_eq!(records_of(&found).len(), records.len());
                }
            }
        }
    }
}

#[test]
fn bad_old_sets_are_refused_with_kafkas_codes() {
    let records = records_of(&all_batches(&partition_named("fmt0100-none-0")));
    let config = LogConfig::default();
    let code = |config: &LogConfig, sent: Bytes| stored(config, &sent).err();
    let plain = message_set(&records, 1, Codec::None);
    let gzip = message_set(&records, 1, Codec::Gzip);

    let mut flipped = plain.to_vec();
    flipped[40] ^= 1;
    assert_eq!(code(&config, flipped.into()), Some(ErrorCode::CorruptMessage));
    let twice = [&gzip[..], &gzip[..]].concat();
    assert_eq!(code(&config, twice.into()), Some(ErrorCode::InvalidRecord));
    let mixed = [&plain[..], &message_set(&records, 0, Codec::None)[..]].concat();
    assert_eq!(code(&config, mixed.into()), Some(ErrorCode::InvalidRecord));
    let mixed = [&plain[..], &v2(&records, Codec::None)[..]].concat();
    assert_eq!(code(&config, mixed.into()), Some(ErrorCode::InvalidRecord));

    // A wrapper in a wrapper, and a message inside with a wrong CRC.
    let inner = wrapper(&gzip, 1, Codec::Gzip);
    assert_eq!(code(&config, inner), Some(ErrorCode::InvalidRecord));
    let mut bad_inside = plain.to_vec();
    bad_inside[13] ^= 1;
    assert_eq!(code(&config, wrapper(&bad_inside, 1, Codec::Gzip)), Some(ErrorCode::CorruptMessage));
    assert_eq!(code(&config, wrapper(b"", 1, Codec::Gzip)), Some(ErrorCode::InvalidRecord));
    assert_eq!(code(&config, wrapper(&plain, 0, Codec::Gzip)), Some(ErrorCode::InvalidRecord));

    let limit = |max_message_bytes| LogConfig { max_message_bytes, ..LogConfig::default() };
    assert_eq!(code(&limit(50), plain.clone()), Some(ErrorCode::MessageTooLarge));
    let early = LogConfig { message_timestamp_before_max_ms: 1000, ..LogConfig::default() };
    assert_eq!(code(&early, plain.clone()), Some(ErrorCode::InvalidTimestamp));
    assert_eq!(code(&early, message_set(&records, 0, Codec::None)), None);
    let mut compacted = LogConfig::default();
    compacted = compacted.with_overrides(&[("cleanup.policy".to_owned(), "compact".to_owned())].into()).unwrap();
    assert_eq!(code(&compacted, gzip.clone()), Some(ErrorCode::InvalidRecord));

    // Idempotence needs magic 2, and so do headers.
    assert_eq!(code(&old_config(1), idempotent(5, 0, 0, 1)), Some(ErrorCode::UnsupportedForMessageFormat));
    let mut headers = BatchBuilder::new();
    headers.push(1, None, None, &[(b"h", None)]);
    assert_eq!(code(&old_config(1), headers.build()), Some(ErrorCode::UnknownServerError));

    // The last message is cut: it is left out; of a set with no other nothing is left, and nothing happens.
    let found = stored(&config, &plain.slice(..plain.len() - 1)).unwrap();
    assert_eq!(records_of(&found).len(), records.len() - 1);
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &config);
    let info = log.append_as_leader(&gzip.slice(..gzip.len() - 1), &client(0, 1)).unwrap();
    assert_eq!((info.first_offset, log.end_offset()), (Offset(-1), Offset(0)));
}

/// A wrapper around any bytes.
fn wrapper(set: &[u8], magic: i8, codec: Codec) -> Bytes {
    let value = barnabas::record::Compression::from(codec).compress(set);
    let mut builder = MessageSetBuilder::new(magic, Codec::None.into(), None);
    builder.push(0, 1, None, Some(&value));
    let mut message = builder.build();
    message[17] |= codec.id() as u8;
    let crc = crc32fast::hash(&message[16..]);
    message[12..16].copy_from_slice(&crc.to_be_bytes());
    message.into()
}

/// Some producers numbered inner messages from anywhere; such sets are built anew.
#[test]
fn relative_offsets_that_begin_elsewhere_are_mended() {
    let mut builder = MessageSetBuilder::new(1, Codec::None.into(), None);
    for offset in [7, 8, 12] {
        builder.push(offset, 1000 + offset, Some(b"k"), Some(b"v"));
    }
    let sent = wrapper(&builder.build(), 1, Codec::Gzip);
    for config in [old_config(1), LogConfig::default()] {
        let found = stored(&config, &sent).unwrap();
        let offsets: Vec<_> = records_of(&found).iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [6, 7, 8]);
    }
}

#[test]
fn conversion_for_old_consumers_is_as_long_as_promised() {
    let batch = |first: i64, codec: Codec| {
        let mut builder = BatchBuilder::new().compression(codec).base_offset(first);
        for n in 0..4i64 {
            builder.push(1000 + n, None, Some(format!("value-{n}").as_bytes()), &[(b"h", Some(b"dropped"))]);
        }
        builder.build()
    };
    let marker = barnabas::record::end_txn_batch(barnabas::record::EndTxn::Commit, 1, 0, 0, 5);
    let read = Bytes::from([&batch(0, Codec::None)[..], &marker, &batch(5, Codec::Gzip)].concat());
    let parts = down_convert(&read, 1, 2).unwrap();
    let bytes = Bytes::from(parts.concat());
    assert_eq!(bytes.len(), read.len());
    let found: Vec<_> = batches(bytes.clone()).map_while(Result::ok).collect();
    let offsets: Vec<_> = records_of(&found).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [2, 3, 5, 6, 7, 8]);
    let used: usize = found.iter().map(|batch| batch.header.size()).sum();
    let left = bytes.len() - used;
    assert_eq!(bytes[used..used + 8], [0xff; 8]);
    assert_eq!(bytes[used + 8..used + 12], (left as i32 + 1).max(61).to_be_bytes());
    assert!(bytes[used + 12..].iter().all(|byte| *byte == 0));

    // Nothing is lost between the first batch and the chunks after it.
    let many: Vec<u8> = (0..50).flat_map(|n| batch(4 * n, Codec::None).to_vec()).collect();
    let bytes = Bytes::from(down_convert(&many.into(), 0, 0).unwrap().concat());
    let found: Vec<_> = batches(bytes).map_while(Result::ok).collect();
    assert!(records_of(&found).iter().map(|record| record.offset).eq(0..found.len() as i64) && found.len() > 100);

    // Only a marker: as much as tells the consumer that something is there. Nothing whole: nothing.
    let only_marker = down_convert(&marker, 0, 0).unwrap().concat();
    assert_eq!(only_marker, [&[0xff; 8][..], &[0, 0, 0, 61]].concat());
    assert!(down_convert(&read.slice(..50), 0, 0).unwrap().is_empty());
    // zstd at the beginning is an error, later it ends the answer.
    assert!(down_convert(&batch(0, Codec::Zstd), 1, 0).is_err());
    let read = Bytes::from([&batch(0, Codec::None)[..], &batch(4, Codec::Zstd)].concat());
    let bytes = Bytes::from(down_convert(&read, 0, 0).unwrap().concat());
    assert_eq!(bytes.len(), read.len());
    assert_eq!(records_of(&batches(bytes).map_while(Result::ok).collect::<Vec<_>>()).len(), 4);
    // Messages that are old already go as they are.
    let old = message_set(&records_of(&all_batches(&partition_named("fmt090-gzip-0"))), 0, Codec::Gzip);
    assert_eq!(down_convert(&old, 1, 0).unwrap().concat(), old);
}

#[test]
fn mutated_sets_never_panic_in_an_append() {
    let records = records_of(&all_batches(&partition_named("fmt0100-none-0")));
    let dir = tempdir();
    let mut logs: Vec<_> =
        (0..3).map(|magic| open_clean(&dir.path().join(format!("t-{magic}")), &old_config(magic))).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..1500 {
        let (magic, codec) = ((round % 2) as i8, CODECS[random(4)]);
        let mut set = message_set(&records[..1 + random(10)], magic, Codec::None).to_vec();
        for _ in 0..random(3) {
            let at = random(set.len());
            set[at] ^= 1 << random(8);
        }
        // CRCs are mended, so that the walk goes deeper.
        let set = if random(2) == 0 { wrapper(&set, magic, codec) } else { set.into() };
        for log in &mut logs {
            _ = log.append_as_leader(&set, &client(0, 1));
        }
    }
    for log in &logs {
        for batch in read_all(&log.view()) {
            batch.records().unwrap().for_each(|record| _ = record.unwrap());
        }
    }
}
