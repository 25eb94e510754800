//! What every entry of a client has in common, as ready-made JSON.

use datadog_config::{DDConfig, normalize_tag};

use crate::encode;

/// Says which language's parsing rules and error formats Datadog applies.
const SOURCE: &str = "rust";

/// `,"key":"value"` for each reserved field that the config decides.
pub(crate) fn of(config: &DDConfig) -> Vec<u8> {
    let mut json = Vec::new();
    let mut add = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            json.push(b',');
            encode::text(&mut json, key);
            json.push(b':');
            encode::text(&mut json, value);
        }
    };
    add("ddsource", Some(SOURCE));
    add("service", Some(config.service()));
    add("hostname", config.hostname());
    add("ddtags", Some(&tags(config)));
    if config.logs_injection() {
        add("dd.service", Some(config.service()));
        add("dd.env", config.env());
        add("dd.version", config.version());
    }
    json
}

fn tags(config: &DDConfig) -> String {
    let own = [("env", config.env()), ("version", config.version())];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}:{}", value?)));
    let configured = config.tags().iter().map(|(key, value)| match &**value {
        "" => key.clone(),
        value => format!("{key}:{value}"),
    });
    let tags: Vec<_> = own
        .chain(configured)
        .map(|tag| normalize_tag(&tag).into_owned())
        .collect();
    tags.join(",")
}
