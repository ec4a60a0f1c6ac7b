//! Frames: a length of four bytes, a header, a message.

use bytes::Bytes;

use super::{ApiKey, Message, Out, Reader, Request, Str, WireError};

/// The header of a request, in any of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: ApiKey,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Str>,
}

/// Reads the header of a frame (without its length) and leaves the reader at the body.
///
/// ApiVersions is let through in any version, because a broker answers a version that it lacks with its own (KIP-511).
/// Errors: an unknown API, a version that the schema lacks, a header cut short; Kafka closes the connection on each.
pub fn read_request_header(frame: Bytes) -> Result<(RequestHeader, Reader), WireError> {
    let mut r = Reader::new(frame);
    let key = r.i16()?;
    let api_key = ApiKey::from_key(key).ok_or(WireError::UnknownApi(key))?;
    let api_version = r.i16()?;
    if api_key != ApiKey::ApiVersions && !api_key.versions().contains(&api_version) {
        return Err(WireError::UnknownVersion { api: api_key, version: api_version });
    }
    let correlation_id = r.i32()?;
    let header_version = api_key.request_header_version(api_version);
    // Not compact in a flexible header either, so that the client id can be read before the version is looked at.
    let client_id = if header_version >= 1 { r.nullable_string(false)? } else { None };
    if header_version >= 2 {
        r.skip_tags()?;
    }
    Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, r))
}

/// A whole frame with its length, ready to be sent.
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&Str>,
    request: &R,
) -> Result<Out, WireError> {
    let mut out = start_request(R::API, version, correlation_id, client_id)?;
    request.write(&mut out, version)?;
    finish(out)
}

/// A whole frame with its length, ready to be sent. `version` is that of the request.
pub fn encode_response<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Out, WireError> {
    let mut out = start_response(api, version, correlation_id);
    response.write(&mut out, version)?;
    finish(out)
}

/// Begins a frame: room for the length, and the header of a request. [`finish`] ends it.
pub fn start_request(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&Str>,
) -> Result<Out, WireError> {
    let mut out = Out::new();
    out.put_i32(0);
    out.put_i16(api.key());
    out.put_i16(version);
    out.put_i32(correlation_id);
    let header_version = api.request_header_version(version);
    if header_version >= 1 {
        out.put_nullable_string(false, client_id)?;
    }
    if header_version >= 2 {
        out.put_varint(0);
    }
    Ok(out)
}

/// Begins a frame: room for the length, and the header of a response. [`finish`] ends it.
pub fn start_response(api: ApiKey, version: i16, correlation_id: i32) -> Out {
    let mut out = Out::new();
    out.put_i32(0);
    out.put_i32(correlation_id);
    if api.response_header_version(version) >= 1 {
        out.put_varint(0);
    }
    out
}

/// Fills in the length that the first four bytes stand for.
pub fn finish(mut out: Out) -> Result<Out, WireError> {
    let length = i32::try_from(out.len() - 4).map_err(|_| WireError::TooLong(out.len()))?;
    out.set_i32(0, length);
    Ok(out)
}

/// Reads a response (without its length) to a request of `R` in this version; also its correlation id.
pub fn decode_response<R: Request>(frame: Bytes, version: i16) -> Result<(i32, R::Response), WireError> {
    let (correlation_id, mut r) = read_response_header(frame, R::API, version)?;
    Ok((correlation_id, R::Response::read(&mut r, version)?))
}

/// Reads the header of a response (without its length) and leaves the reader at the body.
pub fn read_response_header(frame: Bytes, api: ApiKey, version: i16) -> Result<(i32, Reader), WireError> {
    let mut r = Reader::new(frame);
    let correlation_id = r.i32()?;
    if api.response_header_version(version) >= 1 {
        r.skip_tags()?;
    }
    Ok((correlation_id, r))
}

/// A record of an internal topic, or a consumer's metadata: an i16 version before the message.
pub fn encode_versioned<M: Message>(version: i16, message: &M) -> Result<Out, WireError> {
    let mut out = Out::new();
    out.put_i16(version);
    message.write(&mut out, version)?;
    Ok(out)
}

/// Reads the version before a record of an internal topic and leaves the reader at the message.
pub fn read_version(bytes: Bytes) -> Result<(i16, Reader), WireError> {
    let mut r = Reader::new(bytes);
    Ok((r.i16()?, r))
}
