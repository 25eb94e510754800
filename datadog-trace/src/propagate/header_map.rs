//! Headers as the crate `http` has them, and with it hyper, axum, reqwest and others.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::carrier::find;
use super::{Extract, Inject};

impl Inject for HeaderMap {
    fn set(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.insert(HeaderName::from_static(name), value);
        }
    }
}

impl Extract for HeaderMap {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    fn find<'a>(&'a self, names: &[&'static str], found: impl FnMut(usize, &'a str)) {
        let pairs = self.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), || value.to_str().ok()));
        find(pairs, names, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_set_and_found() {
        let mut headers = HeaderMap::new();
        headers.set("traceparent", "a");
        headers.set("traceparent", "b");
        headers.set("baggage", "not a\nvalue");
        assert!(Extract::values(&headers, "TraceParent").eq(["b"]));
        assert_eq!(headers.len(), 1);
        headers.append("traceparent", HeaderValue::from_static("c"));
        assert!(Extract::values(&headers, "traceparent").eq(["b", "c"]));
        headers.append("tracestate", HeaderValue::from_bytes(b"\xff").unwrap());
        let mut found = Vec::new();
        headers.find(&["tracestate", "traceparent"], |at, value| {
            found.push((at, value));
        });
        assert_eq!(found, [(1, "b"), (1, "c")]);
    }
}
