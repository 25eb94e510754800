//! Values that must not be shown.

use std::fmt;

use crate::error::REDACTED;

/// An API key. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The key itself, for the `DD-API-KEY` header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of a key (`dd-trace-go: IsAPIKeyValid`).
    pub(crate) fn looks_valid(&self) -> bool {
        self.0.len() == 32
            && self
                .0
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({REDACTED})")
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
