//! What must hold for any bytes that a client sends as a frame.

use barnabas::wire::Reader;
use barnabas::wire::frame::read_request_header;
use barnabas::wire::messages::reencode;
use bytes::Bytes;

/// Reads a request frame (without its length). What can be read can be written, and is then stable: written once more
/// it gives the same bytes. Returns whether it could be read.
pub fn check(frame: Bytes) -> bool {
    let Ok((header, mut body)) = read_request_header(frame) else { return false };
    if !header.api_key.versions().contains(&header.api_version) {
        return false; // ApiVersions of a version to come
    }
    let path = format!("{}::Request", header.api_key.module());
    let again = |r: &mut Reader| reencode(&path, r, header.api_version).expect("every API has a request");
    let Ok(first) = again(&mut body) else { return false };
    let first = first.into_bytes().expect("no files in a request");
    let second = again(&mut Reader::new(first.clone())).expect("what was written can be read");
    assert_eq!(second.into_bytes().expect("no files in a request"), first);
    true
}
