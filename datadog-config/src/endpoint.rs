//! Addresses: where traces, metrics and logs go.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Invalid;

/// The port the Agent takes traces on (`datadog-agent: pkg/config/setup/apm.go`).
pub(crate) const TRACE_PORT: u16 = 8126;
/// The port the Agent takes DogStatsD on (`datadog-agent: pkg/config/setup/config.go`).
pub(crate) const DOGSTATSD_PORT: u16 = 8125;

/// Where the Agent takes traces and profiles. Prints as a URL that parses back to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AgentUrl {
    /// HTTP over TCP.
    Http {
        /// Whether the scheme is `https`.
        tls: bool,
        /// A name or an address; an IPv6 address stands without its brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
        /// A path that a reverse proxy wants in front of every request's path: empty, or `/…` without a slash at its end.
        prefix: String,
    },
    /// HTTP over a Unix socket.
    Unix(PathBuf),
}

impl AgentUrl {
    pub(crate) const EXPECTS: &str =
        "localhost, host, host:port, http(s)://…, unix:///path or /path.sock";

    pub(crate) fn tcp(host: &str, port: u16) -> Self {
        Self::Http {
            tls: false,
            host: host.to_owned(),
            port,
            prefix: String::new(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        match split_scheme(text) {
            (Some("unix"), path) => file_path(path).map(Self::Unix),
            (Some(scheme), rest) => {
                let Web {
                    tls,
                    host,
                    port,
                    prefix,
                } = Web::read(scheme, rest)?;
                Some(Self::Http {
                    tls,
                    host,
                    port,
                    prefix,
                })
            }
            (None, path) if path.starts_with('/') => file_path(path).map(Self::Unix),
            (None, authority) => {
                let (host, port) = split_authority(authority)?;
                Some(Self::tcp(host, port.unwrap_or(TRACE_PORT)))
            }
        }
    }
}

impl FromStr for AgentUrl {
    type Err = Invalid;

    /// Reads `localhost`, `host`, `host:port`, `[::1]:8126`, `http(s)://host[:port][/prefix]`, `unix:///path` and `/path`.
    ///
    /// A form without a scheme means `http` and the Agent's port 8126; a URL without a port means its scheme's, 80 or 443.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::read(text.trim()).ok_or(Invalid::expected(Self::EXPECTS))
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http {
                tls,
                host,
                port,
                prefix,
            } => write_web(f, *tls, host, *port, prefix),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Where DogStatsD takes metrics. Prints as a URL that parses back to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DogStatsDUrl {
    /// UDP.
    Udp {
        /// A name or an address; an IPv6 address stands without its brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A Unix socket whose type is not known: datagram is tried first, then stream, as in `datadog-go: statsd/uds.go`.
    Unix(PathBuf),
    /// A Unix datagram socket.
    UnixDatagram(PathBuf),
    /// A Unix stream socket.
    UnixStream(PathBuf),
}

impl DogStatsDUrl {
    pub(crate) const EXPECTS: &str = "host, host:port, udp://host:port, unix:///path, unixgram:///path, unixstream:///path or /path.sock";

    fn read(text: &str) -> Option<Self> {
        match split_scheme(text) {
            (Some("unix"), path) => file_path(path).map(Self::Unix),
            (Some("unixgram"), path) => file_path(path).map(Self::UnixDatagram),
            (Some("unixstream"), path) => file_path(path).map(Self::UnixStream),
            (None, path) if path.starts_with('/') => file_path(path).map(Self::Unix),
            (Some("udp") | None, authority) => {
                let (host, port) =
                    split_authority(authority.strip_suffix('/').unwrap_or(authority))?;
                Some(Self::Udp {
                    host: host.to_owned(),
                    port: port.unwrap_or(DOGSTATSD_PORT),
                })
            }
            (Some(_), _) => None,
        }
    }
}

impl FromStr for DogStatsDUrl {
    type Err = Invalid;

    /// Reads `udp://host[:port]`, `unix:///path`, `unixgram:///path`, `unixstream:///path`, and the bare forms `host`,
    /// `host:port`, `[::1]:8125` and `/path`. A port left out is 8125.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::read(text.trim()).ok_or(Invalid::expected(Self::EXPECTS))
    }
}

impl fmt::Display for DogStatsDUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { host, port } => {
                f.write_str("udp://")?;
                write_authority(f, host, *port)
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::UnixDatagram(path) => write!(f, "unixgram://{}", path.display()),
            Self::UnixStream(path) => write!(f, "unixstream://{}", path.display()),
        }
    }
}

/// The base URL of an intake of Datadog, or of a stand-in for it. Prints as a URL that parses back to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntakeUrl(Web);

impl IntakeUrl {
    pub(crate) const EXPECTS: &str = "http(s)://host, with a port and a path if needed";

    pub(crate) fn https(host: String) -> Self {
        Self(Web {
            tls: true,
            host,
            port: HTTPS_PORT,
            prefix: String::new(),
        })
    }

    /// Whether the scheme is `https`.
    pub fn tls(&self) -> bool {
        self.0.tls
    }

    /// A name or an address; an IPv6 address stands without its brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// 1 to 65535.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The path in front of every request's path: empty, or `/…` without a slash at its end.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }
}

impl FromStr for IntakeUrl {
    type Err = Invalid;

    /// Reads `http(s)://host[:port][/prefix]`. A port left out is the scheme's, 80 or 443.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (scheme, rest) = split_scheme(text.trim());
        let web = scheme.and_then(|scheme| Web::read(scheme, rest));
        web.map(Self).ok_or(Invalid::expected(Self::EXPECTS))
    }
}

impl fmt::Display for IntakeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Web {
            tls,
            host,
            port,
            prefix,
        } = &self.0;
        write_web(f, *tls, host, *port, prefix)
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The parts of an `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Web {
    tls: bool,
    host: String,
    port: u16,
    prefix: String,
}

impl Web {
    fn read(scheme: &str, rest: &str) -> Option<Self> {
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let prefix = path.trim_end_matches('/');
        if !prefix.bytes().all(is_path_byte) {
            return None;
        }
        let port = port.unwrap_or(if tls { HTTPS_PORT } else { HTTP_PORT });
        Some(Self {
            tls,
            host: host.to_owned(),
            port,
            prefix: prefix.to_owned(),
        })
    }
}

fn write_web(
    f: &mut fmt::Formatter<'_>,
    tls: bool,
    host: &str,
    port: u16,
    prefix: &str,
) -> fmt::Result {
    f.write_str(if tls { "https://" } else { "http://" })?;
    write_authority(f, host, port)?;
    f.write_str(prefix)
}

pub(crate) fn write_authority(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]:{port}")
    } else {
        write!(f, "{host}:{port}")
    }
}

/// Splits at `://`. The schemes are matched as written by everybody, in lower case.
pub(crate) fn split_scheme(text: &str) -> (Option<&str>, &str) {
    match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    }
}

/// An absolute path, without the NUL and line breaks that no sensible path has.
pub(crate) fn file_path(path: &str) -> Option<PathBuf> {
    let usable = path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control);
    usable.then(|| PathBuf::from(path))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    if is_ipv6(text) {
        return Some((text, None));
    }
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        let port = if rest.is_empty() {
            None
        } else {
            Some(rest.strip_prefix(':')?)
        };
        (is_ipv6(host).then_some(host)?, port)
    } else {
        let (host, port) = text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port)));
        (is_host_name(host).then_some(host)?, port)
    };
    match port {
        Some(port) => Some((host, Some(parse_port(port)?))),
        None => Some((host, None)),
    }
}

/// A host alone: a name, an IPv4 or IPv6 address, brackets allowed.
pub(crate) fn parse_host(text: &str) -> Option<&str> {
    split_authority(text).and_then(|(host, port)| port.is_none().then_some(host))
}

/// 1 to 65535, digits only.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Letters, digits, `-`, `.` and the `_` that container networks allow.
pub(crate) fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(allowed)
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// What RFC 3986 allows in a path, without the `?` and `#` that would end it.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(tls: bool, host: &str, port: u16, prefix: &str) -> AgentUrl {
        AgentUrl::Http {
            tls,
            host: host.to_owned(),
            port,
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn forms_of_the_agents_url() {
        for (text, url) in [
            ("localhost", http(false, "localhost", 8126, "")),
            ("agent.internal", http(false, "agent.internal", 8126, "")),
            ("my_agent:1234", http(false, "my_agent", 1234, "")),
            ("10.0.0.1:65535", http(false, "10.0.0.1", 65535, "")),
            ("[::1]:8126", http(false, "::1", 8126, "")),
            ("[fe80::1]", http(false, "fe80::1", 8126, "")),
            ("::1", http(false, "::1", 8126, "")),
            ("http://agent", http(false, "agent", 80, "")),
            ("https://agent/", http(true, "agent", 443, "")),
            (
                "https://proxy:8443/datadog/agent/",
                http(true, "proxy", 8443, "/datadog/agent"),
            ),
            ("http://[::1]:9/a%20b", http(false, "::1", 9, "/a%20b")),
            (" http://agent:1 ", http(false, "agent", 1, "")),
            (
                "unix:///var/run/datadog/apm.socket",
                AgentUrl::Unix("/var/run/datadog/apm.socket".into()),
            ),
            ("/tmp/a b.sock", AgentUrl::Unix("/tmp/a b.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn no_agents_url() {
        for text in [
            "",
            " ",
            "ftp://x",
            "x://",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "a:",
            ":1",
            "a:b:1",
            "a b",
            "a/b",
            "http://u:p@a",
            "http://a?b",
            "http://a/b#c",
            "http://a/b c",
            "unix://",
            "unix:///",
            "unix://rel",
            "udp://a:1",
            "[::1",
            "[a]:1",
            "::1]:1",
            "[::1]1",
            "-",
            "/",
            "/a\nb",
            "unix:///a\0b",
            "HTTP ://a",
        ] {
            assert!(text.parse::<AgentUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn forms_of_the_dogstatsd_url() {
        let udp = |host: &str, port| DogStatsDUrl::Udp {
            host: host.to_owned(),
            port,
        };
        for (text, url) in [
            ("localhost", udp("localhost", 8125)),
            ("agent:1", udp("agent", 1)),
            ("::1", udp("::1", 8125)),
            ("udp://agent", udp("agent", 8125)),
            ("udp://agent:9125/", udp("agent", 9125)),
            ("udp://[::1]:9125", udp("::1", 9125)),
            ("unix:///s", DogStatsDUrl::Unix("/s".into())),
            ("/s", DogStatsDUrl::Unix("/s".into())),
            ("unixgram:///s", DogStatsDUrl::UnixDatagram("/s".into())),
            ("unixstream:///s", DogStatsDUrl::UnixStream("/s".into())),
        ] {
            assert_eq!(text.parse(), Ok(url), "{text}");
        }
        for text in [
            "",
            "http://a:1",
            "tcp://a:1",
            "udp://",
            "udp://a/b",
            "unix://s",
            "unixgram://",
        ] {
            assert!(text.parse::<DogStatsDUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn forms_of_an_intake_url() {
        let url: IntakeUrl = "https://intake.example/v2/".parse().unwrap();
        assert_eq!(
            (url.tls(), url.host(), url.port(), url.prefix()),
            (true, "intake.example", 443, "/v2")
        );
        assert_eq!(url.to_string(), "https://intake.example:443/v2");
        for text in [
            "",
            "intake.example",
            "intake.example:443",
            "unix:///s",
            "ftp://a",
        ] {
            assert!(text.parse::<IntakeUrl>().is_err(), "{text}");
        }
    }

    /// Texts that look like addresses.
    fn address() -> impl Strategy<Value = String> {
        let scheme = prop::sample::select(vec![
            "",
            "http://",
            "https://",
            "unix://",
            "unixgram://",
            "unixstream://",
            "udp://",
        ]);
        let host = prop_oneof![
            "[a-z0-9.-]{1,12}",
            any::<Ipv6Addr>().prop_map(|host| format!("[{host}]")),
            any::<Ipv6Addr>().prop_map(|host| host.to_string()),
            "/[a-z./]{0,12}",
        ];
        let port = prop_oneof![
            Just(String::new()),
            any::<u16>().prop_map(|port| format!(":{port}"))
        ];
        let path = prop_oneof![Just(String::new()), "/[ -~]{0,9}"];
        prop_oneof![
            any::<String>(),
            (scheme, host, port, path).prop_map(|(a, b, c, d)| a.to_owned() + &b + &c + &d)
        ]
    }

    proptest! {
        #[test]
        fn what_prints_parses_back(text in address()) {
            if let Ok(url) = text.parse::<AgentUrl>() {
                prop_assert_eq!(url.to_string().parse::<AgentUrl>(), Ok(url));
            }
            if let Ok(url) = text.parse::<DogStatsDUrl>() {
                prop_assert_eq!(url.to_string().parse::<DogStatsDUrl>(), Ok(url));
            }
            if let Ok(url) = text.parse::<IntakeUrl>() {
                prop_assert_eq!(url.to_string().parse::<IntakeUrl>(), Ok(url));
            }
        }
    }
}
