//! What the options say about spans of HTTP requests, as [`datadog_trace::http`] follows them.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use datadog_config::DDConfig;

use super::fields::Fields;
use super::stored::FieldValue;

#[derive(Debug)]
pub(super) struct HttpOptions {
    server_errors: Vec<RangeInclusive<u16>>,
    client_errors: Vec<RangeInclusive<u16>>,
    client_ip: bool,
}

impl HttpOptions {
    pub(super) fn new(config: &DDConfig) -> Self {
        Self {
            server_errors: config.http_server_error_statuses().to_vec(),
            client_errors: config.http_client_error_statuses().to_vec(),
            client_ip: config.client_ip_enabled(),
        }
    }

    /// Whether a request with this status failed: for the one who sent it, or for the one who answered.
    pub(super) fn is_error(&self, is_client: bool, status: u16) -> bool {
        let errors = match is_client {
            true => &self.client_errors,
            false => &self.server_errors,
        };
        errors.iter().any(|range| range.contains(&status))
    }

    /// Where a request came from, of an address maybe with a port. `None` if that is not to be told.
    pub(super) fn client_ip(&self, text: &str) -> Option<IpAddr> {
        if !self.client_ip {
            return None;
        }
        let with_port = || text.parse().map(|address: SocketAddr| address.ip());
        text.parse().or_else(|_| with_port()).ok()
    }
}

/// The status of a response, of the first of these fields that there is: a number, which some libraries write with its
/// reason, such as `404 Not Found`.
pub(super) fn status(fields: &Fields, keys: &[&str]) -> Option<u16> {
    keys.iter().find_map(|key| match fields.get(key)? {
        FieldValue::Int(number) => number.try_into().ok(),
        FieldValue::UInt(number) => number.try_into().ok(),
        FieldValue::Text(text) => text.split(' ').next()?.parse().ok(),
        _ => None,
    })
}

/// The status that an event says of a response. tower-http has it in a text when it calls it a failure (tower-http 0.7,
/// `src/classify/mod.rs`).
pub(super) fn answer(event: &Fields) -> Option<u16> {
    status(event, &["http.response.status_code"]).or_else(|| {
        let failure = event.text(&["classification"])?;
        let status = failure.strip_prefix("Status code: ")?;
        status.split(' ').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_if_they_are_addresses_and_wanted() {
        let options = |client_ip| HttpOptions {
            server_errors: Vec::new(),
            client_errors: Vec::new(),
            client_ip,
        };
        for (text, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:443", Some("192.0.2.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("socket://192.0.2.1", None),
            ("unknown", None),
            ("", None),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(options(true).client_ip(text), expected, "{text}");
            assert_eq!(options(false).client_ip(text), None, "{text}");
        }
    }
}
