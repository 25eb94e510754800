//! What the URL of a connection tells.

use datadog_trace::Span;

/// Never the user or the password.
#[derive(Debug, Default)]
pub(crate) struct Database {
    system: Option<&'static str>,
    host: Option<String>,
    port: Option<u16>,
    name: Option<String>,
}

impl Database {
    /// From a URL, or what else diesel's backends take: a file of SQLite, or pairs `key=value` of PostgreSQL. SQLite's URLs
    /// of sqlx have no slashes.
    pub(crate) fn of(url: &str) -> Self {
        if url.starts_with("file:") || url.starts_with("sqlite:") {
            return Self::of_system("sqlite");
        }
        match url.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => Self::at("postgresql", rest),
            Some(("mysql" | "mariadb", rest)) => Self::at("mysql", rest),
            Some(_) => Self::default(),
            None if url.contains('=') => Self::of_pairs(url),
            None => Self::of_system("sqlite"),
        }
    }

    /// From a URL alone. What is none tells nothing.
    #[allow(dead_code, reason = "what asks has a feature of its own")]
    pub(crate) fn of_url(url: &str) -> Self {
        match url.contains("://") || url.starts_with("sqlite:") {
            true => Self::of(url),
            false => Self::default(),
        }
    }

    /// What spans of queries are called.
    pub(crate) fn operation(&self) -> &'static str {
        match self.system {
            Some("postgresql") => "postgresql.query",
            Some("mysql") => "mysql.query",
            Some("sqlite") => "sqlite.query",
            _ => "sql.query",
        }
    }

    pub(crate) fn write(&self, span: &mut Span) {
        if let Some(system) = self.system {
            span.set_tag("db.system", system);
        }
        if let Some(host) = &self.host {
            span.set_tag("out.host", host);
        }
        if let Some(port) = self.port {
            span.set_tag("network.destination.port", port);
        }
        if let Some(name) = &self.name {
            span.set_tag("db.name", name);
        }
    }

    fn of_system(system: &'static str) -> Self {
        Self {
            system: Some(system),
            ..Self::default()
        }
    }

    /// `user:password@host:port/name?options`.
    fn at(system: &'static str, rest: &str) -> Self {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // Then what comes before may be a password with one of these.
        if rest.contains('@') {
            return Self::of_system(system);
        }
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let name = path.strip_prefix('/').unwrap_or_default();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (host, None),
        };
        Self {
            port,
            host: filled(host),
            name: filled(name),
            ..Self::of_system(system)
        }
    }

    /// `host=a port=5432 dbname=b` (PostgreSQL: libpq, "Connection Strings").
    fn of_pairs(text: &str) -> Self {
        let mut database = Self::of_system("postgresql");
        // Then values may have blanks in them, a password what looks like another pair (libpq, "Keyword/Value Connection
        // Strings").
        if text.contains(['\'', '\\']) {
            return database;
        }
        for (key, value) in text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
        {
            match key {
                "host" => database.host = filled(value),
                "port" => database.port = value.parse().ok(),
                "dbname" => database.name = filled(value),
                _ => {}
            }
        }
        database
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str) -> (&'static str, String) {
        let database = Database::of(url);
        let place = format!(
            "{:?} {:?} {:?}",
            database.host, database.port, database.name
        );
        (database.operation(), place)
    }

    #[test]
    fn urls_tell_place_and_name_and_no_more() {
        for (url, operation, place) in [
            (
                "postgres://me:p@ss@db.example:6432/shop?sslmode=require",
                "postgresql.query",
                r#"Some("db.example") Some(6432) Some("shop")"#,
            ),
            (
                "mysql://root@[::1]/shop",
                "mysql.query",
                r#"Some("[::1]") None Some("shop")"#,
            ),
            (
                "host=db user=me password=secret port=5433 dbname=shop",
                "postgresql.query",
                r#"Some("db") Some(5433) Some("shop")"#,
            ),
            (
                "host=db password='secret host=more' dbname=shop",
                "postgresql.query",
                "None None None",
            ),
            (
                "postgres:///shop",
                "postgresql.query",
                r#"None None Some("shop")"#,
            ),
            (
                "postgres://me:12/hunter2@db/shop",
                "postgresql.query",
                "None None None",
            ),
            ("mysql://me:12?x@db/shop", "mysql.query", "None None None"),
            (":memory:", "sqlite.query", "None None None"),
            ("/var/lib/shop.db", "sqlite.query", "None None None"),
            ("file:shop.db?mode=ro", "sqlite.query", "None None None"),
            ("sqlite:a.db?mode=ro", "sqlite.query", "None None None"),
            ("sqlite://a.db", "sqlite.query", "None None None"),
            ("oracle://x/y", "sql.query", "None None None"),
        ] {
            assert_eq!(told(url), (operation, place.to_owned()), "{url}");
        }
        for text in ["", "shop", "/var/lib/shop.db", "host=db dbname=shop"] {
            assert_eq!(Database::of_url(text).operation(), "sql.query", "{text}");
        }
        assert_eq!(
            Database::of_url("sqlite::memory:").operation(),
            "sqlite.query"
        );
        assert_eq!(Database::of_url("mysql://db").operation(), "mysql.query");
    }
}
