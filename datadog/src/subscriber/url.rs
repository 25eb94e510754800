//! URLs among the fields: what is sent of them, and what a resource takes.

use std::borrow::Cow;

/// What is put in place of the query of a URL, as in Datadog's libraries.
const HIDDEN: &str = "?<redacted>";

/// What the text of a field with a URL, or with a part of one, is sent as. `None` if it is not to be sent.
pub(super) fn shown<'a>(key: &str, text: &'a str) -> Option<Cow<'a, str>> {
    match key {
        "url.query" => None,
        "url.full"
        | "http.url"
        | "url.path"
        | "http.target"
        | "http.referrer"
        | "http.request.header.referrer" => Some(without_secrets(text)),
        _ => Some(Cow::Borrowed(text)),
    }
}

/// A URL without its user and password, and without the values that its query may bring.
fn without_secrets(url: &str) -> Cow<'_, str> {
    let (before, is_queried) = match url.split_once('?') {
        Some((before, _)) => (before, true),
        None => (url, false),
    };
    let start = before.find("://").map_or(0, |at| at + "://".len());
    let end = before[start..].find(['/', '#']);
    let end = end.map_or(before.len(), |at| start + at);
    // Only what comes before a path has a user.
    let user = (start > 0).then(|| before[start..end].rfind('@')).flatten();
    if user.is_none() && !is_queried {
        return Cow::Borrowed(url);
    }
    let host = user.map_or(start, |at| start + at + 1);
    let query = if is_queried { HIDDEN } else { "" };
    Cow::Owned([&before[..start], &before[host..], query].concat())
}

/// The path of a URL, or of what is a path already.
pub(super) fn path_of(url: &str) -> &str {
    // Queries and paths may have other URLs in them.
    let url = url.split(['?', '#']).next().unwrap_or(url);
    match url.split_once("://") {
        Some((_, rest)) if !url.starts_with('/') => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => url,
    }
}

/// A path whose parts with digits are replaced: there are too many different ones.
pub(super) fn without_ids(path: &str) -> String {
    let part = |part| {
        let is_id = str::bytes(part).any(|byte| byte.is_ascii_digit());
        if is_id { "?" } else { part }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_users_and_queries_and_paths_their_ids() {
        for (url, shown) in [
            ("/a?b=secret#c", "/a?<redacted>"),
            ("http://h/a", "http://h/a"),
            ("http://me:p@ss@h:80/a@b", "http://h:80/a@b"),
            ("http://me@h", "http://h"),
            ("http://me@h?x=y@z", "http://h?<redacted>"),
            ("http://h#a@b", "http://h#a@b"),
            ("/a/me@b", "/a/me@b"),
            ("me@h/a", "me@h/a"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        assert_eq!(path_of("http://host:80/a/b?c"), "/a/b");
        assert_eq!(path_of("http://host"), "/");
        assert_eq!(path_of("/a/b#c"), "/a/b");
        assert_eq!(path_of("/login?next=https://shop.local/reset/x"), "/login");
        assert_eq!(path_of("http://h?next=https://shop.local/x"), "/");
        assert_eq!(path_of("/fetch/https://a.b/c"), "/fetch/https://a.b/c");
        assert_eq!(
            without_ids("/users/42/carts/a-1f/items"),
            "/users/?/carts/?/items"
        );
    }
}
