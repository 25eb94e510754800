//! The DogStatsD datagram parser, strict: what an agent would change, skip or misread is refused.
//!
//! Grammar from `documentation: content/en/extend/dogstatsd/datagram_shell.md` and
//! `datadog-agent: comp/dogstatsd/server/impl/parse*.go`.

use crate::metric::{Event, Metric, MetricKind, Origin, ServiceCheck, ServiceStatus, Via};

/// What the agent reads of one datagram (`datadog-agent` option `dogstatsd_buffer_size`); the rest would be cut.
pub(crate) const MAX_DATAGRAM: usize = 8192;
/// The longest metric name and the longest tag that the backend keeps.
const MAX_NAME: usize = 200;

/// One line's meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Metric(Metric),
    Event(Event),
    ServiceCheck(ServiceCheck),
}

/// Parses every line of a datagram; each is accepted or refused on its own.
pub(crate) fn datagram(bytes: &[u8], via: Via) -> Vec<Result<Item, String>> {
    if bytes.is_empty() {
        return vec![Err("an empty datagram".to_owned())];
    }
    if bytes.len() > MAX_DATAGRAM {
        return vec![Err(format!(
            "a datagram of {} bytes: an agent reads {MAX_DATAGRAM} and cuts the rest",
            bytes.len()
        ))];
    }
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|bytes| {
            let shown = || String::from_utf8_lossy(bytes);
            line(bytes, via).map_err(|reason| format!("{reason}, in line {:?}", shown()))
        })
        .collect()
}

/// Parses one line with its line end.
fn line(bytes: &[u8], via: Via) -> Result<Item, String> {
    let line = bytes
        .strip_suffix(b"\n")
        .ok_or("the line does not end in a newline")?;
    let line = str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    if let Some(bad) = line.chars().find(|char| char.is_control() && *char != '\t') {
        return Err(format!("control character {bad:?}"));
    }
    if line.starts_with("_e{") {
        event(line, via).map(Item::Event)
    } else if line.starts_with("_sc|") {
        service_check(line, via).map(Item::ServiceCheck)
    } else {
        metric(line, via).map(Item::Metric)
    }
}

/// `name:value[:value…]|kind[|@rate][|#tags][|c:…][|e:…][|card:…][|Ttimestamp]`
fn metric(line: &str, via: Via) -> Result<Metric, String> {
    let (head, rest) = line.split_once('|').ok_or("no `|` and so no kind")?;
    let (name, values) = head.split_once(':').ok_or("no `:` and so no value")?;
    check_name(name)?;
    let mut sections = rest.split('|');
    let kind = kind(sections.next().unwrap_or_default())?;
    let mut metric = Metric {
        name: name.to_owned(),
        kind,
        values: Vec::new(),
        set_value: None,
        sample_rate: 1.0,
        tags: Vec::new(),
        timestamp: None,
        interval: None,
        host: None,
        origin: Origin::default(),
        via,
    };
    if kind == MetricKind::Set {
        metric.set_value = Some(set_value(values)?);
    } else {
        metric.values = values.split(':').map(value).collect::<Result<_, _>>()?;
    }
    let mut seen = Once::default();
    for section in sections {
        if let Some(rate) = section.strip_prefix('@') {
            seen.mark("@")?;
            metric.sample_rate = sample_rate(rate)?;
        } else if let Some(time) = section.strip_prefix('T') {
            seen.mark("T")?;
            if !matches!(kind, MetricKind::Count | MetricKind::Gauge) {
                return Err(format!("a {kind} can't have a timestamp"));
            }
            metric.timestamp = Some(timestamp(time)?);
        } else {
            shared_section(section, &mut seen, &mut metric.tags, &mut metric.origin)?;
        }
    }
    Ok(metric)
}

/// `_e{title length,text length}:title|text[|d:…][|h:…][|k:…][|p:…][|s:…][|t:…][|#tags][|c:…][|e:…][|card:…]`
fn event(line: &str, via: Via) -> Result<Event, String> {
    let shape = "expected _e{title length,text length}:title|text";
    let (lengths, rest) = line
        .strip_prefix("_e{")
        .and_then(|rest| rest.split_once("}:"))
        .ok_or(shape)?;
    let (title, text) = lengths.split_once(',').ok_or(shape)?;
    let (title, rest) = split_counted(rest, title, "title")?;
    let rest = rest.strip_prefix('|').ok_or("no `|` behind the title")?;
    let (text, rest) = split_counted(rest, text, "text")?;
    let mut event = Event {
        title: title.replace("\\n", "\n"),
        text: text.replace("\\n", "\n"),
        timestamp: None,
        hostname: None,
        aggregation_key: None,
        priority: None,
        source_type: None,
        alert_type: None,
        tags: Vec::new(),
        origin: Origin::default(),
        via,
    };
    let sections = match rest.strip_prefix('|') {
        Some(sections) => sections.split('|'),
        None if rest.is_empty() => return Ok(event),
        None => return Err(format!("`{rest}` follows the counted text")),
    };
    let mut seen = Once::default();
    for section in sections {
        match section.split_once(':') {
            Some(("d", time)) => event.timestamp = Some(seen.first("d:", timestamp(time)?)?),
            Some(("h", host)) => event.hostname = Some(seen.first("h:", filled(host)?)?),
            Some(("k", key)) => event.aggregation_key = Some(seen.first("k:", filled(key)?)?),
            Some(("p", name)) => {
                let priority = one_of(name, &["normal", "low"])?;
                event.priority = Some(seen.first("p:", priority)?);
            }
            Some(("s", name)) => event.source_type = Some(seen.first("s:", filled(name)?)?),
            Some(("t", name)) => {
                let alert_type = one_of(name, &["error", "warning", "info", "success"])?;
                event.alert_type = Some(seen.first("t:", alert_type)?);
            }
            _ => shared_section(section, &mut seen, &mut event.tags, &mut event.origin)?,
        }
    }
    Ok(event)
}

/// `_sc|name|status[|d:…][|h:…][|#tags][|m:message][|c:…][|e:…][|card:…]`
fn service_check(line: &str, via: Via) -> Result<ServiceCheck, String> {
    let mut sections = line.split('|').skip(1);
    let name = filled(sections.next().unwrap_or_default())?;
    let status = match sections.next() {
        Some("0") => ServiceStatus::Ok,
        Some("1") => ServiceStatus::Warning,
        Some("2") => ServiceStatus::Critical,
        Some("3") => ServiceStatus::Unknown,
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("status: expected 0, 1, 2 or 3, got `{other}`"));
        }
    };
    let mut check = ServiceCheck {
        name,
        status,
        timestamp: None,
        hostname: None,
        message: None,
        tags: Vec::new(),
        origin: Origin::default(),
        via,
    };
    let mut seen = Once::default();
    for section in sections {
        let own = match section.split_once(':') {
            Some((own @ ("d" | "h" | "m"), _)) => own,
            _ if section.starts_with('#') => "#",
            _ => "",
        };
        if check.message.is_some() && !own.is_empty() {
            return Err(format!("`{own}` follows the message, which has to be last"));
        }
        let value = section.get(2..).unwrap_or_default();
        match own {
            "d" => check.timestamp = Some(seen.first("d:", timestamp(value)?)?),
            "h" => check.hostname = Some(seen.first("h:", filled(value)?)?),
            "m" => check.message = Some(value.replace("\\n", "\n").replace("m\\:", "m:")),
            _ => shared_section(section, &mut seen, &mut check.tags, &mut check.origin)?,
        }
    }
    Ok(check)
}

/// The sections that metrics, events and service checks have in common.
fn shared_section(
    section: &str,
    seen: &mut Once,
    tags: &mut Vec<String>,
    origin: &mut Origin,
) -> Result<(), String> {
    if let Some(list) = section.strip_prefix('#') {
        seen.mark("#")?;
        *tags = list.split(',').map(tag).collect::<Result<_, _>>()?;
        return Ok(());
    }
    match section.split_once(':') {
        Some(("c", id)) => origin.container_id = Some(seen.first("c:", local_data(id)?)?),
        Some(("e", data)) => origin.external_env = Some(seen.first("e:", external_data(data)?)?),
        Some(("card", name)) => {
            let cardinality = one_of(name, &["none", "low", "orchestrator", "high"])?;
            origin.cardinality = Some(seen.first("card:", cardinality)?);
        }
        _ => return Err(format!("unknown section `{section}`")),
    }
    Ok(())
}

/// Sections met so far: none may come twice.
#[derive(Default)]
struct Once(Vec<&'static str>);

impl Once {
    fn mark(&mut self, section: &'static str) -> Result<(), String> {
        if self.0.contains(&section) {
            return Err(format!("section `{section}` comes twice"));
        }
        self.0.push(section);
        Ok(())
    }

    fn first<T>(&mut self, section: &'static str, value: T) -> Result<T, String> {
        self.mark(section).map(|()| value)
    }
}

/// A metric name: a letter, then letters, digits, `_` and `.`, 200 bytes at most. The backend changes all others.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.';
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(format!("name `{name}` does not start with a letter"));
    }
    if let Some(bad) = name.chars().find(|char| !allowed(*char)) {
        return Err(format!("name `{name}` has a {bad:?}"));
    }
    if name.len() > MAX_NAME {
        return Err(format!(
            "a name of {} bytes, longer than {MAX_NAME}",
            name.len()
        ));
    }
    Ok(())
}

/// A tag starts with a letter and has at most 200 characters.
pub(crate) fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("an empty tag".to_owned());
    }
    if !tag.starts_with(char::is_alphabetic) {
        return Err(format!("tag `{tag}` does not start with a letter"));
    }
    if tag.chars().count() > MAX_NAME {
        return Err(format!("tag `{tag}` is longer than {MAX_NAME} characters"));
    }
    Ok(())
}

fn tag(tag: &str) -> Result<String, String> {
    check_tag(tag).map(|()| tag.to_owned())
}

fn kind(text: &str) -> Result<MetricKind, String> {
    Ok(match text {
        "c" => MetricKind::Count,
        "g" => MetricKind::Gauge,
        "h" => MetricKind::Histogram,
        "d" => MetricKind::Distribution,
        "ms" => MetricKind::Timing,
        "s" => MetricKind::Set,
        other => return Err(format!("kind: expected c, g, h, d, ms or s, got `{other}`")),
    })
}

fn value(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("value: expected a finite number, got `{text}`")),
    }
}

fn set_value(text: &str) -> Result<String, String> {
    if text.contains(':') {
        return Err("a set takes one value".to_owned());
    }
    filled(text)
}

fn sample_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err(format!(
            "sample rate: expected a number above 0, at most 1, got `{text}`"
        )),
    }
}

fn timestamp(text: &str) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(format!(
            "timestamp: expected positive whole seconds, got `{text}`"
        )),
    }
}

/// Letters, digits, `-` and `,` (`saluki: lib/saluki-io/src/deser/codec/dogstatsd/helpers.rs`).
fn local_data(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b',';
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(format!(
            "c: expected letters, digits, `-` and `,`, got `{text}`"
        ));
    }
    Ok(text.to_owned())
}

/// Lower-case letters, digits, `-` and `,` (the same source).
fn external_data(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b','
    };
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(format!(
            "e: expected lower-case letters, digits, `-` and `,`, got `{text}`"
        ));
    }
    Ok(text.to_owned())
}

fn one_of(text: &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected {}, got `{text}`", allowed.join(", ")))
}

fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty field".to_owned());
    }
    Ok(text.to_owned())
}

/// Splits off a field whose length in bytes was told.
fn split_counted<'a>(
    text: &'a str,
    length: &str,
    what: &str,
) -> Result<(&'a str, &'a str), String> {
    let bytes = length
        .parse::<usize>()
        .map_err(|_| format!("{what} length: expected a number of bytes, got `{length}`"))?;
    if bytes == 0 && what == "title" {
        return Err("an empty title".to_owned());
    }
    text.split_at_checked(bytes)
        .ok_or_else(|| format!("{what} length {bytes} does not fit the line"))
}
