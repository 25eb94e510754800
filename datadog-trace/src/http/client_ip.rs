//! The address of the client that made a request, which may have come through proxies
//! (dd-trace-go: `internal/clientip`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

/// The headers that tell it, the first one first.
const HEADERS: [HeaderName; 10] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("forwarded-for"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("cf-connecting-ipv6"),
];

#[derive(Debug)]
pub(super) struct ClientIp {
    headers: Vec<HeaderName>,
}

impl ClientIp {
    /// `only` is the one header to look at.
    pub(super) fn new(only: Option<&str>) -> Self {
        let only = only.map(|name| name.trim().to_ascii_lowercase().parse());
        Self {
            headers: match only {
                Some(Ok(only)) => vec![only],
                // What is no header tells nothing.
                Some(Err(_)) => Vec::new(),
                None => HEADERS.to_vec(),
            },
        }
    }

    /// The first public address that the headers tell, else the first one, unless the peer's is public.
    pub(super) fn find(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let mut first = None;
        for name in &self.headers {
            for value in headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
            {
                let forwarded = name.as_str() == "forwarded";
                for item in value.split(',') {
                    let found = if forwarded {
                        forwarded_for(item)
                    } else {
                        address(item)
                    };
                    match found {
                        Some(found) if is_public(found) => return Some(found),
                        Some(found) => first = first.or(Some(found)),
                        None => {}
                    }
                }
            }
        }
        match peer {
            Some(peer) if is_public(peer) => Some(peer),
            peer => first.or(peer),
        }
    }
}

/// The address of one element of `Forwarded`: `for=192.0.2.60;proto=http` (RFC 7239).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let is_for = key.trim().eq_ignore_ascii_case("for");
        is_for.then(|| address(value.trim().trim_matches('"')))?
    })
}

/// An address, maybe with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let alone = bracketed.unwrap_or(text).parse().ok();
    alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // Inside of clusters, mostly.
            let shared = a == 100 && b & 0xc0 == 64;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            let local = v6.is_unique_local() || v6.is_unicast_link_local() || is_site_local(v6);
            !(local || v6.is_loopback() || v6.is_unspecified())
        }
    }
}

fn is_site_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfec0
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn find(only: Option<&str>, headers: &[(&'static str, &str)], peer: Option<&str>) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let peer = peer.map(|peer| peer.parse().unwrap());
        let found = ClientIp::new(only).find(&map, peer);
        found.map_or_else(|| "none".to_owned(), |found| found.to_string())
    }

    #[test]
    fn the_first_public_address_counts() {
        let forwarded = ("x-forwarded-for", "10.0.0.1, 8.8.8.8:80, 9.9.9.9");
        for (headers, peer, found) in [
            (&[][..], None, "none"),
            (&[], Some("10.0.0.9"), "10.0.0.9"),
            (&[forwarded], Some("10.0.0.9"), "8.8.8.8"),
            (&[forwarded], Some("7.7.7.7"), "8.8.8.8"),
            (&[("x-real-ip", "192.168.0.1")], Some("7.7.7.7"), "7.7.7.7"),
            (
                &[("x-real-ip", "192.168.0.1")],
                Some("10.0.0.9"),
                "192.168.0.1",
            ),
            // As sockets for both kinds of addresses tell them.
            (
                &[("x-real-ip", "192.168.0.1")],
                Some("::ffff:10.0.0.9"),
                "192.168.0.1",
            ),
            (
                &[("x-forwarded-for", "::ffff:127.0.0.1, ::ffff:8.8.8.8")],
                None,
                "::ffff:8.8.8.8",
            ),
            (&[("x-real-ip", "nonsense")], None, "none"),
            (
                &[("x-real-ip", "10.1.1.1"), ("cf-connecting-ip", "1.1.1.1")],
                None,
                "1.1.1.1",
            ),
            (
                &[(
                    "forwarded",
                    "proto=http;For=\"[2001:db8::1]:4711\", for=1.1.1.1",
                )],
                None,
                "2001:db8::1",
            ),
            (
                &[("forwarded", "for=unknown, for=1.1.1.1:80")],
                None,
                "1.1.1.1",
            ),
            (
                &[(
                    "x-forwarded-for",
                    "100.65.3.4, fec0::1, fe80::1, fd00::1, 2600::1",
                )],
                None,
                "2600::1",
            ),
        ] {
            assert_eq!(find(None, headers, peer), found, "{headers:?} {peer:?}");
        }
    }

    #[test]
    fn a_configured_header_is_the_only_one() {
        let headers = [("x-real-ip", "8.8.8.8"), ("x-own", "9.9.9.9")];
        assert_eq!(find(Some("X-Own"), &headers, None), "9.9.9.9");
        assert_eq!(find(Some("x-none"), &headers, Some("1.1.1.1")), "1.1.1.1");
        assert_eq!(find(Some("not a header"), &headers, None), "none");
    }

    /// An address, and whether it is public: near the borders of what is not.
    fn ip() -> impl Strategy<Value = (IpAddr, bool)> {
        const V4: [([u8; 2], bool); 12] = [
            ([10, 0], false),
            ([127, 0], false),
            ([169, 254], false),
            ([172, 31], false),
            ([192, 168], false),
            ([100, 127], false),
            ([8, 8], true),
            ([11, 0], true),
            ([172, 32], true),
            ([192, 169], true),
            ([100, 63], true),
            ([100, 128], true),
        ];
        const V6: [(u16, bool); 7] = [
            (0xfc00, false),
            (0xfdff, false),
            (0xfebf, false),
            (0xfeff, false),
            (0x2001, true),
            (0xfbff, true),
            (0xff02, true),
        ];
        let v4 = (select(&V4[..]), any::<[u8; 2]>());
        let v6 = (select(&V6[..]), any::<[u16; 7]>());
        prop_oneof![
            v4.prop_map(|(([a, b], public), [c, d])| (IpAddr::from([a, b, c, d]), public)),
            v6.prop_map(|((a, public), [b, c, d, e, f, g, h])| {
                (IpAddr::from([a, b, c, d, e, f, g, h]), public)
            }),
        ]
    }

    /// One element of a header: an address, if it tells one, and how that is written.
    fn element() -> impl Strategy<Value = (Option<(IpAddr, bool)>, u16, bool, bool)> {
        let ip = proptest::option::weighted(0.8, ip());
        (ip, any::<u16>(), any::<bool>(), any::<bool>())
    }

    fn written(
        (ip, port, with_port, blanks): (Option<(IpAddr, bool)>, u16, bool, bool),
        forwarded: bool,
    ) -> String {
        let text = match ip {
            Some((ip, _)) if with_port => SocketAddr::new(ip, port).to_string(),
            Some((IpAddr::V6(v6), _)) if blanks || forwarded => format!("[{v6}]"),
            Some((ip, _)) => ip.to_string(),
            None => ["unknown", "_hidden", "", "8.8.8", "[::1"][usize::from(port) % 5].to_owned(),
        };
        let text = match (forwarded, blanks) {
            (true, true) => format!("proto=http; For=\"{text}\";by=9.9.9.9"),
            (true, false) => format!("for={text}"),
            (false, _) => text,
        };
        if blanks { format!("  {text} ") } else { text }
    }

    proptest! {
        #[test]
        fn of_all_addresses_that_are_told_the_first_public_one_counts(
            lines in proptest::collection::vec(
                (0..HEADERS.len(), proptest::collection::vec(element(), 0..4)),
                0..6,
            ),
            peer in proptest::option::of(ip()),
        ) {
            let mut headers = HeaderMap::new();
            for (name, elements) in &lines {
                let name = &HEADERS[*name];
                let elements: Vec<_> = elements
                    .iter()
                    .map(|element| written(*element, name == "forwarded"))
                    .collect();
                headers.append(name, elements.join(",").parse().unwrap());
            }
            let mut lines = lines;
            lines.sort_by_key(|(name, _)| *name);
            let elements = lines.iter().flat_map(|(_, elements)| elements);
            let told: Vec<_> = elements.filter_map(|(ip, ..)| *ip).collect();
            let public = told.iter().chain(&peer).find(|(_, public)| *public);
            let expected = public.or_else(|| told.first()).or(peer.as_ref());
            let found = ClientIp::new(None).find(&headers, peer.map(|(ip, _)| ip));
            prop_assert_eq!(found, expected.map(|(ip, _)| *ip), "{:?}", headers);
        }

        #[test]
        fn no_header_does_harm(
            values in proptest::collection::vec(any::<Vec<u8>>(), 0..4),
            forwarded in "([fF]or=|by=)?[\\[\\]\":;,0-9a-f.= ]{0,60}",
        ) {
            let mut headers = HeaderMap::new();
            headers.append("forwarded", forwarded.parse().unwrap());
            headers.append("x-forwarded-for", forwarded.parse().unwrap());
            for value in values {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append("forwarded", value.clone());
                    headers.append("x-forwarded-for", value);
                }
            }
            ClientIp::new(None).find(&headers, None);
        }
    }
}
