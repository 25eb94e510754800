//! The names of services: the configured one, and those that are sent in place of others. They count from the start of a
//! span on, for sampling as for top-level marks (dd-trace-go: `ddtrace/tracer/tracer.go`, StartSpan).

use datadog_config::DDConfig;

#[derive(Debug)]
pub(crate) struct Services {
    /// The configured one.
    own: Box<str>,
    /// The name that is sent in place of that.
    own_mapped: Option<Box<str>>,
    /// Services with the names that are sent for them.
    mapping: Vec<(String, String)>,
}

impl Services {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let mut services = Self {
            own: config.service().into(),
            own_mapped: None,
            mapping: config.service_mapping().to_vec(),
        };
        services.own_mapped = services.mapped(&services.own).map(Box::from);
        services
    }

    /// The configured one, by the name that it has without the mapping.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Whether this name, as it is sent, is that of the process.
    #[inline]
    pub(crate) fn is_own(&self, sent: &str) -> bool {
        std::ptr::eq(sent, &*self.own) || sent.eq_ignore_ascii_case(&self.own)
    }

    /// The name that is sent for a span's service. None, or an empty one, stands for the configured one.
    #[inline]
    pub(crate) fn sent<'a>(&'a self, service: Option<&'a str>) -> &'a str {
        match service.filter(|service| !service.is_empty()) {
            Some(service) => self.mapped(service).unwrap_or(service),
            None => self.own_mapped.as_deref().unwrap_or(&self.own),
        }
    }

    /// Whether a span's service is sent by another name.
    pub(crate) fn is_mapped(&self, service: Option<&str>) -> bool {
        match service.filter(|service| !service.is_empty()) {
            Some(service) => self.mapped(service).is_some(),
            None => self.own_mapped.is_some(),
        }
    }

    fn mapped(&self, service: &str) -> Option<&str> {
        let (_, mapped) = self.mapping.iter().find(|(from, _)| from == service)?;
        Some(mapped)
    }
}
