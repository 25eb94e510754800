//! Headers that become tags.

use http::{HeaderMap, HeaderName};

use crate::Span;

#[derive(Debug)]
pub(super) struct HeaderTags(Vec<HeaderTag>);

#[derive(Debug)]
struct HeaderTag {
    header: HeaderName,
    /// Of a request, and of a response.
    tags: [String; 2],
}

impl HeaderTags {
    /// From entries `Header` and `Header:tag`; those that name no header are left out.
    pub(super) fn new(entries: &[String]) -> Self {
        Self(
            entries
                .iter()
                .filter_map(|entry| HeaderTag::read(entry))
                .collect(),
        )
    }

    pub(super) fn of_request(&self, span: &mut Span, headers: &HeaderMap) {
        self.put(span, headers, 0);
    }

    pub(super) fn of_response(&self, span: &mut Span, headers: &HeaderMap) {
        self.put(span, headers, 1);
    }

    fn put(&self, span: &mut Span, headers: &HeaderMap, kind: usize) {
        for HeaderTag { header, tags } in &self.0 {
            let values = headers.get_all(header).iter();
            let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
            if !values.is_empty() {
                span.set_tag(tags[kind].clone(), values.join(",").trim());
            }
        }
    }
}

impl HeaderTag {
    fn read(entry: &str) -> Option<Self> {
        let (header, tag) = entry.split_once(':').unwrap_or((entry, ""));
        let header: HeaderName = header.trim().to_ascii_lowercase().parse().ok()?;
        let tags = match tag.trim() {
            "" => ["request", "response"].map(|kind| default_tag(kind, header.as_str())),
            tag => [tag.to_owned(), tag.to_owned()],
        };
        Some(Self { header, tags })
    }
}

/// dd-trace-go: `internal/normalizer/normalizer.go`.
fn default_tag(kind: &str, header: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let header = header.replace(|c| !fits(c), "_");
    format!("http.{kind}.headers.{header}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_headers_and_tags() {
        let read =
            |entry| HeaderTag::read(entry).map(|tag| (tag.header.to_string(), tag.tags[1].clone()));
        let owned = |header: &str, tag: &str| Some((header.to_owned(), tag.to_owned()));
        assert_eq!(
            read("X-Id.a"),
            owned("x-id.a", "http.response.headers.x-id_a")
        );
        assert_eq!(read(" X-Id : my.Tag "), owned("x-id", "my.Tag"));
        assert_eq!(
            (read(""), read("two words"), read(":tag")),
            (None, None, None)
        );
    }
}
