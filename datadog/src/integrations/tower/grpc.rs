//! Calls of gRPC in HTTP requests (grpc: `doc/PROTOCOL-HTTP2.md`), by the agent's names for them.

use datadog_trace::Span;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};

pub(super) const SERVER_NAME: &str = "grpc.server.request";
pub(super) const CLIENT_NAME: &str = "grpc.client.request";

/// The names of the statuses, by number (grpc: `doc/statuscodes.md`).
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What is called.
#[derive(Clone, Debug)]
pub(super) struct Call {
    service: String,
    method: String,
}

impl Call {
    /// `None` for a request that is no call.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.as_bytes();
        if !content_type.starts_with(b"application/grpc") {
            return None;
        }
        let path = uri.path().strip_prefix('/')?;
        let (service, method) = path.split_once('/')?;
        Some(Self {
            service: service.to_owned(),
            method: method.to_owned(),
        })
    }

    /// Says on a span what is called.
    pub(super) fn write(self, span: &mut Span) {
        span.set_resource(format!("{} {}", self.method, self.service))
            .set_tag("component", "grpc")
            .set_tag("rpc.system", "grpc")
            .set_tag("rpc.service", self.service)
            .set_tag("rpc.method", self.method);
    }
}

/// Whether there is no such service or method.
pub(super) fn is_unimplemented(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|status| status == "12")
}

/// Says on a span what came of a call, if the headers or trailers tell it.
pub(super) fn answered(span: &mut Span, headers: &HeaderMap) {
    let status = headers.get("grpc-status");
    let Some(status) = status.and_then(|status| status.to_str().ok()?.parse::<usize>().ok()) else {
        return;
    };
    span.set_tag("rpc.grpc.status_code", status.to_string());
    let name = STATUSES.get(status).copied().unwrap_or("UNKNOWN");
    if matches!(name, "OK" | "CANCELLED") {
        return;
    }
    let message = match headers.get("grpc-message") {
        Some(message) => format!("{name}: {}", decoded(message.as_bytes())),
        None => name.to_owned(),
    };
    span.set_failure("grpc.status", &message);
}

/// Text with `%XX` for some bytes.
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, others @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_decoded_and_what_is_no_code_stays() {
        for (text, shown) in [
            ("plain", "plain"),
            ("caf%C3%A9 %25", "café %"),
            ("50% off %zz %4", "50% off %zz %4"),
            ("", ""),
        ] {
            assert_eq!(decoded(text.as_bytes()), shown);
        }
    }
}
