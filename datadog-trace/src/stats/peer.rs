//! Addresses in peer tags: statistics tell hosts apart by their names, not by every IP address
//! (datadog-agent: `pkg/obfuscate/ip_address.go`).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// What an address becomes.
const BLOCKED: &str = "blocked-ip-address";

/// Addresses that are the same everywhere: loopback, and the metadata services of the clouds.
const KEPT: [&str; 5] = [
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "fd00:ec2::254",
    "169.254.170.2",
];

const SCHEMES: [&str; 5] = ["dnspoll", "ftp", "file", "https", "http"];

/// Replaces the addresses in a list of hosts that are separated by commas. Hosts that are the same then come once.
pub(crate) fn quantize_hosts(hosts: &str) -> Cow<'_, str> {
    let mut shown: Vec<Cow<'_, str>> = Vec::new();
    let mut changed = false;
    for host in hosts.split(',') {
        let new = quantize(host);
        let known = new.is_none();
        let new = new.map_or(Cow::Borrowed(host), Cow::Owned);
        let again = shown.contains(&new);
        changed |= again || !known;
        if !again {
            shown.push(new);
        }
    }
    if changed {
        Cow::Owned(shown.join(","))
    } else {
        Cow::Borrowed(hosts)
    }
}

/// The host without its address, if it starts with one.
fn quantize(host: &str) -> Option<String> {
    let (prefix, rest) = host.split_at(prefix_len(host));
    let (address, after) = leading_address(rest)?;
    (!KEPT.contains(&address)).then(|| format!("{prefix}{BLOCKED}{after}"))
}

fn prefix_len(host: &str) -> usize {
    if host.starts_with("ip-") {
        return 3;
    }
    let scheme = SCHEMES.iter().find_map(|scheme| {
        let rest = host.strip_prefix(scheme)?.strip_prefix(':')?;
        let slashes = rest
            .bytes()
            .take(3)
            .take_while(|byte| *byte == b'/')
            .count();
        (slashes >= 2).then_some(scheme.len() + 1 + slashes)
    });
    scheme.unwrap_or(0)
}

/// The address that a text starts with, and what follows it.
fn leading_address(text: &str) -> Option<(&str, &str)> {
    let first = text.find(|c: char| !c.is_ascii_digit())?;
    match text.as_bytes()[first] {
        separator @ (b'.' | b'-' | b'_') => leading_v4(text, separator),
        b'[' if first == 0 => {
            let (host, port) = text[1..].split_once(']')?;
            is_v6(host).then_some((host, port))
        }
        b':' | b'a'..=b'f' | b'A'..=b'F' => is_v6(text).then_some((text, "")),
        _ => None,
    }
}

fn is_v6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Four numbers up to 255, with the separator between them.
fn leading_v4(text: &str, separator: u8) -> Option<(&str, &str)> {
    let mut end = 0;
    for field in 0..4 {
        if field > 0 {
            if text.as_bytes().get(end) != Some(&separator) {
                return None;
            }
            end += 1;
        }
        let digits = text[end..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &text[end..end + digits];
        let leading_zero = digits > 1 && number.starts_with('0');
        if leading_zero || number.parse::<u8>().is_err() {
            return None;
        }
        end += digits;
    }
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_and_names_stay() {
        for (hosts, shown) in [
            ("", ""),
            ("db.internal", "db.internal"),
            ("10.1.2.3", "blocked-ip-address"),
            ("10.1.2.3:5432", "blocked-ip-address:5432"),
            ("127.0.0.1", "127.0.0.1"),
            ("169.254.169.254:80", "169.254.169.254:80"),
            (
                "ip-10-152-4-129.ec2.internal",
                "ip-blocked-ip-address.ec2.internal",
            ),
            ("192_168_1_1-foo", "blocked-ip-address-foo"),
            ("https://10.1.2.3/x", "https://blocked-ip-address/x"),
            ("ftp:///1.2.3.4", "ftp:///blocked-ip-address"),
            ("10.1.2.256", "10.1.2.256"),
            ("10.01.2.3", "10.01.2.3"),
            ("10.1.2", "10.1.2"),
            ("1.2.3.4.5", "blocked-ip-address.5"),
            ("::1", "::1"),
            ("2001:db8::7", "blocked-ip-address"),
            ("[2001:db8::7]:9092", "blocked-ip-address:9092"),
            ("fade", "fade"),
            ("10.0.0.1:1,10.0.0.2:1,db,db", "blocked-ip-address:1,db"),
            ("ünï.1", "ünï.1"),
            ("12345", "12345"),
        ] {
            assert_eq!(quantize_hosts(hosts), shown, "{hosts}");
        }
    }
}
