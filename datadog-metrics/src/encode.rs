//! Lines of the DogStatsD protocol, in which no name, tag or text can be mistaken for something else.
//!
//! The grammar is that of documentation: `content/en/extend/dogstatsd/datagram_shell.md` and
//! saluki: `lib/saluki-io/src/deser/codec/dogstatsd`.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use datadog_config::DDConfig;

use crate::Tags;
use crate::context::{Context, Kind};
use crate::owed::Owed;

/// The longest metric name, and the longest tag in characters, that Datadog keeps.
const LONGEST: usize = 200;

/// The head of a name in which nothing is usable.
pub(crate) const NO_NAME: &str = ":";

/// What stands in the lines of all contexts of a client.
#[derive(Debug)]
pub(crate) struct Template {
    /// Global tags, clean, each with the length of its key.
    tags: Vec<(String, usize)>,
    /// The fields behind the tags.
    origin: String,
}

impl Template {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let mut template = Self {
            tags: Vec::new(),
            origin: origin(config),
        };
        template.add_tag("service", config.service());
        template.add_tag("env", config.env().unwrap_or_default());
        template.add_tag("version", config.version().unwrap_or_default());
        if !config.metrics_agentless() {
            // The tag by which the agent finds the pod (datadog-go: `statsd/statsd.go`).
            let pod = config.internal_entity_id().unwrap_or_default();
            template.add_tag("dd.internal.entity_id", pod);
        }
        for (key, value) in config.tags() {
            let value = (!value.is_empty()).then_some(value.as_str());
            template.tags.extend(clean_tag(key, value));
        }
        template
    }

    fn add_tag(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.tags.extend(clean_tag(key, Some(value)));
        }
    }

    /// The line from the tags on. A call's tag replaces the global ones of the same key; the order given does not
    /// matter.
    pub(crate) fn tail(&self, tags: &impl Tags) -> String {
        let own = tags.tags().filter_map(|(key, value)| clean_tag(key, value));
        let mut own: Vec<_> = own.collect();
        own.sort_unstable();
        own.dedup();
        let is_replaced = |(global, length): &&(String, usize)| {
            own.iter()
                .any(|(tag, key_length)| tag[..*key_length] == global[..*length])
        };
        let globals = self.tags.iter().filter(|global| !is_replaced(global));
        let with_comma = |(tag, _): &(String, usize)| tag.len() + 1;
        let tags: usize = self.tags.iter().chain(&own).map(with_comma).sum();
        let mut tail = String::with_capacity(tags + self.origin.len() + 2);
        for (at, (tag, _)) in globals.chain(&own).enumerate() {
            tail.push_str(if at == 0 { "|#" } else { "," });
            tail.push_str(tag);
        }
        tail.push_str(&self.origin);
        tail.push('\n');
        tail
    }
}

/// The line up to the value: the clean name and a colon.
pub(crate) fn head(namespace: &str, name: &str) -> String {
    if name.is_empty() {
        return NO_NAME.to_owned();
    }
    let mut head = String::with_capacity(namespace.len() + name.len() + 1);
    // Datadog changes names in the same way; done here, they can't break a line.
    for char in namespace.chars().chain(name.chars()) {
        let is_letter = char.is_ascii_alphabetic();
        if head.len() == LONGEST {
            break;
        } else if is_letter
            || !head.is_empty() && (char.is_ascii_digit() || matches!(char, '.' | '_'))
        {
            head.push(char);
        } else if !head.is_empty() {
            head.push('_');
        }
    }
    head.push(':');
    head
}

/// A tag as it stands in a line, with the length of its key; `None` if nothing usable is in it.
///
/// Tags start with a letter and have 200 characters at most, and no character that ends a tag or a field.
fn clean_tag(key: &str, value: Option<&str>) -> Option<(String, usize)> {
    let mut tag = String::with_capacity(key.len() + value.map_or(0, str::len) + 1);
    let mut left = LONGEST;
    let key = key.trim_start_matches(|char: char| !char.is_alphabetic());
    for char in key.chars().take(left) {
        let ends_key = char == ':' && value.is_some();
        tag.push(if ends_key { '_' } else { clean(char) });
        left -= 1;
    }
    if tag.is_empty() {
        return None;
    }
    if let Some(value) = value
        && left > 1
    {
        tag.push(':');
        tag.extend(value.chars().take(left - 1).map(clean));
    }
    let key_length = tag.find(':').unwrap_or(tag.len());
    Some((tag, key_length))
}

fn clean(char: char) -> char {
    if char == ',' { '_' } else { clean_field(char) }
}

/// The fields that tell the agent where a metric comes from.
fn origin(config: &DDConfig) -> String {
    let mut fields = String::new();
    if config.origin_detection_enabled() {
        if let Some(entity) = config.entity_id().filter(|id| is_local_data(id)) {
            let _ = write!(fields, "|c:{entity}");
        }
        if let Some(external) = config.external_env().filter(|data| is_external_data(data)) {
            let _ = write!(fields, "|e:{external}");
        }
    }
    if let Some(cardinality) = config.cardinality() {
        let _ = write!(fields, "|card:{}", cardinality.as_str());
    }
    fields
}

/// Whether it can stand in the `c:` field
/// (saluki: `lib/saluki-io/src/deser/codec/dogstatsd/helpers.rs`).
fn is_local_data(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b',');
    !id.is_empty() && id.bytes().all(allowed)
}

/// The same for the `e:` field.
fn is_external_data(data: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b',')
    };
    !data.is_empty() && data.bytes().all(allowed)
}

/// Writes the line of a count.
pub(crate) fn write_count(line: &mut String, context: &Context, sum: i64) {
    let _ = write!(line, "{}{sum}", context.head);
    finish(line, context, 1.0);
}

/// Writes the line of a gauge.
pub(crate) fn write_gauge(line: &mut String, context: &Context, value: f64) {
    line.push_str(&context.head);
    write_float(line, value);
    finish(line, context, 1.0);
}

/// Writes the line of a member of a set.
pub(crate) fn write_member(line: &mut String, context: &Context, member: &str) {
    line.push_str(&context.head);
    let clean = |char| if char == ':' { '_' } else { clean_field(char) };
    line.extend(member.chars().map(clean));
    finish(line, context, 1.0);
}

/// The line of a count or gauge of a certain time.
pub(crate) fn line_at(head: &str, value: &str, kind: Kind, tail: &str, at: SystemTime) -> String {
    let (code, tail) = (kind.code(), tail.trim_end());
    format!("{head}{value}|{code}{tail}|T{}\n", unix_seconds(at))
}

/// Seconds since the Unix epoch, at least 1, because the protocol has no 0.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_secs().max(1))
}

/// Writes a field that is not empty, with its separator and prefix.
pub(crate) fn push_field(line: &mut String, prefix: &str, text: &str) {
    if !text.is_empty() {
        line.push('|');
        line.push_str(prefix);
        line.extend(text.chars().map(clean_field));
    }
}

/// Writes a text of several lines: their ends as the two characters that DogStatsD reads back as one.
pub(crate) fn push_escaped(to: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '\n' => to.push_str("\\n"),
            '\r' => {}
            '\t' => to.push('\t'),
            _ if char.is_control() => to.push(' '),
            _ => to.push(char),
        }
    }
}

fn clean_field(char: char) -> char {
    if char.is_control() || char == '|' {
        '_'
    } else {
        char
    }
}

/// Writes a line of at most `limit` bytes with as many of the samples as fit, at least one, and splits those off.
pub(crate) fn write_samples(
    line: &mut String,
    context: &Context,
    rest: &mut Owed,
    limit: usize,
) -> Owed {
    let rate = rest.samples.rate();
    line.push_str(&context.head);
    // The type, the rate and their separators.
    let exact = rate * context.rate.value() == 1.0;
    let frame = context.tail.len() + if exact { 3 } else { 32 };
    let mut written = 0;
    for value in rest.samples.values() {
        let before = line.len();
        if written > 0 {
            line.push(':');
        }
        write_float(line, *value);
        if written > 0 && line.len() + frame > limit {
            line.truncate(before);
            break;
        }
        written += 1;
    }
    finish(line, context, rate);
    rest.split_first_samples(written)
}

/// Writes the line from the type on. `rate` is that of this line's values among those submitted.
fn finish(line: &mut String, context: &Context, rate: f64) {
    let rate = rate * context.rate.value();
    line.push('|');
    line.push_str(context.kind.code());
    if rate < 1.0 {
        line.push_str("|@");
        write_float(line, rate);
    }
    line.push_str(&context.tail);
}

/// The number as it stands in a line.
pub(crate) fn float(value: f64) -> String {
    let mut text = String::new();
    write_float(&mut text, value);
    text
}

/// The shortest form that reads back as the same number, with an exponent where that is shorter by far.
pub(crate) fn write_float(line: &mut String, value: f64) {
    let _ = write!(line, "{value:?}");
    if line.ends_with(".0") {
        line.truncate(line.len() - 2);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::context::Value;
    use crate::rate::Rate;
    use crate::registry::{Limits, Registry};

    #[test]
    fn each_kind_has_its_line() {
        let template = Template {
            tags: vec![("service:shop".to_owned(), "service".len())],
            origin: "|c:in-5".to_owned(),
        };
        let tail = template.tail(&[("na,me", "a|b\n"), ("7", "no letter")]);
        assert_eq!(tail, "|#service:shop,na_me:a_b_|c:in-5\n");
        let registry = Registry::new(Limits::default(), Arc::default());
        let head = head("shop.", "hits|x");
        let context = |kind| registry.context(kind, Rate::ALL, &head, &tail);

        let mut line = String::new();
        write_count(&mut line, &context(Kind::Count), -7);
        assert_eq!(line, format!("shop.hits_x:-7|c{tail}"));
        line.clear();
        write_gauge(&mut line, &context(Kind::Gauge), 1.5);
        assert_eq!(line, format!("shop.hits_x:1.5|g{tail}"));
        line.clear();
        write_member(&mut line, &context(Kind::Set), "a:b|c\n");
        assert_eq!(line, format!("shop.hits_x:a_b_c_|s{tail}"));
        for kind in [Kind::Histogram, Kind::Distribution, Kind::Timing] {
            let context = context(kind);
            for value in [1.0, 2.5, 1e-7] {
                context.write_direct(Value::Sample(value));
            }
            let mut owed = context.take().1.unwrap();
            line.clear();
            let first = write_samples(&mut line, &context, &mut owed, head.len() + tail.len() + 9);
            let code = kind.code();
            assert_eq!(line, format!("shop.hits_x:1:2.5|{code}{tail}"));
            assert_eq!((first.items, owed.items), (2, 1));
            line.clear();
            write_samples(&mut line, &context, &mut owed, 8192);
            assert_eq!(line, format!("shop.hits_x:1e-7|{code}{tail}"));
            assert_eq!(owed.items, 0);
        }
    }
}
