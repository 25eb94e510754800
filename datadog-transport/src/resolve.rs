//! Host names to addresses, without a look-up per request.
//!
//! With a time limit set, ureq's own resolver starts a thread and a look-up for every request, even for one that
//! goes over a pooled connection. Ours answers literal addresses itself and remembers names.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long a name's addresses are believed.
const REMEMBER: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct CachingResolver {
    look_up: DefaultResolver,
    known: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

/// For connectors that need no address, such as Unix sockets.
#[derive(Debug)]
pub(crate) struct NoResolver;

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let Some(authority) = uri.authority() else {
            return Err(Error::HostNotFound);
        };
        if let Some(address) = literal(uri) {
            return Ok(self.collect([address]));
        }
        let name = authority.as_str();
        if let Some((until, addresses)) = self.known.lock().get(name)
            && *until > Instant::now()
        {
            return Ok(self.collect(addresses.iter().copied()));
        }
        let found = self.look_up.resolve(uri, config, timeout)?;
        self.known
            .lock()
            .insert(name.to_owned(), (Instant::now() + REMEMBER, found.to_vec()));
        Ok(found)
    }
}

impl CachingResolver {
    fn collect(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> ResolvedSocketAddrs {
        let mut resolved = self.empty();
        addresses
            .into_iter()
            .for_each(|address| resolved.push(address));
        resolved
    }
}

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut resolved = self.empty();
        resolved.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Ok(resolved)
    }
}

fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let ip: IpAddr = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    let default_port = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    Some(SocketAddr::new(ip, uri.port_u16().unwrap_or(default_port)))
}

impl fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingResolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_addresses_need_no_look_up() {
        let address = |uri: &str| literal(&uri.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(
            address("http://127.0.0.1:8126/v0.4/traces").as_deref(),
            Some("127.0.0.1:8126")
        );
        assert_eq!(address("http://[::1]:8126/").as_deref(), Some("[::1]:8126"));
        assert_eq!(
            address("https://10.0.0.1/").as_deref(),
            Some("10.0.0.1:443")
        );
        assert_eq!(address("http://localhost:8126/"), None);
    }

    #[test]
    fn names_are_looked_up_once() {
        let resolver = CachingResolver::default();
        let uri: Uri = "http://localhost:8126/".parse().unwrap();
        let timeout = || NextTimeout {
            after: ureq::unversioned::transport::time::Duration::from_secs(5),
            ..NextTimeout::default()
        };
        let first = resolver
            .resolve(&uri, &Config::default(), timeout())
            .unwrap()
            .to_vec();
        let planted = vec![SocketAddr::from(([127, 0, 0, 9], 8126))];
        resolver
            .known
            .lock()
            .values_mut()
            .for_each(|(_, addresses)| addresses.clone_from(&planted));
        let second = resolver
            .resolve(&uri, &Config::default(), timeout())
            .unwrap()
            .to_vec();
        assert!(first.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(second, planted);
    }
}
