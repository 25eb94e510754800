//! The request of a server, its first line a URI and the others headers: no text panics where it becomes tags of a span, with
//! the client's address among them.
#![no_main]

use std::sync::LazyLock;

use datadog_fuzz::{request, tracer};
use datadog_trace::http::{Request, server_request};
use datadog_trace::{Standalone, Tracer};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;

static TRACER: LazyLock<Standalone<Tracer>> = LazyLock::new(|| tracer(&["datadog"]));

fuzz_target!(|text: &str| {
    let (uri, lines) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(uri) = uri.parse::<Uri>() else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in request(lines) {
        if let (Ok(name), Ok(value)) = (
            name.parse::<HeaderName>(),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.append(name, value);
        }
    }
    let mut span = TRACER.trace("fuzz");
    server_request(&mut span, &Request::new(&Method::GET, &uri, &headers));
});
