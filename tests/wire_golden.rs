//! Every recorded frame is read and written again to the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use barnabas::wire::frame::{self, RequestHeader};
use barnabas::wire::messages::{api_versions, reencode};
use barnabas::wire::{ApiKey, Out, Reader, Str};
use bytes::Bytes;
use serde::Deserialize;

/// An entry of `index.json`.
#[derive(Deserialize)]
struct Recording {
    file: String,
    api: String,
    api_key: i16,
    version: i16,
    correlation_id: i32,
    client_id: Option<String>,
    response_bytes: Option<usize>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames")
}

fn recordings() -> Vec<Recording> {
    serde_json::from_slice(&fs::read(golden().join("index.json")).unwrap()).unwrap()
}

fn body_again(api: ApiKey, root: &str, mut body: Reader, version: i16) -> Out {
    let out = reencode(&format!("{}::{root}", api.module()), &mut body, version).expect("every API has both messages");
    assert_eq!(body.left(), 0, "bytes left over");
    out.unwrap()
}

#[test]
fn requests() {
    let recordings = recordings();
    assert!(recordings.len() > 600);
    for recording in recordings {
        println!("{}", recording.file);
        let whole = Bytes::from(fs::read(golden().join(format!("{}.req.bin", recording.file))).unwrap());
        let (header, body) = frame::read_request_header(whole.slice(4..)).unwrap();
        let RequestHeader { api_key, api_version, correlation_id, client_id } = header;
        assert_eq!(api_key.name(), recording.api);
        assert_eq!((api_key.key(), api_version), (recording.api_key, recording.version));
        assert_eq!(correlation_id, recording.correlation_id);
        assert_eq!(client_id.as_deref(), recording.client_id.as_deref());
        let mut again = frame::start_request(api_key, api_version, correlation_id, client_id.as_ref()).unwrap();
        again.put_rope(body_again(api_key, "Request", body, api_version));
        assert_eq!(frame::finish(again).unwrap().into_bytes().unwrap(), whole);
    }
}

#[test]
fn responses() {
    for recording in recordings().into_iter().filter(|recording| recording.response_bytes.is_some()) {
        println!("{}", recording.file);
        let whole = Bytes::from(fs::read(golden().join(format!("{}.resp.bin", recording.file))).unwrap());
        let api = ApiKey::from_key(recording.api_key).unwrap();
        let (correlation_id, body) = frame::read_response_header(whole.slice(4..), api, recording.version).unwrap();
        assert_eq!(correlation_id, recording.correlation_id);
        let mut again = frame::start_response(api, recording.version, correlation_id);
        again.put_rope(body_again(api, "Response", body, recording.version));
        assert_eq!(frame::finish(again).unwrap().into_bytes().unwrap(), whole);
    }
}

/// All versions that a 3.9.1 broker offers were recorded, Envelope aside.
#[test]
fn every_version_was_recorded() {
    let recordings = recordings();
    for api in ApiKey::ALL.iter().filter(|api| **api != ApiKey::Envelope) {
        for version in api.versions() {
            assert!(
                recordings.iter().any(|r| r.api_key == api.key() && r.version == version && r.response_bytes.is_some()),
                "{api} v{version}"
            );
        }
    }
}

#[test]
fn typed_calls_make_whole_frames() {
    let request = api_versions::Request { client_software_name: "kcat".into(), ..Default::default() };
    let sent = frame::encode_request(3, 7, Some(&Str::from_static("me")), &request).unwrap().into_bytes().unwrap();
    assert_eq!(&sent[..], b"\0\0\0\x14\0\x12\0\x03\0\0\0\x07\0\x02me\0\x05kcat\x01\0");
    let response = api_versions::Response { error_code: 35, ..Default::default() };
    let answer = frame::encode_response(ApiKey::ApiVersions, 3, 7, &response).unwrap().into_bytes().unwrap();
    assert_eq!(frame::decode_response::<api_versions::Request>(answer.slice(4..), 3), Ok((7, response)));
}

/// What a live 3.9.1 broker does with headers that are not as they should be.
#[test]
fn odd_headers() {
    let header = |bytes: &'static [u8]| frame::read_request_header(Bytes::from_static(bytes)).map(|(header, _)| header);
    let null_client_id = header(b"\0\x03\0\x01\0\0\0\x05\xff\xfe").unwrap();
    assert_eq!(null_client_id.client_id, None);
    let not_utf8 = header(b"\0\x03\0\x01\0\0\0\x05\0\x01\xff").unwrap();
    assert_eq!(not_utf8.client_id.as_deref(), Some("\u{fffd}"));
    assert_eq!(header(b"\0\x12\0\x63\0\0\0\x05\xff\xff\0").unwrap().api_version, 99, "ApiVersions may be asked in any");
    assert_eq!(header(b"\0\x12\xff\xff\0\0\0\x05\xff\xff").unwrap().api_version, -1);
    for refused in [
        &b"\x03\xe7\0\0\0\0\0\x05\xff\xff"[..],
        b"\0\x03\0\x63\0\0\0\x05\xff\xff\0",
        b"\0\0\xff\xff\0\0\0\x05\xff\xff",
        b"\0\x03\0",
    ] {
        assert!(header(refused).is_err());
    }
}
