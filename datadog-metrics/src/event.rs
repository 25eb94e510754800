//! Events and service checks.

use std::fmt::Write;
use std::time::SystemTime;

use crate::encode::{push_escaped, push_field, unix_seconds};

/// Something that happened: a deployment, a failed job. It shows in Datadog's event explorer.
#[derive(Clone, Debug)]
#[must_use = "it is sent by `Metrics::event`"]
pub struct Event<'a> {
    title: &'a str,
    text: &'a str,
    at: Option<SystemTime>,
    hostname: &'a str,
    aggregation_key: &'a str,
    source_type: &'a str,
    priority: Option<Priority>,
    alert_type: Option<AlertType>,
}

/// How much an event matters. Default: normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Priority {
    /// As most.
    Normal,
    /// Less than most.
    Low,
}

/// What kind of news an event is. Default: info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertType {
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// Something happened.
    Info,
    /// Something worked.
    Success,
}

/// What a check of a service found.
#[derive(Clone, Debug)]
#[must_use = "it is sent by `Metrics::service_check`"]
pub struct ServiceCheck<'a> {
    name: &'a str,
    status: Status,
    at: Option<SystemTime>,
    hostname: &'a str,
    message: &'a str,
}

/// How a service is. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Ok = 0,
    /// Not as it should be.
    Warning = 1,
    /// Down.
    Critical = 2,
    /// Nobody knows.
    Unknown = 3,
}

impl<'a> Event<'a> {
    /// An event with a title, which must not be empty, and a text, which may be Markdown between `%%%` lines.
    pub fn new(title: &'a str, text: &'a str) -> Self {
        Self {
            title,
            text,
            at: None,
            hostname: "",
            aggregation_key: "",
            source_type: "",
            priority: None,
            alert_type: None,
        }
    }

    /// When it happened. Default: when the agent gets it.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    /// The host it is about. Default: the agent's.
    pub fn hostname(mut self, name: &'a str) -> Self {
        self.hostname = name;
        self
    }

    /// Events of the same key are shown as one.
    pub fn aggregation_key(mut self, key: &'a str) -> Self {
        self.aggregation_key = key;
        self
    }

    /// The product that it comes from, such as `nagios`.
    pub fn source_type(mut self, name: &'a str) -> Self {
        self.source_type = name;
        self
    }

    /// How much it matters.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// What kind of news it is.
    pub fn alert_type(mut self, alert_type: AlertType) -> Self {
        self.alert_type = Some(alert_type);
        self
    }

    /// The line with this tail; `None` without a title.
    pub(crate) fn line(&self, tail: &str) -> Option<String> {
        let (mut title, mut text) = (String::new(), String::new());
        push_escaped(&mut title, self.title);
        push_escaped(&mut text, self.text);
        if title.is_empty() {
            return None;
        }
        let mut line = format!("_e{{{},{}}}:{title}|{text}", title.len(), text.len());
        if let Some(at) = self.at {
            let _ = write!(line, "|d:{}", unix_seconds(at));
        }
        push_field(&mut line, "h:", self.hostname);
        push_field(&mut line, "k:", self.aggregation_key);
        match self.priority {
            None => {}
            Some(Priority::Normal) => line.push_str("|p:normal"),
            Some(Priority::Low) => line.push_str("|p:low"),
        }
        push_field(&mut line, "s:", self.source_type);
        match self.alert_type {
            None => {}
            Some(AlertType::Error) => line.push_str("|t:error"),
            Some(AlertType::Warning) => line.push_str("|t:warning"),
            Some(AlertType::Info) => line.push_str("|t:info"),
            Some(AlertType::Success) => line.push_str("|t:success"),
        }
        line.push_str(tail);
        Some(line)
    }
}

impl<'a> ServiceCheck<'a> {
    /// A check of this name, which must not be empty.
    pub fn new(name: &'a str, status: Status) -> Self {
        Self {
            name,
            status,
            at: None,
            hostname: "",
            message: "",
        }
    }

    /// When it was made. Default: when the agent gets it.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    /// The host it is about. Default: the agent's.
    pub fn hostname(mut self, name: &'a str) -> Self {
        self.hostname = name;
        self
    }

    /// Why the service is as it is.
    pub fn message(mut self, message: &'a str) -> Self {
        self.message = message;
        self
    }

    /// The line with this tail; `None` without a name.
    pub(crate) fn line(&self, tail: &str) -> Option<String> {
        if self.name.is_empty() {
            return None;
        }
        let mut line = "_sc".to_owned();
        push_field(&mut line, "", self.name);
        let _ = write!(line, "|{}", self.status as u8);
        if let Some(at) = self.at {
            let _ = write!(line, "|d:{}", unix_seconds(at));
        }
        push_field(&mut line, "h:", self.hostname);
        line.push_str(tail.trim_end());
        if !self.message.is_empty() {
            // Has to be last.
            line.push_str("|m:");
            let mut message = String::new();
            push_escaped(&mut message, self.message);
            line.push_str(&message.replace('|', "_").replace("m:", "m\\:"));
        }
        line.push('\n');
        Some(line)
    }
}
