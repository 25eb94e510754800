//! Options of clients.

use std::time::Duration;

use datadog_config::{ConfigError, DDConfig, DDConfigBuilder};

const FROM_ADDR: &str = "0.0.0.0:0";
const TO_ADDR: &str = "127.0.0.1:8125";

/// How a client batches. Without effect here, where everything is batched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchingOptions {
    /// Bytes of a batch, at most.
    pub max_buffer_size: usize,
    /// Time until a batch is sent, at most.
    pub max_time: Duration,
    /// How often a batch is tried again.
    pub max_retry_attempts: usize,
    /// Milliseconds until a batch is tried again for the first time.
    pub initial_retry_delay: u64,
}

/// Where a client sends to, and what it adds.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// The address to send from. Without effect here.
    pub from_addr: String,
    /// The address to send to, as `host:port`.
    pub to_addr: String,
    /// What stands before each name, with a dot.
    pub namespace: String,
    /// Tags of everything that is sent, each `key:value` or a word.
    pub default_tags: Vec<String>,
    /// The Unix socket to send to instead of the address.
    pub socket_path: Option<String>,
    /// Without effect here.
    pub batching_options: Option<BatchingOptions>,
}

/// Makes [`Options`].
#[derive(Debug, Default)]
pub struct OptionsBuilder {
    from_addr: Option<String>,
    to_addr: Option<String>,
    namespace: Option<String>,
    default_tags: Vec<String>,
    socket_path: Option<String>,
    batching_options: Option<BatchingOptions>,
}

impl Options {
    /// Options with all fields given.
    pub fn new(
        from_addr: &str,
        to_addr: &str,
        namespace: &str,
        default_tags: Vec<String>,
        socket_path: Option<String>,
        batching_options: Option<BatchingOptions>,
    ) -> Self {
        Self {
            from_addr: from_addr.into(),
            to_addr: to_addr.into(),
            namespace: namespace.into(),
            default_tags,
            socket_path,
            batching_options,
        }
    }

    /// The same as the config of this client, on top of what `config` has.
    pub(super) fn config(&self, mut config: DDConfigBuilder) -> Result<DDConfig, ConfigError> {
        let url = match self.socket_path.as_ref().map(std::path::absolute) {
            Some(Ok(path)) => format!("unixgram://{}", path.display()),
            Some(Err(_)) => "unixgram://".to_owned(),
            None => format!("udp://{}", self.to_addr),
        };
        let tags = self.default_tags.iter().filter(|tag| !tag.is_empty());
        let tags = tags.map(|tag| tag.split_once(':').unwrap_or((tag, "")));
        // These three beat the variables that mean the same.
        for (key, value) in tags.clone().filter(|(_, value)| !value.is_empty()) {
            config = match key {
                "service" => config.service(value),
                "env" => config.env(value),
                "version" => config.version(value),
                _ => config,
            };
        }
        config
            .dogstatsd_url(url)
            .metrics_agentless(false)
            .tags(tags)
            .build()
    }
}

impl Default for Options {
    /// To `127.0.0.1:8125`, with nothing added.
    fn default() -> Self {
        OptionsBuilder::new().build()
    }
}

impl OptionsBuilder {
    /// A builder of the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Options::from_addr`].
    pub fn from_addr(&mut self, from_addr: String) -> &mut Self {
        self.from_addr = Some(from_addr);
        self
    }

    /// Sets [`Options::to_addr`].
    pub fn to_addr(&mut self, to_addr: String) -> &mut Self {
        self.to_addr = Some(to_addr);
        self
    }

    /// Sets [`Options::namespace`].
    pub fn namespace(&mut self, namespace: String) -> &mut Self {
        self.namespace = Some(namespace);
        self
    }

    /// Adds one to [`Options::default_tags`].
    pub fn default_tag(&mut self, default_tag: String) -> &mut Self {
        self.default_tags.push(default_tag);
        self
    }

    /// Sets [`Options::socket_path`].
    pub fn socket_path(&mut self, socket_path: Option<String>) -> &mut Self {
        self.socket_path = socket_path;
        self
    }

    /// Sets [`Options::batching_options`].
    pub fn batching_options(&mut self, batching_options: BatchingOptions) -> &mut Self {
        self.batching_options = Some(batching_options);
        self
    }

    /// The options.
    pub fn build(&self) -> Options {
        Options::new(
            self.from_addr.as_deref().unwrap_or(FROM_ADDR),
            self.to_addr.as_deref().unwrap_or(TO_ADDR),
            self.namespace.as_deref().unwrap_or_default(),
            self.default_tags.clone(),
            self.socket_path.clone(),
            self.batching_options,
        )
    }
}
