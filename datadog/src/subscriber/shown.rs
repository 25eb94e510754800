//! What texts of fields are sent as: in spans, their events and logs.

use std::borrow::Cow;

use super::http::HttpOptions;
use super::url;

/// The text of a field as it is sent. `None` if it is not to be sent.
pub(super) fn shown<'a>(key: &str, text: &'a str, http: &HttpOptions) -> Option<Cow<'a, str>> {
    match key {
        "client.address" | "http.client_ip" => {
            let client = http.client_ip(text)?;
            Some(Cow::Owned(client.to_string()))
        }
        _ => url::shown(key, text),
    }
}
