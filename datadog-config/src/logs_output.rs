//! Where log records go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::endpoint::{file_path, split_authority, split_scheme, write_authority};
use crate::error::Invalid;

/// Where log records go. Prints as a text that parses back to the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogsOutput {
    /// The logs intake, over HTTP.
    #[default]
    Intake,
    /// Lines of JSON on the standard output, which the Agent collects from containers.
    Stdout,
    /// Lines of JSON at the end of a file, which the Agent tails.
    File(PathBuf),
    /// Lines of JSON to a TCP port, such as the Agent's.
    Tcp {
        /// A name or an address; an IPv6 address stands without its brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// Datagrams with an entry of JSON each to a UDP port, such as the Agent's.
    Udp {
        /// A name or an address; an IPv6 address stands without its brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

impl LogsOutput {
    pub(crate) const EXPECTS: &str =
        "intake, stdout, /path, file:///path, tcp://host:port or udp://host:port";

    fn read(text: &str) -> Option<Self> {
        let endpoint = |authority: &str| {
            let (host, port) = split_authority(authority.strip_suffix('/').unwrap_or(authority))?;
            Some((host.to_owned(), port?))
        };
        match split_scheme(text) {
            (None, "intake") => Some(Self::Intake),
            (None, "stdout") => Some(Self::Stdout),
            (Some("file") | None, path) => file_path(path).map(Self::File),
            (Some("tcp"), rest) => endpoint(rest).map(|(host, port)| Self::Tcp { host, port }),
            (Some("udp"), rest) => endpoint(rest).map(|(host, port)| Self::Udp { host, port }),
            (Some(_), _) => None,
        }
    }
}

impl FromStr for LogsOutput {
    type Err = Invalid;

    /// Reads `intake`, `stdout`, `/path`, `file:///path`, `tcp://host:port` and `udp://host:port`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::read(text.trim()).ok_or(Invalid::expected(Self::EXPECTS))
    }
}

impl fmt::Display for LogsOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Intake => return f.write_str("intake"),
            Self::Stdout => return f.write_str("stdout"),
            Self::File(path) => return write!(f, "file://{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Udp { host, port } => ("udp", host, port),
        };
        write!(f, "{scheme}://")?;
        write_authority(f, host, *port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed_back() {
        let forms = [
            ("intake", "intake"),
            (" stdout ", "stdout"),
            ("/var/log/shop.json", "file:///var/log/shop.json"),
            ("file:///var/log/shop.json", "file:///var/log/shop.json"),
            ("tcp://agent:10518", "tcp://agent:10518"),
            ("udp://[::1]:10518/", "udp://[::1]:10518"),
        ];
        for (text, printed) in forms {
            let output: LogsOutput = text.parse().unwrap();
            assert_eq!(output.to_string(), printed);
            assert_eq!(printed.parse(), Ok(output));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "stderr",
            "shop.json",
            "file://shop.json",
            "/",
            "tcp://agent",
            "tcp://:1",
            "udp://agent:0",
            "http://agent:1",
        ] {
            assert!(text.parse::<LogsOutput>().is_err(), "{text}");
        }
    }
}
