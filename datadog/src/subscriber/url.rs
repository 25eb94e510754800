//! URLs among the fields: what is sent of them, and what a resource takes.

use std::borrow::Cow;

/// What is put in place of the query of a URL, as in Datadog's libraries.
const HIDDEN: &str = "?<redacted>";

/// What the text of a field with a URL, or with a part of one, is sent as. `None` if it is not to be sent.
pub(super) fn shown<'a>(key: &str, text: &'a str) -> Option<Cow<'a, str>> {
    match key {
        "url.query" => None,
        "url"
        | "uri"
        | "url.full"
        | "http.url"
        | "http.uri"
        | "url.path"
        | "http.target"
        | "http.referrer"
        | "http.request.header.referer"
        | "http.request.header.referrer" => Some(without_secrets(text)),
        "db.connection_string" => connection(text),
        _ => Some(Cow::Borrowed(text)),
    }
}

/// A URL without its user and password, its fragment, and the values that its query may bring.
fn without_secrets(url: &str) -> Cow<'_, str> {
    let shown = url.split('#').next().unwrap_or(url);
    let (before, is_queried) = match shown.split_once('?') {
        Some((before, _)) => (before, true),
        None => (shown, false),
    };
    // Of a URL, of one without its scheme, and of a host alone.
    let start = match before.find("://") {
        Some(at) => at + "://".len(),
        None if before.starts_with("//") => "//".len(),
        None => 0,
    };
    let end = before[start..].find('/');
    let end = end.map_or(before.len(), |at| start + at);
    // Only what comes before a path has a user.
    let user = before[start..end].rfind('@');
    if user.is_none() && !is_queried {
        return Cow::Borrowed(shown);
    }
    let host = user.map_or(start, |at| start + at + 1);
    let query = if is_queried { HIDDEN } else { "" };
    Cow::Owned([&before[..start], &before[host..], query].concat())
}

/// The URL of a database. What is written in another way, or has what may be the rest of a password, is not told.
fn connection(text: &str) -> Option<Cow<'_, str>> {
    let is_url = text.contains("://");
    if !is_url && text.contains(['=', '@']) {
        return None;
    }
    Some(without_secrets(text)).filter(|shown| !shown.contains(['@', ';']))
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
            ("http://h#a@b", "http://h"),
            ("http://h/cb#access_token=secret?c", "http://h/cb"),
            ("//me:pw@h/x", "//h/x"),
            ("me:pw@h:443", "h:443"),
            ("/fetch/http://me:pw@h/x", "/fetch/http://h/x"),
            ("*", "*"),
            ("/a/me@b", "/a/me@b"),
            ("me@h/a", "h/a"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        for (text, shown) in [
            (
                "postgres://me:pw@db:5432/shop?a=b",
                Some("postgres://db:5432/shop?<redacted>"),
            ),
            ("mongodb://me:pw@a,b/shop", Some("mongodb://a,b/shop")),
            ("shop.db", Some("shop.db")),
            ("postgres://me:12/secret@db/shop", None),
            ("host=db password=secret", None),
            ("me:secret@tcp(db)/shop", None),
            ("jdbc:sqlserver://db;password=secret", None),
        ] {
            assert_eq!(connection(text).as_deref(), shown, "{text}");
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
