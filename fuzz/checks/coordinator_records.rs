//! Any bytes as keys and values of `__consumer_offsets` and `__transaction_state`: read by the coordinators, and printed.

use barnabas::group::records::{self as group, Entry};
use barnabas::log::inspect::dump::{Content, Dump, Options};
use barnabas::record::BatchBuilder;
use barnabas::txn::records as txn;
use bytes::Bytes;

use super::input::Input;
use super::partition::Partition;

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let key = Bytes::copy_from_slice(input.piece());
    let value = (bits & 1 != 0).then(|| Bytes::copy_from_slice(input.rest()));
    group_record(key.clone(), value.clone());
    txn_record(key.clone(), value.clone());
    if bits & 2 != 0 {
        print(&key, value.as_deref(), bits & 4 != 0);
    }
}

fn group_record(key: Bytes, value: Option<Bytes>) {
    let Ok(entry) = group::parse(key, value) else { return };
    match &entry {
        Entry::Offset { group: id, partition, committed } => {
            let value = committed.as_ref().map(group::offset_value);
            assert_eq!(group::parse(group::offset_key(id, partition), value).as_ref(), Ok(&entry));
        }
        Entry::Group { group: id, value: None } => {
            assert_eq!(group::parse(group::group_key(id), None).as_ref(), Ok(&entry));
        }
        Entry::Group { group: id, value: Some(value) } => {
            let written = group::group_value(&group::restore(id, value, 1_000));
            let Ok(Entry::Group { group, value: Some(read) }) =
                group::parse(group::group_key(id), Some(written.clone()))
            else {
                panic!("a group that was written cannot be read");
            };
            assert_eq!(&group, id);
            assert_eq!(group::group_value(&group::restore(id, &read, 1_000)), written);
        }
        Entry::Unknown { .. } => {}
    }
}

fn txn_record(key: Bytes, value: Option<Bytes>) {
    let Ok((id, image)) = txn::parse(key, value) else { return };
    let Some(image) = image else {
        assert_eq!(txn::parse(txn::key(&id), None).expect("a tombstone of ours"), (id, None));
        return;
    };
    let written = txn::value(&image);
    let (again, read) = txn::parse(txn::key(&id), Some(written.clone())).expect("a record of ours");
    assert_eq!(again, id);
    assert_eq!(txn::value(&read.expect("a value")), written);
}

/// As `dump-log` does.
fn print(key: &[u8], value: Option<&[u8]>, transactions: bool) {
    let partition = Partition::new();
    let mut builder = BatchBuilder::new();
    builder.push(1_000, Some(key), value, &[]);
    partition.write("00000000000000000000.log", &builder.build());
    let content = if transactions { Content::TransactionLog } else { Content::Offsets };
    let options = Options { deep: true, print_content: Some(content), ..Options::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut dump = Dump::new(&options, &mut out, &mut err);
    let printed = dump.file(&partition.path().join("00000000000000000000.log"));
    if printed.is_ok() {
        dump.finish().expect("nothing is left to say");
    }
    assert!(!out.is_empty());
}
