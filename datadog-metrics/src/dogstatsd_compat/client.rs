//! The client.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use datadog_config::{DDConfig, DDConfigBuilder};
use datadog_transport::{Standalone, TransportError};

use super::{
    DogstatsdError, DogstatsdResult, EventOptions, Options, ServiceCheckOptions, ServiceStatus,
};
use crate::{Metrics, Tags};

/// A client with the methods of the `dogstatsd` crate's, and a worker of its own. Dropping it sends what is left.
#[derive(Debug)]
pub struct Client {
    /// Keeps the worker.
    metrics: Standalone<Metrics>,
    /// The same with the namespace, which events and service checks don't have.
    named: Metrics,
    options: Options,
}

/// As the crate has it: clients are equal if they send alike from and to the same addresses.
impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.options, &other.options);
        one.from_addr == two.from_addr
            && one.to_addr == two.to_addr
            && one.namespace == two.namespace
            && one.default_tags == two.default_tags
    }
}

impl Client {
    /// Starts a client.
    ///
    /// # Errors
    ///
    /// An address or a path that is none; a thread that the system refuses.
    pub fn new(options: Options) -> Result<Self, DogstatsdError> {
        Self::start(options, DDConfig::builder())
    }

    fn start(options: Options, config: DDConfigBuilder) -> Result<Self, DogstatsdError> {
        let config = options.config(config).map_err(DogstatsdError::invalid)?;
        let metrics = Metrics::start(&config).map_err(|error| match error {
            TransportError::Thread(error) => DogstatsdError::IoError(error),
            other => DogstatsdError::invalid(other),
        })?;
        let named = match options.namespace.as_str() {
            "" => Metrics::clone(&metrics),
            namespace => metrics.namespaced(namespace),
        };
        Ok(Self {
            metrics,
            named,
            options,
        })
    }

    /// Adds 1 to a count.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn incr<'a, I, S, T>(&self, stat: S, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.count(stat, 1, tags)
    }

    /// Adds to a count.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn incr_by_value<'a, I, S, T>(&self, stat: S, value: i64, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.count(stat, value, tags)
    }

    /// Takes 1 from a count.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn decr<'a, I, S, T>(&self, stat: S, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.count(stat, -1, tags)
    }

    /// Takes something from a count.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn decr_by_value<'a, I, S, T>(&self, stat: S, value: i64, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.count(stat, value.wrapping_neg(), tags)
    }

    /// Changes a count.
    ///
    /// # Errors
    ///
    /// None; what can't be sent is counted as dropped. The crate fails where the network does.
    pub fn count<'a, I, S, T>(&self, stat: S, count: i64, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.named.count(&stat.into(), count, Texts::new(tags));
        Ok(())
    }

    /// Runs `block` and sends its time as a timing.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn time<'a, F, O, I, S, T>(
        &self,
        stat: S,
        tags: I,
        block: F,
    ) -> Result<O, (O, DogstatsdError)>
    where
        F: FnOnce() -> O,
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let start = Instant::now();
        let output = block();
        self.named
            .timing(&stat.into(), start.elapsed(), Texts::new(tags));
        Ok(output)
    }

    /// Awaits what `block` returns and sends its time as a timing.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub async fn async_time<'a, Fn, Fut, O, I, S, T>(
        &self,
        stat: S,
        tags: I,
        block: Fn,
    ) -> Result<O, (O, DogstatsdError)>
    where
        Fn: FnOnce() -> Fut,
        Fut: Future<Output = O>,
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let start = Instant::now();
        let output = block().await;
        self.named
            .timing(&stat.into(), start.elapsed(), Texts::new(tags));
        Ok(output)
    }

    /// Adds a number of milliseconds to a timing.
    ///
    /// # Errors
    ///
    /// A negative time.
    pub fn timing<'a, I, S, T>(&self, stat: S, ms: i64, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let stat = stat.into();
        if let Ok(ms) = u64::try_from(ms) {
            self.named
                .timing(&stat, Duration::from_millis(ms), Texts::new(tags));
            return Ok(());
        }
        // Counts it as dropped.
        self.named.histogram(&stat, f64::NAN, ());
        Err(DogstatsdError::invalid(format!("{ms} ms is no time")))
    }

    /// Sets a gauge.
    ///
    /// # Errors
    ///
    /// Text that is no number.
    pub fn gauge<'a, I, S, SS, T>(&self, stat: S, val: SS, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let (stat, tags) = (stat.into(), Texts::new(tags));
        each_number(&val.into(), |value| self.named.gauge(&stat, value, &tags))
    }

    /// Adds a value to a histogram, or several with colons between them.
    ///
    /// # Errors
    ///
    /// Text that is no number.
    pub fn histogram<'a, I, S, SS, T>(&self, stat: S, val: SS, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let (stat, tags) = (stat.into(), Texts::new(tags));
        each_number(&val.into(), |value| {
            self.named.histogram(&stat, value, &tags);
        })
    }

    /// Adds a value to a distribution, or several with colons between them.
    ///
    /// # Errors
    ///
    /// Text that is no number.
    pub fn distribution<'a, I, S, SS, T>(&self, stat: S, val: SS, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let (stat, tags) = (stat.into(), Texts::new(tags));
        each_number(&val.into(), |value| {
            self.named.distribution(&stat, value, &tags);
        })
    }

    /// Adds a member to a set.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn set<'a, I, S, SS, T>(&self, stat: S, val: SS, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.named.set(&stat.into(), val.into(), Texts::new(tags));
        Ok(())
    }

    /// Sends what a check of a service found.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn service_check<'a, I, S, T>(
        &self,
        stat: S,
        val: ServiceStatus,
        tags: I,
        options: Option<ServiceCheckOptions<'_>>,
    ) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let stat = stat.into();
        let check = options.unwrap_or_default().check(&stat, val);
        self.metrics.service_check(&check, Texts::new(tags));
        Ok(())
    }

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn event<'a, I, S, SS, T>(&self, title: S, text: SS, tags: I) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        self.event_with_options(title, text, tags, None)
    }

    /// Sends an event with more about it.
    ///
    /// # Errors
    ///
    /// None: see [`count`](Client::count).
    pub fn event_with_options<'a, I, S, SS, T>(
        &self,
        title: S,
        text: SS,
        tags: I,
        options: Option<EventOptions<'a>>,
    ) -> DogstatsdResult
    where
        I: IntoIterator<Item = T>,
        S: Into<Cow<'a, str>>,
        SS: Into<Cow<'a, str>>,
        T: AsRef<str>,
    {
        let (title, text) = (title.into(), text.into());
        let event = options.unwrap_or_default().event(&title, &text);
        self.metrics.event(&event, Texts::new(tags));
        Ok(())
    }
}

/// The tags of one call.
struct Texts<T>(Vec<T>);

impl<T: AsRef<str>> Texts<T> {
    fn new(tags: impl IntoIterator<Item = T>) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl<T: AsRef<str>> Tags for Texts<T> {
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|text| (text.as_ref(), None))
    }
}

/// Reads numbers with colons between them.
fn each_number(text: &str, mut take: impl FnMut(f64)) -> DogstatsdResult {
    let mut result = Ok(());
    for part in text.split(':') {
        // What is no number is counted as dropped where it is taken.
        let value: f64 = part.parse().unwrap_or(f64::NAN);
        if !value.is_finite() {
            result = Err(DogstatsdError::invalid(format!("{part:?} is no number")));
        }
        take(value);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::io;

    use datadog_local_agent::{LocalAgent, Metric, Via};

    use super::super::OptionsBuilder;
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn invalid(result: DogstatsdResult) -> bool {
        let is_invalid = |error: &io::Error| error.kind() == io::ErrorKind::InvalidInput;
        result.is_err_and(|DogstatsdError::IoError(error)| is_invalid(&error))
    }

    fn arrived(agent: &LocalAgent, lines: usize) -> Vec<Metric> {
        agent
            .wait_for(SOON, |got| got.metrics().len() >= lines)
            .unwrap();
        assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
        agent.metrics()
    }

    #[test]
    fn options_beat_the_environment_and_a_dropped_client_delivers() {
        let agent = LocalAgent::start().unwrap();
        let environment = [
            ("DD_SERVICE", "from-environment"),
            ("DD_ENV", "prod"),
            ("DD_VERSION", "1"),
            ("DD_TAGS", "from:environment"),
            ("DD_DOGSTATSD_URL", "udp://127.0.0.1:9"),
            ("DD_METRICS_AGENTLESS", "true"),
            ("DD_ORIGIN_DETECTION_ENABLED", "false"),
        ];
        let config = DDConfig::builder().environment(environment);
        let mut options = OptionsBuilder::new();
        options
            .to_addr(agent.dogstatsd_addr().to_string())
            .namespace("ns".to_owned())
            .default_tag("service:shop".to_owned())
            .default_tag("version:2".to_owned())
            .default_tag(String::new())
            .default_tag("canary".to_owned());
        let client = Client::start(options.build(), config).unwrap();
        client.incr("hits", ["route:/"]).unwrap();
        drop(client);
        let got = arrived(&agent, 1);
        assert_eq!((got[0].name.as_str(), got.len()), ("ns.hits", 1));
        let tags = ["service:shop", "env:prod", "version:2", "canary", "route:/"];
        assert_eq!(got[0].tags, tags);
    }

    #[test]
    fn text_that_is_no_number_is_an_error_and_is_counted() {
        let agent = LocalAgent::start().unwrap();
        let mut options = OptionsBuilder::new();
        let path = agent.dogstatsd_socket().display().to_string();
        let options = options.socket_path(Some(path)).build();
        let config = DDConfig::builder().environment([("", "")]);
        let client = Client::start(options, config).unwrap();
        let none: [&str; 0] = [];
        assert!(invalid(client.gauge("gauge", "much", none)));
        assert!(invalid(client.gauge("gauge", "", none)));
        assert!(invalid(client.distribution("d", "inf", none)));
        assert!(invalid(client.timing("t", -1, none)));
        assert!(invalid(client.histogram("h", "1:x:3", none)));
        client.timing("t", 0, none).unwrap();
        client.gauge("gauge", "-1e3", none).unwrap();
        let health = client.metrics.health().total();
        let invalid = health.dropped.get(datadog_transport::DropReason::Invalid);
        assert_eq!((health.accepted, invalid), (9, 5));
        client.metrics.flush(SOON);
        let mut got = arrived(&agent, 3);
        got.sort_by(|one, other| one.name.cmp(&other.name));
        let values: Vec<_> = got.iter().map(|metric| metric.values.as_slice()).collect();
        assert_eq!(values, [[-1000.0].as_slice(), &[1.0, 3.0], &[0.0]]);
        assert_eq!(got[0].via, Via::UnixDatagram);
    }

    #[test]
    fn an_address_that_is_none_is_an_error() {
        let start = |options: &OptionsBuilder| {
            let config = DDConfig::builder().environment([("", "")]);
            Client::start(options.build(), config).map(drop)
        };
        let mut options = OptionsBuilder::new();
        assert!(start(&options).is_ok());
        assert!(invalid(start(options.to_addr("no address".to_owned()))));
        assert!(start(options.socket_path(Some("relative.sock".to_owned()))).is_ok());
        assert!(invalid(start(options.socket_path(Some(String::new())))));
    }
}
