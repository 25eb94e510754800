//! What texts of fields are sent as: in spans, their events and logs.

use std::borrow::Cow;

use datadog_trace::obfuscate_sql;

use super::http::HttpOptions;
use super::names::db_type;
use super::url;

/// The text of a field as it is sent, beside what says which database was asked. `None` if it is not to be sent.
pub(super) fn shown<'a>(
    key: &str,
    text: &'a str,
    db_system: Option<&str>,
    http: &HttpOptions,
) -> Option<Cow<'a, str>> {
    match key {
        "client.address" | "http.client_ip" => {
            let client = http.client_ip(text)?;
            Some(Cow::Owned(client.to_string()))
        }
        "db.query.text" | "db.statement" | "db.query.summary" => Some(statement(text, db_system)),
        "failure" => Some(Cow::Borrowed(failure(text))),
        _ => url::shown(key, text),
    }
}

/// What mongodb says of a failure, without the values of a key that was there already (MongoDB: error `E11000`).
pub(super) fn failure(text: &str) -> &str {
    text.split(" dup key:").next().unwrap_or(text)
}

/// A statement without its values, unless the database is one that is asked in a language of its own.
pub(super) fn statement<'a>(text: &'a str, db_system: Option<&str>) -> Cow<'a, str> {
    match db_system.map(db_type) {
        None | Some("sql" | "cassandra") => Cow::Owned(obfuscate_sql(text)),
        Some(_) => Cow::Borrowed(text),
    }
}
