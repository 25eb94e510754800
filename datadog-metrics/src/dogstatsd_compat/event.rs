//! Options of events.

use std::time::{Duration, UNIX_EPOCH};

use crate::{AlertType, Event, Priority};

/// What an event may have beside its title and text.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventOptions<'a> {
    /// When it happened, in seconds since 1970. Default: when the agent gets it.
    pub timestamp: Option<u64>,
    /// The host it is about. Default: the agent's.
    pub hostname: Option<&'a str>,
    /// Events of the same key are shown as one.
    pub aggregation_key: Option<&'a str>,
    /// How much it matters. Default: normal.
    pub priority: Option<EventPriority>,
    /// The product that it comes from.
    pub source_type_name: Option<&'a str>,
    /// What kind of news it is. Default: info.
    pub alert_type: Option<EventAlertType>,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventPriority {
    /// Less than most.
    Low,
    /// As most.
    #[default]
    Normal,
}

/// What kind of news an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventAlertType {
    /// Something happened.
    #[default]
    Info,
    /// Something may fail.
    Warning,
    /// Something failed.
    Error,
    /// Something worked.
    Success,
}

impl<'a> EventOptions<'a> {
    /// None of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`timestamp`](Self::timestamp).
    pub fn with_timestamp(mut self, timestamp: u64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Sets [`hostname`](Self::hostname).
    pub fn with_hostname(mut self, hostname: &'a str) -> Self {
        self.hostname = Some(hostname);
        self
    }

    /// Sets [`aggregation_key`](Self::aggregation_key).
    pub fn with_aggregation_key(mut self, aggregation_key: &'a str) -> Self {
        self.aggregation_key = Some(aggregation_key);
        self
    }

    /// Sets [`priority`](Self::priority).
    pub fn with_priority(mut self, priority: EventPriority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets [`source_type_name`](Self::source_type_name).
    pub fn with_source_type_name(mut self, source_type_name: &'a str) -> Self {
        self.source_type_name = Some(source_type_name);
        self
    }

    /// Sets [`alert_type`](Self::alert_type).
    pub fn with_alert_type(mut self, alert_type: EventAlertType) -> Self {
        self.alert_type = Some(alert_type);
        self
    }

    /// The event of this title and text.
    pub(super) fn event(self, title: &'a str, text: &'a str) -> Event<'a> {
        let mut event = Event::new(title, text)
            .hostname(self.hostname.unwrap_or_default())
            .aggregation_key(self.aggregation_key.unwrap_or_default())
            .source_type(self.source_type_name.unwrap_or_default());
        if let Some(at) = self
            .timestamp
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        {
            event = event.at(at);
        }
        if let Some(priority) = self.priority {
            event = event.priority(match priority {
                EventPriority::Low => Priority::Low,
                EventPriority::Normal => Priority::Normal,
            });
        }
        if let Some(alert_type) = self.alert_type {
            event = event.alert_type(match alert_type {
                EventAlertType::Info => AlertType::Info,
                EventAlertType::Warning => AlertType::Warning,
                EventAlertType::Error => AlertType::Error,
                EventAlertType::Success => AlertType::Success,
            });
        }
        event
    }
}

impl EventPriority {
    /// Its word on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
        }
    }
}

impl EventAlertType {
    /// Its word on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Success => "success",
        }
    }
}
