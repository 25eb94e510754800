//! actix-web speaks in the terms of `http` 0.2, this crate in those of `http` 1.

use actix_web::http as old;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

pub(super) fn method(method: &old::Method) -> Method {
    Method::from_bytes(method.as_str().as_bytes()).unwrap_or_default()
}

pub(super) fn uri(uri: &old::Uri) -> Uri {
    uri.to_string().parse().unwrap_or_default()
}

pub(super) fn status(status: old::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or_default()
}

pub(super) fn headers(from: &old::header::HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::try_with_capacity(from.len()).unwrap_or_default();
    for (name, value) in from {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            // Fails with more than 32 thousand headers, which no server takes.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_stays_the_same() {
        for text in ["/cart/17?a=b", "*", "http://shop.example:81/cart"] {
            let old: old::Uri = text.parse().unwrap();
            assert_eq!(uri(&old).to_string(), old.to_string());
        }
        let own = old::Method::from_bytes(b"OWN").unwrap();
        assert_eq!(method(&own).as_str(), "OWN");
        assert_eq!(status(old::StatusCode::IM_A_TEAPOT).as_u16(), 418);
        let mut old = old::header::HeaderMap::new();
        for value in ["one", "two"] {
            let name = old::header::HeaderName::from_static("x-buyer");
            old.append(name, old::header::HeaderValue::from_static(value));
        }
        assert!(headers(&old).get_all("X-Buyer").iter().eq(["one", "two"]));
    }
}
