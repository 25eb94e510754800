//! Query strings, without what looks like a secret.

use std::borrow::Cow;
use std::sync::OnceLock;

use datadog_config::DDConfig;
use regex_lite::Regex;

/// What all official clients cut out (dd-trace-go: `instrumentation/httptrace/config.go`).
const DEFAULT: &str = concat!(
    r#"(?i)(?:p(?:ass)?w(?:or)?d|pass(?:_?phrase)?|secret|(?:api_?|private_?|public_?|access_?|secret_?)key(?:_?id)?"#,
    r#"|token|consumer_?(?:id|key|secret)|sign(?:ed|ature)?|auth(?:entication|orization)?)"#,
    r#"(?:(?:\s|%20)*(?:=|%3D)[^&]+|(?:"|%22)(?:\s|%20)*(?::|%3A)(?:\s|%20)*(?:"|%22)(?:%2[^2]|%[^2]|[^"%])+(?:"|%22))"#,
    r#"|bearer(?:\s|%20)+[a-z0-9\._\-]|token(?::|%3A)[a-z0-9]{13}|gh[opsu]_[0-9a-zA-Z]{36}"#,
    r#"|ey[I-L](?:[\w=-]|%3D)+\.ey[I-L](?:[\w=-]|%3D)+(?:\.(?:[\w.+/=-]|%3D|%2F|%2B)+)?"#,
    r#"|[\-]{5}BEGIN(?:[a-z\s]|%20)+PRIVATE(?:\s|%20)KEY[\-]{5}[^\-]+[\-]{5}END(?:[a-z\s]|%20)+PRIVATE(?:\s|%20)KEY"#,
    r#"|ssh-rsa(?:\s|%20)*(?:[a-z0-9/\.+]|%2F|%5C|%2B){100,}"#,
);

/// Without one of these, in lower case, the default pattern finds nothing. Most queries have none, and to look for them
/// is far cheaper than the pattern.
const SIGNS: [&str; 15] = [
    "pass",
    "pwd",
    "pword",
    "pwrd",
    "secret",
    "key",
    "token",
    "consumer",
    "sign",
    "auth",
    "bearer",
    "gh",
    "ey",
    "-----begin",
    "ssh-rsa",
];

const REDACTED: &str = "<redacted>";

/// A longer query is cut: the time that patterns take grows with it.
const MOST_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) enum Query {
    /// No query string is sent.
    LeftOut,
    /// As it is.
    Whole,
    /// Without what the default pattern finds.
    ByDefault,
    /// Without what the program's pattern finds.
    By(Regex),
}

impl Query {
    pub(super) fn new(config: &DDConfig) -> Self {
        if config.query_string_disabled() {
            return Self::LeftOut;
        }
        match config.query_string_obfuscation() {
            None => Self::ByDefault,
            Some("") => Self::Whole,
            Some(pattern) => match Regex::new(pattern) {
                Ok(pattern) => Self::By(pattern),
                Err(error) => {
                    let name = "DD_TRACE_OBFUSCATION_QUERY_STRING_REGEXP";
                    log::warn!(target: "datadog", "{name}: {error}; the default is used");
                    Self::ByDefault
                }
            },
        }
    }

    /// What is sent of a query string.
    pub(super) fn shown<'a>(&self, query: &'a str) -> Option<Cow<'a, str>> {
        let end = (0..=MOST_BYTES.min(query.len())).rev();
        let end = end.into_iter().find(|end| query.is_char_boundary(*end));
        let query = query.get(..end?)?;
        match self {
            Self::LeftOut => None,
            Self::Whole => Some(Cow::Borrowed(query)),
            Self::ByDefault if !may_have_secrets(query) => Some(Cow::Borrowed(query)),
            Self::ByDefault => Some(match default() {
                Some(pattern) => pattern.replace_all(query, REDACTED),
                None => Cow::Borrowed(REDACTED),
            }),
            Self::By(pattern) => Some(pattern.replace_all(query, REDACTED)),
        }
    }
}

fn may_have_secrets(query: &str) -> bool {
    let query = query.to_ascii_lowercase();
    SIGNS.iter().any(|sign| query.contains(sign))
}

fn default() -> Option<&'static Regex> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    PATTERN.get_or_init(|| Regex::new(DEFAULT).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_cut_out() {
        // dd-trace-go: `instrumentation/httptrace/httptrace_test.go`; system-tests: `tests/test_standard_tags.py`.
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N";
        for (query, shown) in [
            ("a=b&c=d", "a=b&c=d"),
            (
                "key1=val1&token=a0b21ce2-006f&key2=val2&password=x",
                "key1=val1&<redacted>&key2=val2&<redacted>",
            ),
            ("PASSWORD=x", "<redacted>"),
            ("pwd=1&passwd=2&pword=3", "<redacted>&<redacted>&<redacted>"),
            ("application_key=123", "application_key=123"),
            ("api_key=123&x=1", "<redacted>&x=1"),
            ("q=%7B%22secret%22%3A%22x%22%7D", "q=%7B%22<redacted>%7D"),
            ("h=Bearer%20abc", "h=<redacted>bc"),
            ("t=token:0123456789abc", "t=<redacted>"),
            ("g=gho_0123456789abcdefghijABCDEFGHIJ012345", "g=<redacted>"),
            (&format!("j={jwt}"), "j=<redacted>"),
            (
                "k=-----BEGIN%20PRIVATE%20KEY-----abc-----END%20PRIVATE%20KEY",
                "k=<redacted>",
            ),
            (&format!("s=ssh-rsa%20{}", "a".repeat(120)), "s=<redacted>"),
            ("signature=é&x=1", "<redacted>&x=1"),
        ] {
            assert_eq!(
                Query::ByDefault.shown(query).as_deref(),
                Some(shown),
                "{query}"
            );
        }
    }

    #[test]
    fn other_patterns_and_none() {
        let config = || DDConfig::builder().environment([("", "")]);
        let query = |config: datadog_config::DDConfigBuilder| Query::new(&config.build().unwrap());
        let shown = |query: &Query| query.shown("a=1&token=2").map(Cow::into_owned);
        let own = query(config().query_string_obfuscation("a=[0-9]"));
        assert_eq!(shown(&own).as_deref(), Some("<redacted>&token=2"));
        let none = query(config().query_string_obfuscation(""));
        assert_eq!(shown(&none).as_deref(), Some("a=1&token=2"));
        let broken = query(config().query_string_obfuscation("("));
        assert_eq!(shown(&broken).as_deref(), Some("a=1&<redacted>"));
        assert_eq!(shown(&query(config().query_string_disabled(true))), None);
        let long = "é".repeat(MOST_BYTES);
        assert_eq!(none.shown(&long).map(|text| text.len()), Some(MOST_BYTES));
    }
}
