//! What all intake endpoints share: the API key, content types and content encodings.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::request::{Refused, Request};

/// Checks the header `DD-API-KEY`: 401 without one, 403 for a wrong one. Without a `wanted` key any is right.
pub(crate) fn check_key(request: &Request, wanted: Option<&str>) -> Result<(), Refused> {
    match (request.header("dd-api-key").unwrap_or_default(), wanted) {
        ("", _) => Err(Refused::new(401, "header DD-API-KEY is missing")),
        (key, Some(wanted)) if key != wanted => {
            Err(Refused::new(403, "header DD-API-KEY: wrong key"))
        }
        _ => Ok(()),
    }
}

/// Checks that the body is said to be JSON.
pub(crate) fn check_json(request: &Request) -> Result<(), Refused> {
    let content_type = request.header("content-type").unwrap_or("(none)");
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let reason = format!(
        "header Content-Type: this receiver takes application/json only, got {content_type}"
    );
    Err(Refused::new(415, reason))
}

/// Unpacks the body as its `Content-Encoding` says, if that is one of `allowed` (identity always is).
/// More than `limit` bytes are refused with 413.
pub(crate) fn unpack(
    request: &Request,
    allowed: &[&str],
    limit: usize,
) -> Result<Vec<u8>, Refused> {
    let encoding = request
        .header("content-encoding")
        .unwrap_or("identity")
        .to_ascii_lowercase();
    if encoding != "identity" && !allowed.contains(&encoding.as_str()) {
        let reason = format!(
            "header Content-Encoding: expected identity, {}, got {encoding}",
            allowed.join(", ")
        );
        return Err(Refused::new(415, reason));
    }
    let body = request.body.as_slice();
    let unpacked = match encoding.as_str() {
        "gzip" => read_up_to(MultiGzDecoder::new(body), limit),
        "deflate" => read_up_to(ZlibDecoder::new(body), limit),
        _ => read_up_to(body, limit),
    };
    let unpacked =
        unpacked.map_err(|error| Refused::bad(format!("the body is not {encoding}: {error}")))?;
    if unpacked.len() > limit {
        return Err(Refused::new(
            413,
            format!("more than {limit} bytes unpacked"),
        ));
    }
    Ok(unpacked)
}

/// Reads at most one byte more than `limit`.
pub(crate) fn read_up_to(reader: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map(|_| bytes)
}
